//! Tables in Markdown.

/// The rows of the first table whose columns begin with `header`, as cells
/// without backquotes; nothing, if there is no such table.
pub(crate) fn rows(document: &str, header: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut lines = document.lines().map(cells);
    let is_header = |cells: Vec<String>| {
        cells.len() >= header.len() && header.iter().zip(&cells).all(|(a, b)| a == b)
    };
    lines.any(is_header).then(|| {
        // The line below the header is only a line.
        lines.skip(1).take_while(|cells| cells.len() >= header.len()).collect()
    })
}

fn cells(line: &str) -> Vec<String> {
    match line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|')) {
        Some(line) => line.split('|').map(|cell| cell.trim().replace('`', "")).collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_with_the_header_is_read() {
        let document = "| a | b |\n|---|---|\n| 1 | 2 |\n\ntext\n\n\
                        | key | env |\n|---|---|\n| `x` | |\n| y | `Y` |\ntext | more\n| z | |\n";
        let expected = vec![vec!["x".to_owned(), String::new()], vec!["y".into(), "Y".into()]];
        assert_eq!(rows(document, &["key", "env"]), Some(expected));
        assert_eq!(rows(document, &["key", "value"]), None);
    }
}

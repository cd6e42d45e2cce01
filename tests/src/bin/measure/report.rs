//! Markdown.

/// A heading, a table, and what must be known to read it.
pub(crate) struct Table {
    title: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

// === impl Table ===

impl Table {
    pub(crate) fn new(title: &'static str, columns: &[&'static str]) -> Self {
        Self { title, columns: columns.to_vec(), rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    ///
    /// If it has not as many cells as there are columns.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.columns.len(), "{cells:?}");
        self.rows.push(cells);
    }

    /// Adds a sentence below the table.
    pub(crate) fn note(&mut self, sentence: impl Into<String>) {
        self.notes.push(sentence.into());
    }

    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
        let mut text = format!("## {}\n\n", self.title);
        text.push_str(&line(&self.columns));
        let rule: Vec<&str> = (0..self.columns.len())
            .map(|column| if column == 0 { "---" } else { "---:" })
            .collect();
        text.push_str(&line(&rule));
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            text.push_str(&line(&cells));
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        for note in &self.notes {
            text.push_str(note);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_with_one_sentence_per_line() {
        let mut table = Table::new("Latency", &["from", "p50"]);
        table.row(vec!["here".to_owned(), "1".to_owned()]);
        table.note("In ms.");
        table.note("By one clock.");
        assert_eq!(
            table.markdown(),
            "## Latency\n\n| from | p50 |\n| --- | ---: |\n| here | 1 |\n\nIn ms.\nBy one clock.\n"
        );
    }
}

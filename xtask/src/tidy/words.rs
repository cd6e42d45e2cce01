//! Words that do not belong in what is finished, and paths of one machine.

use super::Source;

// Written so that this file does not contain them.
const UNFINISHED: [&str; 4] =
    [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X"), concat!("todo", "!(")];
const MACHINE: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

pub(super) fn check(source: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(source.text.lines()) {
        let found = |what: &str| format!("{}:{number}: {what}", source.path);
        if let Some(word) = UNFINISHED.iter().find(|word| has_word(line, word)) {
            problems.push(found(&format!("`{word}`: an issue is the place for it")));
        }
        if let Some(path) = MACHINE.iter().find(|path| has_path(line, path)) {
            problems.push(found(&format!("`{path}…` is a path of one machine")));
        }
    }
    problems
}

fn has_word(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let after = &line[at + word.len()..];
        let goes_on = !word.ends_with('(') && after.starts_with(is_word);
        !line[..at].ends_with(is_word) && !goes_on
    })
}

/// Whether an absolute path begins with `path` somewhere in the line.
fn has_path(line: &str, path: &str) -> bool {
    let is_inside = |c: char| c.is_alphanumeric() || "-_.~}/".contains(c);
    line.match_indices(path).any(|(at, _)| !line[..at].ends_with(is_inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> usize {
        check(&Source { path: "a.rs".into(), text: text.into() }).len()
    }

    #[test]
    fn unfinished_work_fails() {
        for word in UNFINISHED {
            assert_eq!(problems(&format!("// {word}: later")), 1, "{word}");
        }
        assert_eq!(problems("what is left to do, and a mastodon"), 0);
    }

    #[test]
    fn a_path_of_one_machine_fails() {
        for path in MACHINE {
            assert_eq!(problems(&format!("let path = \"{path}me/logs\";")), 1, "{path}");
            assert_eq!(problems(&format!("see {path}me")), 1, "{path}");
            assert_eq!(problems(&format!("see docs{path}me and https://a.example{path}")), 0);
        }
    }
}

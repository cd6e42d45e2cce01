//! Links from one document to another file.

use super::Source;
use crate::rust_text::line_of;

/// Links in Markdown to files that `exists` does not know.
pub(super) fn check(source: &Source, exists: impl Fn(&str) -> bool) -> Vec<String> {
    if source.ending() != "md" {
        return Vec::new();
    }
    let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut problems = Vec::new();
    for (at, target) in targets(&source.text) {
        let file = target.split(['#', '?']).next().unwrap_or_default();
        if file.is_empty() || is_elsewhere(target) {
            continue;
        }
        if !resolve(folder, file).is_some_and(|path| exists(&path)) {
            let line = line_of(&source.text, at);
            problems.push(format!("{}:{line}: there is no `{target}`", source.path));
        }
    }
    problems
}

/// What the links and pictures of a document point at, and where they are.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut targets = Vec::new();
    for (opening, closing) in [("](", ")"), ("src=\"", "\""), ("href=\"", "\"")] {
        for (at, _) in text.match_indices(opening) {
            let rest = &text[at + opening.len()..];
            let target = rest.split(closing).next().unwrap_or_default();
            // `[a](b "title")`
            targets.push((at, target.split_whitespace().next().unwrap_or_default()));
        }
    }
    targets
}

fn is_elsewhere(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

/// The path of `file` from the root; nothing, if it is outside.
fn resolve(folder: &str, file: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        let exists = |path: &str| ["README.md", "docs/bus.md", "docs/a.png"].contains(&path);
        check(&Source { path: path.into(), text: text.into() }, exists)
    }

    #[test]
    fn a_link_to_nothing_fails() {
        assert_eq!(
            problems("README.md", "see [it](docs/bus.md#x), [web](https://a.example)"),
            [""; 0]
        );
        assert_eq!(
            problems("docs/bus.md", "[up](../README.md) [here](#a) ![](a.png \"b\")"),
            [""; 0]
        );
        assert_eq!(problems("README.md", "\n[it](bus.md)"), ["README.md:2: there is no `bus.md`"]);
        assert_eq!(
            problems("README.md", "<img src=\"b.png\">"),
            ["README.md:1: there is no `b.png`"]
        );
        assert_eq!(problems("docs/bus.md", "[out](../../x.md)").len(), 1);
    }

    #[test]
    fn only_documents_are_read() {
        assert_eq!(problems("a.rs", "[it](nothing.md)"), [""; 0]);
    }
}

//! The root folder: what a visitor sees first.

use std::path::Path;

use anyhow::Result;

const EXPECTED: [&str; 8] =
    ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "crates", "docs", "tests", "xtask"];
/// Made by running things, and ignored by git.
const MADE: [&str; 2] = ["logs", "target"];

pub(super) fn names(root: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(root)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

pub(super) fn check(names: &[String]) -> Vec<String> {
    let has = |name: &str| names.iter().any(|other| other == name);
    let is_extra = |name: &&String| {
        !name.starts_with('.')
            && !EXPECTED.contains(&name.as_str())
            && !MADE.contains(&name.as_str())
    };
    let extra =
        names.iter().filter(is_extra).map(|name| format!("{name}: does not belong in the root"));
    let missing = EXPECTED.iter().filter(|name| !has(name));
    extra.chain(missing.map(|name| format!("{name}: is missing from the root"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_does_not_belong_fails() {
        let mut names = EXPECTED.map(str::to_owned).to_vec();
        names.extend(["target".to_owned(), ".gitignore".to_owned()]);
        assert_eq!(check(&names), [""; 0]);
        names.push("notes.txt".to_owned());
        assert_eq!(check(&names), ["notes.txt: does not belong in the root"]);
        names.retain(|name| name != "notes.txt" && name != "LICENSE");
        assert_eq!(check(&names), ["LICENSE: is missing from the root"]);
    }
}

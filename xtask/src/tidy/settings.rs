//! The settings: what the program reads is what `docs/operations.md` lists.

use std::collections::BTreeMap;

use crate::table;

pub(super) const DOCUMENT: &str = "docs/operations.md";
pub(super) const SOURCE: &str = "crates/cantina-log/src/settings/keys.rs";

const HEADER: [&str; 2] = ["key", "env"];

/// What the table of `document` and the keys in `source` disagree on. An empty
/// environment variable is none.
pub(super) fn check(document: &str, source: &str) -> Vec<String> {
    let Some(rows) = table::rows(document, &HEADER) else {
        return vec![format!("{DOCUMENT}: has no table with the columns {}", HEADER.join(", "))];
    };
    let listed: BTreeMap<String, String> =
        rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let read = keys(source);
    if read.is_empty() {
        return vec![format!("{SOURCE}: has no keys")];
    }
    let mut problems = Vec::new();
    for (key, env) in &read {
        match listed.get(key) {
            None => problems.push(format!("{DOCUMENT}: does not list the setting `{key}`")),
            Some(other) if other != env => problems
                .push(format!("{DOCUMENT}: `{key}` is read from `{env}`, not from `{other}`")),
            Some(_) => {}
        }
    }
    let unknown = listed.keys().filter(|key| !read.contains_key(*key));
    problems.extend(unknown.map(|key| format!("{DOCUMENT}: there is no setting `{key}`")));
    problems
}

/// The keys in rows like `key!("listen", listen, "", "CANTINA_LOG_LISTEN")`,
/// each with its environment variable.
fn keys(source: &str) -> BTreeMap<String, String> {
    let rows = source.split("key!(\"").skip(1).map(|row| row.split(')').next().unwrap_or(row));
    rows.map(|row| {
        let texts: Vec<_> = row.split('"').collect();
        // The name, what is between, the unit, what is between, the variable.
        (texts[0].to_owned(), texts.get(4).unwrap_or(&"").to_string())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = r#"
macro_rules! key { ($name:literal) => { key!(@row $name) }; }
key!("listen", listen, "", "CANTINA_LOG_LISTEN"),
key!("batch_size", batch_size, "entries"),
"#;
    const TABLE: &str = "
| key | env | default |
|---|---|---|
| `listen` | `CANTINA_LOG_LISTEN` | 127.0.0.1:8000 |
| `batch_size` | | 100 |
";

    #[test]
    fn what_is_read_and_listed_passes() {
        assert_eq!(check(TABLE, KEYS), [""; 0]);
    }

    #[test]
    fn a_setting_that_is_only_here_or_there_fails() {
        let less = TABLE.replace("| `batch_size` | | 100 |\n", "");
        assert_eq!(
            check(&less, KEYS),
            ["docs/operations.md: does not list the setting `batch_size`"]
        );
        let more = format!("{TABLE}| `redact` | | true |\n");
        assert_eq!(check(&more, KEYS), ["docs/operations.md: there is no setting `redact`"]);
    }

    #[test]
    fn another_environment_variable_fails() {
        let table = TABLE.replace("CANTINA_LOG_LISTEN", "LISTEN");
        let problem =
            "docs/operations.md: `listen` is read from `CANTINA_LOG_LISTEN`, not from `LISTEN`";
        assert_eq!(check(&table, KEYS), [problem]);
    }

    #[test]
    fn what_cannot_be_read_fails() {
        assert_eq!(check("", KEYS).len(), 1);
        assert_eq!(check(TABLE, "fn main() {}").len(), 1);
    }
}

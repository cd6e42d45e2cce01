//! The configuration file.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::SettingsError;

/// Tables whose keys are settings of their own: `retention.max_bytes`.
const TABLES: [&str; 2] = ["retention", "rate_limit"];

/// The file to read: the one that was named, or the user's own if there is one.
pub(super) fn path(named: Option<&Path>, env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if let Some(named) = named {
        return Some(named.to_owned());
    }
    let home = || Some(PathBuf::from(env("HOME")?).join(".config"));
    let config = env("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let path = config.or_else(home)?.join("cantina-log").join("config.toml");
    path.exists().then_some(path)
}

/// The settings in the file at `path`, with dotted keys for those in tables.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Value)>, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
    let table: Table =
        text.parse().map_err(|source| SettingsError::Syntax { path: path.to_owned(), source })?;
    let mut values = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) if TABLES.contains(&key.as_str()) => {
                values.extend(
                    inner.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)),
                );
            }
            value => values.push((key, value)),
        }
    }
    Ok(values)
}

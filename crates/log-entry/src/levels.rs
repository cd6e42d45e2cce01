//! Which records are wanted: a threshold for all, and one per logger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Level;

/// A global threshold, and exceptions for loggers and what is below them.
///
/// ```
/// use log_entry::{Level, Levels};
///
/// let levels = Levels::new(Level::Info).with("cantina_os.gpt_service", Level::Debug);
/// assert_eq!(levels.threshold("cantina_os.gpt_service.http"), Level::Debug);
/// assert_eq!(levels.threshold("cantina_os.gpt"), Level::Info);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// Records below this are not wanted.
    pub global: Level,
    /// Thresholds of single loggers, which hold for the loggers below them
    /// too; the longest name wins.
    #[serde(default)]
    pub loggers: BTreeMap<String, Level>,
}

impl Levels {
    /// The same threshold for every logger.
    pub const fn new(global: Level) -> Self {
        Self { global, loggers: BTreeMap::new() }
    }

    /// With another threshold for `logger` and what is below it.
    #[must_use]
    pub fn with(mut self, logger: impl Into<String>, level: Level) -> Self {
        self.loggers.insert(logger.into(), level);
        self
    }

    /// The lowest level wanted of `logger`.
    pub fn threshold(&self, logger: &str) -> Level {
        self.loggers
            .iter()
            .filter(|(name, _)| is_at_or_below(logger, name))
            .max_by_key(|(name, _)| name.len())
            .map_or(self.global, |(_, level)| *level)
    }

    /// The lowest level wanted of any logger.
    pub fn lowest(&self) -> Level {
        self.loggers.values().copied().fold(self.global, Level::min)
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self::new(Level::Info)
    }
}

/// Whether `logger` is `name` or stands below it, in Python's dotted names or
/// Rust's paths.
fn is_at_or_below(logger: &str, name: &str) -> bool {
    logger
        .strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_wins() {
        let levels = Levels::new(Level::Info)
            .with("cantina_os", Level::Warning)
            .with("cantina_os.gpt_service", Level::Debug);
        assert_eq!(levels.threshold("cantina_os.cli"), Level::Warning);
        assert_eq!(levels.threshold("cantina_os.gpt_service"), Level::Debug);
        assert_eq!(levels.threshold("cantina_osx"), Level::Info);
        assert_eq!(levels.threshold("httpx"), Level::Info);
        assert_eq!(levels.lowest(), Level::Debug);
    }
}

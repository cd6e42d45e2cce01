//! How important a record is: Python's five names, and Python's numbers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One of Python's five level names, in rising order.
///
/// ```
/// use log_entry::Level;
///
/// assert!(Level::Critical > Level::Error);
/// assert_eq!("Warn".parse(), Ok(Level::Warning));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// For whoever debugs the emitting program; also `tracing`'s TRACE.
    Debug,
    /// Something expected happened.
    Info,
    /// Something unexpected happened, and the program coped.
    Warning,
    /// Something failed.
    Error,
    /// The program may not be able to go on.
    Critical,
}

/// A name that is none of the level names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseLevelError(pub(crate) String);

/// Python's level number: 10 for DEBUG to 50 for CRITICAL, and anything
/// between or beyond that a program chose for itself.
///
/// ```
/// use log_entry::{Level, Severity};
///
/// assert_eq!(Severity::new(25).level(), Level::Info);
/// assert_eq!(Severity::TRACE.level(), Level::Debug);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Severity(u16);

// === impl Level ===

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Self; 5] =
        [Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The upper-case name, as Python and the session files write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }

    /// Python's number for exactly this level.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Debug => Severity(10),
            Self::Info => Severity(20),
            Self::Warning => Severity(30),
            Self::Error => Severity(40),
            Self::Critical => Severity(50),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = ParseLevelError;

    /// Accepts any case, and the names of `tracing`, Rust's `log` and syslog
    /// (`trace`, `warn`, `fatal`, `notice`, …).
    fn from_str(name: &str) -> Result<Self, ParseLevelError> {
        match name.trim().to_ascii_uppercase().as_str() {
            "TRACE" | "DEBUG" => Ok(Self::Debug),
            "INFO" | "NOTICE" => Ok(Self::Info),
            "WARNING" | "WARN" => Ok(Self::Warning),
            "ERROR" | "ERR" => Ok(Self::Error),
            "CRITICAL" | "FATAL" | "CRIT" | "ALERT" | "EMERG" => Ok(Self::Critical),
            _ => Err(ParseLevelError(name.to_owned())),
        }
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

// === impl ParseLevelError ===

impl fmt::Display for ParseLevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown level `{}`: expected DEBUG, INFO, WARNING, ERROR or CRITICAL", self.0)
    }
}

impl std::error::Error for ParseLevelError {}

// === impl Severity ===

impl Severity {
    /// `tracing`'s TRACE, which Python has no name for.
    pub const TRACE: Self = Self(5);

    /// The severity with Python's number; what does not fit is moved to the
    /// nearest that does.
    pub fn new(number: i64) -> Self {
        Self(u16::try_from(number.max(0)).unwrap_or(u16::MAX))
    }

    /// Python's number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The named level at or below this severity; DEBUG for anything lower.
    pub const fn level(self) -> Level {
        match self.0 {
            0..20 => Level::Debug,
            20..30 => Level::Info,
            30..40 => Level::Warning,
            40..50 => Level::Error,
            50.. => Level::Critical,
        }
    }
}

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        level.severity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_survives_its_name_and_its_number() {
        for level in Level::ALL {
            assert_eq!(level.as_str().parse(), Ok(level));
            assert_eq!(level.severity().level(), level);
        }
    }

    #[test]
    fn an_unknown_name_is_named() {
        let error = "loud".parse::<Level>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown level `loud`: expected DEBUG, INFO, WARNING, ERROR or CRITICAL"
        );
    }

    #[test]
    fn a_number_between_two_levels_takes_the_lower() {
        for (number, level) in [
            (-5, Level::Debug),
            (0, Level::Debug),
            (25, Level::Info),
            (35, Level::Warning),
            (99, Level::Critical),
            (i64::MAX, Level::Critical),
        ] {
            assert_eq!(Severity::new(number).level(), level, "{number}");
        }
    }
}

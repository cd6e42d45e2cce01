//! What the service can be told, and what it answers.

use log_entry::{Level, Levels};
use serde::{Deserialize, Serialize};

/// A command to the logging service, on the topic `logging.command`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Command {
    /// Changes the threshold of a logger and what is below it, or of all.
    SetLevel {
        /// The logger; none for all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        logger: Option<String>,
        /// The lowest level that is wanted from now on.
        level: Level,
        /// Who asks, for the session record.
        by: String,
    },
    /// Takes the exception for a logger back.
    ClearLevel {
        /// The logger.
        logger: String,
        /// Who asks, for the session record.
        by: String,
    },
}

/// The payload of `debug.set.global.level`: `{"level": "DEBUG"}`, in any case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetGlobalLevel {
    /// The lowest level that is wanted from now on.
    pub level: Level,
}

/// What holds now, on the topic `logging.status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggingStatus {
    /// The thresholds.
    pub levels: Levels,
}

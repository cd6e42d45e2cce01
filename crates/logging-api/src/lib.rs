//! What others say to the logging service, and hear from it.
//!
//! On the bus travel [`LOG_ENTRY`], [`LOG_REPEAT`] and [`DASHBOARD_LOG`] from
//! the service, [`LOGGING_COMMAND`] and [`SET_GLOBAL_LEVEL`] to it. What is too
//! large for a bus is asked of an [`Archive`]; how the service is, of its
//! [`Vitals`].
//!
//! ```
//! use logging_api::{Command, LOGGING_COMMAND};
//! use log_entry::Level;
//!
//! let command = Command::SetLevel { logger: None, level: Level::Debug, by: "cli".into() };
//! let json = serde_json::to_string(&command)?;
//! assert_eq!(json, r#"{"command":"set_level","level":"DEBUG","by":"cli"}"#);
//! assert_eq!(LOGGING_COMMAND.name(), "logging.command");
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! # What this crate does not know
//!
//! How any of it is done: no files, no ring, no sockets.

mod archive;
mod command;
mod dashboard_log;
#[cfg(test)]
mod tests;
mod topics;
mod vitals;

pub use archive::{
    Archive, ArchiveError, LIMIT_MAX, Page, Query, Range, SessionDetail, SessionSummary,
};
pub use command::{Command, LoggingStatus, SetGlobalLevel};
pub use dashboard_log::{DashboardLog, RepeatUpdate};
pub use topics::{
    DASHBOARD_LOG, ENTRY_NUMBER, LOG_ENTRY, LOG_REPEAT, LOGGING_COMMAND, LOGGING_STATUS,
    SET_GLOBAL_LEVEL,
};
pub use vitals::{
    BusVitals, Collected, Health, HealthStatus, Relayed, ServiceCounts, Stats, ViewCounts, Vitals,
};

//! The topics, each with what travels on it.

use bus::Topic;
use log_entry::LogEntry;

use crate::{Command, DashboardLog, LoggingStatus, RepeatUpdate, SetGlobalLevel};

/// Every entry that the views show, whole, in order of `seq`. Repeats of an
/// entry are not sent again but counted on [`LOG_REPEAT`].
pub const LOG_ENTRY: Topic<LogEntry> = Topic::new("logging.entry");

/// The header of an event on [`LOG_ENTRY`] that numbers those events: 1, 2, 3…
/// What is missing between two of them was lost on the way, whatever the `seq`
/// of the entries, which repeats and rate limits use up as well.
pub const ENTRY_NUMBER: &str = "Cantina-Entry-Number";

/// How often an entry that was sent has happened again, so far.
pub const LOG_REPEAT: Topic<RepeatUpdate> = Topic::new("logging.repeat");

/// The short form of [`LOG_ENTRY`] that CantinaOS's dashboard understands.
pub const DASHBOARD_LOG: Topic<DashboardLog> = Topic::new("/dashboard/log");

/// Commands to the logging service.
pub const LOGGING_COMMAND: Topic<Command> = Topic::new("logging.command");

/// The logging service's settings, after each change.
pub const LOGGING_STATUS: Topic<LoggingStatus> = Topic::new("logging.status");

/// CantinaOS's own topic for the level of everything.
pub const SET_GLOBAL_LEVEL: Topic<SetGlobalLevel> = Topic::new("debug.set.global.level");

//! What the views are sent about an entry, besides the entry.

use log_entry::{EntryId, Level, LogEntry, SessionId, Severity, Timestamp, format_timestamp};
use serde::{Deserialize, Serialize};

/// The payload of `/dashboard/log`: six texts, and numbers for who wants them.
///
/// ```json
/// {"timestamp": "2026-11-22T16:04:22.123456Z", "level": "INFO", "service": "AI Assistant",
///  "message": "Received API response with status: 200",
///  "session_id": "cantina-session-20261122-160357", "entry_id": "01JD…",
///  "severity": 20, "seq": 12345, "service_key": "gpt_service", "repeats": 0}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DashboardLog {
    /// RFC 3339 with a zone.
    pub timestamp: String,
    /// The level's name.
    pub level: Level,
    /// The service's display name.
    pub service: String,
    /// The text; the traceback follows it on lines of its own.
    pub message: String,
    /// The session.
    pub session_id: SessionId,
    /// The entry's id.
    pub entry_id: EntryId,
    /// Python's number.
    pub severity: Severity,
    /// The entry's number in its session.
    pub seq: u64,
    /// The service's name on the bus.
    pub service_key: String,
    /// 0 for an entry; for the line that ends a window of repeats, how often
    /// the entry happened again.
    pub repeats: u64,
}

/// The payload of `logging.repeat`: a count so far, not a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepeatUpdate {
    /// The entry that happened again.
    pub of: EntryId,
    /// The number, in the session, of the latest occurrence.
    pub seq: u64,
    /// How often it happened again, so far.
    pub count: u64,
    /// When it happened last.
    pub last: Timestamp,
    /// Whether the window has closed: the next occurrence is a new entry.
    pub closed: bool,
}

// === impl DashboardLog ===

impl From<&LogEntry> for DashboardLog {
    fn from(entry: &LogEntry) -> Self {
        let message = match &entry.exception {
            Some(exception) => format!("{}\n{}", entry.message, exception.traceback),
            None => entry.message.clone(),
        };
        Self {
            timestamp: format_timestamp(&entry.timestamp),
            level: entry.level,
            service: entry.service.to_string(),
            message,
            session_id: entry.session_id.clone(),
            entry_id: entry.entry_id.clone(),
            severity: entry.severity,
            seq: entry.seq,
            service_key: entry.service_key.to_string(),
            repeats: entry.repeats,
        }
    }
}

//! What the logging service keeps: a record with its name, number and session.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::time::micros;
use crate::{
    EntryId, EscapedFormatter, Exception, Fields, Level, Origin, Record, Service, SessionId,
    Severity, Source, Timestamp,
};

/// A record that has been named, numbered and put into a session.
///
/// As JSON, on one line (absent values are left out):
///
/// ```json
/// {"seq": 12345, "entry_id": "01JD…", "timestamp": "2026-11-22T16:04:22.123456Z",
///  "received_at": "2026-11-22T16:04:22.123601Z", "level": "INFO", "severity": 20,
///  "service": "AI Assistant", "service_key": "gpt_service",
///  "logger": "cantina_os.gpt_service", "message": "Received API response with status: 200",
///  "session_id": "cantina-session-20261122-160357", "host": "r3x",
///  "source": {"file": "gpt_service.py", "line": 412}, "repeats": 0}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Rises by one per entry within a session, without gaps.
    pub seq: u64,
    /// The same on every path.
    pub entry_id: EntryId,
    /// When it was logged, by the emitter's clock.
    #[serde(with = "micros")]
    pub timestamp: Timestamp,
    /// When it reached us, by our clock.
    #[serde(with = "micros")]
    pub received_at: Timestamp,
    /// The named level at or below the severity.
    pub level: Level,
    /// Python's number.
    pub severity: Severity,
    /// The service's display name: `AI Assistant`.
    #[serde(deserialize_with = "shared_str")]
    pub service: Arc<str>,
    /// The service's name on the bus: `gpt_service`.
    #[serde(deserialize_with = "shared_str")]
    pub service_key: Arc<str>,
    /// The name of the logger.
    pub logger: String,
    /// The rendered text.
    pub message: String,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// The host it was logged on.
    #[serde(deserialize_with = "shared_str")]
    pub host: Arc<str>,
    /// Where it comes from, if another logging service took it in first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<Origin>>,
    /// Where in the program it was logged.
    #[serde(default, skip_serializing_if = "Source::is_empty")]
    pub source: Source,
    /// The exception that was logged with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<Exception>,
    /// Named values beside the message.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub fields: Fields,
    /// How often it happened again and was folded into this entry.
    #[serde(default)]
    pub repeats: u64,
}

/// What the logging service adds to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The number of the entry in its session.
    pub seq: u64,
    /// Its id.
    pub entry_id: EntryId,
    /// Its service.
    pub service: Service,
    /// Its session.
    pub session_id: SessionId,
    /// The host, for a record that names none.
    pub host: Arc<str>,
}

// === impl LogEntry ===

impl LogEntry {
    /// Makes an entry of a record. Only the logging service does this: only it
    /// knows the session and the next number.
    pub fn new(record: Record, stamp: Stamp) -> Self {
        Self {
            seq: stamp.seq,
            entry_id: stamp.entry_id,
            timestamp: record.timestamp,
            received_at: record.received_at,
            level: record.severity.level(),
            severity: record.severity,
            service: stamp.service.name,
            service_key: stamp.service.key,
            logger: record.logger,
            message: record.message,
            session_id: stamp.session_id,
            host: record.host.unwrap_or(stamp.host),
            origin: record.origin,
            source: record.source,
            exception: record.exception,
            fields: record.fields,
            repeats: 0,
        }
    }

    /// The entry as one line of JSON without a line break, with every
    /// character escaped that a terminal or an editor would act on.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(256 + self.message.len());
        let mut serializer = serde_json::Serializer::with_formatter(&mut json, EscapedFormatter);
        self.serialize(&mut serializer).expect("an entry has no maps with keys other than text");
        json
    }
}

/// `Arc<str>` from JSON, by way of a `String` (serde's own impl would do the
/// same; naming it keeps the feature list of dependents short).
fn shared_str<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    String::deserialize(deserializer).map(Arc::from)
}

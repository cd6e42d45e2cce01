//! What a source saw.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::micros;
use crate::{EntryId, Service, SessionId, Severity, Timestamp};

/// Named values beside the message (Python's `extra`, `tracing`'s fields).
pub type Fields = Map<String, Value>;

/// One log record as a source saw it, before the logging service stamps it.
///
/// ```
/// use log_entry::{Level, Record, timestamp_from_epoch};
///
/// let now = timestamp_from_epoch(1_750_000_000.0).unwrap();
/// let record = Record::new(now, Level::Info, "cantina_os.cli", "ready");
/// assert_eq!(record.severity.number(), 20);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When it was logged, by the emitter's clock.
    pub timestamp: Timestamp,
    /// When the source received it, by our clock.
    pub received_at: Timestamp,
    /// Python's number.
    pub severity: Severity,
    /// The name of the logger: `cantina_os.gpt_service`, or a `tracing` target.
    pub logger: String,
    /// The service it belongs to, if that is known already; else it is found by
    /// the logger.
    pub service: Option<Service>,
    /// The rendered text; may have several lines.
    pub message: String,
    /// The id the emitter gave it, if it gives ids.
    pub entry_id: Option<EntryId>,
    /// Who emitted it, if it says so, and which of its records this is.
    pub emitter: Option<Emitter>,
    /// The host it was logged on, if not ours.
    pub host: Option<Arc<str>>,
    /// Where it comes from, if another logging service took it in first.
    pub origin: Option<Box<Origin>>,
    /// Where in the program it was logged.
    pub source: Source,
    /// The exception that was logged with it.
    pub exception: Option<Exception>,
    /// Named values beside the message.
    pub fields: Fields,
}

/// One producing handler: it numbers its records 1, 2, ….
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitter {
    /// Host, process and boot of the handler, as one name.
    pub source_id: Arc<str>,
    /// The number of this record among the emitter's.
    pub seq: u64,
}

/// Where a record comes from that another logging service took in first: that
/// service, and what the record is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The other service's instance: `r3x-5f3a9c12`.
    pub id: Arc<str>,
    /// Its session there.
    pub session_id: SessionId,
    /// Its number in that session.
    pub seq: u64,
    /// When the other service received it, by the clock over there.
    #[serde(with = "micros")]
    pub received_at: Timestamp,
}

/// Where in a program a record was logged; what is unknown is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// The file, as the program names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The thread's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The asynchronous task's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// An exception with its traceback, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exception {
    /// The class: `ValueError`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The whole traceback, with its line breaks.
    pub traceback: String,
}

// === impl Record ===

impl Record {
    /// A record logged and received at `now`, with nothing but its message.
    pub fn new(
        now: Timestamp,
        severity: impl Into<Severity>,
        logger: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            timestamp: now,
            received_at: now,
            severity: severity.into(),
            logger: logger.into(),
            message: message.into(),
            service: None,
            entry_id: None,
            emitter: None,
            host: None,
            origin: None,
            source: Source::default(),
            exception: None,
            fields: Fields::new(),
        }
    }

    /// About how much memory this record takes, in bytes; what bounded queues
    /// count.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.logger.len()
            + self.message.len()
            + self.source.bytes()
            + self.host.as_ref().map_or(0, |host| host.len())
            + self.service.as_ref().map_or(0, |service| service.key.len() + service.name.len())
            + self.origin.as_ref().map_or(0, |origin| size_of::<Origin>() + origin.id.len())
            + self.emitter.as_ref().map_or(0, |emitter| emitter.source_id.len())
            + self.exception.as_ref().map_or(0, Exception::bytes)
            + self.fields.iter().map(|(name, value)| name.len() + value_bytes(value)).sum::<usize>()
    }
}

// === impl Source ===

impl Source {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn bytes(&self) -> usize {
        let Self { file, function, thread, task, .. } = self;
        [file, function, thread, task].into_iter().flatten().map(String::len).sum()
    }
}

// === impl Exception ===

impl Exception {
    /// An exception read from its traceback: the last line of one names the
    /// class and the message.
    ///
    /// ```
    /// use log_entry::Exception;
    ///
    /// let text = "Traceback (most recent call last):\n  File \"a.py\", line 1\nValueError: no";
    /// let exception = Exception::from_traceback(text);
    /// assert_eq!(exception.kind.as_deref(), Some("ValueError"));
    /// assert_eq!(exception.message.as_deref(), Some("no"));
    /// assert_eq!(exception.traceback, text);
    /// ```
    pub fn from_traceback(traceback: impl Into<String>) -> Self {
        let traceback = traceback.into();
        // The message may have lines of its own, so the class is looked for on
        // the first unindented line after the last frame.
        let last_frame = traceback.rfind("\n  File ").map_or(0, |at| at + 1);
        let line = traceback[last_frame..].lines().skip(1).find(|line| !line.starts_with(' '));
        let (kind, message) = match line.map(|line| line.split_once(": ").unwrap_or((line, ""))) {
            Some((kind, message)) if is_class(kind) => {
                (Some(kind.to_owned()), Some(message.to_owned()).filter(|text| !text.is_empty()))
            }
            _ => (None, None),
        };
        Self { kind, message, traceback }
    }

    fn bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.traceback.len() + text(&self.kind) + text(&self.message)
    }
}

/// Whether `name` can be a class, with or without its modules.
fn is_class(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.')
}

fn value_bytes(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(value_bytes).sum(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Level, timestamp_from_epoch};

    #[test]
    fn every_text_of_a_record_counts() {
        let now = timestamp_from_epoch(1_750_000_000.0).unwrap();
        let mut record = Record::new(now, Level::Info, "logger", "message");
        let before = record.bytes();
        let text = || Some("x".repeat(600));
        record.source = Source {
            file: text(),
            function: text(),
            thread: text(),
            task: text(),
            ..record.source
        };
        record.host = text().map(Into::into);
        record.emitter = text().map(|text| Emitter { source_id: text.into(), seq: 1 });
        record.service = text().map(|text| Service::new(text.clone(), text));
        assert_eq!(record.bytes(), before + 8 * 600);
    }
}

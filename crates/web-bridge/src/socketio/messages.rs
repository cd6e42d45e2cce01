//! What clients are sent.

use log_entry::Level;
use logging_api::{DASHBOARD_LOG, DashboardLog};
use serde::Serialize;

use crate::config::DashboardEvent;
use crate::iso_now;

/// CantinaOS's envelope around what comes from its bus.
#[derive(Debug, Serialize)]
pub(crate) struct Envelope<T> {
    topic: &'static str,
    data: T,
    /// When it was sent.
    timestamp: String,
    /// Whether a schema was checked, which CantinaOS does for its music and voice only.
    validated: bool,
}

/// An entry in either of its events.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum LogMessage<'a> {
    Enveloped(Envelope<ShownLog<'a>>),
    Event { event: &'static str, data: EventLog<'a> },
}

/// The data of a `system_log`.
#[derive(Debug, Serialize)]
pub(crate) struct ShownLog<'a> {
    level: Level,
    /// The level that `level` stands for, if it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    true_level: Option<Level>,
    timestamp: &'a str,
    service: &'a str,
    message: &'a str,
    session_id: &'a str,
    entry_id: String,
    severity: u16,
    seq: u64,
    service_key: &'a str,
    repeats: u64,
}

/// The data of a `cantina_event`.
#[derive(Debug, Serialize)]
pub(crate) struct EventLog<'a> {
    topic: &'static str,
    #[serde(flatten)]
    log: ShownLog<'a>,
}

/// Whether a client shows entries of all five levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Levels {
    AllFive,
    /// Not CRITICAL: it is sent as ERROR.
    UpToError,
}

// === impl Envelope ===

impl<T> Envelope<T> {
    pub(crate) fn new(topic: &'static str, data: T) -> Self {
        Self { topic, data, timestamp: iso_now(), validated: false }
    }
}

// === impl LogMessage ===

impl<'a> LogMessage<'a> {
    /// The event's name, and what it carries.
    pub(crate) fn new(
        log: &'a DashboardLog,
        levels: Levels,
        event: DashboardEvent,
    ) -> (&'static str, Self) {
        let log = ShownLog::new(log, levels);
        match event {
            DashboardEvent::SystemLog => {
                ("system_log", Self::Enveloped(Envelope::new(DASHBOARD_LOG.name(), log)))
            }
            DashboardEvent::CantinaEvent => {
                let (event, topic) = ("cantina_event", "system_log");
                (event, Self::Event { event, data: EventLog { topic, log } })
            }
        }
    }
}

// === impl ShownLog ===

impl<'a> ShownLog<'a> {
    fn new(log: &'a DashboardLog, levels: Levels) -> Self {
        let is_shown = log.level < Level::Critical || levels == Levels::AllFive;
        Self {
            level: if is_shown { log.level } else { Level::Error },
            true_level: (!is_shown).then_some(log.level),
            timestamp: &log.timestamp,
            service: &log.service,
            message: &log.message,
            session_id: log.session_id.as_str(),
            entry_id: log.entry_id.to_string(),
            severity: log.severity.number(),
            seq: log.seq,
            service_key: &log.service_key,
            repeats: log.repeats,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{SESSION, entry_at};
    use serde_json::{Value, json};

    fn message(level: Level, levels: Levels, event: DashboardEvent) -> (&'static str, Value) {
        let log = DashboardLog::from(&entry_at(7, level));
        let (event, message) = LogMessage::new(&log, levels, event);
        (event, serde_json::to_value(message).unwrap())
    }

    #[test]
    fn an_entry_is_sent_in_the_envelope_of_the_existing_bridge() {
        let (event, mut json) = message(Level::Info, Levels::UpToError, DashboardEvent::SystemLog);
        let sent = json.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(sent.as_str().unwrap()).is_ok(), "{sent}");
        assert_eq!(event, "system_log");
        let data = json!({
            "timestamp": "2026-11-22T16:04:22.500000Z", "level": "INFO", "service": "AI Assistant",
            "message": "message 7", "session_id": SESSION, "entry_id": "entry-7",
            "severity": 20, "seq": 7, "service_key": "gpt_service", "repeats": 0,
        });
        assert_eq!(json, json!({"topic": "/dashboard/log", "data": data, "validated": false}));
    }

    #[test]
    fn a_level_that_the_dashboard_hides_is_sent_as_one_that_it_shows() {
        let (_, json) = message(Level::Critical, Levels::UpToError, DashboardEvent::SystemLog);
        assert_eq!(json["data"]["level"], "ERROR");
        assert_eq!(
            (&json["data"]["true_level"], &json["data"]["severity"]),
            (&json!("CRITICAL"), &json!(50))
        );
        let (_, json) = message(Level::Critical, Levels::AllFive, DashboardEvent::SystemLog);
        assert_eq!(
            (&json["data"]["level"], &json["data"]["true_level"]),
            (&json!("CRITICAL"), &Value::Null)
        );
    }

    #[test]
    fn the_other_event_has_the_shape_of_the_requirements() {
        let (event, json) = message(Level::Info, Levels::AllFive, DashboardEvent::CantinaEvent);
        assert_eq!((event, &json["event"]), ("cantina_event", &json!("cantina_event")));
        assert_eq!(json["data"]["topic"], "system_log");
        assert_eq!(json["data"]["message"], "message 7");
    }
}

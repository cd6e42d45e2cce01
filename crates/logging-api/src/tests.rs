//! The golden files in `fixtures/`: what each message looks like, for the
//! programs that read them in other languages too.

use std::fmt::Debug;

use log_entry::{
    Exception, LogEntry, Record, Service, Severity, Source, Stamp, TextLine, Timestamp,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Command, DashboardLog, RepeatUpdate, SetGlobalLevel};

fn fixture(name: &str) -> String {
    let path = format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// `value` is what the file says, and the file reads back as `value`.
#[track_caller]
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let golden: Value = serde_json::from_str(&fixture(name)).unwrap();
    assert_eq!(serde_json::to_value(value).unwrap(), golden, "{name}");
    assert_eq!(&serde_json::from_value::<T>(golden).unwrap(), value, "{name}");
}

fn entry() -> LogEntry {
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let mut record = Record::new(
        time("2026-11-22T16:04:22.123456Z"),
        Severity::new(35),
        "cantina_os.gpt_service",
        "Error processing:\n\u{1b}[31m429\u{1b}[0m \u{202e}→ retry",
    );
    record.received_at = time("2026-11-22T16:04:22.123601Z");
    record.source = Source {
        file: Some("gpt_service.py".into()),
        line: Some(412),
        function: Some("_get_gpt_response".into()),
        thread: Some("MainThread".into()),
        task: None,
        pid: Some(811),
    };
    record.exception = Some(Exception::from_traceback(
        "Traceback (most recent call last):\n  File \"gpt_service.py\", line 453, in _get\n    \
         raise ApiError(text)\ncantina.ApiError: status 429: {\n  \"error\": 1\n}",
    ));
    record.fields.insert("plan_id".into(), json!("p-1"));
    LogEntry::new(
        record,
        Stamp {
            seq: 12345,
            entry_id: "01JD9Z3Q7V8W9X0Y1Z2A3B4C5D".parse().unwrap(),
            service: Service::new("gpt_service", "AI Assistant"),
            session_id: "cantina-session-20261122-160357".parse().unwrap(),
            host: "r3x".into(),
        },
    )
}

#[test]
fn an_entry_is_what_the_fixture_shows() {
    check("entry.json", &entry());
    let json = entry().to_json();
    assert_eq!(String::from_utf8(json).unwrap(), fixture("entry.line.json").trim_end());
}

#[test]
fn a_line_for_people_is_what_the_fixture_shows() {
    let line = TextLine::new(&entry(), &chrono::Utc).to_string();
    assert_eq!(line, fixture("entry.log").trim_end());
}

#[test]
fn the_messages_are_what_the_fixtures_show() {
    check("dashboard_log.json", &DashboardLog::from(&entry()));
    check(
        "repeat_update.json",
        &RepeatUpdate {
            of: entry().entry_id,
            seq: 12400,
            count: 14,
            last: entry().timestamp,
            closed: true,
        },
    );
    let by = "cli".to_owned();
    let logger = Some("cantina_os.gpt_service".to_owned());
    let level = log_entry::Level::Debug;
    check("set_level.json", &Command::SetLevel { logger, level, by });
    check("set_global_level.json", &SetGlobalLevel { level });
}

#[test]
fn a_level_is_understood_in_any_case() {
    let read: SetGlobalLevel = serde_json::from_str(r#"{"level": "debug"}"#).unwrap();
    assert_eq!(read.level, log_entry::Level::Debug);
}

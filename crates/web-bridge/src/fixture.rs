//! Entries for tests.

use std::collections::BTreeMap;

use log_entry::{
    EntryId, Level, LogEntry, Origin, Record, Service, SessionId, Stamp, timestamp_from_epoch,
};
use logging_api::{BusVitals, Stats, ViewCounts};

pub(crate) const SESSION: &str = "cantina-session-20261122-160357";

/// An entry of the test session.
pub(crate) fn entry(seq: u64) -> LogEntry {
    entry_at(seq, Level::Info)
}

pub(crate) fn entry_at(seq: u64, level: Level) -> LogEntry {
    let now = timestamp_from_epoch(1_795_363_462.5).unwrap();
    let record = Record::new(now, level, "cantina_os.gpt_service", format!("message {seq}"));
    let stamp = Stamp {
        seq,
        entry_id: id(seq),
        service: Service::new("gpt_service", "AI Assistant"),
        session_id: session(),
        host: "r3x".into(),
    };
    LogEntry::new(record, stamp)
}

/// An entry of another host, with the `seq` it has here.
pub(crate) fn entry_from(host: &str, seq: u64) -> LogEntry {
    let entry = entry(seq);
    let origin = Origin {
        id: format!("{host}-5f3a9c12").into(),
        session_id: "cantina-session-20261101-120000".parse().unwrap(),
        seq: seq + 1_000_000,
        received_at: entry.received_at,
    };
    LogEntry { host: host.into(), origin: Some(Box::new(origin)), ..entry }
}

pub(crate) fn id(seq: u64) -> EntryId {
    format!("entry-{seq}").parse().unwrap()
}

pub(crate) fn session() -> SessionId {
    SESSION.parse().unwrap()
}

/// Counts of an hour, a minute and a second.
pub(crate) fn stats() -> Stats {
    Stats {
        session_id: session(),
        uptime_s: 3661.0,
        last_seq: 3,
        received: 5,
        stored: 3,
        merged: 1,
        filtered: 1,
        filtered_by: [("level".to_owned(), 1)].into(),
        dropped: [("malformed".to_owned(), 0)].into(),
        in_flight: 0,
        by_service: BTreeMap::new(),
        views: ViewCounts::default(),
        clients: 0,
        bus: BusVitals { state: "connected".into(), ..BusVitals::default() },
    }
}

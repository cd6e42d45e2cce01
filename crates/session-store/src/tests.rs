//! The crate from outside, on a real file system.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use log_entry::{DropReason, EntryId, Exception, Level, LogEntry, Record, Service, Source, Stamp};
use serde_json::json;

use crate::{Directory, Error, Header, Line, ReadLine, Sessions, Writer, verify};

mod damage;
mod following;
mod full;
mod golden;
mod pages;
mod retention;
mod writing;

/// A new directory for sessions, opened.
struct Fixture {
    directory: Directory,
    _root: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path().join("logs")).unwrap();
        Self { directory, _root: root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn sessions(&self) -> Sessions {
        self.directory.sessions()
    }

    async fn writer(&self) -> Writer<Utc> {
        self.directory.create_session(&time(0), header()).await.unwrap()
    }
}

/// `seconds` after the time that all tests begin at.
fn time(seconds: i64) -> DateTime<Utc> {
    "2026-11-22T16:03:57.000001Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

fn header() -> Header {
    Header { host: "r3x".into(), pid: 811, version: "0.1.0".into() }
}

fn id_of(seq: u64) -> EntryId {
    format!("{seq:026}").parse().unwrap()
}

fn entry(seq: u64, message: &str) -> Arc<LogEntry> {
    let at = time(i64::try_from(seq).unwrap());
    let record = Record::new(at, Level::Info, "cantina_os.gpt_service", message);
    Arc::new(LogEntry::new(
        record,
        Stamp {
            seq,
            entry_id: id_of(seq),
            service: Service::new("gpt_service", "AI Assistant"),
            session_id: "cantina-session-20261122-160357".parse().unwrap(),
            host: "r3x".into(),
        },
    ))
}

fn line(seq: u64, message: &str) -> Line {
    Line::entry(entry(seq, message))
}

fn repeat(of: u64, seq: u64) -> Line {
    let timestamp = time(i64::try_from(seq).unwrap());
    Line::Repeat { of: id_of(of), seq, timestamp, source: None }
}

fn loss(reason: DropReason, count: u64) -> Line {
    let by_service = BTreeMap::from([("gpt_service".to_owned(), count)]);
    Line::Loss { reason, count, first: time(1), last: time(2), by_service }
}

fn read(sessions: &Sessions, writer: &Writer<Utc>) -> Vec<ReadLine> {
    sessions.read(writer.id()).unwrap().collect::<Result<_, _>>().unwrap()
}

fn entries(lines: Vec<ReadLine>) -> Vec<LogEntry> {
    lines
        .into_iter()
        .filter_map(|line| match line {
            ReadLine::Entry(entry) => Some(*entry),
            _ => None,
        })
        .collect()
}

fn seqs(lines: Vec<ReadLine>) -> Vec<u64> {
    entries(lines).iter().map(|entry| entry.seq).collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

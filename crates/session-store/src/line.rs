//! One line of the record: JSON with `kind` first and a checksum last.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use log_entry::{
    DropReason, EntryId, EscapedFormatter, LogEntry, SessionId, Source, Timestamp, format_timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something to append to a session.
#[derive(Debug, Clone)]
pub enum Line {
    /// An entry.
    Entry {
        /// The entry, for the twin.
        entry: Arc<LogEntry>,
        /// The same as [`LogEntry::to_json`] gives it, for the record; encoded
        /// once, and shared with everyone else who needs it.
        json: Bytes,
    },
    /// A further occurrence of an entry. In the twin, it is folded.
    Repeat {
        /// The entry.
        of: EntryId,
        /// The number of the occurrence.
        seq: u64,
        /// When it was logged.
        timestamp: Timestamp,
        /// Where in the program, if elsewhere than the entry.
        source: Option<Source>,
    },
    /// How often an entry happened again: a line of the twin only, to append
    /// when no more repeats are folded into it.
    Folded {
        /// The entry.
        entry: Arc<LogEntry>,
        /// How often it happened again.
        count: u64,
        /// When it happened last.
        last: Timestamp,
    },
    /// Something was lost.
    Loss {
        /// Why.
        reason: DropReason,
        /// How many records.
        count: u64,
        /// When the first was lost.
        first: Timestamp,
        /// When the last was lost.
        last: Timestamp,
        /// How many of which service or source, as far as is known.
        by_service: BTreeMap<String, u64>,
    },
    /// A setting was changed while the service ran.
    Settings {
        /// Who changed it.
        who: String,
        /// Which setting.
        what: String,
        /// What it was.
        old: Value,
        /// What it is.
        new: Value,
        /// When.
        at: Timestamp,
    },
    /// The wall clock moved.
    ClockJump {
        /// When, by the clock after the jump.
        at: Timestamp,
        /// How far, in milliseconds; negative is back.
        by_ms: i64,
    },
}

/// A further occurrence of an entry, as read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Repeat {
    /// The entry.
    pub of: EntryId,
    /// The number of the occurrence.
    pub seq: u64,
    /// When it was logged.
    pub timestamp: Timestamp,
    /// Where in the program, if elsewhere than the entry.
    #[serde(default)]
    pub source: Option<Source>,
}

/// How many lines of which kind a segment has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) entries: u64,
    pub(crate) repeats: u64,
    pub(crate) losses: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_seq: Option<u64>,
}

/// The lines that are not entries, in the order of their keys.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Body<'a> {
    SessionStart {
        session_id: &'a SessionId,
        segment: u32,
        started_at: String,
        host: &'a str,
        pid: u32,
        version: &'a str,
        /// Why the session did not go on in the segment before.
        #[serde(skip_serializing_if = "Option::is_none")]
        because: Option<&'a str>,
    },
    Repeat {
        of: &'a EntryId,
        seq: u64,
        timestamp: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<&'a Source>,
    },
    Loss {
        reason: &'a str,
        count: u64,
        first: String,
        last: String,
        by_service: &'a BTreeMap<String, u64>,
    },
    Settings {
        who: &'a str,
        what: &'a str,
        old: &'a Value,
        new: &'a Value,
        at: String,
    },
    ClockJump {
        at: String,
        by_ms: i64,
    },
    Recovered {
        torn_bytes: u64,
        offset: u64,
    },
    SegmentEnd {
        segment: u32,
        next: u32,
        #[serde(flatten)]
        counts: Counts,
    },
    SessionEnd {
        ended_at: String,
        segment: u32,
        #[serde(flatten)]
        counts: Counts,
        ledger: &'a Value,
    },
}

/// A line as read.
#[derive(Debug)]
pub(crate) enum Parsed {
    Entry(Box<LogEntry>),
    Repeat(Repeat),
    Other(Value),
}

/// Lines ready to be written.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
}

pub(crate) const ENTRY: &[u8] = b"{\"kind\":\"entry\",";
const REPEAT: &[u8] = b"{\"kind\":\"repeat\",";
/// What every line starts with.
pub(crate) const START: &[u8] = b"{\"kind\":\"";
const CRC: &[u8] = b",\"crc\":\"";
/// `,"crc":"01234567"}`
pub(crate) const SEAL_LENGTH: usize = CRC.len() + 8 + 2;
/// What is written at once: more may be torn in the middle when the process is
/// killed.
const CHUNK_MAX: usize = 64 * 1024;

// === impl Line ===

impl Line {
    /// The line for `entry`.
    pub fn entry(entry: Arc<LogEntry>) -> Self {
        let json = entry.to_json().into();
        Self::Entry { entry, json }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Entry { entry, json } => push_entry(out, entry, json),
            Self::Repeat { of, seq, timestamp, source } => {
                let timestamp = format_timestamp(timestamp);
                Body::Repeat { of, seq: *seq, timestamp, source: source.as_ref() }.encode(out);
            }
            Self::Folded { .. } => {}
            Self::Loss { reason, count, first, last, by_service } => {
                let (first, last) = (format_timestamp(first), format_timestamp(last));
                let reason = reason.as_str();
                Body::Loss { reason, count: *count, first, last, by_service }.encode(out);
            }
            Self::Settings { who, what, old, new, at } => {
                Body::Settings { who, what, old, new, at: format_timestamp(at) }.encode(out);
            }
            Self::ClockJump { at, by_ms } => {
                Body::ClockJump { at: format_timestamp(at), by_ms: *by_ms }.encode(out);
            }
        }
    }
}

// === impl Body ===

impl Body<'_> {
    /// Adds the line to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let mut serializer = serde_json::Serializer::with_formatter(&mut *out, EscapedFormatter);
        self.serialize(&mut serializer).expect("a line has no maps with keys other than text");
        out.pop();
        seal(out, start);
    }
}

// === impl Counts ===

impl Counts {
    pub(crate) fn count(&mut self, line: &Line) {
        match line {
            Line::Entry { entry, .. } => {
                self.entries += 1;
                self.first_seq.get_or_insert(entry.seq);
                self.last_seq = Some(entry.seq);
            }
            Line::Repeat { .. } => self.repeats += 1,
            Line::Loss { .. } => self.losses += 1,
            Line::Folded { .. } | Line::Settings { .. } | Line::ClockJump { .. } => {}
        }
    }
}

// === impl Batch ===

impl Batch {
    pub(crate) fn encode(&mut self, lines: &[Line]) {
        self.bytes.clear();
        self.ends.clear();
        for line in lines {
            line.encode(&mut self.bytes);
            self.ends.push(self.bytes.len());
        }
    }

    pub(crate) fn of(body: &Body<'_>) -> Self {
        let mut bytes = Vec::new();
        body.encode(&mut bytes);
        Self { ends: vec![bytes.len()], bytes }
    }

    /// How many lines the first `length` bytes hold.
    pub(crate) fn lines_within(&self, length: usize) -> usize {
        self.ends.partition_point(|&end| end <= length)
    }

    /// Where the line starts in which the first `length` bytes end.
    pub(crate) fn line_start(&self, length: usize) -> usize {
        self.lines_within(length).checked_sub(1).map_or(0, |last| self.ends[last])
    }

    /// Where the chunk that starts at `from` ends: where a line does, unless
    /// one alone is longer than a chunk.
    pub(crate) fn chunk_end(&self, from: usize) -> usize {
        let limit = (from + CHUNK_MAX).min(self.bytes.len());
        let border = self.line_start(limit);
        if border > from { border } else { limit }
    }
}

fn push_entry(out: &mut Vec<u8>, entry: &LogEntry, json: &[u8]) {
    // Only one object on one line may get in, whatever the caller hands over.
    let is_sound =
        json.len() > 2 && json.starts_with(b"{") && json.ends_with(b"}") && !json.contains(&b'\n');
    if !is_sound {
        return push_entry(out, entry, &entry.to_json());
    }
    let start = out.len();
    out.extend_from_slice(ENTRY);
    out.extend_from_slice(&json[1..json.len() - 1]);
    seal(out, start);
}

/// Ends the line that began at `start`.
fn seal(out: &mut Vec<u8>, start: usize) {
    let crc = crc32c::crc32c(&out[start..]);
    writeln!(out, ",\"crc\":\"{crc:08x}\"}}").expect("writing to memory does not fail");
}

/// Whether `line`, without its line feed, is as it was written.
pub(crate) fn is_sound(line: &[u8]) -> bool {
    let Some(length) = line.len().checked_sub(SEAL_LENGTH) else { return false };
    let (text, found) = line.split_at(length);
    let crc = crc32c::crc32c(text);
    line.starts_with(START) && found == format!(",\"crc\":\"{crc:08x}\"}}").as_bytes()
}

/// What a line says, if it is sound.
pub(crate) fn parse(line: &[u8]) -> Option<Parsed> {
    if !is_sound(line) {
        return None;
    }
    let known = if is_entry(line) {
        serde_json::from_slice(line).map(|entry| Parsed::Entry(Box::new(entry))).ok()
    } else if is_repeat(line) {
        serde_json::from_slice(line).map(Parsed::Repeat).ok()
    } else {
        None
    };
    // What a later version may have written is whole, if not understood.
    known.or_else(|| serde_json::from_slice(line).map(Parsed::Other).ok())
}

/// The number of the entry in a line, without reading the rest of it.
pub(crate) fn entry_seq(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(ENTRY)?.strip_prefix(b"\"seq\":")?;
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

pub(crate) fn is_entry(line: &[u8]) -> bool {
    line.starts_with(ENTRY)
}

pub(crate) fn is_repeat(line: &[u8]) -> bool {
    line.starts_with(REPEAT)
}

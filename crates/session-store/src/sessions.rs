//! Finding sessions, to read them. None of this takes the lock: sessions are
//! read while they are written.

use std::path::{Path, PathBuf};

use log_entry::{SessionId, Timestamp};
use serde_json::Value;

use crate::line::{Parsed, parse};
use crate::name::{self, Files, Name, Part};
use crate::raw::RawLines;
use crate::{Error, Reader, file};

/// The sessions of a directory, to read. Every call blocks.
#[derive(Debug, Clone)]
pub struct Sessions {
    path: PathBuf,
}

/// What is known of a session from the first and last lines of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its name.
    pub id: SessionId,
    /// How many segments its record has.
    pub segments: u32,
    /// How many bytes record and twin have.
    pub bytes: u64,
    /// When it began; unknown if its first line is not sound.
    pub started_at: Option<Timestamp>,
    /// When it ended; a session that goes on, or was killed, has no end.
    pub ended_at: Option<Timestamp>,
    /// The time of the last line that has one.
    pub last_at: Option<Timestamp>,
    /// Whether it is kept whatever the limits say.
    pub is_pinned: bool,
}

const HEAD_MAX: u64 = 16 << 10;
const TAIL_MAX: u64 = 64 << 10;

// === impl Sessions ===

impl Sessions {
    /// The sessions in the directory at `path`, which need not exist yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All sessions, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the directory cannot be listed.
    pub fn list(&self) -> Result<Vec<SessionInfo>, Error> {
        let mut sessions: Vec<_> =
            name::find(&self.path)?.iter().map(|(id, files)| self.info(id, files)).collect();
        sessions.sort_by_key(SessionInfo::age);
        Ok(sessions)
    }

    /// The lines of a session.
    ///
    /// # Errors
    ///
    /// [`Error::NoSession`] if there is none of that name, [`Error::Read`] if
    /// it cannot be read.
    pub fn read(&self, session: &SessionId) -> Result<Reader, Error> {
        self.raw(session).map(Reader::new)
    }

    pub(crate) fn raw(&self, session: &SessionId) -> Result<RawLines, Error> {
        let no_session = || Error::NoSession { session: session.clone(), path: self.path.clone() };
        let files = match name::find(&self.path) {
            Err(error) if error.is_not_found() => return Err(no_session()),
            found => found?.remove(session).ok_or_else(no_session)?,
        };
        RawLines::open(&self.path, session, &files.segments)
    }

    pub(crate) fn info(&self, id: &SessionId, files: &Files) -> SessionInfo {
        let record = |number: &u32| Name::new(id, *number, Part::Record).within(&self.path);
        let first = files.segments.first().map(record);
        let last = files.segments.last().map(record);
        let (ended_at, last_at) = last.map(|path| read_end(&path)).unwrap_or_default();
        SessionInfo {
            id: id.clone(),
            segments: u32::try_from(files.segments.len()).unwrap_or(u32::MAX),
            bytes: files.bytes,
            started_at: first.and_then(|path| read_start(&path, id)),
            ended_at,
            last_at,
            is_pinned: files.is_pinned,
        }
    }
}

// === impl SessionInfo ===

impl SessionInfo {
    /// What sessions are ordered by.
    fn age(&self) -> (Timestamp, u32, SessionId) {
        let (named, number) = self.id.started();
        (self.started_at.unwrap_or(named.and_utc()), number, self.id.clone())
    }
}

/// When the session began, if the file starts as one of ours does.
pub(crate) fn read_start(path: &Path, id: &SessionId) -> Option<Timestamp> {
    let head = file::head(path, HEAD_MAX).ok()?;
    let line = head.split(|&byte| byte == b'\n').next()?;
    match parse(line)? {
        Parsed::Other(start) if start["kind"] == "session_start" => {
            (start["session_id"] == id.as_str()).then(|| time(&start, "started_at")).flatten()
        }
        _ => None,
    }
}

/// When the session ended, and the last time in the file.
fn read_end(path: &Path) -> (Option<Timestamp>, Option<Timestamp>) {
    let Ok((_, tail)) = file::tail(path, TAIL_MAX) else { return (None, None) };
    let complete = tail.iter().rposition(|&byte| byte == b'\n').map_or(&[][..], |end| &tail[..end]);
    let mut lines = complete.rsplit(|&byte| byte == b'\n').filter_map(parse).peekable();
    let ended_at = match lines.peek() {
        Some(Parsed::Other(end)) if end["kind"] == "session_end" => time(end, "ended_at"),
        _ => None,
    };
    let last_at = lines.find_map(|line| match line {
        Parsed::Entry(entry) => Some(entry.received_at),
        Parsed::Repeat(repeat) => Some(repeat.timestamp),
        Parsed::Other(line) => {
            ["ended_at", "at", "last", "started_at"].iter().find_map(|key| time(&line, key))
        }
    });
    (ended_at, last_at)
}

fn time(line: &Value, key: &str) -> Option<Timestamp> {
    line[key].as_str()?.parse().ok()
}

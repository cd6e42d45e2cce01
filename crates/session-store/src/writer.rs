//! Writing one session.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Local, TimeZone};
use log_entry::{SessionId, Timestamp, format_timestamp};
use serde_json::Value;

use crate::directory::Lock;
use crate::line::{Batch, Body};
use crate::name::{Name, Part};
use crate::segment::{Cut, Segment};
use crate::twin::Twin;
use crate::{Error, Line, file};

/// What the first line of every segment says beside its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The host that writes.
    pub host: String,
    /// The process that writes.
    pub pid: u32,
    /// The version of the program.
    pub version: String,
}

/// Writes a session: the record, and its readable twin with times in zone `Z`.
///
/// No future of a writer is cancel safe: one that is dropped before its end
/// may have written some of its lines without anyone knowing which.
#[derive(Debug)]
pub struct Writer<Z: TimeZone = Local> {
    lock: Arc<Lock>,
    id: SessionId,
    header: Header,
    started_at: Timestamp,
    segment: Segment,
    /// Bytes of the segments before.
    earlier_bytes: u64,
    twin: Twin<Z>,
    rotate_bytes: u64,
    batch: Batch,
    /// Why the next batch must not go to this segment.
    suspect: Option<Because>,
    rotation_error: Option<Error>,
}

/// Why a session goes on in a new segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Because {
    Size,
    ForeignHands,
    SyncFailed,
}

/// How many names are tried before giving up.
const NAMES_MAX: u32 = 1000;

// === impl Because ===

impl Because {
    fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::ForeignHands => "foreign_hands",
            Self::SyncFailed => "sync_failed",
        }
    }
}

// === impl Writer ===

impl<Z: TimeZone<Offset: fmt::Display>> Writer<Z> {
    /// The size at which a session goes on in the next segment, unless
    /// [`set_rotate_bytes`](Self::set_rotate_bytes) says otherwise: 64 MiB.
    pub const ROTATE_BYTES: u64 = 64 << 20;

    pub(crate) async fn create(
        lock: Arc<Lock>,
        started: &DateTime<Z>,
        header: Header,
    ) -> Result<Self, Error> {
        let started_at = started.to_utc();
        let (id, segment) = first_segment(&lock, started, &header).await?;
        let twin = Name::new(&id, 0, Part::Twin).within(&lock.path);
        let twin = Twin::new(started.timezone(), twin);
        Ok(Self {
            lock,
            id,
            header,
            started_at,
            segment,
            earlier_bytes: 0,
            twin,
            rotate_bytes: Self::ROTATE_BYTES,
            batch: Batch::default(),
            suspect: None,
            rotation_error: None,
        })
    }

    /// The session.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// How many bytes the record has, in all segments of this session.
    pub fn bytes(&self) -> u64 {
        self.earlier_bytes + self.segment.bytes()
    }

    /// How many bytes of the record may not survive a power cut.
    pub fn unsynced(&self) -> u64 {
        self.segment.unsynced()
    }

    /// Lets the session go on in a new segment whenever one has `bytes`. It
    /// is looked at before each batch.
    pub fn set_rotate_bytes(&mut self, bytes: u64) {
        self.rotate_bytes = bytes;
    }

    /// Why the twin is not up to date, if it is not. What it misses is written
    /// with a later batch, or left out with a note if that takes too long.
    pub fn twin_error(&self) -> Option<&Error> {
        self.twin.error()
    }

    /// How many times the twin could not be written.
    pub fn twin_failures(&self) -> u64 {
        self.twin.failures()
    }

    /// Why the session did not go on in a new segment, or why the segment
    /// before was not ended properly, at the last rotation.
    pub fn rotation_error(&self) -> Option<&Error> {
        self.rotation_error.as_ref()
    }

    /// Appends `lines` to the record, and then to the twin. On success all of
    /// them survive the death of this process; see [`sync`](Self::sync) for
    /// more than that.
    ///
    /// # Errors
    ///
    /// [`Error::Append`] says how many of the lines are in the record; append
    /// the rest again. [`Error::Create`] means none: a new segment was due,
    /// because the last one is gone or cannot be trusted. The twin never makes
    /// this fail.
    pub async fn append(&mut self, lines: &[Line]) -> Result<(), Error> {
        self.rotate().await?;
        let mut batch = std::mem::take(&mut self.batch);
        batch.encode(lines);
        let outcome = self.segment.append(&batch).await;
        self.batch = batch;
        let written = outcome.as_ref().map_or_else(|cut| cut.written, |()| lines.len());
        self.segment.count(&lines[..written]);
        self.twin.append(&lines[..written]).await;
        outcome.map_err(|Cut { written, source }| {
            let path = self.segment.path().to_owned();
            Error::Append { path, written, total: lines.len(), source }
        })
    }

    /// Makes what is written survive a power cut.
    ///
    /// # Errors
    ///
    /// Nothing since the last success may survive. The next batch goes to a
    /// new segment.
    pub async fn sync(&mut self) -> Result<(), Error> {
        let synced = self.segment.sync().await;
        synced.map_err(|source| {
            self.suspect = Some(Because::SyncFailed);
            Error::Sync { path: self.segment.path().to_owned(), source }
        })
    }

    /// Looks whether someone removed, replaced or shortened the files, and if
    /// so goes on in a new segment. Says whether it did.
    ///
    /// # Errors
    ///
    /// The new segment cannot be made; the next batch tries again.
    pub async fn check(&mut self) -> Result<bool, Error> {
        self.twin.check().await;
        let intact = self.segment.is_intact().await;
        let is_intact = intact.map_err(|source| {
            let path = self.segment.path().to_owned();
            Error::Read { path, source }
        })?;
        if is_intact {
            return Ok(false);
        }
        self.suspect = Some(Because::ForeignHands);
        self.rotate().await.map(|()| true)
    }

    /// Ends the session at `at`, with `ledger` as the last word on what became
    /// of every record, and syncs it.
    ///
    /// # Errors
    ///
    /// The session reads as one that was killed: all it has is there, but it
    /// has no end.
    pub async fn close(mut self, ledger: Value, at: Timestamp) -> Result<(), Error> {
        self.twin.sync().await;
        if self.suspect.is_some() {
            self.rotate().await?;
        }
        let end = Body::SessionEnd {
            ended_at: format_timestamp(&at),
            segment: self.segment.number,
            counts: self.segment.counts,
            ledger: &ledger,
        };
        self.segment.finish(&end).await
    }

    /// Goes on in a new segment, if there is a reason to.
    async fn rotate(&mut self) -> Result<(), Error> {
        if let Some(because) = self.suspect {
            self.begin(because).await?;
            self.suspect = None;
        } else if self.segment.bytes() >= self.rotate_bytes {
            // The old segment is as good as ever, if there is no new one.
            self.rotation_error = self.begin(Because::Size).await.err();
        }
        Ok(())
    }

    async fn begin(&mut self, because: Because) -> Result<(), Error> {
        let next = self.next_segment(because).await?;
        let mut old = std::mem::replace(&mut self.segment, next);
        let number = self.segment.number;
        self.twin
            .continue_at(Name::new(&self.id, number, Part::Twin).within(&self.lock.path))
            .await;
        // What others have had their hands on is evidence, and not touched.
        let ended = match because {
            Because::Size => {
                let (segment, counts) = (old.number, old.counts);
                old.finish(&Body::SegmentEnd { segment, next: number, counts }).await
            }
            Because::ForeignHands | Because::SyncFailed => Ok(()),
        };
        self.earlier_bytes += old.bytes();
        ended
    }

    async fn next_segment(&self, because: Because) -> Result<Segment, Error> {
        let mut number = self.segment.number + 1;
        loop {
            let path = Name::new(&self.id, number, Part::Record).within(&self.lock.path);
            let start = start(&self.id, number, self.started_at, &self.header, Some(because));
            match Segment::create(path.clone(), number, &start).await {
                Ok(segment) => return Ok(segment),
                Err(error) if is_taken(&error) && number < self.segment.number + NAMES_MAX => {
                    number += 1;
                }
                Err(error) if error.kind() == ErrorKind::NotFound && !self.has_directory() => {
                    file::make_directory(&self.lock.path)
                        .map_err(|source| Error::Create { path, source })?;
                }
                Err(source) => return Err(Error::Create { path, source }),
            }
        }
    }

    /// Writes to `file` from now on, so that a test can choose how it fails.
    #[cfg(test)]
    pub(crate) fn continue_in(&mut self, file: file::AppendFile) {
        self.segment = Segment::new(file, self.segment.number);
    }

    fn has_directory(&self) -> bool {
        file::is_directory(&self.lock.path)
    }
}

/// Makes the record of a session that began at `started`; the file system
/// decides which name is free.
async fn first_segment<Z: TimeZone>(
    lock: &Lock,
    started: &DateTime<Z>,
    header: &Header,
) -> Result<(SessionId, Segment), Error> {
    let mut number = 1;
    loop {
        let id = SessionId::new(started.naive_local(), number);
        let path: PathBuf = Name::new(&id, 0, Part::Record).within(&lock.path);
        let start = start(&id, 0, started.to_utc(), header, None);
        let has_twin = file::is_there(&Name::new(&id, 0, Part::Twin).within(&lock.path)).await;
        let created = if has_twin {
            Err(ErrorKind::AlreadyExists.into())
        } else {
            Segment::create(path.clone(), 0, &start).await
        };
        match created {
            Ok(segment) => return Ok((id, segment)),
            Err(error) if is_taken(&error) && number < NAMES_MAX => number += 1,
            Err(source) => return Err(Error::Create { path, source }),
        }
    }
}

fn start<'a>(
    session_id: &'a SessionId,
    segment: u32,
    started_at: Timestamp,
    header: &'a Header,
    because: Option<Because>,
) -> Body<'a> {
    Body::SessionStart {
        session_id,
        segment,
        started_at: format_timestamp(&started_at),
        host: &header.host,
        pid: header.pid,
        version: &header.version,
        because: because.map(Because::as_str),
    }
}

fn is_taken(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::AlreadyExists
}

//! The readable twin of a record: for people, and never a reason to fail.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{SecondsFormat, TimeZone};
use log_entry::{Level, LogEntry, RepeatNote, TextLine, Timestamp, is_unsafe};

use crate::file::AppendFile;
use crate::{Error, Line};

/// What a twin that cannot be written keeps for later.
const PENDING_MAX: usize = 1 << 20;
const CHUNK_MAX: usize = 64 * 1024;
/// How much of a folded message is shown, in characters.
const FOLDED_MAX: usize = 80;

#[derive(Debug)]
pub(crate) struct Twin<Z> {
    zone: Z,
    path: PathBuf,
    file: Option<AppendFile>,
    length: u64,
    /// Text that is not in the file yet.
    pending: Vec<u8>,
    /// Lines left out since `pending` was full.
    missing: u64,
    error: Option<Error>,
    failures: u64,
}

// === impl Twin ===

impl<Z: TimeZone<Offset: fmt::Display>> Twin<Z> {
    /// The twin at `path`, which is made with its first line.
    pub(crate) fn new(zone: Z, path: PathBuf) -> Self {
        let (pending, missing, failures) = (Vec::new(), 0, 0);
        Self { zone, path, file: None, length: 0, pending, missing, error: None, failures }
    }

    /// What went wrong at the last attempt.
    pub(crate) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// How many attempts failed.
    pub(crate) fn failures(&self) -> u64 {
        self.failures
    }

    /// Adds `lines`, and writes all that is pending.
    pub(crate) async fn append(&mut self, lines: &[Line]) {
        for line in lines {
            self.push(line);
        }
        self.write().await;
    }

    /// Goes on in another file.
    pub(crate) async fn continue_at(&mut self, path: PathBuf) {
        self.write().await;
        self.path = path;
        self.file = None;
        self.length = 0;
    }

    /// Makes a new file if ours was removed.
    pub(crate) async fn check(&mut self) {
        if let Some(file) = &self.file
            && matches!(file.is_intact(self.length).await, Ok(false))
            && !crate::file::is_there(&self.path).await
        {
            self.file = None;
            self.length = 0;
        }
    }

    /// Syncs what is written, if it can be.
    pub(crate) async fn sync(&mut self) {
        self.write().await;
        if let Some(file) = &self.file
            && let Err(source) = file.sync().await
        {
            let path = self.path.clone();
            self.fail(Error::Sync { path, source });
        }
    }

    fn push(&mut self, line: &Line) {
        if self.pending.len() >= PENDING_MAX {
            self.missing += 1;
            return;
        }
        let out = &mut self.pending;
        let written = match std::mem::take(&mut self.missing) {
            0 => Ok(()),
            missing => writeln!(out, "    … {missing} lines are missing; the record has them"),
        };
        written
            .and_then(|()| write_line(out, line, &self.zone))
            .expect("writing to memory does not fail");
    }

    async fn write(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if let Err(error) = self.try_write().await {
            self.fail(error);
        } else {
            self.error = None;
        }
    }

    async fn try_write(&mut self) -> Result<(), Error> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let created = AppendFile::create(self.path.clone()).await;
                let failed = |source| Error::Create { path: self.path.clone(), source };
                none.insert(created.map_err(failed)?)
            }
        };
        let total = self.pending.len();
        let mut written = 0;
        let mut outcome = Ok(());
        for chunk in self.pending.chunks(CHUNK_MAX) {
            outcome = file.append(chunk).await;
            if outcome.is_err() {
                let length = file.length().await.unwrap_or(self.length);
                let partial = usize::try_from(length.saturating_sub(self.length)).unwrap_or(0);
                written += partial.min(chunk.len());
                self.length = length.max(self.length);
                break;
            }
            written += chunk.len();
            self.length += chunk.len() as u64;
        }
        self.pending.drain(..written);
        let path = self.path.clone();
        outcome.map_err(|source| Error::Append { path, written, total, source })
    }

    fn fail(&mut self, error: Error) {
        self.error = Some(error);
        self.failures += 1;
    }
}

/// Writes what people see of `line`, if anything.
fn write_line<Z>(out: &mut Vec<u8>, line: &Line, zone: &Z) -> io::Result<()>
where
    Z: TimeZone<Offset: fmt::Display>,
{
    match line {
        Line::Entry { entry, .. } => writeln!(out, "{}", TextLine::new(entry, zone)),
        Line::Repeat { .. } => Ok(()),
        Line::Folded { entry, count, last } => {
            let folded = fold(entry, &RepeatNote { count: *count, last: *last, zone });
            writeln!(out, "{}", TextLine::new(&folded, zone))
        }
        Line::Loss { reason, count, first, last, by_service } => {
            let mut text = format!("{count} lost ({reason}) since {}", local(first, zone));
            for (service, count) in by_service {
                write!(text, ", {count} of {service}").expect("writing to memory does not fail");
            }
            write_notice(out, last, Level::Warning, &text, zone)
        }
        Line::Settings { who, what, old, new, at } => {
            let text = format!("{who} changed {what} from {old} to {new}");
            write_notice(out, at, Level::Info, &text, zone)
        }
        Line::ClockJump { at, by_ms } => {
            let text = format!("the wall clock moved by {by_ms} ms");
            write_notice(out, at, Level::Warning, &text, zone)
        }
    }
}

/// The entry that stands for the repeats of `entry`.
fn fold<Z>(entry: &Arc<LogEntry>, note: &RepeatNote<'_, Z>) -> LogEntry
where
    Z: TimeZone<Offset: fmt::Display>,
{
    let first = entry.message.lines().next().unwrap_or_default();
    let mut message = format!("{note}: ");
    message.extend(first.chars().take(FOLDED_MAX));
    if first.chars().nth(FOLDED_MAX).is_some() {
        message.push('…');
    }
    LogEntry { message, timestamp: note.last, exception: None, ..LogEntry::clone(entry) }
}

/// A line that the store itself has to say.
fn write_notice<Z>(
    out: &mut Vec<u8>,
    at: &Timestamp,
    level: Level,
    text: &str,
    zone: &Z,
) -> io::Result<()>
where
    Z: TimeZone<Offset: fmt::Display>,
{
    write!(out, "[{}] {level:8} {:20} ", local(at, zone), "Logging Service")?;
    for c in text.chars() {
        if is_unsafe(c) { write!(out, "\\u{:04x}", u32::from(c))? } else { write!(out, "{c}")? }
    }
    writeln!(out)
}

fn local<Z: TimeZone<Offset: fmt::Display>>(time: &Timestamp, zone: &Z) -> String {
    time.with_timezone(zone).to_rfc3339_opts(SecondsFormat::Micros, false)
}

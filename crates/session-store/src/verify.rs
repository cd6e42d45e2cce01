//! Whether session files are as they were written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use log_entry::SessionId;
use serde_json::Value;

use crate::name::{self, Name, Part};
use crate::raw::{RawLines, Span};
use crate::{Error, ReadLine, Reader, file};

/// What [`verify`] found, file by file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// One for each segment of each session.
    pub files: Vec<FileReport>,
}

/// What was found in one segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// How many sound lines it has, by kind.
    pub kinds: BTreeMap<String, u64>,
    /// What is not as it should be, in the order of the file; the first
    /// thousand of it.
    pub findings: Vec<Finding>,
    /// How much more was found.
    pub more: u64,
    /// Whether any of all that is damage.
    pub is_damaged: bool,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A line that is not as it was written.
    Corrupt {
        /// Where it starts.
        offset: u64,
        /// How many bytes it has.
        len: u64,
    },
    /// A line that was cut short. No damage if it is marked: nobody was told
    /// that it was written.
    Torn {
        /// Where it starts.
        offset: u64,
        /// How many bytes it has.
        len: u64,
        /// Whether a `recovered` line says so.
        is_marked: bool,
    },
    /// Numbers that no entry has. No damage if the session says that it lost
    /// as many.
    Gap {
        /// The first number that is missing.
        first: u64,
        /// The last number that is missing.
        last: u64,
        /// Whether `loss` lines account for it.
        is_accounted: bool,
    },
    /// An entry whose number is not greater than that of the one before.
    OutOfOrder {
        /// Its number.
        seq: u64,
        /// Where it starts.
        offset: u64,
    },
    /// The file does not begin as this segment of this session does.
    NoStart,
    /// The end of the segment counted other lines than it has.
    Miscounted {
        /// Which lines: `entries` or `repeats`.
        what: &'static str,
        /// How many the end says.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// Nothing in the file; no damage: a process was killed before the first
    /// line.
    Empty,
    /// The file cannot be read.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// A session while it is read.
struct Check {
    session: SessionId,
    files: Vec<(u32, FileReport)>,
    last_seq: Option<u64>,
    /// How many numbers are missing.
    missing: u64,
    /// How many entries `loss` lines say were not written.
    lost: u64,
}

const FINDINGS_MAX: usize = 1000;

/// Reads what is at `path`: a session directory, one file of a record, or
/// a session (a file's name without what follows the session's). Blocks.
///
/// # Errors
///
/// [`Error::Read`] if there is nothing at `path` or it cannot be listed. A
/// file that cannot be read is a finding.
pub fn verify(path: impl AsRef<Path>) -> Result<Report, Error> {
    let path = path.as_ref();
    if file::is_directory(path) {
        return verify_directory(path);
    }
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let text = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match (Name::parse(text), text.parse::<SessionId>()) {
        (Some(Name { session, segment, part: Part::Record }), _) => {
            file::length(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
            Ok(Report { files: Check::of(directory, session, &[segment]) })
        }
        (_, Ok(session)) => {
            let files = name::find(directory)?.remove(&session);
            let no_session =
                || Error::NoSession { session: session.clone(), path: directory.to_owned() };
            let segments = files.ok_or_else(no_session)?.segments;
            Ok(Report { files: Check::of(directory, session, &segments) })
        }
        _ => {
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, "no session record");
            Err(Error::Read { path: path.to_owned(), source })
        }
    }
}

fn verify_directory(path: &Path) -> Result<Report, Error> {
    let sessions = name::find(path)?.into_iter();
    let files = sessions.flat_map(|(id, files)| Check::of(path, id, &files.segments));
    Ok(Report { files: files.collect() })
}

// === impl Report ===

impl Report {
    /// Whether something was lost that had been written.
    pub fn is_damaged(&self) -> bool {
        self.files.iter().any(|file| file.is_damaged)
    }
}

// === impl FileReport ===

impl FileReport {
    fn find(&mut self, finding: Finding) {
        self.is_damaged |= finding.is_damage();
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    fn count(&mut self, kind: &str) {
        *self.kinds.entry(kind.to_owned()).or_default() += 1;
    }

    fn found(&self, kind: &str) -> u64 {
        self.kinds.get(kind).copied().unwrap_or(0)
    }
}

// === impl Finding ===

impl Finding {
    /// Whether something was lost that had been written.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Torn { is_marked, .. } => !is_marked,
            Self::Gap { is_accounted, .. } => !is_accounted,
            Self::Empty => false,
            Self::Corrupt { .. }
            | Self::OutOfOrder { .. }
            | Self::NoStart
            | Self::Miscounted { .. }
            | Self::Unreadable { .. } => true,
        }
    }
}

// === impl Check ===

impl Check {
    fn of(directory: &Path, session: SessionId, segments: &[u32]) -> Vec<FileReport> {
        let file = |&segment: &u32| {
            let path = Name::new(&session, segment, Part::Record).within(directory);
            (segment, FileReport { path, ..FileReport::default() })
        };
        let files = segments.iter().map(file).collect();
        let mut check = Self { session, files, last_seq: None, missing: 0, lost: 0 };
        check.read();
        check.finish()
    }

    fn read(&mut self) {
        let paths = self.files.iter().map(|(number, file)| (*number, file.path.clone()));
        match RawLines::of(paths).map(Reader::new) {
            Ok(mut lines) => {
                if let Err(error) = self.read_lines(&mut lines) {
                    self.unreadable(&error);
                }
            }
            Err(error) => self.unreadable(&error),
        }
    }

    fn read_lines(&mut self, lines: &mut Reader) -> Result<(), Error> {
        while let Some((span, line)) = lines.next_line()? {
            self.take(span, line);
        }
        if let Some(span) = lines.unfinished() {
            let length = file::length(&self.file(span.segment).path).unwrap_or(0);
            // Whatever has grown since is being written.
            if length <= span.offset + span.length {
                let (offset, len) = (span.offset, span.length);
                self.file(span.segment).find(Finding::Torn { offset, len, is_marked: false });
            }
        }
        Ok(())
    }

    fn take(&mut self, span: Span, line: ReadLine) {
        if span.offset == 0 && !self.is_start(&line, span.segment) {
            self.file(span.segment).find(Finding::NoStart);
        }
        let file = self.file(span.segment);
        match line {
            ReadLine::Entry(entry) => {
                file.count("entry");
                self.number(entry.seq, span, true);
            }
            ReadLine::Repeat(repeat) => {
                file.count("repeat");
                self.number(repeat.seq, span, false);
            }
            ReadLine::Torn { offset, len, is_marked, .. } => {
                file.find(Finding::Torn { offset, len, is_marked });
            }
            ReadLine::Corrupt { offset, len, .. } => file.find(Finding::Corrupt { offset, len }),
            ReadLine::Other(value) => self.take_other(&value, span),
        }
    }

    fn take_other(&mut self, value: &Value, span: Span) {
        let kind = value["kind"].as_str().unwrap_or_default();
        let file = self.file(span.segment);
        file.count(kind);
        match kind {
            "segment_end" | "session_end" => {
                for (what, kind) in [("entries", "entry"), ("repeats", "repeat")] {
                    let found = file.found(kind);
                    let expected = value[what].as_u64().unwrap_or(found);
                    if expected != found {
                        file.find(Finding::Miscounted { what, expected, found });
                    }
                }
            }
            "loss" if value["reason"] == log_entry::DropReason::NotWritten.as_str() => {
                self.lost += value["count"].as_u64().unwrap_or(0);
            }
            _ => {}
        }
    }

    /// A repeat may have a number of its own, or that of its entry.
    fn number(&mut self, seq: u64, span: Span, is_entry: bool) {
        match self.last_seq {
            Some(last) if seq <= last => {
                if is_entry {
                    self.file(span.segment).find(Finding::OutOfOrder { seq, offset: span.offset });
                }
                return;
            }
            Some(last) if seq - last > 1 => {
                self.missing += seq - last - 1;
                let gap = Finding::Gap { first: last + 1, last: seq - 1, is_accounted: false };
                self.file(span.segment).find(gap);
            }
            _ => {}
        }
        self.last_seq = Some(seq);
    }

    fn is_start(&self, line: &ReadLine, segment: u32) -> bool {
        match line {
            ReadLine::Other(start) => {
                start["kind"] == "session_start"
                    && start["session_id"] == self.session.as_str()
                    && start["segment"] == segment
            }
            _ => false,
        }
    }

    fn file(&mut self, segment: u32) -> &mut FileReport {
        let found = self.files.iter_mut().find(|(number, _)| *number == segment);
        &mut found.expect("every line comes from one of the segments").1
    }

    fn unreadable(&mut self, error: &Error) {
        let Error::Read { path, source } = error else { return };
        if let Some((_, file)) = self.files.iter_mut().find(|(_, file)| file.path == *path) {
            file.find(Finding::Unreadable { reason: source.to_string() });
        }
    }

    fn finish(self) -> Vec<FileReport> {
        let has_accounts = self.missing > 0 && self.lost >= self.missing;
        let mut files: Vec<_> = self.files.into_iter().map(|(_, file)| file).collect();
        for file in &mut files {
            if file.findings.is_empty() && file.kinds.is_empty() {
                file.find(Finding::Empty);
            }
            if has_accounts {
                file.account();
            }
        }
        files
    }
}

impl FileReport {
    /// Notes that the gaps are accounted for.
    fn account(&mut self) {
        for finding in &mut self.findings {
            if let Finding::Gap { is_accounted, .. } = finding {
                *is_accounted = true;
            }
        }
        if self.more == 0 {
            self.is_damaged = self.findings.iter().any(Finding::is_damage);
        }
    }
}

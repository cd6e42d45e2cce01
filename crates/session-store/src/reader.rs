//! Reading one session from its first line to its last.

use log_entry::LogEntry;
use serde_json::Value;

use crate::Error;
use crate::line::{Parsed, Repeat, parse};
use crate::raw::{RawLines, Span, State};

/// A line of a session, as read.
#[derive(Debug)]
pub enum ReadLine {
    /// An entry.
    Entry(Box<LogEntry>),
    /// A further occurrence of an entry.
    Repeat(Repeat),
    /// Any other line, whole; `kind` says which.
    Other(Value),
    /// A line that was cut short, and is lost. One that is not marked ends a
    /// segment.
    Torn {
        /// The number of the segment.
        segment: u32,
        /// Where in the segment it starts.
        offset: u64,
        /// How many bytes it has.
        len: u64,
        /// Whether a `recovered` line says so.
        is_marked: bool,
    },
    /// A line that is not as it was written, and is lost.
    Corrupt {
        /// The number of the segment.
        segment: u32,
        /// Where in the segment it starts.
        offset: u64,
        /// How many bytes it has.
        len: u64,
    },
}

/// Iterates over the lines of a session, in the order in which they were
/// written, up to the last that is complete now.
#[derive(Debug)]
pub struct Reader {
    raw: RawLines,
    /// A line that is not sound; what follows says whether it was torn.
    bad: Option<Span>,
    held: Option<(Span, ReadLine)>,
    unfinished: Option<Span>,
}

// === impl Reader ===

impl Reader {
    pub(crate) fn new(raw: RawLines) -> Self {
        Self { raw, bad: None, held: None, unfinished: None }
    }

    /// The end of the last segment after its last complete line, once all of
    /// it was read: a line that is being written, or was cut short.
    pub(crate) fn unfinished(&self) -> Option<Span> {
        self.unfinished
    }

    /// The next line and where it is.
    pub(crate) fn next_line(&mut self) -> Result<Option<(Span, ReadLine)>, Error> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        while let Some(span) = self.raw.next()? {
            let found = match span.state {
                // Only the last segment may still be growing.
                State::Unfinished if self.raw.is_at_end() => {
                    self.unfinished = Some(span);
                    continue;
                }
                State::Unfinished => Some(torn(span, false)),
                State::Whole => self.parse(span),
                State::Unusable => None,
            };
            if let Some(line) = self.resolve(span, found) {
                return Ok(Some(line));
            }
        }
        Ok(self.bad.take().map(corrupt))
    }

    /// Decides what to yield, given the line before, if that was not sound.
    fn resolve(&mut self, span: Span, found: Option<(Span, ReadLine)>) -> Option<(Span, ReadLine)> {
        match (self.bad.take(), found) {
            (None, Some(line)) => Some(line),
            (None, None) => {
                self.bad = Some(span);
                None
            }
            (Some(bad), Some(line)) => {
                let is_marked = line.0.segment == bad.segment && line.1.is_kind("recovered");
                self.held = Some(line);
                Some(if is_marked { torn(bad, true) } else { corrupt(bad) })
            }
            (Some(bad), None) => {
                self.bad = Some(span);
                Some(corrupt(bad))
            }
        }
    }

    fn parse(&mut self, span: Span) -> Option<(Span, ReadLine)> {
        let (span, parsed) = if let Some(parsed) = parse(self.raw.line()) {
            (span, parsed)
        } else {
            let span = self.raw.cut(span)?;
            (span, parse(self.raw.line())?)
        };
        let line = match parsed {
            Parsed::Entry(entry) => ReadLine::Entry(entry),
            Parsed::Repeat(repeat) => ReadLine::Repeat(repeat),
            Parsed::Other(value) => ReadLine::Other(value),
        };
        Some((span, line))
    }
}

impl Iterator for Reader {
    type Item = Result<ReadLine, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().map(|found| found.map(|(_, line)| line)).transpose()
    }
}

// === impl ReadLine ===

impl ReadLine {
    /// Whether this is another line of that kind.
    pub(crate) fn is_kind(&self, kind: &str) -> bool {
        matches!(self, Self::Other(value) if value["kind"] == kind)
    }
}

fn torn(span: Span, is_marked: bool) -> (Span, ReadLine) {
    let Span { segment, offset, length: len, .. } = span;
    (span, ReadLine::Torn { segment, offset, len, is_marked })
}

fn corrupt(span: Span) -> (Span, ReadLine) {
    let Span { segment, offset, length: len, .. } = span;
    (span, ReadLine::Corrupt { segment, offset, len })
}

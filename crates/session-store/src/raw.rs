//! The lines of a session's record as bytes, one segment after the other.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use log_entry::SessionId;

use crate::line::{SEAL_LENGTH, START, is_sound};
use crate::name::{Name, Part};
use crate::{Error, file};

/// The longest line that is read; what is longer is skipped.
pub(crate) const LINE_MAX: usize = 8 << 20;
/// How many places in a damaged line are tried as the end of a sound one.
const BORDERS_MAX: usize = 16;

/// Where a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) segment: u32,
    pub(crate) offset: u64,
    /// Without its line feed.
    pub(crate) length: u64,
    pub(crate) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// [`RawLines::line`] has it.
    Whole,
    /// It is too long, or no line at all.
    Unusable,
    /// The segment ends before it does.
    Unfinished,
}

/// Reads lines. All segments are opened at once, so that none is missing if
/// the session is removed meanwhile.
#[derive(Debug)]
pub(crate) struct RawLines {
    segments: VecDeque<Open>,
    line: Vec<u8>,
    /// What follows the current line where its line feed should be, and where.
    rest: Option<(u64, Vec<u8>)>,
    offset: u64,
}

#[derive(Debug)]
struct Open {
    number: u32,
    path: PathBuf,
    file: BufReader<File>,
}

// === impl RawLines ===

impl RawLines {
    /// The lines of these segments of a session in `directory`.
    pub(crate) fn open(
        directory: &Path,
        session: &SessionId,
        numbers: &[u32],
    ) -> Result<Self, Error> {
        let paths = numbers
            .iter()
            .map(|&number| (number, Name::new(session, number, Part::Record).within(directory)));
        Self::of(paths)
    }

    pub(crate) fn of(paths: impl Iterator<Item = (u32, PathBuf)>) -> Result<Self, Error> {
        let segments = paths.map(|(number, path)| match file::open(&path) {
            Ok(file) => Ok(Open { number, path, file: BufReader::with_capacity(64 << 10, file) }),
            Err(source) => Err(Error::Read { path, source }),
        });
        let segments = segments.collect::<Result<_, _>>()?;
        Ok(Self { segments, line: Vec::new(), rest: None, offset: 0 })
    }

    /// The line that was found last, if it was whole.
    pub(crate) fn line(&self) -> &[u8] {
        &self.line
    }

    /// Whether there is nothing after the line that was found last.
    pub(crate) fn is_at_end(&self) -> bool {
        self.segments.is_empty()
    }

    /// Finds the next line.
    pub(crate) fn next(&mut self) -> Result<Option<Span>, Error> {
        if let Some(span) = self.next_rest() {
            return Ok(Some(span));
        }
        while let Some(open) = self.segments.front_mut() {
            let read = read_line(&mut open.file, &mut self.line);
            let (length, state) =
                read.map_err(|source| Error::Read { path: open.path.clone(), source })?;
            let span = Span { segment: open.number, offset: self.offset, length, state };
            self.offset += length + 1;
            if state == State::Unfinished {
                self.segments.pop_front();
                self.offset = 0;
                if length == 0 {
                    continue;
                }
            }
            return Ok(Some(span));
        }
        Ok(None)
    }

    /// If the current line, which is not sound, is a sound one with damage in
    /// place of its line feed, cuts it there, so that the line after it is not
    /// lost. Says where the current line is now, if it did.
    pub(crate) fn cut(&mut self, span: Span) -> Option<Span> {
        let at = border(&self.line)?;
        let offset = span.offset + at as u64;
        self.rest = Some((offset, self.line.split_off(at)));
        Some(Span { length: at as u64, ..span })
    }

    /// First the byte that is damaged, and then the line after it.
    fn next_rest(&mut self) -> Option<Span> {
        let (offset, mut rest) = self.rest.take()?;
        let segment = self.segments.front()?.number;
        if rest.starts_with(START) {
            let length = rest.len() as u64;
            self.line = rest;
            return Some(Span { segment, offset, length, state: State::Whole });
        }
        rest.remove(0);
        self.rest = Some((offset + 1, rest));
        Some(Span { segment, offset, length: 1, state: State::Unusable })
    }
}

/// Where a sound line at the start of `line`, which is not sound, ends with
/// damage in place of its line feed.
pub(crate) fn border(line: &[u8]) -> Option<usize> {
    (SEAL_LENGTH..line.len().saturating_sub(START.len()))
        .filter(|&at| line[at - 1] == b'}' && line[at + 1..].starts_with(START))
        .take(BORDERS_MAX)
        .find(|&at| is_sound(&line[..at]))
}

/// Reads up to the next line feed; keeps no more than [`LINE_MAX`] bytes.
fn read_line(file: &mut BufReader<File>, line: &mut Vec<u8>) -> std::io::Result<(u64, State)> {
    line.clear();
    let mut length = 0;
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok((length, State::Unfinished));
        }
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if line.len() + part.len() <= LINE_MAX {
            line.extend_from_slice(part);
        }
        length += part.len() as u64;
        let used = part.len() + usize::from(end.is_some());
        file.consume(used);
        if end.is_some() {
            let is_whole = line.len() as u64 == length;
            return Ok((length, if is_whole { State::Whole } else { State::Unusable }));
        }
    }
}

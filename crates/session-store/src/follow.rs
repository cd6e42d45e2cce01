//! Following the record of all sessions, in the order in which it was written.

use std::collections::BTreeMap;

use bytes::Bytes;
use log_entry::SessionId;
use serde::{Deserialize, Serialize};

use crate::line::{ENTRY, SEAL_LENGTH};
use crate::name::{self, Name, Part};
use crate::scan::{Chunk, Kind, Tail, sound_lines};
use crate::{Error, Sessions, file};

/// A place between two lines of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The session.
    pub session: SessionId,
    /// The number of the segment.
    pub segment: u32,
    /// Bytes of the segment before it.
    pub offset: u64,
}

/// Something that a [`Follower`] came upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// What it is.
    pub what: Found,
    /// Where to go on after it.
    pub after: Position,
}

/// What a [`Follower`] comes upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// An entry.
    Entry {
        /// The JSON of the entry as it was written, without `kind` and `crc`.
        json: Bytes,
        /// Whether it comes from another logging service: it has an `origin`.
        is_collected: bool,
    },
    /// A further occurrence of an entry.
    Repeat,
    /// Any other line.
    Other,
    /// The session, or the segment that was to be read, is no longer there.
    Removed {
        /// The session.
        session: SessionId,
    },
}

/// Reads the record of one session after the other, and goes on when it has
/// grown. Every call blocks.
///
/// * It gives whole sound lines only, each once, in the order in which they were
///   written. Others are passed over and [counted](Self::damaged).
/// * Sessions come in the order of [`Sessions::list`], and the current one last,
///   whatever the clock said when it began. It goes on to the next once there
///   is no more in one that is not current.
/// * What is removed under it is told as [`Found::Removed`]; a segment that it
///   has begun it reads to the end.
#[derive(Debug)]
pub struct Follower {
    sessions: Sessions,
    current: SessionId,
    at: Position,
    tail: Option<Tail>,
    /// Whether it was told that what is to be read is not there.
    is_missing: bool,
    /// Looks in a row at which nothing was new.
    idle: u32,
    damaged: u64,
}

/// A segment in the directory.
pub(crate) struct Segment {
    pub(crate) session: SessionId,
    pub(crate) number: u32,
    length: u64,
}

/// How often the directory is listed while nothing is new: usually the name of
/// the next segment is known, but if someone removed that one, there may be
/// another after it.
const LIST_EVERY: u32 = 64;

// === impl Position ===

impl Position {
    /// Before the first line of `session`.
    pub fn start_of(session: SessionId) -> Self {
        Self { session, segment: 0, offset: 0 }
    }

    /// Whether this is in the same session, and after `other`.
    pub fn is_beyond(&self, other: &Self) -> bool {
        self.session == other.session && (self.segment, self.offset) > (other.segment, other.offset)
    }
}

// === impl Follower ===

impl Follower {
    /// Follows `sessions`, of which `current` is being written, from `at` on.
    pub fn new(sessions: Sessions, at: Position, current: SessionId) -> Self {
        let (tail, is_missing, idle, damaged) = (None, false, 0, 0);
        Self { sessions, current, at, tail, is_missing, idle, damaged }
    }

    /// As [`new`](Self::new), from the oldest line on if `from` is nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the directory cannot be listed.
    pub fn open(
        sessions: Sessions,
        from: Option<Position>,
        current: SessionId,
    ) -> Result<Self, Error> {
        let from_oldest = from.is_none();
        let at = from.unwrap_or_else(|| Position::start_of(current.clone()));
        let mut follower = Self::new(sessions, at, current);
        if from_oldest && let Some(first) = follower.segments()?.first() {
            follower.at = first.start();
        }
        Ok(follower)
    }

    /// Where the next line begins.
    pub fn position(&self) -> &Position {
        &self.at
    }

    /// Goes on from `position`. The segment where it is stays open, so that it
    /// can be read also if it was removed meanwhile.
    pub fn seek(&mut self, position: Position) {
        let is_here = (&position.session, position.segment) == (&self.at.session, self.at.segment);
        self.tail.take_if(|_| !is_here);
        if let Some(tail) = &mut self.tail {
            tail.go_to(position.offset);
        }
        (self.at, self.is_missing) = (position, false);
    }

    /// Lines that were passed over because they are not sound.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Appends what comes next to `found`, up to some `bytes_max` bytes of the
    /// record, and returns how many it has read. Nothing means that there is
    /// nothing more now.
    ///
    /// # Errors
    ///
    /// [`Error::Read`]; the next call tries again from the same place.
    pub fn read(&mut self, bytes_max: usize, found: &mut Vec<Followed>) -> Result<usize, Error> {
        let mut read = 0;
        while read < bytes_max {
            if let Some(chunk) = self.chunk(bytes_max - read)? {
                read += chunk.bytes.len();
                self.take(chunk, found);
            } else if !self.go_on(found)? {
                break;
            }
        }
        Ok(read)
    }

    /// As [`read`](Self::read), but only counts the entries that are not
    /// collected, by session.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn count(&mut self, bytes_max: usize) -> Result<(usize, Vec<(SessionId, u64)>), Error> {
        let (mut read, mut counts) = (0, Vec::<(SessionId, u64)>::new());
        while read < bytes_max {
            if let Some(chunk) = self.chunk((bytes_max - read).min(COUNT_AT_ONCE))? {
                read += chunk.bytes.len();
                self.at.offset = chunk.offset + chunk.bytes.len() as u64;
                let count = crate::scan::count_entries(&chunk.bytes);
                match counts.last_mut() {
                    Some((session, so_far)) if *session == self.at.session => *so_far += count,
                    _ => counts.push((self.at.session.clone(), count)),
                }
            } else if !self.go_on(&mut Vec::new())? {
                break;
            }
        }
        Ok((read, counts))
    }

    /// How many bytes there are from here to the end of the record.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the directory cannot be listed.
    pub fn waiting(&self) -> Result<u64, Error> {
        let segments = self.segments()?;
        let here = here(&segments, &self.at);
        let bytes: u64 = segments[here..].iter().map(|segment| segment.length).sum();
        let is_in = segments.get(here).is_some_and(|segment| segment.holds(&self.at));
        Ok(if is_in { bytes.saturating_sub(self.at.offset) } else { bytes })
    }

    /// Goes back by no more than `bytes_max`, to the beginning of a line.
    ///
    /// # Errors
    ///
    /// [`Error::Read`]; then it is where it was.
    pub fn rewind(&mut self, bytes_max: u64) -> Result<(), Error> {
        let segments = self.segments()?;
        let here = here(&segments, &self.at);
        let is_in = segments.get(here).is_some_and(|segment| segment.holds(&self.at));
        let mut left = bytes_max;
        let mut to = self.at.clone();
        if is_in && self.at.offset >= left {
            to = self.start_of_line(&segments[here], self.at.offset - left)?;
            left = 0;
        } else if is_in {
            left -= self.at.offset;
            to.offset = 0;
        }
        for segment in segments[..here].iter().rev() {
            if left == 0 {
                break;
            }
            let back = left.min(segment.length);
            to = self.start_of_line(segment, segment.length - back)?;
            left = if back < segment.length { 0 } else { left - back };
        }
        self.seek(to);
        Ok(())
    }

    /// Goes on after the segment, whatever is left in it: for one that cannot be
    /// read. Says whether there is anything after it.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the directory cannot be listed.
    pub fn give_up_segment(&mut self) -> Result<bool, Error> {
        let (next, _) = self.after_segment()?;
        let goes_on = next.is_some();
        if let Some(next) = next {
            self.seek(next);
        }
        Ok(goes_on)
    }

    /// The next whole lines of the segment.
    fn chunk(&mut self, max: usize) -> Result<Option<Chunk>, Error> {
        if self.tail.is_none() {
            let name = Name::new(&self.at.session, self.at.segment, Part::Record);
            let path = name.within(self.sessions.path());
            match Tail::open(path.clone(), self.at.offset) {
                Ok(tail) => self.tail = Some(tail),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(source) => return Err(Error::Read { path, source }),
            }
        }
        let Some(tail) = &mut self.tail else { return Ok(None) };
        let chunk = tail.chunk(max).map_err(|source| failed(tail, source))?;
        if chunk.is_some() {
            self.idle = 0;
        }
        Ok(chunk)
    }

    /// Tells of the lines of a chunk.
    fn take(&mut self, mut chunk: Chunk, found: &mut Vec<Followed>) {
        let mut lines = Vec::new();
        let damaged = sound_lines(&chunk.bytes, |range, kind, next| {
            lines.push((range, kind, next));
        });
        self.damaged += damaged;
        // The JSON of the entry is what is between `kind` and `crc`, once the
        // commas there are braces.
        for (range, kind, _) in &mut lines {
            match kind {
                Kind::Entry { .. } if range.len() > ENTRY.len() + SEAL_LENGTH => {
                    *range = range.start + ENTRY.len() - 1..range.end - SEAL_LENGTH + 1;
                    chunk.bytes[range.start] = b'{';
                    chunk.bytes[range.end - 1] = b'}';
                }
                Kind::Entry { .. } => *kind = Kind::Other,
                Kind::Repeat | Kind::Other => {}
            }
        }
        let (bytes, at) = (Bytes::from(chunk.bytes), &mut self.at);
        found.extend(lines.into_iter().map(|(range, kind, next)| {
            let what = match kind {
                Kind::Entry { is_collected } => {
                    Found::Entry { json: bytes.slice(range), is_collected }
                }
                Kind::Repeat => Found::Repeat,
                Kind::Other => Found::Other,
            };
            let offset = chunk.offset + next as u64;
            Followed { what, after: Position { offset, ..at.clone() } }
        }));
        at.offset = chunk.offset + bytes.len() as u64;
    }

    /// Goes on to the next segment or session, if there is one and there is no
    /// more in this one. Says whether there may be something to read.
    fn go_on(&mut self, found: &mut Vec<Followed>) -> Result<bool, Error> {
        if self.at.session == self.current && !self.may_have_gone_on()? {
            return Ok(false);
        }
        let (next, is_there) = self.after_segment()?;
        // The last lines may have come after we looked, and before the next
        // segment was made.
        if let Some(tail) = &mut self.tail
            && next.is_some()
            && tail.has_line().map_err(|source| failed(tail, source))?
        {
            return Ok(true);
        }
        let is_removed = self.tail.is_none() || !is_there;
        if is_removed && !self.is_missing {
            let after = next.clone().unwrap_or_else(|| self.at.clone());
            let what = Found::Removed { session: self.at.session.clone() };
            found.push(Followed { what, after });
        }
        self.is_missing = is_removed && next.is_none();
        let goes_on = next.is_some();
        if let Some(next) = next {
            self.seek(next);
        }
        Ok(goes_on)
    }

    /// Where the next segment or session begins, if there is one, and whether
    /// this session is there.
    fn after_segment(&self) -> Result<(Option<Position>, bool), Error> {
        let files = match name::find(self.sessions.path()) {
            Err(error) if error.is_not_found() => BTreeMap::new(),
            files => files?,
        };
        let segments = files.get(&self.at.session).map(|files| &files.segments[..]);
        let mut later = segments.unwrap_or_default().iter().filter(|&&n| n > self.at.segment);
        let next = match later.next() {
            Some(&segment) => Some(Position { segment, offset: 0, ..self.at.clone() }),
            None if self.at.session == self.current => None,
            None => self.next_session()?,
        };
        Ok((next, segments.is_some()))
    }

    /// Whether it makes sense to look for a later segment of the current session.
    fn may_have_gone_on(&mut self) -> Result<bool, Error> {
        self.idle = self.idle.wrapping_add(1);
        let next = Name::new(&self.at.session, self.at.segment.saturating_add(1), Part::Record);
        let is_removed = match &self.tail {
            Some(tail) => tail.is_removed().map_err(|source| failed(tail, source))?,
            None => true,
        };
        Ok(is_removed
            || self.idle.is_multiple_of(LIST_EVERY)
            || file::length(&next.within(self.sessions.path())).is_ok())
    }

    fn next_session(&self) -> Result<Option<Position>, Error> {
        let segments = self.segments()?;
        let mut later = segments[here(&segments, &self.at)..].iter();
        Ok(later.find(|segment| segment.session != self.at.session).map(Segment::start))
    }

    /// All segments of all sessions, in the order in which they are followed.
    fn segments(&self) -> Result<Vec<Segment>, Error> {
        let mut segments = segments(&self.sessions)?;
        // The clock may have said anything when a session began.
        segments.sort_by_key(|segment| segment.session == self.current);
        Ok(segments)
    }

    /// Where in `segment` the first line begins that is not before `offset`.
    fn start_of_line(&self, segment: &Segment, offset: u64) -> Result<Position, Error> {
        let start = segment.start();
        if offset == 0 {
            return Ok(start);
        }
        let name = Name::new(&segment.session, segment.number, Part::Record);
        let path = name.within(self.sessions.path());
        let offset = Tail::open(path.clone(), offset - 1).and_then(|mut tail| tail.line_end());
        let offset = offset.map_err(|source| Error::Read { path, source })?;
        Ok(Position { offset, ..start })
    }
}

/// What [`Follower::count`] reads at once.
pub(crate) const COUNT_AT_ONCE: usize = 1 << 20;

// === impl Segment ===

impl Segment {
    fn start(&self) -> Position {
        Position { session: self.session.clone(), segment: self.number, offset: 0 }
    }

    pub(crate) fn holds(&self, position: &Position) -> bool {
        self.session == position.session && self.number == position.segment
    }
}

/// All segments of all sessions, oldest first.
pub(crate) fn segments(sessions: &Sessions) -> Result<Vec<Segment>, Error> {
    let mut found = match name::find(sessions.path()) {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        found => found?,
    };
    let mut segments = Vec::new();
    for session in sessions.list()? {
        let Some(files) = found.remove(&session.id) else { continue };
        for number in files.segments {
            let path = Name::new(&session.id, number, Part::Record).within(sessions.path());
            // One that was removed while we looked has nothing to read.
            let length = file::length(&path).unwrap_or(0);
            segments.push(Segment { session: session.id.clone(), number, length });
        }
    }
    Ok(segments)
}

/// The index of the first segment that is at `position` or after it. If the
/// session is no longer there, what is younger by its name comes after it.
pub(crate) fn here(segments: &[Segment], position: &Position) -> usize {
    let Some(first) = segments.iter().position(|segment| segment.session == position.session)
    else {
        let is_younger = |segment: &Segment| segment.session.started() > position.session.started();
        return segments.iter().position(is_younger).unwrap_or(segments.len());
    };
    let is_before = |segment: &&Segment| {
        segment.session == position.session && segment.number < position.segment
    };
    first + segments[first..].iter().take_while(is_before).count()
}

fn failed(tail: &Tail, source: std::io::Error) -> Error {
    Error::Read { path: tail.path().to_owned(), source }
}

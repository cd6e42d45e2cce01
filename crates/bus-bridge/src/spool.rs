//! The session files as a queue to the bus. Everything here blocks.

use std::io;

use bytes::Bytes;
use log_entry::{SessionId, Timestamp};
use serde::Deserialize;
use session_store::{Error, Followed, Follower, Found, Position, Sessions};

use crate::cursor::{Cursor, CursorFile};

/// Reads what is to be published, and keeps how far that has come.
#[derive(Debug)]
pub(crate) struct Spool {
    follower: Follower,
    /// Counts what there is ahead of the follower.
    scout: Follower,
    file: CursorFile,
    found: Vec<Followed>,
}

/// A step through the record.
#[derive(Debug)]
pub(crate) struct Step {
    /// The JSON of an entry that is to be published; nothing if the step is
    /// over other lines.
    pub(crate) entry: Option<Bytes>,
    pub(crate) after: Position,
}

/// How far back it went.
#[derive(Debug)]
pub(crate) struct Back {
    pub(crate) position: Position,
    /// Entries from there to where it was.
    pub(crate) entries: u64,
    /// When the first of them was received.
    pub(crate) since: Option<Timestamp>,
}

/// Entries by session, in order.
pub(crate) type Counts = Vec<(SessionId, u64)>;

/// What is read at once.
const BYTES_AT_ONCE: usize = 1 << 20;
/// What is counted at once.
const COUNT_AT_ONCE: usize = 16 << 20;

// === impl Spool ===

impl Spool {
    pub(crate) fn new(
        sessions: &Sessions,
        from: &Position,
        current: &SessionId,
        file: CursorFile,
    ) -> Self {
        let follower = || Follower::new(sessions.clone(), from.clone(), current.clone());
        Self { follower: follower(), scout: follower(), file, found: Vec::new() }
    }

    /// What comes next; nothing if there is nothing more now.
    pub(crate) fn read(&mut self) -> Result<Vec<Step>, Error> {
        // Damaged lines are not found.
        while self.follower.read(BYTES_AT_ONCE, &mut self.found)? > 0 && self.found.is_empty() {}
        let mut steps = Vec::<Step>::new();
        for Followed { what, after } in self.found.drain(..) {
            let entry = match what {
                Found::Entry { json, is_collected: false } => Some(json),
                _ => None,
            };
            match steps.last_mut() {
                Some(last) if last.entry.is_none() && last.after.session == after.session => {
                    *last = Step { entry, after };
                }
                _ => steps.push(Step { entry, after }),
            }
        }
        if steps.is_empty() {
            self.scout.seek(self.follower.position().clone());
        }
        Ok(steps)
    }

    /// Goes on after the segment that cannot be read, if there is anything.
    pub(crate) fn give_up_segment(&mut self) -> Result<Option<Position>, Error> {
        let given_up = self.follower.position().clone();
        if !self.follower.give_up_segment()? {
            return Ok(None);
        }
        let (next, counted_to) = (self.follower.position(), self.scout.position());
        // What is after it may have been counted already.
        if counted_to.session == given_up.session && counted_to.segment <= given_up.segment {
            self.scout.seek(next.clone());
        }
        Ok(Some(next.clone()))
    }

    /// Goes on from `position`.
    pub(crate) fn seek(&mut self, position: Position) {
        self.follower.seek(position);
    }

    /// Counts some more of what there is ahead.
    pub(crate) fn count_ahead(&mut self) -> Result<Counts, Error> {
        Ok(self.scout.count(COUNT_AT_ONCE)?.1)
    }

    /// Counts ahead from `position` on, where nothing was counted yet.
    pub(crate) fn count_from(&mut self, position: Position) {
        self.scout.seek(position);
    }

    /// Where the count of what is ahead has come.
    pub(crate) fn counted_to(&self) -> &Position {
        self.scout.position()
    }

    /// Bytes from here to the end.
    pub(crate) fn waiting(&self) -> Result<u64, Error> {
        self.follower.waiting()
    }

    /// Passes over some `bytes` bytes, and says how many entries that were, and
    /// where it has come.
    pub(crate) fn pass_over(&mut self, bytes: u64) -> Result<(u64, Counts, Position), Error> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(COUNT_AT_ONCE);
        let (read, counts) = self.follower.count(bytes)?;
        Ok((read as u64, counts, self.follower.position().clone()))
    }

    /// Goes back from `position` by no more than `bytes_max` bytes and
    /// `entries_max` entries.
    pub(crate) fn go_back(
        &mut self,
        position: &Position,
        bytes_max: u64,
        entries_max: u64,
    ) -> Result<Back, Error> {
        self.follower.seek(position.clone());
        self.follower.rewind(bytes_max)?;
        let mut start = self.follower.position().clone();
        let mut entries = 0_u64;
        self.walk(position, |_, _| entries += 1)?;
        // Those before the first that was ever published are none of them.
        let (mut surplus, mut since) = (entries.saturating_sub(entries_max), None);
        entries -= surplus;
        self.follower.seek(start.clone());
        self.walk(position, |json, after| {
            if surplus > 0 {
                surplus -= 1;
                start = after.clone();
            } else if since.is_none() {
                since = received_at(json);
            }
        })?;
        self.follower.seek(start.clone());
        Ok(Back { position: start, entries, since })
    }

    pub(crate) fn save(&mut self, cursor: &Cursor, sync: bool) -> io::Result<()> {
        self.file.save(cursor, sync)
    }

    /// Calls `each` for every entry that is to be published up to `end`.
    fn walk(
        &mut self,
        end: &Position,
        mut each: impl FnMut(&Bytes, &Position),
    ) -> Result<(), Error> {
        let mut is_over = self.follower.position() == end;
        while !is_over && self.follower.read(BYTES_AT_ONCE, &mut self.found)? > 0 {
            for Followed { what, after } in self.found.drain(..) {
                let is_here = !is_over && !after.is_beyond(end);
                is_over |= !is_here || after == *end;
                if let Found::Entry { json, is_collected: false } = &what
                    && is_here
                {
                    each(json, &after);
                }
            }
        }
        self.found.clear();
        Ok(())
    }
}

fn received_at(json: &[u8]) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Outline {
        received_at: Timestamp,
    }
    serde_json::from_slice::<Outline>(json).ok().map(|outline| outline.received_at)
}

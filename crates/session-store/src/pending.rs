//! What is in the record after a position, held so that it can be counted even
//! if it is removed.

use log_entry::SessionId;

use crate::follow::{COUNT_AT_ONCE, Position, here, segments};
use crate::name::{Name, Part};
use crate::scan::{Tail, count_entries};
use crate::{Error, Sessions};

/// The record after a position as it was at some moment. Every call blocks.
///
/// Its files are held open, so what is removed meanwhile can still be counted.
#[derive(Debug, Default)]
pub struct Pending {
    segments: Vec<(SessionId, Held)>,
}

#[derive(Debug)]
enum Held {
    Open(Tail),
    Counted(u64),
}

/// Files that are held open; what is in further ones is counted at once.
const FILES_MAX: usize = 256;

// === impl Sessions ===

impl Sessions {
    /// What is in the record after `position`. Reads little, unless there are
    /// hundreds of files. A directory that is not there has nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the directory cannot be listed.
    pub fn pending(&self, position: &Position) -> Result<Pending, Error> {
        let all = segments(self)?;
        let mut pending = Pending::default();
        for segment in &all[here(&all, position)..] {
            let offset = if segment.holds(position) { position.offset } else { 0 };
            let name = Name::new(&segment.session, segment.number, Part::Record);
            // What cannot be read cannot be followed either.
            let Ok(tail) = Tail::open(name.within(self.path()), offset) else { continue };
            let held = Held::Open(tail);
            let held = if pending.segments.len() < FILES_MAX {
                held
            } else {
                Held::Counted(held.count()?)
            };
            pending.segments.push((segment.session.clone(), held));
        }
        Ok(pending)
    }
}

// === impl Pending ===

impl Pending {
    /// Lets go of the sessions that are not `wanted`.
    pub fn retain(&mut self, mut wanted: impl FnMut(&SessionId) -> bool) {
        self.segments.retain(|(session, _)| wanted(session));
    }

    /// How many entries there are, by session in order. Those that come from
    /// another logging service do not count.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if a file cannot be read.
    pub fn count(self) -> Result<Vec<(SessionId, u64)>, Error> {
        let mut counts = Vec::<(SessionId, u64)>::new();
        for (session, held) in self.segments {
            let count = held.count()?;
            match counts.last_mut() {
                Some((last, so_far)) if *last == session => *so_far += count,
                _ => counts.push((session, count)),
            }
        }
        Ok(counts)
    }
}

// === impl Held ===

impl Held {
    fn count(self) -> Result<u64, Error> {
        let mut tail = match self {
            Self::Counted(count) => return Ok(count),
            Self::Open(tail) => tail,
        };
        let mut count = 0;
        loop {
            match tail.chunk(COUNT_AT_ONCE) {
                Ok(Some(chunk)) => count += count_entries(&chunk.bytes),
                Ok(None) => return Ok(count),
                Err(source) => return Err(Error::Read { path: tail.path().to_owned(), source }),
            }
        }
    }
}

//! What waited for the bus when the program started.

use std::collections::BTreeSet;
use std::path::Path;

use log_entry::SessionId;
use session_store::{Pending, Position, Sessions};
use standard_service::chain;

use crate::cursor::{Cursor, CursorFile, Loaded};

/// What is in a session directory and not yet on the bus, at the moment when
/// stock was taken.
///
/// A logging service that opens the directory removes old sessions. Taking
/// stock before that is what makes it possible to count what of them never
/// reached the bus.
#[derive(Debug)]
pub struct Backlog {
    sessions: Sessions,
    bus: String,
    file: CursorFile,
    loaded: Loaded,
    pending: Pending,
}

/// Where to go on, and what came between.
#[derive(Debug)]
pub(crate) struct Resumed {
    pub(crate) sessions: Sessions,
    pub(crate) file: CursorFile,
    pub(crate) cursor: Cursor,
    /// Entries that were removed since stock was taken.
    pub(crate) removed: u64,
    /// Why it does not go on where it was, for people.
    pub(crate) trouble: Option<String>,
}

/// The longest name of a bus that is kept.
const NAME_MAX: usize = 256;

impl Backlog {
    /// Looks how far the sessions in `directory` are on the bus, which is now the
    /// one called `bus`: a URL without secrets. To be called before the directory is opened to
    /// write, which is also when it may not be there yet. Blocks, but reads
    /// little.
    pub fn take_stock(directory: &Path, bus: &str) -> Self {
        let sessions = Sessions::at(directory);
        let (file, loaded) = CursorFile::load(directory);
        let bus = shortened(bus);
        let pending = match &loaded {
            Loaded::Cursor(cursor) => sessions.pending(&cursor.position),
            Loaded::Nothing | Loaded::Damaged(_) => Ok(Pending::default()),
        };
        // A directory that cannot be listed is told of when it is opened.
        Self { sessions, bus, file, loaded, pending: pending.unwrap_or_default() }
    }

    /// Where to go on, now that `current` is being written. Counts what was
    /// removed meanwhile. Blocks.
    pub(crate) fn resume(mut self, current: &SessionId) -> Resumed {
        let removed = self.removed();
        let (removed, trouble) = match removed {
            Ok(removed) => (removed, None),
            Err(error) => (0, Some(chain(&error))),
        };
        let fresh = || Cursor {
            bus: self.bus.clone(),
            position: Position::start_of(current.clone()),
            number: 0,
            attempt: None,
            confirmed: None,
        };
        let (cursor, trouble) = match self.loaded {
            Loaded::Cursor(cursor) if cursor.bus == self.bus => (cursor, trouble),
            // What waited for another bus waits for this one; what that one had
            // confirmed says nothing about this one.
            Loaded::Cursor(cursor) => {
                let bus = self.bus.clone();
                (Cursor { bus, confirmed: None, ..cursor }, trouble)
            }
            Loaded::Nothing => (fresh(), trouble),
            Loaded::Damaged(why) => (fresh(), Some(why)),
        };
        Resumed { sessions: self.sessions, file: self.file, cursor, removed, trouble }
    }

    /// How many entries waited in sessions that are no longer there.
    fn removed(&mut self) -> Result<u64, session_store::Error> {
        let there: BTreeSet<SessionId> =
            self.sessions.list()?.into_iter().map(|session| session.id).collect();
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain(|session| !there.contains(session));
        Ok(pending.count()?.into_iter().map(|(_, count)| count).sum())
    }
}

/// `name`, or the beginning of it and something that tells it from others.
fn shortened(name: &str) -> String {
    if name.len() <= NAME_MAX {
        return name.to_owned();
    }
    let end = (0..=NAME_MAX).rev().find(|&at| name.is_char_boundary(at)).unwrap_or(0);
    format!("{}…{:08x}", &name[..end], crc32c::crc32c(name.as_bytes()))
}

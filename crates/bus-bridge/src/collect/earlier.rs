//! What earlier sessions have of other instances.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use log_entry::{EntryId, SessionId};
use serde::Deserialize;
use session_store::{Error, Follower, Found, Position, Sessions};

/// Where earlier sessions are.
#[derive(Debug)]
pub(super) struct Earlier {
    pub(super) sessions: Sessions,
    /// The session that is being written.
    pub(super) current: SessionId,
}

/// Entries of other instances, each by the instance and its id.
#[derive(Debug, Default)]
pub(super) struct Known(HashSet<(Arc<str>, EntryId)>);

/// The part of an entry that is read here.
#[derive(Deserialize)]
struct Collected {
    entry_id: EntryId,
    origin: OfInstance,
}

#[derive(Deserialize)]
struct OfInstance {
    id: Arc<str>,
}

/// Entries that are looked for: more than a bus gives before it wants some
/// acknowledged.
const KNOWN_MAX: usize = 65_536;
/// Bytes of files that are read for them, in all and of one session. A session
/// that was killed soon may have none, so it is not their number that counts.
const BYTES_MAX: u64 = 512 << 20;
const BYTES_EACH: u64 = 128 << 20;
/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

// === impl Known ===

impl Known {
    pub(super) fn has(&self, origin: &Arc<str>, id: &EntryId) -> bool {
        !self.0.is_empty() && self.0.contains(&(origin.clone(), id.clone()))
    }
}

// === impl Earlier ===

impl Earlier {
    /// The entries that were collected last, before the current session: a bus
    /// gives those again whose acknowledgement did not come to it. Blocks.
    pub(super) fn latest(&self) -> Result<Known, Error> {
        let (mut known, mut left) = (Known::default(), BYTES_MAX);
        for session in self.sessions.list()?.into_iter().rev() {
            if session.id == self.current {
                continue;
            }
            if left == 0 || known.0.len() >= KNOWN_MAX {
                break;
            }
            let each = session.bytes.div_ceil(u64::from(session.segments.max(1))).max(1);
            let count = u32::try_from(BYTES_EACH.min(left).div_ceil(each)).unwrap_or(u32::MAX);
            let count = count.min(session.segments);
            left = left.saturating_sub(each * u64::from(count));
            let segment = session.segments - count;
            self.read(Position { session: session.id, segment, offset: 0 }, &mut known)?;
        }
        Ok(known)
    }

    /// Adds what is in one session from `at` on.
    fn read(&self, at: Position, known: &mut Known) -> Result<(), Error> {
        let session = at.session.clone();
        let mut follower = Follower::new(self.sessions.clone(), at, self.current.clone());
        let (mut found, mut latest) = (Vec::new(), VecDeque::new());
        let room = KNOWN_MAX.saturating_sub(known.0.len());
        loop {
            let count = follower.read(READ_BYTES, &mut found)?;
            let here = found.drain(..).take_while(|followed| followed.after.session == session);
            latest.extend(here.filter_map(|followed| match followed.what {
                Found::Entry { json, is_collected: true } => collected(&json),
                _ => None,
            }));
            latest.drain(..latest.len().saturating_sub(room));
            if count == 0 || follower.position().session != session {
                known.0.extend(latest);
                return Ok(());
            }
        }
    }
}

fn collected(json: &[u8]) -> Option<(Arc<str>, EntryId)> {
    let Collected { entry_id, origin } = serde_json::from_slice(json).ok()?;
    Some((origin.id, entry_id))
}

//! Removing old sessions.

use std::cmp::Reverse;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use log_entry::{SessionId, Timestamp};

use crate::name::{self, Files, Name, Part};
use crate::sessions::read_start;
use crate::{Directory, Error, SessionInfo, file};

/// How much is kept; what is `None` has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Sessions whose last line is older are removed.
    pub max_age: Option<Duration>,
    /// So many sessions.
    pub max_sessions: Option<usize>,
    /// So many bytes of record and twin in all sessions together.
    pub max_bytes: Option<u64>,
}

/// What was removed.
#[derive(Debug, Default)]
pub struct Removed {
    /// The sessions, oldest first.
    pub sessions: Vec<SessionId>,
    /// How many files they had.
    pub files: usize,
    /// How many bytes.
    pub bytes: u64,
    /// Files that could not be removed; their sessions are tried again next
    /// time.
    pub failed: Vec<(PathBuf, io::Error)>,
}

impl Directory {
    /// Removes the oldest sessions until `limits` hold at `now`; never
    /// `current`, nor one that is pinned by a file `<id>.pin`, nor one whose
    /// first line is not ours. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the directory cannot be listed.
    pub fn retain(
        &self,
        limits: &Limits,
        now: Timestamp,
        current: Option<&SessionId>,
    ) -> Result<Removed, Error> {
        let mut found = name::find(self.path())?;
        let sessions = self.sessions().list()?;
        let mut left = sessions.len();
        let mut bytes_left: u64 = sessions.iter().map(|session| session.bytes).sum();
        let mut removed = Removed::default();
        for session in &sessions {
            let is_over = limits.max_sessions.is_some_and(|max| left > max)
                || limits.max_bytes.is_some_and(|max| bytes_left > max)
                || limits.max_age.is_some_and(|max| is_older(session, max, now));
            if !is_over || session.is_pinned || current == Some(&session.id) {
                continue;
            }
            let Some(files) = found.remove(&session.id) else { continue };
            if self.is_ours(&session.id, &files) && self.remove(&session.id, &files, &mut removed) {
                left -= 1;
                bytes_left -= session.bytes.min(bytes_left);
            }
        }
        Ok(removed)
    }

    fn is_ours(&self, id: &SessionId, files: &Files) -> bool {
        files.segments.first().is_some_and(|&segment| {
            let path = Name::new(id, segment, Part::Record).within(self.path());
            read_start(&path, id).is_some()
        })
    }

    /// Removes the files of a session, its first segment last: as long as that
    /// is there, the rest can be recognised as ours.
    fn remove(&self, id: &SessionId, files: &Files, removed: &mut Removed) -> bool {
        let twins = files.twins.iter().map(|&segment| (Part::Twin, segment));
        let mut segments = files.segments.clone();
        segments.sort_unstable_by_key(|&segment| Reverse(segment));
        let records = segments.into_iter().map(|segment| (Part::Record, segment));
        for (part, segment) in twins.chain(records) {
            let path = Name::new(id, segment, part).within(self.path());
            match file::remove(&path) {
                Ok(()) => removed.files += 1,
                Err(error) => {
                    removed.failed.push((path, error));
                    return false;
                }
            }
        }
        removed.bytes += files.bytes;
        removed.sessions.push(id.clone());
        true
    }
}

fn is_older(session: &SessionInfo, max: Duration, now: Timestamp) -> bool {
    let last = session.last_at.max(session.ended_at).or(session.started_at);
    last.is_some_and(|last| (now - last).to_std().is_ok_and(|age| age > max))
}

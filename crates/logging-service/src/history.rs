//! What was logged: from memory as far as that goes, from the files beyond.

use std::time::Duration;

use async_trait::async_trait;
use log_analysis::Summary;
use log_entry::{EntryId, Filter, LogEntry, SessionId};
use logging_api::{
    Archive, ArchiveError, LIMIT_MAX, Page, Query, Range, SessionDetail, SessionSummary,
};
use session_store::{Order, ReadLine, SessionInfo, Sessions};
use tokio::time::timeout;

use crate::Handle;

/// How long a page waits for files that lag behind memory.
const FILES_LAG_MAX: Duration = Duration::from_millis(500);

#[async_trait]
impl Archive for Handle {
    fn current(&self) -> SessionId {
        self.session_id.clone()
    }

    fn last_seq(&self) -> u64 {
        self.recent.read().last_seq()
    }

    async fn entries(&self, query: Query) -> Result<Page, ArchiveError> {
        let filter = Filter::new(&query.filter)?;
        let session_id = query.session.unwrap_or_else(|| self.session_id.clone());
        let limit = query.limit.clamp(1, LIMIT_MAX);
        let is_current = session_id == self.session_id;
        let (entries, next) = match query.range {
            Range::Latest { before } => {
                self.latest(&session_id, is_current, filter, before, limit).await?
            }
            Range::After(after) => {
                self.after(&session_id, is_current, filter, after, limit).await?
            }
            Range::Around(entry) => {
                (self.around(&session_id, is_current, entry, limit).await?, None)
            }
        };
        Ok(Page { session_id, entries, next })
    }

    async fn sessions(&self) -> Result<Vec<SessionSummary>, ArchiveError> {
        let mut infos = self.read(Sessions::list).await?;
        infos.reverse();
        Ok(infos.into_iter().map(|info| self.summary(info)).collect())
    }

    async fn session(&self, id: &SessionId) -> Result<SessionDetail, ArchiveError> {
        let wanted = id.clone();
        let found = self.read(move |sessions| read_summary(sessions, &wanted)).await?;
        let (info, summary) = found.ok_or_else(|| ArchiveError::NoSession(id.clone()))?;
        Ok(SessionDetail {
            summary: self.summary(info),
            entries: summary.entries,
            repeats: summary.repeats,
            by_level: summary.by_level,
        })
    }
}

type Found = (Vec<LogEntry>, Option<u64>);

impl Handle {
    /// The latest entries, from memory; what is older comes from the files.
    async fn latest(
        &self,
        session: &SessionId,
        is_current: bool,
        filter: Filter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Found, ArchiveError> {
        let (mut entries, files_before) = if is_current {
            let recent = self.recent.read();
            let entries = recent.latest(&filter, before.unwrap_or(u64::MAX), limit);
            let first = recent.first_seq().unwrap_or(1);
            (entries, Some(before.map_or(first, |before| before.min(first))))
        } else {
            (Vec::new(), before)
        };
        let wanted = limit - entries.len();
        if is_current && wanted == 0 {
            // What memory has must not wait for a disk, nor fail with it.
            let next = entries.first().map(|entry| entry.seq).filter(|&seq| seq > 1);
            return Ok((entries, next));
        }
        // An entry more tells whether there are further ones.
        let mut older = self.read_entries(session, filter, None, files_before, wanted + 1).await?;
        let has_more = older.len() > wanted;
        older.truncate(wanted);
        older.reverse();
        older.append(&mut entries);
        let next = older.first().map(|entry| entry.seq).filter(|_| has_more);
        Ok((older, next))
    }

    /// The first entries after a number: from the files up to where memory
    /// begins.
    async fn after(
        &self,
        session: &SessionId,
        is_current: bool,
        filter: Filter,
        after: u64,
        limit: usize,
    ) -> Result<Found, ArchiveError> {
        // Memory first, and at once: it moves on while files are read.
        let (newer, files_before) = if is_current {
            let recent = self.recent.read();
            let newer = recent.after(&filter, after, limit + 1);
            (newer, Some(recent.first_seq().unwrap_or(1)))
        } else {
            (Vec::new(), None)
        };
        let mut entries =
            self.read_entries(session, filter, Some(after), files_before, limit + 1).await?;
        entries.extend(newer);
        let has_more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().map(|entry| entry.seq).filter(|_| has_more);
        Ok((entries, next))
    }

    /// `limit` entries, of which `entry` is the middle one.
    async fn around(
        &self,
        session: &SessionId,
        is_current: bool,
        entry: EntryId,
        limit: usize,
    ) -> Result<Vec<LogEntry>, ArchiveError> {
        let half = limit / 2;
        let in_memory = if is_current { self.recent.read().seq_of(&entry) } else { None };
        if let Some(seq) = in_memory {
            let all = Filter::default();
            let before = self.latest(session, true, all.clone(), Some(seq), half).await?.0;
            let rest = self.after(session, true, all, seq - 1, limit - half).await?.0;
            return Ok(before.into_iter().chain(rest).collect());
        }
        let (id, wanted) = (session.clone(), entry.clone());
        let found = self.read(move |sessions| match sessions.around(&id, &wanted, half) {
            Err(session_store::Error::NoSession { .. }) => Ok(None),
            found => found.map(Some),
        });
        match found.await? {
            None => Err(ArchiveError::NoSession(session.clone())),
            Some(None) => Err(ArchiveError::NoEntry { entry, session: session.clone() }),
            Some(Some(entries)) => Ok(entries),
        }
    }

    /// Entries of the files: the first after `after`, or the last before
    /// `before` in falling order.
    async fn read_entries(
        &self,
        session: &SessionId,
        filter: Filter,
        after: Option<u64>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, ArchiveError> {
        if before.is_some_and(|before| before <= after.unwrap_or(0).saturating_add(1)) {
            return Ok(Vec::new());
        }
        let is_current = *session == self.session_id;
        if is_current && let Some(before) = before {
            self.files_to_reach(before - 1).await;
        }
        let order = if after.is_some() { Order::OldestFirst } else { Order::NewestFirst };
        let query = session_store::Query { filter, after, before, limit, order };
        let id = session.clone();
        let page = self.read(move |sessions| match sessions.entries(&id, &query) {
            Err(session_store::Error::NoSession { .. }) => Ok(None),
            page => page.map(Some),
        });
        match page.await? {
            Some(page) => Ok(page.entries),
            // Someone removed its files; what is in memory is still there.
            None if is_current => Ok(Vec::new()),
            None => Err(ArchiveError::NoSession(session.clone())),
        }
    }

    /// Waits a moment for the files to have what memory has given up, so that
    /// there is no gap between the two.
    async fn files_to_reach(&self, seq: u64) {
        let mut reached = self.reached.clone();
        let is_there = reached.wait_for(|&reached| reached >= seq);
        // A disk that is away, or a service that has ended: there is no more.
        let _ = timeout(FILES_LAG_MAX, is_there).await;
    }

    /// Reads files on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Sessions) -> Result<T, session_store::Error> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let sessions = self.sessions.clone();
        tokio::task::spawn_blocking(move || read(&sessions))
            .await
            .map_err(|error| ArchiveError::Read(error.into()))?
            .map_err(|error| ArchiveError::Read(error.into()))
    }

    fn summary(&self, info: SessionInfo) -> SessionSummary {
        SessionSummary {
            current: info.id == self.session_id,
            id: info.id,
            started_at: info.started_at,
            ended_at: info.ended_at,
            bytes: info.bytes,
            segments: info.segments,
        }
    }
}

/// The counts of a session; nothing if there is no such session.
fn read_summary(
    sessions: &Sessions,
    id: &SessionId,
) -> Result<Option<(SessionInfo, Summary)>, session_store::Error> {
    let Some(info) = sessions.list()?.into_iter().find(|info| info.id == *id) else {
        return Ok(None);
    };
    let mut summary = Summary::default();
    for line in sessions.read(id)? {
        match line? {
            ReadLine::Entry(entry) => summary.add(&entry),
            ReadLine::Repeat(_) => summary.add_repeat(),
            _ => {}
        }
    }
    Ok(Some((info, summary)))
}

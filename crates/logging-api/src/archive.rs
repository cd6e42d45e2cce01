//! What was logged: of this session and of earlier ones.

use std::collections::BTreeMap;

use async_trait::async_trait;
use log_entry::{EntryId, FilterError, FilterSpec, Level, LogEntry, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

/// The most entries of one [`Page`].
pub const LIMIT_MAX: usize = 1000;

/// Answers what was logged, from memory and from files alike.
///
/// For one session there is one order, that of `seq`: pages, and pages
/// followed by the live entries of the bus, have no gap and nothing twice. An
/// entry is to be found here before it is published.
#[async_trait]
pub trait Archive: Send + Sync {
    /// The session that is being written.
    fn current(&self) -> SessionId;

    /// The number of the latest entry of the current session; 0 before the first.
    fn last_seq(&self) -> u64;

    /// The entries that `query` asks for, in rising order.
    async fn entries(&self, query: Query) -> Result<Page, ArchiveError>;

    /// All sessions, newest first.
    async fn sessions(&self) -> Result<Vec<SessionSummary>, ArchiveError>;

    /// One session, with its counts. Reads the whole session.
    async fn session(&self, id: &SessionId) -> Result<SessionDetail, ArchiveError>;
}

/// Which entries, of which session.
#[derive(Debug, Clone)]
pub struct Query {
    /// The session; none for the current one.
    pub session: Option<SessionId>,
    /// Which of its entries.
    pub filter: FilterSpec,
    /// Where in the session.
    pub range: Range,
    /// How many at most; no more than [`LIMIT_MAX`] are given.
    pub limit: usize,
}

/// A part of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Range {
    /// The latest entries, or the latest ones before this `seq`.
    Latest {
        /// Only entries with a smaller `seq`.
        before: Option<u64>,
    },
    /// The first entries after this `seq`.
    After(u64),
    /// The entries around this one, half of them before it.
    Around(EntryId),
}

/// Some entries, and where to go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The session they are of.
    pub session_id: SessionId,
    /// The entries, in rising order of `seq`.
    pub entries: Vec<LogEntry>,
    /// The cursor for the next page in the direction of the query: `before`
    /// for the latest, `after` otherwise; none at the end.
    pub next: Option<u64>,
}

/// A session, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSummary {
    /// Its name.
    pub id: SessionId,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended; absent while it runs, or if it was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The size of its record and of the readable twin, in bytes.
    pub bytes: u64,
    /// The number of its record files.
    pub segments: u32,
    /// Whether it is being written.
    pub current: bool,
}

/// A session with what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionDetail {
    /// The session.
    #[serde(flatten)]
    pub summary: SessionSummary,
    /// Its entries, without repeats.
    pub entries: u64,
    /// Its repeats.
    pub repeats: u64,
    /// Its entries by level.
    pub by_level: BTreeMap<Level, u64>,
}

/// Why a question cannot be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// There is no such session.
    #[error("no session `{0}`")]
    NoSession(SessionId),
    /// There is no such entry in the session.
    #[error("no entry `{entry}` in `{session}`")]
    NoEntry {
        /// The entry that was asked for.
        entry: EntryId,
        /// The session it was looked for in.
        session: SessionId,
    },
    /// The filter cannot be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The files could not be read.
    #[error("reading the session files")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
}

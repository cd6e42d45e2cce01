//! Some entries of a session: what a person looks at at once.

use std::collections::{HashMap, VecDeque};

use log_entry::{EntryId, Filter, LogEntry, SessionId};

use crate::line::{Parsed, Repeat, entry_seq, is_entry, parse};
use crate::raw::{RawLines, Span, State};
use crate::{Error, Sessions};

/// Which entries of a session are wanted.
#[derive(Debug, Clone)]
pub struct Query {
    /// Only those that pass.
    pub filter: Filter,
    /// Only those with a greater number.
    pub after: Option<u64>,
    /// Only those with a smaller number.
    pub before: Option<u64>,
    /// So many at most.
    pub limit: usize,
    /// From which end.
    pub order: Order,
}

/// From which end entries are taken, and in which order they are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The first ones; continue with `after`.
    OldestFirst,
    /// The last ones, backwards; continue with `before`.
    NewestFirst,
}

/// Entries, each with the number of its repeats in the whole session.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The entries, in the order that was asked for.
    pub entries: Vec<LogEntry>,
    /// If there are more: the number to ask on with, as `after` or `before`.
    pub next: Option<u64>,
    /// How many lines were passed over because they are not sound.
    pub damaged: u64,
}

/// Entries that are kept while a session is read, and their repeats.
#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<LogEntry>,
    repeats: HashMap<EntryId, u64>,
}

// === impl Query ===

impl Default for Query {
    /// The newest hundred.
    fn default() -> Self {
        let (after, before) = (None, None);
        Self { filter: Filter::default(), after, before, limit: 100, order: Order::NewestFirst }
    }
}

impl Query {
    fn is_in_range(&self, seq: u64) -> bool {
        self.after.is_none_or(|after| seq > after) && self.before.is_none_or(|before| seq < before)
    }

    /// Keeps `entry` if it is wanted. Says whether one was left out for want
    /// of room.
    fn keep(&self, kept: &mut Kept, entry: LogEntry) -> bool {
        if !self.is_in_range(entry.seq) || !self.filter.matches(&entry) {
            return false;
        }
        match self.order {
            Order::OldestFirst if kept.entries.len() >= self.limit => true,
            Order::OldestFirst => {
                kept.push(entry);
                false
            }
            Order::NewestFirst => {
                kept.push(entry);
                kept.shrink(self.limit)
            }
        }
    }
}

// === impl Kept ===

impl Kept {
    fn push(&mut self, entry: LogEntry) {
        self.repeats.insert(entry.entry_id.clone(), 0);
        self.entries.push_back(entry);
    }

    fn count(&mut self, repeat: &Repeat) {
        if let Some(count) = self.repeats.get_mut(&repeat.of) {
            *count += 1;
        }
    }

    /// Gives up the oldest, until there are no more than `limit`.
    fn shrink(&mut self, limit: usize) -> bool {
        let is_over = self.entries.len() > limit;
        while self.entries.len() > limit {
            if let Some(entry) = self.entries.pop_front() {
                self.repeats.remove(&entry.entry_id);
            }
        }
        is_over
    }

    fn into_entries(mut self) -> Vec<LogEntry> {
        for entry in &mut self.entries {
            entry.repeats = self.repeats.get(&entry.entry_id).copied().unwrap_or(0);
        }
        self.entries.into()
    }
}

// === impl Sessions ===

impl Sessions {
    /// The entries of `session` that `query` asks for. Reads the session once
    /// and keeps only the page.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn entries(&self, session: &SessionId, query: &Query) -> Result<Page, Error> {
        let mut raw = self.raw(session)?;
        let (mut kept, mut has_more, mut damaged) = (Kept::default(), false, 0);
        while let Some(span) = raw.next()? {
            let is_done = has_more && query.order == Order::OldestFirst;
            let is_wanted = |seq| !is_done && query.is_in_range(seq);
            match read(&mut raw, span, is_wanted) {
                Found::Entry(entry) => has_more |= query.keep(&mut kept, *entry),
                Found::Repeat(repeat) => kept.count(&repeat),
                Found::Damaged => damaged += 1,
                Found::Other => {}
            }
        }
        let mut entries = kept.into_entries();
        if query.order == Order::NewestFirst {
            entries.reverse();
        }
        let last = entries.last().map(|entry| entry.seq);
        Ok(Page { entries, next: last.filter(|_| has_more), damaged })
    }

    /// The entry with the id `entry`, with `count` entries before it and
    /// `count` after it, oldest first. `None` if the session has no such entry.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn around(
        &self,
        session: &SessionId,
        entry: &EntryId,
        count: usize,
    ) -> Result<Option<Vec<LogEntry>>, Error> {
        let mut raw = self.raw(session)?;
        let mut kept = Kept::default();
        let mut missing = None;
        while let Some(span) = raw.next()? {
            match read(&mut raw, span, |_| missing != Some(0)) {
                Found::Entry(found) => {
                    let is_it = found.entry_id == *entry;
                    kept.push(*found);
                    missing = match missing {
                        None if is_it => Some(count),
                        None => {
                            kept.shrink(count);
                            None
                        }
                        Some(missing) => Some(missing - 1),
                    };
                }
                Found::Repeat(repeat) => kept.count(&repeat),
                Found::Damaged | Found::Other => {}
            }
        }
        Ok(missing.map(|_| kept.into_entries()))
    }
}

enum Found {
    Entry(Box<LogEntry>),
    Repeat(Repeat),
    Damaged,
    /// Another line, or an entry that is not wanted; not looked at closely.
    Other,
}

fn read(raw: &mut RawLines, span: Span, is_wanted: impl Fn(u64) -> bool) -> Found {
    match span.state {
        State::Whole => {}
        State::Unusable => return Found::Damaged,
        State::Unfinished => return Found::Other,
    }
    let line = raw.line();
    if is_entry(line) && !entry_seq(line).is_none_or(is_wanted) {
        return Found::Other;
    }
    let parsed = match parse(line) {
        None if raw.cut(span).is_some() => parse(raw.line()),
        parsed => parsed,
    };
    match parsed {
        Some(Parsed::Entry(entry)) => Found::Entry(entry),
        Some(Parsed::Repeat(repeat)) => Found::Repeat(repeat),
        Some(Parsed::Other(_)) => Found::Other,
        None => Found::Damaged,
    }
}

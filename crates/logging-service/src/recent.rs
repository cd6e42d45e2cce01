//! The latest entries, in memory.

use std::num::NonZeroUsize;
use std::sync::Arc;

use log_entry::{EntryId, Filter, LogEntry};
use ring_buffer::{Bounds, Position, RingBuffer};

/// The ring: what a late dashboard is shown first, also while the disk is away.
#[derive(Debug)]
pub(crate) struct Recent {
    ring: RingBuffer<Kept>,
    last_seq: u64,
}

#[derive(Debug)]
struct Kept {
    entry: Arc<LogEntry>,
    repeats: u64,
}

// === impl Recent ===

impl Recent {
    pub(crate) fn new(items: NonZeroUsize, bytes: usize) -> Self {
        Self { ring: RingBuffer::new(Bounds { items, bytes }), last_seq: 0 }
    }

    pub(crate) fn push(&mut self, entry: Arc<LogEntry>, bytes: usize) -> Position {
        self.last_seq = entry.seq;
        self.ring.push(Kept { entry, repeats: 0 }, bytes)
    }

    /// The entry at `position` has happened `count` more times so far.
    pub(crate) fn repeated(&mut self, position: Position, count: u64) {
        if let Some(kept) = self.ring.get_mut(position) {
            kept.repeats = count;
        }
    }

    /// The number of the latest entry; 0 before the first.
    pub(crate) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The number of the oldest entry that is still here.
    pub(crate) fn first_seq(&self) -> Option<u64> {
        self.ring.iter().next().map(|(_, kept)| kept.entry.seq)
    }

    /// The latest `limit` entries with a number below `before` that pass, in
    /// rising order.
    pub(crate) fn latest(&self, filter: &Filter, before: u64, limit: usize) -> Vec<LogEntry> {
        let mut entries: Vec<_> = self
            .ring
            .iter()
            .rev()
            .filter(|(_, kept)| kept.entry.seq < before && filter.matches(&kept.entry))
            .take(limit)
            .map(|(_, kept)| kept.snapshot())
            .collect();
        entries.reverse();
        entries
    }

    /// The first `limit` entries with a number above `after` that pass.
    pub(crate) fn after(&self, filter: &Filter, after: u64, limit: usize) -> Vec<LogEntry> {
        self.ring
            .iter()
            .filter(|(_, kept)| kept.entry.seq > after && filter.matches(&kept.entry))
            .take(limit)
            .map(|(_, kept)| kept.snapshot())
            .collect()
    }

    /// The number of the entry with this id, if it is still here.
    pub(crate) fn seq_of(&self, id: &EntryId) -> Option<u64> {
        self.ring
            .iter()
            .find(|(_, kept)| kept.entry.entry_id == *id)
            .map(|(_, kept)| kept.entry.seq)
    }
}

// === impl Kept ===

impl Kept {
    fn snapshot(&self) -> LogEntry {
        LogEntry { repeats: self.repeats, ..(*self.entry).clone() }
    }
}

//! What arrived, in numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use log_entry::DropReason;

const REASONS: usize = DropReason::ALL.len();

/// What arrived so far. Nothing but `connections_open` ever goes down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are open.
    pub connections_open: u64,
    /// Connections that were ever taken.
    pub connections_total: u64,
    /// Connections that were turned away because there were too many.
    pub connections_refused: u64,
    /// Whole frames, whatever was in them.
    pub frames: u64,
    /// Datagrams, whatever was in them.
    pub datagrams: u64,
    /// Records that the sink accepted.
    pub records: u64,
    /// What was lost, by reason: refused by the sink, or no record at all.
    pub refused: Vec<(DropReason, u64)>,
}

/// Reads the [`Stats`] of a [`LogIngest`](crate::LogIngest), also while that
/// belongs to a supervisor. Cheap to clone and to read.
#[derive(Debug, Clone, Default)]
pub struct StatsReader {
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections_open: AtomicU64,
    pub(crate) connections_total: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) datagrams: AtomicU64,
    pub(crate) records: AtomicU64,
    refused: [AtomicU64; REASONS],
}

// === impl StatsReader ===

impl StatsReader {
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The numbers as they are now.
    pub fn read(&self) -> Stats {
        let counters = &*self.counters;
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let by_reason = DropReason::ALL.into_iter().zip(counters.refused.iter().map(value));
        Stats {
            connections_open: value(&counters.connections_open),
            connections_total: value(&counters.connections_total),
            connections_refused: value(&counters.connections_refused),
            frames: value(&counters.frames),
            datagrams: value(&counters.datagrams),
            records: value(&counters.records),
            refused: by_reason.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

// === impl Counters ===

impl Counters {
    pub(crate) fn refuse(&self, reason: DropReason, count: u64) {
        if let Some(place) = DropReason::ALL.iter().position(|known| *known == reason) {
            self.refused[place].fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

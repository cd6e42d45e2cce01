//! The ledger: what became of every record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use log_entry::{DropReason, Level, Service};
use logging_api::{ServiceCounts, ViewCounts};
use parking_lot::Mutex;

/// Counts every record once when it comes and once when its fate is known.
///
/// A record is counted as accepted before the pipeline can take it, and all
/// other counts change under one lock: in a snapshot, which reads them in the
/// opposite order, no outcome is without its record, and
/// `received = stored + merged + filtered + Σ dropped + in_flight` holds.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Not under the lock: whoever logs must not wait for who counts.
    accepted: AtomicU64,
    counts: Mutex<Counts>,
}

/// A snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) stored: u64,
    pub(crate) merged: u64,
    pub(crate) filtered: BTreeMap<FilterReason, u64>,
    pub(crate) dropped: BTreeMap<DropReason, u64>,
    pub(crate) in_flight: u64,
    /// Records whose fate is known, of those that were accepted.
    settled: u64,
    pub(crate) services: BTreeMap<Arc<str>, ServiceCounts>,
    pub(crate) views: ViewCounts,
}

/// Why a record was not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FilterReason {
    /// It is below its logger's threshold.
    Level,
    /// The same emitter sent it before, with the same id.
    Duplicate,
}

/// What became of a record that the pipeline took in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Stored,
    Merged,
    Filtered(FilterReason),
    NotWritten,
}

/// Services counted by name; further ones are counted together. Names come
/// from outside, so their number must have a bound.
const SERVICES_MAX: usize = 512;
const OTHER: &str = "(other)";

// === impl Ledger ===

impl Ledger {
    /// `count` records are on their way to the pipeline.
    pub(crate) fn accepted(&self, count: u64) {
        self.accepted.fetch_add(count, Ordering::Release);
    }

    /// `count` records were lost before the pipeline saw them.
    pub(crate) fn dropped_at_the_door(&self, reason: DropReason, count: u64) {
        let mut counts = self.counts.lock();
        counts.received += count;
        *counts.dropped.entry(reason).or_default() += count;
    }

    /// The pipeline took a record in.
    pub(crate) fn named(&self, service: &Service, level: Level) {
        let mut counts = self.counts.lock();
        let service = counts.service(service);
        service.received += 1;
        *service.by_level.entry(level).or_default() += 1;
    }

    /// What became of a record is known.
    pub(crate) fn settled(&self, service: &Service, fate: Fate) {
        let mut counts = self.counts.lock();
        counts.settled += 1;
        match fate {
            Fate::Stored => counts.stored += 1,
            Fate::Merged => counts.merged += 1,
            Fate::Filtered(reason) => *counts.filtered.entry(reason).or_default() += 1,
            Fate::NotWritten => *counts.dropped.entry(DropReason::NotWritten).or_default() += 1,
        }
        let service = counts.service(service);
        match fate {
            Fate::Stored => service.stored += 1,
            Fate::Merged => service.merged += 1,
            Fate::Filtered(_) => service.filtered += 1,
            Fate::NotWritten => service.dropped += 1,
        }
    }

    /// The views leave something out.
    pub(crate) fn views(&self, change: impl FnOnce(&mut ViewCounts)) {
        change(&mut self.counts.lock().views);
    }

    /// All counts, of one instant.
    pub(crate) fn snapshot(&self) -> Counts {
        let mut counts = self.counts.lock().clone();
        let accepted = self.accepted.load(Ordering::Acquire);
        debug_assert!(counts.settled <= accepted, "a record was settled twice");
        counts.received += accepted;
        counts.in_flight = accepted.saturating_sub(counts.settled);
        counts
    }
}

// === impl Counts ===

impl Counts {
    fn service(&mut self, service: &Service) -> &mut ServiceCounts {
        let is_known = self.services.contains_key(&service.key);
        let (key, name): (Arc<str>, &str) = if is_known || self.services.len() < SERVICES_MAX {
            (service.key.clone(), &service.name)
        } else {
            (OTHER.into(), OTHER)
        };
        self.services.entry(key).or_insert_with(|| ServiceCounts {
            service: name.to_owned(),
            ..ServiceCounts::default()
        })
    }

    /// What was not wanted, in all.
    pub(crate) fn filtered_total(&self) -> u64 {
        self.filtered.values().sum()
    }

    /// What was not wanted, by the reason's word.
    pub(crate) fn filtered_by_name(&self) -> BTreeMap<String, u64> {
        self.filtered.iter().map(|(reason, count)| (reason.as_str().to_owned(), *count)).collect()
    }

    /// What was lost, by the reason's word.
    pub(crate) fn dropped_by_name(&self) -> BTreeMap<String, u64> {
        self.dropped.iter().map(|(reason, count)| (reason.as_str().to_owned(), *count)).collect()
    }

    /// Whether every record is accounted for.
    pub(crate) fn adds_up(&self) -> bool {
        let dropped: u64 = self.dropped.values().sum();
        self.received
            == self.stored + self.merged + self.filtered_total() + dropped + self.in_flight
    }
}

// === impl FilterReason ===

impl FilterReason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Level => "level",
            Self::Duplicate => "duplicate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_keeps_the_balance() {
        let ledger = Ledger::default();
        let service = Service::new("cli", "CLI Service");
        ledger.accepted(4);
        for fate in
            [Fate::Stored, Fate::Merged, Fate::Filtered(FilterReason::Level), Fate::NotWritten]
        {
            ledger.named(&service, Level::Info);
            ledger.settled(&service, fate);
            assert!(ledger.snapshot().adds_up());
        }
        ledger.dropped_at_the_door(DropReason::Malformed, 3);
        let counts = ledger.snapshot();
        assert!(counts.adds_up());
        assert_eq!((counts.received, counts.in_flight), (7, 0));
        assert_eq!(counts.services["cli"].received, 4);
    }

    #[test]
    fn services_beyond_the_bound_are_counted_together() {
        let ledger = Ledger::default();
        for number in 0..SERVICES_MAX + 10 {
            ledger.named(&Service::new(number.to_string(), "x"), Level::Info);
        }
        let counts = ledger.snapshot();
        assert_eq!(counts.services.len(), SERVICES_MAX + 1);
        assert_eq!(counts.services[OTHER].received, 10);
    }
}

//! What was lost lately, gathered until the pipeline tells of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use chrono::Utc;
use log_entry::{DropReason, Loss, Timestamp};
use parking_lot::Mutex;
use session_store::Line;

/// Losses by reason since the pipeline last told of them.
#[derive(Debug, Default)]
pub(crate) struct Losses(Mutex<BTreeMap<DropReason, LossSum>>);

/// All losses for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LossSum {
    pub(crate) count: u64,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// Of the latest loss, for people.
    pub(crate) origin: String,
    /// Of the latest loss, for people.
    pub(crate) detail: String,
    /// As far as it is known whose they were.
    pub(crate) by_service: BTreeMap<Arc<str>, u64>,
}

/// Services named in one line; the losses of others are counted together.
const SERVICES_MAX: usize = 32;
/// Text about a loss that is kept, in characters: it quotes what was sent to us.
const TEXT_MAX: usize = 300;

impl Losses {
    pub(crate) fn add(&self, loss: &Loss) {
        self.add_of_services(loss, BTreeMap::new());
    }

    /// As [`add`](Self::add), of which it is known whose records they were.
    pub(crate) fn add_of_services(&self, loss: &Loss, by_service: BTreeMap<Arc<str>, u64>) {
        let now = Utc::now();
        let mut sums = self.0.lock();
        let sum = sums.entry(loss.reason).or_insert_with(|| LossSum {
            count: 0,
            first: now,
            last: now,
            origin: String::new(),
            detail: String::new(),
            by_service: BTreeMap::new(),
        });
        sum.count += loss.count;
        sum.last = now;
        sum.origin = loss.origin.chars().take(TEXT_MAX).collect();
        sum.detail = loss.detail.chars().take(TEXT_MAX).collect();
        sum.count_services(by_service);
    }

    /// Takes `sum` back: what was to tell of it was lost itself.
    pub(crate) fn restore(&self, reason: DropReason, sum: LossSum) {
        let mut sums = self.0.lock();
        match sums.entry(reason) {
            Entry::Vacant(vacant) => {
                vacant.insert(sum);
            }
            Entry::Occupied(mut later) => {
                let later = later.get_mut();
                later.count += sum.count;
                later.first = sum.first;
                later.count_services(sum.by_service);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub(crate) fn take(&self) -> BTreeMap<DropReason, LossSum> {
        std::mem::take(&mut self.0.lock())
    }
}

// === impl LossSum ===

impl LossSum {
    /// The line of the session record that tells of it.
    pub(crate) fn line(&self, reason: DropReason) -> Line {
        let Self { count, first, last, .. } = *self;
        let named = self.by_service.iter().map(|(service, count)| (service.to_string(), *count));
        Line::Loss { reason, count, first, last, by_service: named.collect() }
    }

    fn count_services(&mut self, by_service: BTreeMap<Arc<str>, u64>) {
        for (service, count) in by_service {
            let is_known = self.by_service.contains_key(&service);
            let has_place = is_known || self.by_service.len() < SERVICES_MAX;
            let service = if has_place { service } else { "(other)".into() };
            *self.by_service.entry(service).or_default() += count;
        }
    }
}

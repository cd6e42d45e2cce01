//! What was lost lately, gathered until the pipeline tells of it.

use std::collections::BTreeMap;

use chrono::Utc;
use log_entry::{DropReason, Loss, Timestamp};
use parking_lot::Mutex;

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
}

/// Text about a loss that is kept, in characters: it quotes what was sent to us.
const TEXT_MAX: usize = 300;

impl Losses {
    pub(crate) fn add(&self, loss: &Loss) {
        let now = Utc::now();
        let mut sums = self.0.lock();
        let sum = sums.entry(loss.reason).or_insert_with(|| LossSum {
            count: 0,
            first: now,
            last: now,
            origin: String::new(),
            detail: String::new(),
        });
        sum.count += loss.count;
        sum.last = now;
        sum.origin = loss.origin.chars().take(TEXT_MAX).collect();
        sum.detail = loss.detail.chars().take(TEXT_MAX).collect();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub(crate) fn take(&self) -> BTreeMap<DropReason, LossSum> {
        std::mem::take(&mut self.0.lock())
    }
}

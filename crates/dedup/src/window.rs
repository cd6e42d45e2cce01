use std::time::Duration;

use crate::Key;

/// A window into which repeats are being folded.
#[derive(Debug)]
pub struct Open<V> {
    // The table's two fields are here and not around the window, because padding
    // would make every slot a fifth larger for a value aligned to 16 bytes.
    pub(crate) key: Key,
    /// The number of the next older window of the same bucket.
    pub(crate) older: u64,
    value: V,
    repeats: u64,
    first: Duration,
    last: Duration,
}

/// The summary of a window into which at least one repeat was folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed<V> {
    /// What the caller remembers of the first record.
    pub value: V,
    /// Records that were folded, the first not among them; never zero.
    pub repeats: u64,
    /// When the first record came.
    pub first: Duration,
    /// When the last repeat came.
    pub last: Duration,
}

impl<V> Open<V> {
    pub(crate) fn new(key: Key, value: V, now: Duration) -> Self {
        Self { key, older: 0, value, repeats: 0, first: now, last: now }
    }

    /// Counts one more, which came at `now`.
    pub(crate) fn fold(&mut self, now: Duration) {
        self.repeats += 1;
        self.last = now;
    }

    /// Whether a window of length `window` is over at `now`.
    pub(crate) fn is_over(&self, now: Duration, window: Duration) -> bool {
        now.saturating_sub(self.first) >= window
    }

    /// The summary, if there is anything to sum up.
    pub(crate) fn close(self) -> Option<Closed<V>> {
        let Self { value, repeats, first, last, .. } = self;
        (repeats > 0).then_some(Closed { value, repeats, first, last })
    }

    /// What the caller remembers of the first record.
    pub fn value(&self) -> &V {
        &self.value
    }

    /// What the caller remembers of the first record, to change it.
    pub fn value_mut(&mut self) -> &mut V {
        &mut self.value
    }

    /// Records folded so far, the one just admitted included, the first not.
    pub fn repeats(&self) -> u64 {
        self.repeats
    }

    /// When the first record came.
    pub fn first(&self) -> Duration {
        self.first
    }

    /// When the last one came; the one just admitted.
    pub fn last(&self) -> Duration {
        self.last
    }
}

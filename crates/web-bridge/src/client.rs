//! What waits for one client.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use log_entry::{EntryId, Filter, FilterError, FilterSpec, Level, LogEntry, Timestamp};
use logging_api::DashboardLog;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

use crate::config::QueueLimits;

/// An entry as all clients share it: parsed once, written once.
#[derive(Debug)]
pub(crate) struct LiveEntry {
    pub(crate) entry: LogEntry,
    /// The entry as JSON, on one line.
    pub(crate) json: Bytes,
    /// The short form, once somebody wants it.
    short: OnceLock<DashboardLog>,
}

/// Entries that were not sent, between two that were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Gap {
    pub(crate) reason: GapReason,
    pub(crate) count: u64,
    /// All of them come after this `seq`…
    pub(crate) after: u64,
    /// …and before this one; unknown until the next entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GapReason {
    /// The client did not read fast enough.
    SlowClient,
    /// They did not reach the bridge, or it could not read them again.
    NotKept,
}

/// What a client can be sent, in order.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Entry(Arc<LiveEntry>),
    /// The line that ends a window of repeats.
    Summary(Arc<DashboardLog>),
    Gap(Gap),
}

/// How often an entry has happened again, so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RepeatCount {
    pub(crate) of: EntryId,
    /// The number of the latest occurrence in our session, if it is in ours.
    pub(crate) seq: Option<u64>,
    pub(crate) count: u64,
    pub(crate) last: Timestamp,
}

/// Which of the two ways to show repeats a client understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// Counts, as they rise.
    Counted,
    /// A line for each window, when it is over.
    Summed,
}

/// What a client wants to see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    filter: Filter,
    /// The part of the filter that also holds for what is no entry.
    level: Option<Level>,
}

/// What is taken out of a client's queue at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) items: Vec<Item>,
    /// Counts for entries sent before or in this batch.
    pub(crate) repeats: Vec<RepeatCount>,
}

/// A bounded queue between the relay and one client. The relay never waits: if
/// the queue is full, the oldest entry goes, is counted, and leaves a [`Gap`].
#[derive(Debug)]
pub(crate) struct Client {
    state: Mutex<Queue>,
    /// One permit while there is something to look at.
    wake: Notify,
    repeats: Repeats,
    limits: QueueLimits,
    /// What all clients together were not sent.
    missed: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Queue {
    wanted: Wanted,
    /// What was dropped in front of the items.
    lost: Option<Gap>,
    items: VecDeque<Item>,
    entries: usize,
    bytes: usize,
    /// The `seq` of the latest entry that was taken out or dropped.
    passed: u64,
    repeats: VecDeque<RepeatCount>,
    is_closed: bool,
}

/// Counts that may wait for one client.
const REPEATS_MAX: usize = 512;

// === impl Wanted ===

impl Wanted {
    pub(crate) fn new(spec: &FilterSpec) -> Result<Self, FilterError> {
        Ok(Self { filter: Filter::new(spec)?, level: spec.level })
    }

    fn has(&self, entry: &LogEntry) -> bool {
        self.filter.matches(entry)
    }

    fn has_level(&self, level: Level) -> bool {
        self.level.is_none_or(|least| level >= least)
    }
}

// === impl LiveEntry ===

impl LiveEntry {
    pub(crate) fn new(entry: LogEntry) -> Self {
        // Written anew whatever it was read from, so that it is one line and
        // free of controls.
        let json = entry.to_json().into();
        Self { entry, json, short: OnceLock::new() }
    }

    /// The entry in the form of CantinaOS's dashboard.
    pub(crate) fn short(&self) -> &DashboardLog {
        self.short.get_or_init(|| DashboardLog::from(&self.entry))
    }
}

// === impl Gap ===

impl Gap {
    /// Both gaps, with this one in front.
    fn and(self, later: &Self) -> Self {
        Self { count: self.count + later.count, before: later.before.or(self.before), ..self }
    }

    /// What of it comes after `last`, up to which nothing is missing.
    pub(crate) fn beyond(self, last: u64) -> Option<Self> {
        let after = self.after.max(last);
        // There cannot be more of them than numbers between.
        let room = self.before.map_or(u64::MAX, |before| before.saturating_sub(after + 1));
        (room > 0).then(|| Self { count: self.count.min(room), after, ..self })
    }
}

// === impl Client ===

impl Client {
    pub(crate) fn new(
        wanted: Wanted,
        repeats: Repeats,
        limits: QueueLimits,
        missed: Arc<AtomicU64>,
    ) -> Self {
        let state = Mutex::new(Queue { wanted, ..Queue::default() });
        Self { state, wake: Notify::new(), repeats, limits, missed }
    }

    /// Queues `entry`, if the client wants it.
    pub(crate) fn push(&self, entry: &Arc<LiveEntry>) {
        let mut queue = self.state.lock();
        if queue.is_closed || !queue.wanted.has(&entry.entry) {
            return;
        }
        queue.add(Item::Entry(entry.clone()));
        self.missed.fetch_add(queue.shrink(&self.limits), Ordering::Relaxed);
        drop(queue);
        self.wake.notify_one();
    }

    /// Queues the line that ends a window of repeats, if the client wants it.
    pub(crate) fn push_summary(&self, summary: &Arc<DashboardLog>) {
        let mut queue = self.state.lock();
        if queue.is_closed
            || self.repeats != Repeats::Summed
            || !queue.wanted.has_level(summary.level)
        {
            return;
        }
        queue.add(Item::Summary(summary.clone()));
        self.missed.fetch_add(queue.shrink(&self.limits), Ordering::Relaxed);
        drop(queue);
        self.wake.notify_one();
    }

    /// Queues a count, if the client wants it. `entry` is what was repeated, if
    /// that is still known; if not, the client gets the count and knows itself.
    pub(crate) fn push_repeat(&self, count: &RepeatCount, entry: Option<&LogEntry>) {
        let mut queue = self.state.lock();
        let is_wanted =
            self.repeats == Repeats::Counted && entry.is_none_or(|entry| queue.wanted.has(entry));
        if queue.is_closed || !is_wanted {
            return;
        }
        queue.add_repeat(count);
        drop(queue);
        self.wake.notify_one();
    }

    /// Queues the news that entries are missing here. They are counted by who lost them.
    pub(crate) fn push_gap(&self, gap: &Gap) {
        let mut queue = self.state.lock();
        if !queue.is_closed {
            queue.add(Item::Gap(gap.clone()));
            drop(queue);
            self.wake.notify_one();
        }
    }

    /// From now on only what is `wanted`, of what waits too.
    pub(crate) fn set_wanted(&self, wanted: Wanted) {
        let mut queue = self.state.lock();
        queue.wanted = wanted;
        let items = std::mem::take(&mut queue.items);
        (queue.entries, queue.bytes) = (0, 0);
        for item in items {
            if queue.wants(&item) {
                queue.add(item);
            }
        }
    }

    /// Ends the queue after what is in it.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.wake.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Waits until something is queued; `false` means that nothing is, nor will be.
    ///
    /// Cancel safe. For one waiter at a time.
    pub(crate) async fn ready(&self) -> bool {
        self.wait_for(|queue| !queue.is_empty()).await
    }

    /// Waits until `entries` items are queued, or the queue is closed.
    ///
    /// Cancel safe. For one waiter at a time.
    pub(crate) async fn full(&self, entries: usize) {
        self.wait_for(|queue| queue.items.len() >= entries).await;
    }

    async fn wait_for(&self, enough: impl Fn(&Queue) -> bool) -> bool {
        loop {
            {
                let queue = self.state.lock();
                if enough(&queue) {
                    return true;
                }
                if queue.is_closed {
                    return !queue.is_empty();
                }
            }
            self.wake.notified().await;
        }
    }

    /// Takes up to `count` items with about `bytes` bytes of JSON, at least one.
    pub(crate) fn take(&self, count: usize, bytes: usize) -> Batch {
        let mut queue = self.state.lock();
        let mut batch = Batch::default();
        if let Some(gap) = queue.lost.take() {
            batch.items.push(Item::Gap(gap));
        }
        let mut taken = 0;
        while batch.items.len() < count && (taken < bytes || batch.items.is_empty()) {
            let Some(item) = queue.pop() else { break };
            taken += item.bytes();
            batch.items.push(item);
        }
        // A count must not overtake its entry.
        if queue.items.is_empty() {
            batch.repeats = queue.repeats.drain(..).collect();
        }
        batch
    }

    /// What is known to be lost and not yet told, if it is the next thing.
    pub(crate) fn first_gap(&self) -> Option<Gap> {
        let queue = self.state.lock();
        queue.lost.clone().or_else(|| match queue.items.front() {
            Some(Item::Gap(gap)) => Some(gap.clone()),
            _ => None,
        })
    }

    /// Takes the gap away that [`first_gap`](Self::first_gap) showed.
    pub(crate) fn skip_first_gap(&self) {
        let mut queue = self.state.lock();
        if queue.lost.take().is_none() && matches!(queue.items.front(), Some(Item::Gap(_))) {
            queue.pop();
        }
    }
}

// === impl Queue ===

impl Queue {
    fn is_empty(&self) -> bool {
        self.lost.is_none() && self.items.is_empty() && self.repeats.is_empty()
    }

    fn wants(&self, item: &Item) -> bool {
        match item {
            Item::Entry(entry) => self.wanted.has(&entry.entry),
            Item::Summary(summary) => self.wanted.has_level(summary.level),
            Item::Gap(_) => true,
        }
    }

    fn add(&mut self, item: Item) {
        // Gaps in a row become one, so that losses cannot fill the queue.
        if let (Item::Gap(later), Some(Item::Gap(gap))) = (&item, self.items.back_mut()) {
            *gap = gap.clone().and(later);
            return;
        }
        self.entries += usize::from(!matches!(item, Item::Gap(_)));
        self.bytes += item.bytes();
        self.items.push_back(item);
    }

    fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.entries -= usize::from(!matches!(item, Item::Gap(_)));
        self.bytes -= item.bytes();
        if let Item::Entry(entry) = &item {
            self.passed = entry.entry.seq;
        }
        Some(item)
    }

    /// Drops the oldest until the rest fits; returns how many entries went.
    fn shrink(&mut self, limits: &QueueLimits) -> u64 {
        let mut dropped = 0;
        while self.entries > limits.entries || (self.bytes > limits.bytes && self.entries > 1) {
            let Some(item) = self.pop() else { break };
            dropped += u64::from(!matches!(item, Item::Gap(_)));
            let gap = item.into_gap(self.passed);
            self.lost = Some(match self.lost.take() {
                Some(lost) => lost.and(&gap),
                None => gap,
            });
        }
        dropped
    }

    /// Counts are absolute: a newer one takes the place of an older one. If too
    /// many wait, the oldest goes, and the next count for its entry makes up for it.
    fn add_repeat(&mut self, count: &RepeatCount) {
        if let Some(waiting) = self.repeats.iter_mut().find(|waiting| waiting.of == count.of) {
            *waiting = count.clone();
            return;
        }
        if self.repeats.len() == REPEATS_MAX {
            self.repeats.pop_front();
        }
        self.repeats.push_back(count.clone());
    }
}

// === impl Item ===

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Entry(entry) => entry.json.len(),
            Self::Summary(summary) => summary.message.len(),
            Self::Gap(_) => 0,
        }
    }

    /// What is to be said when it is dropped behind the entry with the `seq`
    /// `passed`.
    fn into_gap(self, passed: u64) -> Gap {
        let (after, before) = match self {
            Self::Gap(gap) => return gap,
            Self::Entry(entry) => (entry.entry.seq.saturating_sub(1), Some(entry.entry.seq + 1)),
            // Its number is of another place, or even of another session.
            Self::Summary(_) => (passed, None),
        };
        Gap { reason: GapReason::SlowClient, count: 1, after, before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{entry, entry_at};
    use proptest::prelude::*;

    const PLENTY: usize = usize::MAX;

    fn client(entries: usize) -> Client {
        let limits = QueueLimits { entries, bytes: PLENTY };
        Client::new(Wanted::default(), Repeats::Counted, limits, Arc::default())
    }

    fn live(seq: u64) -> Arc<LiveEntry> {
        Arc::new(LiveEntry::new(entry(seq)))
    }

    fn seqs(batch: &Batch) -> Vec<String> {
        let show = |item: &Item| match item {
            Item::Entry(entry) => entry.entry.seq.to_string(),
            Item::Summary(summary) => format!("sum {}", summary.seq),
            Item::Gap(Gap { count, after, before, .. }) => {
                format!(
                    "gap {count} ({after}, {})",
                    before.map_or("?".into(), |seq| seq.to_string())
                )
            }
        };
        batch.items.iter().map(show).collect()
    }

    fn update(of: u64, count: u64) -> RepeatCount {
        let entry = entry(of);
        RepeatCount { of: entry.entry_id, seq: Some(of + count), count, last: entry.timestamp }
    }

    #[test]
    fn a_full_queue_drops_the_oldest_and_says_so_in_front() {
        let client = client(2);
        for seq in 1..=5 {
            client.push(&live(seq));
        }
        assert_eq!(seqs(&client.take(10, PLENTY)), ["gap 3 (0, 4)", "4", "5"]);
        assert_eq!(client.missed.load(Ordering::Relaxed), 3);
        client.push(&live(6));
        assert_eq!(seqs(&client.take(10, PLENTY)), ["6"]);
    }

    #[test]
    fn a_dropped_line_about_repeats_says_nothing_of_numbers() {
        let limits = QueueLimits { entries: 2, bytes: PLENTY };
        let client = Client::new(Wanted::default(), Repeats::Summed, limits, Arc::default());
        // Its number is of a session elsewhere.
        let line = DashboardLog { seq: 90_000, repeats: 3, ..DashboardLog::from(&entry(1)) };
        for seq in 10..=12 {
            client.push(&live(seq));
            client.push_summary(&Arc::new(line.clone()));
        }
        assert_eq!(seqs(&client.take(1, PLENTY)), ["gap 4 (9, 12)"]);
        assert_eq!(seqs(&client.take(2, PLENTY)), ["12", "sum 90000"]);
        client.push_summary(&Arc::new(line.clone()));
        client.push_summary(&Arc::new(line));
        client.push(&live(13));
        assert_eq!(seqs(&client.take(1, PLENTY)), ["gap 1 (12, ?)"]);
    }

    #[test]
    fn the_limit_in_bytes_counts_too_but_one_entry_fits_always() {
        let limits = QueueLimits { entries: 100, bytes: 1 };
        let client = Client::new(Wanted::default(), Repeats::Counted, limits, Arc::default());
        client.push(&live(1));
        client.push(&live(2));
        assert_eq!(seqs(&client.take(10, 1)), ["gap 1 (0, 2)", "2"]);
    }

    #[test]
    fn a_gap_from_elsewhere_keeps_its_place_and_adds_up() {
        let client = client(10);
        let gap = Gap { reason: GapReason::NotKept, count: 4, after: 1, before: Some(6) };
        client.push(&live(1));
        client.push_gap(&gap);
        client.push_gap(&Gap { after: 5, before: Some(8), ..gap });
        client.push(&live(8));
        assert_eq!(seqs(&client.take(10, PLENTY)), ["1", "gap 8 (1, 8)", "8"]);
    }

    #[test]
    fn a_gap_says_nothing_of_what_was_sent_otherwise() {
        let gap = Gap { reason: GapReason::SlowClient, count: 6, after: 2, before: Some(9) };
        assert_eq!(gap.clone().beyond(2), Some(gap.clone()));
        assert_eq!(gap.clone().beyond(5), Some(Gap { count: 3, after: 5, ..gap.clone() }));
        assert_eq!(gap.clone().beyond(8), None);
        // Of a filtered stream fewer are missing than numbers.
        let filtered = Gap { count: 2, ..gap.clone() };
        assert_eq!(filtered.clone().beyond(4), Some(Gap { after: 4, ..filtered.clone() }));
        let open = Gap { before: None, ..gap };
        assert_eq!(open.clone().beyond(5), Some(Gap { after: 5, ..open }));
    }

    #[test]
    fn a_filter_set_late_holds_for_what_waits() {
        let client = client(10);
        for (seq, level) in [(1, Level::Debug), (2, Level::Error), (3, Level::Info)] {
            client.push(&Arc::new(LiveEntry::new(entry_at(seq, level))));
        }
        let spec = FilterSpec { level: Some(Level::Warning), ..FilterSpec::default() };
        client.set_wanted(Wanted::new(&spec).unwrap());
        client.push(&Arc::new(LiveEntry::new(entry_at(4, Level::Info))));
        assert_eq!(seqs(&client.take(10, PLENTY)), ["2"]);
    }

    #[test]
    fn counts_replace_each_other_and_do_not_overtake_their_entry() {
        let client = client(10);
        client.push(&live(1));
        client.push(&live(2));
        client.push_repeat(&update(2, 1), None);
        client.push_repeat(&update(2, 5), None);
        assert!(client.take(1, PLENTY).repeats.is_empty());
        let counts: Vec<_> =
            client.take(1, PLENTY).repeats.iter().map(|update| update.count).collect();
        assert_eq!(counts, [5]);
    }

    #[test]
    fn counts_of_entries_that_are_not_wanted_are_not_sent() {
        let client = client(10);
        let spec = FilterSpec { level: Some(Level::Warning), ..FilterSpec::default() };
        client.set_wanted(Wanted::new(&spec).unwrap());
        client.push_repeat(&update(1, 1), Some(&entry_at(1, Level::Info)));
        assert!(client.take(1, PLENTY).repeats.is_empty());
        client.push_repeat(&update(1, 1), Some(&entry_at(1, Level::Error)));
        assert_eq!(client.take(1, PLENTY).repeats.len(), 1);
    }

    #[tokio::test]
    async fn a_closed_queue_gives_out_what_it_has_and_then_ends() {
        let client = client(10);
        client.push(&live(1));
        client.close();
        client.push(&live(2));
        assert!(client.ready().await);
        assert_eq!(seqs(&client.take(10, PLENTY)), ["1"]);
        assert!(!client.ready().await);
    }

    proptest! {
        /// Whatever is pushed and taken: entries come in order, and entries and
        /// gaps together account for everything.
        #[test]
        fn nothing_is_lost_silently(size in 1..5_usize, steps in prop::collection::vec(0..5_u8, 0..60)) {
            let client = client(size);
            let (mut pushed, mut told, mut last) = (0_u64, 0_u64, 0_u64);
            let mut account = |batch: Batch| {
                for item in batch.items {
                    match item {
                        Item::Entry(entry) => {
                            prop_assert!(entry.entry.seq > last);
                            last = entry.entry.seq;
                            told += 1;
                        }
                        Item::Gap(gap) => {
                            prop_assert!(gap.after >= last && gap.before > Some(gap.after));
                            prop_assert_eq!(gap.count, gap.before.unwrap() - gap.after - 1);
                            told += gap.count;
                        }
                        Item::Summary(_) => unreachable!("none was pushed"),
                    }
                }
                Ok(())
            };
            for step in steps {
                if step < 3 {
                    pushed += 1;
                    client.push(&live(pushed));
                } else {
                    account(client.take(usize::from(step) - 2, PLENTY))?;
                }
            }
            account(client.take(PLENTY, PLENTY))?;
            prop_assert_eq!(told, pushed);
        }
    }
}

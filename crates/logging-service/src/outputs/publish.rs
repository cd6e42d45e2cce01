//! Entries on their way to the bus.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, Delivery, Event, Fed, Feed, Subscription, Topic};
use bytes::Bytes;
use log_entry::{EntryId, LogEntry, cut_text, format_timestamp};
use logging_api::{DASHBOARD_LOG, DashboardLog, ENTRY_NUMBER, LOG_ENTRY, LOG_REPEAT, RepeatUpdate};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::folding::Folded;
use crate::ledger::Ledger;

/// The pipeline's end of the queue to the bus. It never waits: when the bus is
/// behind, the oldest events go first, and new ones while those that wait are
/// too large together. Both are counted as missed by the views.
pub(crate) struct Publisher {
    feed: Feed,
    waiting: Arc<Mutex<Waiting>>,
    to_dashboard: bool,
    /// Entries so far.
    entries: u64,
}

/// The other end.
pub(crate) struct Events {
    events: Subscription,
    waiting: Arc<Mutex<Waiting>>,
}

/// The sizes of the events in the queue.
#[derive(Debug, Default)]
struct Waiting {
    sizes: VecDeque<usize>,
    bytes: usize,
}

/// Bytes that may wait for the bus.
const BYTES_MAX: usize = 16 << 20;
/// Events that may wait for the bus.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not zero");
/// What the last events may take once everything is in the session files.
const LAST_EVENTS_TIME: Duration = Duration::from_millis(100);
/// Length of a message that had to be cut to fit on the bus, in bytes.
const CUT_MESSAGE: usize = 64 << 10;

/// A queue to the bus: one end for the pipeline, one for [`publish`].
pub(crate) fn queue(to_dashboard: bool) -> (Publisher, Events) {
    let (feed, events) = bus::queue("publish", CAPACITY);
    let waiting = Arc::default();
    (
        Publisher { feed, waiting: Arc::clone(&waiting), to_dashboard, entries: 0 },
        Events { events, waiting },
    )
}

/// Publishes what comes out of the queue until it is closed and empty. Once
/// everything is `kept`, a bus that is stuck is not waited for any longer.
pub(crate) async fn publish(
    mut events: Events,
    bus: Arc<dyn Bus>,
    ledger: Arc<Ledger>,
    kept: CancellationToken,
) {
    let over = async {
        kept.cancelled().await;
        sleep(LAST_EVENTS_TIME).await;
    };
    tokio::select! {
        () = publish_all(&mut events, &*bus, &ledger) => {}
        () = over => {
            // The one that was underway as well.
            let left = 1 + events.events.queued() as u64;
            ledger.views(|views| views.missed += left);
        }
    }
}

async fn publish_all(events: &mut Events, bus: &dyn Bus, ledger: &Ledger) {
    while let Some(delivery) = events.next().await {
        match delivery {
            Delivery::Event(event) => publish_one(event, bus, ledger).await,
            Delivery::Missed(count) => ledger.views(|views| views.missed += count),
        }
    }
}

async fn publish_one(event: Event, bus: &dyn Bus, ledger: &Ledger) {
    let whole = event.clone();
    let result = match bus.publish(event).await {
        Err(bus::Error::TooLarge { limit, .. }) => {
            let payload = cut(&whole.topic, &whole.payload, limit).into();
            bus.publish(Event { payload, ..whole }).await
        }
        result => result,
    };
    if result.is_err() {
        ledger.views(|views| views.missed += 1);
    }
}

/// What is in `json`, with what is too large for the bus cut off. The whole is
/// in the session record.
fn cut(topic: &str, json: &[u8], bytes_max: usize) -> Vec<u8> {
    let cut = if topic == DASHBOARD_LOG.name() {
        serde_json::from_slice::<DashboardLog>(json).ok().and_then(|mut line| {
            cut_text(&mut line.message, CUT_MESSAGE);
            serde_json::to_vec(&line).ok()
        })
    } else {
        let entry = serde_json::from_slice::<LogEntry>(json).ok();
        entry.and_then(|entry| entry.cut(bytes_max)).map(|entry| entry.to_json())
    };
    cut.unwrap_or_else(|| json.to_vec())
}

// === impl Publisher ===

impl Publisher {
    /// Publishes an entry, whole and in the dashboard's form.
    pub(crate) fn entry(&mut self, entry: &LogEntry, json: &Bytes) {
        self.entries += 1;
        let event = Event::new(LOG_ENTRY.name(), json.clone());
        self.queue(event.with_header(ENTRY_NUMBER, self.entries.to_string()));
        if self.to_dashboard {
            self.push(&DASHBOARD_LOG, &DashboardLog::from(entry));
        }
    }

    /// Publishes how often an entry has happened again so far.
    pub(crate) fn repeat(&self, update: &RepeatUpdate) {
        self.push(&LOG_REPEAT, update);
    }

    /// Publishes the final count of a window; for the dashboard, as a line of
    /// its own with the id `line_id`.
    pub(crate) fn folded(&self, folded: &Folded, line_id: EntryId) {
        let Folded { first, count } = folded;
        self.repeat(&RepeatUpdate {
            of: first.entry.entry_id.clone(),
            seq: first.latest_seq,
            count: *count,
            last: first.latest,
            closed: true,
        });
        if self.to_dashboard {
            let timestamp = format_timestamp(&first.latest);
            let times = if *count == 1 { "time" } else { "times" };
            let message =
                format!("… repeated {count} {times} until {timestamp}: {}", first.entry.message);
            let line = DashboardLog {
                timestamp,
                message,
                entry_id: line_id,
                seq: first.latest_seq,
                repeats: *count,
                ..DashboardLog::from(&*first.entry)
            };
            self.push(&DASHBOARD_LOG, &line);
        }
    }

    fn push<T: Serialize>(&self, topic: &Topic<T>, value: &T) {
        let event = topic.encode(value).expect("our payloads have text keys only");
        self.queue(event);
    }

    fn queue(&self, event: Event) {
        let size = event.payload.len();
        let mut waiting = self.waiting.lock();
        if !waiting.has_room(size) {
            self.feed.missed(1);
            return;
        }
        if let Fed::Displaced(count) = self.feed.push(event) {
            (0..count).for_each(|_| waiting.leave());
        }
        waiting.enter(size);
    }
}

// === impl Events ===

impl Events {
    async fn next(&mut self) -> Option<Delivery> {
        let delivery = self.events.recv().await;
        if matches!(delivery, Some(Delivery::Event(_))) {
            self.waiting.lock().leave();
        }
        delivery
    }
}

// === impl Waiting ===

impl Waiting {
    /// One is always taken, however large.
    fn has_room(&self, size: usize) -> bool {
        self.sizes.is_empty() || self.bytes + size <= BYTES_MAX
    }

    fn enter(&mut self, size: usize) {
        self.sizes.push_back(size);
        self.bytes += size;
    }

    /// The oldest left.
    fn leave(&mut self) {
        self.bytes -= self.sizes.pop_front().unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_has_a_bound_in_bytes_and_in_number() {
        let (publisher, mut events) = queue(false);
        let large = |size| Event::new("a", vec![b'x'; size]);
        (0..100).for_each(|_| publisher.queue(large(1 << 20)));
        let mut taken = Vec::new();
        for _ in 0..16 {
            taken.push(events.next().await);
        }
        assert!(taken.iter().all(|delivery| matches!(delivery, Some(Delivery::Event(_)))));
        assert_eq!(events.next().await, Some(Delivery::Missed(84)));
        assert_eq!(events.waiting.lock().bytes, 0);

        (0..CAPACITY.get() + 5).for_each(|_| publisher.queue(large(3)));
        assert_eq!(events.waiting.lock().bytes, 3 * CAPACITY.get());
        assert_eq!(events.next().await, Some(Delivery::Missed(5)));
        publisher.queue(large(2 * BYTES_MAX));
        drop(publisher);
        let mut left = 0;
        while let Some(delivery) = events.next().await {
            left += u64::from(matches!(delivery, Delivery::Event(_)));
        }
        assert_eq!((left, events.waiting.lock().bytes), (CAPACITY.get() as u64, 0));
    }
}

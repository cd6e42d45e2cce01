//! Entries on their way to the bus.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bus::{Bus, Delivery, Event, Feed, Subscription, Topic};
use bytes::Bytes;
use log_entry::{EntryId, LogEntry, format_timestamp};
use logging_api::{DASHBOARD_LOG, DashboardLog, LOG_ENTRY, LOG_REPEAT, RepeatUpdate};
use serde::Serialize;

use crate::folding::Folded;
use crate::ledger::Ledger;

/// The pipeline's end of the queue to the bus. It never waits: when the bus is
/// behind, the oldest events go first and are counted as missed by the views.
pub(crate) struct Publisher {
    feed: Feed,
    to_dashboard: bool,
}

/// Events that may wait for the bus.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not zero");
/// Events published between two looks at the queue.
const BATCH: usize = 100;
/// Length of a message that had to be cut to fit on the bus, in bytes.
const CUT_MESSAGE: usize = 64 << 10;

/// A queue to the bus: one end for the pipeline, one for [`publish`].
pub(crate) fn queue(to_dashboard: bool) -> (Publisher, Subscription) {
    let (feed, events) = bus::queue("publish", CAPACITY);
    (Publisher { feed, to_dashboard }, events)
}

/// Publishes what comes out of the queue until it is closed and empty.
pub(crate) async fn publish(mut events: Subscription, bus: Arc<dyn Bus>, ledger: Arc<Ledger>) {
    let mut batch = Vec::with_capacity(BATCH);
    while events.recv_many(&mut batch, BATCH).await > 0 {
        for delivery in batch.drain(..) {
            match delivery {
                Delivery::Event(event) => publish_one(event, &*bus, &ledger).await,
                Delivery::Missed(count) => ledger.views(|views| views.missed += count),
            }
        }
    }
}

async fn publish_one(event: Event, bus: &dyn Bus, ledger: &Ledger) {
    let topic = event.topic.clone();
    let whole = event.payload.clone();
    let result = match bus.publish(event).await {
        Err(bus::Error::TooLarge { .. }) if *topic == *LOG_ENTRY.name() => {
            bus.publish(Event::new(topic, cut(&whole))).await
        }
        result => result,
    };
    if result.is_err() {
        ledger.views(|views| views.missed += 1);
    }
}

/// The entry in `json` with what is too large for the bus cut off. The whole
/// is in the session record.
fn cut(json: &[u8]) -> Vec<u8> {
    let Ok(mut entry) = serde_json::from_slice::<LogEntry>(json) else { return json.to_vec() };
    cut_text(&mut entry.message);
    if let Some(exception) = &mut entry.exception {
        cut_text(&mut exception.traceback);
    }
    if entry.to_json().len() > CUT_MESSAGE * 4 {
        entry.fields.clear();
        entry.fields.insert("fields_cut".into(), true.into());
    }
    entry.to_json()
}

fn cut_text(text: &mut String) {
    if text.len() > CUT_MESSAGE {
        let end = (0..=CUT_MESSAGE).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let rest = text.len() - end;
        text.truncate(end);
        *text = format!("{text}… [{rest} bytes more in the session record]");
    }
}

// === impl Publisher ===

impl Publisher {
    /// Publishes an entry, whole and in the dashboard's form.
    pub(crate) fn entry(&self, entry: &LogEntry, json: &Bytes) {
        self.feed.push(Event::new(LOG_ENTRY.name(), json.clone()));
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
        self.feed.push(event);
    }
}

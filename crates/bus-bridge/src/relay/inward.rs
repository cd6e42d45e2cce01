//! What others say, on its way in.

use bus::{Bus as _, Delivery, Event, ORIGIN};
use logging_api::{LOG_REPEAT, LOGGING_COMMAND, SET_GLOBAL_LEVEL};
use rate_limit::Bucket;
use standard_service::{
    SERVICE_READY, SERVICE_STARTING, SERVICE_STATUS_REQUEST, SERVICE_STATUS_UPDATE,
};
use tokio::time::Instant;

use super::{BATCH, Shared, UNKNOWN, of, room};
use crate::origin::is_origin;
use crate::patience::subscribed;

/// One topic of others.
#[derive(Clone, Copy)]
pub(super) struct Inward {
    pub(super) topic: &'static str,
    /// How much is passed on: this many at once, and each second.
    per_second: u32,
}

/// Lets through what is not too much.
struct Gate {
    bucket: Bucket,
    since: Instant,
}

/// What every instance hears.
pub(super) const TOPICS: [Inward; 6] = [
    Inward::new(SERVICE_STARTING.name(), 500),
    Inward::new(SERVICE_READY.name(), 500),
    Inward::new(SERVICE_STATUS_UPDATE.name(), 1000),
    Inward::new(SERVICE_STATUS_REQUEST.name(), 50),
    Inward::new(SET_GLOBAL_LEVEL.name(), 50),
    Inward::new(LOGGING_COMMAND.name(), 50),
];
/// What one hears that collects.
pub(super) const WITH_REPEATS: [Inward; 7] = {
    let [a, b, c, d, e, f] = TOPICS;
    [a, b, c, d, e, f, Inward::new(LOG_REPEAT.name(), 5000)]
};
/// Events that may wait, of each topic.
const CAPACITY: usize = 4096;
/// The largest event that is passed on. Commands and statuses are short.
const BYTES_MAX: usize = 64 << 10;

// === impl Inward ===

impl Inward {
    const fn new(topic: &'static str, per_second: u32) -> Self {
        Self { topic, per_second }
    }

    /// Publishes here what others say, until either bus is closed.
    pub(super) async fn run(self, shared: &Shared) {
        let subscribed = subscribed(&*shared.remote, self.topic, room(CAPACITY)).await;
        let Some(mut events) = subscribed else { return };
        let mut gate = Gate::new(self.per_second);
        let mut batch = Vec::new();
        while events.recv_many(&mut batch, BATCH).await > 0 {
            for delivery in batch.drain(..) {
                let Some(event) = gate.admitted(&delivery, shared) else { continue };
                if shared.local.publish(event).await.is_err() {
                    // It is in this process: it was closed.
                    return;
                }
                shared.counts.count(|counts| counts.inward += 1);
            }
            tokio::task::yield_now().await;
        }
    }
}

// === impl Gate ===

impl Gate {
    fn new(per_second: u32) -> Self {
        Self { bucket: Bucket::new(per_second, per_second), since: Instant::now() }
    }

    /// What is passed on of `delivery`; the rest is counted.
    fn admitted(&mut self, delivery: &Delivery, shared: &Shared) -> Option<Event> {
        let event = match delivery {
            Delivery::Event(event) => event,
            Delivery::Missed(count) => {
                shared.counts.count(|counts| counts.held_back += count);
                return None;
            }
        };
        let origin = event.headers.get(ORIGIN);
        if origin == Some(&*shared.origin) {
            shared.counts.count(|counts| counts.echoes += 1);
        } else if event.payload.len() > BYTES_MAX {
            shared.counts.count(|counts| counts.oversized += 1);
        } else if !self.bucket.take(self.since.elapsed()) {
            shared.counts.count(|counts| counts.held_back += 1);
        } else {
            return Some(of(origin.filter(|origin| is_origin(origin)).unwrap_or(UNKNOWN), event));
        }
        None
    }
}

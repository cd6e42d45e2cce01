//! What we say, on its way out.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::{Bus, Delivery, Event, Link, ORIGIN, Subscription};
use logging_api::{DASHBOARD_LOG, DashboardLog, LOG_REPEAT, LOGGING_STATUS};
use serde::Deserialize;
use standard_service::{SERVICE_READY, SERVICE_STARTING, SERVICE_STATUS_UPDATE};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{BATCH, Shared, of, room};

/// One topic of ours.
pub(super) struct Outward {
    events: Subscription,
    statuses: Option<Statuses>,
}

/// How our services fare, for a bus that has not heard.
struct Statuses {
    /// By service, the last that it said.
    last: BTreeMap<String, Event>,
    /// Whether the bus may not know them.
    is_behind: bool,
    reconnects: u64,
    look: Interval,
}

/// The part of a status that is read here.
#[derive(Deserialize)]
struct Named {
    service_name: String,
}

const TOPICS: [(&str, usize); 6] = [
    (SERVICE_STARTING.name(), 256),
    (SERVICE_READY.name(), 256),
    (SERVICE_STATUS_UPDATE.name(), 1024),
    (LOGGING_STATUS.name(), 64),
    (LOG_REPEAT.name(), 4096),
    (DASHBOARD_LOG.name(), 4096),
];
/// Services whose last status is remembered.
const SERVICES_MAX: usize = 256;
/// How often to look whether the bus is back.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Hears all topics of ours on `local`.
pub(super) async fn subscribe(local: &dyn Bus) -> Result<Vec<Outward>, bus::Error> {
    let mut outward = Vec::new();
    for (topic, capacity) in TOPICS {
        let events = local.subscribe(topic, room(capacity)).await?;
        let statuses = (topic == SERVICE_STATUS_UPDATE.name()).then(Statuses::new);
        outward.push(Outward { events, statuses });
    }
    Ok(outward)
}

// === impl Outward ===

impl Outward {
    /// Publishes what is said until `cancelled`, and then what was said before.
    pub(super) async fn run(mut self, shared: &Shared, cancelled: &CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = cancelled.cancelled() => break,
                count = self.events.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    for delivery in batch.drain(..) {
                        self.pass(delivery, shared).await;
                    }
                    tokio::task::yield_now().await;
                }
                () = time_to_look(self.statuses.as_mut()) => self.catch_up(shared).await,
            }
        }
        while let Ok(delivery) = self.events.try_recv() {
            self.pass(delivery, shared).await;
        }
        self.catch_up(shared).await;
    }

    async fn pass(&mut self, delivery: Delivery, shared: &Shared) {
        let event = match delivery {
            Delivery::Event(event) if is_wanted(&event) => of(&shared.origin, &event),
            Delivery::Event(_) => return,
            Delivery::Missed(count) => return shared.counts.count(|counts| counts.missed += count),
        };
        if let Some(statuses) = &mut self.statuses {
            statuses.remember(&event);
        }
        if !publish(event, shared).await {
            shared.counts.count(|counts| counts.missed += 1);
            if let Some(statuses) = &mut self.statuses {
                statuses.is_behind = true;
            }
        }
    }

    /// Tells the bus how our services fare, if it may not know.
    async fn catch_up(&mut self, shared: &Shared) {
        let Some(statuses) = &mut self.statuses else { return };
        let state = shared.remote.state();
        if state.reconnects != statuses.reconnects {
            statuses.reconnects = state.reconnects;
            statuses.is_behind = true;
        }
        if statuses.is_behind && state.link == Link::Connected {
            statuses.is_behind = false;
            for event in statuses.last.values() {
                statuses.is_behind |= !publish(event.clone(), shared).await;
            }
        }
    }
}

/// Publishes `event`, and says whether that went well.
async fn publish(event: Event, shared: &Shared) -> bool {
    let is_out = shared.remote.publish(event).await.is_ok();
    shared.counts.count(|counts| counts.outward += u64::from(is_out));
    is_out
}

/// Whether `event` is ours, and nothing that goes another way.
fn is_wanted(event: &Event) -> bool {
    let is_ours = event.headers.get(ORIGIN).is_none();
    is_ours && (*event.topic != *DASHBOARD_LOG.name() || ends_a_window(event))
}

/// Whether a line for the dashboard tells of repeats. It is one of very many
/// that do not, and those end as our own writer ends them.
fn ends_a_window(event: &Event) -> bool {
    !event.payload.ends_with(br#""repeats":0}"#)
        && serde_json::from_slice::<DashboardLog>(&event.payload).is_ok_and(|line| line.repeats > 0)
}

async fn time_to_look(statuses: Option<&mut Statuses>) {
    match statuses {
        Some(statuses) => {
            statuses.look.tick().await;
        }
        None => std::future::pending().await,
    }
}

// === impl Statuses ===

impl Statuses {
    fn new() -> Self {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { last: BTreeMap::new(), is_behind: false, reconnects: 0, look }
    }

    fn remember(&mut self, event: &Event) {
        let Ok(Named { service_name }) = serde_json::from_slice(&event.payload) else { return };
        if self.last.len() < SERVICES_MAX || self.last.contains_key(&service_name) {
            self.last.insert(service_name, event.clone());
        }
    }
}

//! Entries of other instances, from the deployment's bus into this one.

mod acks;
mod earlier;
mod entry;
mod kept;
mod publishers;
mod taking;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, Delivery};
use log_entry::{RecordSink, SessionId, Written};
use logging_api::{Collected, LOG_ENTRY};
use parking_lot::Mutex;
use session_store::Sessions;
use standard_service::{BoxError, Health, StandardService, Tasks};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::patience::subscribed;
use earlier::Earlier;
use kept::collect_kept;
use taking::Taking;

/// Takes in what other instances publish on `logging.entry`, so that one
/// session and one dashboard have the entries of all hosts.
///
/// Each becomes a record with its [`Origin`](log_entry::Origin), and is from
/// then on an entry of this instance too: with a `seq` of this session, and the
/// id, times, host and service it had. It is never published again.
///
/// * **On a bus that keeps events**, every entry is collected that the bus
///   keeps, also those from before the start. One is acknowledged once it is in
///   the session files here, and comes again if it was lost on its way there.
///   While the intake has no room, nothing is read.
/// * **On any other bus**, what comes is taken at once; what this instance is
///   too slow for, or what was published while it was away, is missing here.
///   The numbers that instances give their entries tell how many those are.
/// * **Whatever else comes is counted**: own entries that come back, entries
///   that came before, and events that are no entries, which are told of too.
pub struct Collector {
    work: Option<Work>,
    health: watch::Sender<Health>,
    handle: CollectorHandle,
    tasks: Tasks,
}

/// What a [`Collector`] has taken in so far; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct CollectorHandle(Arc<Mutex<Collected>>);

/// What the collector's task works with.
struct Work {
    remote: Arc<dyn Bus>,
    taking: Taking,
    written: watch::Receiver<Written>,
    health: watch::Sender<Health>,
    earlier: Option<Earlier>,
}

/// Events that may wait on a bus that does not keep them.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not zero");
/// Events handled before others get their turn.
const BATCH: usize = 256;
/// How long the task may take to end.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the bus may take to be there before that is said.
const AWAY_AFTER: Duration = Duration::from_secs(1);
const AWAY: &str = "waiting for the bus, to hear the other instances";

// === impl Collector ===

impl Collector {
    /// Collects from `remote` what does not come from `origin`, which is this
    /// instance, and offers it to `sink`. How far the session files have come
    /// is in `written`.
    pub fn new(
        remote: Arc<dyn Bus>,
        sink: Arc<dyn RecordSink>,
        written: watch::Receiver<Written>,
        origin: Arc<str>,
    ) -> Self {
        let health = watch::channel(Health::Running).0;
        let handle = CollectorHandle::default();
        let taking = Taking::new(sink, origin, handle.clone());
        let work = Work { remote, taking, written, health: health.clone(), earlier: None };
        Self { work: Some(work), health, handle, tasks: Tasks::default() }
    }

    /// Passes over what is in one of the `sessions` before `current`, which is
    /// being written. Without this, entries are collected twice whose
    /// acknowledgement was lost because this program was killed.
    #[must_use]
    pub fn after(mut self, sessions: Sessions, current: SessionId) -> Self {
        if let Some(work) = &mut self.work {
            work.earlier = Some(Earlier { sessions, current });
        }
        self
    }

    /// The counts, to read while the collector runs and after.
    pub fn handle(&self) -> CollectorHandle {
        self.handle.clone()
    }
}

#[async_trait]
impl StandardService for Collector {
    fn name(&self) -> &'static str {
        "collector"
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    async fn start(&mut self) -> Result<(), BoxError> {
        let work = self.work.take().ok_or("the collector was started before")?;
        self.tasks.spawn("collect", |cancelled| work.run(cancelled));
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        Ok(self.tasks.stop(PATIENCE).await?)
    }
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").field("handle", &self.handle).finish_non_exhaustive()
    }
}

// === impl CollectorHandle ===

impl CollectorHandle {
    /// All counts, of one instant.
    pub fn collected(&self) -> Collected {
        self.0.lock().clone()
    }

    fn count(&self, change: impl FnOnce(&mut Collected)) {
        change(&mut self.0.lock());
    }
}

// === impl Work ===

impl Work {
    async fn run(self, cancelled: CancellationToken) {
        if self.remote.durable().is_some() {
            collect_kept(self, cancelled).await;
        } else {
            self.collect_live(cancelled).await;
        }
    }

    /// Takes what comes at once: this bus does not keep it, so nothing is won
    /// by letting it wait.
    async fn collect_live(mut self, cancelled: CancellationToken) {
        let remote = self.remote.clone();
        let subscribed = subscribed(&*remote, LOG_ENTRY.name(), CAPACITY);
        let is_away = async {
            sleep(AWAY_AFTER).await;
            degrade(&self.health, AWAY.to_owned());
            std::future::pending().await
        };
        let events = tokio::select! {
            () = cancelled.cancelled() => return,
            events = subscribed => events,
            events = is_away => events,
        };
        let Some(mut events) = events else { return };
        self.health.send_replace(Health::Running);
        let mut batch = Vec::new();
        loop {
            let count = tokio::select! {
                biased;
                () = cancelled.cancelled() => break,
                count = events.recv_many(&mut batch, BATCH) => count,
            };
            if count == 0 {
                break;
            }
            self.take_all(batch.drain(..));
            tokio::task::yield_now().await;
        }
        self.take_all(std::iter::from_fn(|| events.try_recv().ok()));
        self.taking.tell_missing();
    }

    fn take_all(&mut self, deliveries: impl Iterator<Item = Delivery>) {
        for delivery in deliveries {
            // What was missed shows as a gap in somebody's numbers.
            if let Delivery::Event(event) = delivery {
                self.taking.take(&event);
            }
        }
        self.taking.report();
    }
}

fn degrade(health: &watch::Sender<Health>, reason: String) {
    health.send_if_modified(|current| {
        let new = Health::Degraded { reason };
        let is_new = *current != new;
        *current = new;
        is_new
    });
}

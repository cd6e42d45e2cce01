//! What is known about forwarding, for whoever asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use bus::{Bus, Link};
use log_entry::{Ticket, Timestamp, Written};
use logging_api::BusVitals;
use parking_lot::Mutex;
use standard_service::Health;
use tokio::sync::watch;

/// How far the session record is on the deployment's bus; cheap to clone.
#[derive(Clone)]
pub struct Forwarding {
    shared: Arc<Shared>,
}

struct Shared {
    remote: Arc<dyn Bus>,
    origin: Arc<str>,
    /// How far the session record has come.
    written: watch::Receiver<Written>,
    /// How far it had come when nothing of it was left to publish; nothing as
    /// long as that has not been so, as earlier sessions may wait.
    caught_up: Mutex<Option<Ticket>>,
    counts: Mutex<ForwardingCounts>,
    troubles: Mutex<BTreeMap<Part, String>>,
    health: watch::Sender<Health>,
}

/// Entries, unless it says otherwise. All but the backlog are since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForwardingCounts {
    /// In the session files, and not on the bus yet.
    pub backlog: u64,
    /// Published; more than once if it is not known whether the first time
    /// succeeded.
    pub published: u64,
    /// Found to be on the bus already after an interruption.
    pub arrived: u64,
    /// Never published, by reason: `bus_backlog` if they were removed before,
    /// or too much waited; `too_large` and `refused` by the bus; `malformed`.
    pub dropped: BTreeMap<&'static str, u64>,
    /// How often the broker had lost what it had confirmed.
    pub regressed: u64,
    /// Short forms that were held back because a service logs too fast.
    pub held_back: u64,
    /// Short forms that the bus did not take.
    pub missed: u64,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Bus,
    Files,
    Cursor,
    Backlog,
}

// === impl Forwarding ===

impl Forwarding {
    pub(crate) fn new(
        remote: Arc<dyn Bus>,
        origin: Arc<str>,
        written: watch::Receiver<Written>,
    ) -> Self {
        let shared = Shared {
            remote,
            origin,
            written,
            caught_up: Mutex::default(),
            counts: Mutex::default(),
            troubles: Mutex::default(),
            health: watch::Sender::new(Health::Running),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The counts of this moment. What waits is counted now and then, so the
    /// backlog can be too low; but it is zero only if nothing waits.
    pub fn counts(&self) -> ForwardingCounts {
        let mut counts = self.shared.counts.lock().clone();
        let through = self.shared.written.borrow().through;
        let is_behind = self.shared.caught_up.lock().is_none_or(|caught_up| through > caught_up);
        counts.backlog = counts.backlog.max(u64::from(is_behind));
        counts
    }

    /// Whether all of it works; why not, if not.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// How the bus is, as the statistics of the service say it.
    pub fn vitals(&self) -> BusVitals {
        let (state, counts) = (self.shared.remote.state(), self.counts());
        let (since, attempts) = match state.link {
            Link::Disconnected { since, attempts } => (Some(Timestamp::from(since)), attempts),
            Link::Connected | Link::Closed => (None, 0),
        };
        let dropped = counts.dropped.iter().map(|(&reason, &count)| (reason.to_owned(), count));
        BusVitals {
            state: state.link.to_string(),
            backlog: counts.backlog,
            since,
            attempts,
            trouble: state.trouble.or_else(|| self.trouble()),
            reconnects: state.reconnects,
            published: state.published,
            refused: state.refused,
            missed: state.missed + counts.missed,
            dropped: dropped.collect(),
            regressed: counts.regressed,
            origin: Some(self.shared.origin.to_string()),
            relayed: None,
            collected: None,
        }
    }

    /// Everything that was written through `through` is passed.
    pub(crate) fn caught_up(&self, through: Ticket) {
        *self.shared.caught_up.lock() = Some(through);
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut ForwardingCounts)) {
        change(&mut self.shared.counts.lock());
    }

    /// Says what is wrong with `part` now, and whether anything was before.
    pub(crate) fn set_trouble(&self, part: Part, trouble: Option<String>) -> bool {
        let had_one = {
            let mut troubles = self.shared.troubles.lock();
            match trouble {
                Some(trouble) => troubles.insert(part, trouble).is_some(),
                None => troubles.remove(&part).is_some(),
            }
        };
        let health = match self.trouble() {
            Some(reason) => Health::Degraded { reason },
            None => Health::Running,
        };
        self.shared.health.send_if_modified(|current| {
            let is_new = *current != health;
            *current = health;
            is_new
        });
        had_one
    }

    /// All that is wrong.
    fn trouble(&self) -> Option<String> {
        let troubles = self.shared.troubles.lock();
        let texts: Vec<&str> = troubles.values().map(String::as_str).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

impl std::fmt::Debug for Forwarding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarding").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

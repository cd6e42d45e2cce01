//! Live topics, from this program's bus to the deployment's and back.

mod inward;
mod outward;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, Event, ORIGIN};
use futures_util::future::join_all;
use logging_api::Relayed;
use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use inward::{Inward, TOPICS, WITH_REPEATS};
use outward::Outward;

/// Passes on what is said now: how services fare, which levels hold, what
/// others ask for. Entries go their own way, through the session files.
///
/// | topic | outward | inward |
/// |---|---|---|
/// | `service.starting`, `service.ready`, `service.status.update` | ours | of others |
/// | `service.status.request` | | of others |
/// | `debug.set.global.level`, `logging.command` | | of others |
/// | `logging.status` | ours | |
/// | `logging.repeat` | ours | of others, if this instance [collects](Self::collecting) |
/// | `/dashboard/log` | ours, only the lines that end a window of repeats | |
///
/// * **No echoes.** What goes out carries the header [`ORIGIN`]; what comes in
///   with our own is passed over, and what came in never goes out: it is marked
///   with whose it is, or with `unknown`.
/// * **Nobody waits.** What is said while the bus is away is counted and
///   forgotten. A status is not: the last one of each service is published
///   again once the bus is back.
/// * **Nobody is flooded.** More than a topic may have a second is counted and
///   forgotten, and so is what is too large.
pub struct Relay {
    shared: Arc<Shared>,
    outward: Vec<Outward>,
    inward: Vec<Inward>,
}

/// What every topic needs.
struct Shared {
    local: Arc<dyn Bus>,
    remote: Arc<dyn Bus>,
    origin: Arc<str>,
    counts: RelayHandle,
}

/// What a [`Relay`] has done so far; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RelayHandle(Arc<Mutex<Relayed>>);

/// Whose an event is that does not say so.
const UNKNOWN: &str = "unknown";
/// What the last events may take once the relay is to end.
const LAST_EVENTS_TIME: Duration = Duration::from_millis(200);
/// Events handled before others get their turn.
const BATCH: usize = 64;

// === impl Relay ===

impl Relay {
    /// Hears from now on what is said on `local`. It goes to `remote`, which
    /// may be away, once the relay runs.
    ///
    /// # Errors
    ///
    /// `local` was closed.
    pub async fn subscribe(
        local: Arc<dyn Bus>,
        remote: Arc<dyn Bus>,
        origin: Arc<str>,
    ) -> Result<Self, bus::Error> {
        let outward = outward::subscribe(&*local).await?;
        let shared = Shared { local, remote, origin, counts: RelayHandle::default() };
        Ok(Self { shared: Arc::new(shared), outward, inward: TOPICS.to_vec() })
    }

    /// Passes also on how often the entries of others have happened again.
    #[must_use]
    pub fn collecting(mut self) -> Self {
        self.inward = WITH_REPEATS.to_vec();
        self
    }

    /// The counts, to read while the relay runs and after.
    pub fn handle(&self) -> RelayHandle {
        self.shared.counts.clone()
    }

    /// Relays until `cancelled`, or both buses are closed; what has been said
    /// by then is still published if that takes no longer than a moment.
    pub async fn run(self, cancelled: CancellationToken) {
        let Self { shared, outward, inward } = self;
        let over = async {
            cancelled.cancelled().await;
            sleep(LAST_EVENTS_TIME).await;
        };
        let outward = join_all(outward.into_iter().map(|topic| topic.run(&shared, &cancelled)));
        let inward = join_all(inward.into_iter().map(|topic| topic.run(&shared)));
        let inward = async {
            tokio::select! {
                _ = inward => {}
                () = cancelled.cancelled() => {}
            }
        };
        tokio::select! {
            _ = async { tokio::join!(outward, inward) } => {}
            () = over => {}
        }
    }
}

// === impl RelayHandle ===

impl RelayHandle {
    /// All counts, of one instant.
    pub fn counts(&self) -> Relayed {
        *self.0.lock()
    }

    fn count(&self, change: impl FnOnce(&mut Relayed)) {
        change(&mut self.0.lock());
    }
}

/// `event` with its topic and payload only, said to be from `origin`.
fn of(origin: &str, event: &Event) -> Event {
    Event::new(event.topic.clone(), event.payload.clone()).with_header(ORIGIN, origin)
}

const fn room(capacity: usize) -> NonZeroUsize {
    NonZeroUsize::new(capacity).expect("there is room for some")
}

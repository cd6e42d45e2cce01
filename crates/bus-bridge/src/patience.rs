//! Subscribing to a bus that may be away.

use std::num::NonZeroUsize;
use std::time::Duration;

use bus::{Bus, Subscription};
use standard_service::chain;
use tokio::time::sleep;
use tracing::warn;

const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(1);
/// Permissions change when a person changes them.
const MUCH_LATER: Duration = Duration::from_secs(10);

/// How long to wait before something is tried again: each time longer.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(SOON)
    }

    pub(crate) fn start_anew(&mut self) {
        self.0 = SOON;
    }

    /// How long to wait after `error`.
    pub(crate) fn next(&mut self, error: &bus::Error) -> Duration {
        let next = if error.is_temporary() { self.0 } else { MUCH_LATER };
        self.0 = (self.0 * 2).min(LATER);
        next
    }
}

/// Subscribes as soon as that works; nothing if the bus was closed first.
pub(crate) async fn subscribed(
    bus: &dyn Bus,
    topic: &str,
    capacity: NonZeroUsize,
) -> Option<Subscription> {
    let mut backoff = Backoff::new();
    let mut has_told = false;
    loop {
        match bus.subscribe(topic, capacity).await {
            Ok(events) => return Some(events),
            Err(error) if error.is_closed() => return None,
            Err(error) => {
                if !error.is_temporary() && !std::mem::replace(&mut has_told, true) {
                    warn!(topic, error = chain(&error), "cannot hear others on the bus");
                }
                sleep(backoff.next(&error)).await;
            }
        }
    }
}

//! The time that is left once everything is to end.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// From when on no new work is waited for, and until when the last may take.
#[derive(Debug)]
pub(crate) struct Stopping {
    cancelled: CancellationToken,
    deadline: OnceLock<Instant>,
}

/// What publishing the rest may take.
const LAST_ENTRIES_TIME: Duration = Duration::from_millis(300);

/// There was no time left.
#[derive(Debug)]
pub(crate) struct Over;

impl Stopping {
    pub(crate) fn new(cancelled: CancellationToken) -> Self {
        Self { cancelled, deadline: OnceLock::new() }
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.has_begun() && self.deadline() <= Instant::now()
    }

    pub(crate) async fn begun(&self) {
        self.cancelled.cancelled().await;
    }

    /// What `work` gives, unless the time is over before.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Over> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.over() => Err(Over),
        }
    }

    async fn over(&self) {
        self.begun().await;
        sleep_until(self.deadline()).await;
    }

    fn deadline(&self) -> Instant {
        *self.deadline.get_or_init(|| Instant::now() + LAST_ENTRIES_TIME)
    }
}

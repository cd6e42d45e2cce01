//! The short form of entries, for CantinaOS's dashboard.

use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, Event, ORIGIN};
use log_entry::{Level, LogEntry, Timestamp};
use logging_api::{DASHBOARD_LOG, DashboardLog};
use rate_limit::Limiter;

/// Makes the short forms of entries, but no more than a dashboard can take.
#[derive(Debug)]
pub(crate) struct Shorts {
    limiter: Limiter,
    clock: Clock,
}

/// The time at which entries were received, as a clock that never goes back:
/// then a replay lets the same entries pass as were let pass live.
#[derive(Debug, Default)]
struct Clock {
    now: Duration,
    last: Option<Timestamp>,
}

// === impl Shorts ===

impl Shorts {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self { limiter: Limiter::new(per_second, burst), clock: Clock::default() }
    }

    /// The short form of the entry in `json`, if it is to be published.
    pub(crate) fn of(&mut self, json: &[u8], origin: &str, bytes_max: usize) -> Option<Event> {
        let entry: LogEntry = serde_json::from_slice(json).ok()?;
        let now = self.clock.at(entry.received_at);
        if entry.level < Level::Warning && !self.limiter.admits(&entry.service_key, now) {
            return None;
        }
        let event = encode(&entry);
        let event =
            if event.payload.len() > bytes_max { encode(&entry.cut(bytes_max)?) } else { event };
        Some(event.with_header(ORIGIN, origin))
    }
}

// === impl Clock ===

impl Clock {
    fn at(&mut self, received: Timestamp) -> Duration {
        let since = self.last.replace(received).map(|last| (received - last).to_std());
        // A clock that was set back goes on from there.
        self.now += since.and_then(Result::ok).unwrap_or_default();
        self.now
    }
}

fn encode(entry: &LogEntry) -> Event {
    let short = DashboardLog::from(entry);
    DASHBOARD_LOG.encode(&short).expect("a short form has text keys only")
}

/// Publishes `events`, each of which may be lost. Says how many were.
pub(crate) async fn publish(bus: &Arc<dyn Bus>, mut events: &[Event]) -> u64 {
    let mut missed = 0;
    while !events.is_empty()
        && let Err(error) = bus.publish_all(events).await
    {
        let left = events.get(error.taken + 1..).unwrap_or_default();
        if error.source.is_temporary() || error.source.is_closed() {
            return missed + 1 + left.len() as u64;
        }
        missed += 1;
        events = left;
    }
    missed
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn the_clock_never_goes_back_and_never_stands_still_for_long() {
        let start: Timestamp = "2026-11-22T16:04:22Z".parse().unwrap();
        let mut clock = Clock::default();
        let times = [0, 10, 20, -86_400, -86_395, 30]
            .map(|seconds| clock.at(start + TimeDelta::seconds(seconds)).as_secs());
        assert_eq!(times, [0, 10, 20, 20, 25, 86_450]);
    }
}

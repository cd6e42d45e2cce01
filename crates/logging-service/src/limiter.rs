//! Which entries the views are spared because a service logs too fast.

use std::collections::BTreeMap;
use std::sync::Arc;

use log_entry::{Level, LogEntry};
use tokio::time::Instant;

use crate::bucket::Bucket;

/// One token bucket per service, for what is below WARNING.
#[derive(Debug)]
pub(crate) struct Limiter {
    per_second: u32,
    burst: u32,
    services: BTreeMap<Arc<str>, Limited>,
}

#[derive(Debug)]
struct Limited {
    bucket: Bucket,
    name: Arc<str>,
    held_back: u64,
}

/// Services with a bucket of their own; further ones share one.
const SERVICES_MAX: usize = 512;

impl Limiter {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst, services: BTreeMap::new() }
    }

    /// Whether the views may have `entry`.
    pub(crate) fn admits(&mut self, entry: &LogEntry, now: Instant) -> bool {
        if entry.level >= Level::Warning {
            return true;
        }
        let has_own =
            self.services.contains_key(&entry.service_key) || self.services.len() < SERVICES_MAX;
        let key = if has_own { entry.service_key.clone() } else { Arc::from("(other)") };
        let limited = self.services.entry(key).or_insert_with(|| Limited {
            bucket: Bucket::new(self.per_second, self.burst, now),
            name: entry.service.clone(),
            held_back: 0,
        });
        let admits = limited.bucket.take(now);
        limited.held_back += u64::from(!admits);
        admits
    }

    /// What was held back since the last call: display names with counts.
    pub(crate) fn take_held_back(&mut self) -> Vec<(Arc<str>, u64)> {
        self.services
            .values_mut()
            .filter(|limited| limited.held_back > 0)
            .map(|limited| (limited.name.clone(), std::mem::take(&mut limited.held_back)))
            .collect()
    }
}

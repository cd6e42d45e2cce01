//! The service's own messages, on their way into its own record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use log_entry::{Loss, Offer, Record, RecordSink};
use parking_lot::Mutex;
use rate_limit::Bucket;
use tokio::time::Instant;

/// Takes in what the logging service and the web bridge say about themselves.
///
/// However much that is, ten records a second go on to the intake: delivering
/// an entry can therefore never cause more than that, whatever a library logs
/// while it delivers. What goes beyond is counted, and the count is told with
/// the next record that fits.
pub struct OwnSink {
    intake: Arc<dyn RecordSink>,
    bucket: Mutex<Bucket>,
    since: Instant,
    suppressed: AtomicU64,
}

const PER_SECOND: u32 = 10;

impl OwnSink {
    pub(crate) fn new(intake: Arc<dyn RecordSink>) -> Self {
        let bucket = Mutex::new(Bucket::new(PER_SECOND, PER_SECOND));
        Self { intake, bucket, since: Instant::now(), suppressed: AtomicU64::new(0) }
    }

    /// Own messages that did not become records, so far.
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }
}

impl RecordSink for OwnSink {
    fn offer(&self, mut record: Record) -> Offer {
        if !self.bucket.lock().take(self.since.elapsed()) {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            // Not a record of a source: it is no part of the ledger.
            return Offer::Dropped(log_entry::DropReason::IntakeFull);
        }
        let suppressed = self.suppressed.swap(0, Ordering::Relaxed);
        if suppressed > 0 {
            record.fields.insert("own_messages_suppressed".into(), suppressed.into());
        }
        self.intake.offer(record)
    }

    fn report(&self, loss: Loss) {
        self.intake.report(loss);
    }
}

impl std::fmt::Debug for OwnSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnSink").field("suppressed", &self.suppressed()).finish_non_exhaustive()
    }
}

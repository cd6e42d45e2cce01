//! The door: a bounded queue between the sources and the pipeline.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;

use log_entry::{DropReason, Level, Loss, Offer, Record, RecordSink, Ticket};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::ledger::Ledger;
use crate::losses::Losses;

/// Takes records in from every source; exists before the service starts, so
/// that early records wait in it.
///
/// It never waits. When it is full the newest record is refused and counted; a
/// quarter of it, in records and in bytes, is reserved for WARNING and above.
#[derive(Debug)]
pub struct Intake {
    queue: Mutex<Queue>,
    /// Wakes the pipeline when the queue is no longer empty, or closed.
    arrived: Notify,
    bounds: Bounds,
    ledger: Arc<Ledger>,
    losses: Arc<Losses>,
}

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) records: NonZeroUsize,
    pub(crate) bytes: NonZeroUsize,
}

#[derive(Debug, Default)]
struct Queue {
    /// Each with its size, which is costly to find out twice.
    records: VecDeque<(Record, usize)>,
    bytes: usize,
    accepted: u64,
    is_closed: bool,
}

// === impl Intake ===

impl Intake {
    pub(crate) fn new(bounds: Bounds, ledger: Arc<Ledger>, losses: Arc<Losses>) -> Self {
        let queue = Mutex::new(Queue::default());
        Self { queue, arrived: Notify::new(), bounds, ledger, losses }
    }

    /// Waits for something to happen, and moves up to `limit` records to the
    /// end of `batch`; none, if what happened was a loss. Returns the ticket up
    /// to which all have been taken, or nothing once the intake is closed and
    /// empty.
    ///
    /// Cancel safe: nothing is moved before it returns.
    pub(crate) async fn take(&self, batch: &mut Vec<Record>, limit: usize) -> Option<Ticket> {
        if self.is_idle() {
            self.arrived.notified().await;
        }
        self.queue.lock().take(batch, limit)
    }

    fn is_idle(&self) -> bool {
        let queue = self.queue.lock();
        queue.records.is_empty() && !queue.is_closed
    }

    /// Refuses whatever comes from now on; what waits can still be taken.
    pub(crate) fn close(&self) {
        self.queue.lock().is_closed = true;
        self.arrived.notify_one();
    }

    fn refuse(&self, record: &Record, reason: DropReason) -> Offer {
        self.ledger.dropped_at_the_door(reason, 1);
        self.losses.add(&Loss {
            reason,
            count: 1,
            origin: record.logger.clone(),
            detail: format!("{} waiting", self.bounds.records),
        });
        Offer::Dropped(reason)
    }
}

impl RecordSink for Intake {
    fn offer(&self, record: Record) -> Offer {
        let bytes = record.bytes();
        let mut queue = self.queue.lock();
        if queue.is_closed {
            drop(queue);
            return self.refuse(&record, DropReason::Stopped);
        }
        if !queue.has_room(self.bounds, bytes, record.severity.level()) {
            drop(queue);
            return self.refuse(&record, DropReason::IntakeFull);
        }
        let was_empty = queue.records.is_empty();
        queue.bytes += bytes;
        queue.accepted += 1;
        queue.records.push_back((record, bytes));
        let ticket = Ticket(queue.accepted);
        // Counted before the pipeline can take it, so that the ledger never
        // shows an outcome without a record.
        self.ledger.accepted(1);
        drop(queue);
        if was_empty {
            self.arrived.notify_one();
        }
        Offer::Accepted(ticket)
    }

    fn has_room(&self) -> bool {
        // Less than what records below WARNING may take, so that what is read
        // before the next look still fits.
        let share = |whole: usize| whole / 8 * 5;
        let queue = self.queue.lock();
        queue.records.len() <= share(self.bounds.records.get())
            && queue.bytes <= share(self.bounds.bytes.get())
    }

    fn report(&self, loss: Loss) {
        self.ledger.dropped_at_the_door(loss.reason, loss.count);
        self.losses.add(&loss);
        self.arrived.notify_one();
    }
}

// === impl Queue ===

impl Queue {
    fn has_room(&self, bounds: Bounds, bytes: usize, level: Level) -> bool {
        let share = |whole: usize| if level < Level::Warning { whole - whole / 4 } else { whole };
        // One record is always taken, however large: the sources limit sizes.
        self.records.is_empty()
            || (self.records.len() < share(bounds.records.get())
                && self.bytes + bytes <= share(bounds.bytes.get()))
    }

    fn take(&mut self, batch: &mut Vec<Record>, limit: usize) -> Option<Ticket> {
        if self.records.is_empty() && self.is_closed {
            return None;
        }
        let count = limit.min(self.records.len());
        for (record, bytes) in self.records.drain(..count) {
            self.bytes -= bytes;
            batch.push(record);
        }
        Some(Ticket(self.accepted - self.records.len() as u64))
    }
}

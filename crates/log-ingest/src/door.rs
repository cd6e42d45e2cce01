//! The way into the sink: records, losses, and counts of both.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use log_entry::{DropReason, Emitter, Loss, Offer, Record, RecordSink};
use parking_lot::Mutex;

use crate::stats::{Counters, count};

/// Emitters whose reports are remembered.
const EMITTERS_MAX: usize = 1024;

/// Shared by everything that receives.
pub(crate) struct Door {
    sink: Arc<dyn RecordSink>,
    pub(crate) counters: Arc<Counters>,
    /// The last report of drops, by emitter: one that is sent again is not
    /// counted again.
    reported: Mutex<HashMap<Arc<str>, u64>>,
}

/// Losses of one origin, put together until they are reported, so that a
/// stream of garbage is not a stream of reports.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    by_reason: BTreeMap<DropReason, (u64, String)>,
}

// === impl Door ===

impl Door {
    pub(crate) fn new(sink: Arc<dyn RecordSink>, counters: Arc<Counters>) -> Self {
        Self { sink, counters, reported: Mutex::default() }
    }

    /// Hands a record over. The sink has counted it, whatever it says.
    pub(crate) fn offer(&self, record: Record, origin: &str) -> Offer {
        let drops = reported_drops(&record);
        let offer = self.sink.offer(record);
        match offer {
            Offer::Accepted(_) => {
                count(&self.counters.records);
                if let Some((emitter, drops, detail)) = drops
                    && self.is_news(&emitter)
                {
                    let mut losses = Losses::default();
                    losses.add(DropReason::Emitter, drops, detail);
                    self.report(&mut losses, origin);
                }
            }
            Offer::Dropped(reason) => self.counters.refuse(reason, 1),
        }
        offer
    }

    /// Whether those who can wait need not.
    pub(crate) fn has_room(&self) -> bool {
        self.sink.has_room()
    }

    /// Reports what was lost since the last call.
    pub(crate) fn report(&self, losses: &mut Losses, origin: &str) {
        for (reason, (count, detail)) in std::mem::take(&mut losses.by_reason) {
            self.counters.refuse(reason, count);
            self.sink.report(Loss { reason, count, origin: origin.to_owned(), detail });
        }
    }

    fn is_news(&self, emitter: &Emitter) -> bool {
        let mut reported = self.reported.lock();
        if reported.len() == EMITTERS_MAX && !reported.contains_key(&emitter.source_id) {
            reported.clear();
        }
        let last = reported.entry(Arc::clone(&emitter.source_id)).or_default();
        let is_news = emitter.seq > *last;
        *last = emitter.seq.max(*last);
        is_news
    }
}

/// Our handler for Python says in a record of its own how many it had to drop.
fn reported_drops(record: &Record) -> Option<(Emitter, u64, String)> {
    if record.logger != "cantina_logging" {
        return None;
    }
    let drops = record.fields.get("dropped")?.as_u64().filter(|drops| *drops > 0)?;
    Some((record.emitter.clone()?, drops, record.message.clone()))
}

// === impl Losses ===

impl Losses {
    /// Adds to what is lost; of several for one reason, the first detail is kept.
    pub(crate) fn add(&mut self, reason: DropReason, count: u64, detail: impl Into<String>) {
        self.by_reason.entry(reason).or_insert_with(|| (0, detail.into())).0 += count;
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let records = self.counters.records.load(Ordering::Relaxed);
        f.debug_struct("Door").field("records", &records).finish_non_exhaustive()
    }
}

//! The one task that owns all state: every record passes through here, in the
//! order in which it arrived.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use log_entry::{
    DropReason, EntryId, EntryIds, Level, Levels, LogEntry, Offer, Record, Service, SessionId,
    Stamp, Ticket,
};
use parking_lot::RwLock;
use rate_limit::Limiter;
use session_store::Line;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::folding::{First, Folded, Folding, Repeat};
use crate::intake::Intake;
use crate::ledger::{Fate, FilterReason, Ledger};
use crate::losses::{LossSum, Losses};
use crate::naming::Naming;
use crate::outputs::publish::Publisher;
use crate::outputs::store::{Batch, Store};
use crate::recent::Recent;
use crate::seen::Seen;

/// Gate, name, number, fold, and hand on to the outputs.
///
/// It awaits its intake, and for a moment the store when that is behind (see
/// [`Store::push`]); it never waits for a dashboard, the bus or a source.
pub(crate) struct Pipeline {
    pub(crate) intake: Arc<Intake>,
    pub(crate) levels: watch::Receiver<Levels>,
    /// Lines for the session record that no record stands behind.
    pub(crate) notes: mpsc::Receiver<Line>,
    pub(crate) identity: Identity,
    pub(crate) naming: Naming,
    pub(crate) seen: Seen,
    pub(crate) folding: Folding,
    pub(crate) limiter: Limiter,
    pub(crate) recent: Arc<RwLock<Recent>>,
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) losses: Arc<Losses>,
    pub(crate) batch_size: usize,
    pub(crate) timers: Timers,
}

/// What every entry of this session is stamped with.
pub(crate) struct Identity {
    pub(crate) session_id: SessionId,
    pub(crate) host: Arc<str>,
    pub(crate) ids: EntryIds,
    pub(crate) seq: u64,
}

/// When the pipeline has to do something although nothing arrives.
pub(crate) struct Timers {
    origin: Instant,
    tell_counts_at: Instant,
    tell_losses_at: Instant,
    tell_held_back_at: Instant,
    is_holding_back: bool,
}

/// What a loss is told by, and what the service says of itself.
pub(crate) const OWN_LOGGER: &str = "cantina_os.logging_service";

const TELL_COUNTS_EVERY: Duration = Duration::from_millis(250);
const TELL_LOSSES_EVERY: Duration = Duration::from_secs(1);
const TELL_HELD_BACK_EVERY: Duration = Duration::from_secs(10);

// === impl Pipeline ===

impl Pipeline {
    /// Works until `cancelled`, then until the intake is empty.
    pub(crate) async fn run(mut self, cancelled: CancellationToken) {
        let mut records = Vec::new();
        let mut is_closing = false;
        loop {
            let next_wake = self.next_wake();
            tokio::select! {
                biased;
                () = cancelled.cancelled(), if !is_closing => {
                    self.intake.close();
                    is_closing = true;
                    continue;
                }
                taken = self.intake.take(&mut records, self.batch_size) => {
                    let Some(through) = taken else { break };
                    let is_news = !records.is_empty();
                    let batch = self.process(&mut records, Some(through));
                    if is_news || !batch.is_empty() {
                        self.keep(batch).await;
                    }
                }
                Some(line) = self.notes.recv() => self.keep_note(line).await,
                () = wait_until(next_wake) => {}
            }
            self.tell_what_is_due().await;
        }
        self.finish().await;
    }

    /// Decides the fate of every record, tells the views, and returns what is
    /// to be written.
    fn process(&mut self, records: &mut Vec<Record>, through: Option<Ticket>) -> Batch {
        let now = Instant::now();
        let mut batch = Batch::new(through);
        for folded in self.folding.expired(self.timers.since_origin(now)) {
            self.sum_up(&folded, &mut batch);
        }
        for record in records.drain(..) {
            self.process_one(record, now, &mut batch);
        }
        batch
    }

    fn process_one(&mut self, record: Record, now: Instant, batch: &mut Batch) {
        let known = record.service.clone();
        let service = known.unwrap_or_else(|| self.naming.of(&record.logger));
        self.ledger.named(&service, record.severity.level());
        if let Some(reason) = self.unwanted(&record) {
            self.ledger.settled(&service, Fate::Filtered(reason));
            return;
        }
        remember_id(&record, batch);
        let since_origin = self.timers.since_origin(now);
        self.identity.seq += 1;
        // What comes from another instance was folded there.
        let key = record.origin.is_none().then(|| self.folding.key(&record));
        let seq = self.identity.seq;
        if let Some(key) = key
            && let Some(repeat) = self.folding.repeat(key, &record, seq, since_origin)
        {
            self.merge(repeat, &record, service, batch);
            return;
        }
        let entry = Arc::new(self.stamp(record, service.clone()));
        let json = Bytes::from(entry.to_json());
        let position = self.recent.write().push(entry.clone(), json.len());
        if let Some(key) = key
            && let Some(folded) = self.folding.open(key, First::new(&entry, position), since_origin)
        {
            self.sum_up(&folded, batch);
        }
        self.show(&entry, &json, now);
        let level = entry.level;
        batch.record(Line::Entry { entry, json }, level, service, Fate::Stored);
    }

    /// Publishes an entry, unless its service logs too fast.
    fn show(&mut self, entry: &LogEntry, json: &Bytes, now: Instant) {
        let since_origin = self.timers.since_origin(now);
        if entry.level >= Level::Warning
            || self.limiter.admits(&limited_together(entry), since_origin)
        {
            self.publisher.entry(entry, json);
        } else {
            self.ledger.views(|views| views.rate_limited += 1);
            self.timers.hold_back(now);
        }
    }

    /// Why `record` is not wanted, if it is not.
    fn unwanted(&mut self, record: &Record) -> Option<FilterReason> {
        let level = record.severity.level();
        // What was lost and which settings were changed is told at any threshold.
        let is_own_warning = level >= Level::Warning && record.logger == OWN_LOGGER;
        // What comes from another instance was wanted there.
        let is_wanted = is_own_warning || record.origin.is_some();
        if !is_wanted && level < self.levels.borrow().threshold(&record.logger) {
            return Some(FilterReason::Level);
        }
        let (source_id, id) = given_id(record)?;
        (!self.seen.insert(&source_id, id)).then_some(FilterReason::Duplicate)
    }

    fn merge(&mut self, repeat: Repeat, record: &Record, service: Service, batch: &mut Batch) {
        self.recent.write().repeated(repeat.position, repeat.count);
        self.ledger.views(|views| views.folded += 1);
        let line = Line::Repeat {
            of: repeat.of,
            seq: self.identity.seq,
            timestamp: record.timestamp,
            source: repeat.source,
        };
        batch.record(line, record.severity.level(), service, Fate::Merged);
    }

    fn stamp(&mut self, mut record: Record, service: Service) -> LogEntry {
        let millis = u64::try_from(record.received_at.timestamp_millis()).unwrap_or(0);
        let entry_id = match record.entry_id.take() {
            Some(id) => id,
            None => self.identity.ids.next(millis),
        };
        let stamp = Stamp {
            seq: self.identity.seq,
            entry_id,
            service,
            session_id: self.identity.session_id.clone(),
            host: self.identity.host.clone(),
        };
        LogEntry::new(record, stamp)
    }

    /// A window is over: the readable file and the views learn the count.
    fn sum_up(&mut self, folded: &Folded, batch: &mut Batch) {
        let line_id = self.identity.ids.next(0);
        self.publisher.folded(folded, line_id);
        batch.note(Line::Folded {
            entry: folded.first.entry.clone(),
            count: folded.count,
            last: folded.first.latest,
        });
    }

    /// Hands a batch to the store; what that has no room for is lost, and told.
    async fn keep(&mut self, batch: Batch) {
        let Err(refused) = self.store.push(batch).await else { return };
        self.folding.start_anew();
        for (emitter, id) in &refused.given_ids {
            self.seen.remove(emitter, id);
        }
    }

    async fn keep_note(&mut self, line: Line) {
        let mut batch = Batch::new(None);
        batch.note(line);
        self.keep(batch).await;
    }

    // --- what nobody's record causes ---

    fn next_wake(&self) -> Option<Instant> {
        let window = self.folding.next_deadline().map(|at| self.timers.origin + at);
        let counts = self.folding.has_untold().then_some(self.timers.tell_counts_at);
        let losses = (!self.losses.is_empty()).then_some(self.timers.tell_losses_at);
        let held_back = self.timers.is_holding_back.then_some(self.timers.tell_held_back_at);
        [window, counts, losses, held_back].into_iter().flatten().min()
    }

    async fn tell_what_is_due(&mut self) {
        let now = Instant::now();
        if self.folding.has_untold() && now >= self.timers.tell_counts_at {
            self.timers.tell_counts_at = now + TELL_COUNTS_EVERY;
            self.folding.take_untold().for_each(|update| self.publisher.repeat(&update));
        }
        let window_is_over =
            self.folding.next_deadline().is_some_and(|at| now >= self.timers.origin + at);
        let losses_are_due = !self.losses.is_empty() && now >= self.timers.tell_losses_at;
        let held_back_is_due = self.timers.is_holding_back && now >= self.timers.tell_held_back_at;
        if window_is_over || losses_are_due || held_back_is_due {
            let mut own = Vec::new();
            let mut losses = BTreeMap::new();
            if losses_are_due {
                self.timers.tell_losses_at = now + TELL_LOSSES_EVERY;
                losses = self.losses_to_tell(&mut own);
            }
            if held_back_is_due {
                self.held_back_to_tell(&mut own);
            }
            self.keep_own(own, losses).await;
        }
    }

    /// Losses, and entries about them that everybody sees. While the disk is
    /// behind there are none: to tell of them would only lose more.
    fn losses_to_tell(&self, own: &mut Vec<Record>) -> BTreeMap<DropReason, LossSum> {
        if !self.store.has_room() {
            return BTreeMap::new();
        }
        let sums = self.losses.take();
        own.extend(sums.iter().map(|(reason, sum)| {
            let LossSum { count, detail, origin, .. } = sum;
            let records = if *count == 1 { "record was" } else { "records were" };
            let text =
                format!("{count} {records} dropped ({reason}): {detail}, last from {origin}");
            own_record(Level::Warning, text)
        }));
        sums
    }

    fn held_back_to_tell(&mut self, own: &mut Vec<Record>) {
        self.timers.is_holding_back = false;
        let parts: Vec<_> = self
            .limiter
            .take_held_back()
            .into_iter()
            .map(|(service, count)| format!("{count} of {service}"))
            .collect();
        if !parts.is_empty() {
            own.push(own_record(
                Level::Info,
                format!("not shown live, but in the session record: {}", parts.join(", ")),
            ));
        }
    }

    /// Records made here pass through the same gate and the same books.
    async fn keep_own(&mut self, mut own: Vec<Record>, losses: BTreeMap<DropReason, LossSum>) {
        self.ledger.accepted(own.len() as u64);
        let mut batch = self.process(&mut own, None);
        losses.into_iter().for_each(|(reason, sum)| batch.loss(reason, sum));
        if !batch.is_empty() {
            self.keep(batch).await;
        }
    }

    /// The intake is closed and empty: close the windows and tell the rest.
    async fn finish(&mut self) {
        while let Ok(line) = self.notes.try_recv() {
            self.keep_note(line).await;
        }
        let mut own = Vec::new();
        let losses = self.losses_to_tell(&mut own);
        self.held_back_to_tell(&mut own);
        self.keep_own(own, losses).await;
        let mut batch = Batch::new(None);
        for folded in self.folding.close_all() {
            self.sum_up(&folded, &mut batch);
        }
        if !batch.is_empty() {
            self.keep(batch).await;
        }
    }
}

/// Notes the id that an emitter gave, in case the batch is not written.
fn remember_id(record: &Record, batch: &mut Batch) {
    if let Some((source_id, id)) = given_id(record) {
        batch.given_ids.push((source_id, id.clone()));
    }
}

/// The id that an emitter or another instance gave, with the name of either;
/// those that do not say theirs share one.
fn given_id(record: &Record) -> Option<(Arc<str>, &EntryId)> {
    let id = record.entry_id.as_ref()?;
    let source_id = match (&record.origin, &record.emitter) {
        (Some(origin), _) => origin.id.clone(),
        (None, Some(emitter)) => emitter.source_id.clone(),
        (None, None) => Arc::default(),
    };
    Some((source_id, id))
}

/// What shares the views' rate with `entry`: its service on its host.
fn limited_together(entry: &LogEntry) -> Arc<str> {
    match entry.origin {
        Some(_) => format!("{} on {}", entry.service, entry.host).into(),
        None => entry.service.clone(),
    }
}

// === impl Timers ===

impl Timers {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            tell_counts_at: now,
            tell_losses_at: now,
            tell_held_back_at: now,
            is_holding_back: false,
        }
    }

    /// The views are spared something; they are told so a little later.
    fn hold_back(&mut self, now: Instant) {
        if !self.is_holding_back {
            self.is_holding_back = true;
            self.tell_held_back_at = now + TELL_HELD_BACK_EVERY;
        }
    }

    fn since_origin(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.origin)
    }
}

/// A record of the service itself.
pub(crate) fn own_record(level: Level, message: impl Into<String>) -> Record {
    Record::new(Utc::now(), level, OWN_LOGGER, message)
}

/// Says something as the service itself; for parts that have no pipeline.
pub(crate) fn say(intake: &dyn log_entry::RecordSink, level: Level, message: String) {
    // A full intake counts what it refuses, and that is told: nothing to do here.
    let _: Offer = intake.offer(own_record(level, message));
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

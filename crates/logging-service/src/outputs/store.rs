//! Entries on their way to the session files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{Local, Utc};
use log_entry::{DropReason, EntryId, Level, Loss, Service, Ticket, Written};
use session_store::{Line, Writer};
use standard_service::{Health, chain};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::ledger::{Fate, Ledger};
use crate::losses::{LossSum, Losses};

/// Lines for the session record, and what it means that they are written.
#[derive(Debug)]
pub(crate) struct Batch {
    lines: Vec<Line>,
    /// For each line, what is behind it.
    meanings: Vec<Meaning>,
    /// Ids that emitters gave; to be forgotten if this is not written.
    pub(crate) given_ids: Vec<(Arc<str>, EntryId)>,
    /// The record up to which everything is decided once this is written.
    through: Option<Ticket>,
    /// Whether to sync at once.
    is_urgent: bool,
    bytes: usize,
    /// The number of the last record in it.
    last_seq: Option<u64>,
}

/// What is behind a line.
#[derive(Debug)]
enum Meaning {
    /// A record, and what it becomes once the line is written.
    Record(Service, Fate),
    /// Losses, which are to be told again if the line is not written.
    Loss(DropReason, LossSum),
    /// Nothing that anyone counts.
    Note,
}

/// The pipeline's end of the queue to the session files.
pub(crate) struct Store {
    batches: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    written: Arc<watch::Sender<Written>>,
    ledger: Arc<Ledger>,
    losses: Arc<Losses>,
    /// Whether the last batch found no room: then nobody waits again.
    is_behind: bool,
}

/// A batch, and its share of the room in the queue.
pub(crate) struct Queued {
    batch: Batch,
    room: OwnedSemaphorePermit,
}

/// The one task that writes the session files.
pub(crate) struct Keeper {
    pub(crate) writer: Writer<Local>,
    pub(crate) batches: mpsc::Receiver<Queued>,
    pub(crate) written: Arc<watch::Sender<Written>>,
    /// The number of the last entry in the files.
    pub(crate) reached: watch::Sender<u64>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) losses: Arc<Losses>,
    pub(crate) health: FilesHealth,
    pub(crate) sync_interval: Duration,
    pub(crate) sync: SyncState,
    pub(crate) last_write: Option<Instant>,
}

/// How the session files are; whoever cares watches it.
#[derive(Debug, Clone)]
pub(crate) struct FilesHealth(Arc<watch::Sender<Health>>);

/// When to sync.
#[derive(Debug, Default)]
pub(crate) struct SyncState {
    due: Option<Instant>,
    last: Option<Instant>,
}

/// Batches that may wait for the disk, and their bytes. At a steady rate a batch
/// is one record: there must be room for as many as come while a sync takes
/// seconds.
pub(crate) const BATCHES_MAX: usize = 4096;
const BYTES_MAX: usize = 8 << 20;
/// How long the pipeline waits for a disk that is behind before it goes on
/// without: a flood slows the sources that can wait, and loses nothing.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often to write, at the most. At a steady rate records come one by one,
/// and a write wakes two threads.
const WRITE_EVERY: Duration = Duration::from_millis(5);
/// Bytes that are written at once, whenever the last write was.
const WRITE_BYTES: usize = 256 << 10;
/// How often entries that must be synced at once force a sync, at the most.
const URGENT_SYNC_EVERY: Duration = Duration::from_millis(50);
/// A pause in which the files may have gone.
const LOOK_AFTER: Duration = Duration::from_millis(100);
/// How often a failed write is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// What the few lines about losses take at the most.
const FEW_LINES_BYTES: usize = 64 << 10;
/// Bytes that a line takes besides its message.
const LINE_BYTES: usize = 128;

/// A queue to the session files: one end for the pipeline, one for [`Keeper`].
pub(crate) fn queue(
    written: Arc<watch::Sender<Written>>,
    ledger: Arc<Ledger>,
    losses: Arc<Losses>,
) -> (Store, mpsc::Receiver<Queued>) {
    let (batches, queue) = mpsc::channel(BATCHES_MAX);
    let room = Arc::new(Semaphore::new(BYTES_MAX));
    (Store { batches, room, written, ledger, losses, is_behind: false }, queue)
}

// === impl Batch ===

impl Batch {
    pub(crate) fn new(through: Option<Ticket>) -> Self {
        Self {
            lines: Vec::new(),
            meanings: Vec::new(),
            given_ids: Vec::new(),
            through,
            is_urgent: false,
            bytes: 0,
            last_seq: None,
        }
    }

    /// Whether nothing is to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds the line of a record of `level`, which becomes `fate` with it.
    pub(crate) fn record(&mut self, line: Line, level: Level, service: Service, fate: Fate) {
        self.is_urgent |= level >= Level::Error;
        if let Line::Entry { entry, .. } = &line {
            self.last_seq = Some(entry.seq);
        }
        self.add(line, Meaning::Record(service, fate));
    }

    /// Adds the line that tells of losses.
    pub(crate) fn loss(&mut self, reason: DropReason, sum: LossSum) {
        self.add(sum.line(reason), Meaning::Loss(reason, sum));
    }

    /// Adds a line that no record stands behind.
    pub(crate) fn note(&mut self, line: Line) {
        self.add(line, Meaning::Note);
    }

    /// Adds what is to be written next.
    fn absorb(&mut self, mut next: Self) {
        self.lines.append(&mut next.lines);
        self.meanings.append(&mut next.meanings);
        self.given_ids.append(&mut next.given_ids);
        self.through = next.through.or(self.through);
        self.is_urgent |= next.is_urgent;
        self.bytes += next.bytes;
        self.last_seq = next.last_seq.or(self.last_seq);
    }

    fn add(&mut self, line: Line, meaning: Meaning) {
        self.bytes += LINE_BYTES;
        if let Line::Entry { json, .. } = &line {
            self.bytes += json.len();
        }
        self.lines.push(line);
        self.meanings.push(meaning);
    }

    /// The records of the first `count` lines are written.
    fn settle(&mut self, count: usize, ledger: &Ledger) {
        self.lines.drain(..count);
        for meaning in self.meanings.drain(..count) {
            if let Meaning::Record(service, fate) = meaning {
                ledger.settled(&service, fate);
            }
        }
    }

    /// The records of all lines are lost, for the reason in `detail`.
    fn lose(&mut self, ledger: &Ledger, losses: &Losses, detail: &str) {
        self.lines.clear();
        let mut by_service = BTreeMap::<_, u64>::new();
        for meaning in self.meanings.drain(..) {
            match meaning {
                Meaning::Record(service, _) => {
                    ledger.settled(&service, Fate::NotWritten);
                    *by_service.entry(service.key).or_default() += 1;
                }
                Meaning::Loss(reason, sum) => losses.restore(reason, sum),
                Meaning::Note => {}
            }
        }
        let count = by_service.values().sum();
        if count > 0 {
            losses.add_of_services(&not_written(count, detail), by_service);
        }
    }
}

// === impl Store ===

impl Store {
    /// Queues `batch` for the session files. When the disk is behind it waits
    /// half a second once; after that it gives batches back, whose records are
    /// then lost and counted, until there is room again.
    pub(crate) async fn push(&mut self, batch: Batch) -> Result<(), Batch> {
        let patience = if self.is_behind { Duration::ZERO } else { PATIENCE };
        let share = u32::try_from(batch.bytes.clamp(1, BYTES_MAX)).unwrap_or(u32::MAX);
        let room = timeout(patience, async {
            let slot = self.batches.reserve().await;
            let room = self.room.clone().acquire_many_owned(share).await;
            slot.ok().zip(room.ok())
        });
        let room = room.await.ok().flatten();
        self.is_behind = room.is_none();
        let Some((slot, room)) = room else { return Err(self.lose(batch)) };
        slot.send(Queued { batch, room });
        Ok(())
    }

    fn lose(&self, mut batch: Batch) -> Batch {
        batch.lose(&self.ledger, &self.losses, "the disk is behind");
        deny(&self.written, batch.through);
        batch
    }

    /// Whether a few lines would find room at once.
    pub(crate) fn has_room(&self) -> bool {
        self.batches.capacity() > 0 && self.room.available_permits() >= FEW_LINES_BYTES
    }
}

// === impl Keeper ===

impl Keeper {
    /// Writes until the queue is closed and empty, then ends the session.
    /// Once `hurried`, what cannot be written at once is lost.
    pub(crate) async fn run(mut self, hurried: CancellationToken) {
        loop {
            tokio::select! {
                queued = self.batches.recv() => match queued {
                    Some(queued) => {
                        let queued = self.gather(queued, &hurried).await;
                        self.write(queued, &hurried).await;
                        self.last_write = Some(Instant::now());
                    }
                    None => break,
                },
                () = wait_until(self.sync.due) => self.sync().await,
            }
        }
        self.tell_the_last_losses().await;
        let ledger = ledger_as_json(&self.ledger);
        if let Err(error) = self.writer.close(ledger, Utc::now()).await {
            self.health.ails(&error);
        }
    }

    /// Adds what comes until it is time to write, or there is enough for it.
    async fn gather(&mut self, mut queued: Queued, hurried: &CancellationToken) -> Queued {
        let next_write = self.last_write.map_or_else(Instant::now, |last| last + WRITE_EVERY);
        while queued.batch.bytes < WRITE_BYTES {
            let next = tokio::select! {
                biased;
                next = self.batches.recv() => next,
                () = hurried.cancelled() => None,
                () = sleep_until(next_write) => None,
            };
            let Some(next) = next else { break };
            queued.batch.absorb(next.batch);
            queued.room.merge(next.room);
        }
        queued
    }

    async fn write(&mut self, Queued { mut batch, room }: Queued, hurried: &CancellationToken) {
        self.look_after_a_pause().await;
        let last_seq = batch.last_seq;
        while !batch.lines.is_empty() {
            match self.writer.append(&batch.lines).await {
                Ok(()) => {
                    let count = batch.lines.len();
                    batch.settle(count, &self.ledger);
                    self.health.is_well_but(self.writer.twin_error());
                }
                Err(error) => {
                    self.health.ails(&error);
                    if let session_store::Error::Append { written, .. } = error {
                        batch.settle(written, &self.ledger);
                    }
                    if !self.may_try_again(hurried).await {
                        return self.give_up(batch);
                    }
                }
            }
        }
        drop(room);
        if let Some(last_seq) = last_seq {
            self.reached.send_replace(last_seq);
        }
        self.acknowledge(batch.through);
        self.schedule_sync(batch.is_urgent).await;
    }

    /// Waits until it makes sense to try again; says whether there is time to.
    async fn may_try_again(&mut self, hurried: &CancellationToken) -> bool {
        if self.sync.due.is_some_and(|due| due <= Instant::now()) {
            // What was written before the trouble began.
            self.sync().await;
        }
        tokio::select! {
            biased;
            () = hurried.cancelled() => false,
            () = sleep(RETRY_EVERY) => true,
        }
    }

    fn give_up(&self, mut batch: Batch) {
        batch.lose(&self.ledger, &self.losses, "the session file could not be written");
        deny(&self.written, batch.through);
    }

    /// The pipeline has ended and tells nothing any more.
    async fn tell_the_last_losses(&mut self) {
        let lines: Vec<_> =
            self.losses.take().iter().map(|(reason, sum)| sum.line(*reason)).collect();
        if !lines.is_empty()
            && let Err(error) = self.writer.append(&lines).await
        {
            self.health.ails(&error);
        }
    }

    /// Someone may have removed the files while nothing was written.
    async fn look_after_a_pause(&mut self) {
        let is_pause = self.sync.last.is_some_and(|last| last.elapsed() > LOOK_AFTER);
        if is_pause
            && self.sync.due.is_none()
            && let Err(error) = self.writer.check().await
        {
            self.health.ails(&error);
        }
    }

    fn acknowledge(&self, through: Option<Ticket>) {
        if let Some(through) = through {
            self.written.send_modify(|written| written.through = through);
        }
    }

    async fn schedule_sync(&mut self, is_urgent: bool) {
        let now = Instant::now();
        let latest = now + self.sync_interval;
        let due = if is_urgent {
            self.sync.last.map_or(now, |last| last + URGENT_SYNC_EVERY)
        } else {
            latest
        };
        self.sync.due = Some(self.sync.due.unwrap_or(latest).min(due));
        if self.sync.due <= Some(now) {
            self.sync().await;
        }
    }

    async fn sync(&mut self) {
        self.sync.due = None;
        self.sync.last = Some(Instant::now());
        let synced = self.writer.sync().await;
        // Someone may have removed or replaced the files: what comes next goes
        // to a new segment then.
        let checked = self.writer.check().await;
        if let Err(error) = synced.and(checked) {
            self.health.ails(&error);
        }
    }
}

// === impl FilesHealth ===

impl FilesHealth {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::channel(Health::Running).0))
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Health> {
        self.0.subscribe()
    }

    /// What is wrong, if anything.
    pub(crate) fn reason(&self) -> Option<String> {
        match &*self.0.borrow() {
            Health::Running => None,
            Health::Degraded { reason } => Some(reason.clone()),
        }
    }

    /// The record is well; its readable twin may not be.
    fn is_well_but(&self, twin: Option<&session_store::Error>) {
        match twin {
            Some(error) => self.ails(error),
            None => self.set(Health::Running),
        }
    }

    fn ails(&self, error: &session_store::Error) {
        self.set(Health::Degraded { reason: chain(error) });
    }

    fn set(&self, health: Health) {
        self.0.send_if_modified(|current| {
            let is_new = *current != health;
            *current = health;
            is_new
        });
    }
}

/// The record with the ticket `through` was lost; an earlier one may have been
/// lost later.
fn deny(written: &watch::Sender<Written>, through: Option<Ticket>) {
    if let Some(through) = through {
        written.send_modify(|written| written.lost = written.lost.max(through));
    }
}

fn not_written(count: u64, detail: &str) -> Loss {
    Loss {
        reason: DropReason::NotWritten,
        count,
        origin: "the pipeline".to_owned(),
        detail: detail.to_owned(),
    }
}

fn ledger_as_json(ledger: &Ledger) -> serde_json::Value {
    let counts = ledger.snapshot();
    serde_json::json!({
        "received": counts.received,
        "stored": counts.stored,
        "merged": counts.merged,
        "filtered": counts.filtered_total(),
        "dropped": counts.dropped_by_name(),
        "in_flight": counts.in_flight,
    })
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

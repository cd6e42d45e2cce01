//! Entries on their way to the session files.

use std::sync::Arc;
use std::time::Duration;

use chrono::{Local, Utc};
use log_entry::{DropReason, EntryId, Level, Loss, Service, Ticket, Written};
use session_store::{Line, Writer};
use standard_service::Health;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::ledger::{Fate, Ledger};
use crate::losses::Losses;

/// Lines for the session record, and what it means that they are written.
#[derive(Debug)]
pub(crate) struct Batch {
    lines: Vec<Line>,
    /// For each line, what its record becomes once the line is written.
    fates: Vec<Option<(Service, Fate)>>,
    /// Ids that emitters gave; to be forgotten if this is not written.
    pub(crate) given_ids: Vec<(Arc<str>, EntryId)>,
    /// The record up to which everything is decided once this is written.
    through: Option<Ticket>,
    /// Whether to sync at once.
    is_urgent: bool,
    bytes: usize,
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
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) losses: Arc<Losses>,
    pub(crate) health: FilesHealth,
    pub(crate) sync_interval: Duration,
    pub(crate) sync: SyncState,
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

/// Batches that may wait for the disk, and their bytes.
const BATCHES_MAX: usize = 100;
const BYTES_MAX: usize = 8 << 20;
/// How long the pipeline waits for a disk that is behind before it goes on
/// without: a flood slows the sources that can wait, and loses nothing.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often entries that must be synced at once force a sync, at the most.
const URGENT_SYNC_EVERY: Duration = Duration::from_millis(50);
/// How often a failed write is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);
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
            fates: Vec::new(),
            given_ids: Vec::new(),
            through,
            is_urgent: false,
            bytes: 0,
        }
    }

    /// Adds the line of a record of `level`, which becomes `fate` with it.
    pub(crate) fn record(&mut self, line: Line, level: Level, service: Service, fate: Fate) {
        self.is_urgent |= level >= Level::Error;
        self.add(line, Some((service, fate)));
    }

    /// Adds a line that no record stands behind.
    pub(crate) fn note(&mut self, line: Line) {
        self.add(line, None);
    }

    fn add(&mut self, line: Line, fate: Option<(Service, Fate)>) {
        self.bytes += LINE_BYTES;
        if let Line::Entry { json, .. } = &line {
            self.bytes += json.len();
        }
        self.lines.push(line);
        self.fates.push(fate);
    }

    /// The records of the first `count` lines are written.
    fn settle(&mut self, count: usize, ledger: &Ledger) {
        self.lines.drain(..count);
        for (service, fate) in self.fates.drain(..count).flatten() {
            ledger.settled(&service, fate);
        }
    }

    /// The records of all lines are lost. Returns how many there are.
    fn lose(&mut self, ledger: &Ledger) -> u64 {
        self.lines.clear();
        let mut count = 0;
        for (service, _) in self.fates.drain(..).flatten() {
            ledger.settled(&service, Fate::NotWritten);
            count += 1;
        }
        count
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
        let count = batch.lose(&self.ledger);
        if count > 0 {
            self.losses.add(&not_written(count, "the disk is behind"));
        }
        if let Some(through) = batch.through {
            self.written.send_modify(|written| written.lost = through);
        }
        batch
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
                    Some(queued) => self.write(queued, &hurried).await,
                    None => break,
                },
                () = wait_until(self.sync.due) => self.sync().await,
            }
        }
        let ledger = ledger_as_json(&self.ledger);
        if let Err(error) = self.writer.close(ledger, Utc::now()).await {
            self.health.ails(&error);
        }
    }

    async fn write(&mut self, Queued { mut batch, room }: Queued, hurried: &CancellationToken) {
        while !batch.lines.is_empty() {
            match self.writer.append(&batch.lines).await {
                Ok(()) => {
                    let count = batch.lines.len();
                    batch.settle(count, &self.ledger);
                    self.health.is_well();
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
        self.acknowledge(batch.through);
        self.schedule_sync(batch.is_urgent).await;
    }

    /// Waits until it makes sense to try again; says whether there is time to.
    async fn may_try_again(&self, hurried: &CancellationToken) -> bool {
        tokio::select! {
            biased;
            () = hurried.cancelled() => false,
            () = sleep(RETRY_EVERY) => true,
        }
    }

    fn give_up(&self, mut batch: Batch) {
        let count = batch.lose(&self.ledger);
        self.losses.add(&not_written(count, "the session file could not be written"));
        if let Some(through) = batch.through {
            self.written.send_modify(|written| written.lost = through);
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

    fn is_well(&self) {
        self.set(Health::Running);
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

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

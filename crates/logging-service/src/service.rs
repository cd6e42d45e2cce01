//! The service: everything joined under one lifecycle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use bus::Bus;
use chrono::Local;
use log_entry::{EntryIds, Level, Levels, RecordSink, SessionId, Written};
use parking_lot::RwLock;
use rate_limit::Limiter;
use session_store::{Directory, Header, Removed, Writer};
use standard_service::{BoxError, Health, StandardService};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Dispatch;

use crate::control::Control;
use crate::folding::Folding;
use crate::handle::Handle;
use crate::intake::{Bounds, Intake};
use crate::ledger::Ledger;
use crate::losses::Losses;
use crate::naming::Naming;
use crate::outputs::publish::{self, publish};
use crate::outputs::store::{self, FilesHealth, Keeper, Queued, SyncState};
use crate::own::OwnSink;
use crate::pipeline::{Identity, Pipeline, Timers, say};
use crate::recent::Recent;
use crate::seen::Seen;
use crate::{Config, OpenError};

/// Captures every record of every source, keeps it and shows it.
///
/// It works on a thread of its own, whose `tracing` events lead nowhere (or to
/// where [`with_dispatch`](Self::with_dispatch) says): whatever a library logs
/// while an entry is written or published cannot become an entry again.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use log_entry::{Level, Record, RecordSink};
/// use logging_service::{Config, LoggingService};
/// use standard_service::StandardService;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let bus = Arc::new(bus::MemoryBus::default());
/// let mut logging = LoggingService::open(Config::default(), bus).await?;
/// // Records may come before the start; they wait.
/// logging.intake().offer(Record::new(chrono::Utc::now(), Level::Info, "root", "hello"));
/// logging.start().await?;
/// logging.stop().await?;
/// # Ok(())
/// # }
/// ```
pub struct LoggingService {
    intake: Arc<Intake>,
    levels: watch::Receiver<Levels>,
    written: watch::Receiver<Written>,
    handle: Arc<Handle>,
    own: Dispatch,
    pub(crate) state: State,
}

pub(crate) enum State {
    Opened(Box<Work>),
    Running(Running),
    Ended,
}

/// What the service's thread does.
pub(crate) struct Work {
    pub(crate) pipeline: Pipeline,
    pub(crate) keeper: Keeper,
    events: publish::Events,
    control: Control,
    shared: Shared,
}

/// What the parts of the service have in common.
struct Shared {
    bus: Arc<dyn Bus>,
    ledger: Arc<Ledger>,
    losses: Arc<Losses>,
    recent: Arc<RwLock<Recent>>,
    files: FilesHealth,
    is_working: Arc<AtomicBool>,
}

pub(crate) struct Running {
    cancelled: CancellationToken,
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

/// Lines about settings that may wait for the pipeline.
const NOTES_MAX: usize = 64;

// === impl LoggingService ===

impl LoggingService {
    /// Opens the session directory and begins a session in it.
    ///
    /// # Errors
    ///
    /// The directory cannot be used, or another process uses it.
    pub async fn open(config: Config, bus: Arc<dyn Bus>) -> Result<Self, OpenError> {
        let (writer, removed) = begin_session(&config).await?;
        let shared = Shared::new(&config, bus);
        let intake = Arc::new(shared.intake(&config));
        let (levels_sender, levels) = watch::channel(Levels::new(config.log_level));
        let (written_sender, written) = watch::channel(Written::default());
        let written_sender = Arc::new(written_sender);
        let (store, batches) =
            store::queue(written_sender.clone(), shared.ledger.clone(), shared.losses.clone());
        let (publisher, events) = publish::queue(config.enable_dashboard_streaming);

        tell_of_removed(&*intake, &removed);
        let (note_sender, notes) = mpsc::channel(NOTES_MAX);
        let control = Control {
            bus: shared.bus.clone(),
            levels: levels_sender,
            intake: intake.clone(),
            notes: note_sender,
        };
        let sync_interval = config.sync_interval.min(config.file_flush_interval);
        let identity = identity(&writer);
        let (reached_sender, reached) = watch::channel(0);
        let handle = Arc::new(shared.handle(&config, writer.id().clone(), reached));
        let keeper =
            shared.keeper(writer, batches, (written_sender, reached_sender), sync_interval);
        let pipeline = Pipeline {
            intake: intake.clone(),
            levels: levels.clone(),
            notes,
            identity,
            naming: Naming::new(config.services),
            seen: Seen::default(),
            folding: Folding::new(config.deduplication_window),
            limiter: Limiter::new(config.rate_limit_per_service, config.rate_limit_burst),
            recent: shared.recent.clone(),
            store,
            publisher,
            ledger: shared.ledger.clone(),
            losses: shared.losses.clone(),
            batch_size: config.batch_size.get(),
            timers: Timers::new(Instant::now()),
        };
        let work = Work { pipeline, keeper, events, control, shared };
        let state = State::Opened(Box::new(work));
        Ok(Self { intake, levels, written, handle, own: Dispatch::none(), state })
    }

    /// Sends the `tracing` events of the service's own thread to `own`, which
    /// must not lead back into the intake other than through [`own_sink`](Self::own_sink).
    #[must_use]
    pub fn with_dispatch(mut self, own: Dispatch) -> Self {
        self.own = own;
        self
    }

    /// The door for records. Open from construction on: early records wait.
    pub fn intake(&self) -> Arc<dyn RecordSink> {
        self.intake.clone()
    }

    /// The door for what the logging system says about itself: ten records a
    /// second at the most, whatever happens.
    pub fn own_sink(&self) -> Arc<dyn RecordSink> {
        Arc::new(OwnSink::new(self.intake.clone()))
    }

    /// Which records are wanted; changes at runtime.
    pub fn levels(&self) -> watch::Receiver<Levels> {
        self.levels.clone()
    }

    /// How far the session record has come.
    pub fn written(&self) -> watch::Receiver<Written> {
        self.written.clone()
    }

    /// What was logged, and how the service is.
    pub fn handle(&self) -> Arc<Handle> {
        self.handle.clone()
    }
}

#[async_trait]
impl StandardService for LoggingService {
    fn name(&self) -> &'static str {
        "logging_service"
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.handle.files.watch()
    }

    async fn start(&mut self) -> Result<(), BoxError> {
        let State::Opened(work) = std::mem::replace(&mut self.state, State::Ended) else {
            return Err("the logging service was started before".into());
        };
        self.state = State::Running(spawn(*work, self.own.clone())?);
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        let State::Running(running) = std::mem::replace(&mut self.state, State::Ended) else {
            return Ok(());
        };
        running.cancelled.cancel();
        // The sender is dropped without a word if the thread panicked; joining
        // it tells. By then it has nothing left to do but end.
        let _: Result<(), oneshot::error::RecvError> = running.ended.await;
        running.thread.join().map_err(|_| "the logging service's thread panicked")?;
        self.handle.verdict()
    }
}

impl std::fmt::Debug for LoggingService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoggingService")
            .field("session_id", &self.handle.session_id)
            .finish_non_exhaustive()
    }
}

async fn begin_session(config: &Config) -> Result<(Writer<Local>, Removed), OpenError> {
    let directory = Directory::open(&config.session_file_path)?;
    let header = Header {
        host: host(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let started = Local::now();
    let mut writer = directory.create_session(&started, header).await?;
    writer.set_rotate_bytes(config.rotate_bytes);
    let removed = directory.retain(&config.retention, started.to_utc(), Some(writer.id()))?;
    Ok((writer, removed))
}

/// Removed sessions that are named one by one.
const REMOVED_TOLD_MAX: usize = 10;

/// Says which earlier sessions were removed, and which could not be.
fn tell_of_removed(intake: &dyn RecordSink, removed: &Removed) {
    for id in removed.sessions.iter().take(REMOVED_TOLD_MAX) {
        say(intake, Level::Info, format!("removed the session {id}: retention"));
    }
    for (path, error) in removed.failed.iter().take(REMOVED_TOLD_MAX) {
        let text = format!("could not remove `{}`: {error}", path.display());
        say(intake, Level::Warning, text);
    }
    let more = |count: usize| count.saturating_sub(REMOVED_TOLD_MAX);
    let (removed, failed) = (more(removed.sessions.len()), more(removed.failed.len()));
    if removed + failed > 0 {
        let text =
            format!("removed {removed} sessions more, and could not remove {failed} files more");
        say(intake, Level::Info, text);
    }
}

fn identity(writer: &Writer<Local>) -> Identity {
    use std::hash::{BuildHasher, RandomState};
    // A fresh `RandomState` is seeded by the system: as random as a nonce needs.
    let nonce = RandomState::new().hash_one(std::process::id());
    Identity {
        session_id: writer.id().clone(),
        host: host().into(),
        ids: EntryIds::new(nonce),
        seq: 0,
    }
}

fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// Starts the thread on which everything happens.
fn spawn(work: Work, own: Dispatch) -> Result<Running, BoxError> {
    let runtime = runtime(own.clone())?;
    let cancelled = CancellationToken::new();
    let (end, ended) = oneshot::channel();
    let token = cancelled.clone();
    let thread =
        std::thread::Builder::new().name("logging-service".to_owned()).spawn(move || {
            let _guard = tracing::dispatcher::set_default(&own);
            runtime.block_on(work.run(token));
            // The receiver is gone only if nobody waits for the end.
            let _: Result<(), ()> = end.send(());
        })?;
    Ok(Running { cancelled, ended, thread })
}

/// A runtime on the thread that drives it; the few threads it starts for file
/// operations speak to `own` as well.
fn runtime(own: Dispatch) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(2)
        .thread_name("logging-files")
        .on_thread_start(move || {
            // For as long as the thread lives.
            std::mem::forget(tracing::dispatcher::set_default(&own));
        })
        .build()
}

// === impl Shared ===

impl Shared {
    fn new(config: &Config, bus: Arc<dyn Bus>) -> Self {
        let recent = Recent::new(config.max_memory_logs, config.max_memory_bytes);
        Self {
            bus,
            ledger: Arc::default(),
            losses: Arc::default(),
            recent: Arc::new(RwLock::new(recent)),
            files: FilesHealth::new(),
            is_working: Arc::new(AtomicBool::new(true)),
        }
    }

    fn intake(&self, config: &Config) -> Intake {
        let bounds = Bounds { records: config.max_queue_size, bytes: config.max_queue_bytes };
        Intake::new(bounds, self.ledger.clone(), self.losses.clone())
    }

    fn handle(
        &self,
        config: &Config,
        session_id: SessionId,
        reached: watch::Receiver<u64>,
    ) -> Handle {
        Handle {
            session_id,
            sessions: session_store::Sessions::at(&config.session_file_path),
            recent: self.recent.clone(),
            reached,
            ledger: self.ledger.clone(),
            files: self.files.clone(),
            is_working: self.is_working.clone(),
            bus: self.bus.clone(),
            started: Instant::now(),
        }
    }

    fn keeper(
        &self,
        writer: Writer<Local>,
        batches: mpsc::Receiver<Queued>,
        (written, reached): (Arc<watch::Sender<Written>>, watch::Sender<u64>),
        sync_interval: Duration,
    ) -> Keeper {
        Keeper {
            writer,
            batches,
            written,
            reached,
            ledger: self.ledger.clone(),
            losses: self.losses.clone(),
            health: self.files.clone(),
            sync_interval,
            sync: SyncState::default(),
            last_write: None,
        }
    }
}

// === impl Work ===

impl Work {
    async fn run(self, cancelled: CancellationToken) {
        let _working = Working(self.shared.is_working);
        // The pipeline ends when its intake is closed and empty, and the others
        // when the pipeline has let go of their queues.
        let kept = CancellationToken::new();
        let keep = async {
            tokio::join!(self.pipeline.run(cancelled.clone()), self.keeper.run(cancelled.clone()));
            kept.cancel();
        };
        tokio::join!(
            keep,
            publish(self.events, self.shared.bus, self.shared.ledger, kept.clone()),
            self.control.run(cancelled.clone()),
        );
    }
}

/// Tells that the thread has ended, also when it panics.
struct Working(Arc<AtomicBool>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

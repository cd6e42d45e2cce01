//! An instance with everything it has: logging service, bridge, collector.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, MemoryBus};
use bus_bridge::{Backlog, Bridge, Collector, CollectorHandle, Config, Relay, origin};
use chrono::Utc;
use log_entry::{Level, LogEntry, Offer, Record, SessionId};
use logging_api::{Archive as _, Collected};
use logging_service::LoggingService;
use session_store::{ReadLine, Sessions};
use standard_service::{BoxError, StandardService, async_trait};
use tempfile::TempDir;
use tokio::time::{interval, timeout};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Instance {
    logs: TempDir,
    pub(crate) host: &'static str,
    pub(crate) origin: Arc<str>,
    pub(crate) local: MemoryBus,
    pub(crate) logging: LoggingService,
    bridge: Bridge,
    collector: Option<Collector>,
    pub(crate) handle: Option<CollectorHandle>,
}

impl Instance {
    /// One that publishes, and collects nothing.
    pub(crate) async fn started(host: &'static str, remote: &Arc<dyn Bus>) -> Self {
        Self::of(host, remote, false, tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn collecting(host: &'static str, remote: &Arc<dyn Bus>) -> Self {
        Self::of(host, remote, true, tempfile::tempdir().unwrap()).await
    }

    /// The next run of a collector, in the same directory.
    #[cfg(feature = "nats")]
    pub(crate) async fn again(self, remote: &Arc<dyn Bus>) -> Self {
        let Self { host, logs, .. } = self;
        Self::of(host, remote, true, logs).await
    }

    async fn of(
        host: &'static str,
        remote: &Arc<dyn Bus>,
        is_collecting: bool,
        logs: TempDir,
    ) -> Self {
        let before = remote.state().subscriptions;
        let mut instance = Self::opened(host, remote, is_collecting, logs).await;
        instance.bridge.start().await.unwrap();
        instance.logging.start().await.unwrap();
        if let Some(collector) = &mut instance.collector {
            collector.start().await.unwrap();
        }
        // Six topics of others; with repeats and entries eight. What reads what
        // is kept is no subscription.
        let topics = match (is_collecting, remote.durable().is_some()) {
            (false, _) => 6,
            (true, true) => 7,
            (true, false) => 8,
        };
        until(|| remote.state().subscriptions == before + topics).await;
        // The logging service hears commands on a thread of its own.
        until(|| instance.local.state().subscriptions >= 8).await;
        instance
    }

    async fn opened(
        host: &'static str,
        remote: &Arc<dyn Bus>,
        is_collecting: bool,
        logs: TempDir,
    ) -> Self {
        let directory = logs.path().join("logs");
        let origin = origin(&directory).unwrap();
        let sessions = Sessions::at(&directory);
        let backlog = Backlog::take_stock(&directory, "the bus of this test");
        let local = MemoryBus::default();
        let config = logging_service::Config {
            session_file_path: directory,
            ..logging_service::Config::default()
        };
        let (here, there) = (Arc::new(local.clone()), remote.clone());
        let logging = LoggingService::open(config, here.clone()).await.unwrap();
        let relay = Relay::subscribe(here, there.clone(), origin.clone()).await.unwrap();
        let relay = if is_collecting { relay.collecting() } else { relay };
        let config = Config {
            session: logging.handle().current(),
            origin: origin.clone(),
            to_dashboard: true,
            rate_limit_per_service: 200,
            rate_limit_burst: 1000,
            max_replay_bytes: Config::MAX_REPLAY_BYTES,
        };
        let bridge = Bridge::new(config, backlog, relay, there.clone(), logging.written());
        let collector = is_collecting
            .then(|| Collector::new(there, logging.intake(), logging.written(), origin.clone()))
            .map(|collector| collector.after(sessions, logging.handle().current()));
        let handle = collector.as_ref().map(Collector::handle);
        Self { logs, host, origin, local, logging, bridge, collector, handle }
    }

    pub(crate) fn offer(&self, record: Record) {
        assert!(matches!(self.logging.intake().offer(record), Offer::Accepted(_)));
    }

    pub(crate) fn collected(&self) -> Collected {
        self.handle.as_ref().unwrap().collected()
    }

    #[cfg(feature = "nats")]
    pub(crate) fn relayed(&self) -> logging_api::Relayed {
        self.bridge.relayed().counts()
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(collector) = &mut self.collector {
            timeout(DEADLINE, collector.stop()).await.unwrap().unwrap();
        }
        timeout(DEADLINE, self.logging.stop()).await.unwrap().unwrap();
        timeout(DEADLINE, self.bridge.stop()).await.unwrap().unwrap();
    }

    /// What is in the files of this run's session.
    pub(crate) fn entries(&self) -> Vec<LogEntry> {
        self.entries_of(&self.logging.handle().current())
    }

    pub(crate) fn entries_of(&self, session: &SessionId) -> Vec<LogEntry> {
        let lines = Sessions::at(self.logs.path().join("logs")).read(session).unwrap();
        let entry = |line| match line {
            ReadLine::Entry(entry) => Some(*entry),
            _ => None,
        };
        lines.map(Result::unwrap).filter_map(entry).collect()
    }
}

/// A service that does nothing.
pub(crate) struct Idle;

#[async_trait]
impl StandardService for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    async fn start(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

pub(crate) fn record(host: &str, level: Level, message: &str) -> Record {
    let mut record = Record::new(Utc::now(), level, "cantina_os.gpt_service", message);
    record.host = Some(host.into());
    record
}

pub(crate) fn room(events: usize) -> NonZeroUsize {
    NonZeroUsize::new(events).unwrap()
}

/// Waits until something holds, and looks often.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    let mut look = interval(Duration::from_millis(1));
    let holding = async {
        while !holds() {
            look.tick().await;
        }
    };
    timeout(DEADLINE, holding).await.unwrap();
}

//! The bridge as a whole, with a logging service and two buses.

use std::num::NonZeroUsize;

use bus::{Delivery, EVENT_ID, MemoryBus, ORIGIN, Subscription};
use chrono::Utc;
use log_entry::{Level, LogEntry, Offer, Record};
use logging_api::{Archive as _, DASHBOARD_LOG, ENTRY_NUMBER, LOG_ENTRY};
use logging_service::LoggingService;
use standard_service::SERVICE_STATUS_UPDATE;
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);
const ROOM: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

struct Program {
    local: Arc<MemoryBus>,
    logging: LoggingService,
    bridge: Bridge,
}

impl Program {
    async fn started(logs: &TempDir, remote: &MemoryBus) -> Self {
        let directory = logs.path().join("logs");
        let origin = crate::origin(&directory).unwrap();
        let backlog = Backlog::take_stock(&directory, "memory:");
        let config = logging_service::Config {
            session_file_path: directory,
            ..logging_service::Config::default()
        };
        let local = Arc::new(MemoryBus::default());
        let mut logging = LoggingService::open(config, local.clone()).await.unwrap();
        let config = Config {
            session: logging.handle().current(),
            origin: origin.clone(),
            to_dashboard: true,
            rate_limit_per_service: 200,
            rate_limit_burst: 1000,
            max_replay_bytes: Config::MAX_REPLAY_BYTES,
        };
        let remote: Arc<dyn Bus> = Arc::new(remote.clone());
        let relay = Relay::subscribe(local.clone(), remote.clone(), origin).await.unwrap();
        let mut bridge = Bridge::new(config, backlog, relay, remote, logging.written());
        bridge.start().await.unwrap();
        logging.start().await.unwrap();
        Self { local, logging, bridge }
    }

    fn say(&self, message: &str) {
        let record = Record::new(Utc::now(), Level::Info, "cantina_os.gpt_service", message);
        assert!(matches!(self.logging.intake().offer(record), Offer::Accepted(_)));
    }

    async fn stop(mut self) -> Forwarding {
        timeout(DEADLINE, self.logging.stop()).await.unwrap().unwrap();
        timeout(DEADLINE, self.bridge.stop()).await.unwrap().unwrap();
        self.bridge.forwarding()
    }
}

async fn next(events: &mut Subscription) -> bus::Event {
    match timeout(DEADLINE, events.recv()).await.unwrap() {
        Some(Delivery::Event(event)) => event,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_logged_here_is_heard_there_once_and_in_order_also_what_came_last() {
    let (logs, remote) = (tempfile::tempdir().unwrap(), MemoryBus::default());
    let mut entries = remote.subscribe(LOG_ENTRY.name(), ROOM).await.unwrap();
    let mut shorts = remote.subscribe(DASHBOARD_LOG.name(), ROOM).await.unwrap();
    for life in 0..2_u64 {
        let program = Program::started(&logs, &remote).await;
        program.say("0");
        assert!(!next(&mut entries).await.payload.is_empty(), "while it runs");
        for n in 1..100 {
            program.say(&n.to_string());
            program.say("again and again");
        }
        let forwarding = program.stop().await;
        assert_eq!(forwarding.counts().published, 101);
        assert_eq!(forwarding.vitals().backlog, 0);
        let mut messages = Vec::new();
        for number in 2..=101 {
            let event = next(&mut entries).await;
            let entry: LogEntry = LOG_ENTRY.decode(&event).unwrap();
            assert_eq!(event.headers.get(EVENT_ID).unwrap(), entry.entry_id.to_string());
            assert!(event.headers.get(ORIGIN).is_some());
            let expected = (life * 101 + number).to_string();
            assert_eq!(event.headers.get(ENTRY_NUMBER), Some(&*expected));
            messages.push(entry.message);
        }
        messages.retain(|message| message != "again and again");
        assert!(messages.into_iter().eq((1..100).map(|n| n.to_string())));
        // What ends a window of repeats comes from the relay, at any time.
        let mut shown = 0;
        while let Ok(Delivery::Event(event)) = shorts.try_recv() {
            shown += u64::from(DASHBOARD_LOG.decode(&event).unwrap().repeats == 0);
        }
        assert_eq!(shown, 101);
    }
    assert!(entries.try_recv().is_err());
}

#[tokio::test]
async fn what_is_said_live_is_relayed() {
    let (logs, remote) = (tempfile::tempdir().unwrap(), MemoryBus::default());
    let mut statuses = remote.subscribe(SERVICE_STATUS_UPDATE.name(), ROOM).await.unwrap();
    let program = Program::started(&logs, &remote).await;
    program.local.publish(bus::Event::new(SERVICE_STATUS_UPDATE.name(), "{}")).await.unwrap();
    assert_eq!(next(&mut statuses).await.payload, "{}");
    let relayed = program.bridge.relayed();
    program.stop().await;
    assert_eq!(relayed.counts().outward, 1);
}

#[tokio::test]
async fn it_starts_once_and_stops_also_if_it_never_started() {
    let (logs, remote) = (tempfile::tempdir().unwrap(), MemoryBus::default());
    let mut program = Program::started(&logs, &remote).await;
    assert!(program.bridge.start().await.is_err());
    program.bridge.stop().await.unwrap();
    program.bridge.stop().await.unwrap();
    program.stop().await;
}

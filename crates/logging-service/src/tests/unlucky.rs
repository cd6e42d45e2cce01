//! A bus that does not work, and commands that ask too much.

use async_trait::async_trait;
use bus::{Capabilities, Event, State as BusState, Subscription};
use logging_api::{Command, LOGGING_COMMAND};

use super::*;

/// Takes subscriptions, and never an event.
struct StuckBus(MemoryBus);

#[async_trait]
impl Bus for StuckBus {
    async fn publish(&self, _: Event) -> Result<(), bus::Error> {
        std::future::pending().await
    }

    async fn subscribe(&self, topic: &str, n: NonZeroUsize) -> Result<Subscription, bus::Error> {
        self.0.subscribe(topic, n).await
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn state(&self) -> BusState {
        self.0.state()
    }

    async fn flush(&self) -> Result<(), bus::Error> {
        std::future::pending().await
    }

    async fn close(&self) -> Result<(), bus::Error> {
        self.0.close().await
    }
}

/// Asks for `level` until the service has heard: it subscribes on its own thread.
async fn set_level(logging: &LoggingService, bus: &MemoryBus, level: Level) {
    let mut levels = logging.levels();
    let ask = async {
        while levels.borrow_and_update().global != level {
            bus.publish_json(&SET_GLOBAL_LEVEL, &SetGlobalLevel { level }).await.unwrap();
            timeout(Duration::from_millis(20), levels.changed()).await.ok();
        }
    };
    timeout(DEADLINE, ask).await.unwrap();
}

#[tokio::test]
async fn a_bus_that_is_stuck_keeps_nobody_from_stopping() {
    let logs = tempfile::tempdir().unwrap();
    let config = Config { session_file_path: logs.path().join("logs"), ..Config::default() };
    let bus = MemoryBus::default();
    let mut logging = LoggingService::open(config, Arc::new(StuckBus(bus.clone()))).await.unwrap();
    logging.start().await.unwrap();
    logging.intake().offer(info("kept, if not shown"));
    set_level(&logging, &bus, Level::Debug).await;
    let deadline = Duration::from_millis(1500);
    timeout(deadline, logging.stop()).await.expect("it stops in time").unwrap();
    let stats = logging.handle().stats();
    assert_eq!((stats.received, stats.in_flight), (stats.stored, 0));
    assert!(stats.views.missed > 0);
}

#[tokio::test]
async fn a_bus_that_closes_ends_nothing_else() {
    let mut setup = Setup::started().await;
    setup.bus.close().await.unwrap();
    setup.say("still there");
    setup.written(1).await;
    assert!(setup.logging.levels().has_changed().is_ok(), "the levels are still looked after");
    setup.stop().await;
    assert!(setup.entries().iter().any(|entry| entry.message == "still there"));
}

#[tokio::test]
async fn a_threshold_above_warning_is_in_the_record() {
    let mut setup = Setup::started().await;
    set_level(&setup.logging, &setup.bus, Level::Critical).await;
    setup.stop().await;
    let messages: Vec<_> = setup.entries().into_iter().map(|entry| entry.message).collect();
    assert_eq!(
        messages,
        ["log level changed from INFO to CRITICAL, asked by debug.set.global.level"]
    );
}

#[tokio::test]
async fn exceptions_for_loggers_have_a_bound() {
    let setup = Setup::started().await;
    let mut levels = setup.logging.levels();
    let mut number = 0_u32;
    let ask = async {
        while number < 3000 || levels.borrow_and_update().global != Level::Error {
            let logger = (number < 3000).then(|| format!("logger {number}"));
            let command = Command::SetLevel { logger, level: Level::Error, by: "test".into() };
            setup.bus.publish_json(&LOGGING_COMMAND, &command).await.unwrap();
            number += 1;
            timeout(Duration::from_millis(1), levels.changed()).await.ok();
        }
    };
    timeout(DEADLINE, ask).await.unwrap();
    let known = levels.borrow().loggers.len();
    assert!(known <= 256, "{known} loggers have a threshold of their own");
}

#[tokio::test]
async fn an_entry_too_large_for_the_dashboard_is_cut_there() {
    let mut setup = Setup::started().await;
    let capacity = NonZeroUsize::new(10).unwrap();
    let mut entries = setup.bus.subscribe_json(&LOG_ENTRY, capacity).await.unwrap();
    let mut dashboard = setup.bus.subscribe_json(&DASHBOARD_LOG, capacity).await.unwrap();
    let limit = setup.bus.capabilities().payload_max;
    let mut record = info(&"x".repeat(limit));
    record.exception = Some(Exception { message: Some("y".repeat(limit)), ..Exception::default() });
    setup.offer(record);
    let stats = setup.stop().await;
    assert_eq!(stats.views.missed, 0);
    let whole = timeout(DEADLINE, entries.recv()).await.unwrap().unwrap().unwrap();
    assert!(whole.message.ends_with("bytes more in the session record]"));
    let line = timeout(DEADLINE, dashboard.recv()).await.unwrap().unwrap().unwrap();
    assert!(line.message.ends_with("bytes more in the session record]"));
}

//! The service as a whole, on the in-memory bus and a real directory.

mod history;
mod losses;
mod others;
mod unlucky;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, BusExt, Delivery, MemoryBus};
use chrono::Utc;
use log_entry::{
    DropReason, Emitter, EntryIds, Exception, FilterSpec, Level, LogEntry, Loss, Offer, Record,
    Severity, Ticket,
};
use logging_api::{
    Archive, DASHBOARD_LOG, LOG_ENTRY, LOG_REPEAT, LOGGING_STATUS, Query, Range, SET_GLOBAL_LEVEL,
    SetGlobalLevel, Stats, Vitals,
};
use session_store::{ReadLine, Sessions};
use standard_service::StandardService;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{Config, LoggingService};

const DEADLINE: Duration = Duration::from_secs(20);

struct Setup {
    logs: TempDir,
    bus: Arc<MemoryBus>,
    logging: LoggingService,
}

impl Setup {
    async fn opened(change: impl FnOnce(&mut Config)) -> Self {
        let logs = tempfile::tempdir().unwrap();
        let mut config =
            Config { session_file_path: logs.path().join("logs"), ..Config::default() };
        change(&mut config);
        let bus = Arc::new(MemoryBus::default());
        let logging = LoggingService::open(config, bus.clone()).await.unwrap();
        Self { logs, bus, logging }
    }

    async fn started() -> Self {
        let mut setup = Self::opened(|_| {}).await;
        setup.logging.start().await.unwrap();
        setup
    }

    fn offer(&self, record: Record) -> Offer {
        self.logging.intake().offer(record)
    }

    fn say(&self, message: &str) {
        assert!(matches!(self.offer(info(message)), Offer::Accepted(_)), "{message}");
    }

    async fn stop(&mut self) -> Stats {
        timeout(DEADLINE, self.logging.stop()).await.unwrap().unwrap();
        self.logging.handle().stats()
    }

    /// Waits until `count` records are written.
    async fn written(&self, count: u64) {
        let mut written = self.logging.written();
        let is_there = written.wait_for(|written| written.through >= Ticket(count));
        timeout(DEADLINE, is_there).await.unwrap().unwrap();
    }

    fn lines(&self) -> Vec<ReadLine> {
        let sessions = Sessions::at(self.logs.path().join("logs"));
        let id = self.logging.handle().current();
        sessions.read(&id).unwrap().map(Result::unwrap).collect()
    }

    fn entries(&self) -> Vec<LogEntry> {
        let entry = |line| match line {
            ReadLine::Entry(entry) => Some(*entry),
            _ => None,
        };
        self.lines().into_iter().filter_map(entry).collect()
    }

    async fn page(&self, range: Range, limit: usize) -> Vec<u64> {
        let query = Query { session: None, filter: FilterSpec::default(), range, limit };
        let page = self.logging.handle().entries(query).await.unwrap();
        page.entries.iter().map(|entry| entry.seq).collect()
    }
}

fn info(message: &str) -> Record {
    Record::new(Utc::now(), Level::Info, "cantina_os.gpt_service", message)
}

#[tokio::test]
async fn records_from_before_the_start_are_kept_with_their_times() {
    let mut setup = Setup::opened(|_| {}).await;
    let mut early = info("early");
    early.timestamp -= chrono::Duration::seconds(9);
    let logged = early.timestamp;
    setup.offer(early);
    setup.logging.start().await.unwrap();
    setup.say("late");
    let stats = setup.stop().await;
    let entries = setup.entries();
    assert_eq!(entries[0].message, "early");
    assert_eq!(entries[0].timestamp.timestamp_micros(), logged.timestamp_micros());
    assert_eq!(entries[1].message, "late");
    assert_eq!((&*entries[0].service, &*entries[0].service_key), ("AI Assistant", "gpt_service"));
    assert_eq!((stats.received, stats.stored, stats.in_flight), (2, 2, 0));
}

#[tokio::test]
async fn after_stop_the_door_is_closed_and_refusals_are_counted() {
    let mut setup = Setup::started().await;
    setup.stop().await;
    assert_eq!(setup.offer(info("too late")), Offer::Dropped(DropReason::Stopped));
    assert_eq!(setup.logging.handle().stats().dropped["stopped"], 1);
}

#[tokio::test]
async fn every_repeat_is_in_the_record_and_folded_in_the_views() {
    let mut setup = Setup::started().await;
    let capacity = NonZeroUsize::new(100).unwrap();
    let mut entries = setup.bus.subscribe_json(&LOG_ENTRY, capacity).await.unwrap();
    let mut repeats = setup.bus.subscribe_json(&LOG_REPEAT, capacity).await.unwrap();
    let mut dashboard = setup.bus.subscribe_json(&DASHBOARD_LOG, capacity).await.unwrap();
    for _ in 0..5 {
        setup.say("tick");
    }
    setup.say("tock");
    let stats = setup.stop().await;

    let kinds: Vec<_> = setup
        .lines()
        .iter()
        .filter_map(|line| match line {
            ReadLine::Entry(entry) => Some((entry.seq, "entry")),
            ReadLine::Repeat(repeat) => Some((repeat.seq, "repeat")),
            _ => None,
        })
        .collect();
    let kind = |seq| (seq, if seq == 1 || seq == 6 { "entry" } else { "repeat" });
    assert_eq!(kinds, (1..=6).map(kind).collect::<Vec<_>>());
    assert_eq!((stats.stored, stats.merged, stats.views.folded), (2, 4, 4));

    let first = entries.recv().await.unwrap().unwrap();
    assert_eq!(first.message, "tick");
    assert_eq!(entries.recv().await.unwrap().unwrap().message, "tock");
    loop {
        let update = timeout(DEADLINE, repeats.recv()).await.unwrap().unwrap().unwrap();
        assert_eq!(update.of, first.entry_id);
        if update.closed {
            assert_eq!((update.count, update.seq), (4, 5));
            break;
        }
    }
    let mut lines = Vec::new();
    while let Ok(Some(Ok(line))) = timeout(Duration::from_millis(50), dashboard.recv()).await {
        lines.push((line.repeats, line.message.chars().take(18).collect::<String>()));
    }
    let expected = [(0, "tick"), (0, "tock"), (4, "… repeated 4 times")];
    assert_eq!(lines, expected.map(|(count, text)| (count, text.to_owned())));
}

#[tokio::test]
async fn what_is_below_its_threshold_is_filtered_and_counted() {
    let mut setup = Setup::started().await;
    setup.offer(Record::new(Utc::now(), Level::Debug, "cantina_os.cli", "noise"));
    setup.offer(Record::new(Utc::now(), Severity::new(25), "cantina_os.cli", "kept"));
    let stats = setup.stop().await;
    assert_eq!((stats.stored, stats.filtered, stats.filtered_by["level"]), (1, 1, 1));
    let entry = &setup.entries()[0];
    assert_eq!((entry.level, entry.severity.number()), (Level::Info, 25));
}

#[tokio::test]
async fn the_level_of_everything_changes_over_the_bus() {
    let mut setup = Setup::started().await;
    let mut levels = setup.logging.levels();
    let capacity = NonZeroUsize::new(100_000).unwrap();
    let mut status = setup.bus.subscribe_json(&LOGGING_STATUS, capacity).await.unwrap();
    let change = SetGlobalLevel { level: Level::Debug };
    // The service subscribes on its own thread: ask until it has heard.
    let heard = async {
        while levels.borrow_and_update().global != Level::Debug {
            setup.bus.publish_json(&SET_GLOBAL_LEVEL, &change).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, heard).await.unwrap();
    let told = timeout(DEADLINE, status.recv()).await.unwrap().unwrap().unwrap();
    assert_eq!(told.levels.global, Level::Debug);
    setup.offer(Record::new(Utc::now(), Level::Debug, "cantina_os.cli", "now wanted"));
    setup.stop().await;
    let messages: Vec<_> = setup.entries().into_iter().map(|entry| entry.message).collect();
    assert!(messages.contains(&"now wanted".to_owned()), "{messages:?}");
    let settings = setup.lines().into_iter().find_map(|line| match line {
        ReadLine::Other(value) if value["kind"] == "settings" => Some(value),
        _ => None,
    });
    let settings = settings.unwrap();
    assert_eq!(settings["who"], "debug.set.global.level");
    assert_eq!(
        (&settings["old"]["global"], &settings["new"]["global"]),
        (&"INFO".into(), &"DEBUG".into())
    );
    let change = "log level changed from INFO to DEBUG, asked by debug.set.global.level";
    assert!(messages.contains(&change.to_owned()), "{messages:?}");
}

#[tokio::test]
async fn a_record_sent_twice_with_its_id_is_kept_once() {
    let mut setup = Setup::started().await;
    let id = EntryIds::new(1).next(1_750_000_000_000);
    for _ in 0..2 {
        let mut record = info("once");
        record.entry_id = Some(id.clone());
        record.emitter = Some(Emitter { source_id: "r3x:1:a".into(), seq: 1 });
        setup.offer(record);
    }
    let stats = setup.stop().await;
    assert_eq!((stats.stored, stats.merged, stats.filtered_by["duplicate"]), (1, 0, 1));
    assert_eq!(setup.entries()[0].entry_id, id);
}

#[tokio::test]
async fn a_full_intake_refuses_the_newest_and_keeps_room_for_what_matters() {
    let mut setup = Setup::opened(|config| config.max_queue_size = 8.try_into().unwrap()).await;
    let offers: Vec<_> = (0..8).map(|n| setup.offer(info(&n.to_string()))).collect();
    let accepted = offers.iter().filter(|offer| matches!(offer, Offer::Accepted(_))).count();
    assert_eq!(accepted, 6, "three quarters are for everyone");
    assert_eq!(offers[6], Offer::Dropped(DropReason::IntakeFull));
    let warning = || Record::new(Utc::now(), Level::Warning, "cantina_os.cli", "matters");
    assert!(matches!(setup.offer(warning()), Offer::Accepted(_)));
    assert!(matches!(setup.offer(warning()), Offer::Accepted(_)));
    assert_eq!(setup.offer(warning()), Offer::Dropped(DropReason::IntakeFull));

    setup.logging.start().await.unwrap();
    let stats = setup.stop().await;
    assert_eq!(stats.dropped["intake_full"], 3);
    let told = setup.entries().pop().unwrap();
    assert!(told.message.starts_with("3 records were dropped (intake_full)"), "{}", told.message);
    let loss = setup.lines().into_iter().find_map(|line| match line {
        ReadLine::Other(value) if value["kind"] == "loss" => Some(value),
        _ => None,
    });
    assert_eq!(loss.unwrap()["count"], 3);
}

#[tokio::test]
async fn a_loss_before_the_intake_is_told_while_the_service_runs() {
    let mut setup = Setup::started().await;
    let mut entries =
        setup.bus.subscribe_json(&LOG_ENTRY, NonZeroUsize::new(10).unwrap()).await.unwrap();
    setup.logging.intake().report(Loss {
        reason: DropReason::Malformed,
        count: 2,
        origin: "127.0.0.1:5000".into(),
        detail: "pickle: deeper than 32".into(),
    });
    let entry = timeout(DEADLINE, entries.recv()).await.unwrap().unwrap().unwrap();
    assert_eq!(
        entry.message,
        "2 records were dropped (malformed): pickle: deeper than 32, last from 127.0.0.1:5000"
    );
    assert_eq!(&*entry.service_key, "logging_service");
    let stats = setup.stop().await;
    assert_eq!((stats.received, stats.stored, stats.dropped["malformed"]), (3, 1, 2));
}

#[tokio::test]
async fn a_chatty_service_is_thinned_on_the_bus_and_whole_in_the_record() {
    let mut setup = Setup::opened(|config| {
        config.rate_limit_per_service = 1;
        config.rate_limit_burst = 10;
    })
    .await;
    let mut entries =
        setup.bus.subscribe(LOG_ENTRY.name(), NonZeroUsize::new(200).unwrap()).await.unwrap();
    (0..100).for_each(|n| setup.say(&format!("line {n}")));
    setup.offer(Record::new(Utc::now(), Level::Error, "cantina_os.gpt_service", "not limited"));
    setup.logging.start().await.unwrap();
    let stats = setup.stop().await;
    assert_eq!(stats.views.rate_limited, 90);
    let mut published = Vec::new();
    while let Ok(Delivery::Event(event)) = entries.try_recv() {
        published.push(LOG_ENTRY.decode(&event).unwrap().message);
    }
    assert_eq!(published.len(), 12);
    assert_eq!(published[10], "not limited");
    assert!(published[11].contains("90 of AI Assistant"), "{}", published[11]);
    assert_eq!(setup.entries().len(), 102);
}

#[tokio::test]
async fn an_entry_too_large_for_the_bus_is_cut_there_and_whole_in_the_record() {
    let mut setup = Setup::started().await;
    let mut entries =
        setup.bus.subscribe_json(&LOG_ENTRY, NonZeroUsize::new(10).unwrap()).await.unwrap();
    let limit = setup.bus.capabilities().payload_max;
    let mut record = info(&"ä".repeat(limit));
    record.exception = Some(Exception::from_traceback("Traceback\n"));
    setup.offer(record);
    let published = timeout(DEADLINE, entries.recv()).await.unwrap().unwrap().unwrap();
    assert!(published.message.len() < limit);
    assert!(published.message.ends_with("bytes more in the session record]"));
    setup.stop().await;
    assert_eq!(setup.entries()[0].message.len(), 2 * limit);
}

#[tokio::test]
async fn a_flood_is_drained_at_stop() {
    let mut setup = Setup::started().await;
    let intake = setup.logging.intake();
    let mut accepted = 0_u64;
    for n in 0..50_000 {
        accepted += u64::from(matches!(intake.offer(info(&format!("n {n}"))), Offer::Accepted(_)));
    }
    let stats = setup.stop().await;
    let told: u64 = stats.by_service.get("logging_service").map_or(0, |counts| counts.stored);
    assert_eq!(stats.stored, accepted + told);
    assert_eq!(stats.in_flight, 0);
    let seqs: Vec<_> = setup.entries().iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, (1..=stats.stored).collect::<Vec<_>>());
}

#[tokio::test]
async fn history_is_one_order_over_memory_and_files() {
    let setup = Setup::opened(|config| config.max_memory_logs = 10.try_into().unwrap()).await;
    let mut setup = setup;
    setup.logging.start().await.unwrap();
    (1..=30).for_each(|n| setup.say(&format!("line {n}")));
    setup.written(30).await;
    let latest = |before| Range::Latest { before };
    assert_eq!(setup.page(latest(None), 5).await, (26..=30).collect::<Vec<_>>());
    assert_eq!(setup.page(latest(None), 25).await, (6..=30).collect::<Vec<_>>());
    assert_eq!(setup.page(latest(Some(24)), 5).await, (19..=23).collect::<Vec<_>>());
    assert_eq!(setup.page(latest(Some(3)), 5).await, [1, 2]);
    assert_eq!(setup.page(Range::After(0), 100).await, (1..=30).collect::<Vec<_>>());
    assert_eq!(setup.page(Range::After(18), 4).await, (19..=22).collect::<Vec<_>>());
    assert_eq!(setup.page(Range::After(28), 4).await, [29, 30]);
    assert_eq!(setup.page(Range::After(30), 4).await, [0; 0]);
    let entries = setup.entries();
    for middle in [5, 15, 25] {
        let around = Range::Around(entries[middle - 1].entry_id.clone());
        let page = setup.page(around, 4).await;
        assert!(page.contains(&(middle as u64)) && page.len() >= 4, "{page:?}");
        assert!(page.is_sorted());
    }
    let cursor = |range| Query { session: None, filter: FilterSpec::default(), range, limit: 10 };
    let handle = setup.logging.handle();
    assert_eq!(handle.entries(cursor(latest(None))).await.unwrap().next, Some(21));
    assert_eq!(handle.entries(cursor(latest(Some(11)))).await.unwrap().next, None);
    assert_eq!(handle.entries(cursor(Range::After(0))).await.unwrap().next, Some(10));
    assert_eq!(handle.entries(cursor(Range::After(20))).await.unwrap().next, None);
    setup.stop().await;
    let sessions = setup.logging.handle().sessions().await.unwrap();
    assert!(sessions[0].current && sessions[0].ended_at.is_some());
    assert_eq!(setup.logging.handle().session(&sessions[0].id).await.unwrap().entries, 30);
}

#[tokio::test]
async fn two_services_cannot_share_a_directory() {
    let setup = Setup::opened(|_| {}).await;
    let config = Config { session_file_path: setup.logs.path().join("logs"), ..Config::default() };
    let error = LoggingService::open(config, Arc::new(MemoryBus::default())).await.unwrap_err();
    assert!(error.is_in_use(), "{error}");
}

#[tokio::test]
async fn own_messages_are_at_most_ten_a_second() {
    let mut setup = Setup::started().await;
    let own = setup.logging.own_sink();
    for n in 0..1000 {
        own.offer(Record::new(Utc::now(), Level::Info, "web_bridge", format!("client {n}")));
    }
    let stats = setup.stop().await;
    assert!(stats.by_service["web_bridge"].received <= 20, "{stats:?}");
}

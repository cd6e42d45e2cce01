mod store;

use std::sync::atomic::{AtomicBool, Ordering};

use bus::{BusExt as _, EVENT_ID, Event, MemoryBus, ORIGIN};
use chrono::{DateTime, Utc};
use log_entry::{
    DropReason, EntryIds, Exception, Level, LogEntry, Loss, Offer, Origin, Record, Service, Stamp,
    Ticket,
};
use logging_api::{Archive as _, ENTRY_NUMBER};
use logging_service::LoggingService;
use session_store::ReadLine;
use tempfile::TempDir;
use tokio::time::{Instant, interval, interval_at, timeout};

use self::store::Store;
use super::kept::ACK_EVERY;
use super::*;

const DEADLINE: Duration = Duration::from_secs(20);
const OURS: &str = "r3x-00000001";
const THEIRS: &str = "bb8-00000002";

/// The intake, as the collector sees it.
struct Sink {
    records: Mutex<Vec<Record>>,
    losses: Mutex<Vec<Loss>>,
    is_full: AtomicBool,
    /// Although it has room.
    refuses: AtomicBool,
    written: watch::Sender<Written>,
}

impl Sink {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            records: Mutex::default(),
            losses: Mutex::default(),
            is_full: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            written: watch::channel(Written::default()).0,
        })
    }

    fn messages(&self) -> Vec<String> {
        self.records.lock().iter().map(|record| record.message.clone()).collect()
    }

    fn writes(&self, through: usize) {
        self.written.send_modify(|written| written.through = Ticket(through as u64));
    }

    fn loses(&self, lost: usize) {
        self.written.send_modify(|written| written.lost = Ticket(lost as u64));
    }
}

impl RecordSink for Sink {
    fn offer(&self, record: Record) -> Offer {
        if self.refuses.load(Ordering::Relaxed) {
            return Offer::Dropped(DropReason::IntakeFull);
        }
        let mut records = self.records.lock();
        records.push(record);
        Offer::Accepted(Ticket(records.len() as u64))
    }

    fn report(&self, loss: Loss) {
        self.losses.lock().push(loss);
    }

    fn has_room(&self) -> bool {
        !self.is_full.load(Ordering::Relaxed)
    }
}

/// The entry that some instance has as number `seq` of its session.
fn entry(seq: u64) -> LogEntry {
    let mut record = Record::new(Utc::now(), Level::Info, "robot.voice", format!("message {seq}"));
    record.exception = Some(Exception::from_traceback("Traceback\nValueError: no"));
    record.fields.insert("plan".into(), seq.into());
    let stamp = Stamp {
        seq,
        entry_id: EntryIds::new(seq).next(seq),
        service: Service::new("voice", "Voice"),
        session_id: "cantina-session-20261122-160357".parse().unwrap(),
        host: "bb8".into(),
    };
    LogEntry::new(record, stamp)
}

/// `entry` as its instance publishes it, with `number`.
fn published(origin: &str, number: u64, entry: &LogEntry) -> Event {
    Event::new(LOG_ENTRY.name(), entry.to_json())
        .with_header(EVENT_ID, entry.entry_id.to_string())
        .with_header(ORIGIN, origin)
        .with_header(ENTRY_NUMBER, number.to_string())
}

async fn running(remote: Arc<dyn Bus>, sink: &Arc<Sink>) -> Collector {
    let written = sink.written.subscribe();
    let mut collector = Collector::new(remote, sink.clone(), written, OURS.into());
    collector.start().await.unwrap();
    collector
}

/// A collector that hears a bus which keeps nothing.
async fn live(sink: &Arc<Sink>) -> (MemoryBus, Collector) {
    let remote = MemoryBus::with_payload_max(16 << 20);
    let collector = running(Arc::new(remote.clone()), sink).await;
    until(|| remote.state().subscriptions == 1).await;
    (remote, collector)
}

/// Waits until something holds, and looks often.
async fn until(holds: impl Fn() -> bool) {
    let mut look = interval(Duration::from_millis(1));
    let holding = async {
        while !holds() {
            look.tick().await;
        }
    };
    timeout(DEADLINE, holding).await.unwrap();
}

/// Lets the time of a test whose clock is paused go on, and everybody work.
async fn passes(time: Duration) {
    interval_at(Instant::now() + time, time).tick().await;
}

#[tokio::test]
async fn an_entry_becomes_a_record_that_says_where_it_is_from() {
    let sink = Sink::new();
    let (remote, mut collector) = live(&sink).await;
    let there = entry(7);
    remote.publish(published(THEIRS, 41, &there)).await.unwrap();
    until(|| !sink.messages().is_empty()).await;
    let record = sink.records.lock().pop().unwrap();
    let emitter = record.emitter.unwrap();
    assert_eq!((&*emitter.source_id, emitter.seq), (THEIRS, 41));
    let micros = |time: log_entry::Timestamp| time.timestamp_micros();
    assert!(record.received_at >= there.received_at, "it is when it came here");
    let origin = record.origin.unwrap();
    assert_eq!((&*origin.id, origin.seq), (THEIRS, 7));
    assert_eq!(origin.session_id, there.session_id);
    assert_eq!(micros(origin.received_at), micros(there.received_at));
    assert_eq!(micros(record.timestamp), micros(there.timestamp));
    assert_eq!(record.service, Some(Service::new("voice", "Voice")));
    assert_eq!((record.entry_id, record.host), (Some(there.entry_id), Some(there.host)));
    assert_eq!((record.logger, record.message), (there.logger, there.message));
    assert_eq!((record.severity, record.source), (there.severity, there.source));
    assert_eq!((record.exception, record.fields), (there.exception, there.fields));
    collector.stop().await.unwrap();
    let collected = collector.handle().collected();
    assert_eq!((collected.entries, collected.by_host["bb8"]), (1, 1));
}

#[tokio::test]
async fn what_is_no_entry_is_counted_and_told_and_stops_nothing() {
    let sink = Sink::new();
    let (remote, collector) = live(&sink).await;
    let good = |seq| published(THEIRS, seq, &entry(seq));
    let with_payload = |payload: &str| Event { payload: payload.to_owned().into(), ..good(1) };
    let with_header = |name: &'static str, value: &str| {
        Event::new(LOG_ENTRY.name(), entry(1).to_json())
            .with_header(ORIGIN, THEIRS)
            .with_header(name, value)
    };
    let mut from_afar = entry(1);
    from_afar.origin = Some(Box::new(Origin {
        id: "other-00000003".into(),
        session_id: from_afar.session_id.clone(),
        seq: 1,
        received_at: Utc::now(),
    }));
    let long = LogEntry { host: "x".repeat(1025).into(), ..entry(1) };
    let mut outlandish = from_afar.clone();
    let origin = outlandish.origin.as_mut().unwrap();
    (origin.id, origin.received_at) = (THEIRS.into(), DateTime::<Utc>::MIN_UTC);
    let late = LogEntry { timestamp: DateTime::<Utc>::MAX_UTC, ..entry(1) };
    let early = LogEntry { received_at: DateTime::<Utc>::MIN_UTC, ..entry(1) };
    let no_such_year = "one of its times is not in the years 1 to 9999";
    let bad = [
        (Event::new(LOG_ENTRY.name(), entry(1).to_json()), "it has no origin"),
        (published("No Name", 1, &entry(1)), "its origin is no name of an instance"),
        (published(&"x".repeat(65), 1, &entry(1)), "its origin is no name of an instance"),
        (with_payload(""), "it is no entry: EOF"),
        (with_payload("hello"), "it is no entry: expected value"),
        (with_payload("[]"), "it is no entry: invalid length"),
        (with_payload("{\"message\": 1}"), "it is no entry: invalid type"),
        (with_payload(&"[".repeat(100_000)), "it is no entry: invalid type"),
        (with_header(EVENT_ID, "another"), "its id and the event's are not the same"),
        (with_header(EVENT_ID, "no id"), "its id and the event's are not the same"),
        (with_header(ENTRY_NUMBER, "-1"), "its number is none"),
        (published(THEIRS, 1, &from_afar), "it is from another instance than the event"),
        (published(THEIRS, 1, &long), "one of its names has more than 1024 bytes"),
        (published(THEIRS, 1, &late), no_such_year),
        (published(THEIRS, 1, &early), no_such_year),
        (published(THEIRS, 1, &outlandish), no_such_year),
    ];
    let count = bad.len() as u64;
    for (event, why) in bad {
        remote.publish(event).await.unwrap();
        until(|| !sink.losses.lock().is_empty()).await;
        let loss = sink.losses.lock().pop().unwrap();
        assert_eq!((loss.reason, loss.count), (DropReason::Malformed, 1));
        assert!(loss.detail.starts_with(why), "{} instead of {why}", loss.detail);
    }
    remote.publish(good(2)).await.unwrap();
    until(|| sink.messages() == ["message 2"]).await;
    let collected = collector.handle().collected();
    assert_eq!((collected.malformed, collected.entries), (count, 1));
}

#[tokio::test]
async fn one_report_tells_of_all_that_came_together() {
    let sink = Sink::new();
    let (remote, collector) = live(&sink).await;
    for _ in 0..100 {
        let event = Event::new(LOG_ENTRY.name(), "garbage").with_header(ORIGIN, THEIRS);
        remote.publish(event).await.unwrap();
    }
    until(|| collector.handle().collected().malformed == 100).await;
    let losses = sink.losses.lock();
    assert_eq!((losses.len(), losses[0].count), (1, 100));
    assert_eq!(losses[0].origin, "bb8-00000002 on the bus");
}

#[tokio::test]
async fn an_entry_that_is_too_large_is_not_read() {
    let sink = Sink::new();
    let (remote, _collector) = live(&sink).await;
    let large = LogEntry { message: "x".repeat(4 << 20), ..entry(1) };
    remote.publish(published(THEIRS, 1, &large)).await.unwrap();
    until(|| !sink.losses.lock().is_empty()).await;
    assert_eq!(sink.losses.lock()[0].reason, DropReason::Oversized);
}

#[tokio::test]
async fn numbers_that_are_forged_end_nothing() {
    let sink = Sink::new();
    let (remote, mut collector) = live(&sink).await;
    for (session, number) in [(1, 1), (1, u64::MAX), (2, 1), (2, u64::MAX), (2, 5)] {
        let mut entry = entry(number);
        entry.session_id = format!("cantina-session-20261122-16030{session}").parse().unwrap();
        remote.publish(published(THEIRS, number, &entry)).await.unwrap();
    }
    remote.publish(published("x-00000001", 1, &entry(1))).await.unwrap();
    until(|| sink.messages().len() == 6).await;
    collector.stop().await.unwrap();
    let collected = collector.handle().collected();
    assert_eq!((collected.by_host["bb8"], collected.missing), (5, u64::MAX));
}

#[tokio::test]
async fn echoes_doubles_and_gaps_are_counted() {
    let sink = Sink::new();
    let (remote, mut collector) = live(&sink).await;
    for number in [1, 2, 2, 6, 7] {
        remote.publish(published(THEIRS, number, &entry(number))).await.unwrap();
        remote.publish(published(OURS, number, &entry(number))).await.unwrap();
    }
    // What waits at the end is taken all the same.
    collector.stop().await.unwrap();
    let collected = collector.handle().collected();
    assert_eq!((collected.entries, collected.echoes), (4, 5));
    assert_eq!((collected.doubles, collected.missing), (1, 3));
    assert_eq!(sink.messages().len(), 5, "the pipeline knows whether it has the double");
}

#[tokio::test]
async fn hosts_beyond_the_bound_are_counted_together() {
    let sink = Sink::new();
    let (remote, collector) = live(&sink).await;
    for number in 1..=520 {
        let entry = LogEntry { host: format!("host {number}").into(), ..entry(number) };
        remote.publish(published(THEIRS, number, &entry)).await.unwrap();
    }
    until(|| collector.handle().collected().entries == 520).await;
    let by_host = collector.handle().collected().by_host;
    assert_eq!((by_host.len(), by_host["(other)"]), (513, 8));
}

#[tokio::test]
async fn it_runs_once_and_leaves_nothing() {
    let sink = Sink::new();
    let (remote, mut collector) = live(&sink).await;
    assert!(collector.start().await.is_err());
    collector.stop().await.unwrap();
    collector.stop().await.unwrap();
    assert_eq!(remote.state().subscriptions, 0);

    let written = sink.written.subscribe();
    let mut unstarted = Collector::new(Arc::new(remote), sink, written, OURS.into());
    unstarted.stop().await.unwrap();
}

// --- on a bus that keeps events ---

/// A store in which an instance has `count` entries, and a collector of them.
async fn kept(count: u64, sink: &Arc<Sink>) -> (Store, Collector) {
    let store = Store::default();
    for number in 1..=count {
        store.publish(published(THEIRS, number, &entry(number))).await.unwrap();
    }
    let collector = running(Arc::new(store.clone()), sink).await;
    (store, collector)
}

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_is_written() {
    let sink = Sink::new();
    let (store, mut collector) = kept(5, &sink).await;
    until(|| sink.messages().len() == 5).await;
    sink.writes(2);
    store.acknowledged(2).await;
    sink.writes(4);
    store.acknowledged(4).await;
    store.publish(published(OURS, 1, &entry(6))).await.unwrap();
    store.publish(Event::new(LOG_ENTRY.name(), "garbage")).await.unwrap();
    until(|| collector.handle().collected().malformed == 1).await;
    sink.writes(5);
    store.acknowledged(7).await;
    collector.stop().await.unwrap();
    assert_eq!(collector.handle().collected().entries, 5);
    assert_eq!(store.names(), ["collector-r3x-00000001"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_while_it_stops_is_acknowledged() {
    let sink = Sink::new();
    let (store, mut collector) = kept(3, &sink).await;
    until(|| sink.messages().len() == 3).await;
    let writes = async {
        tokio::task::yield_now().await;
        sink.writes(3);
    };
    let (stopped, ()) = tokio::join!(collector.stop(), writes);
    stopped.unwrap();
    store.acknowledged(3).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_not_written_comes_again_to_the_next_collector() {
    let sink = Sink::new();
    let (store, mut collector) = kept(5, &sink).await;
    until(|| sink.messages().len() == 5).await;
    sink.writes(3);
    store.acknowledged(3).await;
    collector.stop().await.unwrap();
    let next = Sink::new();
    let _collector = running(Arc::new(store), &next).await;
    until(|| next.messages() == ["message 4", "message 5"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_lost_comes_again_with_all_that_is_after_it() {
    let sink = Sink::new();
    let (store, collector) = kept(3, &sink).await;
    until(|| sink.messages().len() == 3).await;
    sink.writes(1);
    store.acknowledged(1).await;
    // The third was lost, and the second may have been.
    sink.loses(3);
    sink.writes(3);
    until(|| sink.messages().len() == 5).await;
    assert_eq!(sink.messages()[3..], ["message 2", "message 3"]);
    assert_eq!(store.acks(), [1], "nothing after the lost one");
    sink.writes(5);
    store.acknowledged(3).await;
    assert_eq!(collector.handle().collected().doubles, 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_bus_gives_again_by_itself_is_not_taken_for_something_new() {
    let sink = Sink::new();
    let (store, collector) = kept(3, &sink).await;
    until(|| sink.messages().len() == 3).await;
    store.gives_again();
    store.publish(published(THEIRS, 4, &entry(4))).await.unwrap();
    until(|| sink.messages().last().is_some_and(|last| last == "message 4")).await;
    sink.writes(sink.messages().len());
    store.acknowledged(4).await;
    let collected = collector.handle().collected();
    assert_eq!((collected.entries, collected.missing), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_intake_refuses_comes_again() {
    let sink = Sink::new();
    sink.refuses.store(true, Ordering::Relaxed);
    let (store, collector) = kept(2, &sink).await;
    until(|| store.given() > 0).await;
    sink.refuses.store(false, Ordering::Relaxed);
    until(|| sink.messages() == ["message 1", "message 2"]).await;
    sink.writes(2);
    store.acknowledged(2).await;
    let collected = collector.handle().collected();
    assert_eq!((collected.entries, collected.doubles, collected.missing), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn while_the_intake_has_no_room_the_bus_keeps_what_there_is() {
    let sink = Sink::new();
    sink.is_full.store(true, Ordering::Relaxed);
    let (store, _collector) = kept(2000, &sink).await;
    until(|| store.given() > 0).await;
    passes(Duration::from_secs(5)).await;
    assert_eq!((sink.messages().len(), store.given()), (0, BATCH as u64));
    sink.is_full.store(false, Ordering::Relaxed);
    until(|| sink.messages().len() == 2000).await;
    let expected: Vec<_> = (1..=2000).map(|seq| format!("message {seq}")).collect();
    assert_eq!(sink.messages(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_fails_is_waited_for_and_said() {
    let sink = Sink::new();
    let store = Store::default();
    store.goes();
    let written = sink.written.subscribe();
    let remote = Arc::new(store.clone());
    let mut collector = Collector::new(remote, sink.clone(), written, OURS.into());
    collector.start().await.unwrap();
    let mut health = collector.health();
    let reason = "waiting for the bus, to hear the other instances: the bus is disconnected";
    let is_told = |health: &Health| matches!(health, Health::Degraded { reason: said } if said.starts_with(reason));
    timeout(DEADLINE, health.wait_for(is_told)).await.unwrap().unwrap();
    store.comes_back();
    store.publish(published(THEIRS, 1, &entry(1))).await.unwrap();
    until(|| sink.messages() == ["message 1"]).await;
    assert_eq!(*health.borrow_and_update(), Health::Running);

    store.goes();
    timeout(DEADLINE, health.wait_for(is_told)).await.unwrap().unwrap();
    store.comes_back();
    store.publish(published(THEIRS, 2, &entry(2))).await.unwrap();
    until(|| sink.messages().last().is_some_and(|last| last == "message 2")).await;
    collector.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn numbers_of_a_store_that_was_made_anew_mean_other_events() {
    let sink = Sink::new();
    let (store, collector) = kept(3, &sink).await;
    until(|| sink.messages().len() == 3).await;
    // None of the three is written when the store is lost.
    store.is_made_anew();
    for number in 4..=5 {
        store.publish(published(THEIRS, number, &entry(number))).await.unwrap();
    }
    until(|| sink.messages().len() == 5).await;
    sink.writes(3);
    passes(ACK_EVERY * 4).await;
    assert_eq!(store.acks(), [0; 0], "those that are written are not in this store");
    sink.writes(5);
    store.acknowledged(2).await;
    assert_eq!(collector.handle().collected().entries, 5);
}

/// A run of a whole logging service that collects from `store`, until it has
/// heard of `count` entries. Returns what is in its session, and the counts.
async fn run(logs: &TempDir, store: &Store, count: u64) -> (Vec<String>, Collected) {
    let path = logs.path().join("logs");
    let config = logging_service::Config { session_file_path: path.clone(), ..Default::default() };
    let bus = Arc::new(MemoryBus::default());
    let mut logging = LoggingService::open(config, bus).await.unwrap();
    let session = logging.handle().current();
    let (intake, written) = (logging.intake(), logging.written());
    let mut collector = Collector::new(Arc::new(store.clone()), intake, written, OURS.into())
        .after(Sessions::at(&path), session.clone());
    logging.start().await.unwrap();
    collector.start().await.unwrap();
    let handle = collector.handle();
    until(|| handle.collected().entries + handle.collected().doubles == count).await;
    collector.stop().await.unwrap();
    logging.stop().await.unwrap();
    let lines = Sessions::at(&path).read(&session).unwrap();
    let messages = lines.filter_map(|line| match line.unwrap() {
        ReadLine::Entry(entry) => Some(entry.message),
        _ => None,
    });
    (messages.collect(), handle.collected())
}

#[tokio::test]
async fn what_an_earlier_session_has_is_not_collected_again() {
    let (logs, store) = (tempfile::tempdir().unwrap(), Store::default());
    for number in 1..=3 {
        store.publish(published(THEIRS, number, &entry(number))).await.unwrap();
    }
    let (messages, _) = run(&logs, &store, 3).await;
    assert_eq!(messages.len(), 3);
    store.acknowledged(3).await;
    store.forgets_acks();
    // Of the same id, and not the same entry.
    store.publish(published("other-00000003", 1, &entry(1))).await.unwrap();
    store.publish(published(THEIRS, 4, &entry(4))).await.unwrap();
    let (messages, collected) = run(&logs, &store, 5).await;
    assert_eq!(messages, ["message 1", "message 4"]);
    assert_eq!((collected.entries, collected.doubles, collected.missing), (2, 3, 0));
    store.acknowledged(5).await;
    // Empty sessions in between, of a program that was killed again and again,
    // hide nothing.
    for _ in 0..12 {
        let (messages, _) = run(&logs, &store, 0).await;
        assert!(messages.is_empty());
    }
    store.forgets_acks();
    let (messages, collected) = run(&logs, &store, 5).await;
    assert_eq!((messages.len(), collected.doubles), (0, 5));
}

#[tokio::test]
async fn a_closed_bus_ends_it() {
    let sink = Sink::new();
    let (store, collector) = kept(1, &sink).await;
    until(|| sink.messages().len() == 1).await;
    store.close().await.unwrap();
    until(|| collector.tasks.running() == 0).await;
    let other = Sink::new();
    let (remote, collector) = live(&other).await;
    remote.publish_json(&LOG_ENTRY, &entry(1)).await.unwrap();
    remote.close().await.unwrap();
    until(|| collector.tasks.running() == 0).await;
    assert_eq!(collector.handle().collected().malformed, 1, "what was there was read");
}

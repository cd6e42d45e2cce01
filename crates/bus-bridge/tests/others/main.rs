//! Several instances on one bus, each with everything it has.

#![expect(clippy::unwrap_used, reason = "a test's helpers are tests")]

mod instance;
#[cfg(feature = "nats")]
mod jetstream;

use std::collections::BTreeMap;
use std::sync::Arc;

use bus::{Bus, BusExt as _, Delivery, EVENT_ID, Event, MemoryBus, ORIGIN, Subscription};
use log_entry::{Exception, Level, LogEntry};
use logging_api::{LOG_ENTRY, LOG_REPEAT, LOGGING_STATUS, SET_GLOBAL_LEVEL, Vitals as _};
use standard_service::{SERVICE_STATUS_REQUEST, SERVICE_STATUS_UPDATE, Supervisor};
use tokio::time::timeout;

use instance::{DEADLINE, Instance, record, room, until};

fn memory() -> Arc<dyn Bus> {
    Arc::new(MemoryBus::default())
}

fn by_host(entries: Vec<LogEntry>) -> BTreeMap<String, Vec<LogEntry>> {
    let mut hosts = BTreeMap::<_, Vec<_>>::new();
    for entry in entries {
        hosts.entry(entry.host.to_string()).or_default().push(entry);
    }
    hosts
}

/// An entry without what is different wherever it is kept.
fn as_it_was(entry: &LogEntry) -> LogEntry {
    let mut entry = LogEntry { origin: None, received_at: entry.timestamp, ..entry.clone() };
    entry.seq = 0;
    entry.session_id = "cantina-session-20261122-160357".parse().unwrap();
    entry
}

async fn hear(events: &mut Subscription) -> Event {
    match timeout(DEADLINE, events.recv()).await.unwrap().unwrap() {
        Delivery::Event(event) => event,
        Delivery::Missed(count) => panic!("{count} missed"),
    }
}

#[tokio::test]
async fn a_collector_has_the_entries_of_all_hosts_once_and_in_order() {
    const EACH: u64 = 300;
    let remote = memory();
    let mut collector = Instance::collecting("base", &remote).await;
    let mut robots =
        [Instance::started("r3x", &remote).await, Instance::started("bb8", &remote).await];
    for number in 0..EACH {
        for robot in &robots {
            let mut record = record(robot.host, Level::Info, &format!("line {number}"));
            if number % 50 == 0 {
                record.severity = Level::Error.into();
                let frames = "  File \"a.py\", line 1\n".repeat(30);
                let traceback = format!("Traceback\n{frames}ValueError: {number}");
                record.exception = Some(Exception::from_traceback(traceback));
            }
            robot.offer(record);
        }
        collector.offer(record("base", Level::Info, &format!("line {number}")));
    }
    let handle = collector.handle.clone().unwrap();
    until(|| handle.collected().entries == 2 * EACH).await;
    for robot in &mut robots {
        robot.stop().await;
    }
    collector.stop().await;

    let collected = handle.collected();
    assert_eq!((collected.doubles, collected.malformed, collected.missing), (0, 0, 0));
    assert_eq!((collected.by_host["r3x"], collected.by_host["bb8"]), (EACH, EACH));
    let all = collector.entries();
    let seqs: Vec<_> = all.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, (1..=3 * EACH).collect::<Vec<_>>(), "one order");
    let hosts = by_host(all);
    for robot in &robots {
        let here = &hosts[robot.host];
        let there = robot.entries();
        let all_as_they_were = |all: &[LogEntry]| all.iter().map(as_it_was).collect::<Vec<_>>();
        assert_eq!(all_as_they_were(here), all_as_they_were(&there));
        for (here, there) in here.iter().zip(&there) {
            let origin = here.origin.as_ref().unwrap();
            assert_eq!((&origin.id, origin.seq), (&robot.origin, there.seq));
            assert_eq!(origin.session_id, there.session_id);
            assert!(there.origin.is_none());
        }
    }
    assert!(hosts["base"].iter().all(|entry| entry.origin.is_none()));
    let stats = collector.logging.handle().stats();
    assert_eq!((stats.received, stats.stored, stats.merged), (3 * EACH, 3 * EACH, 0));
}

#[tokio::test]
async fn two_collectors_on_one_bus_publish_only_their_own() {
    const EACH: u64 = 100;
    let remote = memory();
    let mut published = remote.subscribe(LOG_ENTRY.name(), room(10_000)).await.unwrap();
    let mut pair =
        [Instance::collecting("r3x", &remote).await, Instance::collecting("bb8", &remote).await];
    for round in 1..=2 {
        for one in &pair {
            for number in 0..EACH {
                one.offer(record(one.host, Level::Info, &format!("{round} {number}")));
            }
        }
        // In the second round, what either would send back of the first is in
        // its files before what it sends now.
        for one in &pair {
            until(|| one.collected().entries == round * EACH).await;
            until(|| one.collected().echoes == round * EACH).await;
        }
    }
    for one in &mut pair {
        one.stop().await;
    }
    let mut ids = BTreeMap::<_, u64>::new();
    while let Ok(Delivery::Event(event)) = published.try_recv() {
        *ids.entry(event.headers.get(EVENT_ID).unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(ids.len() as u64, 4 * EACH);
    assert!(ids.values().all(|count| *count == 1), "{ids:?}");
    for one in &pair {
        let hosts = by_host(one.entries());
        assert_eq!((hosts["r3x"].len(), hosts["bb8"].len()), (200, 200));
        assert_eq!(one.collected().doubles, 0);
    }
}

#[tokio::test]
async fn how_often_an_entry_happened_again_is_known_where_it_was_collected() {
    let remote = memory();
    let mut collector = Instance::collecting("base", &remote).await;
    let mut robot = Instance::started("r3x", &remote).await;
    let mut repeats = collector.local.subscribe_json(&LOG_REPEAT, room(100)).await.unwrap();
    for _ in 0..5 {
        robot.offer(record("r3x", Level::Info, "tick"));
    }
    let update = timeout(DEADLINE, async {
        loop {
            let update = repeats.recv().await.unwrap().unwrap();
            if update.count == 4 {
                return update;
            }
        }
    });
    let update = update.await.unwrap();
    until(|| collector.collected().entries == 1).await;
    robot.stop().await;
    collector.stop().await;
    let entries = collector.entries();
    assert_eq!((entries.len(), &entries[0].entry_id), (1, &update.of));
}

#[tokio::test]
async fn forged_events_are_counted_and_told_and_stop_nothing() {
    let remote = memory();
    let mut collector = Instance::collecting("base", &remote).await;
    let mut robot = Instance::started("r3x", &remote).await;
    let forge = |payload: &str| Event::new(LOG_ENTRY.name(), payload.to_owned());
    for number in 0..20 {
        remote.publish(forge("{\"message\": \"hello\"}")).await.unwrap();
        remote.publish(forge("garbage").with_header(ORIGIN, "r3x-1")).await.unwrap();
        // Commands that nobody can read.
        remote.publish(Event::new(SET_GLOBAL_LEVEL.name(), "loud")).await.unwrap();
        robot.offer(record("r3x", Level::Info, &format!("line {number}")));
    }
    until(|| collector.collected().entries >= 20).await;
    until(|| collector.collected().malformed == 40).await;
    robot.stop().await;
    collector.stop().await;
    let stats = collector.logging.handle().stats();
    assert_eq!(stats.dropped["malformed"], 40);
    let told = collector.entries();
    let told = told.iter().find(|entry| entry.message.contains("dropped (malformed)")).unwrap();
    assert!(told.message.ends_with("on the bus"), "{}", told.message);
    let theirs = by_host(collector.entries()).remove("r3x").unwrap();
    let lines = theirs.iter().filter(|entry| entry.message.starts_with("line")).count();
    assert_eq!(lines, 20);
}

#[tokio::test]
async fn levels_that_are_changed_from_outside_are_answered_once() {
    let remote = memory();
    let mut robot = Instance::started("r3x", &remote).await;
    let mut answers = remote.subscribe(LOGGING_STATUS.name(), room(100)).await.unwrap();
    let mut levels = robot.logging.levels();
    for level in ["DEBUG", "WARNING", "INFO"] {
        // As a program in Python writes it, which knows nothing of our headers.
        let command = format!("{{\"level\": \"{level}\"}}");
        remote.publish(Event::new(SET_GLOBAL_LEVEL.name(), command)).await.unwrap();
        let expected: Level = level.parse().unwrap();
        timeout(DEADLINE, levels.wait_for(|now| now.global == expected)).await.unwrap().unwrap();
        let answer = hear(&mut answers).await;
        assert_eq!(answer.headers.get(ORIGIN), Some(&*robot.origin));
        assert_eq!(LOGGING_STATUS.decode(&answer).unwrap().levels.global, expected);
    }
    robot.stop().await;
    assert!(answers.try_recv().is_err());
}

#[tokio::test]
async fn whoever_asks_on_the_bus_hears_how_the_services_are() {
    let remote = memory();
    let mut robot = Instance::started("r3x", &remote).await;
    let mut supervisor = Supervisor::new(Arc::new(robot.local.clone()));
    supervisor.add(instance::Idle);
    let mut statuses = remote.subscribe(SERVICE_STATUS_UPDATE.name(), room(100)).await.unwrap();
    supervisor.start_all().await.unwrap();
    let started = SERVICE_STATUS_UPDATE.decode(&hear(&mut statuses).await).unwrap();
    remote.publish(Event::new(SERVICE_STATUS_REQUEST.name(), "{}")).await.unwrap();
    let answer = SERVICE_STATUS_UPDATE.decode(&hear(&mut statuses).await).unwrap();
    assert_eq!(
        (started.message.as_str(), answer.message.as_str()),
        ("Idle started successfully", "Idle is online")
    );
    supervisor.stop_all(tokio::time::Instant::now() + DEADLINE).await;
    robot.stop().await;
    let stopped = SERVICE_STATUS_UPDATE.decode(&hear(&mut statuses).await).unwrap();
    assert_eq!(stopped.message, "Idle stopped", "also what is said last goes out");
}

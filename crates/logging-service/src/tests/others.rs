//! Entries of other instances.

use log_entry::{EntryId, Origin, Service, SessionId};

use super::*;

/// An entry of the instance `origin`, as a record.
fn from(origin: &str, id: &str, level: Level, message: &str) -> Record {
    let there = Utc::now() - chrono::Duration::minutes(3);
    let mut record = Record::new(there, level, "robot.voice", message);
    record.received_at = Utc::now();
    record.entry_id = Some(id.parse().unwrap());
    record.host = Some("bb8".into());
    record.service = Some(Service::new("brain", "Second Brain"));
    record.emitter = Some(Emitter { source_id: origin.into(), seq: 1 });
    record.origin = Some(Box::new(Origin {
        id: origin.into(),
        session_id: "cantina-session-20261122-160357".parse().unwrap(),
        seq: 70,
        received_at: there,
    }));
    record
}

#[tokio::test]
async fn an_entry_of_another_instance_stays_what_it_was_and_is_numbered_here() {
    let mut setup = Setup::started().await;
    setup.say("ours");
    let mut record = from("bb8-00000001", "id-1", Level::Error, "theirs");
    record.exception = Some(Exception::from_traceback("Traceback\nValueError: no"));
    record.fields.insert("plan".into(), 7.into());
    record.source.line = Some(12);
    setup.offer(record.clone());
    let stats = setup.stop().await;
    let entry = setup.entries().pop().unwrap();
    assert_eq!(entry.entry_id, "id-1".parse::<EntryId>().unwrap());
    assert_eq!((&*entry.service_key, &*entry.service), ("brain", "Second Brain"));
    assert_eq!((&*entry.host, entry.logger.as_str()), ("bb8", "robot.voice"));
    assert_eq!((entry.exception, entry.fields), (record.exception, record.fields));
    assert_eq!(entry.source, record.source);
    let micros = |time: log_entry::Timestamp| time.timestamp_micros();
    assert_eq!(micros(entry.timestamp), micros(record.timestamp));
    assert_eq!(micros(entry.received_at), micros(record.received_at));
    let ours: SessionId = setup.logging.handle().current();
    assert_eq!((entry.seq, entry.session_id), (2, ours));
    let origin = entry.origin.unwrap();
    assert_eq!((&*origin.id, origin.seq), ("bb8-00000001", 70));
    assert_eq!(origin.session_id.as_str(), "cantina-session-20261122-160357");
    assert_eq!((stats.received, stats.stored, stats.by_service["brain"].stored), (2, 2, 1));
}

#[tokio::test]
async fn what_was_wanted_and_told_apart_elsewhere_is_so_here() {
    let mut setup = Setup::started().await;
    for id in ["id-1", "id-2", "id-3"] {
        setup.offer(from("bb8-00000001", id, Level::Debug, "tick"));
    }
    let stats = setup.stop().await;
    assert_eq!((stats.stored, stats.merged, stats.filtered), (3, 0, 0));
    assert!(setup.entries().iter().all(|entry| entry.message == "tick"));
}

#[tokio::test]
async fn an_entry_that_comes_twice_from_an_instance_is_kept_once() {
    let mut setup = Setup::started().await;
    for origin in ["bb8-00000001", "bb8-00000001", "r3x-00000002"] {
        let mut record = from(origin, "id-1", Level::Info, "once");
        // Which of its numbers it has does not matter, nor who sent it.
        record.emitter = None;
        setup.offer(record);
    }
    let stats = setup.stop().await;
    assert_eq!((stats.stored, stats.filtered_by["duplicate"]), (2, 1));
}

#[tokio::test]
async fn each_host_has_the_views_rate_for_itself() {
    let mut setup = Setup::opened(|config| {
        config.rate_limit_per_service = 1;
        config.rate_limit_burst = 10;
    })
    .await;
    for number in 0..30 {
        setup.offer(from("bb8-00000001", &format!("id-{number}"), Level::Info, "chatter"));
        let mut other = from("r3x-00000002", &format!("id-{number}"), Level::Info, "chatter");
        other.host = Some("r3x".into());
        setup.offer(other);
    }
    setup.logging.start().await.unwrap();
    let stats = setup.stop().await;
    assert_eq!((stats.stored - 1, stats.views.rate_limited), (60, 40));
    let told = setup.entries().pop().unwrap().message;
    assert!(told.ends_with("20 of Second Brain on bb8, 20 of Second Brain on r3x"), "{told}");
}

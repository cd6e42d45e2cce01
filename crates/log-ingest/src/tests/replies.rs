//! Acknowledgements and levels.

use super::*;

#[tokio::test]
async fn acknowledgements_follow_what_is_written() {
    let ingest = Ingest::start().await;
    let mut emitter = ingest.connect().await;
    emitter.send_json(numbered(1..=3)).await;
    assert_eq!(emitter.reply().await, Some(info()));
    ingest.write(2, 0);
    assert_eq!(emitter.reply().await, Some(json!({"ack": 2})));
    emitter.send_json(numbered(4..=4)).await;
    ingest.write(3, 0);
    assert_eq!(emitter.reply().await, Some(json!({"ack": 3})));
    ingest.write(4, 0);
    assert_eq!(emitter.reply().await, Some(json!({"ack": 4})));
    drop(emitter);
    drain(ingest, &["1", "2", "3", "4"]).await;
}

#[tokio::test]
async fn who_can_wait_is_left_waiting_while_there_is_no_room() {
    let mut ingest = Ingest::start().await;
    let mut patient = ingest.connect().await;
    patient.send_json(numbered(1..=1)).await;
    assert_eq!(ingest.message().await, "1");
    ingest.set_full(true);
    // What it was about to read anyway; after that it looks.
    patient.send_json(numbered(2..=2)).await;
    assert_eq!(ingest.message().await, "2");
    patient.send_json(numbered(3..=3)).await;
    // One that cannot wait is read all the same; the patient one came first.
    let mut other = ingest.connect().await;
    other.send(b"}q\x00X\x03\x00\x00\x00msgX\x05\x00\x00\x00hastys.").await;
    assert_eq!(ingest.message().await, "hasty");
    ingest.set_full(false);
    assert_eq!(ingest.message().await, "3");
    drop((patient, other));
    drain(ingest, &[]).await;
}

#[tokio::test]
async fn what_was_written_before_it_was_asked_for_is_acknowledged_at_once() {
    let ingest = Ingest::start().await;
    ingest.write(1000, 0);
    let mut emitter = ingest.connect().await;
    emitter.send_json(numbered(1..=2)).await;
    assert_eq!(emitter.reply().await, Some(info()));
    assert_eq!(emitter.reply().await, Some(json!({"ack": 2})));
    drain(ingest, &["1", "2"]).await;
}

#[tokio::test]
async fn a_record_without_a_number_is_not_acknowledged() {
    let ingest = Ingest::start().await;
    ingest.write(1000, 0);
    let mut emitter = ingest.connect().await;
    emitter.send_json(json!({"message": "a"})).await;
    emitter.send_json(numbered(7..=7)).await;
    assert_eq!(emitter.reply().await, Some(info()));
    assert_eq!(emitter.reply().await, Some(json!({"ack": 7})));
    drain(ingest, &["a", "7"]).await;
}

#[tokio::test]
async fn an_unusable_record_is_reported_and_does_not_come_for_ever() {
    let mut ingest = Ingest::start().await;
    let mut emitter = ingest.connect().await;
    emitter.send_json(json!([{"message": "1", "seq": 1}, {"seq": 2}, {"seq": 3}])).await;
    assert_eq!(emitter.reply().await, Some(info()));
    let loss = ingest.loss().await;
    assert_eq!((loss.reason, loss.count), (DropReason::Malformed, 2));
    assert_eq!(loss.detail, "the record has no message");
    assert_eq!(loss.origin, emitter.stream.local_addr().unwrap().to_string());
    ingest.write(1, 0);
    assert_eq!(emitter.reply().await, Some(json!({"ack": 3})));
    drain(ingest, &["1"]).await;
}

#[tokio::test]
async fn a_refused_record_ends_the_connection_after_what_came_before_is_acknowledged() {
    let ingest = Ingest::start().await;
    ingest.refuse([None, None, Some(DropReason::IntakeFull)]);
    let mut emitter = ingest.connect().await;
    emitter.send_json(numbered(1..=5)).await;
    assert_eq!(emitter.reply().await, Some(info()));
    ingest.write(2, 0);
    assert_eq!(emitter.reply().await, Some(json!({"ack": 2})));
    assert_eq!(emitter.reply().await, None);
    assert_eq!(ingest.stats().refused, [(DropReason::IntakeFull, 1)]);
    // It comes again with what is left.
    let mut emitter = ingest.connect().await;
    emitter.send_json(numbered(3..=5)).await;
    assert_eq!(emitter.reply().await, Some(info()));
    ingest.write(5, 0);
    assert_eq!(emitter.reply().await, Some(json!({"ack": 5})));
    drain(ingest, &["1", "2", "3", "4", "5"]).await;
}

#[tokio::test]
async fn a_record_lost_before_it_was_written_is_not_acknowledged() {
    let ingest = Ingest::start().await;
    let mut emitter = ingest.connect().await;
    emitter.send_json(numbered(1..=2)).await;
    assert_eq!(emitter.reply().await, Some(info()));
    ingest.write(2, 1);
    assert_eq!(emitter.reply().await, None);
    drain(ingest, &["1", "2"]).await;
}

#[tokio::test]
async fn a_refused_pickle_costs_nobody_else_anything() {
    let ingest = Ingest::start().await;
    ingest.refuse([Some(DropReason::IntakeFull)]);
    let mut emitter = ingest.connect().await;
    for message in ["a", "b"] {
        emitter.send(format!("(dS'msg'\nS'{message}'\ns.")).await;
    }
    drain(ingest, &["b"]).await;
}

#[tokio::test]
async fn levels_are_sent_at_once_and_at_each_change() {
    let ingest = Ingest::start().await;
    ingest.levels.send_replace(Levels::new(Level::Warning));
    let mut emitter = ingest.connect().await;
    emitter.send("[]").await;
    assert_eq!(emitter.reply().await, Some(json!({"levels": {"root": "WARNING"}})));
    ingest.levels.send_replace(Levels::new(Level::Info).with("cantina_os.gpt", Level::Debug));
    let changed = json!({"levels": {"root": "INFO", "cantina_os.gpt": "DEBUG"}});
    assert_eq!(emitter.reply().await, Some(changed));
    drain(ingest, &[]).await;
}

#[tokio::test]
async fn nothing_is_written_to_a_connection_that_sends_pickles() {
    let ingest = Ingest::start().await;
    ingest.write(1000, 0);
    let mut emitter = ingest.connect().await;
    emitter.send(b"(dS'msg'\nS'a'\ns.").await;
    ingest.levels.send_replace(Levels::new(Level::Error));
    emitter.stream.shutdown().await.unwrap();
    emitter.expect_closed().await;
    drain(ingest, &["a"]).await;
}

#[tokio::test]
async fn an_emitter_that_does_not_read_is_read_all_the_same() {
    const COUNT: u64 = 20_000;
    let mut ingest = Ingest::start().await;
    let loggers =
        (0..2000).map(|n| (format!("a.long.name.of.a.logger.{n}"), Level::Debug)).collect();
    ingest.levels.send_replace(Levels { global: Level::Info, loggers });
    let mut emitter = ingest.connect().await;
    for seq in 1..=COUNT {
        emitter.send_json(numbered(seq..=seq)).await;
        assert_eq!(ingest.message().await, seq.to_string());
        ingest.write(seq, 0);
        // Each change is 60 kB: far more than the kernel's buffers, in all.
        if seq % 100 == 0 {
            ingest.levels.send_modify(|levels| levels.global = Level::Info);
        }
    }
    // What it reads at last begins with old frames and ends with the newest.
    let mut last = 0;
    while last < COUNT {
        if let Some(ack) = emitter.reply().await.unwrap()["ack"].as_u64() {
            assert!(ack > last);
            last = ack;
        }
    }
    ingest.stop().await;
}

#[tokio::test]
async fn drops_that_an_emitter_admits_are_reported_once() {
    let mut ingest = Ingest::start().await;
    let report = json!({"message": "5 records were dropped: queue full", "logger": "cantina_logging",
        "level": "WARNING", "source_id": "s", "seq": 9, "fields": {"dropped": 5}});
    for _ in 0..2 {
        let mut emitter = ingest.connect().await;
        emitter.send_json(report.clone()).await;
        assert_eq!(ingest.record().await.severity.level(), Level::Warning);
    }
    let loss = ingest.loss().await;
    assert_eq!((loss.reason, loss.count), (DropReason::Emitter, 5));
    ingest.stop().await;
}

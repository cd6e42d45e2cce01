//! Server-sent events.

use bus::{Bus, BusExt, ORIGIN};
use logging_api::{LOG_REPEAT, RepeatUpdate};
use serde_json::json;
use web_bridge::{Config, QueueLimits};

use crate::testkit::{Cantina, SESSION, entry, entry_from, entry_with, id};

#[tokio::test]
async fn the_session_comes_first_then_the_past_then_the_present() {
    let cantina = Cantina::start().await;
    cantina.log(1..=5).await;
    let mut events = cantina.events("/api/logs/stream?recent=3", &[]).await;
    let first = events.next().await.unwrap();
    assert_eq!((first.name.as_str(), first.id), ("session", None));
    assert_eq!(first.data, json!({"session_id": SESSION, "last_seq": 5}));
    assert_eq!(events.seqs_until(5).await, [3, 4, 5]);
    cantina.log(6..=8).await;
    assert_eq!(events.seqs_until(8).await, [6, 7, 8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_past_meets_the_present_nothing_is_missing_or_double() {
    let cantina = Cantina::start().await;
    cantina.log(1..=50).await;
    let logging = async {
        for seq in 51..=1500 {
            cantina.log([seq]).await;
            tokio::task::yield_now().await;
        }
    };
    let reading = async {
        let mut streams = Vec::new();
        for _ in 0..8 {
            streams.push(cantina.events("/api/logs/stream?recent=1000", &[]).await);
        }
        for events in &mut streams {
            events.next().await.unwrap();
            let seqs = events.seqs_until(1500).await;
            let expected: Vec<_> = (seqs[0]..=1500).collect();
            assert_eq!(seqs, expected);
        }
    };
    tokio::join!(logging, reading);
}

#[tokio::test]
async fn what_is_logged_while_the_past_is_read_is_not_passed_over() {
    let cantina = Cantina::start().await;
    cantina.log(1..=50).await;
    cantina.log.is_held.send_replace(true);
    let mut events = cantina.events("/api/logs/stream?recent=10", &[]).await;
    let session = events.next().await.unwrap();
    assert_eq!(session.data["last_seq"], 50);
    cantina.log(51..=200).await;
    cantina.log.is_held.send_replace(false);
    let expected: Vec<_> = (41..=200).collect();
    assert_eq!(events.seqs_until(200).await, expected);
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_left() {
    let cantina = Cantina::start().await;
    cantina.log(1..=2500).await;
    for (target, headers) in [
        ("/api/logs/stream?after=7", &[][..]),
        ("/api/logs/stream", &[("Last-Event-ID", "7")]),
        ("/api/logs/stream?after=2", &[("Last-Event-ID", "7")]),
        (&format!("/api/logs/stream?after=7&session={SESSION}"), &[]),
    ] {
        let mut events = cantina.events(target, headers).await;
        assert_eq!(events.next().await.unwrap().name, "session");
        let expected: Vec<_> = (8..=2500).collect();
        assert_eq!(events.seqs_until(2500).await, expected, "{target} {headers:?}");
    }
}

#[tokio::test]
async fn a_cursor_of_another_session_is_not_used() {
    let cantina = Cantina::start().await;
    cantina.log(1..=3).await;
    let other = "cantina-session-20200101-000000";
    for target in [
        format!("/api/logs/stream?after=2&session={other}"),
        "/api/logs/stream?after=900".to_owned(),
    ] {
        let mut events = cantina.events(&target, &[]).await;
        assert_eq!(events.next().await.unwrap().data["session_id"], SESSION);
        assert_eq!(events.seqs_until(3).await, [1, 2, 3], "{target}");
    }
}

#[tokio::test]
async fn a_filter_holds_for_the_past_and_the_present() {
    let cantina = Cantina::start().await;
    cantina.log(1..=3).await;
    cantina.log_entry(entry_with(4, log_entry::Level::Error, "old")).await;
    let mut events = cantina.events("/api/logs/stream?level=WARNING&service=ai*", &[]).await;
    assert_eq!(events.next().await.unwrap().name, "session");
    assert_eq!(events.seqs_until(4).await, [4]);
    cantina.log(5..=6).await;
    cantina.log_entry(entry_with(7, log_entry::Level::Error, "new")).await;
    assert_eq!(events.seqs_until(7).await, [7]);
}

#[tokio::test]
async fn repeats_are_counted_after_their_entry() {
    let cantina = Cantina::start().await;
    let mut events = cantina.events("/api/logs/stream", &[]).await;
    assert_eq!(events.next().await.unwrap().name, "session");
    cantina.log([1]).await;
    let last = entry(1).timestamp;
    let update = RepeatUpdate { of: id(1), seq: 4, count: 3, last, closed: false };
    cantina.bus.publish_json(&LOG_REPEAT, &update).await.unwrap();
    assert_eq!(events.seqs_until(1).await, [1]);
    let event = events.next().await.unwrap();
    assert_eq!(event.name, "repeat");
    let expected =
        json!([{"of": "entry-1", "seq": 4, "count": 3, "last": "2026-11-22T16:04:22.500000Z"}]);
    assert_eq!(event.data, expected);
}

#[tokio::test]
async fn entries_of_other_hosts_are_numbered_and_resumed_as_ours() {
    let cantina = Cantina::start().await;
    let mut events = cantina.events("/api/logs/stream", &[]).await;
    assert_eq!(events.next().await.unwrap().name, "session");
    for seq in 1..=6 {
        let entry = if seq % 2 == 0 { entry_from("bb8", seq) } else { entry(seq) };
        cantina.log_entry(entry).await;
    }
    assert_eq!(events.seqs_until(6).await, [1, 2, 3, 4, 5, 6]);
    // A count from the session over there, whose numbers are far beyond ours.
    let last = entry(1).timestamp;
    let update = RepeatUpdate { of: id(4), seq: 1_000_009, count: 2, last, closed: false };
    let event = LOG_REPEAT.encode(&update).unwrap().with_header(ORIGIN, "bb8-5f3a9c12");
    cantina.bus.publish(event).await.unwrap();
    let event = events.next().await.unwrap();
    assert_eq!((event.name.as_str(), event.id), ("repeat", None));
    assert_eq!((&event.data[0]["count"], event.data[0].get("seq")), (&json!(2), None));
    cantina.log([7]).await;
    assert_eq!(events.seqs_until(7).await, [7]);
    let mut events = cantina.events("/api/logs/stream", &[("Last-Event-ID", "4")]).await;
    assert_eq!(events.next().await.unwrap().name, "session");
    assert_eq!(events.seqs_until(7).await, [5, 6, 7]);
}

#[tokio::test]
async fn a_host_can_be_seen_alone() {
    let cantina = Cantina::start().await;
    let log_from = async |host, seq| cantina.log_entry(entry_from(host, seq)).await;
    for (seq, host) in [(1, "bb8"), (2, "c3po"), (3, "bb8")] {
        log_from(host, seq).await;
    }
    let mut events = cantina.events("/api/logs/stream?host=BB*,r3x", &[]).await;
    assert_eq!(events.next().await.unwrap().name, "session");
    assert_eq!(events.seqs_until(3).await, [1, 3]);
    for (seq, host) in [(4, "c3po"), (5, "bb8")] {
        log_from(host, seq).await;
    }
    assert_eq!(events.seqs_until(5).await, [5]);
    let page = cantina.get("/api/logs?host=!bb8").await.json();
    let shown: Vec<_> = page["entries"].as_array().unwrap().iter().map(|e| &e["seq"]).collect();
    assert_eq!(shown, [&json!(2), &json!(4)]);
    assert_eq!(page["entries"][0]["origin"]["id"], "c3po-5f3a9c12");
}

#[tokio::test]
async fn a_new_session_is_announced_before_its_entries() {
    let cantina = Cantina::start().await;
    let mut events = cantina.events("/api/logs/stream", &[]).await;
    assert_eq!(events.next().await.unwrap().name, "session");
    cantina.log([9]).await;
    assert_eq!(events.seqs_until(9).await, [9]);
    let next = "cantina-session-20261122-170000";
    cantina.log_entry(log_entry::LogEntry { session_id: next.parse().unwrap(), ..entry(1) }).await;
    assert_eq!(events.next().await.unwrap().data["session_id"], next);
    assert_eq!(events.seqs_until(1).await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_disturbs_nobody_and_is_told_what_it_missed() {
    let queue = QueueLimits { entries: 100, bytes: 1 << 20 };
    let cantina = Cantina::start_with(Config { queue, ..Config::default() }).await;
    let mut stalled = cantina.events("/api/logs/stream?recent=0", &[]).await;
    let mut healthy = cantina.events("/api/logs/stream?recent=0", &[]).await;
    for events in [&mut stalled, &mut healthy] {
        assert_eq!(events.next().await.unwrap().name, "session");
    }
    // More than the system's buffers hold; the healthy one keeps the pace.
    let text = "x".repeat(100_000);
    for seq in 1..=400 {
        cantina.log_entry(entry_with(seq, log_entry::Level::Info, &text)).await;
        assert_eq!(healthy.seqs_until(seq).await, [seq]);
    }
    let missed = cantina.until_stats(|stats| stats["views"]["missed"].as_u64() > Some(0)).await;
    let (mut last, mut told) = (0, 0);
    while last < 400 {
        let event = stalled.next().await.unwrap();
        if event.name == "gap" {
            assert_eq!(event.data["reason"], "slow_client");
            let number = |name: &str| event.data[name].as_u64().unwrap();
            assert_eq!((number("after"), number("before") - number("count") - 1), (last, last));
            told += number("count");
            last = number("before") - 1;
        } else {
            let seqs = event.seqs();
            assert_eq!(seqs, (last + 1..=last + seqs.len() as u64).collect::<Vec<_>>());
            last += seqs.len() as u64;
        }
    }
    assert_eq!(Some(told), missed["views"]["missed"].as_u64());
}

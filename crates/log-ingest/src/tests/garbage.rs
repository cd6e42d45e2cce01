//! What is no record, and too much of anything.

use super::*;

#[tokio::test]
async fn browsers_are_sent_away_and_counted_once() {
    let mut ingest = Ingest::start().await;
    let mut browser = ingest.connect().await;
    let request = format!("POST /api/logs HTTP/1.1\r\n\r\n{}", "x".repeat(1000));
    browser.stream.write_all(request.as_bytes()).await.unwrap();
    browser.expect_closed().await;
    let loss = ingest.loss().await;
    assert_eq!((loss.reason, loss.count), (DropReason::Malformed, 1));
    assert_eq!(loss.detail, "HTTP on the port for frames");
    ingest.stop().await;
}

#[tokio::test]
async fn frames_that_are_no_records_are_counted_and_the_next_one_is_read() {
    let mut ingest = Ingest::start().await;
    let mut emitter = ingest.connect().await;
    for garbage in ["", "nonsense", "{", "[1]", "\u{0}\u{1}"] {
        emitter.send(garbage).await;
    }
    emitter.send_json(json!({"message": "after"})).await;
    assert_eq!(ingest.message().await, "after");
    let mut count = 0;
    while count < 5 {
        let loss = ingest.loss().await;
        assert_eq!(loss.reason, DropReason::Malformed);
        count += loss.count;
    }
    assert_eq!(ingest.stats().refused, [(DropReason::Malformed, 5)]);
    ingest.stop().await;
}

#[tokio::test]
async fn a_frame_that_is_too_long_is_passed_over() {
    let mut ingest = Ingest::start().await;
    let mut emitter = ingest.connect().await;
    emitter.send(vec![b'['; 8 << 20]).await;
    emitter.send_json(json!({"message": "after"})).await;
    assert_eq!(ingest.message().await, "after");
    let loss = ingest.loss().await;
    assert_eq!((loss.reason, loss.count), (DropReason::Oversized, 1));
    assert_eq!(loss.detail, "a frame of 8388608 bytes; the limit is 1048576");
    ingest.stop().await;
}

#[tokio::test]
async fn an_impossible_length_ends_the_connection() {
    let mut ingest = Ingest::start().await;
    let mut emitter = ingest.connect().await;
    emitter.stream.write_all(&[0xff; 4]).await.unwrap();
    emitter.expect_closed().await;
    assert_eq!(ingest.loss().await.reason, DropReason::Oversized);
    ingest.stop().await;
}

#[tokio::test]
async fn a_frame_cut_off_is_counted() {
    let mut ingest = Ingest::start().await;
    let mut emitter = ingest.connect().await;
    emitter.stream.write_all(b"\0\0\0\x09}").await.unwrap();
    drop(emitter);
    assert_eq!(ingest.loss().await.detail, "the connection ended inside a frame");
    // Who sends JSON keeps what is not acknowledged: that is no loss.
    let mut emitter = ingest.connect().await;
    emitter.stream.write_all(b"\0\0\0\x09[").await.unwrap();
    drop(emitter);
    ingest.stop().await;
}

#[tokio::test]
async fn a_frame_that_takes_too_long_ends_the_connection() {
    let frame_completion = Duration::from_millis(20);
    let mut ingest = Ingest::start_with(Config { frame_completion, ..Config::default() }).await;
    let mut emitter = ingest.connect().await;
    emitter.stream.write_all(b"\0\0\0\x09}").await.unwrap();
    emitter.expect_closed().await;
    assert_eq!(ingest.loss().await.detail, "a frame did not end within 20ms");
    ingest.stop().await;
}

#[tokio::test]
async fn frames_underway_share_one_budget() {
    let config = Config { partial_bytes_max: 600_000, ..Config::default() };
    let mut ingest = Ingest::start_with(config).await;
    let half = [&(1_u32 << 20).to_be_bytes()[..], &vec![b'x'; 300_000]].concat();
    let mut emitters = Vec::new();
    for _ in 0..3 {
        let mut emitter = ingest.connect().await;
        // The last of them may be sent away while it writes.
        let _ = emitter.stream.write_all(&half).await;
        emitters.push(emitter);
    }
    let loss = ingest.loss().await;
    assert_eq!(loss.detail, "too many frames are underway at once");
    drop(emitters);
    soon(ingest.service.stop()).await.unwrap();
}

/// A listener that takes one connection, which has sent a record.
async fn occupied(idle: Duration) -> (Ingest, Emitter) {
    let config = Config { connections_max: 1, idle, first_byte: PATIENCE, ..Config::default() };
    let mut ingest = Ingest::start_with(config).await;
    let mut first = ingest.connect().await;
    first.send_json(json!({"message": "a"})).await;
    assert_eq!(ingest.message().await, "a");
    assert_eq!(first.reply().await, Some(info()));
    (ingest, first)
}

#[tokio::test]
async fn an_idle_connection_makes_room() {
    let (mut ingest, mut first) = occupied(Duration::ZERO).await;
    let mut second = ingest.connect().await;
    first.expect_closed().await;
    drop(first);
    second.send_json(json!({"message": "b"})).await;
    assert_eq!(ingest.message().await, "b");
    ingest.stop().await;
}

#[tokio::test]
async fn a_connection_in_use_stays_and_the_new_one_is_turned_away() {
    let (mut ingest, mut first) = occupied(PATIENCE).await;
    let mut second = ingest.connect().await;
    second.expect_closed().await;
    assert_eq!(ingest.stats().connections_refused, 1);
    first.send_json(json!({"message": "b"})).await;
    assert_eq!(ingest.message().await, "b");
    ingest.stop().await;
}

#[tokio::test]
async fn random_bytes_harm_nobody() {
    let mut ingest = Ingest::start().await;
    let mut number = 1_u64;
    for _ in 0..50 {
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            number.to_be_bytes()[0]
        })
        .take(4000)
        .collect();
        let mut emitter = ingest.connect().await;
        // It may be sent away while it writes.
        let _ = emitter.stream.write_all(&bytes).await;
    }
    let mut emitter = ingest.connect().await;
    emitter.send_json(json!({"message": "still there"})).await;
    assert_eq!(ingest.message().await, "still there");
    soon(ingest.service.stop()).await.unwrap();
    assert!(ingest.losses.try_recv().is_ok());
}

#[tokio::test]
async fn datagrams_may_be_framed_or_bare() {
    let mut ingest = Ingest::start().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(ingest.address).await.unwrap();
    let json = br#"{"message": "a", "timestamp": 1750167431.272728}"#;
    for datagram in [&frame(json)[..], json, b"(dS'msg'\nS'a'\ns."] {
        socket.send(datagram).await.unwrap();
        assert_eq!(ingest.message().await, "a");
    }
    socket.send(&[&[0, 0, 0, 9][..], json].concat()).await.unwrap();
    let loss = ingest.loss().await;
    assert_eq!(loss.detail, "a datagram of 52 bytes with another length in it");
    assert!(loss.origin.ends_with(" (UDP)"));
    socket.send(json).await.unwrap();
    let time = ingest.record().await.timestamp;
    assert_eq!(format_timestamp(&time), "2025-06-17T13:37:11.272728Z");
    ingest.stop().await;
}

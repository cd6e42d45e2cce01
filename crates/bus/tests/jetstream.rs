//! `NatsBus` with a stream, on real servers that come and go.

#![allow(clippy::unwrap_used)]

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use bus::{
    Bus, Durable, EVENT_ID, Error, Event, Kept, NatsBus, ORIGIN, PublishAllError, Reader,
    conformance,
};
use nats_fixture::{Config, NatsCluster, NatsServer};
use tokio::time::timeout;

/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bus on `url` with the stream `name`, after which there may be more options.
async fn connect(url: &str, name: &str) -> NatsBus {
    NatsBus::connect(format!("{url}?stream={name}").parse().unwrap()).await.unwrap()
}

// === The kit ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_and_the_promises_of_a_durable_bus() {
    let server = NatsServer::jetstream();
    // One stream for all: two of the same subjects cannot be.
    conformance::run(async || connect(&server.url(), "LOG").await).await;
    conformance::durable(async || connect(&server.url(), "LOG").await).await;
}

// === Servers that come and go ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_events_survive_the_death_of_the_server() {
    let mut server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG").await;
    publish_all(&bus, &events("a", 0..500)).await;
    server.kill();
    server.restart();
    publish_all(&bus, &events("a", 500..600)).await;
    let mut reader = reader(&bus, "a", "r").await;
    expect(reader.as_mut(), 0..600).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_confirmation_was_lost_is_stored_once() {
    let server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG").await;
    publish_all(&bus, &events("a", 0..1)).await;
    server.signal("STOP");
    let start = Instant::now();
    let published = bus.publish_all(&events("a", 1..300)).await.unwrap_err();
    assert!(start.elapsed() < bus.capabilities().wait_max + Duration::from_secs(1));
    assert_eq!(published.taken, 0);
    assert!(published.source.is_uncertain(), "{}", published.source);
    server.signal("CONT");
    publish_all(&bus, &events("a", 1..300)).await;
    let mut reader = reader(&bus, "a", "r").await;
    expect(reader.as_mut(), 0..300).await;
    assert_eq!(bus.durable().unwrap().mark().await.unwrap().last, 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_holds_while_the_server_is_killed_again_and_again() {
    let mut server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG").await;
    let all = events("a", 0..20_000);
    for batch in all.chunks(4000) {
        let killing = async {
            // In the middle of it.
            let before = mark_of(&bus);
            until(|| mark_of(&bus) > before + 100).await;
            tokio::task::block_in_place(|| {
                server.kill();
                server.restart();
            });
        };
        tokio::join!(publish_all(&bus, batch), killing);
    }
    let mut reader = reader(&bus, "a", "r").await;
    expect(reader.as_mut(), 0..20_000).await;
    assert_eq!(bus.durable().unwrap().mark().await.unwrap().last, 20_000, "each is there once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_goes_on_after_the_death_of_the_server() {
    let mut server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG").await;
    publish_all(&bus, &events("a", 0..3000)).await;
    let mut reader = reader(&bus, "a", "r").await;
    let first = read(reader.as_mut(), 1000).await;
    reader.acknowledge(first[499].number).await.unwrap();
    server.kill();
    server.restart();
    publish_all(&bus, &events("a", 3000..4000)).await;
    let rest = read(reader.as_mut(), 3000).await;
    assert_eq!(numbers(&rest), (1000..4000).collect::<Vec<_>>(), "this reader has had the others");
    acknowledge(reader.as_mut(), rest[1999].number).await;
    drop(reader);
    bus.close().await.unwrap();

    let bus = connect(&server.url(), "LOG").await;
    let mut reader = self::reader(&bus, "a", "r").await;
    expect(reader.as_mut(), 3000..4000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_misses_nothing_while_the_server_is_killed_again_and_again() {
    let mut server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG").await;
    publish_all(&bus, &events("a", 0..20_000)).await;
    let mut reader = reader(&bus, "a", "r").await;
    for start in [0, 5000, 10_000, 15_000] {
        read_and_acknowledge(reader.as_mut(), start..start + 5000).await;
        // The next ones are on their way.
        server.kill();
        server.restart();
    }
    publish_all(&bus, &events("a", 20_000..20_001)).await;
    expect(reader.as_mut(), 20_000..20_001).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_outlives_its_consumer_and_its_stream() {
    let server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG").await;
    publish_all(&bus, &events("a", 0..10)).await;
    let mut reader = reader(&bus, "a", "r").await;
    let kept = read(reader.as_mut(), 10).await;
    acknowledge(reader.as_mut(), kept[4].number).await;
    let jetstream = administer(&server).await;
    jetstream.get_stream("LOG").await.unwrap().delete_consumer("r").await.unwrap();
    publish_all(&bus, &events("a", 10..12)).await;
    assert_eq!(numbers(&read(reader.as_mut(), 2).await), [10, 11]);

    jetstream.delete_stream("LOG").await.unwrap();
    publish_all(&bus, &events("a", 20..23)).await;
    let kept = read(reader.as_mut(), 3).await;
    assert_eq!(numbers(&kept), [20, 21, 22]);
    assert_eq!(kept[0].number, 1, "in a new stream");
    acknowledge(reader.as_mut(), kept[2].number).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_its_store_is_noticed_and_gets_the_stream_again() {
    let mut server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG").await;
    publish_all(&bus, &events("a", 0..50)).await;
    let mut reader = reader(&bus, "a", "r").await;
    let kept = read(reader.as_mut(), 50).await;
    acknowledge(reader.as_mut(), kept[49].number).await;
    let durable = bus.durable().unwrap();
    let before = durable.confirmed().unwrap();
    assert_eq!(before.last, 50);
    assert!(!durable.mark().await.unwrap().is_behind(&before));
    server.kill();
    server.lose_store();
    server.restart();
    let now = eventually(async || durable.mark().await).await;
    assert!(now.is_behind(&before), "{now:?} after {before:?}");
    publish_all(&bus, &events("a", 0..60)).await;
    expect(reader.as_mut(), 0..60).await;
    assert_eq!(durable.confirmed().unwrap().last, 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_was_read_can_be_acknowledged() {
    let server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG").await;
    publish_all(&bus, &events("a", 0..500)).await;
    let mut reader = reader(&bus, "a", "r").await;
    reader.acknowledge(u64::MAX).await.unwrap();
    read(reader.as_mut(), 10).await;
    // The others wait in the reader.
    let consumer = administer(&server).await.get_stream("LOG").await.unwrap();
    let delivered = async {
        while consumer.consumer_info("r").await.unwrap().delivered.stream_sequence < 500 {}
    };
    timeout(PATIENCE, delivered).await.unwrap();
    reader.acknowledge(u64::MAX).await.unwrap();
    drop(reader);
    expect(self::reader(&bus, "a", "r").await.as_mut(), 10..500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_others_made_anew_is_noticed() {
    let server = NatsServer::jetstream();
    let (bus, other) = (connect(&server.url(), "LOG").await, connect(&server.url(), "LOG").await);
    publish_all(&bus, &events("a", 0..100)).await;
    let durable = bus.durable().unwrap();
    let jetstream = administer(&server).await;
    for (number, notice) in [(200, true), (300, false)] {
        let before = durable.confirmed().unwrap();
        jetstream.delete_stream("LOG").await.unwrap();
        publish_all(&other, &events("a", number..number + 1)).await;
        // One is enough, whether it is a question or an event.
        if notice {
            assert!(durable.mark().await.unwrap().is_behind(&before));
        } else {
            bus.publish(event("a", number + 1)).await.unwrap();
        }
        publish_all(&bus, &events("a", number + 2..number + 3)).await;
        let (confirmed, mark) = (durable.confirmed().unwrap(), durable.mark().await.unwrap());
        assert_eq!(confirmed, mark);
        assert!(confirmed.is_behind(&before), "{confirmed:?} after {before:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_stream_took_is_not_stored() {
    let server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG").await;
    publish_all(&bus, &events("a", 0..1)).await;
    let jetstream = administer(&server).await;
    jetstream.delete_stream("LOG").await.unwrap();
    let usurper = async_nats::jetstream::stream::Config {
        name: "OTHER".into(),
        subjects: vec!["cantina.>".into()],
        ..Default::default()
    };
    jetstream.create_stream(usurper).await.unwrap();
    let refused = bus.publish(event("a", 1)).await.unwrap_err();
    let words = std::error::Error::source(&refused).unwrap().to_string();
    assert_eq!(words, "the stream `OTHER` took it, not `LOG`");
    jetstream.delete_stream("OTHER").await.unwrap();
    publish_all(&bus, &events("a", 1..2)).await;
    expect(reader(&bus, "a", "r").await.as_mut(), 1..2).await;
}

// === A cluster ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_stored_once_while_leaders_hand_over() {
    const HANDOVERS: usize = 10;
    let cluster = NatsCluster::start();
    let url = format!("{}?stream=LOG&replicas=3", cluster.url());
    let bus = NatsBus::connect(url.parse().unwrap()).await.unwrap();
    publish_all(&bus, &events("a", 0..1)).await;
    let client = async_nats::connect(cluster.url().split(',').collect::<Vec<_>>()).await.unwrap();
    let is_over = AtomicBool::new(false);
    let handing_over = async {
        for _ in 0..HANDOVERS {
            let before = mark_of(&bus);
            until(|| mark_of(&bus) > before + 2000).await;
            let _ = client.request("$JS.API.STREAM.LEADER.STEPDOWN.LOG", "".into()).await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let publishing = async {
        let mut next = 1;
        while !is_over.load(Ordering::Relaxed) {
            publish_all(&bus, &events("a", next..next + 500)).await;
            next += 500;
        }
        next
    };
    let ((), next) = tokio::join!(handing_over, publishing);
    let mark = eventually(async || bus.durable().unwrap().mark().await).await;
    assert_eq!(mark.last, next);
    let mut reader = reader(&bus, "a", "r").await;
    let mut stored = Vec::new();
    for start in (0..next).step_by(1000) {
        let kept = read(reader.as_mut(), usize::try_from(1000.min(next - start)).unwrap()).await;
        stored.extend(numbers(&kept));
        acknowledge(reader.as_mut(), kept.last().unwrap().number).await;
    }
    // A burst may come apart, but no more than one each time, and nothing is lost.
    let breaks = stored.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(breaks <= HANDOVERS, "out of order in {breaks} places");
    stored.sort_unstable();
    assert_eq!(stored, (0..next).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_holds_while_leaders_of_a_cluster_are_killed() {
    let mut cluster = NatsCluster::start();
    let url = format!("{}?stream=LOG&replicas=3", cluster.url());
    let bus = NatsBus::connect(url.parse().unwrap()).await.unwrap();
    let all = events("a", 0..9000);
    let publishing = async {
        for batch in all.chunks(3000) {
            let killing = async {
                let before = mark_of(&bus);
                until(|| mark_of(&bus) > before + 100).await;
                let leader = leader(&cluster, "LOG").await;
                tokio::task::block_in_place(|| cluster.named(&leader).kill());
            };
            tokio::join!(publish_all(&bus, batch), killing);
            tokio::task::block_in_place(|| cluster.restart());
        }
    };
    let mut reader = reader(&bus, "a", "r").await;
    tokio::join!(publishing, read_and_acknowledge(reader.as_mut(), 0..9000));
    assert_eq!(eventually(async || bus.durable().unwrap().mark().await).await.last, 9000);

    cluster.kill();
    let start = Instant::now();
    let refused = bus.publish(event("a", 9000)).await.unwrap_err();
    assert!(refused.is_temporary(), "{refused}");
    assert!(start.elapsed() < bus.capabilities().wait_max + Duration::from_secs(1));
    cluster.restart();
    publish_all(&bus, &events("a", 9000..9010)).await;
    expect(reader.as_mut(), 9000..9010).await;
}

// === What is refused ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_would_lose_events_is_refused() {
    use async_nats::jetstream::stream::{Config as Stream, RetentionPolicy};

    let server = NatsServer::jetstream();
    let jetstream = administer(&server).await;
    for (name, subjects, retention, reason) in [
        ("Q", "cantina.>", RetentionPolicy::WorkQueue, "has the retention `workqueue`"),
        ("I", "cantina.>", RetentionPolicy::Interest, "has the retention `interest`"),
        ("L", "cantina.b", RetentionPolicy::Limits, "keeps `cantina.b`, but not `cantina.a`"),
    ] {
        let config = Stream {
            name: name.into(),
            subjects: vec![subjects.into()],
            retention,
            ..Stream::default()
        };
        jetstream.create_stream(config).await.unwrap();
        let bus = connect(&server.url(), &format!("{name}&topics=a")).await;
        let refused = bus.publish(event("a", 0)).await.unwrap_err();
        assert!(matches!(refused, Error::Transport { .. }), "{name}: {refused}");
        let words = std::error::Error::source(&refused).unwrap().to_string();
        assert!(words.contains(reason) && words.contains(name), "{words}");
        assert!(bus.state().trouble.unwrap().contains(reason));
        // Otherwise it makes a better one as soon as this is gone.
        bus.close().await.unwrap();
        jetstream.delete_stream(name).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_names_no_topics_takes_the_stream_as_it_is() {
    let server = NatsServer::jetstream();
    publish_all(&connect(&server.url(), "LOG&topics=b").await, &events("b", 0..1)).await;
    let bus = connect(&server.url(), "LOG").await;
    publish_all(&bus, &events("b", 1..3)).await;
    let mut live = bus.subscribe("a", std::num::NonZeroUsize::MIN).await.unwrap();
    publish_all(&bus, &events("a", 0..1)).await;
    assert!(live.recv().await.is_some(), "what the stream does not keep goes without it");
    expect(reader(&bus, "b", "r").await.as_mut(), 0..3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_a_little_different_is_used_and_says_so() {
    let server = NatsServer::jetstream();
    let small = connect(&server.url(), "LOG&duplicate_window=10s").await;
    publish_all(&small, &events("a", 0..1)).await;
    assert_eq!(small.state().trouble, None);
    let large = connect(&server.url(), "LOG&duplicate_window=120s").await;
    publish_all(&large, &events("a", 1..2)).await;
    let trouble = large.state().trouble.unwrap();
    assert_eq!(trouble, "stream `LOG`: ids are remembered for 10s, not for 120s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_permissions_are_named() {
    let server = with_users(
        r#"{ user: api, password: p, permissions: { publish: ["cantina.>", "_INBOX.>"] } }
           { user: topic, password: p, permissions: { publish: { deny: ["cantina.secret"] } } }
           { user: least, password: p, permissions: {
               publish: ["cantina.>", "_INBOX.>", "$JS.API.STREAM.INFO.LOG", "$JS.API.STREAM.CREATE.LOG",
                         "$JS.API.CONSUMER.*.LOG.>", "$JS.API.CONSUMER.MSG.NEXT.LOG.>", "$JS.ACK.LOG.>"]
               subscribe: ["cantina.>", "_INBOX.>"] } }"#,
    );
    let bus = connect(&server.url().replace("nats://", "nats://api:p@"), "LOG").await;
    let denied = bus.publish(event("a", 0)).await.unwrap_err();
    assert!(matches!(denied, Error::Denied { .. }), "{denied}");
    let words = std::error::Error::source(&denied).unwrap().to_string();
    assert!(words.contains("$JS.API.STREAM.INFO.LOG"), "{words}");
    assert!(bus.state().trouble.unwrap().contains("LOG"));

    let bus = connect(&server.url().replace("nats://", "nats://topic:p@"), "LOG").await;
    let denied = bus.publish(event("secret", 0)).await.unwrap_err();
    assert!(matches!(&denied, Error::Denied { topic, .. } if topic == "secret"), "{denied}");
    publish_all(&bus, &events("open", 0..3)).await;

    // As the documentation has them.
    let bus = connect(&server.url().replace("nats://", "nats://least:p@"), "LOG").await;
    publish_all(&bus, &events("open", 3..5)).await;
    let mut reader = reader(&bus, "open", "r").await;
    let kept = read(reader.as_mut(), 5).await;
    acknowledge(reader.as_mut(), kept[3].number).await;
    drop(reader);
    expect(self::reader(&bus, "open", "r").await.as_mut(), 4..5).await;
    let ids = bus.durable().unwrap().ids("open", "r3x", std::time::UNIX_EPOCH).await;
    assert_eq!(ids.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_complete_however_many_questions_they_take() {
    const COUNT: u64 = 5000;
    let server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG").await;
    let of_others = event("a", COUNT).with_header(ORIGIN, "bb8");
    let ours = events("a", 0..COUNT).into_iter().map(|event| event.with_header(ORIGIN, "r3x"));
    let all: Vec<Event> = ours.chain([of_others]).collect();
    publish_all(&bus, &all).await;
    for round in 0..20 {
        let ids = bus.durable().unwrap().ids("a", "r3x", std::time::UNIX_EPOCH).await.unwrap();
        assert_eq!(ids.len() as u64, COUNT, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_jetstream_is_named_as_the_reason() {
    let server = NatsServer::start();
    let bus = connect(&server.url(), "LOG").await;
    let refused = bus.publish(event("a", 0)).await.unwrap_err();
    let words = std::error::Error::source(&refused).unwrap().to_string();
    assert!(words.contains("JetStream is not available"), "{words}");
    assert!(bus.state().trouble.unwrap().contains("JetStream is not available"));
    let refused = bus.durable().unwrap().reader("a", "r").await.err().unwrap();
    assert!(std::error::Error::source(&refused).unwrap().to_string().contains("JetStream"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_has_a_name_that_every_server_takes() {
    let server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG").await;
    for name in ["", "a b", "a.b", "r~", &"x".repeat(65)] {
        let refused = bus.durable().unwrap().reader("a", name).await.err().unwrap();
        assert!(matches!(refused, Error::Topic { .. }), "{name}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_topics_of_the_stream_are_kept() {
    let server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG&topics=a").await;
    publish_all(&bus, &[event("b", 0), event("a", 1), event("b", 2), event("a", 3)]).await;
    let mut reader = reader(&bus, "a", "r").await;
    assert_eq!(numbers(&read(reader.as_mut(), 2).await), [1, 3]);
    assert_eq!(bus.durable().unwrap().mark().await.unwrap().last, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_may_not_read_says_so() {
    let server = with_users(
        r#"{ user: u, password: p, permissions: { publish: { deny: ["$JS.API.CONSUMER.MSG.NEXT.>"] } } }"#,
    );
    let bus = connect(&server.url().replace("nats://", "nats://u:p@"), "LOG").await;
    publish_all(&bus, &events("a", 0..3)).await;
    let mut reader = reader(&bus, "a", "r").await;
    let read = timeout(PATIENCE, reader.read(&mut Vec::new(), 1)).await.expect("it is told");
    assert!(matches!(read, Err(Error::Denied { .. })), "{read:?}");
    let ids = bus.durable().unwrap().ids("a", "r3x", std::time::UNIX_EPOCH).await;
    assert!(matches!(ids, Err(Error::Denied { .. })), "{ids:?}");
    publish_all(&bus, &events("a", 3..5)).await;

    reload(&server, "$JS.API.CONSUMER.MSG.NEXT.>", "nothing");
    expect(reader.as_mut(), 0..5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_has_its_name_for_itself() {
    use async_nats::jetstream::consumer::{AckPolicy, pull};

    let server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG").await;
    publish_all(&bus, &[event("a", 1), event("b", 2)]).await;
    let mut first = reader(&bus, "a", "r").await;
    let kept = read(first.as_mut(), 1).await;
    acknowledge(first.as_mut(), kept[0].number).await;
    drop(first);
    let foreign = pull::Config {
        durable_name: Some("foreign".into()),
        filter_subject: "cantina.a".into(),
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    };
    let stream = administer(&server).await.get_stream("LOG").await.unwrap();
    stream.create_consumer(foreign).await.unwrap();
    for (topic, name, reason) in [
        ("b", "r", "the reader `r` is one of `cantina.a`"),
        ("a", "foreign", "there is a consumer `foreign` of another kind"),
    ] {
        let refused = bus.durable().unwrap().reader(topic, name).await.err().unwrap();
        let words = std::error::Error::source(&refused).unwrap().to_string();
        assert_eq!(words, reason);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_takes_no_longer_is_too_large() {
    let limit = |bytes: u32| format!("max_payload: {bytes}\n");
    let server = NatsServer::with(&Config { jetstream: true, extra: limit(1_000_000) });
    let bus = connect(&server.url(), "LOG").await;
    publish_all(&bus, &events("a", 0..1)).await;
    reload(&server, &limit(1_000_000), &limit(50_000));
    let large = Event::new("a", vec![b'x'; 100_000]);
    // The server ends the connection of the first one that comes after the change.
    let refused = async {
        loop {
            match bus.publish(large.clone()).await {
                Err(error) if !error.is_temporary() => return error,
                _ => retry().await,
            }
        }
    };
    let refused = timeout(PATIENCE, refused).await.expect("it is told");
    assert!(
        matches!(refused, Error::TooLarge { bytes: 100_000, limit: ..50_000, .. }),
        "{refused}"
    );
    publish_all(&bus, &events("a", 1..2)).await;
}

// === Closing ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_confirmation_when_the_bus_is_closed_waits_no_longer() {
    let server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG").await;
    publish_all(&bus, &events("a", 0..1)).await;
    let mut reader = reader(&bus, "a", "r").await;
    read(reader.as_mut(), 1).await;
    server.signal("STOP");
    // It may answer for a moment yet.
    while timeout(Duration::from_millis(100), bus.publish(event("a", 0))).await.is_ok() {}
    let publishing = async { (bus.publish(event("a", 1)).await, Instant::now()) };
    let closing = async {
        let closed = bus.close().await;
        assert!(closed.is_err(), "the server hangs");
        Instant::now()
    };
    let ((published, published_at), closed_at) = tokio::join!(publishing, closing);
    assert!(published.is_err_and(|error| error.is_uncertain()));
    assert!(
        published_at < closed_at + Duration::from_millis(500),
        "{:?}",
        published_at - closed_at
    );
    let durable = bus.durable().unwrap();
    assert!(matches!(durable.mark().await, Err(Error::Closed)));
    assert!(matches!(durable.reader("a", "r").await, Err(Error::Closed)));
    assert!(matches!(durable.ids("a", "r3x", std::time::UNIX_EPOCH).await, Err(Error::Closed)));
    assert!(matches!(reader.acknowledge(1).await, Err(Error::Closed)));
}

// === Bounds ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_takes_large_events_in_small_numbers() {
    const BYTES: usize = 1_000_000;
    let server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG").await;
    let large = |number: u64| {
        Event::new("a", vec![b'x'; BYTES]).with_header(EVENT_ID, format!("large-{number}"))
    };
    let events: Vec<Event> = (0..40).map(large).collect();
    for some in events.chunks(8) {
        publish_all(&bus, some).await;
    }
    let mut reader = reader(&bus, "a", "r").await;
    let mut count = 0;
    while count < events.len() {
        let mut batch = Vec::new();
        let read = timeout(PATIENCE, reader.read(&mut batch, 1000)).await.unwrap().unwrap();
        assert!(read <= 9, "{read} at once");
        count += read;
        acknowledge(reader.as_mut(), batch[read - 1].number).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_failures_leave_nothing_behind() {
    let server = NatsServer::jetstream();
    let bus = connect(&server.url(), "LOG").await;
    publish_all(&bus, &events("a", 0..1)).await;
    server.signal("STOP");
    // It may answer for a moment yet.
    while timeout(Duration::from_millis(100), bus.publish(event("a", 0))).await.is_ok() {}
    for round in 0..20 {
        let waiting: Vec<_> = (0..100).map(|number| bus.publish(event("a", number))).collect();
        let mut waiting: Vec<_> = waiting.into_iter().map(Box::pin).collect();
        for publishing in &mut waiting {
            assert!(timeout(Duration::ZERO, publishing).await.is_err(), "in round {round}");
        }
        assert!(bus.state().backlog >= 100, "each waits for its confirmation");
        drop(waiting);
    }
    until(|| bus.state().backlog == 0).await;
    server.signal("CONT");
    publish_all(&bus, &events("a", 100..101)).await;
    assert_eq!(bus.state().backlog, 0);
}

// === What the tests are made of ===

fn event(topic: &str, number: u64) -> Event {
    Event::new(topic, number.to_string()).with_header(EVENT_ID, format!("{topic}-{number}"))
}

fn events(topic: &str, numbers: std::ops::Range<u64>) -> Vec<Event> {
    numbers.map(|number| event(topic, number)).collect()
}

fn numbers(kept: &[Kept]) -> Vec<u64> {
    kept.iter().map(|kept| str::from_utf8(&kept.event.payload).unwrap().parse().unwrap()).collect()
}

/// Publishes all of them as a program does that must not lose one.
async fn publish_all(bus: &NatsBus, events: &[Event]) {
    let mut left = events;
    let publishing = async {
        while let Err(PublishAllError { taken, source }) = bus.publish_all(left).await {
            assert!(source.is_temporary(), "{source}");
            left = &left[taken..];
            retry().await;
        }
    };
    timeout(PATIENCE, publishing).await.expect("the servers are back");
}

async fn eventually<T>(call: impl AsyncFn() -> Result<T, Error>) -> T {
    let calling = async {
        loop {
            match call().await {
                Ok(value) => return value,
                Err(error) => assert!(error.is_temporary(), "{error}"),
            }
            retry().await;
        }
    };
    timeout(PATIENCE, calling).await.expect("it works again")
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it comes so far");
}

/// Lets the time until the next attempt pass.
async fn retry() {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    ticks.tick().await;
    ticks.tick().await;
}

/// The last number that was confirmed.
fn mark_of(bus: &NatsBus) -> u64 {
    bus.durable().and_then(Durable::confirmed).map_or(0, |mark| mark.last)
}

async fn reader(bus: &NatsBus, topic: &str, name: &str) -> Box<dyn Reader> {
    eventually(async || bus.durable().unwrap().reader(topic, name).await).await
}

async fn read(reader: &mut dyn Reader, count: usize) -> Vec<Kept> {
    let mut kept = Vec::new();
    let reading = async {
        while kept.len() < count {
            let left = count - kept.len();
            match reader.read(&mut kept, left).await {
                Ok(read) => assert!(read > 0, "it ended"),
                Err(error) => assert!(error.is_temporary(), "{error}"),
            }
        }
    };
    let came = timeout(PATIENCE, reading).await;
    assert!(came.is_ok(), "{} of {count} came", kept.len());
    kept
}

/// Reads these numbers, each once and in order, and acknowledges them a hundred at a time.
async fn read_and_acknowledge(reader: &mut dyn Reader, range: std::ops::Range<u64>) {
    for start in range.clone().step_by(100) {
        let kept = read(reader, 100).await;
        assert_eq!(numbers(&kept), (start..start + 100).collect::<Vec<_>>());
        acknowledge(reader, kept[99].number).await;
    }
}

/// Reads these numbers, each once and in order.
async fn expect(reader: &mut dyn Reader, range: std::ops::Range<u64>) {
    let count = usize::try_from(range.end - range.start).unwrap();
    let kept = read(reader, count).await;
    for (expected, number) in range.zip(numbers(&kept)) {
        assert_eq!(number, expected);
    }
}

async fn acknowledge(reader: &mut dyn Reader, through: u64) {
    let acknowledging = async {
        while let Err(error) = reader.acknowledge(through).await {
            assert!(error.is_temporary(), "{error}");
            retry().await;
        }
    };
    timeout(PATIENCE, acknowledging).await.expect("the servers are back");
}

/// The stream as an operator has it.
async fn administer(server: &NatsServer) -> async_nats::jetstream::Context {
    async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

/// The name of the server that leads the stream.
async fn leader(cluster: &NatsCluster, stream: &str) -> String {
    let client = async_nats::connect(cluster.url().split(',').collect::<Vec<_>>()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let mut stream = jetstream.get_stream(stream).await.unwrap();
    stream.info().await.unwrap().cluster.clone().unwrap().leader.unwrap()
}

/// Changes what the configuration of `server` says while it runs.
fn reload(server: &NatsServer, from: &str, to: &str) {
    let file = server.folder().join("server.conf");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&file, text.replace(from, to)).unwrap();
    server.signal("HUP");
}

fn with_users(users: &str) -> NatsServer {
    let extra = format!("accounts {{ A {{ jetstream: enabled, users: [ {users} ] }} }}\n");
    NatsServer::with(&Config { jetstream: true, extra })
}

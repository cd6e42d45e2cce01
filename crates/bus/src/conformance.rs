//! What every adapter must pass: the contract of [`Bus`], one promise per function.
//!
//! [`run`] checks all of them; each can also be called alone, on a bus of its own.
//! A broken promise is a panic that says what was expected.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! bus::conformance::run(async || bus::MemoryBus::default()).await;
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The checks fit adapters for networks: every topic is used once in the world, every wait has a deadline and nothing sleeps.
//! Where a check must know that the bus has delivered what it will deliver, it *settles*: it sends a marker to a second subscriber and waits for it.
//!
//! The numbers are chosen to expose shortcuts: a queue of 5 tells an exact one from one that rounds up to a power of two.
//!
//! This module may change with any version of the crate.

mod durable;

use std::{num::NonZeroUsize, pin::pin, time::Duration};

use tokio::{join, time::timeout};

use crate::{
    Bus, BusExt, Delivery, Error, Event, Link, Reach, RequestError, Subscription, Topic,
    TryRecvError, unique::unique,
};

pub use self::durable::*;

/// How long anything that must happen may take, besides what the adapter declares.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an adapter may take until it is connected again.
const RECONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// How many markers are sent, one after the other, until a bus counts as settled.
const ROUNDS_MAX: usize = 1000;

/// Runs every check, each on a new bus made by `connect`, and panics at the first broken promise.
pub async fn run<B: Bus>(connect: impl AsyncFn() -> B) {
    delivers_what_was_published(&connect().await).await;
    keeps_the_order_of_a_publisher(&connect().await).await;
    keeps_the_order_of_every_publisher(&connect().await).await;
    wakes_a_waiting_subscriber(&connect().await).await;
    reaches_every_subscriber(&connect().await).await;
    keeps_topics_apart(&connect().await).await;
    does_not_replay(&connect().await).await;
    drops_the_oldest_when_full(&connect().await).await;
    counts_every_gap_once(&connect().await).await;
    does_not_wait_for_a_slow_subscriber(&connect().await).await;
    loses_nothing_when_a_wait_is_cancelled(&connect().await).await;
    refuses_an_oversized_payload(&connect().await).await;
    refuses_what_some_broker_would_misread(&connect().await).await;
    offers_wildcards_or_refuses_them(&connect().await).await;
    lets_a_subscriber_leave(&connect().await).await;
    answers_requests(&connect().await).await;
    flushes(&connect().await).await;
    close_delivers_what_is_queued(&connect().await).await;
    close_wakes_a_waiting_subscriber(&connect().await).await;
    close_is_final(&connect().await).await;
}

/// Payload and headers arrive as they were published, whatever is in them.
pub async fn delivers_what_was_published(bus: &dyn Bus) {
    let topic = topic("content");
    let mut events = subscribe(bus, &topic, 8).await;
    for payload in [&b""[..], b"{}", b"\x00\xff\r\n", "größer".as_bytes()] {
        let event = Event::new(topic.as_str(), payload.to_vec())
            .with_header("Twice", "größer")
            .with_header("Cantina-Origin", "r3x: first")
            .with_header("Twice", "and: again")
            .with_header("Empty", "");
        publish(bus, event.clone()).await;
        let Delivery::Event(delivered) = next(&mut events).await else { panic!("it is missed") };
        assert_eq!((&delivered.topic, &delivered.payload), (&event.topic, &event.payload));
        assert_eq!(by_name(&delivered), by_name(&event), "headers of payload {payload:?}");
    }
}

/// Headers in the order of their names, and those of one name in their own.
fn by_name(event: &Event) -> Vec<(&str, &str)> {
    let mut headers: Vec<_> = event.headers.iter().collect();
    headers.sort_by_key(|(name, _)| *name);
    headers
}

/// What one publisher publishes on a topic arrives in that order.
pub async fn keeps_the_order_of_a_publisher(bus: &dyn Bus) {
    let topic = topic("order");
    let mut events = subscribe(bus, &topic, 100).await;
    publish_numbers(bus, &topic, 0..100).await;
    expect_numbers(&mut events, 0..100).await;
}

/// Publishers at the same time do not disturb each other's order.
pub async fn keeps_the_order_of_every_publisher(bus: &dyn Bus) {
    let topic = topic("publishers");
    let mut events = subscribe(bus, &topic, 300).await;
    join!(
        publish_numbers(bus, &topic, 0..100),
        publish_numbers(bus, &topic, 100..200),
        publish_numbers(bus, &topic, 200..300),
    );
    let mut expected = [0, 100, 200];
    for _ in 0..300 {
        let number = next_number(&mut events).await;
        let publisher = usize::try_from(number / 100).expect("a small number");
        assert_eq!(number, expected[publisher], "of publisher {publisher}");
        expected[publisher] += 1;
    }
}

/// A subscriber that is already waiting is woken.
pub async fn wakes_a_waiting_subscriber(bus: &dyn Bus) {
    let topic = topic("wake");
    let mut events = subscribe(bus, &topic, 8).await;
    let (number, ()) = join!(next_number(&mut events), publish_numbers(bus, &topic, 9..10));
    assert_eq!(number, 9);
}

/// Every subscriber to a topic gets every event.
pub async fn reaches_every_subscriber(bus: &dyn Bus) {
    let topic = topic("everyone");
    let mut first = subscribe(bus, &topic, 8).await;
    let mut second = subscribe(bus, &topic, 8).await;
    let mut third = subscribe(bus, &topic, 8).await;
    publish_numbers(bus, &topic, 0..8).await;
    for events in [&mut first, &mut second, &mut third] {
        expect_numbers(events, 0..8).await;
    }
}

/// A subscriber gets nothing of another topic, however similar.
pub async fn keeps_topics_apart(bus: &dyn Bus) {
    let topic = topic("apart");
    let mut events = subscribe(bus, &topic, 8).await;
    for other in [format!("{topic}/more"), format!("{topic}2"), topic.to_uppercase()] {
        publish_numbers(bus, &other, 0..3).await;
    }
    publish_numbers(bus, &topic, 7..8).await;
    expect_numbers(&mut events, 7..8).await;
    expect_nothing_more(bus, &mut events).await;
}

/// A new subscriber gets nothing from before it subscribed.
pub async fn does_not_replay(bus: &dyn Bus) {
    let topic = topic("replay");
    let mut early = subscribe(bus, &topic, 8).await;
    publish_numbers(bus, &topic, 0..3).await;
    expect_numbers(&mut early, 0..3).await;
    let mut late = subscribe(bus, &topic, 8).await;
    publish_numbers(bus, &topic, 3..5).await;
    expect_numbers(&mut late, 3..5).await;
    expect_nothing_more(bus, &mut late).await;
}

/// A full queue loses its oldest events, says how many, and keeps the rest.
pub async fn drops_the_oldest_when_full(bus: &dyn Bus) {
    let topic = topic("full");
    let mut slow = subscribe(bus, &topic, 5).await;
    publish_numbers(bus, &topic, 0..12).await;
    settle(bus, &slow, 12).await;
    assert_eq!(next(&mut slow).await, Delivery::Missed(7));
    expect_numbers(&mut slow, 7..12).await;
    expect_nothing_more(bus, &mut slow).await;
}

/// A loss is reported once, and the next one starts from zero.
pub async fn counts_every_gap_once(bus: &dyn Bus) {
    let topic = topic("gaps");
    let mut slow = subscribe(bus, &topic, 3).await;
    publish_numbers(bus, &topic, 0..5).await;
    settle(bus, &slow, 5).await;
    assert_eq!(next(&mut slow).await, Delivery::Missed(2));
    expect_numbers(&mut slow, 2..5).await;
    publish_numbers(bus, &topic, 5..9).await;
    // The three that were read, and what has come since.
    settle(bus, &slow, 9 - 3).await;
    assert_eq!(next(&mut slow).await, Delivery::Missed(1));
    expect_numbers(&mut slow, 6..9).await;
}

/// A subscriber that reads nothing holds up neither the publisher nor the other subscribers.
pub async fn does_not_wait_for_a_slow_subscriber(bus: &dyn Bus) {
    let topic = topic("slow");
    let slow = subscribe(bus, &topic, 1).await;
    let mut fast = subscribe(bus, &topic, 500).await;
    publish_numbers(bus, &topic, 0..500).await;
    expect_numbers(&mut fast, 0..500).await;
    assert!(slow.queued() <= 1, "a queue of one holds {} events", slow.queued());
}

/// A wait that is given up takes nothing with it.
pub async fn loses_nothing_when_a_wait_is_cancelled(bus: &dyn Bus) {
    let topic = topic("cancel");
    let mut events = subscribe(bus, &topic, 8).await;
    for number in 0..20 {
        let mut publishing = pin!(publish_numbers(bus, &topic, number..number + 1));
        let came_early = tokio::select! {
            biased;
            early = next_number(&mut events) => {
                // A bus that confirms may deliver an event before it says that it has taken it.
                assert_eq!(early, number, "before it was published");
                true
            }
            () = &mut publishing => false,
        };
        if came_early {
            publishing.await;
        } else {
            expect_numbers(&mut events, number..number + 1).await;
        }
    }
}

/// A payload above the limit is refused with its sizes and reaches nobody; one of exactly the limit passes.
pub async fn refuses_an_oversized_payload(bus: &dyn Bus) {
    let topic = topic("size");
    let payload_max = bus.capabilities().payload_max;
    let mut events = subscribe(bus, &topic, 8).await;
    let refused = bus.publish(Event::new(topic.as_str(), vec![b'x'; payload_max + 1]));
    match in_time(bus, "refusing an oversized payload", refused).await {
        Err(Error::TooLarge { topic: named, bytes, limit }) => {
            assert_eq!((named, bytes, limit), (topic.clone(), payload_max + 1, payload_max));
        }
        other => panic!("expected the payload to be refused as too large, got {other:?}"),
    }
    publish(bus, Event::new(topic.as_str(), vec![b'x'; payload_max])).await;
    match next(&mut events).await {
        Delivery::Event(event) => assert_eq!(event.payload.len(), payload_max),
        other @ Delivery::Missed(_) => panic!("expected the largest payload, got {other:?}"),
    }
}

/// Topics and headers that are not plain names and texts are refused, not passed on.
pub async fn refuses_what_some_broker_would_misread(bus: &dyn Bus) {
    for topic in ["", "a b", "a\r\nb", "a..b", "a.", "ä"] {
        let published = in_time(bus, "refusing a topic", bus.publish(Event::new(topic, "x"))).await;
        assert!(matches!(published, Err(Error::Topic { .. })), "topic {topic:?}: {published:?}");
        let subscribed = bus.subscribe(topic, NonZeroUsize::MIN);
        let subscribed = in_time(bus, "refusing a topic", subscribed).await;
        assert!(matches!(subscribed, Err(Error::Topic { .. })), "topic {topic:?}: {subscribed:?}");
    }
    for (name, value) in [("", "x"), ("A:", "x"), ("A B", "x"), ("A", "x\r\nB: y"), ("A", " x")] {
        let event = Event::new(topic("header"), "x").with_header(name, value);
        let published = in_time(bus, "refusing a header", bus.publish(event)).await;
        assert!(matches!(published, Err(Error::Header { .. })), "header {name:?}: {published:?}");
    }
}

/// Patterns work if they are declared, and are refused if not. Nobody publishes on one.
pub async fn offers_wildcards_or_refuses_them(bus: &dyn Bus) {
    let base = topic("wild");
    let published =
        in_time(bus, "refusing", bus.publish(Event::new(format!("{base}/*"), "x"))).await;
    assert!(matches!(published, Err(Error::Topic { .. })), "published on a pattern: {published:?}");
    for (pattern, expected) in [("*", vec![1]), (">", vec![1, 2])] {
        let pattern = format!("{base}/{pattern}");
        let subscribed = bus.subscribe(&pattern, NonZeroUsize::new(8).expect("not zero"));
        let subscribed = in_time(bus, "subscribing", subscribed).await;
        if !bus.capabilities().wildcards {
            assert!(matches!(subscribed, Err(Error::Topic { .. })), "{pattern}: {subscribed:?}");
            continue;
        }
        let mut events = subscribed.unwrap_or_else(|error| panic!("{pattern}: {error}"));
        publish_numbers(bus, &base, 0..1).await;
        publish_numbers(bus, &format!("{base}/one"), 1..2).await;
        publish_numbers(bus, &format!("{base}/one/two"), 2..3).await;
        for number in expected {
            assert_eq!(next_number(&mut events).await, number, "of {pattern}");
        }
        expect_nothing_more(bus, &mut events).await;
    }
}

/// A subscriber that leaves is forgotten, and the others get everything.
pub async fn lets_a_subscriber_leave(bus: &dyn Bus) {
    let topic = topic("leave");
    let mut marker = Marker::new(bus).await;
    let before = bus.state().subscriptions;
    let leaving = subscribe(bus, &topic, 8).await;
    let mut staying = subscribe(bus, &topic, 8).await;
    assert_eq!(bus.state().subscriptions, before + 2, "subscriptions, after two more");
    publish_numbers(bus, &topic, 0..1).await;
    drop(leaving);
    publish_numbers(bus, &topic, 1..3).await;
    expect_numbers(&mut staying, 0..3).await;
    for _ in 0..ROUNDS_MAX {
        if bus.state().subscriptions == before + 1 {
            return;
        }
        marker.round_trip().await;
    }
    assert_eq!(bus.state().subscriptions, before + 1, "subscriptions, after one left");
}

/// A question finds its answer through the header and the private topic of [`BusExt::request`].
pub async fn answers_requests(bus: &dyn Bus) {
    let name: &'static str = topic("request").leak();
    let question: Topic<u64> = Topic::new(name);
    let mut questions = subscribe(bus, name, 8).await;
    let answer = async {
        let Delivery::Event(event) = next(&mut questions).await else { panic!("no question") };
        let number = question.decode(&event).expect("the question is a number");
        bus.answer(&event, &(number * 2)).await.expect("the answer is published");
    };
    let (answer, ()) = join!(bus.request::<_, u64>(&question, &21, PATIENCE), answer);
    assert_eq!(answer.expect("there is an answer"), 42);
    let ignored = bus.request::<_, u64>(&question, &21, Duration::from_millis(10)).await;
    assert!(matches!(ignored, Err(RequestError::NoAnswer { .. })), "{ignored:?}");
}

/// `flush` returns, the link is up, and what was published is counted.
pub async fn flushes(bus: &dyn Bus) {
    let before = bus.state();
    assert_eq!(before.link, Link::Connected);
    publish_numbers(bus, &topic("flush"), 0..3).await;
    in_time(bus, "flushing", bus.flush()).await.expect("flushing");
    let after = bus.state();
    assert_eq!(after.published, before.published + 3, "published");
    assert_eq!(after.backlog, 0, "waiting after a flush");
}

/// A closed bus still delivers what is queued, and then ends.
pub async fn close_delivers_what_is_queued(bus: &dyn Bus) {
    let topic = topic("drain");
    let mut events = subscribe(bus, &topic, 2).await;
    publish_numbers(bus, &topic, 0..3).await;
    settle(bus, &events, 3).await;
    close(bus).await;
    assert_eq!(next(&mut events).await, Delivery::Missed(1));
    expect_numbers(&mut events, 1..3).await;
    expect_end(&mut events).await;
}

/// `close` ends the wait of a subscriber that has nothing queued.
pub async fn close_wakes_a_waiting_subscriber(bus: &dyn Bus) {
    let mut events = subscribe(bus, &topic("waiting"), 8).await;
    join!(expect_end(&mut events), close(bus));
}

/// A closed bus takes nothing more, and closing it again does nothing.
pub async fn close_is_final(bus: &dyn Bus) {
    let topic = topic("closed");
    close(bus).await;
    close(bus).await;
    let published = in_time(bus, "publishing", bus.publish(Event::new(topic.as_str(), "x"))).await;
    assert!(matches!(published, Err(Error::Closed)), "publishing: {published:?}");
    let subscribed = in_time(bus, "subscribing", bus.subscribe(&topic, NonZeroUsize::MIN)).await;
    assert!(matches!(subscribed, Err(Error::Closed)), "subscribing: {subscribed:?}");
    let flushed = in_time(bus, "flushing", bus.flush()).await;
    assert!(matches!(flushed, Err(Error::Closed)), "flushing: {flushed:?}");
    assert_eq!(bus.state().link, Link::Closed);
}

/// A subscription goes on after the way to the broker was interrupted, and the interruption is counted.
///
/// How to interrupt is different for each adapter, so [`run`] does not call this: `interrupt` breaks the connection and makes another possible.
/// What is published between the two may be lost or refused, but nothing is delivered twice or in another order.
pub async fn survives_reconnect(bus: &dyn Bus, interrupt: impl AsyncFnOnce()) {
    let topic = topic("reconnect");
    let mut events = subscribe(bus, &topic, 10_000).await;
    publish_numbers(bus, &topic, 0..3).await;
    expect_numbers(&mut events, 0..3).await;
    let before = bus.state().reconnects;
    interrupt().await;
    let arrived = publish_until_one_arrives(bus, &mut events, 3).await;
    assert!(arrived >= 3, "{arrived} came again after the interruption");
    let state = bus.state();
    assert_eq!(state.link, Link::Connected);
    assert!(state.reconnects > before, "the interruption is not counted in {state:?}");
    // Everything gets through again, after what was still on its way.
    publish_numbers(bus, &topic, u64::MAX - 10..u64::MAX).await;
    let mut last = arrived;
    while last < u64::MAX - 10 {
        let number = next_number_after_gaps(&mut events).await;
        assert!(number > last, "{number} came after {last}");
        last = number;
    }
    expect_numbers(&mut events, u64::MAX - 9..u64::MAX).await;
}

/// Publishes rising numbers, one at a time, and returns the first that arrives.
async fn publish_until_one_arrives(bus: &dyn Bus, events: &mut Subscription, first: u64) -> u64 {
    let trying = async {
        for number in first.. {
            let event = Event::new(events.topic(), number.to_string());
            match in_time(bus, "publishing", bus.publish(event)).await {
                Err(error) if !error.is_temporary() => panic!("after an interruption: {error}"),
                Ok(()) | Err(_) => {}
            }
            if timeout(Duration::from_millis(10), wait_for_event(events)).await.is_ok() {
                break;
            }
        }
    };
    timeout(RECONNECT_PATIENCE, trying).await.unwrap_or_else(|_| {
        panic!("nothing arrived within {RECONNECT_PATIENCE:?} after an interruption")
    });
    next_number_after_gaps(events).await
}

/// The next number; an adapter may know how many it missed before it.
async fn next_number_after_gaps(events: &mut Subscription) -> u64 {
    loop {
        match next(events).await {
            Delivery::Missed(_) => {}
            Delivery::Event(event) => return number_of(&event),
        }
    }
}

/// Waits until an event is queued, and leaves it there.
async fn wait_for_event(events: &Subscription) {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    while events.queued() == 0 {
        ticks.tick().await;
    }
}

// === What the checks are made of ===

/// A topic that nobody else uses, so that checks may share a broker.
fn topic(check: &str) -> String {
    format!("/conformance/{check}/{}", unique())
}

/// Waits for a call to the bus, but no longer than the adapter promises.
async fn in_time<T>(bus: &dyn Bus, what: &str, call: impl Future<Output = T>) -> T {
    let limit = bus.capabilities().wait_max + PATIENCE;
    timeout(limit, call).await.unwrap_or_else(|_| panic!("{what} took longer than {limit:?}"))
}

async fn subscribe(bus: &dyn Bus, topic: &str, capacity: usize) -> Subscription {
    let capacity = NonZeroUsize::new(capacity).expect("no check asks for an empty queue");
    let subscribed = in_time(bus, "subscribing", bus.subscribe(topic, capacity)).await;
    subscribed.unwrap_or_else(|error| panic!("subscribing to {topic}: {error}"))
}

async fn publish(bus: &dyn Bus, event: Event) {
    let topic = event.topic.clone();
    let published = in_time(bus, "publishing", bus.publish(event)).await;
    published.unwrap_or_else(|error| panic!("publishing on {topic}: {error}"));
}

async fn publish_numbers(bus: &dyn Bus, topic: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        publish(bus, Event::new(topic, number.to_string())).await;
    }
}

async fn close(bus: &dyn Bus) {
    in_time(bus, "closing", bus.close()).await.expect("closing");
}

async fn next(events: &mut Subscription) -> Delivery {
    let Ok(received) = timeout(PATIENCE, events.recv()).await else {
        panic!("nothing came on {} within {PATIENCE:?}", events.topic());
    };
    received.unwrap_or_else(|| panic!("{} ended, but another delivery was due", events.topic()))
}

async fn next_number(events: &mut Subscription) -> u64 {
    match next(events).await {
        Delivery::Event(event) => number_of(&event),
        other @ Delivery::Missed(_) => panic!("expected a number, got {other:?}"),
    }
}

fn number_of(event: &Event) -> u64 {
    let text = std::str::from_utf8(&event.payload).ok();
    text.and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("{:?} is not what was published", event.payload))
}

async fn expect_numbers(events: &mut Subscription, numbers: std::ops::Range<u64>) {
    for number in numbers {
        assert_eq!(next_number(events).await, number, "on {}", events.topic());
    }
}

async fn expect_end(events: &mut Subscription) {
    let Ok(received) = timeout(PATIENCE, events.recv()).await else {
        panic!("a waiting subscriber was not woken by close within {PATIENCE:?}");
    };
    assert_eq!(received, None, "after the end of {}", events.topic());
}

/// Nothing is queued, also after everything published before has had its time to arrive.
async fn expect_nothing_more(bus: &dyn Bus, events: &mut Subscription) {
    let rounds = match bus.capabilities().reach {
        Reach::Process => 1,
        Reach::Network => 10,
    };
    let mut marker = Marker::new(bus).await;
    for _ in 0..rounds {
        marker.round_trip().await;
    }
    assert_eq!(events.try_recv(), Err(TryRecvError::Empty), "on {}", events.topic());
}

/// Waits until `due` events have reached `events` since nothing is taken from it: waiting in it, or missed.
///
/// An adapter that never gets there fails in the check that follows, which says more.
async fn settle(bus: &dyn Bus, events: &Subscription, due: u64) {
    let mut marker = Marker::new(bus).await;
    for _ in 0..ROUNDS_MAX {
        if events.missed() + u64::try_from(events.queued()).expect("few") >= due {
            return;
        }
        marker.round_trip().await;
    }
}

/// A second subscriber, to which markers are sent through the bus.
struct Marker<'a> {
    bus: &'a dyn Bus,
    events: Subscription,
}

impl<'a> Marker<'a> {
    async fn new(bus: &'a dyn Bus) -> Self {
        Self { bus, events: subscribe(bus, &topic("settle"), 1).await }
    }

    /// Sends a marker and waits for it.
    async fn round_trip(&mut self) {
        publish(self.bus, Event::new(self.events.topic(), "marker")).await;
        next(&mut self.events).await;
    }
}

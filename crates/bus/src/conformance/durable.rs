//! What a bus that keeps events must pass besides: the promises of [`Durable`] and [`Reader`].

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use tokio::time::timeout;

use super::{PATIENCE, in_time, publish, publish_numbers, topic};
use crate::{
    Bus, Durable, EVENT_ID, Error, Event, Kept, ORIGIN, PublishAllError, Reader, unique::unique,
};

/// Runs every check of a bus that keeps events, each on a new bus made by `connect`, and panics at the first broken promise.
///
/// The bus keeps all topics, or at least those under `/conformance`.
pub async fn durable<B: Bus>(connect: impl AsyncFn() -> B) {
    declares_that_it_keeps(&connect().await).await;
    keeps_what_nobody_read(&connect().await).await;
    keeps_the_order_of_a_batch(&connect().await).await;
    resumes_after_what_was_acknowledged(&connect().await).await;
    gives_nothing_acknowledged_again(&connect().await).await;
    gives_every_reader_everything(&connect().await).await;
    waits_for_what_is_new(&connect().await).await;
    stores_an_id_once(&connect().await).await;
    knows_the_ids(&connect().await).await;
    marks_rise(&connect().await).await;
    says_how_many_were_taken(&connect().await).await;
    close_ends_a_reader(&connect().await).await;
}

/// The capabilities and the ability itself agree.
#[expect(clippy::unused_async, reason = "it is called as the other checks are")]
pub async fn declares_that_it_keeps(bus: &dyn Bus) {
    assert!(bus.capabilities().durable, "a durable bus declares it");
    assert!(bus.capabilities().confirms, "a durable bus confirms what it keeps");
    assert!(bus.durable().is_some(), "a durable bus gives access to what it keeps");
}

/// A reader that comes after the events gets them, as they were published.
pub async fn keeps_what_nobody_read(bus: &dyn Bus) {
    let topic = topic("unread");
    let event =
        Event::new(topic.as_str(), &b"\x00\xff\r\n"[..]).with_header("Cantina-Origin", "r3x");
    publish(bus, event.clone()).await;
    publish_numbers(bus, &topic, 1..5).await;
    let mut reader = reader(bus, &topic, &unique()).await;
    let kept = read(reader.as_mut(), 5).await;
    assert_eq!(kept[0].event, event, "the oldest event");
    assert_eq!(numbers(&kept[1..]), [1, 2, 3, 4]);
    assert!(kept.is_sorted_by(|one, next| one.number < next.number), "places rise: {kept:?}");
}

/// What is published at once is kept in that order, every event once.
pub async fn keeps_the_order_of_a_batch(bus: &dyn Bus) {
    let topic = topic("batch");
    let events: Vec<_> = (0..1000).map(|number| numbered(&topic, number)).collect();
    in_time(bus, "publishing", bus.publish_all(&events)).await.expect("publishing a batch");
    let mut reader = reader(bus, &topic, &unique()).await;
    let kept = read(reader.as_mut(), 1000).await;
    for (expected, number) in numbers(&kept).into_iter().enumerate() {
        assert_eq!(number, expected as u64, "in a batch of 1000");
    }
}

/// A reader that left goes on with the first event that it did not acknowledge.
pub async fn resumes_after_what_was_acknowledged(bus: &dyn Bus) {
    let (topic, name) = (topic("resume"), unique());
    publish_numbers(bus, &topic, 0..10).await;
    let mut first = reader(bus, &topic, &name).await;
    let kept = read(first.as_mut(), 8).await;
    acknowledge(bus, first.as_mut(), kept[3].number).await;
    drop(first);
    let mut second = reader(bus, &topic, &name).await;
    let kept = read(second.as_mut(), 6).await;
    assert_eq!(numbers(&kept), [4, 5, 6, 7, 8, 9], "after a reader that acknowledged 0 to 3");
}

/// What is acknowledged is not given to a reader of this name again.
pub async fn gives_nothing_acknowledged_again(bus: &dyn Bus) {
    let (topic, name) = (topic("once"), unique());
    publish_numbers(bus, &topic, 0..5).await;
    let mut first = reader(bus, &topic, &name).await;
    let kept = read(first.as_mut(), 5).await;
    acknowledge(bus, first.as_mut(), kept[4].number).await;
    // An older one changes nothing.
    acknowledge(bus, first.as_mut(), kept[1].number).await;
    drop(first);
    publish_numbers(bus, &topic, 5..6).await;
    let mut second = reader(bus, &topic, &name).await;
    assert_eq!(numbers(&read(second.as_mut(), 1).await), [5], "after all before was acknowledged");
}

/// Readers of different names do not take events from each other.
pub async fn gives_every_reader_everything(bus: &dyn Bus) {
    let topic = topic("readers");
    let mut early = reader(bus, &topic, &unique()).await;
    publish_numbers(bus, &topic, 0..5).await;
    read_and_acknowledge(bus, early.as_mut()).await;
    let mut late = reader(bus, &topic, &unique()).await;
    read_and_acknowledge(bus, late.as_mut()).await;
}

async fn read_and_acknowledge(bus: &dyn Bus, reader: &mut dyn Reader) {
    let kept = read(reader, 5).await;
    assert_eq!(numbers(&kept), [0, 1, 2, 3, 4]);
    acknowledge(bus, reader, kept[4].number).await;
}

/// A reader that waits is woken by the next event of its topic, and by no other.
pub async fn waits_for_what_is_new(bus: &dyn Bus) {
    let topic = topic("new");
    let mut reader = reader(bus, &topic, &unique()).await;
    publish_numbers(bus, &format!("{topic}/other"), 7..10).await;
    for number in 0..3 {
        let publishing = publish_numbers(bus, &topic, number..number + 1);
        let (kept, ()) = tokio::join!(read(reader.as_mut(), 1), publishing);
        assert_eq!(numbers(&kept), [number]);
    }
}

/// An event that is published again with its id is taken, and kept once.
pub async fn stores_an_id_once(bus: &dyn Bus) {
    let topic = topic("double");
    for number in [0, 0, 1, 0, 1, 2] {
        publish(bus, numbered(&topic, number)).await;
    }
    let mut reader = reader(bus, &topic, &unique()).await;
    assert_eq!(numbers(&read(reader.as_mut(), 3).await), [0, 1, 2]);
}

/// The ids are those of one origin, on one topic, since a time.
pub async fn knows_the_ids(bus: &dyn Bus) {
    let (topic, other) = (topic("ids"), topic("other-ids"));
    let start = SystemTime::now() - Duration::from_hours(1);
    let mut expected = HashSet::new();
    for number in 0..20 {
        let ours = numbered(&topic, number).with_header(ORIGIN, "ours");
        expected.extend(ours.headers.get(EVENT_ID).map(str::to_owned));
        publish(bus, ours).await;
        publish(bus, numbered(&topic, 100 + number).with_header(ORIGIN, "theirs")).await;
        publish(bus, numbered(&other, number).with_header(ORIGIN, "ours")).await;
    }
    // One without an id and one without an origin belong to nobody.
    publish(bus, Event::new(topic.as_str(), "x").with_header(ORIGIN, "ours")).await;
    publish(bus, numbered(&topic, 200)).await;
    let kept = kept(bus);
    let found = kept.ids(&topic, "ours", start).await.expect("reading the ids");
    assert_eq!(found, expected, "of `ours`");
    let later = SystemTime::now() + Duration::from_hours(1);
    let found = kept.ids(&topic, "ours", later).await.expect("reading the ids");
    assert_eq!(found, HashSet::new(), "since a time to come");
    let found = kept.ids(&topic, "nobody", start).await.expect("reading the ids");
    assert_eq!(found, HashSet::new(), "of `nobody`");
}

/// Marks of one store rise with every event, and what is confirmed is no further than what is kept.
pub async fn marks_rise(bus: &dyn Bus) {
    let topic = topic("mark");
    let kept = kept(bus);
    assert_eq!(kept.confirmed(), None, "nothing was published on this bus");
    let mut earlier = mark(bus, kept).await;
    for number in 0..3 {
        publish(bus, numbered(&topic, number)).await;
        let later = mark(bus, kept).await;
        assert_eq!(later.store, earlier.store, "the store was not made anew");
        assert!(later.last > earlier.last, "{later:?} after {earlier:?}");
        let confirmed = kept.confirmed().expect("an event was confirmed");
        assert!(confirmed.last > earlier.last, "confirmed {confirmed:?} after {earlier:?}");
        assert!(!later.is_behind(&confirmed), "{later:?} is what was confirmed as {confirmed:?}");
        earlier = later;
    }
}

/// An error of a batch says how many of its first events were taken, and those are kept.
pub async fn says_how_many_were_taken(bus: &dyn Bus) {
    let topic = topic("prefix");
    let too_large = vec![b'x'; bus.capabilities().payload_max + 1];
    let mut events: Vec<_> = (0..6).map(|number| numbered(&topic, number)).collect();
    events[4] = Event::new(topic.as_str(), too_large);
    let published = in_time(bus, "publishing", bus.publish_all(&events)).await;
    match published {
        Err(PublishAllError { taken: 4, source: Error::TooLarge { .. } }) => {}
        other => panic!("expected the fifth event to be refused as too large, got {other:?}"),
    }
    let mut reader = reader(bus, &topic, &unique()).await;
    assert_eq!(numbers(&read(reader.as_mut(), 4).await), [0, 1, 2, 3]);
    in_time(bus, "publishing", bus.publish_all(&[])).await.expect("publishing nothing");
}

/// A reader that waits learns that the bus was closed.
pub async fn close_ends_a_reader(bus: &dyn Bus) {
    let mut reader = reader(bus, &topic("end"), &unique()).await;
    let mut batch = Vec::new();
    let (ended, closed) = tokio::join!(timeout(PATIENCE, reader.read(&mut batch, 1)), bus.close());
    closed.expect("closing");
    assert_eq!(ended.expect("a waiting reader is woken by close").expect("the end is no error"), 0);
}

// === What the checks are made of ===

fn kept(bus: &dyn Bus) -> &dyn Durable {
    bus.durable().expect("a durable bus gives access to what it keeps")
}

async fn reader(bus: &dyn Bus, topic: &str, name: &str) -> Box<dyn Reader> {
    let opened = in_time(bus, "opening a reader", kept(bus).reader(topic, name)).await;
    opened.unwrap_or_else(|error| panic!("opening a reader of {topic}: {error}"))
}

/// Exactly so many events.
async fn read(reader: &mut dyn Reader, count: usize) -> Vec<Kept> {
    let mut kept = Vec::new();
    while kept.len() < count {
        let left = count - kept.len();
        let Ok(read) = timeout(PATIENCE, reader.read(&mut kept, left)).await else {
            panic!("{} of {count} events came within {PATIENCE:?}", kept.len());
        };
        let read = read.unwrap_or_else(|error| panic!("reading: {error}"));
        assert!(read > 0, "the reader ended after {} of {count} events", kept.len());
    }
    kept
}

async fn acknowledge(bus: &dyn Bus, reader: &mut dyn Reader, through: u64) {
    let acknowledged = in_time(bus, "acknowledging", reader.acknowledge(through)).await;
    acknowledged.unwrap_or_else(|error| panic!("acknowledging: {error}"));
}

async fn mark(bus: &dyn Bus, kept: &dyn Durable) -> crate::StoreMark {
    in_time(bus, "asking for the mark", kept.mark()).await.expect("asking for the mark")
}

/// An event with an id of its own, which is the same for the same topic and number.
fn numbered(topic: &str, number: u64) -> Event {
    Event::new(topic, number.to_string()).with_header(EVENT_ID, format!("{topic}-{number}"))
}

fn numbers(kept: &[Kept]) -> Vec<u64> {
    let number = |kept: &Kept| str::from_utf8(&kept.event.payload).ok()?.parse().ok();
    kept.iter().map(|kept| number(kept).expect("a number was published")).collect()
}

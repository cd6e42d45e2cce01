//! Readers that get every kept event, also when they or the servers were away.
//!
//! A reader is a durable consumer of the servers, and its place is the consumer's acknowledgement floor.
//! Acknowledging an event acknowledges all before it, so the consumer must never skip one:
//! an event that was lost on its way to us and comes again only after the next ones would be acknowledged with them, unread.
//! The servers do skip, for thirty seconds, whatever they have delivered and nobody has acknowledged.
//! So whenever something may be missing (a delivery number is left out, or there is something unacknowledged when we begin),
//! the consumer is *rewound*: made again, to begin after the last acknowledged event.
//! A spare consumer holds the place meanwhile, so that a program that dies then loses nothing and repeats nothing.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use async_nats::{
    Message, Subject,
    jetstream::consumer::{self, AckPolicy, DeliverPolicy},
};
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep, timeout_at},
};

use super::{
    Open, Shared, WAIT_MAX,
    api::{self, ConsumerInfo},
    connection::Fault,
    pull::{Numbers, Pull},
};
use crate::{Error, Kept, Reader, StoreMark, nats::arrival};

/// Events that wait to be read.
const QUEUE: usize = 1024;

/// The bytes of their payloads. A larger one waits alone.
const QUEUE_BYTES: usize = 8 << 20;

/// The bytes that are given to the user at once.
const READ_BYTES: usize = 8 << 20;

/// Events asked for at once.
const BATCH: usize = 256;

/// Requests for more that the servers may have.
const REQUESTS_MAX: usize = 2;

/// What is not acknowledged for this long is given again.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// Events that may be unacknowledged; then nothing more comes.
const UNACKNOWLEDGED_MAX: i64 = 20_000;

/// What making a consumer anew may take when nobody waits for it. On several servers each step needs a leader, and after one has died that takes seconds.
const ATTACH_MAX: Duration = Duration::from_secs(20);

/// Before the next attempt after one that failed.
const PAUSE: Duration = Duration::from_millis(200);

/// One reader, as its user has it.
pub(super) struct KeptReader {
    events: mpsc::Receiver<Given>,
    consumer: Arc<Consumer>,
    /// The last event that was read, with the generation of its number. Nothing after it can be acknowledged: its user does not know it.
    read: Option<(u64, u64)>,
}

/// What a reader finds: an event, or what is wrong.
type Given = Result<Queued, Error>;

/// An event that waits to be read.
struct Queued {
    /// Of its number.
    generation: u64,
    kept: Kept,
    /// Its share of [`QUEUE_BYTES`].
    _room: OwnedSemaphorePermit,
}

/// One reader, as the servers and the task that feeds it have it.
struct Consumer {
    shared: Arc<Shared>,
    topic: Arc<str>,
    subject: Subject,
    name: String,
    place: Mutex<Place>,
    /// Told when an event was received.
    moved: Notify,
    /// Bytes that may wait to be read.
    room: Arc<Semaphore>,
}

/// How far a reader has come. All numbers are those of the stream.
#[derive(Default)]
struct Place {
    /// Which store the numbers belong to.
    store: String,
    /// Rises when numbers begin anew.
    generation: u64,
    /// The last event given to the user.
    given: u64,
    /// The user has acknowledged all up to here.
    acknowledged: u64,
    /// The servers know that all up to here is acknowledged.
    floor: u64,
    /// The last event received since the consumer was looked at.
    received: u64,
    /// Where to acknowledge what was received and is not acknowledged.
    unacknowledged: BTreeMap<u64, Subject>,
}

/// Where events for the user go.
type Feed = mpsc::Sender<Given>;

/// A consumer that is ready to deliver.
struct Attached {
    open: Arc<Open>,
    /// How many deliveries there were.
    delivered: u64,
}

/// What acknowledging comes to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The servers know it.
    Done,
    /// They are to be told here.
    Tell(Subject),
    /// They are only just delivering it again.
    Later,
}

/// Begins to read. Whether the servers allow it, is known when this returns.
pub(super) async fn open(
    shared: &Arc<Shared>,
    topic: Arc<str>,
    subject: Subject,
    name: &str,
) -> Result<KeptReader, Error> {
    check_name(name)?;
    let consumer = Arc::new(Consumer {
        shared: Arc::clone(shared),
        topic,
        subject,
        name: name.to_owned(),
        place: Mutex::default(),
        moved: Notify::new(),
        room: Arc::new(Semaphore::new(QUEUE_BYTES)),
    });
    let attached = consumer.attach(WAIT_MAX).await?;
    let (feed, events) = mpsc::channel(QUEUE);
    shared.runtime.spawn(fill(Arc::clone(&consumer), attached, feed));
    Ok(KeptReader { events, consumer, read: None })
}

fn check_name(name: &str) -> Result<(), Error> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=64).contains(&name.len()) && name.bytes().all(is_fine) {
        return Ok(());
    }
    let reason = "the name of a reader is one to 64 letters, digits, `-` and `_`";
    Err(Error::Topic { topic: name.to_owned(), reason })
}

/// Feeds a reader until it is dropped. When the bus is closed, this is gone with its thread.
async fn fill(consumer: Arc<Consumer>, attached: Attached, feed: Feed) {
    tokio::select! {
        () = feed.closed() => {}
        () = consumer.deliver_for_ever(attached, &feed) => {}
    }
}

// === impl Attached ===

impl Attached {
    /// Waits for room for `events`, but not longer than the connection lasts.
    async fn room(&self, feed: &Feed, events: usize) -> Result<(), Fault> {
        if feed.capacity() >= events {
            return Ok(());
        }
        tokio::select! {
            room = feed.reserve_many(events) => room.map(drop).map_err(|_| Fault::Lost),
            () = self.open.connection.lost() => Err(Fault::Lost),
        }
    }
}

// === impl Consumer ===

impl Consumer {
    async fn deliver_for_ever(&self, first: Attached, feed: &Feed) {
        let mut attached = Ok(first);
        loop {
            let error = match attached {
                Ok(attached) => {
                    let Err(fault) = self.deliver(&attached, feed).await;
                    let error = attached.open.failed(fault, &self.topic, "reading events of");
                    // After anything else the next attempt shows whether it can be mended.
                    matches!(error, Error::Denied { .. }).then_some(error)
                }
                // An outage passes.
                Err(Error::Disconnected { .. } | Error::TimedOut { .. }) => None,
                Err(error) => Some(error),
            };
            // Of what does not pass, the reader is told, as far as it listens.
            if let Some(error) = error.filter(|_| feed.capacity() == QUEUE) {
                let _ = feed.try_send(Err(error));
            }
            sleep(PAUSE).await;
            attached = self.attach(ATTACH_MAX).await;
        }
    }

    /// Gives what the consumer delivers, until something may be missing or the connection is lost.
    async fn deliver(&self, attached: &Attached, feed: &Feed) -> Result<Infallible, Fault> {
        let stream = &self.shared.options.name;
        let mut pull = Pull::open(&attached.open.connection, stream, &self.name).await?;
        let mut delivered = attached.delivered;
        loop {
            self.ask(attached, &mut pull, feed).await?;
            let Some((message, numbers)) = pull.next().await? else { continue };
            delivered += 1;
            if numbers.consumer != delivered {
                return Err(Fault::refused("an event was lost on the way"));
            }
            self.give(attached, message, numbers, feed).await?;
        }
    }

    /// Asks for as much as there is room for, once there is any.
    ///
    /// What the user has already needs no room, and waiting for some could be waiting for ever:
    /// the user may be waiting to acknowledge just that, and read nothing meanwhile.
    async fn ask(&self, attached: &Attached, pull: &mut Pull, feed: &Feed) -> Result<(), Fault> {
        if pull.due() == 0 {
            if self.place.lock().is_repeating() {
                return pull.ask(BATCH).await;
            }
            attached.room(feed, BATCH).await?;
        }
        while pull.due() + BATCH <= feed.capacity() && pull.due() <= BATCH * (REQUESTS_MAX - 1) {
            pull.ask(BATCH).await?;
        }
        Ok(())
    }

    /// Takes note of an event, and gives it to the user, unless that has it.
    async fn give(
        &self,
        attached: &Attached,
        message: Message,
        numbers: Numbers,
        feed: &Feed,
    ) -> Result<(), Fault> {
        let is_new = self.place.lock().receive(numbers, message.reply.clone());
        self.moved.notify_waiters();
        if !is_new {
            return Ok(());
        }
        attached.room(feed, 1).await?;
        let room = self.room_for(attached, message.payload.len()).await?;
        // Only from here on the user has it. Nobody else takes the room.
        let generation = self.place.lock().give(numbers.stream);
        if let Some(event) = arrival::event(message, Some(&self.topic)) {
            let kept = Kept { event, number: numbers.stream };
            let _ = feed.try_send(Ok(Queued { generation, kept, _room: room }));
        }
        Ok(())
    }

    /// Waits for room for so many bytes, but not longer than the connection lasts.
    async fn room_for(
        &self,
        attached: &Attached,
        bytes: usize,
    ) -> Result<OwnedSemaphorePermit, Fault> {
        let bytes = u32::try_from(bytes.min(QUEUE_BYTES)).unwrap_or(u32::MAX);
        tokio::select! {
            room = Arc::clone(&self.room).acquire_many_owned(bytes) => room.map_err(|_| Fault::Lost),
            () = attached.open.connection.lost() => Err(Fault::Lost),
        }
    }

    /// Finds the consumer, makes it or rewinds it, so that its next event is the first unacknowledged one.
    async fn attach(&self, within: Duration) -> Result<Attached, Error> {
        let open = self.shared.open(&self.topic).await?;
        match self.attach_to(&open, Instant::now() + within).await {
            Ok(delivered) => Ok(Attached { open, delivered }),
            Err(fault) => Err(open.failed(fault, &self.topic, "opening a reader of")),
        }
    }

    /// How many deliveries there were.
    async fn attach_to(&self, open: &Open, by: Instant) -> Result<u64, Fault> {
        let (connection, stream) = (&*open.connection, &*self.shared.options.name);
        let now = api::stream_info(connection, stream, by).await?.mark();
        let acknowledged = self.place.lock().enter(&now);
        let found = api::consumer_info(connection, stream, &self.name, by).await?;
        if let Some(reason) = found.as_ref().and_then(|info| self.unsuitable(info)) {
            return Err(Fault::refused(reason));
        }
        let spare = api::consumer_info(connection, stream, &self.spare(), by).await?;
        let floor = [&found, &spare].into_iter().flatten().map(|info| info.ack_floor.stream_seq);
        let floor = floor.max().unwrap_or_default().max(acknowledged);
        let is_sound = |info: &&ConsumerInfo| {
            info.num_ack_pending == 0 && info.ack_floor.stream_seq >= floor && spare.is_none()
        };
        let delivered = match &found {
            Some(info) if is_sound(&info) => info.delivered.consumer_seq,
            Some(_) => self.rewind(open, floor, by).await?,
            None => self.create(open, &self.name, floor, by).await?,
        };
        if spare.is_some() {
            api::delete_consumer(connection, stream, &self.spare(), by).await?;
        }
        self.place.lock().begin_after(floor);
        Ok(delivered)
    }

    /// Why a consumer that is there cannot be this reader's.
    fn unsuitable(&self, info: &ConsumerInfo) -> Option<String> {
        let (config, name) = (&info.config, &self.name);
        if config.filter_subject != self.subject.as_str() {
            let other = &config.filter_subject;
            return Some(format!("the reader `{name}` is one of `{other}`"));
        }
        (config.ack_policy != "all" || config.deliver_subject.is_some())
            .then(|| format!("there is a consumer `{name}` of another kind"))
    }

    async fn rewind(&self, open: &Open, floor: u64, by: Instant) -> Result<u64, Fault> {
        let (connection, stream, spare) =
            (&*open.connection, &*self.shared.options.name, &*self.spare());
        // One that is there already may be at an older place.
        api::delete_consumer(connection, stream, spare, by).await?;
        self.create(open, spare, floor, by).await?;
        api::delete_consumer(connection, stream, &self.name, by).await?;
        let delivered = self.create(open, &self.name, floor, by).await?;
        api::delete_consumer(connection, stream, spare, by).await?;
        Ok(delivered)
    }

    /// Makes a consumer that begins after `floor`.
    async fn create(&self, open: &Open, name: &str, floor: u64, by: Instant) -> Result<u64, Fault> {
        let deliver_policy = match floor {
            0 => DeliverPolicy::All,
            _ => DeliverPolicy::ByStartSequence { start_sequence: floor.saturating_add(1) },
        };
        let config = consumer::Config {
            name: Some(name.to_owned()),
            durable_name: Some(name.to_owned()),
            deliver_policy,
            ack_policy: AckPolicy::All,
            ack_wait: ACK_WAIT,
            max_ack_pending: UNACKNOWLEDGED_MAX,
            filter_subject: self.subject.to_string(),
            ..consumer::Config::default()
        };
        let stream = &self.shared.options.name;
        let made = api::create_consumer(&open.connection, stream, &config, by).await?;
        Ok(made.delivered.consumer_seq)
    }

    /// No reader can have this name.
    fn spare(&self) -> String {
        format!("{}~", self.name)
    }

    async fn acknowledge(&self, generation: u64, through: u64) -> Result<(), Error> {
        let by = Instant::now() + WAIT_MAX;
        let late = || Error::TimedOut { action: self.acknowledging(), after: WAIT_MAX };
        loop {
            let moved = self.moved.notified();
            let step = self.place.lock().acknowledge(generation, through);
            match step {
                Step::Done => return Ok(()),
                Step::Tell(subject) => {
                    self.tell(subject, by).await?;
                    self.place.lock().told(generation, through);
                    return Ok(());
                }
                Step::Later => timeout_at(by, moved).await.map_err(|_| late())?,
            }
        }
    }

    async fn tell(&self, subject: Subject, by: Instant) -> Result<(), Error> {
        let open = self.shared.open(&self.topic).await?;
        let told = open.connection.request(subject.to_string(), "+ACK".into(), by).await;
        // The servers do not answer where they do not know of the delivery any more. Then it comes again.
        told.map(drop).map_err(|fault| open.failed(fault, &self.topic, "acknowledging events of"))
    }

    fn acknowledging(&self) -> String {
        format!("acknowledging events of `{}`", self.topic)
    }
}

// === impl Place ===

impl Place {
    /// Forgets everything if the numbers mean nothing in the store as it is `now`; then, what was acknowledged.
    fn enter(&mut self, now: &StoreMark) -> u64 {
        if self.store != now.store || now.last < self.given {
            let generation = self.generation + 1;
            *self = Self { store: now.store.clone(), generation, ..Self::default() };
        }
        self.acknowledged
    }

    /// The consumer delivers everything after `floor`.
    fn begin_after(&mut self, floor: u64) {
        self.unacknowledged.clear();
        self.floor = floor;
        self.received = floor;
    }

    /// Whether the event is one that its user does not have, or has left unacknowledged for long.
    fn receive(&mut self, numbers: Numbers, reply: Option<Subject>) -> bool {
        let Numbers { stream: number, delivery, .. } = numbers;
        self.received = self.received.max(number);
        if let Some(reply) = reply {
            self.unacknowledged.insert(number, reply);
        }
        number > self.given || delivery > 1
    }

    /// The user gets the event; returns the generation of its number.
    fn give(&mut self, number: u64) -> u64 {
        self.given = self.given.max(number);
        self.generation
    }

    /// Whether the next event is one that the user has.
    fn is_repeating(&self) -> bool {
        self.received < self.given
    }

    /// What there is to do about an acknowledgement of all that the user has read up to `through`.
    fn acknowledge(&mut self, generation: u64, through: u64) -> Step {
        if generation != self.generation {
            // Those events are gone, and what now has their numbers the user has not seen.
            return Step::Done;
        }
        self.acknowledged = self.acknowledged.max(through);
        if through <= self.floor {
            return Step::Done;
        }
        if through > self.received {
            return Step::Later;
        }
        let last = self.unacknowledged.range(..=through).next_back();
        last.map_or(Step::Done, |(_, subject)| Step::Tell(subject.clone()))
    }

    fn told(&mut self, generation: u64, through: u64) {
        if generation == self.generation {
            self.floor = self.floor.max(through);
            self.unacknowledged = self.unacknowledged.split_off(&through.saturating_add(1));
        }
    }
}

// === impl KeptReader ===

#[async_trait]
impl Reader for KeptReader {
    async fn read(&mut self, batch: &mut Vec<Kept>, limit: usize) -> Result<usize, Error> {
        if limit == 0 {
            return Ok(0);
        }
        let Some(first) = self.events.recv().await else { return Ok(0) };
        let first = self.take(first?);
        let (mut count, mut bytes) = (1, first.event.payload.len());
        batch.push(first);
        while count < limit && bytes < READ_BYTES {
            match self.events.try_recv() {
                Ok(Ok(given)) => {
                    let kept = self.take(given);
                    bytes += kept.event.payload.len();
                    batch.push(kept);
                    count += 1;
                }
                // It was put there when there was nothing else, so it is over.
                Ok(Err(_)) => {}
                Err(_) => break,
            }
        }
        Ok(count)
    }

    async fn acknowledge(&mut self, through: u64) -> Result<(), Error> {
        // The task that feeds us is gone only when the bus is.
        if self.events.is_closed() {
            return Err(Error::Closed);
        }
        match self.read {
            Some((generation, read)) => {
                self.consumer.acknowledge(generation, through.min(read)).await
            }
            None => Ok(()),
        }
    }
}

impl KeptReader {
    fn take(&mut self, Queued { generation, kept, .. }: Queued) -> Kept {
        let last = (generation, kept.number);
        // Of one generation, an event that is given again does not take back the later ones.
        self.read = self.read.max(Some(last));
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place whose user has everything up to `given`, all delivered by one consumer.
    fn place(given: u64) -> Place {
        let mut place = Place::default();
        place.enter(&mark("first", given));
        place.begin_after(0);
        for number in 1..=given {
            assert!(deliver(&mut place, number, 1));
        }
        place
    }

    fn mark(store: &str, last: u64) -> StoreMark {
        StoreMark { store: store.to_owned(), last }
    }

    /// Whether the user gets it.
    fn deliver(place: &mut Place, number: u64, delivery: u64) -> bool {
        let numbers = Numbers { delivery, stream: number, consumer: 0, pending: 0 };
        let is_new = place.receive(numbers, Some(format!("ack.{number}").into()));
        if is_new {
            place.give(number);
        }
        is_new
    }

    #[test]
    fn acknowledging_tells_the_last_event_and_only_once() {
        let mut place = place(10);
        let now = place.generation;
        assert_eq!(place.acknowledge(now, 4), Step::Tell("ack.4".into()));
        place.told(now, 4);
        assert_eq!(place.acknowledge(now, 4), Step::Done);
        assert_eq!(place.acknowledge(now, 10), Step::Tell("ack.10".into()));
        place.told(now, 10);
        assert!(place.unacknowledged.is_empty());
        assert_eq!(place.acknowledge(now, 10), Step::Done);
    }

    #[test]
    fn what_was_read_of_another_store_acknowledges_nothing_of_this_one() {
        let mut place = place(10);
        let before = place.generation;
        place.enter(&mark("second", 10));
        place.begin_after(0);
        (1..=10).for_each(|number| assert!(deliver(&mut place, number, 1)));
        assert_eq!(place.acknowledge(before, 10), Step::Done);
        place.told(before, 10);
        assert_eq!((place.acknowledged, place.floor), (0, 0));
        assert_eq!(place.acknowledge(place.generation, 10), Step::Tell("ack.10".into()));
    }

    #[test]
    fn after_rewinding_nothing_is_given_twice_and_acknowledging_waits_for_it() {
        let mut place = place(10);
        assert_eq!(place.enter(&mark("first", 12)), 0);
        place.begin_after(2);
        assert!(place.is_repeating());
        assert!(!deliver(&mut place, 3, 1));
        assert_eq!(place.acknowledge(place.generation, 5), Step::Later);
        assert!(!deliver(&mut place, 5, 1));
        assert_eq!(place.acknowledge(place.generation, 5), Step::Tell("ack.5".into()));
        (6..=10).for_each(|number| assert!(!deliver(&mut place, number, 1)));
        assert!(!place.is_repeating());
        assert!(deliver(&mut place, 11, 1));
    }

    #[test]
    fn what_was_left_unacknowledged_for_long_is_given_again() {
        let mut place = place(3);
        assert!(deliver(&mut place, 2, 2));
        assert_eq!(place.given, 3);
    }

    #[test]
    fn another_store_and_one_that_lost_its_end_begin_anew() {
        for now in [mark("second", 100), mark("first", 9)] {
            let mut place = place(10);
            place.acknowledge(place.generation, 10);
            assert_eq!(place.enter(&now), 0, "in {now:?}");
            place.begin_after(0);
            assert!(deliver(&mut place, 1, 1));
        }
        let mut place = place(10);
        place.acknowledge(place.generation, 7);
        assert_eq!(place.enter(&mark("first", 10)), 7);
    }
}

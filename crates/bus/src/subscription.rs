//! The one bounded queue that every adapter feeds.

use std::{collections::VecDeque, fmt, mem, num::NonZeroUsize, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Event;

/// What a subscriber finds in its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The next event.
    Event(Event),
    /// This many events were lost here, because the subscriber was too slow or the connection was away.
    Missed(u64),
}

/// The payloads that wait in one queue have no more bytes together, unless there is only one.
///
/// A number alone is no bound: events that somebody else publishes may each be as large as the bus carries.
pub const QUEUE_BYTES_MAX: usize = 32 << 20;

/// Makes a queue of exactly `capacity` events, as long as they stay below [`QUEUE_BYTES_MAX`]: the end that an adapter feeds, and the end that it hands out.
///
/// ```
/// use bus::{Delivery, Event, queue};
///
/// let (feed, mut events) = queue("a", 2.try_into()?);
/// for payload in ["1", "2", "3"] {
///     feed.push(Event::new("a", payload));
/// }
/// assert_eq!(events.try_recv()?, Delivery::Missed(1));
/// assert_eq!(events.try_recv()?, Delivery::Event(Event::new("a", "2")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn queue(topic: impl Into<Arc<str>>, capacity: NonZeroUsize) -> (Feed, Subscription) {
    let shared = Arc::new(Shared {
        topic: topic.into(),
        capacity,
        queue: Mutex::default(),
        wake: Notify::new(),
    });
    (Feed { shared: Arc::clone(&shared) }, Subscription { shared, on_drop: None })
}

/// Events of one topic, in a bounded queue of their own.
///
/// Dropping it ends the subscription.
pub struct Subscription {
    shared: Arc<Shared>,
    on_drop: Option<Box<dyn FnOnce() + Send + Sync>>,
}

/// The adapter's end of a [`Subscription`]. Dropping it closes the queue.
pub struct Feed {
    shared: Arc<Shared>,
}

/// What became of an event given to [`Feed::push`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// It is queued.
    Queued,
    /// It is queued, and so many of the oldest events were dropped for it and counted.
    Displaced(u64),
    /// Nobody will read it: the subscriber left or the queue was closed.
    Ended,
}

/// Why [`Subscription::try_recv`] returned nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TryRecvError {
    /// Nothing is queued at the moment.
    #[error("no event is waiting")]
    Empty,
    /// Nothing is queued, and nothing will be.
    #[error("the subscription has ended")]
    Ended,
}

struct Shared {
    topic: Arc<str>,
    capacity: NonZeroUsize,
    queue: Mutex<Queue>,
    /// Has one permit while something may be in the queue that the subscriber has not looked at.
    wake: Notify,
}

/// Events with the losses between them.
#[derive(Default)]
struct Queue {
    events: VecDeque<Queued>,
    /// Of the payloads.
    bytes: usize,
    /// Losses after the last event.
    missed_after: u64,
    /// All losses so far, reported or not.
    missed_total: u64,
    ended: bool,
}

struct Queued {
    /// Losses between the event before this one and this one.
    missed_before: u64,
    event: Event,
}

// === impl Queue ===

impl Queue {
    fn push(&mut self, event: Event, capacity: NonZeroUsize) -> Fed {
        if self.ended {
            return Fed::Ended;
        }
        let size = event.payload.len();
        let mut displaced = 0;
        while !self.has_room(size, capacity) {
            self.drop_oldest();
            displaced += 1;
        }
        let missed_before = mem::take(&mut self.missed_after);
        self.bytes += size;
        self.events.push_back(Queued { missed_before, event });
        if displaced > 0 { Fed::Displaced(displaced) } else { Fed::Queued }
    }

    fn has_room(&self, size: usize, capacity: NonZeroUsize) -> bool {
        let is_empty = self.events.is_empty();
        is_empty || self.events.len() < capacity.get() && self.bytes + size <= QUEUE_BYTES_MAX
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.events.pop_front() else { return };
        self.bytes -= oldest.event.payload.len();
        let missed = oldest.missed_before + 1;
        self.missed_total += 1;
        match self.events.front_mut() {
            Some(next) => next.missed_before += missed,
            None => self.missed_after += missed,
        }
    }

    fn pop(&mut self) -> Option<Delivery> {
        let missed = match self.events.front_mut() {
            Some(next) => &mut next.missed_before,
            None => &mut self.missed_after,
        };
        match mem::take(missed) {
            0 => self.events.pop_front().map(|queued| {
                self.bytes -= queued.event.payload.len();
                Delivery::Event(queued.event)
            }),
            missed => Some(Delivery::Missed(missed)),
        }
    }
}

// === impl Feed ===

impl Feed {
    /// Queues `event`; if the queue is full, drops the oldest for it and counts that. Never waits.
    pub fn push(&self, event: Event) -> Fed {
        let fed = self.shared.queue.lock().push(event, self.shared.capacity);
        self.shared.wake.notify_one();
        fed
    }

    /// Queues all of `events` as [`push`](Self::push) does, but wakes the subscriber once: for who gets many at a time.
    ///
    /// Returns how many events were dropped for them, or nothing if nobody will read them.
    pub fn push_all(&self, events: impl IntoIterator<Item = Event>) -> Option<u64> {
        let mut queue = self.shared.queue.lock();
        let mut displaced = 0;
        for event in events {
            match queue.push(event, self.shared.capacity) {
                Fed::Queued => {}
                Fed::Displaced(count) => displaced += count,
                Fed::Ended => return None,
            }
        }
        drop(queue);
        self.shared.wake.notify_one();
        Some(displaced)
    }

    /// Tells the subscriber that `count` events were lost between the last one pushed and the next.
    pub fn missed(&self, count: u64) {
        let mut queue = self.shared.queue.lock();
        queue.missed_after += count;
        queue.missed_total += count;
        drop(queue);
        self.shared.wake.notify_one();
    }

    /// Ends the subscription after what is queued. Closing again does nothing.
    pub fn close(&self) {
        self.shared.queue.lock().ended = true;
        self.shared.wake.notify_one();
    }

    /// Whether nobody will read what is pushed from now on.
    pub fn is_ended(&self) -> bool {
        self.shared.queue.lock().ended
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.debug("Feed", f)
    }
}

// === impl Subscription ===

impl Subscription {
    /// Waits for the next delivery. `None` means that the bus was closed and everything queued was taken.
    ///
    /// Cancel safe: a `recv` that is dropped while waiting has taken nothing.
    pub async fn recv(&mut self) -> Option<Delivery> {
        loop {
            match self.try_recv() {
                Ok(delivery) => return Some(delivery),
                Err(TryRecvError::Ended) => return None,
                Err(TryRecvError::Empty) => self.shared.wake.notified().await,
            }
        }
    }

    /// The next delivery, if one is waiting.
    pub fn try_recv(&mut self) -> Result<Delivery, TryRecvError> {
        let mut queue = self.shared.queue.lock();
        match queue.pop() {
            Some(delivery) => Ok(delivery),
            None if queue.ended => Err(TryRecvError::Ended),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Waits until something is queued, appends up to `limit` deliveries to `batch` and returns how many.
    ///
    /// Zero means what `None` means for [`recv`](Self::recv), or that `limit` is zero.
    /// Cancel safe: one that is dropped while waiting has taken nothing.
    pub async fn recv_many(&mut self, batch: &mut Vec<Delivery>, limit: usize) -> usize {
        if limit == 0 {
            return 0;
        }
        let Some(first) = self.recv().await else { return 0 };
        let before = batch.len();
        batch.push(first);
        let mut queue = self.shared.queue.lock();
        batch.extend(std::iter::from_fn(|| queue.pop()).take(limit - 1));
        batch.len() - before
    }

    /// The topic that was subscribed to.
    pub fn topic(&self) -> &str {
        &self.shared.topic
    }

    /// The most events that wait here; more push the oldest out.
    pub fn capacity(&self) -> NonZeroUsize {
        self.shared.capacity
    }

    /// Events that wait here now.
    pub fn queued(&self) -> usize {
        self.shared.queue.lock().events.len()
    }

    /// Events missed since this subscription was made, whether already reported by [`Delivery::Missed`] or not.
    pub fn missed(&self) -> u64 {
        self.shared.queue.lock().missed_total
    }

    /// Runs `release` when the subscription is dropped, after anything set before: how an adapter learns that it can let go.
    #[must_use]
    pub fn on_drop(mut self, release: impl FnOnce() + Send + Sync + 'static) -> Self {
        self.on_drop = match self.on_drop.take() {
            None => Some(Box::new(release)),
            Some(earlier) => Some(Box::new(move || {
                earlier();
                release();
            })),
        };
        self
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let unread = {
            let mut queue = self.shared.queue.lock();
            queue.ended = true;
            mem::take(&mut queue.events)
        };
        drop(unread);
        if let Some(release) = self.on_drop.take() {
            release();
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.debug("Subscription", f)
    }
}

impl Shared {
    fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.queue.lock();
        f.debug_struct(name)
            .field("topic", &self.topic)
            .field("capacity", &self.capacity)
            .field("queued", &queue.events.len())
            .field("missed", &queue.missed_total)
            .field("ended", &queue.ended)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Waker},
    };

    use proptest::prelude::*;

    use super::*;

    fn capacity(events: usize) -> NonZeroUsize {
        NonZeroUsize::new(events).unwrap()
    }

    fn event(number: u32) -> Event {
        Event::new("a", number.to_string())
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push,
        PushAll(u32),
        Missed(u64),
        Take,
        TakeMany(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Push),
            1 => (0..4_u32).prop_map(Step::PushAll),
            1 => (0..3_u64).prop_map(Step::Missed),
            2 => Just(Step::Take),
            1 => (1..5_usize).prop_map(Step::TakeMany),
        ];
        prop::collection::vec(step, 0..60)
    }

    /// The same queue without any cleverness: a list in which a lost event becomes a `Missed(1)` and neighbours add up.
    #[derive(Default)]
    struct Model(Vec<Delivery>);

    impl Model {
        fn push(&mut self, event: Event, capacity: usize) {
            self.0.push(Delivery::Event(event));
            let is_event = |delivery: &Delivery| matches!(delivery, Delivery::Event(_));
            if self.0.iter().filter(|delivery| is_event(delivery)).count() > capacity {
                let oldest = self.0.iter().position(is_event).unwrap();
                self.0[oldest] = Delivery::Missed(1);
            }
            self.add_up();
        }

        fn missed(&mut self, count: u64) {
            if count > 0 {
                self.0.push(Delivery::Missed(count));
            }
            self.add_up();
        }

        fn add_up(&mut self) {
            self.0.dedup_by(|right, left| match (left, right) {
                (Delivery::Missed(left), Delivery::Missed(right)) => {
                    *left += *right;
                    true
                }
                _ => false,
            });
        }

        fn take(&mut self) -> Option<Delivery> {
            (!self.0.is_empty()).then(|| self.0.remove(0))
        }
    }

    proptest! {
        #[test]
        fn does_what_a_naive_list_does(size in 1..6_usize, steps in steps()) {
            let (feed, mut events) = queue("a", capacity(size));
            let mut model = Model::default();
            for (number, step) in (0_u32..).zip(steps) {
                match step {
                    Step::Push => {
                        feed.push(event(number));
                        model.push(event(number), size);
                    }
                    Step::PushAll(count) => {
                        let before = feed.shared.queue.lock().missed_total;
                        let displaced = feed.push_all((0..count).map(|_| event(number)));
                        (0..count).for_each(|_| model.push(event(number), size));
                        let after = feed.shared.queue.lock().missed_total;
                        prop_assert_eq!(displaced, Some(after - before));
                    }
                    Step::Missed(count) => {
                        feed.missed(count);
                        model.missed(count);
                    }
                    Step::Take => prop_assert_eq!(events.try_recv().ok(), model.take()),
                    Step::TakeMany(limit) => {
                        let expected: Vec<_> = std::iter::from_fn(|| model.take()).take(limit).collect();
                        let mut batch = Vec::new();
                        let mut context = Context::from_waker(Waker::noop());
                        let done = pin!(events.recv_many(&mut batch, limit)).poll(&mut context).is_ready();
                        prop_assert_eq!(done, !expected.is_empty());
                        prop_assert_eq!(batch, expected);
                    }
                }
            }
            feed.close();
            while let Some(expected) = model.take() {
                prop_assert_eq!(events.try_recv(), Ok(expected));
            }
            prop_assert_eq!(events.try_recv(), Err(TryRecvError::Ended));
        }
    }

    #[test]
    fn says_what_became_of_an_event() {
        let (feed, events) = queue("a", capacity(1));
        assert_eq!(feed.push(event(1)), Fed::Queued);
        assert_eq!(feed.push(event(2)), Fed::Displaced(1));
        drop(events);
        assert_eq!(feed.push(event(3)), Fed::Ended);
        assert_eq!(feed.push_all([event(4)]), None);
        assert!(feed.is_ended());
    }

    #[test]
    fn large_events_push_out_as_many_as_they_take_the_room_of() {
        let large = |bytes: usize| Event::new("a", vec![b'x'; bytes]);
        let (feed, mut events) = queue("a", capacity(1000));
        (0..4).for_each(|_| assert_eq!(feed.push(large(QUEUE_BYTES_MAX / 4)), Fed::Queued));
        assert_eq!(feed.push(large(QUEUE_BYTES_MAX / 2)), Fed::Displaced(2));
        assert_eq!(feed.push(large(2 * QUEUE_BYTES_MAX)), Fed::Displaced(3));
        assert_eq!(events.try_recv(), Ok(Delivery::Missed(5)));
        assert!(matches!(events.try_recv(), Ok(Delivery::Event(_))));
        assert_eq!(events.shared.queue.lock().bytes, 0);
    }

    #[tokio::test]
    async fn a_dropped_feed_ends_the_subscription_after_what_is_queued() {
        let (feed, mut events) = queue("a", capacity(4));
        feed.push(event(1));
        feed.missed(2);
        drop(feed);
        assert_eq!(events.recv().await, Some(Delivery::Event(event(1))));
        assert_eq!(events.recv().await, Some(Delivery::Missed(2)));
        assert_eq!(events.recv().await, None);
        assert_eq!(events.recv_many(&mut Vec::new(), 4).await, 0);
    }

    #[tokio::test]
    async fn counts_all_losses_also_when_they_were_reported() {
        let (feed, mut events) = queue("a", capacity(1));
        feed.push(event(1));
        feed.push(event(2));
        assert_eq!(events.recv().await, Some(Delivery::Missed(1)));
        feed.push(event(3));
        assert_eq!((events.queued(), events.missed()), (1, 2));
    }

    #[test]
    fn tells_everyone_who_asked_that_it_was_dropped() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = |what: &'static str| {
            let told = Arc::clone(&told);
            move || told.lock().push(what)
        };
        let (_feed, events) = queue("a", capacity(1));
        drop(events.on_drop(tell("first")).on_drop(tell("second")));
        assert_eq!(*told.lock(), ["first", "second"]);
    }
}

//! The adapter for one process.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{
    Bus, Capabilities, Error, Event, Fed, Feed, Link, Reach, State, Subscription, check_topic,
    queue,
};

/// A bus inside one process: what is published is in every subscriber's queue when `publish` returns.
///
/// Clones are the same bus; closing one closes all.
/// When the last clone is dropped, its subscriptions end.
///
/// Beyond the contract, all subscribers of a topic see the events of all publishers in one order.
/// Nothing in it waits, so a publisher that never awaits anything else can fill a queue before its subscriber runs:
/// a subscriber's capacity should be at least the publisher's batch.
#[derive(Debug, Clone)]
pub struct MemoryBus {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    payload_max: usize,
    topics: Mutex<Topics>,
    published: AtomicU64,
    refused: AtomicU64,
    missed: AtomicU64,
}

#[derive(Debug, Default)]
struct Topics {
    /// By topic, who gets its events. A topic without subscribers has no place here.
    feeds: HashMap<Arc<str>, Vec<(u64, Feed)>>,
    /// The number of the next subscription.
    next: u64,
    is_closed: bool,
}

/// A bus with a limit of 1 MiB a payload, as on NATS.
impl Default for MemoryBus {
    fn default() -> Self {
        Self::with_payload_max(1024 * 1024)
    }
}

impl MemoryBus {
    /// A bus that refuses payloads of more than `payload_max` bytes.
    pub fn with_payload_max(payload_max: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                payload_max,
                topics: Mutex::default(),
                published: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                missed: AtomicU64::new(0),
            }),
        }
    }

    fn deliver(&self, event: &Event) -> Result<(), Error> {
        event.check(&self.capabilities())?;
        let topics = self.shared.topics.lock();
        if topics.is_closed {
            return Err(Error::Closed);
        }
        for (_, feed) in topics.feeds.get(&event.topic).into_iter().flatten() {
            if let Fed::Displaced(count) = feed.push(event.clone()) {
                self.shared.missed.fetch_add(count, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn publish(&self, event: Event) -> Result<(), Error> {
        let delivered = self.deliver(&event);
        let counter = if delivered.is_ok() { &self.shared.published } else { &self.shared.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        delivered
    }

    async fn subscribe(&self, topic: &str, capacity: NonZeroUsize) -> Result<Subscription, Error> {
        check_topic(topic)?;
        let topic: Arc<str> = topic.into();
        let (feed, subscription) = queue(Arc::clone(&topic), capacity);
        let number = self.shared.topics.lock().add(&topic, feed)?;
        let shared = Arc::downgrade(&self.shared);
        Ok(subscription.on_drop(move || {
            if let Some(shared) = shared.upgrade() {
                shared.topics.lock().remove(&topic, number);
            }
        }))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            wildcards: false,
            durable: false,
            confirms: true,
            reach: Reach::Process,
            payload_max: self.shared.payload_max,
            wait_max: Duration::ZERO,
        }
    }

    fn state(&self) -> State {
        let topics = self.shared.topics.lock();
        State {
            link: if topics.is_closed { Link::Closed } else { Link::Connected },
            published: self.shared.published.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
            missed: self.shared.missed.load(Ordering::Relaxed),
            reconnects: 0,
            backlog: 0,
            subscriptions: topics.feeds.values().map(Vec::len).sum(),
            trouble: None,
        }
    }

    async fn flush(&self) -> Result<(), Error> {
        if self.shared.topics.lock().is_closed { Err(Error::Closed) } else { Ok(()) }
    }

    async fn close(&self) -> Result<(), Error> {
        let feeds = {
            let mut topics = self.shared.topics.lock();
            topics.is_closed = true;
            std::mem::take(&mut topics.feeds)
        };
        // Dropping a feed ends its subscription.
        drop(feeds);
        Ok(())
    }
}

impl Topics {
    fn add(&mut self, topic: &Arc<str>, feed: Feed) -> Result<u64, Error> {
        if self.is_closed {
            return Err(Error::Closed);
        }
        let number = self.next;
        self.next += 1;
        self.feeds.entry(Arc::clone(topic)).or_default().push((number, feed));
        Ok(number)
    }

    fn remove(&mut self, topic: &str, number: u64) {
        let Some(feeds) = self.feeds.get_mut(topic) else { return };
        feeds.retain(|(known, _)| *known != number);
        if feeds.is_empty() {
            self.feeds.remove(topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Delivery;

    #[tokio::test]
    async fn a_topic_is_forgotten_with_its_last_subscriber() {
        let bus = MemoryBus::default();
        let one = bus.subscribe("a", NonZeroUsize::MIN).await.unwrap();
        let two = bus.subscribe("a", NonZeroUsize::MIN).await.unwrap();
        assert_eq!(bus.state().subscriptions, 2);
        drop(one);
        assert_eq!(bus.state().subscriptions, 1);
        drop(two);
        assert_eq!(bus.shared.topics.lock().feeds.len(), 0);
    }

    #[tokio::test]
    async fn subscriptions_end_with_the_last_clone() {
        let bus = MemoryBus::default();
        let clone = bus.clone();
        let mut events = bus.subscribe("a", NonZeroUsize::MIN).await.unwrap();
        drop(bus);
        clone.publish(Event::new("a", "still here")).await.unwrap();
        drop(clone);
        assert!(matches!(events.recv().await, Some(Delivery::Event(_))));
        assert_eq!(events.recv().await, None);
    }

    #[tokio::test]
    async fn counts_what_it_took_refused_and_lost() {
        let bus = MemoryBus::with_payload_max(3);
        let _slow = bus.subscribe("a", NonZeroUsize::MIN).await.unwrap();
        for payload in ["1", "22", "333"] {
            bus.publish(Event::new("a", payload)).await.unwrap();
        }
        let error = bus.publish(Event::new("a", "4444")).await.unwrap_err();
        assert_eq!(error.to_string(), "an event on `a` has 4 bytes, and this bus carries 3");
        let state = bus.state();
        assert_eq!((state.published, state.refused, state.missed), (3, 1, 2));
    }

    /// Reads until the end; returns what each of `publishers` sent, in order, and how much was missed.
    async fn read_all(mut events: Subscription, publishers: usize) -> (Vec<Vec<u32>>, u64) {
        let (mut numbers, mut missed) = (vec![Vec::new(); publishers], 0);
        while let Some(delivery) = events.recv().await {
            match delivery {
                Delivery::Missed(count) => missed += count,
                Delivery::Event(event) => {
                    let text = std::str::from_utf8(&event.payload).unwrap();
                    let (publisher, number) = text.split_once(' ').unwrap();
                    numbers[publisher.parse::<usize>().unwrap()].push(number.parse().unwrap());
                }
            }
        }
        (numbers, missed)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn order_and_counts_hold_across_threads() {
        const PUBLISHERS: usize = 3;
        const EACH: u32 = 2000;
        let bus = MemoryBus::default();
        let mut readers = tokio::task::JoinSet::new();
        for capacity in [1, 7, 100_000] {
            let capacity = NonZeroUsize::new(capacity).unwrap();
            readers.spawn(read_all(bus.subscribe("a", capacity).await.unwrap(), PUBLISHERS));
        }
        let mut publishers = tokio::task::JoinSet::new();
        for publisher in 0..PUBLISHERS {
            let bus = bus.clone();
            publishers.spawn(async move {
                for number in 0..EACH {
                    bus.publish(Event::new("a", format!("{publisher} {number}"))).await.unwrap();
                }
            });
        }
        publishers.join_all().await;
        bus.close().await.unwrap();
        let mut missed_total = 0;
        for (numbers, missed) in readers.join_all().await {
            let read: usize = numbers.iter().map(Vec::len).sum();
            assert_eq!(read as u64 + missed, PUBLISHERS as u64 * u64::from(EACH));
            assert!(numbers.iter().all(|one| one.is_sorted_by(|left, right| left < right)));
            missed_total += missed;
        }
        assert_eq!(bus.state().missed, missed_total);
    }
}

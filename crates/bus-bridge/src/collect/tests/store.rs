//! A bus that keeps events, in memory, and fails when it is told to.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bus::{
    Bus, Capabilities, Durable, Error, Event, Kept, MemoryBus, Reader, State, StoreMark,
    Subscription,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::until;

/// Keeps every event, for one reader; clones are the same.
#[derive(Clone, Default)]
pub(super) struct Store {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    bus: MemoryBus,
    kept: Mutex<Content>,
    changed: Notify,
}

#[derive(Default)]
struct Content {
    events: Vec<Event>,
    /// How often the store was made anew.
    generation: u64,
    /// Events that were given to the reader, and up to which it acknowledged.
    given: u64,
    acknowledged: u64,
    acks: Vec<u64>,
    names: Vec<String>,
    is_away: bool,
    is_closed: bool,
}

struct Follower {
    inner: Arc<Inner>,
}

impl Store {
    pub(super) fn goes(&self) {
        self.change(|kept| kept.is_away = true);
    }

    pub(super) fn comes_back(&self) {
        self.change(|kept| kept.is_away = false);
    }

    /// What is not acknowledged is given again, also to a reader that has it.
    pub(super) fn gives_again(&self) {
        self.change(|kept| kept.given = kept.acknowledged);
    }

    /// It never heard of any acknowledgement.
    pub(super) fn forgets_acks(&self) {
        self.change(|kept| (kept.given, kept.acknowledged) = (0, 0));
    }

    /// Everything is lost, also how far the reader has come.
    pub(super) fn is_made_anew(&self) {
        self.change(|kept| {
            *kept = Content { generation: kept.generation + 1, ..Content::default() };
        });
    }

    /// Waits until the reader has acknowledged just up to `through`.
    pub(super) async fn acknowledged(&self, through: u64) {
        until(|| self.inner.kept.lock().acknowledged == through).await;
    }

    pub(super) fn given(&self) -> u64 {
        self.inner.kept.lock().given
    }

    pub(super) fn acks(&self) -> Vec<u64> {
        self.inner.kept.lock().acks.clone()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.inner.kept.lock().names.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Content)) {
        change(&mut self.inner.kept.lock());
        self.inner.changed.notify_one();
    }
}

impl Content {
    fn expect(&self) -> Result<(), Error> {
        match (self.is_closed, self.is_away) {
            (true, _) => Err(Error::Closed),
            (_, true) => Err(Error::Disconnected { topic: "the store".to_owned() }),
            _ => Ok(()),
        }
    }

    fn mark(&self) -> StoreMark {
        StoreMark { store: self.generation.to_string(), last: self.events.len() as u64 }
    }

    /// Gives the reader what it has not been given.
    fn give(&mut self, limit: usize) -> Result<Vec<Kept>, Error> {
        self.expect()?;
        let numbered = (1_u64..).zip(&self.events);
        let new = numbered.filter(|(number, _)| *number > self.given).take(limit);
        let new: Vec<_> =
            new.map(|(number, event)| Kept { event: event.clone(), number }).collect();
        self.given += new.len() as u64;
        Ok(new)
    }
}

#[async_trait]
impl Bus for Store {
    async fn publish(&self, event: Event) -> Result<(), Error> {
        self.change(|kept| kept.events.push(event));
        Ok(())
    }

    async fn subscribe(&self, topic: &str, capacity: NonZeroUsize) -> Result<Subscription, Error> {
        self.inner.bus.subscribe(topic, capacity).await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: true, ..self.inner.bus.capabilities() }
    }

    fn state(&self) -> State {
        self.inner.bus.state()
    }

    async fn flush(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn close(&self) -> Result<(), Error> {
        self.change(|kept| kept.is_closed = true);
        Ok(())
    }

    fn durable(&self) -> Option<&dyn Durable> {
        Some(self)
    }
}

#[async_trait]
impl Durable for Store {
    async fn reader(&self, _topic: &str, name: &str) -> Result<Box<dyn Reader>, Error> {
        let mut kept = self.inner.kept.lock();
        kept.expect()?;
        kept.names.push(name.to_owned());
        kept.given = kept.acknowledged;
        Ok(Box::new(Follower { inner: self.inner.clone() }))
    }

    async fn ids(&self, _: &str, _: &str, _: SystemTime) -> Result<HashSet<String>, Error> {
        unreachable!("a collector does not ask for ids")
    }

    async fn mark(&self) -> Result<StoreMark, Error> {
        let kept = self.inner.kept.lock();
        kept.expect().map(|()| kept.mark())
    }

    fn confirmed(&self) -> Option<StoreMark> {
        None
    }
}

#[async_trait]
impl Reader for Follower {
    async fn read(&mut self, batch: &mut Vec<Kept>, limit: usize) -> Result<usize, Error> {
        loop {
            let new = match self.inner.kept.lock().give(limit) {
                Err(Error::Closed) => return Ok(0),
                new => new?,
            };
            if !new.is_empty() {
                let count = new.len();
                batch.extend(new);
                return Ok(count);
            }
            self.inner.changed.notified().await;
        }
    }

    async fn acknowledge(&mut self, through: u64) -> Result<(), Error> {
        let mut kept = self.inner.kept.lock();
        kept.expect()?;
        assert!(through <= kept.given, "nobody was given {through}");
        kept.acknowledged = kept.acknowledged.max(through);
        kept.acks.push(through);
        Ok(())
    }
}

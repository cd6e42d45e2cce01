//! A bus whose broker keeps events, and fails in every way it can.

use std::collections::{HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bus::{
    Bus, Capabilities, Durable, EVENT_ID, Error, Event, Link, MemoryBus, ORIGIN, PublishAllError,
    Reader, State, StoreMark, Subscription,
};
use logging_api::LOG_ENTRY;
use parking_lot::Mutex;

/// Clones are the same broker.
#[derive(Clone)]
pub(super) struct Broker {
    carrier: MemoryBus,
    is_durable: bool,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) kept: Vec<Event>,
    /// Ids that are dropped if they come again.
    pub(super) remembered: HashSet<String>,
    pub(super) ever_kept: HashSet<String>,
    pub(super) is_down: bool,
    /// What goes wrong at the next calls; and after how many events.
    pub(super) faults: VecDeque<(usize, Fault)>,
    pub(super) other: Vec<Event>,
    pub(super) calls: usize,
    /// How often it was asked for ids.
    pub(super) asked: usize,
    store: u64,
    confirmed: Option<StoreMark>,
    reconnects: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection is lost before the event is taken.
    Lost,
    /// No answer, and so many events from here on were taken all the same.
    NoAnswer {
        taken: usize,
    },
    Denied,
    /// It takes its time.
    Slow,
}

pub(super) const PAYLOAD_MAX: usize = 4096;

impl Broker {
    pub(super) fn new(is_durable: bool) -> Self {
        let carrier = MemoryBus::with_payload_max(PAYLOAD_MAX);
        Self { carrier, is_durable, inner: Arc::default() }
    }

    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.inner.lock())
    }

    pub(super) fn kept(&self) -> Vec<Event> {
        self.with(|inner| inner.kept.clone())
    }

    /// The ids of what is kept.
    pub(super) fn ids(&self) -> Vec<String> {
        self.kept().iter().map(|event| header(event, EVENT_ID).to_owned()).collect()
    }

    fn disconnected(event: &Event) -> Error {
        Error::Disconnected { topic: event.topic.to_string() }
    }
}

impl Inner {
    /// Goes away and comes back, having forgotten all but the first `left`
    /// events it keeps, or the whole store.
    pub(super) fn lose(&mut self, left: Option<usize>) {
        let lost = self.kept.split_off(left.unwrap_or(0).min(self.kept.len()));
        for event in &lost {
            self.remembered.remove(header(event, EVENT_ID));
        }
        if left.is_none() {
            self.store += 1;
            self.remembered.clear();
        }
        self.confirmed = None;
        self.reconnects += 1;
    }

    pub(super) fn reconnect(&mut self) {
        self.reconnects += 1;
    }

    fn mark(&self) -> StoreMark {
        StoreMark { store: self.store.to_string(), last: self.kept.len() as u64 }
    }

    fn take(&mut self, event: &Event) {
        if *event.topic != *LOG_ENTRY.name() {
            return self.other.push(event.clone());
        }
        let id = header(event, EVENT_ID).to_owned();
        if self.remembered.insert(id.clone()) {
            self.ever_kept.insert(id);
            self.kept.push(event.clone());
        }
    }

    /// Takes events until one goes wrong.
    fn take_all(
        &mut self,
        events: &[Event],
        fault: Option<(usize, Fault)>,
    ) -> Result<(), PublishAllError> {
        for (taken, event) in events.iter().enumerate() {
            if let Err(source) =
                event.check(&MemoryBus::with_payload_max(PAYLOAD_MAX).capabilities())
            {
                return Err(PublishAllError { taken, source });
            }
            if let Some((at, fault)) = fault
                && at % events.len() == taken
                && let Some(source) = self.fail(fault, &events[taken..])
            {
                return Err(PublishAllError { taken, source });
            }
            self.take(event);
            self.confirmed = Some(self.mark());
        }
        Ok(())
    }

    fn fail(&mut self, fault: Fault, events: &[Event]) -> Option<Error> {
        let action = "publishing".to_owned();
        match fault {
            Fault::Slow => None,
            Fault::Lost => Some(Broker::disconnected(&events[0])),
            Fault::NoAnswer { taken } => {
                events.iter().take(taken).for_each(|event| self.take(event));
                Some(Error::TimedOut { action, after: Duration::from_secs(5) })
            }
            Fault::Denied => {
                let topic = events[0].topic.to_string();
                Some(Error::Denied { topic, source: "not you".into() })
            }
        }
    }
}

pub(super) fn header<'a>(event: &'a Event, name: &str) -> &'a str {
    event.headers.get(name).unwrap_or_default()
}

#[async_trait]
impl Bus for Broker {
    async fn publish(&self, event: Event) -> Result<(), Error> {
        self.publish_all(&[event]).await.map_err(|error| error.source)
    }

    async fn publish_all(&self, events: &[Event]) -> Result<(), PublishAllError> {
        let (is_down, fault) = self.with(|inner| {
            inner.calls += 1;
            (inner.is_down, inner.faults.pop_front())
        });
        if is_down {
            return Err(PublishAllError { taken: 0, source: Self::disconnected(&events[0]) });
        }
        if let Some((_, Fault::Slow)) = fault {
            let before = self.state().reconnects;
            tokio::task::yield_now().await;
            if self.state().reconnects != before {
                return Err(PublishAllError { taken: 0, source: Self::disconnected(&events[0]) });
            }
        }
        self.with(|inner| inner.take_all(events, fault))
    }

    async fn subscribe(&self, topic: &str, capacity: NonZeroUsize) -> Result<Subscription, Error> {
        self.carrier.subscribe(topic, capacity).await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: self.is_durable, ..self.carrier.capabilities() }
    }

    fn state(&self) -> State {
        let inner = self.inner.lock();
        let away = Link::Disconnected { since: SystemTime::UNIX_EPOCH, attempts: 3 };
        let link = if inner.is_down { away } else { Link::Connected };
        State { link, reconnects: inner.reconnects, ..self.carrier.state() }
    }

    async fn flush(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn close(&self) -> Result<(), Error> {
        self.carrier.close().await
    }

    fn durable(&self) -> Option<&dyn Durable> {
        self.is_durable.then_some(self)
    }
}

#[async_trait]
impl Durable for Broker {
    async fn reader(&self, topic: &str, _name: &str) -> Result<Box<dyn Reader>, Error> {
        Err(Error::Disconnected { topic: topic.to_owned() })
    }

    async fn ids(
        &self,
        topic: &str,
        origin: &str,
        _since: SystemTime,
    ) -> Result<HashSet<String>, Error> {
        let mut inner = self.inner.lock();
        inner.asked += 1;
        if inner.is_down {
            return Err(Error::Disconnected { topic: topic.to_owned() });
        }
        let ours = inner.kept.iter().filter(|event| header(event, ORIGIN) == origin);
        Ok(ours.map(|event| header(event, EVENT_ID).to_owned()).collect())
    }

    async fn mark(&self) -> Result<StoreMark, Error> {
        let inner = self.inner.lock();
        if inner.is_down {
            return Err(Error::Disconnected { topic: LOG_ENTRY.name().to_owned() });
        }
        Ok(inner.mark())
    }

    fn confirmed(&self) -> Option<StoreMark> {
        self.inner.lock().confirmed.clone()
    }
}

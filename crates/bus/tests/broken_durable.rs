//! The durable part of the conformance kit must fail for buses that break one of its promises.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::SystemTime,
};

use async_trait::async_trait;
use bus::{
    Bus, Capabilities, Durable, EVENT_ID, Error, Event, Kept, MemoryBus, ORIGIN, PublishAllError,
    Reader, State, StoreMark, Subscription, conformance,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What a durable bus does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    DeclaresNothing,
    ForgetsTheUnread,
    ReversesABatch,
    ForgetsAcknowledgements,
    SkipsTheUnacknowledged,
    SharesOnePlace,
    MixesTopics,
    StoresDoubles,
    MissesIds,
    CountsIdsOfOthers,
    IgnoresTheTime,
    MarksStandStill,
    ConfirmsTooMuch,
    ClaimsOneTooMany,
    CloseDoesNotWake,
}

/// The faults, each with the check that must notice it.
macro_rules! faults {
    ($($fault:ident => $check:ident;)+) => {
        /// Whether the check for `fault` fails on a bus with the fault `actual`.
        async fn check_fails(fault: Fault, actual: Fault) -> bool {
            let bus = Faulty::new(actual);
            match fault {
                $(Fault::$fault => fails(conformance::$check(&bus)).await,)+
                Fault::Nothing => fails(conformance::keeps_what_nobody_read(&bus)).await,
            }
        }

        const FAULTS: &[Fault] = &[$(Fault::$fault,)+];
    };
}

faults! {
    DeclaresNothing => declares_that_it_keeps;
    ForgetsTheUnread => keeps_what_nobody_read;
    ReversesABatch => keeps_the_order_of_a_batch;
    ForgetsAcknowledgements => gives_nothing_acknowledged_again;
    SkipsTheUnacknowledged => resumes_after_what_was_acknowledged;
    SharesOnePlace => gives_every_reader_everything;
    MixesTopics => waits_for_what_is_new;
    StoresDoubles => stores_an_id_once;
    MissesIds => knows_the_ids;
    CountsIdsOfOthers => knows_the_ids;
    IgnoresTheTime => knows_the_ids;
    MarksStandStill => marks_rise;
    ConfirmsTooMuch => marks_rise;
    ClaimsOneTooMany => says_how_many_were_taken;
    CloseDoesNotWake => close_ends_a_reader;
}

// The clock is paused: a deadline passes as soon as nothing else can happen.

#[tokio::test(start_paused = true)]
async fn every_fault_fails_the_check_for_it() {
    for fault in FAULTS {
        assert!(check_fails(*fault, *fault).await, "{fault:?} passes");
        assert!(!check_fails(*fault, Fault::Nothing).await, "a sound bus fails for {fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_fails_the_whole_run() {
    for fault in FAULTS {
        assert!(
            fails(conformance::durable(async || Faulty::new(*fault))).await,
            "{fault:?} passes"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_bus_without_a_fault_passes() {
    conformance::run(async || Faulty::new(Fault::Nothing)).await;
    conformance::durable(async || Faulty::new(Fault::Nothing)).await;
}

/// Whether a check panics.
async fn fails(check: impl Future<Output = ()>) -> bool {
    let mut check = pin!(check);
    std::future::poll_fn(|context| {
        let poll = AssertUnwindSafe(|| check.as_mut().poll(context));
        match std::panic::catch_unwind(poll) {
            Ok(poll) => poll.map(|()| false),
            Err(_) => Poll::Ready(true),
        }
    })
    .await
}

/// A bus in memory that keeps its events there, with one fault.
struct Faulty {
    fault: Fault,
    live: MemoryBus,
    store: Arc<Store>,
}

struct Store {
    fault: Fault,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    /// The event numbered 1, and so on.
    events: Vec<(SystemTime, Event)>,
    ids: HashSet<String>,
    /// What each reader has acknowledged, and what it was given.
    places: HashMap<String, [u64; 2]>,
    is_closed: bool,
}

struct FaultyReader {
    store: Arc<Store>,
    topic: String,
    name: String,
    given: u64,
}

/// What a reader comes to.
enum Next {
    Event(Kept),
    Later,
    End,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        let inner = Mutex::default();
        let store = Arc::new(Store { fault, inner, changed: Notify::new() });
        Self { fault, live: MemoryBus::default(), store }
    }
}

impl Store {
    fn keep(&self, event: &Event) {
        let mut inner = self.inner.lock();
        if let Some(id) = event.headers.get(EVENT_ID)
            && !inner.ids.insert(id.to_owned())
            && self.fault != Fault::StoresDoubles
        {
            return;
        }
        inner.events.push((SystemTime::now(), event.clone()));
        drop(inner);
        self.changed.notify_waiters();
    }

    fn mark(&self) -> StoreMark {
        let last = match self.fault {
            Fault::MarksStandStill => 7,
            _ => self.inner.lock().events.len() as u64,
        };
        StoreMark { store: "memory".to_owned(), last }
    }
}

impl FaultyReader {
    fn next(&mut self) -> Next {
        let mut inner = self.store.inner.lock();
        let is_ours = |event: &Event| match self.store.fault {
            Fault::MixesTopics => event.topic.starts_with(&self.topic),
            _ => *event.topic == *self.topic,
        };
        let after = usize::try_from(self.given).expect("few");
        let mut rest = inner.events.iter().enumerate().skip(after);
        let found = rest.find(|(_, (_, event))| is_ours(event));
        let Some((index, (_, event))) = found else {
            let is_closed = inner.is_closed && self.store.fault != Fault::CloseDoesNotWake;
            return if is_closed { Next::End } else { Next::Later };
        };
        let kept = Kept { event: event.clone(), number: index as u64 + 1 };
        self.given = kept.number;
        inner.places.entry(self.name.clone()).or_default()[1] = kept.number;
        Next::Event(kept)
    }
}

#[async_trait]
impl Reader for FaultyReader {
    async fn read(&mut self, batch: &mut Vec<Kept>, limit: usize) -> Result<usize, Error> {
        let store = Arc::clone(&self.store);
        let before = batch.len();
        while batch.len() == before {
            let changed = store.changed.notified();
            while batch.len() - before < limit {
                match self.next() {
                    Next::Event(kept) => batch.push(kept),
                    Next::End => return Ok(batch.len() - before),
                    Next::Later => break,
                }
            }
            if batch.len() == before {
                changed.await;
            }
        }
        Ok(batch.len() - before)
    }

    async fn acknowledge(&mut self, through: u64) -> Result<(), Error> {
        let mut inner = self.store.inner.lock();
        let [acknowledged, _] = inner.places.entry(self.name.clone()).or_default();
        if self.store.fault != Fault::ForgetsAcknowledgements {
            *acknowledged = through.max(*acknowledged);
        }
        Ok(())
    }
}

#[async_trait]
impl Durable for Faulty {
    async fn reader(&self, topic: &str, name: &str) -> Result<Box<dyn Reader>, Error> {
        let name = if self.fault == Fault::SharesOnePlace { "all" } else { name }.to_owned();
        let inner = self.store.inner.lock();
        let [acknowledged, given] = inner.places.get(&name).copied().unwrap_or_default();
        let given = match self.fault {
            Fault::ForgetsTheUnread => inner.events.len() as u64,
            Fault::SkipsTheUnacknowledged => given,
            _ => acknowledged,
        };
        let store = Arc::clone(&self.store);
        Ok(Box::new(FaultyReader { store, topic: topic.to_owned(), name, given }))
    }

    async fn ids(
        &self,
        topic: &str,
        origin: &str,
        since: SystemTime,
    ) -> Result<HashSet<String>, Error> {
        let inner = self.store.inner.lock();
        let ids = inner.events.iter().filter(|(at, event)| {
            let is_its = event.headers.get(ORIGIN) == Some(origin);
            *event.topic == *topic
                && (is_its || self.fault == Fault::CountsIdsOfOthers)
                && (*at >= since || self.fault == Fault::IgnoresTheTime)
        });
        let ids = ids.filter_map(|(_, event)| event.headers.get(EVENT_ID).map(str::to_owned));
        Ok(ids.skip(usize::from(self.fault == Fault::MissesIds)).collect())
    }

    async fn mark(&self) -> Result<StoreMark, Error> {
        Ok(self.store.mark())
    }

    fn confirmed(&self) -> Option<StoreMark> {
        let mut mark = self.store.mark();
        if mark.last == 0 {
            return None;
        }
        mark.last += u64::from(self.fault == Fault::ConfirmsTooMuch);
        Some(mark)
    }
}

#[async_trait]
impl Bus for Faulty {
    async fn publish(&self, event: Event) -> Result<(), Error> {
        self.live.publish(event.clone()).await?;
        self.store.keep(&event);
        Ok(())
    }

    async fn publish_all(&self, events: &[Event]) -> Result<(), PublishAllError> {
        let mut events = events.to_vec();
        if self.fault == Fault::ReversesABatch {
            events.reverse();
        }
        for (taken, event) in events.into_iter().enumerate() {
            self.publish(event).await.map_err(|source| {
                let too_many = usize::from(self.fault == Fault::ClaimsOneTooMany);
                PublishAllError { taken: taken + too_many, source }
            })?;
        }
        Ok(())
    }

    async fn subscribe(&self, topic: &str, capacity: NonZeroUsize) -> Result<Subscription, Error> {
        self.live.subscribe(topic, capacity).await
    }

    fn capabilities(&self) -> Capabilities {
        let durable = self.fault != Fault::DeclaresNothing;
        Capabilities { durable, ..self.live.capabilities() }
    }

    fn state(&self) -> State {
        self.live.state()
    }

    async fn flush(&self) -> Result<(), Error> {
        self.live.flush().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.store.inner.lock().is_closed = true;
        self.store.changed.notify_waiters();
        self.live.close().await
    }

    fn durable(&self) -> Option<&dyn Durable> {
        Some(self)
    }
}

//! The conformance kit must fail for adapters that break a promise, or its passing means nothing.

use std::{num::NonZeroUsize, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use bus::{
    Bus, Capabilities, Error, Event, Fed, Feed, Headers, Link, Reach, State, Subscription,
    check_topic, conformance, queue,
};
use parking_lot::Mutex;
use tokio::task::JoinSet;

/// What an adapter does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    LosesHeaders,
    Reverses,
    DoesNotWake,
    ServesOnlyTheFirst,
    MixesTopics,
    Replays,
    DropsTheNewest,
    Miscounts,
    RoundsTheCapacityUp,
    WaitsForTheSlow,
    TakesOversized,
    TakesAnyTopic,
    ClaimsWildcards,
    LeaksSubscriptions,
    NeverFlushes,
    CloseAddsAnEvent,
    CloseDoesNotWake,
    WorksAfterClose,
    ForgetsOnReconnect,
    RepeatsAfterReconnect,
    HidesReconnects,
}

/// A check of the kit on one bus.
type Check = fn(&'static Broken) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// The faults, each with the checks that must notice it.
macro_rules! faults {
    ($($fault:ident => $($check:ident)+;)+) => {
        /// Every check of a run is in here at least once.
        const FAULTS: &[(Fault, &str, Check)] = &[$($(
            (Fault::$fault, stringify!($check), |bus| Box::pin(conformance::$check(bus))),
        )+)+];
    };
}

faults! {
    LosesHeaders => delivers_what_was_published answers_requests;
    Reverses => keeps_the_order_of_a_publisher keeps_the_order_of_every_publisher;
    DoesNotWake => wakes_a_waiting_subscriber loses_nothing_when_a_wait_is_cancelled;
    ServesOnlyTheFirst => reaches_every_subscriber;
    MixesTopics => keeps_topics_apart;
    Replays => does_not_replay;
    DropsTheNewest => drops_the_oldest_when_full;
    Miscounts => drops_the_oldest_when_full counts_every_gap_once;
    RoundsTheCapacityUp => drops_the_oldest_when_full counts_every_gap_once;
    WaitsForTheSlow => does_not_wait_for_a_slow_subscriber;
    TakesOversized => refuses_an_oversized_payload;
    TakesAnyTopic => refuses_what_some_broker_would_misread;
    ClaimsWildcards => offers_wildcards_or_refuses_them;
    LeaksSubscriptions => lets_a_subscriber_leave;
    NeverFlushes => flushes;
    CloseAddsAnEvent => close_delivers_what_is_queued;
    CloseDoesNotWake => close_wakes_a_waiting_subscriber;
    WorksAfterClose => close_is_final;
}

// The clock is paused: a deadline passes as soon as nothing else can happen.

#[tokio::test(start_paused = true)]
async fn every_fault_fails_the_check_for_it() {
    for (fault, name, check) in FAULTS {
        assert!(fails(check(Broken::new(*fault))).await, "{fault:?} passes {name}");
        assert!(!fails(check(Broken::new(Fault::Nothing))).await, "a sound bus fails {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_fails_the_whole_run() {
    for (fault, ..) in FAULTS {
        let run = conformance::run(async || Broken::new(*fault));
        assert!(fails_here(run).await, "{fault:?} passes");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_bus_without_a_fault_passes() {
    conformance::run(async || Broken::new(Fault::Nothing)).await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_reconnect_is_noticed() {
    for (fault, fails) in [
        (Fault::Nothing, false),
        (Fault::ForgetsOnReconnect, true),
        (Fault::RepeatsAfterReconnect, true),
        (Fault::HidesReconnects, true),
    ] {
        let bus = Broken::new(fault);
        let check = conformance::survives_reconnect(bus, async || bus.interrupt());
        assert_eq!(fails_here(check).await, fails, "{fault:?}");
    }
}

/// Whether a check panics.
async fn fails(check: Pin<Box<dyn Future<Output = ()> + Send>>) -> bool {
    let mut tasks = JoinSet::new();
    tasks.spawn(check);
    has_panicked(&mut tasks).await
}

/// Whether a run panics. It borrows, so it has a thread of tasks for itself.
async fn fails_here(run: impl Future<Output = ()>) -> bool {
    let mut run = std::pin::pin!(run);
    std::future::poll_fn(|context| {
        let poll = std::panic::AssertUnwindSafe(|| run.as_mut().poll(context));
        match std::panic::catch_unwind(poll) {
            Ok(poll) => poll.map(|()| false),
            Err(_) => std::task::Poll::Ready(true),
        }
    })
    .await
}

async fn has_panicked(tasks: &mut JoinSet<()>) -> bool {
    match tasks.join_next().await {
        Some(Err(error)) => error.is_panic(),
        Some(Ok(())) => false,
        None => panic!("no task was started"),
    }
}

/// A bus in memory with one fault.
struct Broken {
    fault: Fault,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    subscribers: Vec<Subscriber>,
    next: u64,
    /// Everything published, for who replays.
    history: Vec<Event>,
    /// What is held back, for who reverses or does not wake.
    held: Vec<Event>,
    is_closed: bool,
    published: u64,
    reconnects: u64,
}

struct Subscriber {
    number: u64,
    topic: String,
    capacity: usize,
    pushed: usize,
    feed: Feed,
}

impl Broken {
    fn new(fault: Fault) -> &'static Self {
        Box::leak(Box::new(Self { fault, inner: Arc::default() }))
    }

    /// Loses the connection and makes another.
    fn interrupt(&self) {
        let mut inner = self.inner.lock();
        inner.reconnects += u64::from(self.fault != Fault::HidesReconnects);
        match self.fault {
            Fault::ForgetsOnReconnect => inner.subscribers.iter_mut().for_each(|subscriber| {
                subscriber.topic.push_str(" is forgotten");
            }),
            Fault::RepeatsAfterReconnect => {
                for event in inner.history.clone() {
                    self.deliver(&mut inner, &event);
                }
            }
            _ => {}
        }
    }

    fn check(&self, event: &Event) -> Result<(), Error> {
        match (self.fault, event.check(&self.capabilities())) {
            (Fault::TakesOversized, Err(Error::TooLarge { .. }))
            | (Fault::TakesAnyTopic, Err(Error::Topic { .. })) => Ok(()),
            (_, checked) => checked,
        }
    }

    /// Whether someone was too slow for it.
    fn deliver(&self, inner: &mut Inner, event: &Event) -> bool {
        let is_same = |topic: &str| match self.fault {
            Fault::MixesTopics => topic.eq_ignore_ascii_case(&event.topic),
            _ => *topic == *event.topic,
        };
        let limit = if self.fault == Fault::ServesOnlyTheFirst { 1 } else { usize::MAX };
        let mut displaced = false;
        for subscriber in inner.subscribers.iter_mut().filter(|one| is_same(&one.topic)).take(limit)
        {
            if self.fault == Fault::DropsTheNewest && subscriber.pushed == subscriber.capacity {
                subscriber.feed.missed(1);
                continue;
            }
            subscriber.pushed += 1;
            if matches!(subscriber.feed.push(event.clone()), Fed::Displaced(_)) {
                displaced = true;
                if self.fault == Fault::Miscounts {
                    subscriber.feed.missed(1);
                }
            }
        }
        displaced
    }

    fn take(&self, event: Event) -> bool {
        let mut inner = self.inner.lock();
        inner.published += 1;
        inner.history.push(event.clone());
        match self.fault {
            Fault::Reverses => {
                let earlier = inner.held.iter().position(|held| held.topic == event.topic);
                let Some(earlier) = earlier else {
                    inner.held.push(event);
                    return false;
                };
                let earlier = inner.held.remove(earlier);
                self.deliver(&mut inner, &event) | self.deliver(&mut inner, &earlier)
            }
            Fault::DoesNotWake => {
                inner.held.push(event);
                false
            }
            _ => self.deliver(&mut inner, &event),
        }
    }

    /// A bus that does not wake delivers when it is called the next time.
    fn let_go(&self) {
        if self.fault == Fault::DoesNotWake {
            let mut inner = self.inner.lock();
            for event in std::mem::take(&mut inner.held) {
                self.deliver(&mut inner, &event);
            }
        }
    }

    fn open(&self) -> Result<(), Error> {
        let is_closed = self.inner.lock().is_closed && self.fault != Fault::WorksAfterClose;
        if is_closed { Err(Error::Closed) } else { Ok(()) }
    }
}

#[async_trait]
impl Bus for Broken {
    async fn publish(&self, mut event: Event) -> Result<(), Error> {
        self.let_go();
        self.check(&event)?;
        self.open()?;
        if self.fault == Fault::LosesHeaders {
            event.headers = Headers::default();
        }
        if self.take(event) && self.fault == Fault::WaitsForTheSlow {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn subscribe(&self, topic: &str, capacity: NonZeroUsize) -> Result<Subscription, Error> {
        self.let_go();
        if !matches!(self.fault, Fault::TakesAnyTopic | Fault::ClaimsWildcards) {
            check_topic(topic)?;
        }
        self.open()?;
        let size = match self.fault {
            Fault::RoundsTheCapacityUp => capacity.checked_next_power_of_two().expect("small"),
            _ => capacity,
        };
        let (feed, subscription) = queue(topic, size);
        let mut inner = self.inner.lock();
        if self.fault == Fault::Replays {
            for event in inner.history.iter().filter(|event| *event.topic == *topic) {
                feed.push(event.clone());
            }
        }
        let number = inner.next;
        inner.next += 1;
        inner.subscribers.push(Subscriber {
            number,
            topic: topic.to_owned(),
            capacity: capacity.get(),
            pushed: 0,
            feed,
        });
        if self.fault == Fault::LeaksSubscriptions {
            return Ok(subscription);
        }
        let shared = Arc::clone(&self.inner);
        Ok(subscription.on_drop(move || {
            shared.lock().subscribers.retain(|subscriber| subscriber.number != number);
        }))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            wildcards: self.fault == Fault::ClaimsWildcards,
            durable: false,
            confirms: true,
            reach: Reach::Process,
            payload_max: 1000,
            wait_max: Duration::ZERO,
        }
    }

    fn state(&self) -> State {
        let inner = self.inner.lock();
        State {
            link: if inner.is_closed { Link::Closed } else { Link::Connected },
            published: inner.published,
            refused: 0,
            missed: 0,
            reconnects: inner.reconnects,
            backlog: 0,
            subscriptions: inner.subscribers.len(),
            trouble: None,
        }
    }

    async fn flush(&self) -> Result<(), Error> {
        self.open()?;
        if self.fault == Fault::NeverFlushes {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), Error> {
        let mut inner = self.inner.lock();
        inner.is_closed = true;
        match self.fault {
            Fault::CloseDoesNotWake => {}
            Fault::CloseAddsAnEvent => {
                for subscriber in inner.subscribers.drain(..) {
                    subscriber.feed.push(Event::new(subscriber.topic, "goodbye"));
                }
            }
            _ => inner.subscribers.clear(),
        }
        Ok(())
    }
}

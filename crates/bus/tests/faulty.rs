//! Buses around the bus in memory that are slow, lose events or fail: what the conformance kit says of them, and what their callers can do.

use std::{
    num::NonZeroUsize,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use bus::{
    Bus, Capabilities, Delivery, Error, Event, Feed, MemoryBus, State, Subscription, conformance,
    queue,
};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinSet, time::timeout};

// The clock is paused: a deadline passes as soon as nothing else can happen.

#[tokio::test(start_paused = true)]
async fn a_slow_bus_keeps_the_contract() {
    conformance::run(async || Slow(MemoryBus::default())).await;
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_fails_keeps_the_contract_for_callers_that_try_again() {
    conformance::run(async || Retrying(Failing::default())).await;
    assert!(fails(conformance::run(async || Failing::default())).await);
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_loses_events_fails_where_every_event_is_due() {
    type Check = fn(&Lossy) -> Pin<Box<dyn Future<Output = ()> + '_>>;
    let breaks: [Check; 4] = [
        |bus| Box::pin(conformance::keeps_the_order_of_a_publisher(bus)),
        |bus| Box::pin(conformance::reaches_every_subscriber(bus)),
        |bus| Box::pin(conformance::drops_the_oldest_when_full(bus)),
        |bus| Box::pin(conformance::does_not_wait_for_a_slow_subscriber(bus)),
    ];
    for (index, check) in breaks.into_iter().enumerate() {
        assert!(fails(check(&Lossy::default())).await, "check {index}");
    }
    conformance::wakes_a_waiting_subscriber(&Lossy::default()).await;
    conformance::refuses_what_some_broker_would_misread(&Lossy::default()).await;
    conformance::flushes(&Lossy::default()).await;
    conformance::close_wakes_a_waiting_subscriber(&Lossy::default()).await;
    conformance::close_is_final(&Lossy::default()).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_bus_loses_is_found_in_its_place() {
    let bus = Lossy::default();
    let mut events = bus.subscribe("a", room(100)).await.unwrap();
    for number in 0..10 {
        bus.publish(Event::new("a", number.to_string())).await.unwrap();
    }
    bus.close().await.unwrap();
    let mut found = Vec::new();
    while let Some(delivery) = events.recv().await {
        found.push(match delivery {
            Delivery::Event(event) => String::from_utf8(event.payload.to_vec()).unwrap(),
            Delivery::Missed(count) => format!("missed {count}"),
        });
    }
    assert_eq!(found, ["0", "1", "2", "missed 1", "4", "5", "6", "missed 1", "8", "9"]);
}

fn room(events: usize) -> NonZeroUsize {
    NonZeroUsize::new(events).expect("no check asks for an empty queue")
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

/// Takes three milliseconds for every event, and then some for every subscription.
struct Slow(MemoryBus);

const DELAY: Duration = Duration::from_millis(3);

async fn delay() {
    let _ = timeout(DELAY, std::future::pending::<()>()).await;
}

#[async_trait]
impl Bus for Slow {
    fn state(&self) -> State {
        self.0.state()
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.close().await
    }

    async fn flush(&self) -> Result<(), Error> {
        self.0.flush().await
    }

    async fn publish(&self, event: Event) -> Result<(), Error> {
        delay().await;
        self.0.publish(event).await
    }

    async fn subscribe(&self, topic: &str, capacity: NonZeroUsize) -> Result<Subscription, Error> {
        delay().await;
        self.0.subscribe(topic, capacity).await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { wait_max: DELAY, ..self.0.capabilities() }
    }
}

/// Loses every fourth event of each subscription on the way, and says so.
#[derive(Default)]
struct Lossy(MemoryBus, Mutex<JoinSet<()>>);

#[async_trait]
impl Bus for Lossy {
    async fn publish(&self, event: Event) -> Result<(), Error> {
        self.0.publish(event).await
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn state(&self) -> State {
        self.0.state()
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.close().await
    }

    async fn flush(&self) -> Result<(), Error> {
        self.0.flush().await
    }

    async fn subscribe(&self, topic: &str, capacity: NonZeroUsize) -> Result<Subscription, Error> {
        let upstream = self.0.subscribe(topic, room(65_536)).await?;
        let (feed, events) = queue(topic, capacity);
        let left = Arc::new(Notify::new());
        self.1.lock().spawn(lose_some(upstream, feed, Arc::clone(&left)));
        Ok(events.on_drop(move || left.notify_one()))
    }
}

async fn lose_some(mut upstream: Subscription, feed: Feed, left: Arc<Notify>) {
    for number in 1_u64.. {
        let delivery = tokio::select! {
            () = left.notified() => return,
            delivery = upstream.recv() => delivery,
        };
        match delivery {
            None => return,
            Some(Delivery::Missed(count)) => feed.missed(count),
            Some(Delivery::Event(_)) if number.is_multiple_of(4) => feed.missed(1),
            Some(Delivery::Event(event)) => {
                feed.push(event);
            }
        }
    }
}

/// Every third call finds the broker away.
#[derive(Default)]
struct Failing(MemoryBus, AtomicU64);

impl Failing {
    fn fail_sometimes(&self, topic: &str) -> Result<(), Error> {
        let calls = self.1.fetch_add(1, Ordering::Relaxed);
        if calls % 3 == 2 {
            return Err(Error::Disconnected { topic: topic.to_owned() });
        }
        Ok(())
    }
}

#[async_trait]
impl Bus for Failing {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn state(&self) -> State {
        self.0.state()
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.close().await
    }

    async fn publish(&self, event: Event) -> Result<(), Error> {
        self.fail_sometimes(&event.topic)?;
        self.0.publish(event).await
    }

    async fn subscribe(&self, topic: &str, capacity: NonZeroUsize) -> Result<Subscription, Error> {
        self.fail_sometimes(topic)?;
        self.0.subscribe(topic, capacity).await
    }

    async fn flush(&self) -> Result<(), Error> {
        self.fail_sometimes("flush")?;
        self.0.flush().await
    }
}

/// A caller that goes by the table of errors: what was not taken is tried again, and nothing else.
struct Retrying(Failing);

fn was_surely_not_taken<T>(result: &Result<T, Error>) -> bool {
    result.as_ref().is_err_and(|error| error.is_temporary() && !error.is_uncertain())
}

#[async_trait]
impl Bus for Retrying {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn state(&self) -> State {
        self.0.state()
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.close().await
    }

    async fn publish(&self, event: Event) -> Result<(), Error> {
        loop {
            let published = self.0.publish(event.clone()).await;
            if !was_surely_not_taken(&published) {
                return published;
            }
        }
    }

    async fn subscribe(&self, topic: &str, capacity: NonZeroUsize) -> Result<Subscription, Error> {
        loop {
            let subscribed = self.0.subscribe(topic, capacity).await;
            if !was_surely_not_taken(&subscribed) {
                return subscribed;
            }
        }
    }

    async fn flush(&self) -> Result<(), Error> {
        loop {
            let flushed = self.0.flush().await;
            if !was_surely_not_taken(&flushed) {
                return flushed;
            }
        }
    }
}

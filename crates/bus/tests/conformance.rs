//! The conformance kit, on every adapter of this crate, on pointers to one, and on one that delivers late.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use async_trait::async_trait;
use bus::{
    Bus, Capabilities, Delivery, Error, Event, Feed, MemoryBus, Reach, State, Subscription,
    conformance, queue,
};
use parking_lot::Mutex;
use tokio::task::JoinSet;

#[tokio::test]
async fn memory() {
    conformance::run(async || MemoryBus::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_on_several_threads() {
    conformance::run(async || MemoryBus::default()).await;
}

#[tokio::test]
async fn shared() {
    conformance::run(async || bus::connect("memory:").await.unwrap()).await;
}

#[tokio::test]
async fn boxed() {
    conformance::run(async || Box::new(MemoryBus::default()) as Box<dyn Bus>).await;
}

#[tokio::test]
async fn borrowed() {
    conformance::run(async || Box::leak(Box::new(MemoryBus::default())) as &dyn Bus).await;
}

#[tokio::test]
async fn late() {
    conformance::run(async || Late::new()).await;
}

/// A bus that behaves as one behind a network: every subscription is filled by a task of its own, some time after `publish` returned.
struct Late {
    inner: MemoryBus,
    forwarders: Mutex<JoinSet<()>>,
}

impl Late {
    fn new() -> Self {
        Self { inner: MemoryBus::default(), forwarders: Mutex::default() }
    }
}

#[async_trait]
impl Bus for Late {
    async fn publish(&self, event: Event) -> Result<(), Error> {
        self.inner.publish(event).await
    }

    async fn subscribe(&self, topic: &str, capacity: NonZeroUsize) -> Result<Subscription, Error> {
        let roomy = NonZeroUsize::new(65_536).expect("not zero");
        let upstream = self.inner.subscribe(topic, roomy).await?;
        let (feed, events) = queue(topic, capacity);
        let left = Arc::new(tokio::sync::Notify::new());
        self.forwarders.lock().spawn(forward(upstream, feed, Arc::clone(&left)));
        Ok(events.on_drop(move || left.notify_one()))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { reach: Reach::Network, confirms: false, ..self.inner.capabilities() }
    }

    fn state(&self) -> State {
        self.inner.state()
    }

    async fn flush(&self) -> Result<(), Error> {
        self.inner.flush().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }
}

/// Passes events on, the next one never in the same millisecond as the first of a row of eight.
async fn forward(mut upstream: Subscription, feed: Feed, left: Arc<tokio::sync::Notify>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let mut batch = Vec::new();
    loop {
        ticks.tick().await;
        tokio::select! {
            () = left.notified() => return,
            taken = upstream.recv_many(&mut batch, 8) => if taken == 0 { return },
        }
        ticks.tick().await;
        for delivery in batch.drain(..) {
            match delivery {
                Delivery::Event(event) => {
                    feed.push(event);
                }
                Delivery::Missed(count) => feed.missed(count),
            }
        }
    }
}

//! A program of a test on the bus, beside the services under test.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Bus, Delivery, Event, Kept, Reader, Subscription};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::DEADLINE;

/// A connection of the test's own.
pub struct OnBus {
    runtime: Arc<Runtime>,
    bus: Arc<dyn Bus>,
}

/// What is published on a topic from now on.
pub struct Listener {
    runtime: Arc<Runtime>,
    /// A subscription ends with the last handle of its bus.
    _bus: Arc<dyn Bus>,
    events: Subscription,
}

/// What is kept on a topic.
pub struct KeptEvents {
    runtime: Arc<Runtime>,
    _bus: Arc<dyn Bus>,
    reader: Box<dyn Reader>,
    /// What was read so far.
    pub events: Vec<Kept>,
}

/// Events of a topic that may wait for a test.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1 << 20).expect("it is not zero");

impl OnBus {
    /// Connects to the bus at `url`.
    ///
    /// # Panics
    ///
    /// If the URL cannot be used.
    pub fn connect(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let bus = runtime.block_on(bus::connect(url)).expect("the URL can be used");
        Self { runtime: Arc::new(runtime), bus }
    }

    /// Listens to `topic` from now on.
    ///
    /// # Panics
    ///
    /// If the bus refuses.
    #[track_caller]
    pub fn listen(&self, topic: &str) -> Listener {
        let events = self.retry(|| self.runtime.block_on(self.bus.subscribe(topic, CAPACITY)));
        Listener { runtime: self.runtime.clone(), _bus: self.bus.clone(), events }
    }

    /// Publishes `payload` with these headers.
    ///
    /// # Panics
    ///
    /// If the bus refuses.
    #[track_caller]
    pub fn publish(&self, topic: &str, payload: &[u8], headers: &[(&'static str, &str)]) {
        let event =
            headers.iter().fold(Event::new(topic, payload.to_vec()), |event, (name, value)| {
                event.with_header(*name, *value)
            });
        self.retry(|| self.runtime.block_on(self.bus.publish(event.clone())));
    }

    /// Reads what is kept on `topic`, from the beginning, as `name`.
    ///
    /// # Panics
    ///
    /// If the bus keeps nothing.
    #[track_caller]
    pub fn kept(&self, topic: &str, name: &str) -> KeptEvents {
        let durable = self.bus.durable().expect("this bus keeps events");
        let reader = self.retry(|| self.runtime.block_on(durable.reader(topic, name)));
        KeptEvents {
            runtime: self.runtime.clone(),
            _bus: self.bus.clone(),
            reader,
            events: Vec::new(),
        }
    }

    /// Brokers that were restarted need a moment.
    #[track_caller]
    fn retry<T>(&self, mut call: impl FnMut() -> Result<T, bus::Error>) -> T {
        let start = Instant::now();
        loop {
            match call() {
                Ok(value) => return value,
                Err(error) if !error.is_temporary() || start.elapsed() > DEADLINE => {
                    panic!("{error}: {:?}", self.bus.state().trouble)
                }
                Err(_) => std::thread::yield_now(),
            }
        }
    }
}

impl Listener {
    /// The next event.
    ///
    /// # Panics
    ///
    /// If none comes in time, or one was missed.
    #[track_caller]
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> Event {
        match self.next_within(DEADLINE) {
            Some(event) => event,
            None => panic!("nothing comes on {}", self.events.topic()),
        }
    }

    /// The next event, if one comes within `patience`.
    ///
    /// # Panics
    ///
    /// If one was missed.
    #[track_caller]
    pub fn next_within(&mut self, patience: Duration) -> Option<Event> {
        let next = async { tokio::time::timeout(patience, self.events.recv()).await };
        match self.runtime.block_on(next) {
            Ok(Some(Delivery::Event(event))) => Some(event),
            Ok(other) => panic!("{other:?} on {}", self.events.topic()),
            Err(_) => None,
        }
    }

    /// The first event with a body that `wanted` accepts.
    #[track_caller]
    pub fn find<T>(&mut self, mut wanted: impl FnMut(&Value) -> Option<T>) -> T {
        loop {
            let event = self.next();
            let body = serde_json::from_slice(&event.payload).expect("our bodies are JSON");
            if let Some(found) = wanted(&body) {
                return found;
            }
        }
    }
}

impl KeptEvents {
    /// Reads until `enough` says so of all that was read, and returns that.
    ///
    /// # Panics
    ///
    /// If it does not come in time.
    #[track_caller]
    pub fn read_until(&mut self, enough: impl Fn(&[Kept]) -> bool) -> &[Kept] {
        let start = Instant::now();
        while !enough(&self.events) {
            let count = self.events.len();
            let read = async {
                tokio::time::timeout(DEADLINE, self.reader.read(&mut self.events, 1000)).await
            };
            let outcome = self.runtime.block_on(read);
            let is_fine = matches!(outcome, Ok(Ok(1..)));
            assert!(is_fine && start.elapsed() < DEADLINE, "{outcome:?} after {count} events");
        }
        &self.events
    }
}

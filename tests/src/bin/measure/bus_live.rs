//! From one that publishes to one that subscribes, with nothing kept.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use async_nats::{Client, ConnectOptions, Subject, Subscriber};
use bus::{Bus, Delivery, Event, MemoryBus, NatsBus, Subscription};
use bytes::Bytes;
use futures_util::StreamExt as _;
use nats_fixture::NatsServer;
use tokio::time::{Instant as Due, sleep_until, timeout};

use crate::bus::{self as section, PAYLOAD, Threads, ratios};
use crate::options::{Options, Section};
use crate::report::Table;
use crate::runs::{Runs, percentile};

/// How events go from one to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Our bus inside a process.
    Memory,
    /// Our bus, through the server.
    Nats,
    /// The client library alone, through the server.
    Library,
    /// The same, on one thread.
    LibraryOnOne,
}

trait Publish {
    async fn publish(&self, payload: Bytes) -> Result<()>;
}

trait Take {
    /// Waits for payloads and appends them.
    async fn take(&mut self, batch: &mut Vec<Bytes>) -> Result<()>;
}

struct OurPublisher(Arc<dyn Bus>);
struct OurSubscriber {
    _bus: Arc<dyn Bus>,
    events: Subscription,
    deliveries: Vec<Delivery>,
}
struct LibraryPublisher(Client, Subject);
struct LibrarySubscriber {
    _client: Client,
    messages: Subscriber,
}

/// How much is sent.
#[derive(Debug, Clone, Copy)]
struct Amounts {
    /// As fast as it goes.
    flood: usize,
    /// One each millisecond.
    calm: usize,
}

/// One run of one way.
#[derive(Debug, Clone, Copy)]
struct Figures {
    events_per_second: f64,
    /// Microseconds: p50, p99, p99.9 and the most.
    late: [f64; 4],
}

const TOPIC: &str = "rate";
const SUBJECT: &str = "cantina.rate";
/// For everything to arrive.
const PATIENCE: Duration = Duration::from_mins(1);
/// Deliveries taken at once.
const BATCH: usize = 1000;
const COLUMNS: [&str; 7] =
    ["way", "events/s", "of the better library", "p50 µs", "p99 µs", "p99.9 µs", "max µs"];

pub(crate) fn measure(options: &Options) -> Result<String> {
    let amounts =
        Amounts { flood: options.either(20_000, 200_000), calm: options.either(200, 2_000) };
    let repeats = options.repeats(Section::Bus);
    let server = NatsServer::start();
    let mut runs: [Vec<Figures>; 4] = Default::default();
    for round in 0..repeats {
        for turn in 0..Way::ALL.len() {
            let place = (round + turn) % Way::ALL.len();
            let way = Way::ALL[place];
            let url = server.url();
            let figures = run_of(way, &url, amounts);
            runs[place].push(section::run(way.threads(), figures)?);
        }
    }
    let mut table =
        Table::new("From one that publishes to one that subscribes, with nothing kept", &COLUMNS);
    let library = [Way::Library, Way::LibraryOnOne].map(|way| rates(&runs[way as usize]));
    for (way, runs) in Way::ALL.into_iter().zip(&runs) {
        table.row(row(way, runs, &library));
    }
    let Amounts { flood, calm } = amounts;
    let bytes = PAYLOAD.len();
    table.note(format!("Runs: {repeats}, the ways in turn, with one server beside them, and two connections of one process."));
    table.note(format!("Events/s: {flood} events of {bytes} bytes as fast as they are taken, until the last has arrived; the queue of the subscriber has room for all."));
    table.note(format!("The times are of {calm} events with a millisecond between them, from just before `publish` until the subscriber has them."));
    Ok(table.markdown())
}

fn rates(runs: &[Figures]) -> Vec<f64> {
    runs.iter().map(|run| run.events_per_second).collect()
}

fn row(way: Way, runs: &[Figures], library: &[Vec<f64>; 2]) -> Vec<String> {
    let rates = rates(runs);
    let late = |place: usize| runs.iter().map(|run| run.late[place]).collect::<Runs>().show(0);
    let against = ratios(&rates, [&library[0], &library[1]]).show(2);
    let rate = rates.into_iter().collect::<Runs>().show(0);
    vec![way.title().to_owned(), rate, against, late(0), late(1), late(2), late(3)]
}

async fn run_of(way: Way, url: &str, amounts: Amounts) -> Result<Figures> {
    let room = NonZeroUsize::new(amounts.flood).context("nothing is sent")?;
    if matches!(way, Way::Library | Way::LibraryOnOne) {
        let (publisher, subscriber) = library(url, room).await?;
        return measure_pair(publisher, subscriber, amounts).await;
    }
    let (publisher, subscriber): (Arc<dyn Bus>, Arc<dyn Bus>) = if way == Way::Memory {
        let bus = Arc::new(MemoryBus::default());
        (bus.clone(), bus)
    } else {
        let connect = || async { anyhow::Ok(NatsBus::connect(url.parse()?).await?) };
        (Arc::new(connect().await?), Arc::new(connect().await?))
    };
    let events = subscriber.subscribe(TOPIC, room).await?;
    let taking = OurSubscriber { _bus: subscriber.clone(), events, deliveries: Vec::new() };
    let figures = measure_pair(OurPublisher(publisher.clone()), taking, amounts).await?;
    publisher.close().await?;
    subscriber.close().await?;
    Ok(figures)
}

async fn library(url: &str, room: NonZeroUsize) -> Result<(LibraryPublisher, LibrarySubscriber)> {
    // Room for all, as the subscription on the bus has.
    let connect = || ConnectOptions::new().subscription_capacity(room.get()).connect(url);
    let (publisher, subscriber) = (connect().await?, connect().await?);
    let messages = subscriber.subscribe(SUBJECT).await?;
    // Its flush only reaches the socket; an answer means that the server has
    // the subscription.
    let mut standing = subscriber.subscribe("standing").await?;
    subscriber.publish("standing", Bytes::new()).await?;
    standing.next().await.context("the connection is lost")?;
    let taking = LibrarySubscriber { _client: subscriber, messages };
    Ok((LibraryPublisher(publisher, Subject::from(SUBJECT)), taking))
}

async fn measure_pair(
    publisher: impl Publish,
    mut subscriber: impl Take,
    amounts: Amounts,
) -> Result<Figures> {
    let events_per_second =
        timeout(PATIENCE, flood(&publisher, &mut subscriber, amounts.flood)).await??;
    let mut late = timeout(PATIENCE, calm(&publisher, &mut subscriber, amounts.calm)).await??;
    late.sort_by(f64::total_cmp);
    let late = [500, 990, 999, 1000].map(|per_mille| percentile(&late, per_mille));
    Ok(Figures { events_per_second, late })
}

async fn flood(publisher: &impl Publish, subscriber: &mut impl Take, count: usize) -> Result<f64> {
    let payload = Bytes::from_static(PAYLOAD);
    let start = Instant::now();
    let publish = async {
        for _ in 0..count {
            publisher.publish(payload.clone()).await?;
        }
        anyhow::Ok(())
    };
    let take = async {
        let (mut taken, mut batch) = (0, Vec::new());
        while taken < count {
            subscriber.take(&mut batch).await?;
            taken += batch.drain(..).count();
        }
        anyhow::Ok(())
    };
    tokio::try_join!(publish, take)?;
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// One event each millisecond; how many microseconds each took.
async fn calm(
    publisher: &impl Publish,
    subscriber: &mut impl Take,
    count: usize,
) -> Result<Vec<f64>> {
    let (start, begin) = (Instant::now(), Due::now());
    let nanos = || u64::try_from(start.elapsed().as_nanos()).expect("it is not yet 2262");
    let publish = async {
        let mut due = begin;
        for _ in 0..count {
            due += Duration::from_millis(1);
            sleep_until(due).await;
            let mut payload = PAYLOAD.to_vec();
            payload[..8].copy_from_slice(&nanos().to_le_bytes());
            publisher.publish(payload.into()).await?;
        }
        anyhow::Ok(())
    };
    let take = async {
        let (mut late, mut batch) = (Vec::new(), Vec::new());
        while late.len() < count {
            subscriber.take(&mut batch).await?;
            let now = nanos();
            for payload in batch.drain(..) {
                let since = u64::from_le_bytes(payload[..8].try_into()?);
                late.push((now - since) as f64 / 1000.0);
            }
        }
        anyhow::Ok(late)
    };
    let ((), late) = tokio::try_join!(publish, take)?;
    Ok(late)
}

// === impl Way ===

impl Way {
    const ALL: [Self; 4] = [Self::Memory, Self::Nats, Self::Library, Self::LibraryOnOne];

    fn threads(self) -> Threads {
        if self == Self::LibraryOnOne { Threads::One } else { Threads::Several }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Memory => "`MemoryBus`, inside the process",
            Self::Nats => "`NatsBus`",
            Self::Library => "`async-nats` alone, on a runtime of two threads",
            Self::LibraryOnOne => "`async-nats` alone, on a runtime of one thread",
        }
    }
}

// === impl Publish ===

impl Publish for OurPublisher {
    async fn publish(&self, payload: Bytes) -> Result<()> {
        Ok(self.0.publish(Event::new(TOPIC, payload)).await?)
    }
}

impl Publish for LibraryPublisher {
    async fn publish(&self, payload: Bytes) -> Result<()> {
        Ok(self.0.publish(self.1.clone(), payload).await?)
    }
}

// === impl Take ===

impl Take for OurSubscriber {
    async fn take(&mut self, batch: &mut Vec<Bytes>) -> Result<()> {
        if self.events.recv_many(&mut self.deliveries, BATCH).await == 0 {
            bail!("the subscription ended");
        }
        for delivery in self.deliveries.drain(..) {
            match delivery {
                Delivery::Event(event) => batch.push(event.payload),
                missed @ Delivery::Missed(_) => bail!("{missed:?}"),
            }
        }
        Ok(())
    }
}

impl Take for LibrarySubscriber {
    async fn take(&mut self, batch: &mut Vec<Bytes>) -> Result<()> {
        batch.push(self.messages.next().await.context("the subscription ended")?.payload);
        Ok(())
    }
}

//! To and from a stream.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, stream};
use bus::{Bus, EVENT_ID, Event, NatsBus};
use bytes::Bytes;
use futures_util::StreamExt as _;
use nats_fixture::{NatsCluster, NatsServer};

use crate::bus::{self as section, PAYLOAD, Threads, ratios};
use crate::options::{Options, Section};
use crate::report::Table;
use crate::runs::{Runs, percentile};
use crate::served::pass;

/// How events get to the stream, or from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `publish_all` of as many as the bridge has at once.
    Bridge,
    /// `publish_all` of many more.
    Many,
    /// The library, with as many unconfirmed as `publish_all` has.
    Library,
    LibraryOnOne,
    /// `publish`, one after the other.
    Each,
    /// The library, one after the other.
    LibraryEach,
    LibraryEachOnOne,
    /// A reader that acknowledges every batch.
    Read,
    /// The library, the same.
    LibraryRead,
    LibraryReadOnOne,
}

/// The servers, the same for all ways.
struct Servers {
    running: Vec<NatsServer>,
    replicas: usize,
}

/// A stream for one round.
struct Round {
    /// Of the stream's leader.
    url: String,
    /// How many events are published, and how many of them one by one.
    events: usize,
    singles: usize,
}

/// One run of one way.
#[derive(Debug, Clone, Copy)]
struct Figures {
    events_per_second: f64,
    /// Microseconds of one call, p50 and p99, if it is one event.
    call: Option<(f64, f64)>,
}

/// Events on their way, and what is acknowledged at once.
const WINDOW: usize = 256;
/// Each way publishes one that is not counted.
const FIRSTS: usize = Way::ALL.len();
const STREAM: &str = "RATE";
const TOPIC: &str = "rate";
const SUBJECT: &str = "cantina.rate";
/// For a cluster to choose its leaders.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(100);
const COLUMNS: [&str; 5] =
    ["way", "servers", "events/s", "of the better library", "p50 / p99 of a call, µs"];

pub(crate) fn measure(options: &Options) -> Result<String> {
    let (events, singles) = (options.either(5_000, 50_000), options.either(200, 3_000));
    let repeats = options.repeats(Section::Bus);
    let mut table = Table::new("To a stream of JetStream, and from there", &COLUMNS);
    let several = Threads::Several;
    for replicas in [1, 3] {
        let servers = Servers::start(replicas);
        let mut runs: [Vec<Figures>; Way::ALL.len()] = Default::default();
        for turn in 0..repeats {
            let round = section::run(several, servers.round(turn, events, singles))?;
            for way in Way::in_turn(turn) {
                runs[way as usize].push(section::run(way.threads(), round.run(way))?);
            }
            section::run(several, round.finish())?;
        }
        for way in Way::ALL {
            table.row(row(way, replicas, &runs));
        }
    }
    let bytes = PAYLOAD.len();
    table.note(format!("Runs: {repeats}, the ways in turn on one stream in files, which is new in each round; all connect to the server that leads it."));
    table.note(format!("Each publishes {events} events of {bytes} bytes with ids, one by one {singles}, and reads {events}."));
    table.note(format!("Events/s are confirmed ones, with up to {WINDOW} unconfirmed, or those read, of which every {WINDOW} are acknowledged with an answer."));
    table.note("On three servers, two others on the same cores do the same work as the leader.");
    Ok(table.markdown())
}

fn row(way: Way, replicas: usize, runs: &[Vec<Figures>]) -> Vec<String> {
    let rates = |way: Way| -> Vec<f64> {
        runs[way as usize].iter().map(|run| run.events_per_second).collect()
    };
    let calls = runs[way as usize].iter().filter_map(|run| run.call);
    let (p50, p99): (Vec<f64>, Vec<f64>) = calls.unzip();
    let call = if p50.is_empty() {
        "–".to_owned()
    } else {
        let [p50, p99] = [p50, p99].map(|figures| figures.into_iter().collect::<Runs>());
        format!("{:.0} / {:.0}", p50.median(), p99.median())
    };
    vec![
        way.title().to_owned(),
        replicas.to_string(),
        rates(way).into_iter().collect::<Runs>().show(0),
        ratios(&rates(way), way.of_library().map(rates).each_ref().map(Vec::as_slice)).show(2),
        call,
    ]
}

// === impl Servers ===

impl Servers {
    fn start(replicas: usize) -> Self {
        let running = match replicas {
            1 => vec![NatsServer::jetstream()],
            _ => NatsCluster::start().servers,
        };
        Self { running, replicas }
    }

    /// Makes a stream, as soon as the servers can.
    async fn round(&self, turn: usize, events: usize, singles: usize) -> Result<Round> {
        let config = stream::Config {
            name: STREAM.to_owned(),
            subjects: vec!["cantina.>".to_owned()],
            num_replicas: self.replicas,
            duplicate_window: Duration::from_mins(2),
            ..Default::default()
        };
        let jetstream = jetstream::new(async_nats::connect(self.running[0].url()).await?);
        let start = Instant::now();
        let mut stream = loop {
            match jetstream.create_stream(config.clone()).await {
                Ok(stream) => break stream,
                Err(error) if start.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => pass(LOOK),
            }
        };
        let info = stream.info().await?;
        let leader = info.cluster.as_ref().and_then(|cluster| cluster.leader.clone());
        let is_leader =
            |server: &&NatsServer| leader.as_deref() == Some(&*format!("n{}", server.port()));
        let url = match self.replicas {
            1 => self.running[0].url(),
            _ => self.running.iter().find(is_leader).context("there is no leader")?.url(),
        };
        eprintln!("measure: bus, round {turn}, {} server(s)", self.replicas);
        Ok(Round { url, events, singles })
    }
}

// === impl Round ===

impl Round {
    async fn run(&self, way: Way) -> Result<Figures> {
        match way {
            Way::Bridge => self.publish_all(way, WINDOW).await,
            Way::Many => self.publish_all(way, 10 * WINDOW).await,
            Way::Library | Way::LibraryOnOne => self.publish_with_library(way).await,
            Way::Each => self.publish_each(way).await,
            Way::LibraryEach | Way::LibraryEachOnOne => self.publish_each_with_library(way).await,
            Way::Read => self.read().await,
            Way::LibraryRead => self.read_with_library("several").await,
            Way::LibraryReadOnOne => self.read_with_library("one").await,
        }
    }

    /// Whether everything was kept, and nothing taken for a double; then the
    /// stream goes.
    async fn finish(&self) -> Result<()> {
        let jetstream = jetstream::new(async_nats::connect(&self.url).await?);
        let kept = jetstream.get_stream(STREAM).await?.info().await?.state.messages;
        let expected = 4 * self.events + 3 * self.singles + FIRSTS;
        ensure!(kept == expected as u64, "the stream has {kept} events, not {expected}");
        jetstream.delete_stream(STREAM).await?;
        Ok(())
    }

    /// The library, on the runtime where this is called.
    async fn library(&self) -> Result<jetstream::Context> {
        let jetstream = jetstream::new(async_nats::connect(&self.url).await?);
        jetstream.publish("cantina.first", Bytes::new()).await?.await?;
        Ok(jetstream)
    }

    async fn bus(&self) -> Result<NatsBus> {
        let bus = NatsBus::connect(format!("{}?stream={STREAM}", self.url).parse()?).await?;
        // So that the connection is there before the clock runs.
        bus.publish(Event::new("first", "")).await?;
        Ok(bus)
    }

    async fn publish_all(&self, way: Way, at_once: usize) -> Result<Figures> {
        let bus = self.bus().await?;
        let start = Instant::now();
        let mut events = way.ids(self.events).map(event);
        loop {
            let batch: Vec<_> = events.by_ref().take(at_once).collect();
            if batch.is_empty() {
                break;
            }
            bus.publish_all(&batch).await?;
        }
        let figures = figures(self.events, start, None);
        bus.close().await?;
        Ok(figures)
    }

    async fn publish_with_library(&self, way: Way) -> Result<Figures> {
        let jetstream = self.library().await?;
        let start = Instant::now();
        let mut window = VecDeque::new();
        for id in way.ids(self.events) {
            let payload = Bytes::from_static(PAYLOAD);
            let sent = jetstream.publish_with_headers(SUBJECT, headers(&id), payload).await?;
            window.push_back(sent);
            if window.len() == WINDOW
                && let Some(oldest) = window.pop_front()
            {
                oldest.await?;
            }
        }
        for sent in window {
            sent.await?;
        }
        Ok(figures(self.events, start, None))
    }

    async fn publish_each(&self, way: Way) -> Result<Figures> {
        let bus = self.bus().await?;
        let (start, mut calls) = (Instant::now(), Vec::new());
        for id in way.ids(self.singles) {
            let called = Instant::now();
            bus.publish(event(id)).await?;
            calls.push(called.elapsed());
        }
        let figures = figures(self.singles, start, Some(calls));
        bus.close().await?;
        Ok(figures)
    }

    async fn publish_each_with_library(&self, way: Way) -> Result<Figures> {
        let jetstream = self.library().await?;
        let (start, mut calls) = (Instant::now(), Vec::new());
        for id in way.ids(self.singles) {
            let called = Instant::now();
            let payload = Bytes::from_static(PAYLOAD);
            jetstream.publish_with_headers(SUBJECT, headers(&id), payload).await?.await?;
            calls.push(called.elapsed());
        }
        Ok(figures(self.singles, start, Some(calls)))
    }

    async fn read(&self) -> Result<Figures> {
        let bus = self.bus().await?;
        let start = Instant::now();
        let durable = bus.durable().context("it has a stream")?;
        let mut reader = durable.reader(TOPIC, "ours").await?;
        let (mut batch, mut count) = (Vec::new(), 0);
        while count < self.events {
            count += reader.read(&mut batch, WINDOW).await?;
            if let Some(last) = batch.last() {
                reader.acknowledge(last.number).await?;
            }
            batch.clear();
        }
        let figures = figures(count, start, None);
        bus.close().await?;
        Ok(figures)
    }

    async fn read_with_library(&self, name: &str) -> Result<Figures> {
        let stream = self.library().await?.get_stream(STREAM).await?;
        let start = Instant::now();
        let config = pull::Config {
            durable_name: Some(name.to_owned()),
            filter_subject: SUBJECT.to_owned(),
            ack_policy: AckPolicy::All,
            max_ack_pending: 20_000,
            ..Default::default()
        };
        let consumer = stream.create_consumer(config).await?;
        let messages = consumer.stream().max_messages_per_batch(2 * WINDOW);
        let mut messages = messages.messages().await?;
        for number in 1..=self.events {
            let message = messages.next().await.context("the messages ended")??;
            if number % WINDOW == 0 || number == self.events {
                message.double_ack().await.map_err(|error| anyhow::anyhow!(error))?;
            }
        }
        Ok(figures(self.events, start, None))
    }
}

fn event(id: String) -> Event {
    Event::new(TOPIC, Bytes::from_static(PAYLOAD)).with_header(EVENT_ID, id)
}

fn headers(id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(EVENT_ID, id);
    headers
}

fn figures(events: usize, start: Instant, calls: Option<Vec<Duration>>) -> Figures {
    let events_per_second = events as f64 / start.elapsed().as_secs_f64();
    let call = calls.map(|mut calls| {
        calls.sort();
        let micros = |per_mille| percentile(&calls, per_mille).as_secs_f64() * 1e6;
        (micros(500), micros(990))
    });
    Figures { events_per_second, call }
}

// === impl Way ===

impl Way {
    const ALL: [Self; 10] = [
        Self::Bridge,
        Self::Many,
        Self::Library,
        Self::LibraryOnOne,
        Self::Each,
        Self::LibraryEach,
        Self::LibraryEachOnOne,
        Self::Read,
        Self::LibraryRead,
        Self::LibraryReadOnOne,
    ];
    const READING: usize = 7;

    /// Each once, first those that publish; who begins changes.
    fn in_turn(turn: usize) -> impl Iterator<Item = Self> {
        let (publishing, reading) = Self::ALL.split_at(Self::READING);
        let rotated = |ways: &[Self]| {
            let mut ways = ways.to_vec();
            let by = turn % ways.len();
            ways.rotate_left(by);
            ways
        };
        rotated(publishing).into_iter().chain(rotated(reading))
    }

    /// The library doing the same, on two threads and on one.
    fn of_library(self) -> [Self; 2] {
        match self {
            Self::Bridge | Self::Many | Self::Library | Self::LibraryOnOne => {
                [Self::Library, Self::LibraryOnOne]
            }
            Self::Each | Self::LibraryEach | Self::LibraryEachOnOne => {
                [Self::LibraryEach, Self::LibraryEachOnOne]
            }
            Self::Read | Self::LibraryRead | Self::LibraryReadOnOne => {
                [Self::LibraryRead, Self::LibraryReadOnOne]
            }
        }
    }

    fn threads(self) -> Threads {
        if self.of_library()[1] == self { Threads::One } else { Threads::Several }
    }

    /// Ids that no other way has.
    fn ids(self, count: usize) -> impl Iterator<Item = String> {
        (0..count).map(move |number| format!("01JD{:04}{number:018}", self as usize))
    }

    fn title(self) -> &'static str {
        match self {
            Self::Bridge => "`publish_all`, 256 events a call, as the bridge does",
            Self::Many => "`publish_all`, 2,560 events a call",
            Self::Library => "`async-nats`, 256 unconfirmed, on two threads",
            Self::LibraryOnOne => "`async-nats`, 256 unconfirmed, on one thread",
            Self::Each => "`publish`, one after the other",
            Self::LibraryEach => "`async-nats`, one after the other, on two threads",
            Self::LibraryEachOnOne => "`async-nats`, one after the other, on one thread",
            Self::Read => "`Reader`",
            Self::LibraryRead => "`async-nats`, a pull consumer, on two threads",
            Self::LibraryReadOnOne => "`async-nats`, a pull consumer, on one thread",
        }
    }
}

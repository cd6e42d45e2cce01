//! How long it takes from `logger.info` in Python to others on the bus.

use std::num::NonZeroUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use bus::{Bus, Delivery, Event};
use chrono::{DateTime, Utc};
use nats_fixture::NatsServer;
use serde_json::Value;
use tests::{Cantina, Setup};
use tokio::time::timeout;

use crate::options::{Options, Section};
use crate::paced::{self, Arrivals, Pace, RUN};
use crate::report::Table;
use crate::runs::{Runs, percentile};
use crate::served::{Ledger, pass};

/// What one run has measured.
struct Seen {
    /// A program that subscribes.
    event: Arrivals,
    /// A dashboard of the service itself.
    own: Arrivals,
    /// A dashboard of a collector.
    collector: Arrivals,
    sent: usize,
}

type Place = (&'static str, fn(&Seen) -> &Arrivals);

const PLACES: [Place; 3] = [
    ("server-sent events of the service itself", |seen| &seen.own),
    ("a program that reads `logging.entry`", |seen| &seen.event),
    ("server-sent events of a collector", |seen| &seen.collector),
];
const COLUMNS: [&str; 7] = ["bus", "to", "records/s", "p50 ms", "p99 ms", "max ms", "missing"];
/// For everybody to be on the bus.
const SETTLE: Duration = Duration::from_millis(500);
/// For the next event.
const PATIENCE: Duration = Duration::from_secs(3);
const ROOM: NonZeroUsize = NonZeroUsize::new(1 << 16).expect("it is not zero");

pub(crate) fn measure(options: &Options) -> Result<String> {
    let seconds = options.either(2, 5);
    let repeats = options.repeats(Section::Across);
    let mut table = Table::new("From `logger.info` in Python to others on the bus", &COLUMNS);
    let rates = [100, 1000];
    let mut runs: [Vec<Seen>; 4] = Default::default();
    for _ in 0..repeats {
        for (place, runs) in runs.iter_mut().enumerate() {
            let pace = Pace { handler: "stock", rate: rates[place % 2], seconds };
            runs.push(run(place >= 2, pace)?);
        }
    }
    for (place, runs) in runs.iter().enumerate() {
        let bus = if place >= 2 { "JetStream" } else { "core NATS" };
        for to in PLACES {
            table.row(row(bus, to, rates[place % 2], runs));
        }
    }
    table.note(format!("Runs: {repeats}, of {seconds} s, the rates and buses in turn, by ten loggers with distinct messages of 150 bytes through `SocketHandler`; service, collector and server are on one machine."));
    table.note("For events the time is from the time stamp that Python gives the record, else from just before the call.");
    table.note("On JetStream that program is a reader, which gets an event after it was stored.");
    Ok(table.markdown())
}

fn row(bus: &str, (to, arrivals): Place, rate: u32, runs: &[Seen]) -> Vec<String> {
    let of = |figure: &dyn Fn(&Seen) -> f64| runs.iter().map(figure).collect::<Runs>();
    let late = |per_mille| of(&|seen| percentile(&arrivals(seen).ms, per_mille)).show(2);
    let missing = of(&|seen| seen.sent as f64 - arrivals(seen).ms.len() as f64).show(0);
    vec![bus.to_owned(), to.to_owned(), rate.to_string(), late(500), late(990), late(1000), missing]
}

/// A server, and how our programs reach it.
pub(crate) fn server(is_kept: bool) -> (NatsServer, String) {
    let (server, options) = if is_kept {
        (NatsServer::jetstream(), "?stream=CANTINA_LOG")
    } else {
        (NatsServer::start(), "")
    };
    let url = format!("{}{options}", server.url());
    (server, url)
}

fn run(is_kept: bool, pace: Pace) -> Result<Seen> {
    let (_server, url) = server(is_kept);
    let service = Setup::default().bus(&url).start();
    let collector = Setup::default().bus(&url).arg("--collect").start();
    let sent = (pace.rate * pace.seconds) as usize;
    let events = read_events(url, sent);
    let (mut own, mut others) = (paced::attach(&service, "sse"), paced::attach(&collector, "sse"));
    for cantina in [&service, &collector] {
        cantina.json_where("/api/stats", |stats| stats["bus"]["state"] == "connected");
    }
    pass(SETTLE);
    log(&service, pace)?;
    let event = events.join().map_err(|_| anyhow!("the reader panicked"))??;
    pass(SETTLE);
    let (own, collector) = (paced::arrivals(&mut own)?, paced::arrivals(&mut others)?);
    Ok(Seen { event, own, collector, sent })
}

fn log(service: &Cantina, pace: Pace) -> Result<()> {
    let mut python = paced::log(service, pace);
    paced::wait_for_summary(&mut python, pace)?;
    let (status, _, stderr) = python.end();
    ensure!(status.success() && stderr.is_empty(), "{stderr}");
    let counts = Ledger::of(service).counts_where(|counts| counts.in_flight == 0)?;
    ensure!(counts.dropped == 0, "{pace:?}: {counts:?}");
    Ok(())
}

/// Reads entries from the bus until there are `count` of Python's, or no more
/// come.
fn read_events(url: String, count: usize) -> JoinHandle<Result<Arrivals>> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut ms = runtime.block_on(async {
            let bus = bus::connect(&url).await?;
            let ms = if bus.durable().is_some() {
                read_kept(&*bus, count).await
            } else {
                read_live(&*bus, count).await
            }?;
            bus.close().await?;
            anyhow::Ok(ms)
        })?;
        ensure!(!ms.is_empty(), "no event came");
        ms.sort_by(f64::total_cmp);
        Ok(Arrivals { ms })
    })
}

async fn read_live(bus: &dyn Bus, count: usize) -> Result<Vec<f64>> {
    let mut events = bus.subscribe("logging.entry", ROOM).await?;
    let mut ms = Vec::new();
    // Python takes its time before the first one.
    while ms.len() < count
        && let Ok(Some(Delivery::Event(event))) = timeout(PATIENCE, events.recv()).await
    {
        ms.extend(late(&event)?);
    }
    Ok(ms)
}

async fn read_kept(bus: &dyn Bus, count: usize) -> Result<Vec<f64>> {
    let durable = bus.durable().expect("it was asked");
    let mut reader = durable.reader("logging.entry", "measure").await?;
    let (mut ms, mut batch) = (Vec::new(), Vec::new());
    while ms.len() < count
        && let Ok(Ok(1..)) = timeout(PATIENCE, reader.read(&mut batch, 256)).await
    {
        for kept in batch.drain(..) {
            ms.extend(late(&kept.event)?);
        }
    }
    Ok(ms)
}

/// How many milliseconds after it was logged the event is here, if it is one of
/// Python's.
fn late(event: &Event) -> Result<Option<f64>> {
    let now = Utc::now();
    let entry: Value = serde_json::from_slice(&event.payload)?;
    let message = entry["message"].as_str().unwrap_or_default();
    if !message.starts_with(&format!("run={RUN} ")) {
        return Ok(None);
    }
    let logged: DateTime<Utc> = entry["timestamp"].as_str().unwrap_or_default().parse()?;
    let late = (now - logged).num_microseconds().unwrap_or_default();
    Ok(Some(late as f64 / 1000.0))
}

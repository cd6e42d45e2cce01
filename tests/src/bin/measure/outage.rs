//! A cluster goes down as a whole, and the service is killed meanwhile.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bus::EVENT_ID;
use nats_fixture::NatsCluster;
use serde_json::Value;
use tests::{Cantina, OnBus, Program, Setup, oracle};

use crate::options::{Options, Section};
use crate::report::Table;
use crate::runs::Runs;
use crate::served::pass;

/// One run.
struct Figures {
    stored: f64,
    published: f64,
    doubles: f64,
    missing: f64,
    away: f64,
    backlog: f64,
    until_connected: f64,
    until_published: f64,
    until_empty: f64,
    replay_rate: f64,
}

type Row = (&'static str, usize, fn(&Figures) -> f64);

const ROWS: [Row; 10] = [
    ("the nodes were away, s", 1, |figures| figures.away),
    ("entries stored, own messages of the service included", 0, |figures| figures.stored),
    ("of those in the stream", 0, |figures| figures.published),
    ("in the stream twice", 0, |figures| figures.doubles),
    ("missing in the stream", 0, |figures| figures.missing),
    ("backlog when the nodes answered again", 0, |figures| figures.backlog),
    ("until the service was connected, s from then", 2, |figures| figures.until_connected),
    ("until the backlog became less, s from then", 2, |figures| figures.until_published),
    ("until nothing waited, s from then", 2, |figures| figures.until_empty),
    ("replayed from then on, entries/s", 0, |figures| figures.replay_rate),
];
const RATE: u32 = 200;
const LOOK: Duration = Duration::from_millis(5);
/// For the servers to choose a leader, and what waits to be published.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn measure(options: &Options) -> Result<String> {
    let seconds = options.either(4, 30);
    let repeats = options.repeats(Section::Outage);
    let runs: Vec<Figures> = (0..repeats).map(|_| run(seconds)).collect::<Result<_>>()?;
    let mut table = Table::new("A cluster goes down, and comes back", &["figure", "measured"]);
    for (name, decimals, figure) in ROWS {
        let figures: Runs = runs.iter().map(figure).collect();
        table.row(vec![name.to_owned(), figures.show(decimals)]);
    }
    table.note(format!("Runs: {repeats}; all three nodes are killed while Python logs {RATE} records a second, and started {seconds} s later; halfway the service is killed, and started again."));
    table.note("The service is asked every 5 ms how much waits; until the stream has a leader again, nothing can be published.");
    table.note("The stream has three replicas. What is in it was read with a reader of its own, and compared with the session files by id.");
    Ok(table.markdown())
}

fn run(seconds: u32) -> Result<Figures> {
    let mut cluster = NatsCluster::start();
    let url = format!("{}?stream=CANTINA_LOG&replicas=3", cluster.url());
    let cantina = Setup::default().bus(&url).start();
    cantina.json_where("/api/stats", |stats| stats["bus"]["published"].as_u64() > Some(0));
    let address = cantina.python.clone();
    let outage = seconds * RATE;
    let mut python = steady(&address, outage + 1000);
    wait_for(&mut python, 400);
    cluster.kill();
    let down = Instant::now();
    wait_for(&mut python, 400 + outage / 200 * 100);
    let home = cantina.kill();
    let cantina = Setup::default().bus(&url).python(&address).start_in(home);
    wait_for(&mut python, 400 + outage / 100 * 100);
    cluster.restart();
    let (away, up) = (down.elapsed(), Instant::now());
    let recovery = Recovery::follow(&cantina, up)?;
    python.line_where(|line| (line == "done").then_some(()));
    cantina.json_where("/api/stats", |stats| stats["bus"]["backlog"] == 0);
    let stopped = cantina.stop();
    ensure!(stopped.status.success(), "{}", stopped.stderr);
    let mut figures = compare(&url, &stopped.home.path().join("logs"));
    figures.away = away.as_secs_f64();
    recovery.tell(&mut figures);
    Ok(figures)
}

fn steady(address: &str, count: u32) -> Program {
    let mut command = Command::new(tests::python());
    command.arg(tests::py("steady.py")).args([address, "night"]);
    Program::start(command.args([RATE.to_string(), count.to_string()]))
}

fn wait_for(python: &mut Program, number: u32) {
    python.line_where(|line| (line == number.to_string()).then_some(()));
}

/// What the service says of itself after the nodes came back.
struct Recovery {
    /// What waited at first, and just before it became less.
    backlog: u64,
    most: u64,
    connected: Duration,
    /// When it was about to become less, and when nothing waited any more.
    began: Duration,
    empty: Duration,
}

// === impl Recovery ===

impl Recovery {
    /// Looks on until nothing waits any more.
    fn follow(cantina: &Cantina, up: Instant) -> Result<Self> {
        let waiting = |stats: &Value| stats["bus"]["backlog"].as_u64().unwrap_or(u64::MAX);
        let backlog = waiting(&cantina.json("/api/stats"));
        let (mut connected, mut began) = (None, None);
        let mut before = (Duration::ZERO, backlog);
        loop {
            let stats = cantina.json("/api/stats");
            let now = (up.elapsed(), waiting(&stats));
            if stats["bus"]["state"] == "connected" {
                connected.get_or_insert(now.0);
            }
            if now.1 < before.1 {
                began.get_or_insert(before);
            }
            if let (Some(connected), Some((began, most))) = (connected, began)
                && now.1 == 0
            {
                return Ok(Self { backlog, most, connected, began, empty: now.0 });
            }
            ensure!(now.0 < PATIENCE, "after {now:?}: {stats}");
            before = now;
            pass(LOOK);
        }
    }

    fn tell(&self, figures: &mut Figures) {
        figures.backlog = self.backlog as f64;
        figures.until_connected = self.connected.as_secs_f64();
        figures.until_published = self.began.as_secs_f64();
        figures.until_empty = self.empty.as_secs_f64();
        let took = self.empty.saturating_sub(self.began).max(LOOK).as_secs_f64();
        // Python goes on meanwhile.
        figures.replay_rate = self.most as f64 / took + f64::from(RATE);
    }
}

/// What is stored, against what is in the stream.
fn compare(url: &str, logs: &Path) -> Figures {
    let mut stored = HashSet::new();
    oracle::each_entry(logs, |entry| {
        stored.insert(entry["entry_id"].as_str().unwrap_or_default().to_owned());
    });
    let mut reader = OnBus::connect(url).kept("logging.entry", "measure");
    let id = |kept: &bus::Kept| kept.event.headers.get(EVENT_ID).unwrap_or_default().to_owned();
    let published = reader.read_until(|all| {
        let there: HashSet<String> = all.iter().map(id).collect();
        stored.is_subset(&there)
    });
    let mut counts = HashMap::<String, u64>::new();
    published.iter().for_each(|kept| *counts.entry(id(kept)).or_default() += 1);
    let is_there = |id: &&String| counts.contains_key(*id);
    let arrived = stored.iter().filter(is_there).count();
    Figures {
        stored: stored.len() as f64,
        published: arrived as f64,
        doubles: counts.values().filter(|count| **count > 1).count() as f64,
        missing: (stored.len() - arrived) as f64,
        away: 0.0,
        backlog: 0.0,
        until_connected: 0.0,
        until_published: 0.0,
        until_empty: 0.0,
        replay_rate: 0.0,
    }
}

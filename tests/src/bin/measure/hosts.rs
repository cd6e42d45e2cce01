//! Ten hosts on one server, and one collector with a dashboard.

use std::collections::HashMap;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use nats_fixture::NatsServer;
use serde_json::Value;
use tests::{Cantina, Hosts, Program, Published, Setup, Watched, Watcher, oracle};

use crate::across::server;
use crate::options::{Options, Section};
use crate::process::{bytes_passed, cpu_seconds, resident_mib};
use crate::report::Table;
use crate::runs::{Runs, percentile};
use crate::served::pass;

/// The figures of one run, by the name of the row.
type Figures = Vec<(&'static str, f64)>;

/// What the session files of the collector have of the hosts.
#[derive(Debug, Default)]
struct Stored {
    /// Different entries.
    entries: u64,
    /// Entries that are not after all earlier ones of their host.
    disorder: u64,
    /// Bytes of the record and of its twin.
    bytes: (u64, u64),
}

/// What `tail -f` printed.
struct Tailed {
    entries: u64,
    /// Entries that it said were not sent.
    told: u64,
}

/// The CPU time of one process.
struct Meter {
    pid: u32,
    cpu_before: f64,
}

const COUNT: u32 = 10;
const RATE: u32 = 2_000;
/// Between two looks at the collector.
const LOOK: Duration = Duration::from_millis(50);
/// While nothing more comes to the collector.
const QUIET: Duration = Duration::from_secs(3);
const COLUMNS: [&str; 3] = ["figure", "JetStream", "core NATS"];

pub(crate) fn measure(options: &Options) -> Result<String> {
    let seconds = options.either(3, 30);
    let repeats = options.repeats(Section::Hosts);
    let mut runs: [Vec<Figures>; 2] = Default::default();
    for _ in 0..repeats {
        for (is_kept, runs) in [true, false].into_iter().zip(&mut runs) {
            runs.push(run(is_kept, seconds)?);
        }
    }
    let mut table = Table::new("Ten hosts, one server, one collector", &COLUMNS);
    for (place, (name, _)) in runs[0][0].iter().enumerate() {
        let show = |runs: &[Figures]| {
            let figures: Runs = runs.iter().map(|figures| figures[place].1).collect();
            figures.show(decimals(name))
        };
        table.row(vec![(*name).to_owned(), show(&runs[0]), show(&runs[1])]);
    }
    let all = COUNT * RATE;
    table.note(format!("Runs: {repeats} of each, in turn, of {seconds} s; {COUNT} hosts with a connection each publish {RATE} entries a second, {all} together, of 20 services each; hosts, server, collector and clients share the machine."));
    table.note("A host publishes what is due every 5 ms, up to 256 entries a call; the delay is from when an entry was due until a client of server-sent events has it.");
    table.note(
        "The files were read after the collector had stopped: every line, with its checksum.",
    );
    table.note("\"Missing\" is what the collector itself counts by the numbers of the hosts; \"told\" are entries of which a client was told that they were not sent.");
    table.note("What the server reads and writes is on connections and, with JetStream, in files; on core NATS it is the wire, headers and protocol included.");
    table.note("The CPU is that until the collector had everything, over that time.");
    Ok(table.markdown())
}

fn decimals(name: &str) -> usize {
    let is_fine = name.contains(" ms") || name.contains(" s,") || name.contains("MiB");
    usize::from(is_fine)
}

fn run(is_kept: bool, seconds: u32) -> Result<Figures> {
    let (server, url) = server(is_kept);
    let hosts = Hosts { url: url.clone(), count: COUNT, rate: RATE, seconds };
    let collector = Setup::default().bus(&url).arg("--collect").start();
    collector.json_where("/api/stats", |stats| stats["bus"]["state"] == "connected");
    let tail = tail(&collector);
    pass(LOOK * 10);
    let begin = Instant::now();
    let watcher = Watcher::start(&collector, begin);
    let mut figures = Figures::new();
    let stats = work(&hosts, &collector, &server, begin, &mut figures)?;
    taken_in(&stats, &mut figures);
    watcher.wait_for(taken(&stats), QUIET);
    let stopped = collector.stop();
    ensure!(stopped.status.success(), "{}", stopped.stderr);
    watched(&watcher.finish(), &mut figures);
    let tailed = tail.join().map_err(|_| anyhow!("tail failed"))?;
    figures.push(("tail -f: entries printed", tailed.entries as f64));
    figures.push(("tail -f: told", tailed.told as f64));
    let stored = stored(&stopped.home.path().join("logs"))?;
    let each = |bytes: u64| bytes as f64 / stored.entries as f64;
    figures.push(("files: different entries", stored.entries as f64));
    figures.push(("files: out of order or twice", stored.disorder as f64));
    figures.push(("files: bytes of an entry in the record", each(stored.bytes.0)));
    figures.push(("files: bytes of an entry in the twin", each(stored.bytes.1)));
    let on_disk = bytes_below(&server.folder().join("store"))?;
    figures.push(("server: bytes of an entry on disk", mean(on_disk, &hosts)));
    Ok(figures)
}

/// Lets the hosts publish, and waits until the collector has everything.
/// Returns what it says of itself then.
fn work(
    hosts: &Hosts,
    collector: &Cantina,
    server: &NatsServer,
    begin: Instant,
    figures: &mut Figures,
) -> Result<Value> {
    let pids = [collector.pid(), server.pid().unwrap_or_default(), std::process::id()];
    let [of_collector, of_server, of_hosts] = pids.map(Meter::start);
    let before = bytes_passed(of_server.pid)?;
    let published = hosts.start(begin).finish();
    let stats = collected(collector, hosts.entries())?;
    let took = begin.elapsed();
    let [came, went] = bytes_passed(of_server.pid)?;
    let sum = |of: fn(&Published) -> u64| published.iter().map(of).sum::<u64>();
    figures.push(("entries published", hosts.entries() as f64));
    figures.push(("publishing took s, the slowest host", slowest(&published)));
    figures.push(("calls repeated", sum(|host| host.repeated) as f64));
    figures.push(("bytes of an entry as JSON", mean(sum(|host| host.bytes), hosts)));
    figures.push(("until the collector had all, s, from the first", took.as_secs_f64()));
    figures.push(("collector: CPU % of a core", of_collector.percent(took)?));
    figures.push(("collector: peak MiB", resident_mib(collector.pid(), "VmHWM")?));
    figures.push(("server: CPU % of a core", of_server.percent(took)?));
    figures.push(("server: peak MiB", resident_mib(of_server.pid, "VmHWM")?));
    figures.push(("server: bytes read for an entry", mean(came - before[0], hosts)));
    figures.push(("server: bytes written for an entry", mean(went - before[1], hosts)));
    figures.push(("hosts and client: CPU % of a core", of_hosts.percent(took)?));
    Ok(stats)
}

fn taken(stats: &Value) -> u64 {
    stats["bus"]["collected"]["entries"].as_u64().unwrap_or_default()
}

fn taken_in(stats: &Value, figures: &mut Figures) {
    let of_bus = &stats["bus"]["collected"];
    for (row, count) in [
        ("collector: entries taken in", &of_bus["entries"]),
        ("collector: doubles", &of_bus["doubles"]),
        ("collector: malformed", &of_bus["malformed"]),
        ("collector: missing", &of_bus["missing"]),
        ("views: rate-limited", &stats["views"]["rate_limited"]),
        ("views: missed by a slow reader", &stats["views"]["missed"]),
    ] {
        figures.push((row, count.as_f64().unwrap_or(f64::NAN)));
    }
}

fn slowest(published: &[Published]) -> f64 {
    let times = published.iter().map(|host| host.took);
    times.max().unwrap_or_default().as_secs_f64()
}

fn mean(bytes: u64, hosts: &Hosts) -> f64 {
    bytes as f64 / hosts.entries() as f64
}

/// Waits until the collector has stored `count` entries of others, or nothing
/// more comes.
fn collected(collector: &Cantina, count: u64) -> Result<Value> {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let stats = collector.json("/api/stats");
        let entries = taken(&stats);
        let is_stored = stats["in_flight"] == 0;
        if is_stored && (entries >= count || since.elapsed() > QUIET) {
            return Ok(stats);
        }
        if entries != last {
            (last, since) = (entries, Instant::now());
        }
        ensure!(since.elapsed() < QUIET * 10, "the collector does not go on: {stats}");
        pass(LOOK);
    }
}

fn watched(watched: &Watched, figures: &mut Figures) {
    let mut ms: Vec<f64> =
        watched.delays.iter().map(|delay| delay.as_secs_f64() * 1000.0).collect();
    ms.sort_by(f64::total_cmp);
    figures.push(("dashboard: entries shown", ms.len() as f64));
    figures.push(("dashboard: told", watched.gaps.values().sum::<u64>() as f64));
    figures.push(("dashboard: out of order", watched.disorder as f64));
    for (row, per_mille) in [
        ("dashboard: delay ms, p50", 500),
        ("dashboard: delay ms, p99", 990),
        ("dashboard: delay ms, max", 1000),
    ] {
        figures.push((row, if ms.is_empty() { f64::NAN } else { percentile(&ms, per_mille) }));
    }
}

fn tail(collector: &Cantina) -> JoinHandle<Tailed> {
    let mut program: Program = collector.attach(&["tail", "-f"]);
    program.line_where(|line| line.contains("-- cantina-session-").then_some(()));
    std::thread::spawn(move || {
        let mut tailed = Tailed { entries: 0, told: 0 };
        while let Some(line) = program.line() {
            let words = || line.split_ascii_whitespace();
            if line.contains(" entries not sent: ") {
                tailed.told += words().find_map(|word| word.parse::<u64>().ok()).unwrap_or(0);
            } else if words().any(|word| word.starts_with("host=")) {
                tailed.entries += 1;
            }
        }
        tailed
    })
}

fn stored(logs: &Path) -> Result<Stored> {
    let (mut stored, mut latest) = (Stored::default(), HashMap::<String, u64>::new());
    oracle::each_entry(logs, |entry| {
        let (id, seq) = (entry["origin"]["id"].as_str(), entry["origin"]["seq"].as_u64());
        let (Some(id), Some(seq)) = (id, seq) else { return };
        let latest = latest.entry(id.to_owned()).or_default();
        if seq > *latest {
            (*latest, stored.entries) = (seq, stored.entries + 1);
        } else {
            stored.disorder += 1;
        }
    });
    for file in std::fs::read_dir(logs)? {
        let file = file?;
        let bytes = file.metadata()?.len();
        match file.path().extension().and_then(|ending| ending.to_str()) {
            Some("jsonl") => stored.bytes.0 += bytes,
            Some("log") => stored.bytes.1 += bytes,
            _ => {}
        }
    }
    Ok(stored)
}

/// The bytes of all files below a folder; none if it is not there.
fn bytes_below(folder: &Path) -> Result<u64> {
    if !folder.is_dir() {
        return Ok(0);
    }
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let is_folder = entry.file_type()?.is_dir();
        bytes += if is_folder { bytes_below(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

// === impl Meter ===

impl Meter {
    fn start(pid: u32) -> Self {
        Self { pid, cpu_before: cpu_seconds(pid).unwrap_or(f64::NAN) }
    }

    /// Of one core, since it was started.
    fn percent(&self, took: Duration) -> Result<f64> {
        let cpu = cpu_seconds(self.pid)? - self.cpu_before;
        Ok(cpu / took.as_secs_f64() * 100.0)
    }
}

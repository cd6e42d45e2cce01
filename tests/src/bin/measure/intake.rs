//! How many records a second go from Python's frames to the session file.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, park_timeout};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;
use tests::Cantina;

use crate::frames::{Frames, Templates};
use crate::options::{Options, Section};
use crate::process::{cpu_seconds, resident_mib};
use crate::report::Table;
use crate::runs::Runs;
use crate::served::{Counts, Ledger, SERVICE};

/// How records are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Pickles, with no more on their way than the service has room for.
    Pickle,
    /// Pickles, as fast as the connection takes them.
    PickleFlood,
    /// JSON, with acknowledgements.
    Json,
}

/// One run.
struct Run {
    records_per_second: f64,
    cpu_per_million: f64,
    dropped_percent: f64,
    peak_mib: f64,
}

/// How many pickles are sent, and how far the service has come.
#[derive(Default)]
struct Progress {
    sent: AtomicU64,
    /// Stored or dropped.
    settled: AtomicU64,
    is_over: AtomicBool,
}

/// Records in a JSON frame, as `CantinaLogHandler` packs them.
const BATCH: u64 = 100;
/// Records on their way, together, if none is to be dropped: the queue of the
/// service takes 7,500 below WARNING.
const ON_THEIR_WAY: u64 = 6_000;
/// How long a sender waits before it looks again.
const LOOK: Duration = Duration::from_micros(500);
/// So that no sender waits for ever.
const STUCK: Duration = Duration::from_mins(1);
const COLUMNS: [&str; 6] =
    ["frames", "connections", "records/s", "dropped", "CPU s per million", "peak MiB"];

pub(crate) fn measure(options: &Options) -> Result<String> {
    let templates = Templates::make()?;
    let records = options.either(20_000, 300_000);
    let repeats = options.repeats(Section::Intake);
    let mut table = Table::new("Records from Python's frames to the session file", &COLUMNS);
    for way in [Way::Pickle, Way::PickleFlood, Way::Json] {
        for connections in [1, 4] {
            let runs = (0..repeats)
                .map(|_| run(&templates, way, connections, records))
                .collect::<Result<Vec<_>>>()?;
            table.row(row(way, connections, &runs));
        }
    }
    let (pickle, json) = templates.sizes();
    table.note(format!(
        "Runs: {repeats}, of {records} records, with distinct messages of 150 bytes: {pickle} bytes each as a pickle, {json} as JSON in frames of {BATCH}."
    ));
    table.note("The time is from the first byte sent until the ledger has stored (or dropped) the last record; every run begins with a new service.");
    table.note("The settings are the defaults: the views get 200 entries a second of one service, the session file gets all.");
    table.note(format!(
        "\"Paced\" and JSON have at most {ON_THEIR_WAY} records on their way, so nothing may be dropped; a flood waits for nothing, and its records/s are those stored."
    ));
    table.note("Records/s, and CPU of the service, are of stored records, whose lines were counted in the session files.");
    Ok(table.markdown())
}

fn row(way: Way, connections: u8, runs: &[Run]) -> Vec<String> {
    let of = |figure: fn(&Run) -> f64| runs.iter().map(figure).collect::<Runs>();
    let title = match way {
        Way::Pickle => "pickles of `SocketHandler`, paced",
        Way::PickleFlood => "pickles of `SocketHandler`, flood",
        Way::Json => "JSON of `CantinaLogHandler`, acknowledged",
    };
    vec![
        title.to_owned(),
        connections.to_string(),
        of(|run| run.records_per_second).show(0),
        format!("{} %", of(|run| run.dropped_percent).show(1)),
        of(|run| run.cpu_per_million).show(2),
        of(|run| run.peak_mib).show(1),
    ]
}

fn run(templates: &Templates, way: Way, connections: u8, records: u64) -> Result<Run> {
    let cantina = Cantina::start();
    let ledger = Ledger::of(&cantina);
    let before = ledger.counts_where(|counts| counts.in_flight == 0)?;
    let cpu_before = cpu_seconds(cantina.pid())?;
    let progress = Arc::new(Progress::default());
    let start = Instant::now();
    let mut senders = send(&cantina, templates, way, connections, records, &progress)?;
    if way != Way::Pickle {
        // What they wait for, they hear by themselves.
        senders.drain(..).try_for_each(join)?;
    }
    let end = follow(&ledger, before, records, &progress);
    let took = start.elapsed();
    // A sender that failed knows better what went wrong.
    senders.into_iter().try_for_each(join)?;
    let end = end?;
    let cpu = cpu_seconds(cantina.pid())? - cpu_before;
    let peak_mib = resident_mib(cantina.pid(), "VmHWM")?;
    let dropped = end.dropped - before.dropped;
    ensure!(way == Way::PickleFlood || dropped == 0, "{way:?}: {dropped} were dropped");
    let stored = records - dropped;
    ensure!(stored_lines(&cantina)? == stored, "{stored} are stored, but not in the files");
    Ok(Run {
        records_per_second: stored as f64 / took.as_secs_f64(),
        cpu_per_million: cpu / stored as f64 * 1e6,
        dropped_percent: dropped as f64 / records as f64 * 100.0,
        peak_mib,
    })
}

fn join(sender: JoinHandle<Result<()>>) -> Result<()> {
    sender.join().map_err(|_| anyhow!("a sender panicked"))?
}

/// Asks the ledger until all `records` are accounted for.
fn follow(ledger: &Ledger, before: Counts, records: u64, progress: &Progress) -> Result<Counts> {
    let settled = |counts: &Counts| counts.stored + counts.dropped;
    let counts = ledger.counts_where(|counts| {
        let now = settled(counts) - settled(&before);
        progress.settled.store(now, Ordering::Release);
        now >= records && counts.in_flight == 0
    });
    progress.is_over.store(true, Ordering::Release);
    counts
}

// === Sending ===

fn send(
    cantina: &Cantina,
    templates: &Templates,
    way: Way,
    connections: u8,
    records: u64,
    progress: &Arc<Progress>,
) -> Result<Vec<JoinHandle<Result<()>>>> {
    let share = records / u64::from(connections);
    let mut senders = Vec::new();
    for connection in 0..connections {
        let stream = TcpStream::connect(&cantina.python)?;
        let frames: Box<dyn Frames> = match way {
            Way::Json => Box::new(templates.json(connection)),
            Way::Pickle | Way::PickleFlood => Box::new(templates.pickles(connection)),
        };
        let progress = progress.clone();
        senders.push(std::thread::spawn(move || match way {
            Way::PickleFlood => send_all(stream, frames, share, |_| Ok(())),
            Way::Pickle => send_all(stream, frames, share, |count| progress.make_room(count)),
            Way::Json => send_acknowledged(stream, frames, share, connections),
        }));
    }
    Ok(senders)
}

/// Sends `share` records in batches, each after `ready` for so many.
fn send_all(
    mut stream: TcpStream,
    mut frames: Box<dyn Frames>,
    share: u64,
    mut ready: impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    let mut bytes = Vec::new();
    let mut number = 0;
    while number < share {
        let next = (number + BATCH).min(share);
        ready(next - number)?;
        bytes.clear();
        frames.append(number, next, &mut bytes);
        stream.write_all(&bytes)?;
        number = next;
    }
    Ok(())
}

/// Sends with no more than a share of [`ON_THEIR_WAY`] unacknowledged, and
/// waits for the last acknowledgement.
fn send_acknowledged(
    stream: TcpStream,
    frames: Box<dyn Frames>,
    share: u64,
    connections: u8,
) -> Result<()> {
    stream.set_read_timeout(Some(STUCK))?;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let reader = {
        let (stream, acknowledged) = (stream.try_clone()?, acknowledged.clone());
        let sender = std::thread::current();
        std::thread::spawn(move || {
            let result = read_acknowledgements(stream, share, |ack| {
                acknowledged.store(ack, Ordering::Release);
                sender.unpark();
            });
            // The sender must not wait for what no longer comes.
            acknowledged.store(share, Ordering::Release);
            sender.unpark();
            result
        })
    };
    let window = ON_THEIR_WAY / u64::from(connections);
    let mut sent = 0;
    let result = send_all(stream, frames, share, |count| {
        while sent + count > acknowledged.load(Ordering::Acquire) + window {
            park_timeout(LOOK);
        }
        sent += count;
        Ok(())
    });
    // If both failed, the reader knows better why.
    join(reader)?;
    result
}

/// Reads until `last` is acknowledged.
fn read_acknowledgements(
    stream: TcpStream,
    last: u64,
    mut acknowledge: impl FnMut(u64),
) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).context("the service hung up: it refused a record")?;
        let mut payload = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut payload)?;
        let message: Value = serde_json::from_slice(&payload)?;
        // The other message has levels.
        if let Some(ack) = message["ack"].as_u64() {
            acknowledge(ack);
            if ack >= last {
                return Ok(());
            }
        }
    }
}

/// The entries of this program in the session files.
fn stored_lines(cantina: &Cantina) -> Result<u64> {
    let key = format!("\"service_key\":\"{SERVICE}\"");
    let mut count = 0;
    for file in fs::read_dir(cantina.logs())? {
        let path = file?.path();
        if path.extension().is_none_or(|ending| ending != "jsonl") {
            continue;
        }
        for line in BufReader::new(fs::File::open(path)?).lines() {
            let line = line?;
            let is_ours = line.starts_with("{\"kind\":\"entry\"") && line.contains(&key);
            count += u64::from(is_ours);
        }
    }
    Ok(count)
}

// === impl Progress ===

impl Progress {
    /// Waits until so many more may be on their way.
    fn make_room(&self, count: u64) -> Result<()> {
        let sent = self.sent.fetch_add(count, Ordering::AcqRel) + count;
        while sent > self.settled.load(Ordering::Acquire) + ON_THEIR_WAY {
            ensure!(!self.is_over.load(Ordering::Acquire), "the service has not taken everything");
            park_timeout(LOOK);
        }
        Ok(())
    }
}

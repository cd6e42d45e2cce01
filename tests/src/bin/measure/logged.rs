//! One way to log, in a process of its own: as a program would install it.

use std::collections::VecDeque;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use log_entry::{DropReason, Loss, Offer, Record, RecordSink, Ticket};
use logging_api::Vitals as _;
use logging_service::{Config, LoggingService};
use parking_lot::Mutex;
use serde_json::{Value, json};
use standard_service::StandardService as _;
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::options::{Amounts, Case};
use crate::process::cpu_seconds;
use crate::runs::percentile;
use crate::served::{pass, pass_until};

/// What was installed.
struct Installed {
    /// How many events were lost so far.
    lost: Box<dyn Fn() -> u64>,
    /// Waits until everything has arrived, and returns how much that was.
    finish: Box<dyn FnOnce() -> Result<u64>>,
}

/// As the intake of the service: a bounded queue. A thread empties it.
#[derive(Default)]
struct Queue {
    records: Mutex<VecDeque<Record>>,
    taken: AtomicU64,
    lost: AtomicU64,
    is_closed: AtomicBool,
}

/// Events in a burst.
const BURST: u64 = 1000;
/// Between two bursts.
const PAUSE: Duration = Duration::from_millis(10);
/// A file that has not grown for so long is complete.
const QUIET: Duration = Duration::from_millis(200);
const QUEUE_MAX: usize = 10_000;
const LOGGER: &str = "cantina_os.measured";

/// Measures the case, and prints the figures as JSON.
pub(crate) fn run(case: Case, amounts: Amounts) -> Result<()> {
    let home = tempfile::tempdir()?;
    let installed = install(case, home.path())?;
    let log = if case == Case::Disabled { log_disabled } else { log_event };
    let mut number = 0;
    let mut next = || {
        number += 1;
        log(black_box(number));
    };
    let calm = calm(amounts.calm, &mut next);
    let bursts = bursts(amounts.bursts, &mut next)?;
    let lost_in_bursts = (installed.lost)();
    let flood = flood(amounts.flood, &mut next);
    let lost = (installed.lost)();
    let kept = (installed.finish)()?;
    if case != Case::Disabled {
        ensure!(kept + lost == number, "{number} logged, {kept} kept, {lost} lost");
    }
    let figures = json!({
        "calm": calm,
        "bursts": bursts,
        "lost_in_bursts": lost_in_bursts,
        "flood_ns": flood,
        "lost_in_flood": lost - lost_in_bursts,
    });
    println!("{figures}");
    Ok(())
}

fn log_event(number: u64) {
    tracing::info!(target: LOGGER, status = 200, model = "gpt-4o", "received API response {number}");
}

fn log_disabled(number: u64) {
    tracing::debug!(target: LOGGER, status = 200, model = "gpt-4o", "received API response {number}");
}

// === Ways to log ===

fn install(case: Case, home: &Path) -> Result<Installed> {
    match case {
        Case::Disabled | Case::Queue => Ok(install_queue()?),
        Case::Service => install_service(home),
        Case::Text => install_appender(home, |writer| {
            let layer = fmt::layer().with_ansi(false).with_writer(writer);
            tracing_subscriber::registry().with(layer).try_init()
        }),
        Case::Json => install_appender(home, |writer| {
            let layer = fmt::layer().json().with_writer(writer);
            tracing_subscriber::registry().with(layer).try_init()
        }),
    }
}

fn install_queue() -> Result<Installed> {
    let queue = Arc::new(Queue::default());
    let layer = tracing_capture::layer(queue.clone());
    tracing_subscriber::registry().with(layer).try_init()?;
    let emptied = {
        let queue = queue.clone();
        std::thread::spawn(move || queue.empty())
    };
    let counted = queue.clone();
    Ok(Installed {
        lost: Box::new(move || counted.lost.load(Ordering::Relaxed)),
        finish: Box::new(move || queue.finish(emptied)),
    })
}

fn install_service(home: &Path) -> Result<Installed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let config = Config { session_file_path: home.join("logs"), ..Config::default() };
    let bus = Arc::new(bus::MemoryBus::default());
    let mut service = runtime.block_on(LoggingService::open(config, bus))?;
    let layer = tracing_capture::layer(service.intake());
    tracing_subscriber::registry().with(layer).try_init()?;
    runtime.block_on(service.start()).map_err(|error| anyhow!(error))?;
    let handle = service.handle();
    Ok(Installed {
        lost: Box::new(move || handle.stats().dropped.values().sum()),
        finish: Box::new(move || {
            runtime.block_on(service.stop()).map_err(|error| anyhow!(error))?;
            // Its own messages are under another name.
            let stats = service.handle().stats();
            let ours = stats.by_service.get("measured").context("nothing came in")?;
            Ok(ours.stored)
        }),
    })
}

fn install_appender(
    home: &Path,
    init: impl FnOnce(
        tracing_appender::non_blocking::NonBlocking,
    ) -> Result<(), tracing_subscriber::util::TryInitError>,
) -> Result<Installed> {
    let path = home.join("appended.log");
    let file = std::fs::File::create(&path)?;
    let (writer, guard) = NonBlockingBuilder::default().finish(file);
    let counter = writer.error_counter();
    init(writer)?;
    Ok(Installed {
        lost: Box::new(move || counter.dropped_lines() as u64),
        finish: Box::new(move || {
            // The guard itself waits for a second at the most.
            wait_while_growing(&path)?;
            drop(guard);
            lines(&path)
        }),
    })
}

fn wait_while_growing(path: &Path) -> Result<()> {
    let length = || std::fs::metadata(path).map(|file| file.len());
    let mut before = None;
    while before != Some(length()?) {
        before = Some(length()?);
        pass(QUIET);
    }
    Ok(())
}

fn lines(path: &Path) -> Result<u64> {
    let mut file = BufReader::new(std::fs::File::open(path)?);
    let (mut count, mut line) = (0, Vec::new());
    while file.read_until(b'\n', &mut line)? > 0 {
        count += 1;
        line.clear();
    }
    Ok(count)
}

// === impl Queue ===

impl Queue {
    fn empty(&self) {
        let mut batch = VecDeque::new();
        loop {
            let is_closed = self.is_closed.load(Ordering::Acquire);
            std::mem::swap(&mut batch, &mut *self.records.lock());
            self.taken.fetch_add(batch.len() as u64, Ordering::Relaxed);
            if batch.is_empty() {
                if is_closed {
                    return;
                }
                pass(Duration::from_millis(1));
            }
            batch.clear();
        }
    }

    fn finish(&self, emptied: JoinHandle<()>) -> Result<u64> {
        self.is_closed.store(true, Ordering::Release);
        emptied.join().map_err(|_| anyhow!("the thread panicked"))?;
        Ok(self.taken.load(Ordering::Relaxed))
    }
}

impl RecordSink for Queue {
    fn offer(&self, record: Record) -> Offer {
        let mut records = self.records.lock();
        if records.len() >= QUEUE_MAX {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return Offer::Dropped(DropReason::IntakeFull);
        }
        records.push_back(record);
        Offer::Accepted(Ticket(records.len() as u64))
    }

    fn report(&self, loss: Loss) {
        self.lost.fetch_add(loss.count, Ordering::Relaxed);
    }
}

// === Paces ===

/// One event each millisecond, each of them timed.
fn calm(count: u64, next: &mut impl FnMut()) -> Value {
    let start = Instant::now();
    let mut times = Vec::new();
    for number in 0..count {
        pass_until(start + Duration::from_millis(number));
        times.push(timed(next));
    }
    percentiles(times)
}

/// Bursts: in turns one that is timed as a whole, and one of which every event
/// is timed.
fn bursts(count: u64, next: &mut impl FnMut()) -> Result<Value> {
    let pid = std::process::id();
    let before = cpu_seconds(pid)?;
    let (mut whole, mut times) = (Duration::ZERO, Vec::new());
    let pairs = (count / BURST / 2).max(1);
    for _ in 0..pairs {
        let start = Instant::now();
        (0..BURST).for_each(|_| next());
        whole += start.elapsed();
        pass(PAUSE);
        times.extend((0..BURST).map(|_| timed(next)));
        pass(PAUSE);
    }
    let cpu = cpu_seconds(pid)? - before;
    let mut figures = percentiles(times);
    figures["ns"] = (whole.as_nanos() as f64 / (pairs * BURST) as f64).into();
    figures["cpu_ns"] = (cpu * 1e9 / (2 * pairs * BURST) as f64).into();
    Ok(figures)
}

/// All in one go. Returns the nanoseconds of one.
fn flood(count: u64, next: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..count).for_each(|_| next());
    start.elapsed().as_nanos() as f64 / count as f64
}

fn timed(next: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
    next();
    start.elapsed().as_nanos() as f64
}

fn percentiles(mut times: Vec<f64>) -> Value {
    times.sort_by(f64::total_cmp);
    json!({
        "p50": percentile(&times, 500),
        "p99": percentile(&times, 990),
        "p999": percentile(&times, 999),
    })
}

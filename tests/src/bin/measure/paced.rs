//! A Python program that logs at a steady pace, and two dashboards that look on.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::{Cantina, DEADLINE, Program};

use crate::process::cpu_seconds;
use crate::served::{Ledger, pass};

/// How Python logs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// `stock` or `cantina`.
    pub(crate) handler: &'static str,
    /// Records a second.
    pub(crate) rate: u32,
    pub(crate) seconds: u32,
}

/// What was measured meanwhile.
pub(crate) struct Seen {
    pub(crate) socket_io: Arrivals,
    pub(crate) sse: Arrivals,
    /// Microseconds of one call in Python, p50 and p99.
    pub(crate) call_us: (f64, f64),
    /// Of one core, used by the service.
    pub(crate) cpu_percent: f64,
    pub(crate) sent: usize,
}

/// How late the entries came to one client.
pub(crate) struct Arrivals {
    /// In milliseconds, sorted.
    pub(crate) ms: Vec<f64>,
}

/// What the messages of a run have in them; each run has a service of its own.
pub(crate) const RUN: &str = "paced";
/// For both dashboards to be served, and the service to be calm again.
const SETTLE: Duration = Duration::from_millis(500);

/// Logs at `pace` into `cantina`, and lets `meanwhile` look at the service as
/// soon as the last record was logged, with the dashboards still there.
pub(crate) fn run(
    cantina: &Cantina,
    pace: Pace,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<Seen> {
    let mut socket_io = attach(cantina, "socketio");
    let mut sse = attach(cantina, "sse");
    pass(SETTLE);
    let mut python = log(cantina, pace);
    python.line_where(|line| (line == "begin").then_some(()));
    let (start, cpu_before) = (Instant::now(), cpu_seconds(cantina.pid())?);
    let summary = wait_for_summary(&mut python, pace)?;
    let cpu = cpu_seconds(cantina.pid())? - cpu_before;
    let cpu_percent = cpu / start.elapsed().as_secs_f64() * 100.0;
    meanwhile()?;
    let (status, _, stderr) = python.end();
    ensure!(status.success() && stderr.is_empty(), "{stderr}");
    let counts = Ledger::of(cantina).counts_where(|counts| counts.in_flight == 0)?;
    ensure!(counts.dropped == 0, "{pace:?}: {counts:?}");
    pass(SETTLE);
    let micros = |name: &str| {
        let nanos = summary[name].as_f64().context("Python says what a call took");
        nanos.map(|nanos| nanos / 1000.0)
    };
    Ok(Seen {
        socket_io: arrivals(&mut socket_io)?,
        sse: arrivals(&mut sse)?,
        call_us: (micros("p50")?, micros("p99")?),
        cpu_percent,
        sent: (pace.rate * pace.seconds) as usize,
    })
}

pub(crate) fn attach(cantina: &Cantina, way: &str) -> Program {
    let mut client = cantina.node("latency.mjs", &[way, RUN]);
    client.line_where(|line| (line == "ready").then_some(()));
    client
}

pub(crate) fn log(cantina: &Cantina, pace: Pace) -> Program {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/py/latency.py");
    let mut command = Command::new(tests::python());
    command.args([script, &cantina.python, pace.handler, RUN]);
    Program::start(command.args([pace.rate.to_string(), pace.seconds.to_string()]))
}

/// Reads the line that Python prints at the end.
pub(crate) fn wait_for_summary(python: &mut Program, pace: Pace) -> Result<Value> {
    let seconds = Duration::from_secs(pace.seconds.into());
    ensure!(seconds < DEADLINE, "{seconds:?} without a line are too long");
    let summary: Value = python.line_where(|line| serde_json::from_str(line).ok());
    let sent = summary["sent"].as_u64();
    ensure!(sent == Some((pace.rate * pace.seconds).into()), "Python logged {sent:?}");
    Ok(summary)
}

/// Ends the client, and reads what it has measured.
pub(crate) fn arrivals(client: &mut Program) -> Result<Arrivals> {
    drop(client.stdin());
    let summary: Value = client.line_where(|line| serde_json::from_str(line).ok());
    let twice = &summary["twice"];
    ensure!(*twice == 0, "{twice} entries came twice");
    let values = summary["ms"].as_array().context("the client prints milliseconds")?;
    let mut ms: Vec<f64> = values.iter().filter_map(Value::as_f64).collect();
    ensure!(!ms.is_empty(), "no entry came");
    ms.sort_by(f64::total_cmp);
    Ok(Arrivals { ms })
}

//! What the service itself needs: memory and CPU.

use std::time::Duration;

use anyhow::Result;
use tests::Cantina;

use crate::options::{Options, Section};
use crate::paced::{self, Pace};
use crate::process::{cpu_seconds, resident_mib};
use crate::report::Table;
use crate::runs::Runs;
use crate::served::pass;

/// What one service needed.
#[derive(Default)]
struct Needs {
    resident: Runs,
    peak: Runs,
    cpu_percent: Runs,
}

/// For what belongs to starting to be over.
const SETTLE: Duration = Duration::from_secs(1);
const COLUMNS: [&str; 4] = ["the service", "VmRSS MiB", "VmHWM MiB", "CPU % of a core"];

pub(crate) fn measure(options: &Options) -> Result<String> {
    let mut table = Table::new("Memory and CPU of the service", &COLUMNS);
    let seconds = options.either(3, 20);
    let repeats = options.repeats(Section::Memory);
    let mut idle = Needs::default();
    let mut loaded = [("stock", Needs::default()), ("cantina", Needs::default())];
    for _ in 0..repeats {
        for (handler, needs) in &mut loaded {
            let cantina = Cantina::start();
            pass(SETTLE);
            let before = cpu_seconds(cantina.pid())?;
            pass(SETTLE * 2);
            let used = cpu_seconds(cantina.pid())? - before;
            idle.cpu_percent.push(used / (SETTLE * 2).as_secs_f64() * 100.0);
            idle.look(&cantina)?;
            let pace = Pace { handler, rate: 1000, seconds };
            let seen = paced::run(&cantina, pace, || needs.look(&cantina))?;
            needs.cpu_percent.push(seen.cpu_percent);
        }
    }
    table.row(idle.row("idle, after the start"));
    for (handler, needs) in &loaded {
        let title = match *handler {
            "stock" => "1,000/s from `SocketHandler`",
            _ => "1,000/s from `CantinaLogHandler`",
        };
        table.row(needs.row(title));
    }
    table.note(format!(
        "Runs: {repeats}, under load for {seconds} s and measured at its end, with a full ring, one client of server-sent events and one `socket.io-client`."
    ));
    table.note("VmRSS is what is resident at that moment, VmHWM the most that ever was.");
    Ok(table.markdown())
}

// === impl Needs ===

impl Needs {
    fn look(&mut self, cantina: &Cantina) -> Result<()> {
        self.resident.push(resident_mib(cantina.pid(), "VmRSS")?);
        self.peak.push(resident_mib(cantina.pid(), "VmHWM")?);
        Ok(())
    }

    fn row(&self, title: &str) -> Vec<String> {
        let figures = [self.resident.show(1), self.peak.show(1), self.cpu_percent.show(1)];
        std::iter::once(title.to_owned()).chain(figures).collect()
    }
}

//! What a captured `tracing` event costs the thread that logs it.

use std::collections::HashMap;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::options::{Amounts, Case, Options, Section};
use crate::report::Table;
use crate::runs::Runs;

/// The figures of one case, by run.
type Figures = Vec<Value>;

const COLUMNS: [&str; 9] = [
    "way to log",
    "ns per event",
    "against JSON",
    "p50",
    "p99",
    "p99.9",
    "CPU ns in all",
    "p50 / p99 at 1,000/s",
    "ns and lost of a flood",
];

pub(crate) fn measure(options: &Options) -> Result<String> {
    let amounts = Amounts {
        calm: options.either(200, 2_000),
        bursts: options.either(10_000, 300_000),
        flood: options.either(50_000, 1_000_000),
    };
    let repeats = options.repeats(Section::Caller);
    let mut figures: HashMap<&str, Figures> = HashMap::new();
    for _ in 0..repeats {
        // In turns, so that what else the machine does meets all of them.
        for case in Case::ALL {
            figures.entry(case.name()).or_default().push(run(case, amounts)?);
        }
    }
    let mut table = Table::new("One captured `tracing` event, for the thread that logs", &COLUMNS);
    for case in Case::ALL {
        table.row(row(case, &figures[case.name()], &figures[Case::Json.name()], amounts));
    }
    notes(&mut table, amounts, repeats);
    Ok(table.markdown())
}

/// Measures a case in a process of its own, with its own subscriber.
fn run(case: Case, amounts: Amounts) -> Result<Value> {
    let counts = [amounts.calm, amounts.bursts, amounts.flood].map(|count| count.to_string());
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args(["--logged", case.name()]).args(counts).output()?;
    let name = case.name();
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).with_context(|| format!("{name} printed no figures"))
}

fn row(case: Case, figures: &Figures, json: &Figures, amounts: Amounts) -> Vec<String> {
    let of = |path: &str| runs(figures, path);
    // Both of the same turn.
    let ratios: Runs = figures
        .iter()
        .zip(json)
        .map(|(ours, theirs)| number(ours, "/bursts/ns") / number(theirs, "/bursts/ns"))
        .collect();
    let lost = of("/lost_in_flood").median() / amounts.flood as f64 * 100.0;
    let lost_in_bursts = of("/lost_in_bursts").median();
    let title = match lost_in_bursts {
        0.0 => case.title().to_owned(),
        lost => format!("{} (lost {lost} in bursts)", case.title()),
    };
    vec![
        title,
        of("/bursts/ns").show(0),
        ratios.show(2),
        of("/bursts/p50").show(0),
        of("/bursts/p99").show(0),
        of("/bursts/p999").show(0),
        of("/bursts/cpu_ns").show(0),
        format!("{:.0} / {:.0}", of("/calm/p50").median(), of("/calm/p99").median()),
        format!("{}, {lost:.0} %", of("/flood_ns").show(0)),
    ]
}

fn notes(table: &mut Table, amounts: Amounts, repeats: usize) {
    let Amounts { calm, bursts, flood } = amounts;
    table.note(format!("Runs: {repeats}, the ways in turn, each in a process of its own."));
    table.note("All times are nanoseconds in the thread that logs, with a message and two fields.");
    table.note(format!(
        "The first columns are of bursts of 1,000 events with pauses of 10 ms, {bursts} in all; the percentiles include reading the clock twice."
    ));
    table.note(
        "\"CPU in all\" is of the whole process with its background threads, down to the file; the kernel counts it in hundredths of a second.",
    );
    table.note(format!(
        "At 1,000/s, {calm} events with a millisecond between them, caches are cold."
    ));
    table.note(format!(
        "A flood is {flood} events in a tight loop: nobody waits, so what finds its queue full is lost, and counted."
    ));
    table.note(
        "The queue of the service holds 10,000 records, that of `tracing-appender` 128,000 lines.",
    );
    table.note(
        "Every run was checked: what was not counted as lost is in the file (or was taken from the queue).",
    );
}

fn runs(figures: &Figures, path: &str) -> Runs {
    figures.iter().map(|figures| number(figures, path)).collect()
}

fn number(figures: &Value, path: &str) -> f64 {
    figures.pointer(path).and_then(Value::as_f64).expect("the other process prints every figure")
}

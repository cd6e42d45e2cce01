//! `test`: installs what is missing and runs every test.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command::Program;
use crate::workspace::Workspace;
use crate::{examples, itest, py, setup, tools, ui};

/// What is built: the same words in every command, so that Cargo builds
/// everything once.
const ALL: &str = "--workspace --all-features --locked";

/// The rest goes on when one fails, so that one run tells everything.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let began = Instant::now();
    setup::run(workspace)?;
    ui::run(workspace)?;
    build(workspace)?;
    let outcomes = [
        step("rust", || rust(workspace, Tests::OfCrates, |program| program)),
        step("system", || itest::stories_on_each(workspace)),
        step("documentation", || cargo(workspace, &format!("test {ALL} --doc")).run()),
        step("examples", || examples::run(workspace)),
        step("python", || py::run(workspace)),
        step("dashboard", || ui::test(workspace)),
    ];
    println!();
    outcomes.iter().for_each(|outcome| println!("{}", outcome.line()));
    verdict(&outcomes, began.elapsed())
}

/// Builds everything, once.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    cargo(workspace, &format!("build {ALL} --all-targets")).run()
}

/// Which tests to run. Those of the package `tests` look at the whole system
/// from outside, and are run after the crates' own: what measures time is not
/// to compete with the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tests {
    OfCrates,
    Stories,
    /// Without those of the modules `bus_…`, which bring a broker of their own.
    StoriesForAnyBus,
}

/// Runs these tests, with what `with` adds.
pub(crate) fn rust(
    workspace: &Workspace,
    tests: Tests,
    with: impl FnOnce(Program) -> Program,
) -> Result<()> {
    let program = if tools::find("cargo-nextest").is_some() {
        let profile = if std::env::var_os("CI").is_some() { "ci" } else { "default" };
        let all = format!("nextest run {ALL} --all-targets --no-fail-fast --profile {profile}");
        cargo(workspace, &all).arg("-E").arg(match tests {
            Tests::OfCrates => "not package(tests)",
            Tests::Stories => "package(tests)",
            Tests::StoriesForAnyBus => "package(tests) and not test(/^bus_/)",
        })
    } else {
        cargo(
            workspace,
            match tests {
                Tests::OfCrates => "test --workspace --exclude tests --all-features --all-targets",
                Tests::Stories => "test --package tests --all-features --all-targets",
                Tests::StoriesForAnyBus => {
                    "test --package tests --all-features --all-targets -- --skip bus_"
                }
            },
        )
    };
    with(with_programs(workspace, program)?).run()
}

/// Tells the tests where the programs are that they start.
fn with_programs(workspace: &Workspace, program: Program) -> Result<Program> {
    let chromium = tools::chromium().context("there is no Chromium, even after the set-up")?;
    let nats = tools::nats_server(workspace).context("there is no NATS server, even so")?;
    Ok(program
        .env("NATS_SERVER", nats)
        .env("CANTINA_LOG_BIN", workspace.target().join("debug/cantina-log"))
        .env("CANTINA_PYTHON", workspace.venv_python())
        .env("CANTINA_CHROMIUM", chromium))
}

fn cargo(workspace: &Workspace, arguments: &str) -> Program {
    Program::cargo().args(arguments).within(workspace.root())
}

// === the summary ===

struct Outcome {
    name: &'static str,
    took: Duration,
    result: Result<()>,
}

fn step(name: &'static str, run: impl FnOnce() -> Result<()>) -> Outcome {
    println!("\n=== {name}");
    let began = Instant::now();
    let result = run();
    if let Err(error) = &result {
        println!("xtask: {error:#}");
    }
    Outcome { name, took: began.elapsed(), result }
}

fn verdict(outcomes: &[Outcome], took: Duration) -> Result<()> {
    let failed: Vec<_> =
        outcomes.iter().filter(|outcome| outcome.result.is_err()).map(|one| one.name).collect();
    if !failed.is_empty() {
        bail!("{} of {} failed: {}", failed.len(), outcomes.len(), failed.join(", "));
    }
    println!("all tests passed, in {}", shown(took));
    Ok(())
}

impl Outcome {
    fn line(&self) -> String {
        let verdict = if self.result.is_ok() { "passed" } else { "FAILED" };
        format!("{verdict}  {:16} {}", self.name, shown(self.took))
    }
}

fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{seconds} s")
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_a_failure_of_all() {
        let good = step("good", || Ok(()));
        let bad = step("bad", || bail!("broken"));
        assert!(good.line().starts_with("passed  good"));
        assert!(bad.line().starts_with("FAILED  bad"));
        let error = verdict(&[good, bad], Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "1 of 2 failed: bad");
        assert!(verdict(&[step("good", || Ok(()))], Duration::ZERO).is_ok());
    }

    #[test]
    fn times_are_for_people() {
        assert_eq!(shown(Duration::from_secs(7)), "7 s");
        assert_eq!(shown(Duration::from_secs(125)), "2 min 5 s");
    }
}

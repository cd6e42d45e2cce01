//! Every verb of the project: build, check, test, demo.
//!
//! One file per verb. Each prints the commands it runs, so that they can be
//! run by hand, and does nothing a second time while its inputs are the same.

#![allow(clippy::print_stdout, reason = "telling what is being done is the purpose")]
#![allow(clippy::print_stderr, reason = "errors of a command go to standard error")]

mod bench;
mod check;
mod ci;
mod command;
mod demo;
mod each;
mod examples;
mod itest;
mod layers;
mod metadata;
mod py;
mod rust_text;
mod serve;
mod setup;
mod stamp;
mod table;
mod test;
mod tidy;
mod tools;
mod ui;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask VERB

  demo     plays a recorded CantinaOS session and shows it on the dashboard
           [--once] [--speed N] [--no-player] [--port N]
  serve    builds the service (release) and runs it: cargo xtask serve [arguments of `serve`]
  test     installs what is missing and runs every test
  itest    the stories about the whole system, on one bus or on each
           [--bus memory|nats|jetstream]
  check    format, clippy, documentation, tidy; with --each, every crate alone
  bench    builds everything with optimisation, and measures it
           [--quick] [--markdown FILE]
  ci       what CI runs: check, check --each, test

  setup    installs what is missing: the browser, a NATS server, Python's and Node's packages
  ui       checks and builds the dashboard, if its sources changed
  py       ruff, mypy and pytest for the Python package
  tidy     the rules of docs/style.md that a program can check
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some((verb, rest)) = arguments.split_first() else { bail!("no verb\n\n{USAGE}") };
    let workspace = Workspace::find()?;
    match (verb.as_str(), rest) {
        ("help" | "--help" | "-h", _) => print!("{USAGE}"),
        ("serve", _) => serve::run(&workspace, rest)?,
        ("bench", _) => bench::run(&workspace, rest)?,
        ("demo", _) => demo::run(&workspace, &demo::Options::parse(rest)?)?,
        ("check", []) => check::run(&workspace)?,
        ("check", [each]) if each == "--each" => each::run(&workspace)?,
        ("ci", []) => ci::run(&workspace)?,
        ("itest", []) => itest::run_on_each(&workspace)?,
        ("itest", [flag, bus]) if flag == "--bus" => itest::run(&workspace, bus.parse()?)?,
        ("py", []) => py::run(&workspace)?,
        ("setup", []) => setup::run(&workspace)?,
        ("test", []) => test::run(&workspace)?,
        ("tidy", []) => tidy::run(&workspace)?,
        ("ui", []) => ui::run(&workspace)?,
        _ => bail!("`{}` is no verb\n\n{USAGE}", arguments.join(" ")),
    }
    Ok(ExitCode::SUCCESS)
}

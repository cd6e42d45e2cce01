//! Measures a release build, and prints the figures as Markdown.
//!
//! ```console
//! $ CANTINA_LOG_BIN=target/release/cantina-log \
//!     cargo run --release -p tests --features measure --bin measure -- [--quick] [--markdown FILE] [--only SECTION]
//! ```
//!
//! Each figure is the median of several runs, with the least and the most of
//! them. A machine is never the same twice, so what is compared with others is
//! measured beside them, in turns, in the same run.

#![allow(clippy::print_stdout, reason = "the figures are the purpose")]
#![allow(clippy::print_stderr, reason = "progress is not part of the figures")]

mod across;
mod bus;
mod bus_kept;
mod bus_live;
mod caller;
mod facts;
mod frames;
mod hosts;
mod intake;
mod latency;
mod logged;
mod memory;
mod options;
mod outage;
mod paced;
mod process;
mod report;
mod runs;
mod served;

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::options::{Command, Section};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("measure: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = match options::parse(std::env::args().skip(1))? {
        // One case of the first section, in a process of its own.
        Command::Logged { case, amounts } => return logged::run(case, amounts),
        Command::Help => {
            print!("{}", options::USAGE);
            return Ok(());
        }
        Command::Measure(options) => options,
    };
    served::has_binary()?;
    let mut document = facts::gather(&options);
    for section in Section::ALL.into_iter().filter(|section| options.wants(*section)) {
        eprintln!("measure: {}", section.name());
        let text = match section {
            Section::Caller => caller::measure(&options)?,
            Section::Intake => intake::measure(&options)?,
            Section::Latency => latency::measure(&options)?,
            Section::Memory => memory::measure(&options)?,
            Section::Bus => bus::measure(&options)?,
            Section::Across => across::measure(&options)?,
            Section::Hosts => hosts::measure(&options)?,
            Section::Outage => outage::measure(&options)?,
        };
        document.push('\n');
        document.push_str(&text);
    }
    print!("{document}");
    if let Some(path) = &options.markdown {
        let written = std::fs::write(path, document);
        written.with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

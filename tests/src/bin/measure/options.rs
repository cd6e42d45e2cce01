//! What is asked for on the command line.

use std::path::PathBuf;

use anyhow::{Result, bail};

pub(crate) const USAGE: &str = "\
usage: measure [--quick] [--only SECTION] [--markdown FILE]

  --quick            short runs: shows that it works, not how fast
  --only SECTION     caller, intake, latency, memory, bus, across, hosts or
                     outage; can be repeated
  --markdown FILE    writes the figures there as well

CANTINA_LOG_BIN is the program to measure, a release build of cantina-log;
NATS_SERVER is the NATS server for the sections from bus on.
";

/// What to do.
pub(crate) enum Command {
    Help,
    Measure(Options),
    /// Measures one way to log in this process.
    Logged {
        case: Case,
        amounts: Amounts,
    },
}

/// What to measure, and how much of it.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) is_quick: bool,
    pub(crate) markdown: Option<PathBuf>,
    only: Vec<Section>,
}

/// What belongs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Caller,
    Intake,
    Latency,
    Memory,
    /// The bus by itself.
    Bus,
    /// From one service to others, over the bus.
    Across,
    /// Many services at once.
    Hosts,
    /// The bus goes away, and comes back.
    Outage,
}

/// A way to log from Rust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// Captured, but below the level.
    Disabled,
    /// Captured into a queue that a thread empties.
    Queue,
    /// Captured into the logging service, down to its session file.
    Service,
    /// `tracing-subscriber`'s text to a file, by `tracing-appender`.
    Text,
    /// `tracing-subscriber`'s JSON to a file, by `tracing-appender`.
    Json,
}

/// How many events a case logs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amounts {
    /// One each millisecond.
    pub(crate) calm: u64,
    /// Bursts with a pause after each.
    pub(crate) bursts: u64,
    /// In one go.
    pub(crate) flood: u64,
}

pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        let mut value = || match arguments.next() {
            Some(value) => Ok(value),
            None => bail!("{argument} wants a value\n\n{USAGE}"),
        };
        match argument.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--quick" => options.is_quick = true,
            "--markdown" => options.markdown = Some(value()?.into()),
            "--only" => options.only.push(Section::named(&value()?)?),
            "--logged" => {
                let case = Case::named(&value()?)?;
                let (calm, bursts) = (value()?.parse()?, value()?.parse()?);
                let amounts = Amounts { calm, bursts, flood: value()?.parse()? };
                return Ok(Command::Logged { case, amounts });
            }
            _ => bail!("`{argument}` is no option\n\n{USAGE}"),
        }
    }
    Ok(Command::Measure(options))
}

// === impl Options ===

impl Options {
    pub(crate) fn wants(&self, section: Section) -> bool {
        self.only.is_empty() || self.only.contains(&section)
    }

    /// How often each figure is measured.
    pub(crate) fn repeats(&self, section: Section) -> usize {
        match section {
            _ if self.is_quick => 1,
            Section::Caller | Section::Intake | Section::Bus | Section::Across => 5,
            // These take long.
            Section::Latency | Section::Memory | Section::Hosts | Section::Outage => 3,
        }
    }

    /// One or the other, after the length of the runs.
    pub(crate) fn either<T>(&self, quick: T, full: T) -> T {
        if self.is_quick { quick } else { full }
    }
}

// === impl Section ===

impl Section {
    pub(crate) const ALL: [Self; 8] = [
        Self::Caller,
        Self::Intake,
        Self::Latency,
        Self::Memory,
        Self::Bus,
        Self::Across,
        Self::Hosts,
        Self::Outage,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Intake => "intake",
            Self::Latency => "latency",
            Self::Memory => "memory",
            Self::Bus => "bus",
            Self::Across => "across",
            Self::Hosts => "hosts",
            Self::Outage => "outage",
        }
    }

    fn named(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|section| section.name() == name) {
            Some(section) => Ok(section),
            None => bail!("`{name}` is no section\n\n{USAGE}"),
        }
    }
}

// === impl Case ===

impl Case {
    pub(crate) const ALL: [Self; 5] =
        [Self::Disabled, Self::Queue, Self::Service, Self::Text, Self::Json];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Queue => "queue",
            Self::Service => "service",
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    /// What it is, for people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Disabled => "`tracing-capture`, level disabled",
            Self::Queue => "`tracing-capture` into a queue that a thread empties",
            Self::Service => "`tracing-capture` into `logging-service`, with its session file",
            Self::Text => "`tracing-subscriber` text + `tracing-appender` non-blocking",
            Self::Json => "`tracing-subscriber` JSON + `tracing-appender` non-blocking",
        }
    }

    fn named(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|case| case.name() == name) {
            Some(case) => Ok(case),
            None => bail!("`{name}` is no way to log"),
        }
    }
}

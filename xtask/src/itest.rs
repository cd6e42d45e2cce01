//! `itest`: the stories about the whole system, on a bus of each kind.

use std::str::FromStr;

use anyhow::{Result, bail};

use crate::test::Tests;
use crate::workspace::Workspace;
use crate::{setup, test, ui};

/// The bus on which the services under test run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BusKind {
    Memory,
    Nats,
    JetStream,
}

/// Each, the quickest first.
const EACH: [BusKind; 3] = [BusKind::Memory, BusKind::Nats, BusKind::JetStream];

/// The stories on one kind of bus, after installing and building what they need.
pub(crate) fn run(workspace: &Workspace, bus: BusKind) -> Result<()> {
    prepare(workspace)?;
    stories(workspace, bus)
}

/// The stories on every kind of bus.
pub(crate) fn run_on_each(workspace: &Workspace) -> Result<()> {
    prepare(workspace)?;
    stories_on_each(workspace)
}

fn prepare(workspace: &Workspace) -> Result<()> {
    setup::run(workspace)?;
    ui::run(workspace)?;
    test::build(workspace)
}

/// The stories on every kind of bus, with everything built. The rest goes on
/// when one fails.
pub(crate) fn stories_on_each(workspace: &Workspace) -> Result<()> {
    let failed: Vec<&str> = EACH
        .into_iter()
        .filter(|bus| stories(workspace, *bus).is_err())
        .map(BusKind::name)
        .collect();
    if !failed.is_empty() {
        bail!("the stories failed on {}", failed.join(", "));
    }
    Ok(())
}

/// Stories of the modules `bus_…` bring their own broker: they run once.
fn stories(workspace: &Workspace, bus: BusKind) -> Result<()> {
    println!("\n=== stories on {}", bus.name());
    let tests = match bus {
        BusKind::Memory => Tests::Stories,
        BusKind::Nats | BusKind::JetStream => Tests::StoriesForAnyBus,
    };
    test::rust(workspace, tests, |program| program.env("CANTINA_TEST_BUS", bus.name()))
}

impl BusKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Nats => "nats",
            Self::JetStream => "jetstream",
        }
    }
}

impl FromStr for BusKind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = EACH.into_iter().find(|bus| bus.name() == text);
        found.ok_or_else(|| anyhow::anyhow!("`{text}` is no bus: memory, nats or jetstream"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_called_by_its_name() {
        assert_eq!("jetstream".parse::<BusKind>().unwrap(), BusKind::JetStream);
        let error = "kafka".parse::<BusKind>().unwrap_err().to_string();
        assert_eq!(error, "`kafka` is no bus: memory, nats or jetstream");
    }
}

//! `bench`: the figures of `docs/performance.md`.

use anyhow::{Context as _, Result};

use crate::command::Program;
use crate::workspace::Workspace;
use crate::{setup, tools, ui};

/// The program, and what measures it: the latter's peers are built for nothing else.
const PARTS: [&str; 2] =
    ["--package cantina-log --bin cantina-log", "--package tests --features measure --bin measure"];

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    setup::run(workspace)?;
    ui::build(workspace)?;
    for part in PARTS {
        Program::cargo()
            .args("build --release --locked")
            .args(part)
            .within(workspace.root())
            .run()?;
    }
    let nats = tools::nats_server(workspace).context("there is no NATS server, even so")?;
    let release = workspace.target().join("release");
    let measure = Program::new(release.join("measure"))
        .env("CANTINA_LOG_BIN", release.join("cantina-log"))
        .env("CANTINA_PYTHON", workspace.venv_python())
        .env("NATS_SERVER", nats)
        .within(workspace.root());
    arguments.iter().fold(measure, Program::arg).run()
}

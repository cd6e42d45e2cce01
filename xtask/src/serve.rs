//! `serve`: the real thing.

use anyhow::Result;

use crate::command::Program;
use crate::workspace::Workspace;
use crate::{tools, ui};

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    tools::need_node()?;
    ui::build(workspace)?;
    Program::cargo()
        .args("build --release --locked --package cantina-log --bin cantina-log")
        .within(workspace.root())
        .run()?;
    let program = Program::new(workspace.target().join("release/cantina-log")).arg("serve");
    Err(arguments.iter().fold(program, Program::arg).become_it())
}

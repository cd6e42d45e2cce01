//! `ui`: checks and builds the dashboard, if its sources changed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::Program;
use crate::stamp::Stamp;
use crate::workspace::Workspace;
use crate::{setup, tools};

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    tools::need_node()?;
    check(workspace)?;
    build(workspace)
}

/// Types and templates.
fn check(workspace: &Workspace) -> Result<()> {
    let ui = workspace.ui();
    setup::npm_packages(workspace, &ui, "npm-ui")?;
    let stamp = Stamp::of(workspace, "ui-check", &sources(&ui)?)?;
    if stamp.is_current() {
        return Ok(());
    }
    npm_run(&ui, "check")?;
    stamp.set()
}

/// The files that `web-bridge` embeds.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let ui = workspace.ui();
    setup::npm_packages(workspace, &ui, "npm-ui")?;
    let stamp = Stamp::of(workspace, "ui-build", &sources(&ui)?)?;
    if stamp.is_current() && ui.join("dist/index.html").is_file() {
        return Ok(());
    }
    npm_run(&ui, "build")?;
    stamp.set()
}

/// The dashboard's unit tests.
pub(crate) fn test(workspace: &Workspace) -> Result<()> {
    let ui = workspace.ui();
    setup::npm_packages(workspace, &ui, "npm-ui")?;
    npm_run(&ui, "test")
}

fn npm_run(ui: &Path, script: &str) -> Result<()> {
    Program::new("npm").args("run --silent").arg(script).within(ui).run()
}

/// Everything in the dashboard's folder but what is made or installed there.
fn sources(ui: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(ui).with_context(|| format!("reading {}", ui.display()))?;
    let mut sources = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with('.') && name != "node_modules" && name != "dist" {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

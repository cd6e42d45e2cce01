//! `setup`: installs what is missing, and nothing else.

use std::path::Path;

use anyhow::{Result, bail};

use crate::command::Program;
use crate::stamp::Stamp;
use crate::tools;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    browser()?;
    python(workspace)?;
    broker(workspace)?;
    tools::need_node()?;
    npm_packages(workspace, &workspace.ui(), "npm-ui")?;
    npm_packages(workspace, &workspace.test_js(), "npm-tests")
}

/// A browser, for the tests that look at the dashboard.
fn browser() -> Result<()> {
    if tools::chromium().is_none() {
        tools::apt_install("chromium", "the browser tests need Chromium")?;
    }
    Ok(())
}

/// A NATS server, for the tests of the bus. There are machines for which
/// Python's packages have none.
fn broker(workspace: &Workspace) -> Result<()> {
    if tools::nats_server(workspace).is_none() {
        tools::apt_install("nats-server", "the tests of the bus need a NATS server")?;
    }
    Ok(())
}

/// The virtual environment with the tools of `requirements.txt`.
pub(crate) fn python(workspace: &Workspace) -> Result<()> {
    tools::need_python()?;
    let requirements = workspace.root().join("xtask/requirements.txt");
    let stamp = Stamp::of(workspace, "python", std::slice::from_ref(&requirements))?;
    if stamp.is_current() && workspace.venv_python().is_file() {
        return Ok(());
    }
    make_venv(workspace)?;
    Program::new(workspace.venv_python())
        .args("-m pip install --quiet --disable-pip-version-check --requirement")
        .arg(requirements)
        .run()?;
    stamp.set()
}

fn make_venv(workspace: &Workspace) -> Result<()> {
    let make = || Program::new("python3").args("-m venv --clear").arg(workspace.venv()).run();
    if make().is_err() {
        // Debian keeps this part of Python in a package of its own.
        tools::apt_install("python3-venv", "Python cannot make a virtual environment")?;
        make()?;
    }
    Ok(())
}

/// The packages that the lock file in `folder` names.
pub(crate) fn npm_packages(workspace: &Workspace, folder: &Path, name: &str) -> Result<()> {
    let (package, lock) = (folder.join("package.json"), folder.join("package-lock.json"));
    if !package.is_file() {
        return Ok(());
    }
    if !lock.is_file() {
        bail!("{} has no lock file beside it", package.display());
    }
    let stamp = Stamp::of(workspace, name, &[package, lock])?;
    if stamp.is_current() && folder.join("node_modules").is_dir() {
        return Ok(());
    }
    Program::new("npm").args("ci --no-audit --no-fund").within(folder).run()?;
    stamp.set()
}

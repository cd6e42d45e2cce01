//! `py`: the lints, types and tests of everything in Python.

use anyhow::Result;

use crate::command::Program;
use crate::setup;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::python(workspace)?;
    programs(workspace)?;
    for arguments in ["ruff check", "ruff format --check", "mypy", "pytest -q"] {
        tool(workspace, arguments).within(&workspace.python()).run()?;
    }
    Ok(())
}

/// The programs outside of the package, by the package's rules but one: they
/// are no interface, and need no documentation.
fn programs(workspace: &Workspace) -> Result<()> {
    let config = workspace.python().join("pyproject.toml");
    for arguments in ["ruff check --extend-ignore D1", "ruff format --check"] {
        tool(workspace, arguments)
            .arg("--config")
            .arg(&config)
            .args("xtask tests")
            .within(workspace.root())
            .run()?;
    }
    Ok(())
}

fn tool(workspace: &Workspace, arguments: &str) -> Program {
    Program::new(workspace.venv_python()).arg("-m").args(arguments)
}

//! Every example of every crate, run to its end.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::command::Program;
use crate::metadata::Metadata;
use crate::workspace::Workspace;

/// An example is for reading, and ends by itself.
const LIMIT: Duration = Duration::from_mins(1);

/// Runs the examples, which have been built, each in an empty folder.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut names = Vec::new();
    for package in Metadata::read(workspace)?.packages {
        let examples = package.targets.into_iter().filter(|target| target.kind == "example");
        names.extend(examples.map(|target| target.name));
    }
    if names.is_empty() {
        bail!("there are no examples");
    }
    for name in names {
        let folder = workspace.scratch()?.join("examples").join(&name);
        std::fs::create_dir_all(&folder)?;
        let program = workspace.target().join("debug/examples").join(&name);
        Program::new(program).within(&folder).run_within(LIMIT)?;
    }
    Ok(())
}

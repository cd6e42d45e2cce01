//! `ci`: what CI runs, in CI's order.

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{check, each, test};

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    check::run(workspace)?;
    each::run(workspace)?;
    test::run(workspace)
}

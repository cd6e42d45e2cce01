//! `check`: everything that is wrong without running anything.

use anyhow::{Result, bail};

use crate::command::Program;
use crate::tidy;
use crate::workspace::Workspace;

/// The rest goes on when one fails, so that one run tells everything.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let clippy = "clippy --workspace --all-targets --all-features --locked -- -D warnings";
    let doc = "doc --workspace --all-features --no-deps --locked";
    verdict(&[
        ("tidy", tidy::run(workspace)),
        ("format", cargo(workspace, "fmt --all --check").run()),
        ("clippy", cargo(workspace, clippy).run()),
        ("documentation", cargo(workspace, doc).env("RUSTDOCFLAGS", "-D warnings").run()),
    ])
}

fn cargo(workspace: &Workspace, arguments: &str) -> Program {
    Program::cargo().args(arguments).within(workspace.root())
}

fn verdict(outcomes: &[(&str, Result<()>)]) -> Result<()> {
    let mut failed = Vec::new();
    for (name, outcome) in outcomes {
        if let Err(error) = outcome {
            println!("{name}: {error:#}");
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        bail!("not as it should be: {}", failed.join(", "));
    }
    println!("check: all is as it should be");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_named() {
        let outcomes =
            [("a", Ok(())), ("b", Err(anyhow::anyhow!("x"))), ("c", Err(anyhow::anyhow!("y")))];
        assert_eq!(verdict(&outcomes).unwrap_err().to_string(), "not as it should be: b, c");
        assert!(verdict(&outcomes[..1]).is_ok());
    }
}

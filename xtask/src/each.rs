//! `check --each`: every crate as somebody sees it who depends on it alone.
//!
//! In the workspace, Cargo builds a dependency once with all features that any
//! member asks for. A crate that forgot to ask for one of tokio's features
//! still builds there, and fails for whoever uses it alone.

use anyhow::Result;

use crate::command::Program;
use crate::metadata::{Metadata, Package};
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    for package in &Metadata::read(workspace)?.packages {
        for arguments in builds(package) {
            Program::cargo()
                .args("check --quiet --locked --package")
                .args(&arguments)
                .within(workspace.root())
                .run()?;
        }
    }
    Ok(())
}

/// The builds of a package: as it is, bare, each feature, and with its tests.
fn builds(package: &Package) -> Vec<String> {
    let name = &package.name;
    let mut builds = vec![name.clone()];
    if package.features.iter().any(|feature| feature == "default") {
        builds.push(format!("{name} --no-default-features"));
    }
    let features = package.features.iter().filter(|feature| *feature != "default");
    builds.extend(
        features.map(|feature| format!("{name} --no-default-features --features {feature}")),
    );
    builds.push(format!("{name} --all-targets --all-features"));
    builds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_is_built_alone() {
        let package = Package {
            name: "bus".into(),
            features: vec!["conformance".into(), "default".into(), "nats".into()],
            ..Package::default()
        };
        assert_eq!(
            builds(&package),
            [
                "bus",
                "bus --no-default-features",
                "bus --no-default-features --features conformance",
                "bus --no-default-features --features nats",
                "bus --all-targets --all-features",
            ]
        );
    }
}

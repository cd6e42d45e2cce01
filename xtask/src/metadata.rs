//! What Cargo knows of the workspace.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::Program;
use crate::workspace::Workspace;

/// The members of the workspace.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
}

/// A member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) features: Vec<String>,
    /// What it cannot be built without; not what only its tests need.
    pub(crate) dependencies: Vec<String>,
    pub(crate) targets: Vec<Target>,
}

/// A library, program, example or test of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) source: PathBuf,
}

impl Metadata {
    pub(crate) fn read(workspace: &Workspace) -> Result<Self> {
        let json = Program::cargo()
            .args("metadata --format-version 1 --no-deps")
            .within(workspace.root())
            .read()?;
        let value: Value = serde_json::from_str(&json).context("reading `cargo metadata`")?;
        let mut packages: Vec<_> = list(&value["packages"]).map(package).collect();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { packages })
    }
}

fn package(value: &Value) -> Package {
    let features = value["features"].as_object().into_iter().flat_map(|map| map.keys().cloned());
    let dependencies = list(&value["dependencies"])
        .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
        .map(|dependency| text(&dependency["name"]));
    Package {
        name: text(&value["name"]),
        description: text(&value["description"]),
        features: features.collect(),
        dependencies: dependencies.collect(),
        targets: list(&value["targets"]).map(target).collect(),
    }
}

fn target(value: &Value) -> Target {
    Target {
        name: text(&value["name"]),
        kind: text(&value["kind"][0]),
        source: text(&value["src_path"]).into(),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_is_read() {
        let metadata = Metadata::read(&Workspace::find().unwrap()).unwrap();
        let package = metadata.packages.iter().find(|package| package.name == "xtask").unwrap();
        assert!(package.dependencies.contains(&"anyhow".to_owned()));
        assert!(package.targets[0].source.ends_with("xtask/src/main.rs"));
        let bus = metadata.packages.iter().find(|package| package.name == "bus").unwrap();
        assert!(bus.features.contains(&"conformance".to_owned()));
        assert!(!bus.dependencies.contains(&"proptest".to_owned()), "that is for its tests");
    }
}

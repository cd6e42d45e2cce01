//! `tidy`: the rules of `docs/style.md` that a program can check.
//!
//! Each check is a function from texts to problems, and has a test with a bad
//! example.

mod crates;
mod links;
mod root;
mod settings;
mod source;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::layers;
use crate::metadata::Metadata;
use crate::workspace::Workspace;

/// A file of the project that a person wrote.
#[derive(Debug)]
struct Source {
    /// From the root, with `/` between the folders.
    path: String,
    text: String,
}

impl Source {
    /// What the file's name ends with: `rs`, `md`.
    fn ending(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, ending)| ending)
    }
}

/// Folders that are made, not written.
const MADE: [&str; 10] = [
    ".git",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".venv",
    "__pycache__",
    "dist",
    "logs",
    "node_modules",
    "target",
];
/// What people write, as opposed to data and locked versions.
const WRITTEN: [&str; 12] =
    ["css", "html", "js", "md", "mjs", "py", "rs", "sh", "svelte", "toml", "ts", "yml"];

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let root = workspace.root();
    let sources = sources(root)?;
    let metadata = Metadata::read(workspace)?;
    let mut problems = root::check(&root::names(root)?);
    for problem in layers::check(&read(&root.join("docs/architecture.md"))?, &metadata.packages) {
        problems.push(format!("docs/architecture.md, layers: {problem}"));
    }
    problems.extend(crates::describes_itself(&metadata.packages, read)?);
    problems.extend(crates::foreign(&read(&root.join("Cargo.lock"))?, &metadata.packages));
    match read(&root.join(settings::DOCUMENT)) {
        Ok(document) => {
            problems.extend(settings::check(&document, &read(&root.join(settings::SOURCE))?));
        }
        Err(error) => problems.push(format!("{error:#}")),
    }
    for source in &sources {
        problems.extend(source::check(source));
        problems.extend(words::check(source));
        problems.extend(links::check(source, |path| root.join(path).exists()));
    }
    report(&problems, sources.len())
}

fn report(problems: &[String], files: usize) -> Result<()> {
    problems.iter().for_each(|problem| println!("{problem}"));
    match problems.len() {
        0 => println!("tidy: {files} files are as they should be"),
        1 => bail!("tidy found a problem"),
        count => bail!("tidy found {count} problems"),
    }
    Ok(())
}

fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut files = Vec::new();
    walk(root, &mut files)?;
    files.sort();
    let source = |file: PathBuf| {
        let path = file.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
        Ok(Source { path, text: read(&file)? })
    };
    files.into_iter().map(source).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if entry.file_type()?.is_dir() {
            if !MADE.contains(&name.as_str()) {
                walk(&path, files)?;
            }
        } else if is_written(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_written(path: &Path) -> bool {
    // `.ci/run` has no ending.
    path.extension().map_or(path.ends_with(".ci/run"), |ending| {
        WRITTEN.iter().any(|written| ending == *written)
    })
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_a_failure() {
        assert!(report(&[], 3).is_ok());
        assert!(report(&["a: b".to_owned()], 3).is_err());
    }

    #[test]
    fn the_sources_of_this_project_are_found() {
        let workspace = Workspace::find().unwrap();
        let sources = sources(workspace.root()).unwrap();
        let has = |path: &str| sources.iter().any(|source| source.path == path);
        assert!(has("xtask/src/tidy.rs") && has("Cargo.toml") && has(".ci/run"));
        assert!(!sources.iter().any(|source| source.path.contains("node_modules/")));
    }
}

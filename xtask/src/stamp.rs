//! Doing nothing twice: a stamp remembers what something was made from.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// A file that holds a hash of the inputs of something that was made.
#[derive(Debug)]
pub(crate) struct Stamp {
    file: PathBuf,
    hash: String,
}

impl Stamp {
    /// The stamp `name` for the present contents of `inputs`: files, and
    /// folders with everything in them.
    pub(crate) fn of(workspace: &Workspace, name: &str, inputs: &[PathBuf]) -> Result<Self> {
        let file = workspace.scratch()?.join(format!("{name}.stamp"));
        Ok(Self { file, hash: hash(workspace.root(), inputs)? })
    }

    /// Whether it was made from exactly these inputs.
    pub(crate) fn is_current(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|hash| hash == self.hash)
    }

    /// Notes that it was made.
    pub(crate) fn set(&self) -> Result<()> {
        fs::write(&self.file, &self.hash)
            .with_context(|| format!("writing {}", self.file.display()))
    }
}

fn hash(root: &Path, inputs: &[PathBuf]) -> Result<String> {
    let mut files = Vec::new();
    for input in inputs {
        gather(input, &mut files)?;
    }
    let mut hasher = DefaultHasher::new();
    // Elsewhere, the paths inside of what was made may be wrong.
    root.hash(&mut hasher);
    for file in files {
        file.hash(&mut hasher);
        let contents = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        contents.hash(&mut hasher);
    }
    Ok(format!("{:016x}\n", hasher.finish()))
}

fn gather(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut inside: Vec<PathBuf> = fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(|| format!("reading {}", path.display()))?;
    inside.sort();
    inside.iter().try_for_each(|path| gather(path, files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_renamed_or_new_file_is_another_hash() {
        let folder = std::env::temp_dir().join(format!("xtask-stamp-{}", std::process::id()));
        fs::create_dir_all(folder.join("src")).unwrap();
        let inputs = [folder.join("src")];
        let hash_now = || hash(Path::new("root"), &inputs).unwrap();
        fs::write(folder.join("src/a"), "1").unwrap();
        let first = hash_now();
        assert_eq!(first, hash_now());
        fs::write(folder.join("src/a"), "2").unwrap();
        let changed = hash_now();
        fs::rename(folder.join("src/a"), folder.join("src/b")).unwrap();
        let renamed = hash_now();
        fs::write(folder.join("src/c"), "").unwrap();
        let added = hash_now();
        let all = std::collections::BTreeSet::from([first, changed, renamed, added]);
        assert_eq!(all.len(), 4);
        fs::remove_dir_all(folder).unwrap();
    }
}

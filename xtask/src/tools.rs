//! The programs of others that we need.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::command::Program;
use crate::workspace::Workspace;

const NODE_MIN: (u32, u32) = (20, 19);
const PYTHON_MIN: (u32, u32) = (3, 9);
const BROWSERS: [&str; 4] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The folder entry on `PATH` with this name.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A browser for the tests: that of `CANTINA_CHROMIUM`, or one on `PATH`.
pub(crate) fn chromium() -> Option<PathBuf> {
    match std::env::var_os("CANTINA_CHROMIUM") {
        Some(file) => Some(file.into()),
        None => BROWSERS.into_iter().find_map(find),
    }
}

/// A NATS server for the tests: that of `NATS_SERVER`, the one that `setup`
/// installs, or one on `PATH`.
pub(crate) fn nats_server(workspace: &Workspace) -> Option<PathBuf> {
    let installed = workspace.venv().join("bin/nats-server");
    match std::env::var_os("NATS_SERVER") {
        Some(file) => Some(file.into()),
        None => Some(installed).filter(|file| file.is_file()).or_else(|| find("nats-server")),
    }
}

/// Checks that Node and npm are there, and new enough.
pub(crate) fn need_node() -> Result<()> {
    let version = version_of("node", "--version")
        .context("Node.js builds the dashboard: install version 20.19 or later (nodejs.org)")?;
    if version < NODE_MIN {
        bail!("Node.js {}.{} is too old for the dashboard: it takes 20.19", version.0, version.1);
    }
    version_of("npm", "--version").context("npm, which comes with Node.js, is missing")?;
    Ok(())
}

/// Checks that Python is there, and new enough.
pub(crate) fn need_python() -> Result<()> {
    let version = version_of("python3", "--version")
        .context("Python plays the recorded session: install version 3.9 or later (python.org)")?;
    if version < PYTHON_MIN {
        bail!("Python {}.{} is too old: it takes 3.9", version.0, version.1);
    }
    Ok(())
}

fn version_of(program: &str, argument: &str) -> Result<(u32, u32)> {
    let printed = Program::new(program).arg(argument).read()?;
    parse_version(&printed).with_context(|| format!("`{program}` says {printed:?} as its version"))
}

/// The first two numbers in `v20.20.2`, `Python 3.11.7` or the like.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let digits = text.find(|c: char| c.is_ascii_digit())?;
    let mut numbers = text[digits..].split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Installs Debian packages, if that is possible here. `why` says what for.
pub(crate) fn apt_install(packages: &str, why: &str) -> Result<()> {
    let is_root = Program::new("id").arg("-u").read().is_ok_and(|id| id.trim() == "0");
    let has_apt = find("apt-get").is_some();
    if !has_apt || (!is_root && find("sudo").is_none()) {
        bail!("{why}: install {packages} by hand (there is no apt-get, or no right to use it)");
    }
    println!("{why}: installing {packages}");
    apt(is_root, "update -qq")?;
    apt(is_root, &format!("install -y -qq --no-install-recommends {packages}"))
}

fn apt(is_root: bool, arguments: &str) -> Result<()> {
    let apt =
        if is_root { Program::new("apt-get") } else { Program::new("sudo").args("-n apt-get") };
    apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_they_are_printed() {
        assert_eq!(parse_version("v20.20.2\n"), Some((20, 20)));
        assert_eq!(parse_version("Python 3.11.7\n"), Some((3, 11)));
        assert_eq!(parse_version("nothing"), None);
        assert!(parse_version("v20.9.0").unwrap() < NODE_MIN);
    }

    #[test]
    fn what_is_not_on_the_path_is_not_found() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program"), None);
    }
}

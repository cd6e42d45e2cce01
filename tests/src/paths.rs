//! Where the programs are that the tests run.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn given(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// The program under test: `CANTINA_LOG_BIN`, or the one beside this test.
pub fn binary() -> PathBuf {
    given("CANTINA_LOG_BIN").unwrap_or_else(|| {
        // target/debug/deps/it-… → target/debug/cantina-log
        let test = std::env::current_exe().expect("a test has a path");
        test.ancestors().nth(2).expect("it is in target/PROFILE/deps").join("cantina-log")
    })
}

/// Python: `CANTINA_PYTHON`, or `python3`.
pub fn python() -> PathBuf {
    given("CANTINA_PYTHON").unwrap_or_else(|| PathBuf::from("python3"))
}

/// Chromium: `CANTINA_CHROMIUM`, or `/usr/bin/chromium`.
pub fn chromium() -> PathBuf {
    given("CANTINA_CHROMIUM").unwrap_or_else(|| PathBuf::from("/usr/bin/chromium"))
}

/// A script of `tests/js`.
pub fn js(name: &str) -> PathBuf {
    root().join("tests/js").join(name)
}

/// A file of the demo: the recording, and the program that plays it.
pub fn fixture(name: &str) -> PathBuf {
    root().join("xtask/demo").join(name)
}

/// A program of `tests/py`.
pub fn py(name: &str) -> PathBuf {
    root().join("tests/py").join(name)
}

/// An example of the documentation.
pub fn example(name: &str) -> PathBuf {
    root().join("docs/examples").join(name)
}

//! What the program ends with.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use crate::settings::SettingsError;

/// Nothing was found, or damage was.
pub(crate) const NOT_FOUND: u8 = 1;
/// The command line is wrong; also what clap ends with.
pub(crate) const USAGE: u8 = 2;
/// The service stopped, but something could not be written.
pub(crate) const NOT_WRITTEN: u8 = 3;
/// Another process uses the session directory.
pub(crate) const IN_USE: u8 = 73;
/// The configuration cannot be used.
pub(crate) const CONFIG: u8 = 78;

/// An error that knows what to end with.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// What `error` and its causes say, to end with `code`.
    pub(crate) fn of(code: u8, error: &anyhow::Error) -> Self {
        Self { code, message: format!("{error:#}") }
    }
}

/// Says what went wrong, on stderr, and what to end with.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    last_words(&format_args!("{error:#}"));
    ExitCode::from(code(error))
}

/// Says `what` on stderr: there is nobody left to log to. That nobody reads it
/// either changes nothing about what the program ends with.
pub(crate) fn last_words(what: &dyn Display) {
    drop(writeln!(anstream::stderr(), "cantina-log: {what}"));
}

fn code(error: &anyhow::Error) -> u8 {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        failure.code
    } else if error.is::<SettingsError>() {
        CONFIG
    } else if error.is::<log_entry::FilterError>() || error.is::<crate::commands::UsageError>() {
        USAGE
    } else {
        NOT_FOUND
    }
}

/// Whether whoever read our output has gone, which is no error of ours.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

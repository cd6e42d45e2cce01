//! The way of `log` records into `tracing`.

use tracing_log::LogTracer;
use tracing_log::log::SetLoggerError;

/// The bridge from `log` to `tracing` could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program has a logger for `log` records already; perhaps this bridge.
    #[error("installing the bridge from `log` to `tracing`")]
    LoggerInstalled {
        /// What `log` said.
        source: SetLoggerError,
    },
}

/// Makes every record of the `log` crate an event of the current `tracing`
/// subscriber, and so of the capture layer, for the rest of the program.
///
/// `tracing` must not be built with its own feature `log-always`: what it sends
/// to `log` would come back.
///
/// # Errors
///
/// The program has a logger for `log` records already.
pub fn log_bridge() -> Result<(), Error> {
    LogTracer::init().map_err(|source| Error::LoggerInstalled { source })
}

//! The CantinaOS logging service: capture, storage, folding and the bus under
//! one lifecycle.
//!
//! Sources [offer](log_entry::RecordSink) records to the [intake]. One
//! pipeline takes them out in order: it drops what is below its threshold,
//! names the service, numbers the entry, and hands it to the session files, the
//! ring in memory and the bus. The files keep every occurrence; the views see
//! repeats folded, with a count.
//!
//! ```
//! use std::sync::Arc;
//!
//! use log_entry::{Level, Record, RecordSink};
//! use logging_api::Vitals;
//! use logging_service::{Config, LoggingService};
//! use standard_service::StandardService;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let logs = tempfile::tempdir()?;
//! let config = Config { session_file_path: logs.path().join("logs"), ..Config::default() };
//! let mut logging = LoggingService::open(config, Arc::new(bus::MemoryBus::default())).await?;
//! let now = chrono::Utc::now();
//! logging.intake().offer(Record::new(now, Level::Info, "cantina_os.cli", "ready"));
//! logging.start().await?;
//! logging.stop().await?;
//! let stats = logging.handle().stats();
//! assert_eq!((stats.received, stats.stored, stats.in_flight), (1, 1, 0));
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! * **Every record is accounted for.** What was received is stored, merged,
//!   filtered, dropped or in flight, in every snapshot ([`Handle`]).
//! * **Nobody waits.** Offering a record never blocks; a full queue refuses the
//!   newest, counts it, and says so in the session.
//! * **Nothing feeds back.** The service works on its own thread with its own
//!   `tracing` dispatcher; what it says of itself comes in by a door of its own,
//!   ten records a second at the most.
//! * **Nothing outlives `stop`.** What was accepted before is in the file after.
//!
//! [intake]: LoggingService::intake

mod config;
mod control;
mod error;
mod folding;
mod handle;
mod history;
mod intake;
mod ledger;
mod losses;
mod naming;
mod outputs;
mod own;
mod pipeline;
mod recent;
mod seen;
mod service;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use error::OpenError;
pub use handle::Handle;
pub use intake::Intake;
pub use own::OwnSink;
pub use service::LoggingService;

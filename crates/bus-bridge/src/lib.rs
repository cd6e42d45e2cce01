//! Joins a logging service with the other programs on the deployment's bus.
//!
//! Inside a program, all speak on a local bus, which never waits. A [`Bridge`]
//! joins that with the bus on which other programs are: every entry of the
//! session files is published there, and a [`Relay`] passes on what is said
//! live. A [`Collector`] takes in the entries of the others. Each instance has
//! a name, its [`origin`](origin()), by which it knows its own.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bus::{Bus, BusExt, MemoryBus};
//! use bus_bridge::{Backlog, Bridge, Config, Relay, origin};
//! use log_entry::{Level, Record};
//! use logging_api::{Archive, LOG_ENTRY};
//! use logging_service::LoggingService;
//! use standard_service::StandardService;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let temporary = tempfile::tempdir()?;
//! # let logs = temporary.path().join("logs");
//! // In a deployment this is the one that other programs use as well.
//! let remote: Arc<dyn Bus> = Arc::new(MemoryBus::default());
//! let mut entries = remote.subscribe_json(&LOG_ENTRY, 16.try_into()?).await?;
//!
//! // Stock is taken before the files are opened, which removes old ones.
//! let backlog = Backlog::take_stock(&logs, "memory:");
//! let local = Arc::new(MemoryBus::default());
//! let settings =
//!     logging_service::Config { session_file_path: logs.clone(), ..Default::default() };
//! let mut logging = LoggingService::open(settings, local.clone()).await?;
//!
//! let config = Config {
//!     session: logging.handle().current(),
//!     origin: origin(&logs)?,
//!     to_dashboard: true,
//!     rate_limit_per_service: 200,
//!     rate_limit_burst: 1000,
//!     max_replay_bytes: Config::MAX_REPLAY_BYTES,
//! };
//! let relay = Relay::subscribe(local, remote.clone(), config.origin.clone()).await?;
//! let mut bridge = Bridge::new(config, backlog, relay, remote, logging.written());
//! bridge.start().await?;
//! logging.start().await?;
//!
//! let now = chrono::Utc::now();
//! logging.intake().offer(Record::new(now, Level::Info, "cantina_os.cli", "ready"));
//! let entry = entries.recv().await.expect("the bus is open")?;
//! assert_eq!(entry.message, "ready");
//! logging.stop().await?;
//! bridge.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! * **The session files are the queue.** While the bus is away, entries wait
//!   there and nowhere else; once it is back they follow in order, with their
//!   ids. How far that has come is kept beside the files in `.bus-cursor`, so
//!   a restart goes on where it was, and repeats a few hundred entries at the
//!   most. On a bus that keeps events it asks first which of them arrived.
//! * **What is never published is counted**: what was removed first, what is
//!   older than the limit of a replay, what is too large even when cut. The
//!   numbers that entries have on the bus leave gaps for it.
//! * **A broker that has lost what it confirmed** gets it again, as far as the
//!   files and the limit of a replay go. It is noticed when the connection
//!   comes back; what others publish before that can hide it.
//! * **On a bus without confirmations** an entry counts as published when the
//!   bus has taken it. What is lost after that is not known here, but readers
//!   see it in the numbers.
//! * **Nothing local waits** for the deployment's bus, and nothing that came
//!   from it is ever sent back there.
//!
//! # What this crate does not know
//!
//! Which broker it is, how entries are made and stored, and who reads them.

mod backlog;
mod bridge;
mod collect;
mod cursor;
mod forward;
mod origin;
mod patience;
mod relay;
mod spool;

pub use backlog::Backlog;
pub use bridge::{Bridge, Config};
pub use collect::{Collector, CollectorHandle};
pub use forward::{Forwarding, ForwardingCounts};
pub use origin::origin;
pub use relay::{Relay, RelayHandle};

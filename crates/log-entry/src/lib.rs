//! The log entry: what every other crate passes around.
//!
//! A source (the Python listener, the `tracing` layer) makes a [`Record`]: a
//! time, a [`Severity`], a logger name, a message, and hands it to a
//! [`RecordSink`]. The logging service stamps it with a service name, a session,
//! a number and an id, and from then on it is a [`LogEntry`].
//!
//! ```
//! use log_entry::{Level, Severity};
//!
//! let level: Level = "warning".parse()?;
//! assert!(level > Level::Info);
//! assert_eq!(level.to_string(), "WARNING");
//! assert_eq!(Severity::new(35).level(), Level::Warning);
//! # Ok::<(), log_entry::ParseLevelError>(())
//! ```
//!
//! # What this crate does not know
//!
//! Buses, files, runtimes and clocks. Everything here is a plain value; a time
//! is always handed in by the caller.

mod cut;
mod entry;
mod escape;
mod filter;
mod id;
mod level;
mod levels;
mod record;
mod service;
mod sink;
mod text;
mod time;

pub use cut::cut_text;
pub use entry::{LogEntry, Stamp};
pub use escape::{EscapedFormatter, is_unsafe};
pub use filter::{Filter, FilterError, FilterSpec};
pub use id::{EntryId, EntryIds, ParseIdError, ParseSessionIdError, SessionId};
pub use level::{Level, ParseLevelError, Severity};
pub use levels::Levels;
pub use record::{Emitter, Exception, Fields, Origin, Record, Source};
pub use service::{Service, ServiceNames};
pub use sink::{DropReason, Loss, Offer, RecordSink, Ticket, Written};
pub use text::{RepeatNote, TextLine};
pub use time::{Timestamp, format_timestamp, timestamp_from_epoch};

//! A tracing layer that hands events to a record sink.
//!
//! A [`Capture`] knows a [`RecordSink`] and which [`Levels`] are wanted.
//! Its [`layer`](Capture::layer) turns every wanted `tracing` event into a [`Record`] and offers it; its [`LevelsHandle`] changes what is wanted while the program runs.
//! [`log_bridge`] brings in the records of the `log` crate.
//!
//! ```
//! use std::sync::Arc;
//!
//! use log_entry::{Level, Levels, Loss, Offer, Record, RecordSink, Ticket};
//! use parking_lot::Mutex;
//! use tracing_subscriber::prelude::*;
//!
//! #[derive(Default)]
//! struct Kept(Mutex<Vec<Record>>);
//!
//! impl RecordSink for Kept {
//!     fn offer(&self, record: Record) -> Offer {
//!         let mut records = self.0.lock();
//!         records.push(record);
//!         Offer::Accepted(Ticket(records.len() as u64))
//!     }
//!     fn report(&self, _: Loss) {}
//! }
//!
//! let sink = Arc::new(Kept::default());
//! let capture = tracing_capture::Capture::new(sink.clone());
//! let subscriber = tracing_subscriber::registry().with(capture.layer());
//!
//! tracing::subscriber::with_default(subscriber, || {
//!     tracing::debug!("nobody asked for this");
//!     capture.levels().set(Levels::new(Level::Debug));
//!     tracing::debug!(track = 7, "playing");
//! });
//!
//! let records = sink.0.lock();
//! assert_eq!(records.len(), 1);
//! assert_eq!(records[0].message, "playing");
//! assert_eq!(records[0].fields["track"], 7);
//! ```
//!
//! # What becomes of an event
//!
//! - **Message**: the rendered `message`; of an event without one, its fields as `name=value`.
//! - **Fields**: typed, as JSON.
//!   A field with `?` or `%` is text; an error given as `&dyn Error` is text with its causes, joined by `: `.
//!   The fields of the spans around the event are added; of two with one name the event's wins, then the inner span's.
//!   `spans` holds the names of these spans, outermost first, and `module` the module path where the target is something else.
//! - **Logger**: the target.
//!   A record of the `log` crate has its own target, file and line, not those of the bridge.
//! - **Level**: TRACE, which Python has no name for, is [`Severity::TRACE`] and belongs to DEBUG.
//! - **Source**: file, line, thread name and process.
//!
//! # What is guaranteed
//!
//! - **A disabled event costs nothing**: its fields are not evaluated.
//!   Spans from INFO upwards are kept under every setting, as the context of errors.
//! - **Other layers are left alone**: they see what they saw before, whatever the levels here.
//! - **Nothing grows without bound**: a text is cut after 64 KiB and marked `…[truncated N bytes]`, an event and its spans have at most 64 fields; `fields_dropped` counts the rest, and `spans_dropped` the spans beyond the innermost 64.
//! - **No recursion**: what the sink, or the `Debug` of a field, logs while an event is captured is not captured; [`Capture::reentrant`] counts it.
//!   (Under a thread's own default subscriber `tracing` itself withholds such events, and they are not counted.)
//! - **The caller waits for nothing** but the formatting of its own fields and [`RecordSink::offer`].
//!
//! # What this crate does not know
//!
//! Where records go, what a full sink does, and the global subscriber: a program installs that, never a library.

mod bridge;
mod capture;
mod fields;
mod filter;
mod guard;
mod recorder;
mod text;

#[cfg(test)]
mod tests;

pub use bridge::{Error, log_bridge};
pub use capture::{Capture, LevelsHandle, layer};

#[cfg(doc)]
use log_entry::{Levels, Record, RecordSink, Severity};

//! What a session's entries add up to.
//!
//! A [`Summary`] takes in entries one by one, live or from a file, and says
//! how many there were of which level and service, and when.
//!
//! ```
//! use log_analysis::Summary;
//!
//! let summary = Summary::default();
//! assert_eq!((summary.entries, summary.errors()), (0, 0));
//! ```
//!
//! # What this crate does not know
//!
//! Files, buses, runtimes and clocks. Everything is a pure function over
//! entries, so that the live service and the command line say the same.

mod summary;

pub use summary::Summary;

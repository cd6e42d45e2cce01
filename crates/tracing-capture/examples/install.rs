//! Installs the capture layer as a program would, logs a little, and says what
//! the sink got.
//!
//! ```console
//! $ cargo run -p tracing-capture --example install
//! DEBUG 1, INFO 1, WARNING 1
//! ```

#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use log_entry::{Level, Levels, Loss, Offer, Record, RecordSink, Ticket};
use parking_lot::Mutex;
use tracing_capture::{Capture, log_bridge};
use tracing_subscriber::prelude::*;

/// Counts records by level. A real one is the intake of the logging service.
#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    by_level: Mutex<BTreeMap<Level, u64>>,
}

impl RecordSink for Counts {
    fn offer(&self, record: Record) -> Offer {
        *self.by_level.lock().entry(record.severity.level()).or_default() += 1;
        Offer::Accepted(Ticket(self.accepted.fetch_add(1, Ordering::Relaxed) + 1))
    }

    // Nothing is lost in this example.
    fn report(&self, _: Loss) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let sink = Arc::new(Counts::default());
    let capture = Capture::new(sink.clone());
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(capture.layer()))?;
    log_bridge()?;

    tracing::info!(track = 7, "playing");
    tracing::debug!("not wanted yet");
    log::warn!("a library that uses `log` is heard too");

    capture.levels().set(Levels::new(Level::Warning).with("install", Level::Debug));
    tracing::debug!("wanted now");

    let counts = sink.by_level.lock();
    let counts: Vec<_> = counts.iter().map(|(level, count)| format!("{level} {count}")).collect();
    println!("{}", counts.join(", "));
    Ok(())
}

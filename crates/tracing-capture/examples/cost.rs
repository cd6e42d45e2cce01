//! What capturing costs the thread that logs, in nanoseconds per event.
//!
//! ```console
//! $ cargo run --release -p tracing-capture --example cost
//! ```

#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use log_entry::{DropReason, Loss, Offer, Record, RecordSink, Ticket};
use parking_lot::Mutex;
use tracing::{debug, info, info_span};
use tracing_capture::Capture;
use tracing_subscriber::prelude::*;

const ROUNDS: usize = 20;
const EVENTS: usize = 20_000;

/// Drops every record.
struct Nowhere;

impl RecordSink for Nowhere {
    fn offer(&self, record: Record) -> Offer {
        black_box(record);
        Offer::Dropped(DropReason::Stopped)
    }

    fn report(&self, _: Loss) {}
}

/// Keeps every record.
#[derive(Default)]
struct Kept(Mutex<Vec<Record>>);

impl RecordSink for Kept {
    fn offer(&self, record: Record) -> Offer {
        let mut records = self.0.lock();
        records.push(record);
        Offer::Accepted(Ticket(records.len() as u64))
    }

    fn report(&self, _: Loss) {}
}

fn plain() {
    info!("Received API response with status: {}", black_box(200));
}

fn disabled() {
    debug!(status = black_box(200), "Received API response");
}

fn with_fields() {
    info!(status = black_box(200), model = black_box("gpt-4o"), "Received API response");
}

/// Prints what `log` costs, with `between` run untimed after each round.
fn measure(name: &str, log: fn(), between: impl Fn()) {
    let mut rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..EVENTS).for_each(|_| log());
            let elapsed = start.elapsed();
            between();
            elapsed.as_nanos() as f64 / EVENTS as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{name:32} {:8.1} {:8.1}", rounds[0], rounds[ROUNDS / 2]);
}

fn measure_all(sink_name: &str, sink: Arc<dyn RecordSink>, between: impl Fn()) {
    let subscriber = tracing_subscriber::registry().with(Capture::new(sink).layer());
    tracing::subscriber::with_default(subscriber, || {
        measure(&format!("{sink_name}, disabled"), disabled, &between);
        measure(&format!("{sink_name}, message"), plain, &between);
        measure(&format!("{sink_name}, two fields"), with_fields, &between);
        let _outer = info_span!("session", id = 7).entered();
        let _inner = info_span!("request", path = "/v1/chat").entered();
        measure(&format!("{sink_name}, two fields in two spans"), with_fields, &between);
    });
}

fn main() {
    println!("ns per event, best and median of {ROUNDS} rounds of {EVENTS}");
    measure_all("nowhere", Arc::new(Nowhere), || ());
    let kept = Arc::new(Kept::default());
    measure_all("kept", kept.clone(), || kept.0.lock().clear());
}

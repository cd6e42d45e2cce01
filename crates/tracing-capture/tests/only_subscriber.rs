//! What is only true while the program has a single subscriber; hence a single
//! test.

use std::sync::{Arc, OnceLock};

use log_entry::{Level, Levels, Loss, Offer, Record, RecordSink, Ticket};
use parking_lot::Mutex;
use tracing::level_filters::LevelFilter;
use tracing::{debug, info};
use tracing_capture::{Capture, LevelsHandle};
use tracing_subscriber::prelude::*;

#[derive(Default)]
struct Meddler {
    messages: Mutex<Vec<String>>,
    /// Set from within `offer`.
    levels: OnceLock<LevelsHandle>,
}

impl RecordSink for Meddler {
    fn offer(&self, record: Record) -> Offer {
        if let ("meddle", Some(levels)) = (record.message.as_str(), self.levels.get()) {
            levels.set(Levels::new(Level::Error).with("trusted", Level::Info));
        }
        let mut messages = self.messages.lock();
        messages.push(record.message);
        Offer::Accepted(Ticket(messages.len() as u64))
    }

    fn report(&self, loss: Loss) {
        panic!("the layer loses nothing: {loss:?}");
    }
}

#[test]
fn levels_change_from_any_thread_and_from_within_an_event() {
    let sink = Arc::new(Meddler::default());
    let capture = Capture::new(sink.clone());
    let levels = capture.levels();
    sink.levels.set(capture.levels()).unwrap();
    let set = |level| {
        std::thread::scope(|scope| scope.spawn(|| levels.set(Levels::new(level))).join().unwrap());
    };
    let log = |number| {
        info!("info {number}");
        debug!("debug {number}");
    };
    tracing::subscriber::with_default(tracing_subscriber::registry().with(capture.layer()), || {
        assert_eq!(LevelFilter::current(), LevelFilter::INFO);
        log(1);
        set(Level::Debug);
        assert_eq!(LevelFilter::current(), LevelFilter::TRACE);
        log(2);
        info!("meddle");
        assert_eq!(LevelFilter::current(), LevelFilter::INFO, "for the spans");
        info!(target: "trusted", "changed");
        log(2);
        set(Level::Warning);
        assert_eq!(LevelFilter::current(), LevelFilter::INFO, "for the spans");
        log(3);
        set(Level::Info);
        log(4);
    });
    assert_eq!(
        *sink.messages.lock(),
        ["info 1", "info 2", "debug 2", "meddle", "changed", "info 4"]
    );
}

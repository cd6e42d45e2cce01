//! What needs the global subscriber: under a thread's own default, `tracing`
//! itself withholds events that are logged while another is dispatched. A
//! program has one global subscriber, so these tests share it, and its sink
//! keeps records by logger.

use std::fmt;
use std::hint::black_box;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use log_entry::{Level, Levels, Loss, Offer, Record, RecordSink, Severity, Ticket};
use parking_lot::Mutex;
use tracing::{Event, Span, Subscriber, info, info_span, warn};
use tracing_capture::{Capture, log_bridge};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

#[derive(Default)]
struct Chatty(Mutex<Vec<Record>>);

impl Chatty {
    fn of(&self, logger: &str) -> Vec<Record> {
        self.0.lock().iter().filter(|record| record.logger == logger).cloned().collect()
    }
}

impl RecordSink for Chatty {
    fn offer(&self, record: Record) -> Offer {
        if record.logger == "chatty" {
            warn!(target: "chatty", "the sink has something to say");
        }
        let mut records = self.0.lock();
        records.push(record);
        Offer::Accepted(Ticket(records.len() as u64))
    }

    fn report(&self, loss: Loss) {
        panic!("the layer loses nothing: {loss:?}");
    }
}

struct Installed {
    sink: Arc<Chatty>,
    capture: Capture,
    /// Held by tests that count reentrant events.
    counting: Mutex<()>,
}

static INSTALLED: LazyLock<Installed> = LazyLock::new(|| {
    let sink = Arc::new(Chatty::default());
    let capture = Capture::new(sink.clone());
    capture.levels().set(Levels::default().with("verbose", Level::Debug));
    let subscriber = tracing_subscriber::registry().with(capture.layer()).with(Nosy);
    tracing::subscriber::set_global_default(subscriber)
        .expect("nobody else sets it in this program");
    log_bridge().expect("nobody else installs a logger in this program");
    Installed { sink, capture, counting: Mutex::new(()) }
});

/// Another layer, which looks at the spans of every event.
struct Nosy;

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Nosy {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        for span in context.event_scope(event).into_iter().flatten() {
            black_box(span.extensions().get::<()>());
        }
    }
}

/// Logs when it is formatted, and writes to the span it is formatted in.
struct Talkative;

impl fmt::Debug for Talkative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!(target: "talkative", "about to be formatted");
        Span::current().record("late", 1);
        f.write_str("formatted")
    }
}

#[test]
fn what_the_sink_logs_is_counted_and_not_captured() {
    let Installed { sink, capture, counting } = &*INSTALLED;
    let _counting = counting.lock();
    let before = capture.reentrant();
    info!(target: "chatty", "one");
    log::info!(target: "chatty", "two");
    assert_eq!(capture.reentrant() - before, 2);
    let messages: Vec<_> = sink.of("chatty").into_iter().map(|record| record.message).collect();
    assert_eq!(messages, ["one", "two"]);
}

#[test]
fn what_a_field_logs_is_counted_and_not_captured() {
    let Installed { sink, capture, counting } = &*INSTALLED;
    let _counting = counting.lock();
    let before = capture.reentrant();
    let (done, is_done) = sync_channel(1);
    let thread = thread::spawn(move || {
        let span = info_span!("song", late = tracing::field::Empty, by = ?Talkative);
        let _song = span.enter();
        span.record("by", tracing::field::debug(Talkative));
        info!(target: "field", value = ?Talkative, "said {:?}", Talkative);
        done.send(()).unwrap();
    });
    is_done.recv_timeout(Duration::from_secs(10)).expect("no lock is held while formatting");
    thread.join().unwrap();
    assert_eq!(capture.reentrant() - before, 4);
    assert!(sink.of("talkative").is_empty());
    let records = sink.of("field");
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].message, "said formatted");
    assert_eq!(records[0].fields["value"], "formatted");
    assert_eq!(records[0].fields["by"], "formatted");
}

#[test]
fn a_log_record_is_its_own_and_not_the_bridges() {
    let sink = &INSTALLED.sink;
    let _span = info_span!("around", song = 7).entered();
    log::warn!(target: "httpcore", "slow: {} ms", 900);
    let line = line!() - 1;
    let records = sink.of("httpcore");
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record.message, "slow: 900 ms");
    assert_eq!(record.severity, Level::Warning.severity());
    assert_eq!(record.source.file.as_deref(), Some(file!()));
    assert_eq!(record.source.line, Some(line));
    let names: Vec<_> = record.fields.keys().collect();
    assert_eq!(names, ["module", "song", "spans"], "{:?}", record.fields);
    assert_eq!(record.fields["module"], module_path!());
}

#[test]
fn log_records_keep_to_the_levels_of_their_own_target() {
    let sink = &INSTALLED.sink;
    log::debug!(target: "quiet", "no");
    log::trace!(target: "verbose::wire", "yes");
    assert!(sink.of("quiet").is_empty());
    assert_eq!(sink.of("verbose::wire")[0].severity, Severity::TRACE);
}

#[test]
fn asking_whether_a_disabled_log_record_is_enabled_loses_no_event() {
    let sink = &INSTALLED.sink;
    // Whatever the answer is. It must not outlive the question.
    let _ = log::log_enabled!(target: "quiet", log::Level::Debug);
    info!(target: "after_asking", "kept");
    assert_eq!(sink.of("after_asking").len(), 1);
}

#[test]
fn the_bridge_is_installed_once() {
    let _ = &*INSTALLED;
    let error = log_bridge().unwrap_err();
    assert_eq!(error.to_string(), "installing the bridge from `log` to `tracing`");
    assert!(std::error::Error::source(&error).is_some());
}

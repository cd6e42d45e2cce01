use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use log_entry::{Level, Levels, Loss, Offer, Record, RecordSink, Severity, Ticket};
use parking_lot::Mutex;
use serde_json::json;
use tracing::level_filters::LevelFilter;
use tracing::{Callsite, debug, debug_span, error, info, info_span, trace, warn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Filter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, registry};

use crate::fields::FIELDS_MAX;
use crate::filter::ByLevel;
use crate::text::TEXT_BYTES_MAX;
use crate::{Capture, layer};

#[derive(Default)]
struct Kept(Mutex<Vec<Record>>);

impl Kept {
    fn take(&self) -> Vec<Record> {
        std::mem::take(&mut *self.0.lock())
    }

    fn messages(&self) -> Vec<String> {
        self.take().into_iter().map(|record| record.message).collect()
    }
}

impl RecordSink for Kept {
    fn offer(&self, record: Record) -> Offer {
        let mut records = self.0.lock();
        records.push(record);
        Offer::Accepted(Ticket(records.len() as u64))
    }

    fn report(&self, loss: Loss) {
        panic!("the layer loses nothing: {loss:?}");
    }
}

/// What is captured with `levels` while `act` runs.
fn captured(levels: Levels, act: impl FnOnce()) -> Vec<Record> {
    let sink = Arc::new(Kept::default());
    let capture = Capture::new(sink.clone());
    capture.levels().set(levels);
    tracing::subscriber::with_default(registry().with(capture.layer()), act);
    sink.take()
}

/// The one record that is captured while `act` runs.
fn one(act: impl FnOnce()) -> Record {
    let records = captured(Levels::default(), act);
    assert_eq!(records.len(), 1, "{records:?}");
    records.into_iter().next().unwrap()
}

#[test]
fn an_event_says_what_where_and_when() {
    let before = chrono::Utc::now();
    let (record, line) = std::thread::Builder::new()
        .name("motor".to_owned())
        .spawn(|| {
            let record = one(|| info!(target: "robot.arm", "lifting {}", 3));
            (record, line!() - 1)
        })
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(record.message, "lifting 3");
    assert_eq!(record.logger, "robot.arm");
    assert_eq!(record.source.file.as_deref(), Some(file!()));
    assert_eq!(record.source.line, Some(line));
    assert_eq!(record.source.thread.as_deref(), Some("motor"));
    assert_eq!(record.source.pid, Some(std::process::id()));
    assert_eq!(json!(record.fields), json!({"module": module_path!()}));
    assert!((before..=chrono::Utc::now()).contains(&record.timestamp));
    assert_eq!(record.timestamp, record.received_at);
}

#[test]
fn every_level_has_pythons_number() {
    let records = captured(Levels::new(Level::Debug), || {
        trace!("5");
        debug!("10");
        info!("20");
        warn!("30");
        error!("40");
    });
    assert_eq!(records.len(), 5);
    assert_eq!(records[0].severity, Severity::TRACE);
    for record in records {
        assert_eq!(record.severity.number().to_string(), record.message);
    }
}

#[derive(Debug)]
struct Failed(&'static str, Option<Box<Failed>>);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.as_deref().map(|cause| cause as _)
    }
}

/// An error that is its own cause.
#[derive(Debug)]
struct Endless;

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("again")
    }
}

impl Error for Endless {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self)
    }
}

#[test]
fn fields_keep_their_types() {
    let cause = Failed("disk full", None);
    let failed = Failed("saving the song", Some(Box::new(cause)));
    let record = one(|| {
        info!(
            int = -3,
            large = u64::MAX,
            huge = u128::MAX,
            float = 0.5,
            nan = f64::NAN,
            yes = true,
            text = "a\"b",
            debug = ?Some("x"),
            display = %failed,
            error = &failed as &dyn Error,
            r#type = "song",
            "done"
        );
    });
    assert_eq!(record.message, "done");
    assert_eq!(
        json!(record.fields),
        json!({
            "int": -3,
            "large": u64::MAX,
            "huge": u128::MAX.to_string(),
            "float": 0.5,
            "nan": "NaN",
            "yes": true,
            "text": "a\"b",
            "debug": "Some(\"x\")",
            "display": "saving the song",
            "error": "saving the song: disk full",
            "type": "song",
        })
    );
}

#[test]
fn an_error_that_names_itself_as_its_cause_ends() {
    let record = one(|| error!(error = &Endless as &dyn Error, "failed"));
    let text = record.fields["error"].as_str().unwrap();
    assert_eq!(text.matches("again").count(), 33);
    assert!(text.ends_with(": …"), "{text}");
}

#[test]
fn an_event_without_a_message_shows_its_fields() {
    let record = one(|| {
        let _song = info_span!("song", title = "Mad About Me").entered();
        info!(track = 7, by = "Figrin D'an");
    });
    assert_eq!(record.message, "by=\"Figrin D'an\" track=7");
    assert_eq!(record.fields["track"], 7);
}

#[test]
fn the_event_wins_over_its_spans_and_the_inner_over_the_outer() {
    let record = one(|| {
        let _outer = info_span!("outer", a = 1, b = 1, c = 1).entered();
        let _inner = info_span!("inner", b = 2, c = 2).entered();
        info!(c = 3, "here");
    });
    let expected = json!({"a": 1, "b": 2, "c": 3, "spans": ["outer", "inner"]});
    assert_eq!(json!(record.fields), expected);
}

#[test]
fn what_a_span_learns_later_is_known_later() {
    let records = captured(Levels::default(), || {
        let span = info_span!("song", title = tracing::field::Empty, volume = 3);
        info!(parent: &span, "before");
        span.record("title", "Lapti Nek");
        span.record("volume", 11);
        info!(parent: &span, "after");
        let bare = info_span!("bare", title = tracing::field::Empty);
        bare.record("title", "late");
        info!(parent: &bare, "bare");
    });
    assert_eq!(json!(records[0].fields), json!({"volume": 3, "spans": ["song"]}));
    let after = json!({"title": "Lapti Nek", "volume": 11, "spans": ["song"]});
    assert_eq!(json!(records[1].fields), after);
    assert_eq!(json!(records[2].fields), json!({"title": "late", "spans": ["bare"]}));
}

#[test]
fn a_field_called_spans_is_the_events() {
    let record = one(|| {
        let _span = info_span!("bridge").entered();
        info!(spans = 12, "measured");
    });
    assert_eq!(json!(record.fields), json!({"spans": 12}));
}

#[test]
fn texts_are_cut_and_say_so() {
    let long = "x".repeat(TEXT_BYTES_MAX + 5);
    let cut = format!("{}…[truncated 5 bytes]", "x".repeat(TEXT_BYTES_MAX));
    let failed = Failed("", Some(Box::new(Failed("cause", None))));
    let record = one(|| {
        let _span = info_span!("span", spanned = long).entered();
        info!(text = long, display = %long, error = &failed as &dyn Error, "{long}");
    });
    assert!(record.message == cut);
    for name in ["text", "display", "spanned"] {
        assert!(record.fields[name] == cut.as_str(), "{name}");
    }
    assert_eq!(record.fields["error"], ": cause");
}

macro_rules! with_fields {
    ($macro:ident!($($before:tt)*) $($name:ident)*) => { $macro!($($before)* $($name = 1),*) };
}

#[test]
fn fields_beyond_the_limit_are_counted() {
    let record = one(|| {
        // 27 outside, 36 inside, 3 in the event: 66, of which one is there twice.
        let _outer = with_fields!(info_span!("outer", )
            a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 b0 b1 b2 b3 b4 b5 b6 b7 b8 b9 c0 c1 c2 c3 c4 c5 c6)
        .entered();
        let _inner = with_fields!(info_span!("inner", )
            d0 d1 d2 d3 d4 d5 d6 d7 d8 d9 e0 e1 e2 e3 e4 e5 e6 e7 e8 e9
            f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 g0 g1 g2 g3 g4 g5)
        .entered();
        info!(x = 1, y = 2, a0 = 3, "many");
    });
    assert_eq!(record.fields["x"], 1);
    assert_eq!(record.fields["a0"], 3);
    assert_eq!(record.fields["g5"], 1);
    assert_eq!(record.fields["fields_dropped"], 1);
    assert_eq!(record.fields["spans"], json!(["outer", "inner"]));
    assert_eq!(record.fields.len(), FIELDS_MAX + 2);
}

#[test]
fn the_innermost_spans_are_kept() {
    fn nested(depth: usize) {
        if depth == 0 {
            return info!("deep");
        }
        let _span = if depth == 1 { info_span!("last") } else { info_span!("level") }.entered();
        nested(depth - 1);
    }
    let record = one(|| nested(70));
    let spans = record.fields["spans"].as_array().unwrap();
    assert_eq!((spans.len(), &spans[63]), (64, &json!("last")));
    assert_eq!(record.fields["spans_dropped"], 6);
}

#[test]
fn a_disabled_events_fields_are_not_evaluated_until_it_is_wanted() {
    let sink = Arc::new(Kept::default());
    let capture = Capture::new(sink.clone());
    let evaluated = Cell::new(0);
    let log = || {
        let count = || {
            evaluated.set(evaluated.get() + 1);
            evaluated.get()
        };
        debug!(count = count(), "counted");
    };
    tracing::subscriber::with_default(registry().with(capture.layer()), || {
        log();
        assert_eq!(evaluated.get(), 0);
        capture.levels().set(Levels::new(Level::Debug));
        log();
        assert_eq!(evaluated.get(), 1);
        capture.levels().set(Levels::new(Level::Error));
        log();
        assert_eq!(evaluated.get(), 1);
    });
    assert_eq!(sink.messages(), ["counted"]);
    assert_eq!(capture.levels().get(), Levels::new(Level::Error));
}

#[test]
fn one_logger_can_be_louder_than_the_rest() {
    let levels = Levels::new(Level::Warning).with("robot.arm", Level::Debug);
    let records = captured(levels, || {
        debug!(target: "robot.arm.elbow", "elbow");
        debug!(target: "robot.eye", "eye");
        info!(target: "robot.army", "army");
        warn!(target: "robot.eye", "dark");
    });
    let messages: Vec<_> = records.iter().map(|record| &*record.message).collect();
    assert_eq!(messages, ["elbow", "dark"]);
}

#[test]
fn no_event_is_critical_but_spans_are_kept() {
    let levels = Levels::new(Level::Critical).with("loud", Level::Error);
    let records = captured(levels, || {
        let _kept = info_span!("kept", song = 7).entered();
        let _quiet = debug_span!("quiet", song = 8).entered();
        error!("nobody hears this");
        error!(target: "loud", "but this");
    });
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].fields["song"], 7);
    assert_eq!(records[0].fields["spans"], json!(["kept"]));
}

/// Makes a callsite whose metadata a filter can be asked about.
macro_rules! metadata {
    ($kind:ident, $level:ident) => {{
        let callsite = tracing::callsite! {
            name: "test",
            kind: tracing::metadata::Kind::$kind,
            target: "robot.arm",
            level: tracing::Level::$level,
            fields: a
        };
        callsite.metadata()
    }};
}

#[test]
fn a_callsite_is_told_never_so_that_it_does_not_ask_again() {
    let sink: Arc<dyn RecordSink> = Arc::new(Kept::default());
    let levels = Capture::new(sink).levels();
    let filter = ByLevel(Arc::clone(&levels.0));
    let interest = |metadata| Filter::<Registry>::callsite_enabled(&filter, metadata);
    let hint = || Filter::<Registry>::max_level_hint(&filter);

    assert!(interest(metadata!(EVENT, DEBUG)).is_never());
    assert!(!interest(metadata!(EVENT, INFO)).is_never());
    assert_eq!(hint(), Some(LevelFilter::INFO));
    levels.set(Levels::new(Level::Error).with("robot", Level::Debug));
    assert!(!interest(metadata!(EVENT, TRACE)).is_never());
    assert_eq!(hint(), Some(LevelFilter::TRACE));
    levels.set(Levels::new(Level::Error));
    assert!(interest(metadata!(EVENT, WARN)).is_never());
    assert!(!interest(metadata!(SPAN, INFO)).is_never());
    assert_eq!(hint(), Some(LevelFilter::INFO), "for the spans");
}

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Screen {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn other_layers_see_what_they_saw_before() {
    let (sink, screen) = (Arc::new(Kept::default()), Screen::default());
    let capture = Capture::new(sink.clone());
    let fmt = tracing_subscriber::fmt::layer().with_writer(screen.clone()).with_ansi(false);
    let subscriber = registry().with(capture.layer()).with(fmt);
    tracing::subscriber::with_default(subscriber, || {
        debug!("first");
        capture.levels().set(Levels::new(Level::Critical));
        error!("second");
        capture.levels().set(Levels::new(Level::Debug));
        trace!("third");
    });
    assert_eq!(sink.messages(), ["third"]);
    let screen = String::from_utf8(screen.0.lock().clone()).unwrap();
    let lines: Vec<_> = screen.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(lines, ["first", "second", "third"]);
}

#[test]
fn other_filters_do_not_hold_for_us() {
    let (sink, screen) = (Arc::new(Kept::default()), Screen::default());
    let fmt = tracing_subscriber::fmt::layer().with_writer(screen.clone());
    let fmt = fmt.with_filter(LevelFilter::ERROR);
    let subscriber = registry().with(fmt).with(layer(sink.clone()));
    tracing::subscriber::with_default(subscriber, || info!("for the record"));
    assert_eq!(sink.messages(), ["for the record"]);
    assert!(screen.0.lock().is_empty());
}

#[test]
fn asking_whether_a_disabled_event_is_enabled_loses_no_other() {
    let (sink, screen) = (Arc::new(Kept::default()), Screen::default());
    let fmt = tracing_subscriber::fmt::layer().with_writer(screen);
    let subscriber = registry().with(layer(sink.clone())).with(fmt);
    tracing::subscriber::with_default(subscriber, || {
        assert!(tracing::enabled!(tracing::Level::DEBUG), "for the other layer");
        info!("kept");
    });
    assert_eq!(sink.messages(), ["kept"]);
}

#[test]
fn two_captures_share_a_subscriber() {
    let (all, few) = (Arc::new(Kept::default()), Arc::new(Kept::default()));
    let capture = Capture::new(few.clone());
    capture.levels().set(Levels::new(Level::Error));
    let subscriber = registry().with(layer(all.clone())).with(capture.layer());
    tracing::subscriber::with_default(subscriber, || {
        let span = info_span!("span", a = 1);
        span.record("a", 2);
        info!(parent: &span, "info");
        error!(parent: &span, "error");
    });
    assert_eq!(all.messages(), ["info", "error"]);
    let few = few.take();
    assert_eq!(few.len(), 1);
    assert_eq!(few[0].fields["a"], 2);
}

#[test]
fn a_field_that_panics_leaves_the_thread_able_to_log() {
    struct Bad;
    impl fmt::Debug for Bad {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("no text for this")
        }
    }
    let sink = Arc::new(Kept::default());
    tracing::subscriber::with_default(registry().with(layer(sink.clone())), || {
        let attempt = std::panic::catch_unwind(|| info!(bad = ?Bad, "broken"));
        assert!(attempt.is_err());
        info!("whole");
    });
    assert_eq!(sink.messages(), ["whole"]);
}

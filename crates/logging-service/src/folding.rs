//! Repeats, folded in the views.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use dedup::{Admit, Closed, Dedup, Key, Keyer, Settings};
use log_entry::{EntryId, Fields, Level, LogEntry, Record, Source, Timestamp};
use logging_api::RepeatUpdate;
use ring_buffer::Position;

/// Finds repeats: one window for errors, a longer one for the rest.
#[derive(Debug)]
pub(crate) struct Folding {
    keyer: Keyer,
    /// How often everything was forgotten.
    epoch: u64,
    errors: Dedup<Box<First>>,
    others: Dedup<Box<First>>,
    /// Counts that the views have not been told yet.
    untold: HashMap<EntryId, RepeatUpdate>,
}

/// What is remembered of the first occurrence, and of the latest.
#[derive(Debug, Clone)]
pub(crate) struct First {
    /// The entry, but never more than the beginning of a long one.
    pub(crate) entry: Arc<LogEntry>,
    pub(crate) position: Position,
    pub(crate) latest_seq: u64,
    pub(crate) latest: Timestamp,
}

/// A window that is over, with what was folded into it.
#[derive(Debug)]
pub(crate) struct Folded {
    pub(crate) first: Box<First>,
    pub(crate) count: u64,
}

/// An occurrence of something that was there before.
#[derive(Debug)]
pub(crate) struct Repeat {
    pub(crate) of: EntryId,
    pub(crate) position: Position,
    pub(crate) source: Option<Source>,
    pub(crate) count: u64,
}

/// Errors are folded for a shorter time: they are what people look for.
const ERROR_WINDOW_MAX: Duration = Duration::from_secs(5);
const SLOTS: usize = 1024;
const MESSAGE_MAX: usize = 80;

impl Folding {
    pub(crate) fn new(window: Duration) -> Self {
        let dedup = |window| {
            let slots = NonZeroUsize::new(SLOTS).expect("there are slots");
            Dedup::new(Settings { window, slots })
        };
        Self {
            keyer: Keyer::new(),
            epoch: 0,
            errors: dedup(window.min(ERROR_WINDOW_MAX)),
            others: dedup(window),
            untold: HashMap::new(),
        }
    }

    /// What makes two records the same: everything but their times, their
    /// place in the program and the emitter's numbers.
    pub(crate) fn key(&self, record: &Record) -> Key {
        let exception = record.exception.as_ref().map(|exception| &exception.traceback);
        let fields = (!record.fields.is_empty())
            .then(|| serde_json::to_string(&record.fields).unwrap_or_default());
        let Record { host, logger, severity, message, .. } = record;
        self.keyer.key((self.epoch, host, logger, severity, message, exception, fields))
    }

    /// From now on nothing is a repeat of what was there before: that may not
    /// be in the record. Windows that are open end when they are over.
    pub(crate) fn start_anew(&mut self) {
        self.epoch += 1;
    }

    /// Whether the record with `key` is a repeat, as number `seq`, at `now`.
    pub(crate) fn repeat(
        &mut self,
        key: Key,
        record: &Record,
        seq: u64,
        now: Duration,
    ) -> Option<Repeat> {
        let Admit::Repeat(open) = self.window(record.severity.level()).admit(key, now) else {
            return None;
        };
        let count = open.repeats();
        let first = open.value_mut();
        first.latest_seq = seq;
        first.latest = record.timestamp;
        let repeat = Repeat {
            of: first.entry.entry_id.clone(),
            position: first.position,
            source: (record.source != first.entry.source).then(|| record.source.clone()),
            count,
        };
        let update = RepeatUpdate {
            of: repeat.of.clone(),
            seq,
            count,
            last: record.timestamp,
            closed: false,
        };
        self.untold.insert(repeat.of.clone(), update);
        Some(repeat)
    }

    /// Opens a window for a first occurrence. Returns the window that had to
    /// close for it, if repeats were folded into that.
    pub(crate) fn open(&mut self, key: Key, first: First, now: Duration) -> Option<Folded> {
        let closed = match self.window(first.entry.level).admit(key, now) {
            Admit::New(vacant) => vacant.insert(Box::new(first)),
            Admit::Repeat(_) => unreachable!("`repeat` answered that there is no window"),
        };
        closed.map(|closed| self.fold(closed))
    }

    /// The windows that are over at `now`.
    pub(crate) fn expired(&mut self, now: Duration) -> Vec<Folded> {
        let closed: Vec<_> = self.errors.expired(now).chain(self.others.expired(now)).collect();
        closed.into_iter().map(|closed| self.fold(closed)).collect()
    }

    /// All windows.
    pub(crate) fn close_all(&mut self) -> Vec<Folded> {
        let closed: Vec<_> = self.errors.close_all().chain(self.others.close_all()).collect();
        closed.into_iter().map(|closed| self.fold(closed)).collect()
    }

    /// When the next window is over.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        [self.errors.next_deadline(), self.others.next_deadline()].into_iter().flatten().min()
    }

    /// Whether there are counts that the views have not been told.
    pub(crate) fn has_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    /// The counts that the views have not been told.
    pub(crate) fn take_untold(&mut self) -> impl Iterator<Item = RepeatUpdate> + use<> {
        std::mem::take(&mut self.untold).into_values()
    }

    fn window(&mut self, level: Level) -> &mut Dedup<Box<First>> {
        if level >= Level::Error { &mut self.errors } else { &mut self.others }
    }

    fn fold(&mut self, closed: Closed<Box<First>>) -> Folded {
        // The closing summary tells the same, and that it is final.
        self.untold.remove(&closed.value.entry.entry_id);
        Folded { first: closed.value, count: closed.repeats }
    }
}

impl First {
    /// The first occurrence, which is at `position` in the ring.
    pub(crate) fn new(entry: &Arc<LogEntry>, position: Position) -> Self {
        Self { entry: brief(entry), position, latest_seq: entry.seq, latest: entry.timestamp }
    }
}

/// `entry` as far as a summary shows it: windows must not keep long texts alive.
fn brief(entry: &Arc<LogEntry>) -> Arc<LogEntry> {
    if entry.message.len() <= MESSAGE_MAX && entry.exception.is_none() && entry.fields.is_empty() {
        return entry.clone();
    }
    let line = entry.message.lines().next().unwrap_or_default();
    Arc::new(LogEntry {
        message: line.chars().take(MESSAGE_MAX).collect(),
        exception: None,
        fields: Fields::new(),
        seq: entry.seq,
        entry_id: entry.entry_id.clone(),
        timestamp: entry.timestamp,
        received_at: entry.received_at,
        level: entry.level,
        severity: entry.severity,
        service: entry.service.clone(),
        service_key: entry.service_key.clone(),
        logger: entry.logger.clone(),
        session_id: entry.session_id.clone(),
        host: entry.host.clone(),
        origin: entry.origin.clone(),
        source: entry.source.clone(),
        repeats: 0,
    })
}

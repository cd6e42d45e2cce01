use std::iter;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::table::Table;
use crate::{Closed, Key, Open};

/// What a [`Dedup`] is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a window stays open after its first record; default 30 s.
    /// Zero turns folding off: every record is new and none is remembered.
    pub window: Duration,
    /// Windows that can be open at the same time; default 1,024, which with a
    /// value of 16 bytes is less than 100 kB.
    pub slots: NonZeroUsize,
}

impl Default for Settings {
    fn default() -> Self {
        let slots = NonZeroUsize::new(1024).expect("1,024 is not zero");
        Self { window: Duration::from_secs(30), slots }
    }
}

/// The open windows, each with what its caller remembers of the first record.
///
/// Times are durations since any moment that stays the same, on a clock that no
/// one sets: a monotonic one.
/// Before it admits the records of a moment, a caller takes what has
/// [`expired`](Self::expired), so that the summary of an old window is shown
/// before the record that opens the next.
#[derive(Debug)]
pub struct Dedup<V> {
    window: Duration,
    table: Table<V>,
    pending: u64,
    /// The latest `now` seen.
    clock: Duration,
}

/// What became of a record.
#[derive(Debug)]
#[must_use]
pub enum Admit<'a, V> {
    /// The first of its kind, to be shown.
    New(Vacant<'a, V>),
    /// One like it came less than a window ago. It has been counted.
    Repeat(&'a mut Open<V>),
}

/// Room for what is to be remembered of a new record.
///
/// Without [`insert`](Self::insert) the record is not remembered, so the next
/// one like it is new too.
#[derive(Debug)]
pub struct Vacant<'a, V> {
    dedup: &'a mut Dedup<V>,
    key: Key,
}

// === impl Dedup ===

impl<V> Dedup<V> {
    /// No window open yet. Takes all the memory it will ever take.
    pub fn new(settings: Settings) -> Self {
        let Settings { window, slots } = settings;
        Self { window, table: Table::new(slots), pending: 0, clock: Duration::ZERO }
    }

    /// Says whether the record of `key` that came at `now` is new, and counts it
    /// if it is not.
    ///
    /// A window that is over is closed to repeats even if its summary was not
    /// taken from [`expired`](Self::expired) yet.
    pub fn admit(&mut self, key: Key, now: Duration) -> Admit<'_, V> {
        let now = self.advance(now);
        match self.table.find(key) {
            Some(index) if !self.table.get(index).is_over(now, self.window) => {
                self.pending += 1;
                let open = self.table.get_mut(index);
                open.fold(now);
                Admit::Repeat(open)
            }
            _ => Admit::New(Vacant { dedup: self, key }),
        }
    }

    /// Closes the windows that are over at `now`, oldest first, and yields the
    /// summaries of those that have one.
    ///
    /// Lazily: a window that the caller does not get to stays, and is yielded
    /// the next time.
    pub fn expired(&mut self, now: Duration) -> impl Iterator<Item = Closed<V>> {
        let now = self.advance(now);
        iter::from_fn(move || self.close_while(|open, window| open.is_over(now, window)))
    }

    /// Closes all windows, over or not, oldest first, and yields the summaries
    /// of those that have one. For the end.
    ///
    /// Lazily, as [`expired`](Self::expired).
    pub fn close_all(&mut self) -> impl Iterator<Item = Closed<V>> {
        iter::from_fn(|| self.close_while(|_, _| true))
    }

    /// When to ask for what has [`expired`](Self::expired), should no record
    /// come before.
    ///
    /// `None` while nothing is folded, because then there is nothing to tell.
    /// There may be nothing to tell yet at the deadline either; the next one is
    /// later.
    pub fn next_deadline(&self) -> Option<Duration> {
        let oldest = self.table.oldest().filter(|_| self.pending > 0)?;
        oldest.first().checked_add(self.window)
    }

    /// How long a window stays open.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// Changes how long a window stays open, also for those that are open now.
    pub fn set_window(&mut self, window: Duration) {
        self.window = window;
    }

    /// Repeats counted in windows whose summary is yet to come.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// How many windows are open, or over and not yet closed.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no window is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `now`, or the latest time seen if that is later. Windows are therefore
    /// opened in the order of their first times, and the oldest is over first.
    fn advance(&mut self, now: Duration) -> Duration {
        self.clock = self.clock.max(now);
        self.clock
    }

    /// Closes oldest windows as long as they are done, up to and including the
    /// first with a summary, and returns that.
    fn close_while(&mut self, is_done: impl Fn(&Open<V>, Duration) -> bool) -> Option<Closed<V>> {
        while self.table.oldest().is_some_and(|open| is_done(open, self.window)) {
            let closed = self.close_oldest();
            if closed.is_some() {
                return closed;
            }
        }
        None
    }

    fn close_oldest(&mut self) -> Option<Closed<V>> {
        let closed = self.table.pop_oldest()?.close()?;
        self.pending -= closed.repeats;
        Some(closed)
    }

    fn open(&mut self, key: Key, value: V) -> Option<Closed<V>> {
        if self.window.is_zero() {
            return None;
        }
        let evicted = if self.table.is_full() { self.close_oldest() } else { None };
        self.table.push(Open::new(key, value, self.clock));
        evicted
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.table.bytes()
    }
}

// === impl Vacant ===

impl<V> Vacant<'_, V> {
    /// Opens the window of the new record and keeps `value` in it.
    ///
    /// If all slots are taken, the window opened longest ago closes, and its
    /// summary, if it has one, is returned.
    #[must_use = "a summary that is dropped is repeats forgotten"]
    pub fn insert(self, value: V) -> Option<Closed<V>> {
        self.dedup.open(self.key, value)
    }
}

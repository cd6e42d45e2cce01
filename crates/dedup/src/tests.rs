use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::{Admit, Closed, Dedup, Keyer, Settings};

/// A dedup of numbered records, which remembers the how-manieth record was first.
struct Fixture {
    keyer: Keyer,
    dedup: Dedup<usize>,
    admitted: usize,
}

#[derive(Debug, PartialEq)]
enum Seen {
    New(Option<Closed<usize>>),
    Repeat { first: usize, repeats: u64 },
}

impl Fixture {
    fn new(window: u64, slots: usize) -> Self {
        let settings = Settings { window: millis(window), slots: slots.try_into().unwrap() };
        Self { keyer: Keyer::new(), dedup: Dedup::new(settings), admitted: 0 }
    }

    fn admit(&mut self, record: u8, now: u64) -> Seen {
        let key = self.keyer.key(record);
        let number = self.admitted;
        self.admitted += 1;
        match self.dedup.admit(key, millis(now)) {
            Admit::New(vacant) => Seen::New(vacant.insert(number)),
            Admit::Repeat(open) => Seen::Repeat { first: *open.value(), repeats: open.repeats() },
        }
    }

    fn expired(&mut self, now: u64) -> Vec<Closed<usize>> {
        self.dedup.expired(millis(now)).collect()
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn closed(value: usize, repeats: u64, first: u64, last: u64) -> Closed<usize> {
    Closed { value, repeats, first: millis(first), last: millis(last) }
}

#[test]
fn a_window_counts_from_its_first_record() {
    let mut fixture = Fixture::new(100, 8);
    assert_eq!(fixture.admit(1, 0), Seen::New(None));
    assert_eq!(fixture.admit(1, 60), Seen::Repeat { first: 0, repeats: 1 });
    assert_eq!(fixture.admit(1, 99), Seen::Repeat { first: 0, repeats: 2 });
    assert_eq!(fixture.admit(1, 100), Seen::New(None));
    assert_eq!(fixture.admit(1, 101), Seen::Repeat { first: 3, repeats: 1 });
}

#[test]
fn a_steady_repeat_is_new_once_in_every_window() {
    let mut fixture = Fixture::new(100, 8);
    let news: Vec<_> =
        (0..1000).filter(|now| matches!(fixture.admit(1, *now), Seen::New(_))).collect();
    assert_eq!(news, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
}

#[test]
fn a_summary_is_due_when_nothing_more_comes() {
    let mut fixture = Fixture::new(100, 8);
    fixture.admit(1, 10);
    assert_eq!(fixture.dedup.next_deadline(), None);
    fixture.admit(1, 20);
    fixture.admit(1, 50);
    assert_eq!(fixture.dedup.next_deadline(), Some(millis(110)));
    assert_eq!(fixture.expired(109), []);
    assert_eq!(fixture.expired(110), [closed(0, 2, 10, 50)]);
    assert_eq!(fixture.dedup.next_deadline(), None);
    assert!(fixture.dedup.is_empty());
}

#[test]
fn a_window_nothing_was_folded_into_has_no_summary() {
    let mut fixture = Fixture::new(100, 8);
    fixture.admit(1, 0);
    fixture.admit(2, 0);
    fixture.admit(2, 1);
    assert_eq!(fixture.expired(100), [closed(1, 1, 0, 1)]);
    assert!(fixture.dedup.is_empty());
}

#[test]
fn a_window_closed_late_does_not_hide_the_one_that_followed() {
    let mut fixture = Fixture::new(100, 8);
    fixture.admit(1, 0);
    fixture.admit(1, 1);
    assert_eq!(fixture.admit(1, 100), Seen::New(None));
    assert_eq!(fixture.admit(1, 101), Seen::Repeat { first: 2, repeats: 1 });
    assert_eq!(fixture.expired(101), [closed(0, 1, 0, 1)]);
    assert_eq!(fixture.admit(1, 102), Seen::Repeat { first: 2, repeats: 2 });
    assert_eq!(fixture.expired(200), [closed(2, 2, 100, 102)]);
}

#[test]
fn a_full_table_closes_the_window_opened_longest_ago() {
    let mut fixture = Fixture::new(100, 2);
    fixture.admit(1, 0);
    fixture.admit(2, 1);
    fixture.admit(1, 2);
    assert_eq!(fixture.admit(3, 3), Seen::New(Some(closed(0, 1, 0, 2))));
    assert_eq!(fixture.admit(4, 4), Seen::New(None));
    assert_eq!(fixture.dedup.len(), 2);
    assert_eq!(fixture.admit(1, 5), Seen::New(None));
}

#[test]
fn closing_all_leaves_nothing_pending() {
    let mut fixture = Fixture::new(100, 8);
    for record in [1, 2, 1, 3, 3, 3] {
        fixture.admit(record, 7);
    }
    assert_eq!(fixture.dedup.pending(), 3);
    let all: Vec<_> = fixture.dedup.close_all().collect();
    assert_eq!(all, [closed(0, 1, 7, 7), closed(3, 2, 7, 7)]);
    assert_eq!((fixture.dedup.pending(), fixture.dedup.len()), (0, 0));
}

#[test]
fn summaries_not_taken_stay() {
    let mut fixture = Fixture::new(100, 8);
    for record in [1, 1, 2, 2] {
        fixture.admit(record, 0);
    }
    assert_eq!(fixture.dedup.expired(millis(100)).next(), Some(closed(0, 1, 0, 0)));
    assert_eq!(fixture.expired(100), [closed(2, 1, 0, 0)]);
}

#[test]
fn a_window_of_zero_folds_and_remembers_nothing() {
    let mut fixture = Fixture::new(0, 2);
    for _ in 0..5 {
        assert_eq!(fixture.admit(1, 0), Seen::New(None));
    }
    assert!(fixture.dedup.is_empty());
}

#[test]
fn turning_folding_off_gives_up_what_was_folded() {
    let mut fixture = Fixture::new(100, 2);
    fixture.admit(1, 5);
    fixture.admit(1, 6);
    fixture.dedup.set_window(Duration::ZERO);
    assert_eq!(fixture.dedup.next_deadline(), Some(millis(5)));
    assert_eq!(fixture.admit(1, 6), Seen::New(None));
    assert_eq!(fixture.expired(6), [closed(0, 1, 5, 6)]);
}

#[test]
fn a_new_length_holds_for_open_windows_too() {
    let mut fixture = Fixture::new(100, 2);
    fixture.admit(1, 0);
    fixture.dedup.set_window(millis(300));
    assert_eq!(fixture.admit(1, 299), Seen::Repeat { first: 0, repeats: 1 });
    fixture.dedup.set_window(millis(50));
    assert_eq!(fixture.admit(1, 299), Seen::New(None));
}

#[test]
fn a_clock_that_goes_backwards_stands_still() {
    let mut fixture = Fixture::new(100, 8);
    fixture.admit(1, 1000);
    assert_eq!(fixture.admit(1, 0), Seen::Repeat { first: 0, repeats: 1 });
    assert_eq!(fixture.admit(2, 0), Seen::New(None));
    assert_eq!(fixture.dedup.next_deadline(), Some(millis(1100)));
    assert_eq!(fixture.expired(1100), [closed(0, 1, 1000, 1000)]);
}

#[test]
fn a_window_without_end_has_no_deadline() {
    let mut fixture = Fixture::new(0, 2);
    fixture.dedup.set_window(Duration::MAX);
    fixture.admit(1, 1);
    fixture.admit(1, u64::MAX);
    assert_eq!(fixture.dedup.next_deadline(), None);
    assert_eq!(fixture.dedup.pending(), 1);
}

#[test]
fn a_record_not_inserted_is_not_remembered() {
    let mut fixture = Fixture::new(100, 2);
    let key = fixture.keyer.key(1_u8);
    assert!(matches!(fixture.dedup.admit(key, millis(0)), Admit::New(_)));
    assert!(fixture.dedup.is_empty());
    assert_eq!(fixture.admit(1, 1), Seen::New(None));
}

#[test]
fn the_value_can_be_changed_by_a_repeat() {
    let mut fixture = Fixture::new(100, 2);
    fixture.admit(1, 0);
    match fixture.dedup.admit(fixture.keyer.key(1_u8), millis(3)) {
        Admit::New(_) => panic!("it was admitted before"),
        Admit::Repeat(open) => {
            assert_eq!((open.first(), open.last()), (millis(0), millis(3)));
            *open.value_mut() = 77;
        }
    }
    assert_eq!(fixture.expired(100), [closed(77, 1, 0, 3)]);
}

#[test]
fn the_default_takes_less_than_100_kilobytes_and_never_more() {
    let keyer = Keyer::new();
    let mut dedup = Dedup::<u128>::new(Settings::default());
    let before = dedup.bytes();
    assert!(before < 100_000, "{before} bytes");
    for number in 0..10_000 {
        match dedup.admit(keyer.key(number), Duration::ZERO) {
            Admit::New(vacant) => assert_eq!(vacant.insert(number), None),
            Admit::Repeat(_) => panic!("{number} was not admitted before"),
        }
    }
    assert_eq!((dedup.len(), dedup.bytes()), (1024, before));
}

// === against a model ===

/// What a dedup must do, in the plainest way: a list that is searched.
#[derive(Debug)]
struct Model {
    window: Duration,
    slots: usize,
    clock: Duration,
    open: Vec<(u8, Closed<usize>)>,
}

impl Model {
    fn is_over(&self, window: &Closed<usize>) -> bool {
        window.first + self.window <= self.clock
    }

    fn admit(&mut self, record: u8, number: usize, now: u64) -> Seen {
        self.clock = self.clock.max(millis(now));
        // The newest: a window that was over is open again once windows get longer.
        let at = self.open.iter().rposition(|(at, open)| *at == record && !self.is_over(open));
        if let Some(at) = at {
            let open = &mut self.open[at].1;
            open.repeats += 1;
            open.last = self.clock;
            return Seen::Repeat { first: open.value, repeats: open.repeats };
        }
        if self.window.is_zero() {
            return Seen::New(None);
        }
        let evicted = (self.open.len() == self.slots).then(|| self.open.remove(0).1);
        let first = Closed { value: number, repeats: 0, first: self.clock, last: self.clock };
        self.open.push((record, first));
        Seen::New(evicted.filter(|closed| closed.repeats > 0))
    }

    fn expired(&mut self, now: u64) -> Vec<Closed<usize>> {
        self.clock = self.clock.max(millis(now));
        let open = std::mem::take(&mut self.open);
        let (over, open) = open.into_iter().partition(|(_, open)| self.is_over(open));
        self.open = open;
        summaries(over)
    }

    fn next_deadline(&self) -> Option<Duration> {
        let any_folded = self.open.iter().any(|(_, open)| open.repeats > 0);
        let deadlines = self.open.iter().map(|(_, open)| open.first + self.window);
        deadlines.min().filter(|_| any_folded)
    }
}

fn summaries(windows: Vec<(u8, Closed<usize>)>) -> Vec<Closed<usize>> {
    windows.into_iter().map(|(_, closed)| closed).filter(|closed| closed.repeats > 0).collect()
}

#[derive(Debug, Clone)]
enum Op {
    Admit(u8),
    Expire,
    SetWindow(u64),
    CloseAll,
}

fn ops() -> impl Strategy<Value = Vec<(Op, i64)>> {
    let op = prop_oneof![
        30 => (0..8_u8).prop_map(Op::Admit),
        5 => Just(Op::Expire),
        1 => prop_oneof![Just(0), Just(10), Just(50)].prop_map(Op::SetWindow),
        1 => Just(Op::CloseAll),
    ];
    // Now and then the clock goes back.
    vec((op, prop_oneof![20 => 0..8_i64, 1 => -30..0_i64]), 0..200)
}

proptest! {
    #[test]
    fn behaves_as_a_list_that_is_searched(slots in 1..8_usize, ops in ops()) {
        let mut fixture = Fixture::new(40, slots);
        let mut model =
            Model { window: millis(40), slots, clock: Duration::ZERO, open: vec![] };
        let mut now = 0_u64;
        for (op, step) in ops {
            now = now.saturating_add_signed(step);
            match op {
                Op::Admit(record) => {
                    let expected = model.admit(record, fixture.admitted, now);
                    prop_assert_eq!(fixture.admit(record, now), expected);
                }
                Op::Expire => prop_assert_eq!(fixture.expired(now), model.expired(now)),
                Op::SetWindow(window) => {
                    fixture.dedup.set_window(millis(window));
                    model.window = millis(window);
                }
                Op::CloseAll => {
                    let expected = summaries(std::mem::take(&mut model.open));
                    prop_assert_eq!(fixture.dedup.close_all().collect::<Vec<_>>(), expected);
                }
            }
            prop_assert_eq!(fixture.dedup.len(), model.open.len());
            prop_assert_eq!(fixture.dedup.next_deadline(), model.next_deadline());
        }
    }

    #[test]
    fn every_record_is_new_or_counted_once(slots in 1..8_usize, ops in ops()) {
        let mut fixture = Fixture::new(40, slots);
        let (mut now, mut new, mut repeats, mut folded) = (0_u64, 0, 0, 0);
        for (op, step) in ops {
            now = now.saturating_add_signed(step);
            match op {
                Op::Admit(record) => match fixture.admit(record, now) {
                    Seen::New(evicted) => {
                        new += 1;
                        folded += evicted.map_or(0, |closed| closed.repeats);
                    }
                    Seen::Repeat { .. } => repeats += 1,
                },
                Op::Expire => folded += total(fixture.dedup.expired(millis(now))),
                Op::SetWindow(window) => fixture.dedup.set_window(millis(window)),
                Op::CloseAll => folded += total(fixture.dedup.close_all()),
            }
            let accounted = new + folded + fixture.dedup.pending();
            prop_assert_eq!(accounted, fixture.admitted as u64);
        }
        folded += total(fixture.dedup.close_all());
        prop_assert_eq!((folded, fixture.dedup.pending()), (repeats, 0));
    }

    #[test]
    fn after_its_deadline_a_window_is_told(slots in 1..8_usize, ops in ops()) {
        let mut fixture = Fixture::new(40, slots);
        let mut now = 0_u64;
        for (op, step) in ops {
            now = now.saturating_add_signed(step);
            if let Op::Admit(record) = op {
                fixture.admit(record, now);
            }
        }
        // As a timer would: every deadline is later than the one before, and
        // in the end nothing is pending.
        let mut before = None;
        while let Some(deadline) = fixture.dedup.next_deadline() {
            prop_assert!(before < Some(deadline));
            before = Some(deadline);
            fixture.dedup.expired(deadline).for_each(drop);
        }
        prop_assert_eq!(fixture.dedup.pending(), 0);
    }
}

fn total(summaries: impl Iterator<Item = Closed<usize>>) -> u64 {
    summaries.map(|closed| closed.repeats).sum()
}

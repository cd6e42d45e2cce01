use proptest::collection::vec;
use proptest::prelude::*;

use crate::{Bounds, Iter, Position, RingBuffer};

fn buffer(items: usize, bytes: usize) -> RingBuffer<&'static str> {
    RingBuffer::new(Bounds { items: items.try_into().unwrap(), bytes })
}

fn items<T: Copy>(iter: Iter<'_, T>) -> Vec<T> {
    iter.map(|(_, item)| *item).collect()
}

#[test]
fn an_empty_buffer_has_nothing_and_misses_nothing() {
    let buffer = buffer(3, 100);
    let since = buffer.since(Position::default());
    assert_eq!((since.missed, since.items.len(), since.next), (0, 0, Position::new(0)));
    assert_eq!(buffer.first_position(), buffer.next_position());
    assert_eq!(buffer.get(Position::default()), None);
    assert!(buffer.is_empty());
}

#[test]
fn an_item_larger_than_the_byte_bound_is_kept_alone() {
    let mut buffer = buffer(3, 10);
    buffer.push("a", 4);
    buffer.push("huge", 11);
    assert_eq!(items(buffer.iter()), ["huge"]);
    assert_eq!((buffer.bytes(), buffer.dropped()), (11, 1));

    buffer.push("b", 4);
    assert_eq!(items(buffer.iter()), ["b"]);
    assert_eq!((buffer.bytes(), buffer.dropped()), (4, 2));
}

#[test]
fn the_largest_number_of_bytes_does_not_overflow() {
    let mut buffer = buffer(3, usize::MAX);
    buffer.push("a", 1);
    buffer.push("b", usize::MAX);
    assert_eq!(items(buffer.iter()), ["b"]);
    buffer.push("c", usize::MAX);
    assert_eq!((items(buffer.iter()), buffer.bytes()), (vec!["c"], usize::MAX));
}

#[test]
fn a_reader_from_another_life_misses_nothing_and_is_put_right() {
    let mut buffer = buffer(3, 100);
    buffer.push("a", 1);
    let since = buffer.since(Position::new(u64::MAX));
    assert_eq!((since.missed, since.items.len(), since.next), (0, 0, Position::new(1)));
}

#[test]
fn a_kept_item_can_be_changed_and_an_overwritten_one_cannot() {
    let mut buffer = buffer(2, 100);
    let first = buffer.push("a", 1);
    let second = buffer.push("b", 1);
    buffer.push("c", 1);
    assert_eq!(buffer.get_mut(first), None);
    *buffer.get_mut(second).unwrap() = "b x2";
    assert_eq!(items(buffer.iter()), ["b x2", "c"]);
}

#[test]
fn around_is_empty_once_its_item_is_overwritten() {
    let mut buffer = buffer(3, 100);
    for item in ["a", "b", "c", "d"] {
        buffer.push(item, 1);
    }
    assert_eq!(items(buffer.around(Position::new(0), 5)), [""; 0]);
    assert_eq!(items(buffer.around(Position::new(1), 1)), ["b", "c"]);
    assert_eq!(items(buffer.around(Position::new(2), usize::MAX)), ["b", "c", "d"]);
    assert_eq!(items(buffer.around(Position::new(4), 5)), [""; 0]);
}

/// What a buffer must do, in the plainest way: everything ever pushed, and the
/// kept part found by counting from the newest.
#[derive(Debug)]
struct Model {
    bounds: Bounds,
    pushed: Vec<(u32, usize)>,
}

impl Model {
    fn first(&self) -> usize {
        let (mut first, mut bytes) = (self.pushed.len(), 0);
        while first > 0 && self.pushed.len() - first < self.bounds.items.get() {
            bytes += self.pushed[first - 1].1;
            if bytes > self.bounds.bytes && first < self.pushed.len() {
                break;
            }
            first -= 1;
        }
        first
    }

    /// The kept ones of the items at `from..to`.
    fn kept(&self, from: usize, to: usize) -> Vec<(Position, u32)> {
        (from.max(self.first())..to.min(self.pushed.len()))
            .map(|at| (Position::new(at as u64), self.pushed[at].0))
            .collect()
    }
}

#[derive(Debug, Clone)]
enum Op {
    Push(u32, usize),
    Replace(usize, u32),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (any::<u32>(), 0..12_usize).prop_map(|(item, bytes)| Op::Push(item, bytes)),
        1 => (0..80_usize, any::<u32>()).prop_map(|(at, item)| Op::Replace(at, item)),
    ];
    vec(op, 0..80)
}

fn apply(op: &Op, buffer: &mut RingBuffer<u32>, model: &mut Model) {
    match *op {
        Op::Push(item, bytes) => {
            let position = buffer.push(item, bytes);
            assert_eq!(position.get(), model.pushed.len() as u64);
            model.pushed.push((item, bytes));
        }
        Op::Replace(at, item) => {
            let is_kept = (model.first()..model.pushed.len()).contains(&at);
            let found = buffer.get_mut(Position::new(at as u64));
            assert_eq!(found.is_some(), is_kept);
            if let Some(found) = found {
                *found = item;
                model.pushed[at].0 = item;
            }
        }
    }
}

fn owned(iter: Iter<'_, u32>) -> Vec<(Position, u32)> {
    let expected = iter.len();
    let found: Vec<_> = iter.map(|(position, item)| (position, *item)).collect();
    assert_eq!(found.len(), expected);
    found
}

fn agree(buffer: &RingBuffer<u32>, model: &Model, at: usize, n: usize) {
    let (first, end) = (model.first(), model.pushed.len());
    let position = Position::new(at as u64);

    assert_eq!(owned(buffer.iter()), model.kept(0, end));
    let backwards: Vec<_> = buffer.iter().rev().map(|(at, item)| (at, *item)).collect();
    assert_eq!(backwards, model.kept(0, end).into_iter().rev().collect::<Vec<_>>());

    assert_eq!(buffer.len(), end - first);
    assert_eq!(buffer.is_empty(), end == first);
    assert_eq!(buffer.bytes(), model.pushed[first..].iter().map(|(_, bytes)| bytes).sum());
    assert_eq!(buffer.dropped(), first as u64);
    assert_eq!(buffer.first_position().get(), first as u64);
    assert_eq!(buffer.next_position().get(), end as u64);

    let is_kept = (first..end).contains(&at);
    assert_eq!(buffer.get(position).copied(), is_kept.then(|| model.pushed[at].0));
    assert_eq!(owned(buffer.latest(n)), model.kept(end.saturating_sub(n), end));
    let around = if is_kept { model.kept(at.saturating_sub(n), at + n + 1) } else { vec![] };
    assert_eq!(owned(buffer.around(position, n)), around);

    let since = buffer.since(position);
    assert_eq!(since.missed, first.saturating_sub(at) as u64);
    assert_eq!(since.next, buffer.next_position());
    assert_eq!(owned(since.items), model.kept(at, end));
}

proptest! {
    #[test]
    fn behaves_as_a_list_of_everything_pushed(
        items in 1..8_usize,
        bytes in 0..40_usize,
        ops in ops(),
        probes in vec((0..90_usize, 0..10_usize), 80),
    ) {
        let bounds = Bounds { items: items.try_into().unwrap(), bytes };
        let mut buffer = RingBuffer::new(bounds);
        let mut model = Model { bounds, pushed: vec![] };
        for (op, (at, n)) in ops.iter().zip(probes) {
            apply(op, &mut buffer, &mut model);
            agree(&buffer, &model, at, n);
            prop_assert!(buffer.len() <= items);
            prop_assert!(buffer.bytes() <= bytes || buffer.len() == 1);
        }
    }

    #[test]
    fn a_reader_sees_or_misses_every_item_exactly_once(
        pushes in vec((0..20_usize, 0..12_usize), 1..20),
    ) {
        let mut buffer = buffer(5, 30);
        let mut cursor = buffer.next_position();
        let (mut seen, mut missed) = (0, 0);
        for (count, bytes) in pushes {
            for _ in 0..count {
                buffer.push("item", bytes);
            }
            let since = buffer.since(cursor);
            seen += since.items.len() as u64;
            missed += since.missed;
            cursor = since.next;
            prop_assert_eq!(seen + missed, buffer.next_position().get());
        }
    }

    #[test]
    fn an_iterator_taken_from_both_ends_yields_each_item_once(
        count in 0..12_u32,
        from_the_back in vec(any::<bool>(), 14),
    ) {
        let bounds = Bounds { items: 9.try_into().unwrap(), bytes: 100 };
        let mut buffer = RingBuffer::new(bounds);
        for item in 0..count {
            buffer.push(item, 1);
        }
        let (mut iter, mut taken) = (buffer.iter(), vec![]);
        for back in from_the_back {
            taken.extend(if back { iter.next_back() } else { iter.next() });
        }
        prop_assert!(taken.iter().all(|(position, item)| position.get() == u64::from(**item)));
        taken.sort_unstable();
        prop_assert_eq!(taken, buffer.iter().collect::<Vec<_>>());
    }
}

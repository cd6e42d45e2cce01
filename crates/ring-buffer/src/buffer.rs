use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::ops::Range;

use crate::{Iter, Position};

/// How much a [`RingBuffer`] keeps; whichever bound is reached first holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Items kept at most.
    pub items: NonZeroUsize,
    /// Bytes kept at most, as the caller counts them in [`RingBuffer::push`].
    /// An item larger than this is kept alone.
    pub bytes: usize,
}

/// What a reader gets that has read up to a position.
#[derive(Debug, Clone)]
pub struct Since<'a, T> {
    /// Items from that position on that were overwritten before they were read.
    pub missed: u64,
    /// The items that are still kept, oldest first.
    pub items: Iter<'a, T>,
    /// Where to go on after `items`.
    pub next: Position,
}

/// A bounded buffer that overwrites its oldest item.
///
/// Memory grows with what is kept; only the slots are the buffer's, what an
/// item owns is counted by the `bytes` the caller gives with it.
#[derive(Debug, Clone)]
pub struct RingBuffer<T> {
    bounds: Bounds,
    slots: VecDeque<Slot<T>>,
    /// Sum of `Slot::bytes`.
    bytes: usize,
    /// Items pushed so far, and so the position of the next one.
    pushed: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Slot<T> {
    pub(crate) item: T,
    bytes: usize,
}

impl<T> RingBuffer<T> {
    /// An empty buffer, which has not allocated anything yet.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, slots: VecDeque::new(), bytes: 0, pushed: 0 }
    }

    /// Adds `item`, worth `bytes`, as the newest, and overwrites the oldest
    /// items until both bounds hold.
    ///
    /// An item larger than the byte bound overwrites all others and is kept
    /// alone until the next one arrives.
    pub fn push(&mut self, item: T, bytes: usize) -> Position {
        while !self.slots.is_empty() && !self.has_room(bytes) {
            self.drop_oldest();
        }
        let position = self.next_position();
        self.slots.push_back(Slot { item, bytes });
        self.bytes += bytes;
        self.pushed += 1;
        position
    }

    /// The item at `position`, unless it was overwritten or is yet to come.
    pub fn get(&self, position: Position) -> Option<&T> {
        let index = self.index(position)?;
        self.slots.get(index).map(|slot| &slot.item)
    }

    /// The item at `position`, to change in place, for example its repeat count.
    ///
    /// The bytes it was pushed with go on counting, so the change must not make
    /// it much larger.
    pub fn get_mut(&mut self, position: Position) -> Option<&mut T> {
        let index = self.index(position)?;
        self.slots.get_mut(index).map(|slot| &mut slot.item)
    }

    /// What there is at `position` and after it, and how many of those are gone.
    ///
    /// A reader that starts now begins at [`next_position`](Self::next_position),
    /// one that wants everything at [`Position::default`]; both go on at
    /// [`Since::next`].
    /// A position that is yet to come has missed nothing and gets nothing.
    pub fn since(&self, position: Position) -> Since<'_, T> {
        let missed = self.dropped().saturating_sub(position.get());
        let items = self.between(position.get()..self.pushed);
        Since { missed, items, next: self.next_position() }
    }

    /// The newest `n` items, or all if there are fewer, oldest first.
    pub fn latest(&self, n: usize) -> Iter<'_, T> {
        self.between(self.pushed.saturating_sub(n as u64)..self.pushed)
    }

    /// The item at `position` with up to `n` neighbours on each side, oldest first.
    ///
    /// Nothing, if that item is not kept, whatever is left of its neighbours.
    pub fn around(&self, position: Position, n: usize) -> Iter<'_, T> {
        if self.index(position).is_none() {
            return self.between(self.pushed..self.pushed);
        }
        let (middle, n) = (position.get(), n as u64);
        self.between(middle.saturating_sub(n)..middle.saturating_add(n).saturating_add(1))
    }

    /// Everything that is kept, oldest first.
    pub fn iter(&self) -> Iter<'_, T> {
        self.between(0..self.pushed)
    }

    /// How many items are kept.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing was pushed yet; a buffer never becomes empty again.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many bytes the kept items are worth together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the buffer was made with.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The position of the oldest item kept; [`next_position`](Self::next_position)
    /// while there is none.
    pub fn first_position(&self) -> Position {
        Position::new(self.dropped())
    }

    /// The position that the next item will get.
    pub fn next_position(&self) -> Position {
        Position::new(self.pushed)
    }

    /// How many items were overwritten so far.
    pub fn dropped(&self) -> u64 {
        self.pushed - self.slots.len() as u64
    }

    fn has_room(&self, bytes: usize) -> bool {
        let total = self.bytes.checked_add(bytes);
        self.slots.len() < self.bounds.items.get()
            && total.is_some_and(|total| total <= self.bounds.bytes)
    }

    fn drop_oldest(&mut self) {
        if let Some(slot) = self.slots.pop_front() {
            self.bytes -= slot.bytes;
        }
    }

    /// Where the item at `position` is in `slots`.
    fn index(&self, position: Position) -> Option<usize> {
        let index = position.get().checked_sub(self.dropped())?;
        usize::try_from(index).ok().filter(|index| *index < self.slots.len())
    }

    /// Those of the items at `positions` that are kept.
    fn between(&self, positions: Range<u64>) -> Iter<'_, T> {
        let start = self.clip(positions.start);
        let end = self.clip(positions.end);
        Iter::new(self.dropped() + start as u64, self.slots.range(start..end))
    }

    /// The index in `slots` nearest to `position`; one past the end if it is yet to come.
    fn clip(&self, position: u64) -> usize {
        let index = position.saturating_sub(self.dropped());
        usize::try_from(index).map_or(self.slots.len(), |index| index.min(self.slots.len()))
    }
}

impl<'a, T> IntoIterator for &'a RingBuffer<T> {
    type Item = (Position, &'a T);
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

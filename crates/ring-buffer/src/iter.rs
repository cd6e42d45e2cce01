use std::collections::vec_deque;
use std::iter::FusedIterator;

use crate::Position;
use crate::buffer::Slot;

/// A run of kept items with their positions, oldest first, from either end.
#[derive(Debug)]
pub struct Iter<'a, T> {
    front: u64,
    slots: vec_deque::Iter<'a, Slot<T>>,
}

impl<'a, T> Iter<'a, T> {
    /// The items of `slots`, the first of which is at position `front`.
    pub(crate) fn new(front: u64, slots: vec_deque::Iter<'a, Slot<T>>) -> Self {
        Self { front, slots }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = (Position, &'a T);

    fn next(&mut self) -> Option<Self::Item> {
        let slot = self.slots.next()?;
        let position = Position::new(self.front);
        self.front += 1;
        Some((position, &slot.item))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.slots.size_hint()
    }
}

impl<T> DoubleEndedIterator for Iter<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let slot = self.slots.next_back()?;
        // What is left in front of the slot just taken is how far it is from the front.
        let position = Position::new(self.front + self.slots.len() as u64);
        Some((position, &slot.item))
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}

impl<T> FusedIterator for Iter<'_, T> {}

// By hand, because deriving would ask for `T: Clone`.
impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self { front: self.front, slots: self.slots.clone() }
    }
}

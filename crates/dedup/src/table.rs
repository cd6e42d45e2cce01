//! The open windows, in the order they were opened, found by key.

use std::collections::VecDeque;
use std::mem;
use std::num::NonZeroUsize;

use crate::{Key, Open};

/// A queue of windows with a hash chain through it.
///
/// Windows are numbered as they come, from 1. Each bucket knows its newest
/// window, and each window the next older one of its bucket, so a chain only
/// leads to older windows. Windows leave from the old end; a number older than
/// the oldest window therefore ends a chain, and leaving needs no clean-up.
#[derive(Debug)]
pub(crate) struct Table<V> {
    slots: VecDeque<Open<V>>,
    /// The newest window of each bucket; 0 where there never was one.
    newest: Box<[u64]>,
    /// The number the next window gets.
    next: u64,
}

impl<V> Table<V> {
    pub(crate) fn new(slots: NonZeroUsize) -> Self {
        Self {
            slots: VecDeque::with_capacity(slots.get()),
            newest: vec![0; slots.get()].into_boxed_slice(),
            next: 1,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() == self.newest.len()
    }

    /// Adds a window as the newest, also if there is an older one of the same key.
    pub(crate) fn push(&mut self, mut open: Open<V>) {
        debug_assert!(!self.is_full(), "the caller makes room first");
        let bucket = open.key.bucket(self.newest.len());
        open.older = mem::replace(&mut self.newest[bucket], self.next);
        self.slots.push_back(open);
        self.next += 1;
    }

    /// The newest window of `key`, as an index for [`get_mut`](Self::get_mut).
    pub(crate) fn find(&self, key: Key) -> Option<usize> {
        let mut number = self.newest[key.bucket(self.newest.len())];
        loop {
            let index = self.index(number)?;
            let open = &self.slots[index];
            if open.key == key {
                return Some(index);
            }
            number = open.older;
        }
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> &mut Open<V> {
        &mut self.slots[index]
    }

    pub(crate) fn get(&self, index: usize) -> &Open<V> {
        &self.slots[index]
    }

    pub(crate) fn oldest(&self) -> Option<&Open<V>> {
        self.slots.front()
    }

    pub(crate) fn pop_oldest(&mut self) -> Option<Open<V>> {
        self.slots.pop_front()
    }

    /// Where the window with `number` is; nothing, if it has left.
    fn index(&self, number: u64) -> Option<usize> {
        let oldest = self.next - self.slots.len() as u64;
        number.checked_sub(oldest).and_then(|index| usize::try_from(index).ok())
    }

    /// The memory the table takes, without what the values own.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Open<V>>() + size_of_val(&*self.newest)
    }
}

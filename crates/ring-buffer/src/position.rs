use std::fmt;

/// Where an item is, or will be, in the life of one [`RingBuffer`](crate::RingBuffer).
///
/// Positions rise by one with each item and are never used again.
/// They mean nothing in another buffer, nor in the same program after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(u64);

impl Position {
    /// The position `items` after the very first one.
    pub const fn new(items: u64) -> Self {
        Self(items)
    }

    /// How many items were pushed before the one at this position.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

//! A bounded buffer that overwrites its oldest item and says how many a reader missed.
//!
//! A [`RingBuffer`] keeps the newest items that fit its [`Bounds`], a number of
//! items and a number of bytes.
//! Every item gets a [`Position`] that no other item of the buffer ever gets
//! again, so a reader only remembers where it stopped: [`RingBuffer::since`]
//! returns what came after, and how many of those are gone.
//!
//! ```
//! use ring_buffer::{Bounds, RingBuffer};
//!
//! let bounds = Bounds { items: 3.try_into()?, bytes: 1024 };
//! let mut buffer = RingBuffer::new(bounds);
//! let cursor = buffer.next_position();
//! for line in ["one", "two", "three", "four", "five"] {
//!     buffer.push(line, line.len());
//! }
//!
//! let since = buffer.since(cursor);
//! assert_eq!(since.missed, 2);
//! let lines: Vec<_> = since.items.map(|(_, line)| *line).collect();
//! assert_eq!(lines, ["three", "four", "five"]);
//! assert_eq!(buffer.since(since.next).items.len(), 0);
//! # Ok::<(), std::num::TryFromIntError>(())
//! ```
//!
//! # What holds
//!
//! * **Bounded.** No more than [`Bounds::items`] items and [`Bounds::bytes`]
//!   bytes are kept, with one exception: an item that is larger than the byte
//!   bound is kept alone, so the newest item can always be read.
//! * **The newest stays.** Only the oldest item is overwritten, and each is
//!   counted in [`RingBuffer::dropped`].
//! * **Positions have no gaps.** The first item is at 0 and each next one is
//!   one further; what is kept is always the run from
//!   [`first_position`](RingBuffer::first_position) to just before
//!   [`next_position`](RingBuffer::next_position).
//! * **Constant time.** `push` is amortised constant: an item is overwritten
//!   once. Finding a position is an index, not a search.
//!
//! # What this crate does not know
//!
//! Threads, locks, clocks and what an item is.
//! The caller says how many bytes an item is worth, and owns the lock if there
//! is one.

mod buffer;
mod iter;
mod position;

pub use buffer::{Bounds, RingBuffer, Since};
pub use iter::Iter;
pub use position::Position;

#[cfg(test)]
mod tests;

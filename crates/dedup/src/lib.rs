//! Folds repeats inside a window, and counts them.
//!
//! The first record of its kind opens a window and is shown; the same again
//! before the window is over is a repeat, which is counted instead of shown.
//! What makes records the same is their [`Key`], a hash made by a [`Keyer`].
//! A [`Dedup`] holds the [`Open`] windows, each with the value its caller wants
//! to find again, for example the position of the first entry.
//! When a window closes and something was folded into it, its summary comes
//! out: [`Closed`].
//!
//! ```
//! use std::time::Duration;
//!
//! use dedup::{Admit, Dedup, Keyer, Settings};
//!
//! let keyer = Keyer::new();
//! let mut dedup = Dedup::new(Settings::default());
//! let mut shown = vec![];
//! for second in 0..40 {
//!     let now = Duration::from_secs(second);
//!     for closed in dedup.expired(now) {
//!         shown.push(format!("repeated {} times until {:?}", closed.repeats, closed.last));
//!     }
//!     match dedup.admit(keyer.key(("voice", "tick")), now) {
//!         Admit::New(vacant) => {
//!             shown.push(format!("tick at {now:?}"));
//!             // No summary: nothing had to make room.
//!             assert!(vacant.insert(shown.len()).is_none());
//!         }
//!         Admit::Repeat(_) => {}
//!     }
//! }
//! for closed in dedup.close_all() {
//!     shown.push(format!("repeated {} times until {:?}", closed.repeats, closed.last));
//! }
//! assert_eq!(
//!     shown,
//!     ["tick at 0ns", "repeated 29 times until 29s", "tick at 30s", "repeated 9 times until 39s"],
//! );
//! ```
//!
//! # What holds
//!
//! * **Nothing is forgotten.** Every record admitted is either new or counted
//!   in exactly one window; the counts of all summaries and of
//!   [`Dedup::pending`], plus the new ones, are the records admitted.
//!   This needs the caller to take every summary: from
//!   [`expired`](Dedup::expired), from [`Vacant::insert`], and at the end from
//!   [`close_all`](Dedup::close_all).
//! * **Nothing is hidden for ever.** A window is counted from its first record,
//!   so what repeats steadily is new again once in every window.
//! * **Constant memory.** A window is the size of its value plus 72 bytes and padding,
//!   however long the records are; [`Settings::slots`] says how many there are
//!   and all of it is taken by [`Dedup::new`].
//!   When they are all taken, the window opened longest ago closes early.
//! * **Constant time.** A record costs one look-up, and a window is closed once.
//!   Nobody can choose records whose keys collide, because the keyer's seed is
//!   random.
//! * **Time only goes forwards.** A `now` earlier than one already seen counts
//!   as that one.
//!
//! # Different windows for different records
//!
//! All windows of a [`Dedup`] have the same length, and that is what makes the
//! oldest also the first to close.
//! Whoever wants five seconds for errors and thirty for the rest keeps two, and
//! asks the one that suits the record.
//!
//! # What this crate does not know
//!
//! Clocks, timers, threads, and what a record is.
//! The caller says what time it is, wakes up at
//! [`next_deadline`](Dedup::next_deadline), and decides which parts make two
//! records the same.

mod dedup;
mod key;
mod table;
mod window;

pub use dedup::{Admit, Dedup, Settings, Vacant};
pub use key::{Key, Keyer};
pub use window::{Closed, Open};

#[cfg(test)]
mod tests;

//! Token buckets: how much may pass a second, alone or for each of many keys.
//!
//! A [`Bucket`] lets a burst pass at once and a rate on average. A [`Limiter`]
//! keeps one for each key, for example for each service that logs, and counts
//! what each was not allowed.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use rate_limit::Limiter;
//!
//! let mut limiter = Limiter::new(10, 2);
//! let (voice, eyes) = (Arc::from("voice"), Arc::from("eyes"));
//! let now = Duration::from_secs(5);
//! let passed = (0..5).filter(|_| limiter.admits(&voice, now)).count();
//! assert_eq!(passed, 2, "the burst");
//! assert!(limiter.admits(&eyes, now), "a key is not held back for another");
//! assert!(limiter.admits(&voice, now + Duration::from_millis(100)), "the rate");
//! assert_eq!(limiter.take_held_back(), [(voice, 3)]);
//! ```
//!
//! # What holds
//!
//! * **Never more than asked for.** In any span of time, at most the burst and
//!   what the rate gives in that span passes. Nothing is rounded.
//! * **Time only goes forwards.** A `now` earlier than one already seen counts
//!   as that one.
//! * **Constant memory.** A limiter keeps [`KEYS_MAX`] keys; further ones share
//!   one bucket under [`OTHER`].
//!
//! # What this crate does not know
//!
//! Clocks, and what passes. The caller says what time it is, since whenever it
//! likes.

mod bucket;
mod limiter;

pub use bucket::Bucket;
pub use limiter::{KEYS_MAX, Limiter, OTHER};

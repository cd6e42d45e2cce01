//! What an adapter declares and reports, as data.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// What an adapter can do beyond the contract of [`Bus`](crate::Bus), and its limits.
///
/// What an adapter cannot do is declared here, never discovered.
/// An adapter returns a constant, or one plus what its broker told it.
///
/// ```
/// use bus::{Bus, MemoryBus};
///
/// let capabilities = MemoryBus::default().capabilities();
/// assert!(!capabilities.durable, "what nobody subscribes to is gone");
/// assert_eq!(capabilities.payload_max, 1024 * 1024);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether `subscribe` takes patterns: `*` for one segment of a topic, and `>` at the end for one or more.
    /// Without it, a topic with `*` or `>` is refused.
    pub wildcards: bool,
    /// Whether events are kept by the broker, so that they survive its restart and reach readers that were away.
    pub durable: bool,
    /// Whether `Ok` from `publish` means that whoever must have the event has it:
    /// the broker has confirmed it or, inside one process, it is in every subscriber's queue.
    pub confirms: bool,
    /// How far events travel.
    pub reach: Reach,
    /// The largest payload, in bytes. Headers do not count; they have a limit of their own, [`HEADERS_BYTES_MAX`](crate::HEADERS_BYTES_MAX).
    pub payload_max: usize,
    /// The longest that a call waits before it fails with [`Error::TimedOut`](crate::Error::TimedOut).
    pub wait_max: Duration,
}

/// How far events travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To subscribers in this process.
    Process,
    /// To subscribers on every machine connected to the broker.
    Network,
}

/// How a bus is at this moment. The counts are since it was made, and never go down unless they say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Whether events get through.
    pub link: Link,
    /// Events that `publish` took.
    pub published: u64,
    /// Events that `publish` refused or could not deliver.
    pub refused: u64,
    /// Events that subscribers of this bus missed, summed over the subscribers.
    pub missed: u64,
    /// How often a lost connection came back.
    pub reconnects: u64,
    /// Events taken but still waiting to leave this process; goes down.
    pub backlog: u64,
    /// Subscriptions now; goes down.
    pub subscriptions: usize,
    /// What went wrong last on the way to the broker, for people; gone once all is well.
    pub trouble: Option<String>,
}

/// Whether events get through. `Display` is one lower-case word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// They do.
    Connected,
    /// They do not, and the adapter tries to reconnect.
    Disconnected {
        /// Since when, by the wall clock. For people; nothing is computed from it.
        since: SystemTime,
        /// Attempts to reconnect since then.
        attempts: u64,
    },
    /// They never will again: the bus was closed.
    Closed,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connected => "connected",
            Self::Disconnected { .. } => "disconnected",
            Self::Closed => "closed",
        })
    }
}

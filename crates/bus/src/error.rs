//! What can go wrong on a bus.

use std::time::Duration;

/// Whatever an adapter's library said.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An event was not published, or a subscription not made.
///
/// Which variant means what for a caller is in the table at [`Bus`](crate::Bus#error-classification).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The topic is not one that every adapter can carry.
    #[error("topic `{}`: {reason}", topic.escape_debug())]
    Topic {
        /// The topic as it was given.
        topic: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The headers are not ones that every adapter can carry.
    #[error("header `{}` of an event on `{topic}`: {reason}", name.escape_debug())]
    Header {
        /// The topic of the event.
        topic: String,
        /// The name of the first header at fault.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The payload is larger than this bus carries. Nothing of it was sent.
    #[error("an event on `{topic}` has {bytes} bytes, and this bus carries {limit}")]
    TooLarge {
        /// The topic of the event.
        topic: String,
        /// The size of its payload.
        bytes: usize,
        /// The largest payload that the bus carries.
        limit: usize,
    },
    /// The value could not be written as JSON.
    #[error("writing an event on `{topic}` as JSON")]
    Encode {
        /// The topic of the event.
        topic: String,
        /// What the value's serializer said.
        source: serde_json::Error,
    },
    /// The broker does not allow this client to use the topic.
    #[error("this client may not use `{topic}`")]
    Denied {
        /// The topic that was refused.
        topic: String,
        /// What the broker said.
        source: BoxError,
    },
    /// The broker is away. The event was not taken.
    #[error("the bus is disconnected; `{topic}` was not reached")]
    Disconnected {
        /// The topic of the event or subscription.
        topic: String,
    },
    /// The bus did not answer in time. Whether the event was taken is unknown.
    #[error("no answer from the bus within {after:?} while {action}")]
    TimedOut {
        /// What was being done, and to which topic: `publishing on …`.
        action: String,
        /// How long the bus was given.
        after: Duration,
    },
    /// Something else went wrong on the way. Whether the event was taken is unknown.
    #[error("{action}")]
    Transport {
        /// What was being done, and to which topic: `publishing on …`.
        action: String,
        /// What the adapter's library said.
        source: BoxError,
    },
    /// The bus was closed.
    #[error("the bus is closed")]
    Closed,
}

/// [`Bus::publish_all`](crate::Bus::publish_all) did not come to the end.
#[derive(Debug, thiserror::Error)]
#[error("publishing the event after {taken} that were taken")]
pub struct PublishAllError {
    /// How many of the first events were taken. Those after the one at fault may have arrived or not.
    pub taken: usize,
    /// What became of the next one.
    pub source: Error,
}

impl Error {
    /// Whether the bus was closed, so that its users should stop.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Disconnected { .. } | Self::TimedOut { .. } | Self::Transport { .. })
    }

    /// Whether it is unknown if the event was taken, so that a retry may double it.
    pub fn is_uncertain(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Transport { .. })
    }
}

//! What a bus that keeps events can do besides delivering them.

use std::{collections::HashSet, time::SystemTime};

use async_trait::async_trait;

use crate::{Error, Event};

/// The header with which a publisher identifies an event.
///
/// A broker that keeps events drops a second one of the same id, for as long as it remembers the first.
pub const EVENT_ID: &str = "Nats-Msg-Id";

/// The header that names the program an event comes from, where several use one broker.
pub const ORIGIN: &str = "Cantina-Origin";

/// The further abilities of a bus whose broker keeps events: what [`Bus::durable`](crate::Bus::durable) gives.
#[async_trait]
pub trait Durable: Send + Sync {
    /// Opens the reader called `name`, which gets every kept event of `topic` until it has acknowledged it.
    ///
    /// A reader that is new begins with the oldest event; one that was there before, with the first that it did not acknowledge, also after a restart of this process or of the broker.
    /// A name is one to 64 letters, digits, `-` and `_`, and belongs to one topic and, at a time, one program.
    async fn reader(&self, topic: &str, name: &str) -> Result<Box<dyn Reader>, Error>;

    /// The ids ([`EVENT_ID`]) of the events of `topic` that are kept, were stored since `since` by the broker's clock, and whose header [`ORIGIN`] is `origin`.
    ///
    /// This reads all of them: it is for finding out, after an interruption, which of a publisher's last events arrived.
    async fn ids(
        &self,
        topic: &str,
        origin: &str,
        since: SystemTime,
    ) -> Result<HashSet<String>, Error>;

    /// Asks the broker what it keeps now.
    async fn mark(&self) -> Result<StoreMark, Error>;

    /// How far confirmations have come, without asking; nothing before the first one.
    fn confirmed(&self) -> Option<StoreMark>;
}

/// Reads the kept events of one topic, in order. Dropping it loses nothing: the next of the same name goes on.
#[async_trait]
pub trait Reader: Send {
    /// Waits for events, appends up to `limit` of them to `batch`, and returns how many; zero means that the bus was closed.
    ///
    /// What is not acknowledged for some time is given again.
    /// Cancel safe: a read that is dropped while waiting has taken nothing for good.
    async fn read(&mut self, batch: &mut Vec<Kept>, limit: usize) -> Result<usize, Error>;

    /// Tells the broker that all events up to the one numbered `through` need not be given again, as far as [`read`](Self::read) has returned them.
    async fn acknowledge(&mut self, through: u64) -> Result<(), Error>;
}

/// An event that the broker keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The event.
    pub event: Event,
    /// Its place among all that the broker keeps, which rises from one event to the next.
    pub number: u64,
}

/// How far what a broker keeps has come. If a later one is [behind](Self::is_behind) an earlier one, the broker has lost something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreMark {
    /// Which store this is; another one after it was made anew.
    pub store: String,
    /// The number of the last event in it.
    pub last: u64,
}

impl StoreMark {
    /// Whether a broker that is here now no longer has all that it had at `earlier`.
    pub fn is_behind(&self, earlier: &Self) -> bool {
        self.store != earlier.store || self.last < earlier.last
    }
}

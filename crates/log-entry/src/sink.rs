//! The door through which records enter: one trait, known to every source.

use std::fmt;

use crate::Record;

/// Takes records in. Sources know this, and nothing of what is behind it.
///
/// Both calls return at once: they never wait for a disk, a socket or a lock
/// that is held during I/O.
pub trait RecordSink: Send + Sync {
    /// Hands a record over. If it is refused, the sink has counted it.
    fn offer(&self, record: Record) -> Offer;

    /// Says that something was lost before it became a record, so that it is
    /// counted and shown.
    fn report(&self, loss: Loss);

    /// Whether there is room for some hundred records more. An emitter that
    /// keeps its records until they are acknowledged is left waiting while
    /// there is none, instead of being refused.
    fn has_room(&self) -> bool {
        true
    }
}

/// What became of an offered record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It waits for the pipeline, as number [`Ticket`].
    Accepted(Ticket),
    /// It was dropped, and counted.
    Dropped(DropReason),
}

/// The place of a record among all that were accepted, from 1, without gaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// How far the session record has come; watched by whoever acknowledges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Every accepted record up to this one is written, or was filtered.
    pub through: Ticket,
    /// The last ticket whose record was lost on its way to the record file.
    /// An emitter whose oldest unacknowledged record is not after this one
    /// must be left to send again.
    pub lost: Ticket,
}

/// Why a record was dropped: one word each in the ledger and the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// The queue between the sources and the pipeline was full.
    IntakeFull,
    /// The service was stopping.
    Stopped,
    /// What arrived could not be understood.
    Malformed,
    /// What arrived was larger than the limit.
    Oversized,
    /// The session record could not be written.
    NotWritten,
    /// The emitter dropped it before it was sent, and said so.
    Emitter,
}

/// Something that was lost before it became a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Why.
    pub reason: DropReason,
    /// How many records, as far as is known.
    pub count: u64,
    /// Where it came from, for people: `127.0.0.1:50312`.
    pub origin: String,
    /// What was wrong with it, for people.
    pub detail: String,
}

// === impl DropReason ===

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::IntakeFull,
        Self::Stopped,
        Self::Malformed,
        Self::Oversized,
        Self::NotWritten,
        Self::Emitter,
    ];

    /// The word in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IntakeFull => "intake_full",
            Self::Stopped => "stopped",
            Self::Malformed => "malformed",
            Self::Oversized => "oversized",
            Self::NotWritten => "not_written",
            Self::Emitter => "emitter",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

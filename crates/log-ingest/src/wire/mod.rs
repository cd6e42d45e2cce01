//! What arrives, as bytes, and the records in it. Nothing here waits or knows
//! a socket.

mod fields;
pub(crate) mod frame;
pub(crate) mod json;
pub(crate) mod pickle;
pub(crate) mod text;

use log_entry::{Record, Timestamp};

/// What a payload held in one place: a record, or something that is none.
pub(crate) type Verdict = Result<Decoded, Refused>;

/// A record, and its number among those of the connection if it has one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) record: Record,
    pub(crate) seq: Option<u64>,
}

/// Something that is no record, and never will be however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: String,
    pub(crate) seq: Option<u64>,
}

/// How a payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Pickle,
}

// === impl Encoding ===

impl Encoding {
    /// What the first byte says; no pickle begins with a bracket.
    pub(crate) fn of(payload: &[u8]) -> Self {
        match payload.first() {
            Some(b'{' | b'[') => Self::Json,
            _ => Self::Pickle,
        }
    }
}

// === impl Refused ===

impl Refused {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), seq: None }
    }
}

/// Hands everything a payload holds to `each`, in order.
pub(crate) fn decode(payload: &[u8], received_at: Timestamp, each: &mut dyn FnMut(Verdict)) {
    match Encoding::of(payload) {
        Encoding::Json => json::decode(payload, received_at, each),
        Encoding::Pickle => each(match pickle::decode(payload, received_at) {
            Ok(record) => Ok(Decoded { record, seq: None }),
            Err(error) => Err(Refused::new(format!("pickle: {error}"))),
        }),
    }
}

//! Names that are never given twice: of entries, and of sessions.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::NaiveDateTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

/// The id of one entry: the same on every path, retry and replay.
///
/// Ours are ULIDs, which sort by time. An emitter may bring its own: 1 to 64
/// letters, digits and `-_.:`.
///
/// ```
/// use log_entry::EntryIds;
///
/// let mut ids = EntryIds::new(7);
/// let (first, second) = (ids.next(1_750_000_000_000), ids.next(1_749_999_999_999));
/// assert!(first < second, "also when the clock goes back");
/// assert_eq!(first.to_string().parse(), Ok(first));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(Repr);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    Ulid(u128),
    Given(Arc<str>),
}

/// A text that cannot be an entry's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseIdError(String);

/// Gives out rising ids, also while the clock stands still or goes back.
#[derive(Debug)]
pub struct EntryIds {
    nonce: u64,
    last_ms: u64,
    count: u64,
}

/// The name of a session: `cantina-session-20261122-160357`, in local time,
/// with `-2`, `-3`… for further ones in the same second.
///
/// Only this shape can be made, so a session's name never leads out of its
/// directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Arc<str>);

/// A text that is not a session's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseSessionIdError(String);

// === impl EntryId ===

impl EntryId {
    const LENGTH_MAX: usize = 64;
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Ulid(bits) => f.write_str(Ulid(*bits).array_to_str(&mut [0; ulid::ULID_LEN])),
            Repr::Given(text) => f.write_str(text),
        }
    }
}

impl FromStr for EntryId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        // Only the canonical form is kept as bits: an id reads back as it was given.
        if let Ok(ulid) = Ulid::from_string(text)
            && ulid.array_to_str(&mut [0; ulid::ULID_LEN]) == text
        {
            return Ok(Self(Repr::Ulid(ulid.0)));
        }
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if text.is_empty() || text.len() > Self::LENGTH_MAX || !text.chars().all(is_allowed) {
            return Err(ParseIdError(text.chars().take(Self::LENGTH_MAX).collect()));
        }
        Ok(Self(Repr::Given(text.into())))
    }
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unusable entry_id `{}`: expected 1 to 64 of A-Z a-z 0-9 - _ . :", self.0)
    }
}

impl std::error::Error for ParseIdError {}

// === impl EntryIds ===

impl EntryIds {
    const NONCE_BITS: u32 = 40;
    const COUNT_BITS: u32 = 80 - Self::NONCE_BITS;

    /// A generator whose ids differ from those of any generator with another
    /// `nonce` (of which 40 bits count). Hand in a random one.
    pub const fn new(nonce: u64) -> Self {
        Self { nonce: nonce & ((1 << Self::NONCE_BITS) - 1), last_ms: 0, count: 0 }
    }

    /// The next id, for an entry received `now_ms` milliseconds after the epoch.
    pub fn next(&mut self, now_ms: u64) -> EntryId {
        self.last_ms = self.last_ms.max(now_ms);
        self.count += 1;
        let count = u128::from(self.count & ((1 << Self::COUNT_BITS) - 1));
        let random = u128::from(self.nonce) << Self::COUNT_BITS | count;
        EntryId(Repr::Ulid(Ulid::from_parts(self.last_ms, random).0))
    }
}

// === impl SessionId ===

impl SessionId {
    const PREFIX: &'static str = "cantina-session-";
    const FORMAT: &'static str = "%Y%m%d-%H%M%S";

    /// The name of the `number`th session (from 1) begun in the second `started`.
    pub fn new(started: NaiveDateTime, number: u32) -> Self {
        let time = started.format(Self::FORMAT);
        let prefix = Self::PREFIX;
        Self(match number {
            0 | 1 => format!("{prefix}{time}").into(),
            _ => format!("{prefix}{time}-{number}").into(),
        })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When it began, in the local time of the machine it ran on, and its
    /// number among those of the same second.
    pub fn started(&self) -> (NaiveDateTime, u32) {
        parse_session(&self.0).expect("a session id has its shape from construction")
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for SessionId {
    type Err = ParseSessionIdError;

    fn from_str(text: &str) -> Result<Self, ParseSessionIdError> {
        match parse_session(text) {
            Some((started, number)) if Self::new(started, number).as_str() == text => {
                Ok(Self(text.into()))
            }
            _ => Err(ParseSessionIdError(text.chars().take(80).collect())),
        }
    }
}

fn parse_session(text: &str) -> Option<(NaiveDateTime, u32)> {
    let rest = text.strip_prefix(SessionId::PREFIX)?;
    let time = rest.get(..15)?;
    let started = NaiveDateTime::parse_from_str(time, SessionId::FORMAT).ok()?;
    match rest.get(15..)?.strip_prefix('-') {
        Some(number) => Some((started, number.parse().ok()?)),
        None if rest.len() == 15 => Some((started, 1)),
        None => None,
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ParseSessionIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no session: expected cantina-session-YYYYmmdd-HHMMSS", self.0)
    }
}

impl std::error::Error for ParseSessionIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_whatever_the_clock_does() {
        let mut ids = EntryIds::new(u64::MAX);
        let mut last = ids.next(5);
        for now in [5, 5, 3, 9, 0, 9, 10] {
            let next = ids.next(now);
            assert!(next > last && next.to_string() > last.to_string());
            last = next;
        }
    }

    #[test]
    fn a_given_id_reads_back_as_it_was_given() {
        for text in ["a", "6f1c2d3e-0000-4000-8000-000000000001", "01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            assert_eq!(text.parse::<EntryId>().unwrap().to_string(), text);
        }
        // A lower-case ULID is some emitter's own text.
        let lower = "01arz3ndektsv4rrffq69g5fav";
        assert_eq!(lower.parse::<EntryId>().unwrap().to_string(), lower);
    }

    #[test]
    fn an_unusable_id_is_refused() {
        for text in ["", "a b", "ä", "a\"b", &"x".repeat(65)] {
            assert!(text.parse::<EntryId>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_exact_shape_is_a_session() {
        for text in ["cantina-session-20261122-160357", "cantina-session-20261122-160357-2"] {
            assert_eq!(text.parse::<SessionId>().unwrap().as_str(), text);
        }
        for text in [
            "",
            "..",
            "cantina-session-20261122-160357-1",
            "cantina-session-20261122-160357-",
            "cantina-session-20261122-160357-02",
            "cantina-session-20261122-160357.log",
            "cantina-session-20261332-160357",
            "cantina-session-20261122-160357/../x",
        ] {
            assert!(text.parse::<SessionId>().is_err(), "{text}");
        }
    }
}

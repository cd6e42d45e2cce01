//! Times as the wire and the files write them.

use chrono::{DateTime, SecondsFormat, Utc};

/// A point in time, in UTC.
pub type Timestamp = DateTime<Utc>;

/// RFC 3339 in UTC with microseconds: `2026-11-22T16:04:22.123456Z`.
pub fn format_timestamp(timestamp: &Timestamp) -> String {
    timestamp.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The time `seconds` after the epoch, if it lies in the years 1 to 9999.
///
/// ```
/// use log_entry::{format_timestamp, timestamp_from_epoch};
///
/// let time = timestamp_from_epoch(1_750_167_431.272_728_2).unwrap();
/// assert_eq!(format_timestamp(&time), "2025-06-17T13:37:11.272728Z");
/// assert_eq!(timestamp_from_epoch(f64::NAN), None);
/// ```
pub fn timestamp_from_epoch(seconds: f64) -> Option<Timestamp> {
    const YEAR_1: f64 = -62_135_596_800.0;
    const YEAR_10000: f64 = 253_402_300_800.0;
    if !(YEAR_1..YEAR_10000).contains(&seconds) {
        return None;
    }
    // The range check above keeps the product far inside an i64.
    #[expect(clippy::cast_possible_truncation)]
    let micros = (seconds * 1e6).round() as i64;
    DateTime::from_timestamp_micros(micros)
}

/// Serde for a [`Timestamp`] with exactly six decimals.
pub(crate) mod micros {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Timestamp, format_timestamp};

    pub(crate) fn serialize<S: Serializer>(time: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&format_timestamp(time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(from)
    }
}

//! An event that should be an entry of another instance.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bus::{EVENT_ID, Event, ORIGIN};
use chrono::Datelike as _;
use log_entry::{Emitter, LogEntry, Origin, Record, Service, Timestamp};
use logging_api::{ENTRY_NUMBER, LOG_ENTRY};

use crate::origin::is_origin;

/// An entry of another instance.
#[derive(Debug)]
pub(super) struct Foreign<'e> {
    /// The instance.
    pub(super) origin: &'e str,
    /// Its number among those that the instance published, if they have one.
    pub(super) number: Option<u64>,
    pub(super) entry: LogEntry,
}

/// Why an event is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is of this very instance.
    Echo,
    /// It is too large, with this many bytes.
    Oversized(usize),
    /// It is something else, as is said.
    Malformed(String),
}

/// The largest entry, as JSON.
const BYTES_MAX: usize = 4 << 20;
/// The longest of the names that tables are kept by.
const NAME_BYTES_MAX: usize = 1024;
/// The years that RFC 3339 can write. Further ones are also where a time cannot
/// be written in every zone.
const YEARS: RangeInclusive<i32> = 1..=9999;

// === impl Foreign ===

impl<'e> Foreign<'e> {
    /// Reads `event`, for the instance `ours`.
    pub(super) fn read(event: &'e Event, ours: &str) -> Result<Self, Unusable> {
        let origin = event.headers.get(ORIGIN).ok_or_else(|| malformed("it has no origin"))?;
        if origin == ours {
            return Err(Unusable::Echo);
        }
        if !is_origin(origin) {
            return Err(malformed("its origin is no name of an instance"));
        }
        if event.payload.len() > BYTES_MAX {
            return Err(Unusable::Oversized(event.payload.len()));
        }
        let number = event.headers.get(ENTRY_NUMBER).map(str::parse).transpose();
        let number = number.map_err(|_| malformed("its number is none"))?;
        let entry = LOG_ENTRY
            .decode(event)
            .map_err(|error| malformed(&format!("it is no entry: {}", error.source)))?;
        let foreign = Self { origin, number, entry };
        foreign.check(event).map_err(malformed)?;
        Ok(foreign)
    }

    fn check(&self, event: &Event) -> Result<(), &'static str> {
        let LogEntry { entry_id, host, service, service_key, logger, origin, .. } = &self.entry;
        let LogEntry { timestamp, received_at, .. } = self.entry;
        let id = event.headers.get(EVENT_ID);
        if id.is_some_and(|id| id.parse().as_ref() != Ok(entry_id)) {
            return Err("its id and the event's are not the same");
        }
        if origin.as_ref().is_some_and(|origin| *origin.id != *self.origin) {
            return Err("it is from another instance than the event");
        }
        if [&**host, &**service, &**service_key, logger]
            .iter()
            .any(|name| name.len() > NAME_BYTES_MAX)
        {
            return Err("one of its names has more than 1024 bytes");
        }
        let there = origin.as_ref().map_or(received_at, |origin| origin.received_at);
        if [timestamp, received_at, there].iter().any(|time| !YEARS.contains(&time.year())) {
            return Err("one of its times is not in the years 1 to 9999");
        }
        Ok(())
    }

    /// The record of it, which arrived at `received_at` from `origin`.
    pub(super) fn into_record(self, origin: Arc<str>, received_at: Timestamp) -> Record {
        let Self { number, entry, .. } = self;
        let emitter = Emitter { source_id: origin.clone(), seq: number.unwrap_or(entry.seq) };
        let there = || {
            Box::new(Origin {
                id: origin,
                session_id: entry.session_id,
                seq: entry.seq,
                received_at: entry.received_at,
            })
        };
        let mut record = Record::new(entry.timestamp, entry.severity, entry.logger, entry.message);
        record.received_at = received_at;
        record.service = Some(Service::new(entry.service_key, entry.service));
        record.entry_id = Some(entry.entry_id);
        record.emitter = Some(emitter);
        record.host = Some(entry.host);
        record.origin = Some(entry.origin.unwrap_or_else(there));
        record.source = entry.source;
        record.exception = entry.exception;
        record.fields = entry.fields;
        record
    }
}

fn malformed(why: &str) -> Unusable {
    Unusable::Malformed(why.to_owned())
}

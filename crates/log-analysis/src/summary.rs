//! The counts of a session.

use std::collections::BTreeMap;
use std::sync::Arc;

use log_entry::{Level, LogEntry, Timestamp};

/// How many entries of which level and service there are. Its memory grows
/// with the number of services, not with that of entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries, without repeats.
    pub entries: u64,
    /// Further occurrences of them.
    pub repeats: u64,
    /// Entries by level.
    pub by_level: BTreeMap<Level, u64>,
    /// Entries by the key of their service.
    pub by_service: BTreeMap<Arc<str>, u64>,
    /// The earliest time of an entry, by its emitter's clock.
    pub first: Option<Timestamp>,
    /// The latest time of an entry, by its emitter's clock.
    pub last: Option<Timestamp>,
}

impl Summary {
    /// Takes an entry in, with the repeats it carries.
    pub fn add(&mut self, entry: &LogEntry) {
        self.entries += 1;
        self.repeats += entry.repeats;
        *self.by_level.entry(entry.level).or_default() += 1;
        *self.by_service.entry(entry.service_key.clone()).or_default() += 1;
        let time = entry.timestamp;
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
    }

    /// Takes in a further occurrence of an entry that was taken in before.
    pub fn add_repeat(&mut self) {
        self.repeats += 1;
    }

    /// Entries at ERROR and above.
    pub fn errors(&self) -> u64 {
        self.by_level.range(Level::Error..).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use log_entry::{EntryIds, Record, ServiceNames, Stamp, timestamp_from_epoch};

    use super::*;

    fn entry(seconds: f64, level: Level, logger: &str) -> LogEntry {
        let time = timestamp_from_epoch(seconds).unwrap();
        let stamp = Stamp {
            seq: 1,
            entry_id: EntryIds::new(1).next(1),
            service: ServiceNames::default().of(logger),
            session_id: "cantina-session-20261122-160357".parse().unwrap(),
            host: "r3x".into(),
        };
        LogEntry::new(Record::new(time, level, logger, "x"), stamp)
    }

    #[test]
    fn counts_add_up() {
        let mut summary = Summary::default();
        summary.add(&entry(20.0, Level::Info, "cantina_os.cli"));
        summary.add(&entry(10.0, Level::Error, "cantina_os.gpt_service"));
        summary.add(&entry(30.0, Level::Critical, "cantina_os.cli"));
        summary.add_repeat();
        assert_eq!((summary.entries, summary.repeats, summary.errors()), (3, 1, 2));
        assert_eq!(summary.by_level.values().sum::<u64>(), summary.entries);
        assert_eq!(summary.by_service.values().sum::<u64>(), summary.entries);
        assert_eq!(summary.by_service["cli"], 2);
        assert_eq!(summary.first, timestamp_from_epoch(10.0));
        assert_eq!(summary.last, timestamp_from_epoch(30.0));
    }
}

//! Making an entry small enough for where it is going.

use crate::LogEntry;

/// The longest text that is left in an entry that has to be cut, in bytes.
const TEXT_MAX: usize = 64 << 10;
/// The shortest that is tried.
const TEXT_MIN: usize = 64;

impl LogEntry {
    /// The entry with its texts cut until its JSON has no more than `bytes_max`
    /// bytes, if that can be done. Where something is missing it says so; the
    /// whole is in the session record.
    ///
    /// ```
    /// # use log_entry::{EntryIds, Level, Record, Service, Stamp};
    /// use log_entry::LogEntry;
    ///
    /// # let now = log_entry::timestamp_from_epoch(1_750_000_000.0).unwrap();
    /// # let stamp = Stamp {
    /// #     seq: 1,
    /// #     entry_id: EntryIds::new(7).next(1_750_000_000_000),
    /// #     service: Service::new("cli", "CLI"),
    /// #     session_id: "cantina-session-20261122-160357".parse()?,
    /// #     host: "r3x".into(),
    /// # };
    /// let entry = LogEntry::new(Record::new(now, Level::Info, "cli", "x".repeat(1000)), stamp);
    /// let cut = entry.cut(1000).expect("there is room for some of it");
    /// assert!(cut.to_json().len() <= 1000);
    /// assert!(cut.message.ends_with("x… [488 bytes more in the session record]"));
    /// assert!(entry.cut(100).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cut(&self, bytes_max: usize) -> Option<Self> {
        let lengths = std::iter::successors(Some(TEXT_MAX), |length| Some(length / 2));
        let mut cuts = lengths.take_while(|&length| length >= TEXT_MIN).map(|max| self.cut_to(max));
        cuts.find(|cut| cut.to_json().len() <= bytes_max)
    }

    /// The entry with no text longer than `text_max`, but for a note.
    fn cut_to(&self, text_max: usize) -> Self {
        let mut cut = self.clone();
        cut_text(&mut cut.message, text_max);
        if let Some(exception) = &mut cut.exception {
            cut_text(&mut exception.traceback, text_max);
            exception.message.iter_mut().for_each(|message| cut_text(message, text_max));
        }
        let fields = serde_json::to_vec(&cut.fields).expect("the keys of fields are text");
        if fields.len() > text_max {
            cut.fields.clear();
            cut.fields.insert("fields_cut".into(), true.into());
        }
        cut
    }
}

/// Leaves the first `max` bytes of `text`, or a few less, and says how many are
/// missing.
pub fn cut_text(text: &mut String, max: usize) {
    if text.len() > max {
        let end = (0..=max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let rest = text.len() - end;
        text.truncate(end);
        *text = format!("{text}… [{rest} bytes more in the session record]");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{EntryIds, Exception, Level, Record, Service, Stamp, timestamp_from_epoch};

    fn entry(message: String, traceback: String, field: String) -> LogEntry {
        let now = timestamp_from_epoch(1_750_000_000.0).unwrap();
        let mut record = Record::new(now, Level::Error, "a", message);
        record.exception = Some(Exception { traceback, ..Exception::default() });
        record.fields.insert("field".into(), field.into());
        let stamp = Stamp {
            seq: 1,
            entry_id: EntryIds::new(7).next(1_750_000_000_000),
            service: Service::new("a", "A"),
            session_id: "cantina-session-20261122-160357".parse().unwrap(),
            host: "r3x".into(),
        };
        LogEntry::new(record, stamp)
    }

    #[test]
    fn an_entry_that_fits_once_its_long_text_is_cut_keeps_the_others() {
        let cut = entry("ä".repeat(1 << 19), "b".repeat(50_000), "c".into()).cut(1 << 20).unwrap();
        assert_eq!(
            cut.message.len(),
            TEXT_MAX + "… [983040 bytes more in the session record]".len()
        );
        assert_eq!(cut.exception.unwrap().traceback.len(), 50_000);
        assert_eq!(cut.fields["field"], "c");
    }

    proptest! {
        #[test]
        fn what_is_cut_fits_and_is_the_same_entry(
            message in "[a\u{202e}äx\n]{0,300}",
            traceback in "[a\\\\b\u{1}]{0,300}",
            field in "[a-z]{0,300}",
            times in 1..500_usize,
            bytes_max in 300..200_000_usize,
        ) {
            let whole = entry(message.repeat(times), traceback.repeat(times), field);
            if let Some(cut) = whole.cut(bytes_max) {
                prop_assert!(cut.to_json().len() <= bytes_max);
                prop_assert_eq!(&cut.entry_id, &whole.entry_id);
                prop_assert_eq!((cut.seq, &cut.logger), (whole.seq, &whole.logger));
            } else {
                // All that has a bound of its own does not take more than this.
                prop_assert!(bytes_max < 2500, "{bytes_max}");
            }
        }
    }
}

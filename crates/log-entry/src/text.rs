//! An entry as people read it.

use std::fmt::{self, Write as _};

use chrono::{SecondsFormat, TimeZone};

use crate::{LogEntry, Timestamp, is_unsafe};

/// Displays an entry as a line of the readable session file:
///
/// ```text
/// [2026-11-22T16:04:22.123456+00:00] INFO     AI Assistant         Received API response
/// ```
///
/// Further lines of the message, and the traceback, follow indented, so that a
/// line that starts with `[` is always a new entry. Control characters are
/// shown as escapes. No line break at the end.
#[derive(Debug, Clone, Copy)]
pub struct TextLine<'a, Z> {
    entry: &'a LogEntry,
    zone: &'a Z,
    with_host: bool,
}

/// Displays how often an entry happened again:
/// `… repeated 14 times until 2026-11-22T16:04:22.123456+00:00`.
#[derive(Debug, Clone, Copy)]
pub struct RepeatNote<'a, Z> {
    /// How often it happened again.
    pub count: u64,
    /// When it happened last.
    pub last: Timestamp,
    /// The zone in which to show that.
    pub zone: &'a Z,
}

const INDENT: &str = "    ";

// === impl TextLine ===

impl<'a, Z: TimeZone> TextLine<'a, Z> {
    /// `entry`, with its time in `zone`.
    pub const fn new(entry: &'a LogEntry, zone: &'a Z) -> Self {
        Self { entry, zone, with_host: false }
    }

    /// The same line, but if another logging service took the entry in first,
    /// the service is followed by the host: `AI Assistant @r3x`.
    #[must_use]
    pub const fn with_host(self) -> Self {
        Self { with_host: true, ..self }
    }
}

impl<Z: TimeZone<Offset: fmt::Display>> fmt::Display for TextLine<'_, Z> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entry, zone, with_host } = self;
        write!(f, "[{}] {:8} ", local(&entry.timestamp, *zone), entry.level)?;
        if *with_host && entry.origin.is_some() {
            write_padded(f, &format!("{} @{}", entry.service, entry.host), 20)?;
        } else {
            write_padded(f, &entry.service, 20)?;
        }
        f.write_char(' ')?;
        write_lines(f, &entry.message)?;
        if let Some(exception) = &entry.exception {
            f.write_char('\n')?;
            f.write_str(INDENT)?;
            write_lines(f, exception.traceback.trim_end_matches('\n'))?;
        }
        Ok(())
    }
}

// === impl RepeatNote ===

impl<Z: TimeZone<Offset: fmt::Display>> fmt::Display for RepeatNote<'_, Z> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = if self.count == 1 { "time" } else { "times" };
        write!(f, "… repeated {} {times} until {}", self.count, local(&self.last, self.zone))
    }
}

fn local<Z: TimeZone<Offset: fmt::Display>>(time: &Timestamp, zone: &Z) -> String {
    time.with_timezone(zone).to_rfc3339_opts(SecondsFormat::Micros, false)
}

fn write_padded(f: &mut fmt::Formatter<'_>, text: &str, width: usize) -> fmt::Result {
    write_escaped(f, text)?;
    (text.chars().count()..width).try_for_each(|_| f.write_char(' '))
}

/// Writes `text` with every line after the first indented.
fn write_lines(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            f.write_char('\n')?;
            f.write_str(INDENT)?;
        }
        write_escaped(f, line.strip_suffix('\r').unwrap_or(line))?;
    }
    Ok(())
}

fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.find(|c| c != '\t' && is_unsafe(c)) {
        f.write_str(&rest[..at])?;
        let c = rest[at..].chars().next().expect("`find` returned the start of a character");
        write!(f, "\\u{:04x}", u32::from(c))?;
        rest = &rest[at + c.len_utf8()..];
    }
    f.write_str(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EntryIds, Level, Origin, Record, ServiceNames, Stamp, timestamp_from_epoch};

    #[test]
    fn the_host_is_named_where_it_is_asked_for_and_not_ours() {
        let now = timestamp_from_epoch(1000.0).unwrap();
        let record = Record::new(now, Level::Info, "cantina_os.gpt_service", "ready");
        let session_id: crate::SessionId = "cantina-session-20261122-160357".parse().unwrap();
        let stamp = Stamp {
            seq: 1,
            entry_id: EntryIds::new(1).next(1),
            service: ServiceNames::default().of("cantina_os.gpt_service"),
            session_id: session_id.clone(),
            host: "r3x".into(),
        };
        let ours = LogEntry::new(record, stamp);
        let origin = Origin { id: "r3x-5f3a9c12".into(), session_id, seq: 7, received_at: now };
        let theirs = LogEntry { origin: Some(Box::new(origin)), ..ours.clone() };
        let zone = chrono::Utc;
        let plain = "[1970-01-01T00:16:40.000000+00:00] INFO     AI Assistant         ready";
        assert_eq!(TextLine::new(&ours, &zone).with_host().to_string(), plain);
        assert_eq!(TextLine::new(&theirs, &zone).to_string(), plain);
        assert_eq!(
            TextLine::new(&theirs, &zone).with_host().to_string(),
            plain.replace("AI Assistant     ", "AI Assistant @r3x"),
        );
    }
}

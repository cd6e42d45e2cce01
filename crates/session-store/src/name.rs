//! The names of the files of a session; nothing else in a directory is ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use log_entry::SessionId;

use crate::{Error, file};

/// What a file of a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The record, `.jsonl`.
    Record,
    /// Its readable twin, `.log`.
    Twin,
    /// An empty file that keeps the session from being removed, `.pin`.
    Pin,
}

/// `<id>.jsonl`, `<id>.0001.jsonl`, …
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) session: SessionId,
    pub(crate) segment: u32,
    pub(crate) part: Part,
}

/// The files of one session.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Numbers of the segments of the record, rising.
    pub(crate) segments: Vec<u32>,
    /// Numbers of the segments of the twin, rising.
    pub(crate) twins: Vec<u32>,
    pub(crate) is_pinned: bool,
    /// Of record and twin.
    pub(crate) bytes: u64,
}

// === impl Name ===

impl Name {
    pub(crate) fn new(session: &SessionId, segment: u32, part: Part) -> Self {
        Self { session: session.clone(), segment, part }
    }

    /// The name, if `text` is exactly one of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (stem, extension) = text.rsplit_once('.')?;
        let part = match extension {
            "jsonl" => Part::Record,
            "log" => Part::Twin,
            "pin" => Part::Pin,
            _ => return None,
        };
        let (session, segment) = match stem.split_once('.') {
            Some((session, segment)) => (session, segment.parse().ok()?),
            None => (stem, 0),
        };
        let name = Self { session: session.parse().ok()?, segment, part };
        (name.to_string() == text && (segment == 0 || part != Part::Pin)).then_some(name)
    }

    pub(crate) fn within(&self, directory: &Path) -> PathBuf {
        directory.join(self.to_string())
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let extension = match self.part {
            Part::Record => "jsonl",
            Part::Twin => "log",
            Part::Pin => "pin",
        };
        match self.segment {
            0 => write!(f, "{}.{extension}", self.session),
            number => write!(f, "{}.{number:04}.{extension}", self.session),
        }
    }
}

/// The sessions of `directory`, by their files alone. A session without a
/// record is none.
pub(crate) fn find(directory: &Path) -> Result<BTreeMap<SessionId, Files>, Error> {
    let listed = file::list(directory)
        .map_err(|source| Error::Read { path: directory.to_owned(), source })?;
    let mut sessions = BTreeMap::<SessionId, Files>::new();
    for file in listed {
        let Some(name) = file.name.to_str().and_then(Name::parse) else { continue };
        let files = sessions.entry(name.session).or_default();
        match name.part {
            Part::Record => files.segments.push(name.segment),
            Part::Twin => files.twins.push(name.segment),
            Part::Pin => files.is_pinned = true,
        }
        files.bytes += file.bytes;
    }
    sessions.retain(|_, files| !files.segments.is_empty());
    for files in sessions.values_mut() {
        files.segments.sort_unstable();
        files.twins.sort_unstable();
    }
    Ok(sessions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_are_ours() {
        for text in [
            "cantina-session-20261122-160357.jsonl",
            "cantina-session-20261122-160357-2.log",
            "cantina-session-20261122-160357.0001.jsonl",
            "cantina-session-20261122-160357.12345.log",
            "cantina-session-20261122-160357.pin",
        ] {
            assert_eq!(Name::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "cantina-session-20261122-160357",
            "cantina-session-20261122-160357.0000.jsonl",
            "cantina-session-20261122-160357.1.jsonl",
            "cantina-session-20261122-160357.00001.jsonl",
            "cantina-session-20261122-160357.+001.jsonl",
            "cantina-session-20261122-160357.0001.pin",
            "cantina-session-20261122-160357.0001.0002.jsonl",
            "cantina-session-20261122-160357.jsonl.bak",
            "cantina-session-20261122-160357-1.jsonl",
            "holiday.log",
            ".jsonl",
        ] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }
}

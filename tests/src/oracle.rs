//! Session files, read without the code that wrote them: as `docs/session-files.md`
//! describes them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A session: every line of its record, and its readable twin.
#[derive(Debug)]
pub struct Session {
    /// The path of its first record file.
    pub path: PathBuf,
    /// The lines of the record.
    pub lines: Vec<Value>,
    /// The twin.
    pub twin: String,
}

/// Reads the session of `directory` that was begun last, all segments of it.
///
/// # Panics
///
/// If there is none, or a line is not as it was written.
pub fn read_latest(directory: &Path) -> Session {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .expect("the directory is there")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .filter(|name| name.strip_suffix(".jsonl").is_some())
        .collect();
    names.sort();
    let stem = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let latest = stem(names.last().expect("there is a session"));
    let segments: Vec<_> = names.iter().filter(|name| stem(name) == latest).collect();
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).expect("it is text");
    let mut lines = Vec::new();
    let mut twin = String::new();
    // `….jsonl` is the first segment, and sorts after `….0001.jsonl`.
    let ordered = segments.iter().rev().take(1).chain(segments.iter().take(segments.len() - 1));
    for name in ordered {
        let text = read(name);
        assert!(text.ends_with('\n'), "{name} ends with a whole line");
        lines.extend(text.lines().map(checked));
        twin.push_str(&read(&name.replace(".jsonl", ".log")));
    }
    Session { path: directory.join(format!("{latest}.jsonl")), lines, twin }
}

/// The entries of all sessions of `directory`, in the order of the sessions
/// and in each as written. A line that a killed process left unfinished must be
/// marked by the one that followed it.
///
/// # Panics
///
/// If there is damage.
pub fn read_entries(directory: &Path) -> Vec<Value> {
    let mut entries = Vec::new();
    each_entry(directory, |entry| entries.push(entry));
    entries
}

/// Calls `each` with what [`read_entries`] gives, where that is too much to
/// have at once.
///
/// # Panics
///
/// If there is damage.
pub fn each_entry(directory: &Path, mut each: impl FnMut(Value)) {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .expect("the directory is there")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .filter(|name| name.strip_suffix(".jsonl").is_some())
        .collect();
    // `….jsonl` is the first segment, `….0001.jsonl` the second; `…-2.jsonl` a
    // session of its own.
    names.sort_by_key(|name| {
        let mut parts = name.trim_end_matches(".jsonl").splitn(2, '.');
        let (stem, segment) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        (stem.to_owned(), segment.to_owned())
    });
    for name in names {
        let text = std::fs::read(directory.join(&name)).expect("it can be read");
        let mut lines = text.split(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            let text = String::from_utf8_lossy(line);
            let is_whole = text.ends_with("\"}") && text.contains(",\"crc\":\"");
            if is_whole {
                let line = checked(&text);
                if line["kind"] == "entry" {
                    each(line);
                }
            } else if !line.is_empty() {
                let next = lines.peek().map(|next| String::from_utf8_lossy(next));
                let is_marked = next.is_some_and(|next| next.contains("\"recovered\""));
                assert!(is_marked, "{name}: {text}");
            }
        }
    }
}

/// The object on a line whose checksum holds.
fn checked(line: &str) -> Value {
    let (body, crc) = line.rsplit_once(",\"crc\":\"").unwrap_or_else(|| panic!("no crc: {line}"));
    let sum = format!("{:08x}", crc32c::crc32c(body.as_bytes()));
    assert_eq!(crc, format!("{sum}\"}}"), "the checksum of {line}");
    assert!(line.starts_with("{\"kind\":\""), "{line}");
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

impl Session {
    /// The lines of one kind.
    pub fn kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |line| line["kind"] == kind)
    }

    /// The entries.
    pub fn entries(&self) -> Vec<&Value> {
        self.kind("entry").collect()
    }

    /// Every occurrence in the order of `seq`: entries, and for a repeat the
    /// entry it repeats.
    ///
    /// # Panics
    ///
    /// If a repeat has no entry, or the numbers have a gap.
    pub fn occurrences(&self) -> Vec<&Value> {
        let mut by_id = HashMap::new();
        let mut occurrences = Vec::new();
        for line in &self.lines {
            match line["kind"].as_str() {
                Some("entry") => {
                    by_id.insert(line["entry_id"].as_str(), line);
                    occurrences.push((line["seq"].as_u64(), line));
                }
                Some("repeat") => {
                    occurrences.push((line["seq"].as_u64(), by_id[&line["of"].as_str()]));
                }
                _ => {}
            }
        }
        for (place, (seq, line)) in occurrences.iter().enumerate() {
            assert_eq!(*seq, Some(place as u64 + 1), "a gap before {line}");
        }
        occurrences.into_iter().map(|(_, line)| line).collect()
    }

    /// The occurrences that the process `pid` logged.
    pub fn of_process(&self, pid: u32) -> Vec<&Value> {
        let is_of = |line: &&Value| line["source"]["pid"] == pid;
        self.occurrences().into_iter().filter(is_of).collect()
    }

    /// The ledger at its end.
    ///
    /// # Panics
    ///
    /// If it has no end.
    pub fn ledger(&self) -> &Value {
        let end = self.lines.last().expect("it has lines");
        assert_eq!(end["kind"], "session_end", "{end}");
        &end["ledger"]
    }
}

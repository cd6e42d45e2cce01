//! Asking a running service, over HTTP.

use std::io::{BufRead as _, BufReader, Read};

use anyhow::{Context as _, bail};
use log_entry::{EntryId, LogEntry, Timestamp};
use serde::Deserialize;

/// A running service.
pub(crate) struct Remote {
    base: String,
    agent: ureq::Agent,
}

/// Something that a stream told.
#[derive(Debug)]
pub(crate) enum Told {
    Session(String),
    Entries(Vec<LogEntry>),
    Repeats(Vec<Repeats>),
    Gap(Gap),
}

/// How often an entry has happened again.
#[derive(Debug, Deserialize)]
pub(crate) struct Repeats {
    pub(crate) of: EntryId,
    pub(crate) count: u64,
    pub(crate) last: Timestamp,
}

/// Entries that were not sent.
#[derive(Debug, Deserialize)]
pub(crate) struct Gap {
    pub(crate) reason: String,
    pub(crate) count: u64,
}

#[derive(Debug, Deserialize)]
struct Page {
    entries: Vec<LogEntry>,
}

#[derive(Debug, Deserialize)]
struct Session {
    session_id: String,
}

#[derive(Debug, Deserialize)]
struct Problem {
    detail: Option<String>,
    title: Option<String>,
}

/// Server-sent events, one at a time.
pub(crate) struct Stream {
    lines: std::io::Lines<BufReader<Box<dyn Read>>>,
}

type Query = [(&'static str, String)];

// === impl Remote ===

impl Remote {
    /// The service at `base`, such as `http://127.0.0.1:8000`.
    pub(crate) fn new(base: &str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        Self { base: base.trim_end_matches('/').to_owned(), agent: config.into() }
    }

    /// The latest entries.
    pub(crate) fn entries(&self, query: &Query) -> anyhow::Result<Vec<LogEntry>> {
        let page: Page = serde_json::from_reader(self.get("/api/logs", query)?)
            .context("the answer is not what this program understands")?;
        Ok(page.entries)
    }

    /// Entries as they come.
    pub(crate) fn stream(&self, query: &Query) -> anyhow::Result<Stream> {
        let body: Box<dyn Read> = Box::new(self.get("/api/logs/stream", query)?);
        Ok(Stream { lines: BufReader::new(body).lines() })
    }

    fn get(&self, path: &str, query: &Query) -> anyhow::Result<impl Read + use<>> {
        let url = format!("{}{path}", self.base);
        let request = self.agent.get(&url).query_pairs(query.iter().map(|(k, v)| (*k, v.as_str())));
        let response = request
            .call()
            .with_context(|| format!("no service answers at {} (is it running?)", self.base))?;
        let status = response.status();
        let body = response.into_body().into_reader();
        if status.is_success() {
            return Ok(body);
        }
        let problem: Option<Problem> = serde_json::from_reader(body.take(64 << 10)).ok();
        let said = problem.and_then(|problem| problem.detail.or(problem.title));
        bail!("{url}: {}", said.unwrap_or_else(|| status.to_string()))
    }
}

// === impl Stream ===

impl Iterator for Stream {
    type Item = anyhow::Result<Told>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut event, mut data) = (String::new(), String::new());
        loop {
            let line = match self.lines.next()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error.into())),
            };
            if let Some(name) = line.strip_prefix("event:") {
                name.trim().clone_into(&mut event);
            } else if let Some(text) = line.strip_prefix("data:") {
                data.push_str(text.strip_prefix(' ').unwrap_or(text));
            } else if line.is_empty() {
                if let Some(told) = told(&event, &data) {
                    return Some(told);
                }
                event.clear();
                data.clear();
            }
        }
    }
}

/// What an event says; nothing for those that this program need not know.
fn told(event: &str, data: &str) -> Option<anyhow::Result<Told>> {
    fn read<'a, T: Deserialize<'a>>(data: &'a str) -> anyhow::Result<T> {
        serde_json::from_str(data).context("an event is not what this program understands")
    }
    Some(match event {
        "session" => read(data).map(|Session { session_id }| Told::Session(session_id)),
        "entry" => read(data).map(Told::Entries),
        "repeat" => read(data).map(Told::Repeats),
        "gap" => read(data).map(Told::Gap),
        _ => return None,
    })
}

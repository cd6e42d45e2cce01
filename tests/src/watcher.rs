//! A dashboard that looks on, as far as server-sent events go.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{JoinHandle, park_timeout};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Cantina, Mark};

/// Reads `/api/logs/stream` of a service until that ends.
pub struct Watcher {
    thread: JoinHandle<Watched>,
    accounted: Arc<AtomicU64>,
}

/// What came, of entries with a [`Mark`].
#[derive(Debug, Default)]
pub struct Watched {
    /// From when each was due until it was here.
    pub delays: Vec<Duration>,
    /// Entries that were not sent, by the reason that was given.
    pub gaps: BTreeMap<String, u64>,
    /// Entries that came after a later one of the same host.
    pub disorder: u64,
    latest: BTreeMap<u32, u64>,
}

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

// === impl Watcher ===

impl Watcher {
    /// Connects, and returns when the stream has begun. Times count from `begin`.
    ///
    /// # Panics
    ///
    /// If nothing answers.
    #[track_caller]
    pub fn start(cantina: &Cantina, begin: Instant) -> Self {
        let url = format!("http://{}/api/logs/stream?recent=0", cantina.http);
        let response = ureq::get(url).call().unwrap_or_else(|error| panic!("the stream: {error}"));
        let mut lines = BufReader::new(response.into_body().into_reader());
        let mut line = String::new();
        lines.read_line(&mut line).expect("the stream begins");
        assert_eq!(line.trim_end(), "event: session");
        let accounted = Arc::new(AtomicU64::new(0));
        let counted = accounted.clone();
        let thread = std::thread::spawn(move || {
            let mut watched = Watched::default();
            let mut event = String::new();
            // It may end in the middle of anything.
            while let Some(line) = next_line(&mut lines) {
                if let Some(name) = line.strip_prefix("event: ") {
                    name.clone_into(&mut event);
                } else if let Some(data) = line.strip_prefix("data: ") {
                    counted.fetch_add(watched.take(&event, data, begin), Ordering::Relaxed);
                }
            }
            watched
        });
        Self { thread, accounted }
    }

    /// Waits until `count` entries have come or were told of as not sent, or
    /// nothing more comes for `patience`.
    pub fn wait_for(&self, count: u64, patience: Duration) {
        let (mut last, mut since) = (0, Instant::now());
        while last < count && since.elapsed() < patience {
            park_timeout(LOOK);
            let now = self.accounted.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
    }

    /// What came until the service ended the stream.
    ///
    /// # Panics
    ///
    /// If something came that cannot be understood.
    #[track_caller]
    pub fn finish(self) -> Watched {
        self.thread.join().expect("the stream can be understood")
    }
}

fn next_line(lines: &mut impl std::io::BufRead) -> Option<String> {
    let mut line = String::new();
    let count = lines.read_line(&mut line).ok()?;
    line.truncate(line.trim_end().len());
    (count > 0).then_some(line)
}

// === impl Watched ===

impl Watched {
    /// Entries that came or were told of as not sent.
    pub fn accounted(&self) -> u64 {
        self.delays.len() as u64 + self.gaps.values().sum::<u64>()
    }

    /// Takes an event in, and says how many entries that accounts for.
    fn take(&mut self, event: &str, data: &str, begin: Instant) -> u64 {
        let before = self.accounted();
        match event {
            "entry" => {
                let now = begin.elapsed();
                Mark::all(data).for_each(|mark| self.note(mark, now));
            }
            "gap" => {
                let gap: Value = serde_json::from_str(data).expect("a gap is JSON");
                let reason = gap["reason"].as_str().expect("a gap has a reason").to_owned();
                *self.gaps.entry(reason).or_default() += gap["count"].as_u64().unwrap_or(0);
            }
            _ => {}
        }
        self.accounted() - before
    }

    fn note(&mut self, mark: Mark, now: Duration) {
        self.delays.push(now.saturating_sub(mark.due));
        let latest = self.latest.entry(mark.host).or_default();
        self.disorder += u64::from(mark.number <= *latest);
        *latest = mark.number.max(*latest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_counted() {
        let mut watched = Watched::default();
        let mut take = |event: &str, data: &str| watched.take(event, data, Instant::now());
        let entry = |n| format!(r#"[{{"seq":1,"message":"host=1 n={n} t=0 ..","repeats":0}}]"#);
        assert_eq!(take("entry", &entry(2)), 1);
        assert_eq!(take("entry", &entry(3)), 1);
        assert_eq!(take("entry", &entry(1)), 1);
        assert_eq!(take("entry", r#"[{"message":"of the service itself"}]"#), 0);
        assert_eq!(take("gap", r#"{"reason":"slow_client","count":7,"after":1}"#), 7);
        assert_eq!((watched.delays.len(), watched.disorder), (3, 1));
        assert_eq!(watched.gaps["slow_client"], 7);
    }
}

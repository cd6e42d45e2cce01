//! Hosts that are only simulated: each publishes its entries as the bridge of a
//! logging service does, on a connection of its own.

use std::fmt::Write as _;
use std::thread::{JoinHandle, park_timeout};
use std::time::{Duration, Instant};

use bus::{Bus, EVENT_ID, Event, ORIGIN};
use chrono::{SecondsFormat, Utc};

/// Hosts that publish at a steady pace.
#[derive(Debug, Clone)]
pub struct Hosts {
    /// The bus, as in the setting.
    pub url: String,
    /// How many.
    pub count: u32,
    /// Entries a second of each.
    pub rate: u32,
    /// How long they log.
    pub seconds: u32,
}

/// Hosts at work.
pub struct AtWork(Vec<JoinHandle<Published>>);

/// What one host has published.
#[derive(Debug, Clone, Copy)]
pub struct Published {
    /// Bytes of its entries as JSON.
    pub bytes: u64,
    /// Calls that failed and were made again.
    pub repeated: u64,
    /// From the first entry to when the bus had taken the last one.
    pub took: Duration,
}

/// Which entry of which host a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The host, from 0.
    pub host: u32,
    /// The entry's number there, from 1.
    pub number: u64,
    /// When it was due, since the beginning that [`Hosts::start`] was given.
    pub due: Duration,
}

/// Between two looks at the clock: a host publishes what has become due.
const TICK: Duration = Duration::from_millis(5);
/// Entries that the bridge of a service publishes at once.
const AT_ONCE: u64 = 256;
const PATIENCE: Duration = Duration::from_mins(1);
/// With this, an entry has some 550 bytes.
const MESSAGE_BYTES: usize = 100;
/// Each with its logger: more than one, since the views limit each by itself.
const SERVICES: [(&str, &str); 20] = [
    ("gpt_service", "AI Assistant"),
    ("deepgram_direct_mic", "Speech Recognition"),
    ("elevenlabs_service", "Speech Synthesis"),
    ("music_controller", "Music Controller"),
    ("eye_light_controller", "Eye Lights"),
    ("mode_manager", "Mode Manager"),
    ("brain_service", "Brain"),
    ("timeline_executor", "Timeline Executor"),
    ("memory_service", "Memory"),
    ("cached_speech_service", "Cached Speech"),
    ("intent_router", "Intent Router"),
    ("command_dispatcher", "Command Dispatcher"),
    ("mode_change_sound", "Mode Change Sound"),
    ("mouse_input", "Mouse Input"),
    ("dj_mode", "DJ Mode"),
    ("cli_service", "CLI"),
    ("debug_service", "Debug"),
    ("web_bridge", "Web Bridge"),
    ("yoda_mode_manager", "Yoda Mode Manager"),
    ("stage_lights", "Stage Lights"),
];

// === impl Hosts ===

impl Hosts {
    /// The entries of one host.
    pub fn entries_each(&self) -> u64 {
        u64::from(self.rate) * u64::from(self.seconds)
    }

    /// The entries of all.
    pub fn entries(&self) -> u64 {
        self.entries_each() * u64::from(self.count)
    }

    /// Starts all of them; their times count from `begin`, and the first entry
    /// is due one period later.
    pub fn start(&self, begin: Instant) -> AtWork {
        let host = |host| {
            let hosts = self.clone();
            std::thread::spawn(move || hosts.publish_all_of(host, begin))
        };
        AtWork((0..self.count).map(host).collect())
    }

    /// What the host calls itself on the bus.
    pub fn origin(host: u32) -> String {
        format!("host{host:02}-{host:08x}")
    }

    fn publish_all_of(&self, host: u32, begin: Instant) -> Published {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let bus = runtime.block_on(bus::connect(&self.url)).expect("the URL can be used");
        let mut published = Published { bytes: 0, repeated: 0, took: Duration::ZERO };
        let mut number = 0;
        while number < self.entries_each() {
            let through = self.due_after(begin.elapsed()).min(number + AT_ONCE);
            if through <= number {
                park_timeout(TICK);
                continue;
            }
            let events: Vec<_> =
                (number + 1..=through).map(|number| self.event(host, number)).collect();
            published.bytes += events.iter().map(|event| event.payload.len() as u64).sum::<u64>();
            published.repeated += runtime.block_on(publish(&*bus, &events));
            number = through;
        }
        published.took = begin.elapsed();
        runtime.block_on(bus.close()).expect("what was published is on the bus");
        published
    }

    /// How many entries a host has after `time`.
    fn due_after(&self, time: Duration) -> u64 {
        let due = time.as_micros() * u128::from(self.rate) / 1_000_000;
        u64::try_from(due).unwrap_or(u64::MAX).min(self.entries_each())
    }

    fn event(&self, host: u32, number: u64) -> Event {
        let due = Duration::from_micros(number * 1_000_000 / u64::from(self.rate));
        let id = format!("01KAPT2F4V{host:04}{number:012}");
        Event::new("logging.entry", json(Mark { host, number, due }, &id))
            .with_header(EVENT_ID, id)
            .with_header(ORIGIN, Self::origin(host))
            .with_header("Cantina-Entry-Number", number.to_string())
    }
}

/// Publishes all of them, whatever that takes, and says how often it took more
/// than one call.
async fn publish(bus: &dyn Bus, events: &[Event]) -> u64 {
    let (start, mut rest, mut repeated) = (Instant::now(), events, 0);
    while let Err(error) = bus.publish_all(rest).await {
        let has_time = error.source.is_temporary() && start.elapsed() < PATIENCE;
        assert!(has_time, "{error}: {}: {:?}", error.source, bus.state().trouble);
        rest = &rest[error.taken..];
        repeated += 1;
        tokio::task::yield_now().await;
    }
    repeated
}

/// An entry as `docs/wire.md` describes it.
fn json(mark: Mark, id: &str) -> String {
    let Mark { host, number, due } = mark;
    let place = usize::try_from(number).expect("it is a count") % SERVICES.len();
    let (key, name) = SERVICES[place];
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let mut message = format!("host={host} n={number} t={} ", due.as_micros());
    let padding = MESSAGE_BYTES.saturating_sub(message.len());
    write!(message, "{:.<padding$}", "").expect("a string takes everything");
    format!(
        r#"{{"seq":{number},"entry_id":"{id}","timestamp":"{now}","received_at":"{now}","level":"INFO","severity":20,"service":"{name}","service_key":"{key}","logger":"cantina_os.{key}","message":"{message}","session_id":"cantina-session-20261122-1603{host:02}","host":"host{host:02}","source":{{"file":"{key}.py","line":412,"function":"_run","thread":"MainThread","pid":811}},"repeats":0}}"#
    )
}

// === impl AtWork ===

impl AtWork {
    /// Waits until each has published everything.
    ///
    /// # Panics
    ///
    /// If one could not.
    #[track_caller]
    pub fn finish(self) -> Vec<Published> {
        let join = |host: JoinHandle<_>| host.join().expect("a host publishes everything");
        self.0.into_iter().map(join).collect()
    }
}

// === impl Mark ===

impl Mark {
    /// The mark at the beginning of `text`.
    pub fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut number = |name| words.next()?.strip_prefix(name)?.parse::<u64>().ok();
        let (host, place) = (number("host=")?, number("n=")?);
        let due = Duration::from_micros(number("t=")?);
        Some(Self { host: u32::try_from(host).ok()?, number: place, due })
    }

    /// Every mark in the JSON of entries, in order.
    pub fn all(json: &str) -> impl Iterator<Item = Self> {
        json.split("\"message\":\"").skip(1).filter_map(Self::read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        Hosts { url: "memory:".to_owned(), count: 2, rate: 1000, seconds: 2 }
    }

    #[test]
    fn an_entry_has_its_mark_and_some_five_hundred_bytes() {
        let event = hosts().event(3, 41);
        let text = std::str::from_utf8(&event.payload).unwrap();
        let mark = Mark { host: 3, number: 41, due: Duration::from_millis(41) };
        assert_eq!(Mark::all(text).collect::<Vec<_>>(), [mark]);
        assert!((500..600).contains(&text.len()), "{}: {text}", text.len());
        let entry: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(entry["entry_id"], event.headers.get(EVENT_ID).unwrap());
        assert_eq!(Mark::read("host=3 n=x t=1 ."), None);
    }

    #[test]
    fn entries_are_due_at_a_steady_pace() {
        let hosts = hosts();
        let due = |micros| hosts.due_after(Duration::from_micros(micros));
        assert_eq!([due(999), due(1000), due(10_500), due(9_000_000)], [0, 1, 10, 2000]);
        assert_eq!(hosts.entries(), 4000);
    }
}

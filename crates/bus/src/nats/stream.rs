//! Events that the servers keep: one JetStream stream.
//!
//! # A connection of its own
//!
//! Events for the stream travel on a connection besides the one for everything else, and that connection is never mended:
//! when it is lost, what has not left this process is forgotten, and another connection begins with nothing in it.
//! Only so the order holds. A client that reconnects sends what it still holds; but the events before those may have been lost with the old connection, and when they are repeated they are stored after them.
//! Before the first event of a connection the stream is looked at, and made if it is missing: the servers may be others, or have lost what they stored.
//!
//! # Order
//!
//! Events of one `publish_all` are sent in order, at most [`WINDOW`] of them unconfirmed, and none any more when the oldest has waited for [`STALL`]: the servers may be choosing another leader, and one that takes the later events may never have seen the earlier ones.
//! A stream with replicas gets them in bursts: the next begins when the one before is confirmed to its last event.
//! A leader that hands over drops what is on its way to it, and whatever is sent while the confirmations of earlier events are still due finds the new leader instead.
//! Whoever repeats begins with the first that was not confirmed; what was stored nevertheless is dropped there by its id.
//! What remains possible:
//!
//! * A leader that hands over just while a burst is being sent may drop its first events while the next leader takes the rest.
//! * An event that the stream refuses by itself (larger than the stream takes, or than is free in one that is full) does not hold up those already sent after it.
//! * An event repeated later than the stream's duplicate window is stored twice.
//!
//! # What this does without
//!
//! The library's `jetstream::Context` starts a task of its own and leaves a place in a table for every answer that does not come.
//! So the questions of the JetStream API are asked here by hand, with the library's types for what is asked.

mod api;
mod connection;
mod ids;
mod pull;
mod reader;

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_nats::jetstream::stream;
use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

pub(super) use self::connection::Dial;
use self::{
    api::{PublishAnswer, Stored, StreamInfo, code},
    connection::{Answer, Connection, Fault},
};
use super::{
    connection::jittered,
    header_map,
    options::{Storage, StreamOptions},
    payload_max,
    subject::{Subjects, subject_of},
};
use crate::{Durable, Error, Event, PublishAllError, Reader, StoreMark};

/// How long an event may wait for its confirmation, and any question for its answer.
/// While there is no leader nobody says so if the topic has live subscribers; this is then what passes until the event is sent again.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(3);

/// Events that may be unconfirmed at once.
const WINDOW: usize = 256;

/// An event that has waited for its confirmation this long holds up those after it.
const STALL: Duration = Duration::from_secs(1);

/// How long connecting and looking at the stream may take together.
const OPEN_MAX: Duration = Duration::from_millis(2500);

/// Between two attempts to connect, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// Keeps events of some topics, confirms each, and gives them to readers that were away.
pub(super) struct Stream {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

/// What the stream, its readers and the task that connects have in common.
struct Shared {
    options: StreamOptions,
    runtime: Handle,
    phase: watch::Sender<Phase>,
    topics: Subjects,
    /// What the stream really keeps: as the servers say, or as it was asked for until they said.
    kept: RwLock<Vec<String>>,
    /// Something about the stream that is not as it was asked for, but does no harm.
    oddity: Mutex<Option<String>>,
    confirmed: Mutex<Option<StoreMark>>,
}

/// How far it is with the connection.
#[derive(Clone)]
enum Phase {
    /// Connecting; with what was wrong the last time.
    Opening(Option<Fault>),
    Up(Arc<Open>),
    Down(Fault),
    Closed,
}

/// A connection, and the stream as it was found through it.
struct Open {
    connection: Arc<Connection>,
    store: StoreMark,
    message_max: Option<usize>,
    is_replicated: bool,
    /// The last number that the stream is known to have given.
    last: AtomicU64,
}

// === impl Stream ===

impl Stream {
    /// Begins to connect, on `runtime`, and goes on for as long as this lives. Never waits.
    pub(super) fn new(dial: Dial, runtime: Handle, options: StreamOptions) -> Self {
        let shared = Arc::new(Shared {
            kept: RwLock::new(wanted_subjects(&options)),
            options,
            runtime,
            phase: watch::Sender::new(Phase::Opening(None)),
            topics: Subjects::default(),
            oddity: Mutex::default(),
            confirmed: Mutex::default(),
        });
        let keeping = shared.runtime.spawn(keep(Arc::downgrade(&shared), dial));
        let keeper = keeping.abort_handle();
        Self { shared, keeper }
    }

    /// Whether events of `topic` are kept.
    pub(super) fn keeps(&self, topic: &str) -> bool {
        let subject = subject_of(topic);
        self.shared.kept.read().iter().any(|kept| covers(kept, &subject))
    }

    /// Stores one event.
    pub(super) async fn publish(&self, event: &Event) -> Result<(), Error> {
        self.publish_all(std::slice::from_ref(event)).await.map_err(|error| error.source)
    }

    /// Stores `events` in order, and stops at the first that is not stored.
    pub(super) async fn publish_all(&self, events: &[Event]) -> Result<(), PublishAllError> {
        let mut taken = 0;
        let published = self.shared.publish_all(events, &mut taken).await;
        published.map_err(|source| PublishAllError { taken, source })
    }

    /// What is wrong, for people.
    pub(super) fn trouble(&self) -> Option<String> {
        let name = &self.shared.options.name;
        match &*self.shared.phase.borrow() {
            Phase::Down(fault) | Phase::Opening(Some(fault)) => {
                Some(format!("stream `{name}`: {fault}"))
            }
            _ => self.shared.oddity.lock().clone(),
        }
    }

    /// Events that wait for their confirmation.
    pub(super) fn backlog(&self) -> u64 {
        match &*self.shared.phase.borrow() {
            Phase::Up(open) => open.connection.waiting() as u64,
            _ => 0,
        }
    }

    pub(super) fn durable(&self) -> &dyn Durable {
        self
    }

    /// Ends the connection. Who still waits for an answer learns that none will come.
    pub(super) fn close(&self) {
        self.keeper.abort();
        if let Phase::Up(open) = self.shared.phase.send_replace(Phase::Closed) {
            open.connection.retire();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Durable for Stream {
    async fn reader(&self, topic: &str, name: &str) -> Result<Box<dyn Reader>, Error> {
        let topic: Arc<str> = topic.into();
        let subject = self.shared.topics.of(&topic)?;
        Ok(Box::new(reader::open(&self.shared, topic, subject, name).await?))
    }

    async fn ids(
        &self,
        topic: &str,
        origin: &str,
        since: SystemTime,
    ) -> Result<HashSet<String>, Error> {
        let subject = self.shared.topics.of(&topic.into())?;
        let open = self.shared.open(topic).await?;
        let found = ids::read(&open.connection, &self.shared.options.name, &subject, origin, since);
        found.await.map_err(|fault| open.failed(fault, topic, "reading the ids of"))
    }

    async fn mark(&self) -> Result<StoreMark, Error> {
        let name = &self.shared.options.name;
        let open = self.shared.open(name).await?;
        let asked = api::stream_info(&open.connection, name, Instant::now() + WAIT_MAX).await;
        let failed = |fault| open.failed(fault, name, "asking for the state of the stream");
        let mark = asked.map_err(failed)?.mark();
        if mark.store != open.store.store {
            open.connection.retire();
        }
        Ok(mark)
    }

    fn confirmed(&self) -> Option<StoreMark> {
        self.shared.confirmed.lock().clone()
    }
}

// === Connecting ===

/// Holds a connection, one after the other.
async fn keep(shared: Weak<Shared>, dial: Dial) {
    let mut pause = PAUSES[0];
    let mut last = None;
    loop {
        let Some(held) = shared.upgrade() else { return };
        held.phase.send_replace(Phase::Opening(last.take()));
        let opened = timeout(OPEN_MAX, held.connect(&dial)).await.unwrap_or(Err(Fault::Silent));
        match opened {
            Ok(open) => {
                pause = PAUSES[0];
                let connection = Arc::clone(&open.connection);
                held.phase.send_replace(Phase::Up(Arc::new(open)));
                drop(held);
                connection.lost().await;
            }
            Err(fault) => {
                last = Some(fault.clone());
                held.phase.send_replace(Phase::Down(fault));
                drop(held);
                sleep(jittered(pause)).await;
                pause = (pause * 2).min(PAUSES[1]);
            }
        }
    }
}

impl Shared {
    /// The connection, if there is one or will be in a moment.
    async fn open(&self, topic: &str) -> Result<Arc<Open>, Error> {
        let by = Instant::now() + WAIT_MAX;
        let mut phase = self.phase.subscribe();
        loop {
            match &*phase.borrow_and_update() {
                Phase::Up(open) if !open.connection.is_lost() => return Ok(Arc::clone(open)),
                Phase::Down(fault) => return Err(fault.clone().before_sending(topic)),
                Phase::Closed => return Err(Error::Closed),
                Phase::Up(_) | Phase::Opening(_) => {}
            }
            if !matches!(timeout_at(by, phase.changed()).await, Ok(Ok(()))) {
                return Err(Error::Disconnected { topic: topic.to_owned() });
            }
        }
    }

    async fn connect(&self, dial: &Dial) -> Result<Open, Fault> {
        let connection = Connection::open(dial, &self.runtime).await?;
        let found = self.find_or_make(&connection).await;
        let info = found.inspect_err(|_| connection.retire())?;
        let message_max = usize::try_from(info.config.max_msg_size).ok().filter(|max| *max > 0);
        *self.oddity.lock() = oddity(&info, &self.options);
        self.kept.write().clone_from(&info.config.subjects);
        let store = info.mark();
        Ok(Open {
            connection,
            message_max,
            is_replicated: info.config.num_replicas > 1,
            last: AtomicU64::new(store.last),
            store,
        })
    }

    async fn find_or_make(&self, connection: &Connection) -> Result<StreamInfo, Fault> {
        let (name, by) = (&*self.options.name, Instant::now() + OPEN_MAX);
        let found = match api::stream_info(connection, name, by).await {
            Err(Fault::Refused { code: code::STREAM_NOT_FOUND, .. }) => {
                match api::create_stream(connection, &config(&self.options), by).await {
                    // Another program was faster.
                    Err(Fault::Refused { code: code::STREAM_NAME_IN_USE, .. }) => {
                        api::stream_info(connection, name, by).await
                    }
                    made => made,
                }
            }
            Err(Fault::Nobody(subject)) => Err(Fault::refused(format_args!(
                "JetStream is not available: no server answers on `{subject}`; is it enabled there?"
            ))),
            found => found,
        };
        let info = found?;
        match unsuitable(&info, &self.options) {
            Some(reason) => Err(Fault::refused(reason)),
            None => Ok(info),
        }
    }
}

/// The stream that is made where there is none. No field is younger than servers of version 2.9.
fn config(options: &StreamOptions) -> stream::Config {
    stream::Config {
        name: options.name.clone(),
        subjects: wanted_subjects(options),
        retention: stream::RetentionPolicy::Limits,
        discard: stream::DiscardPolicy::Old,
        storage: match options.storage {
            Storage::File => stream::StorageType::File,
            Storage::Memory => stream::StorageType::Memory,
        },
        num_replicas: options.replicas,
        duplicate_window: options.duplicate_window,
        max_age: options.max_age.unwrap_or_default(),
        max_bytes: options.max_bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or(-1),
        max_messages: -1,
        max_messages_per_subject: -1,
        ..stream::Config::default()
    }
}

fn wanted_subjects(options: &StreamOptions) -> Vec<String> {
    if options.topics.is_empty() {
        return vec![subject_of(">")];
    }
    options.topics.iter().map(|topic| subject_of(topic)).collect()
}

/// Why events must not be entrusted to the stream that is there.
fn unsuitable(info: &StreamInfo, options: &StreamOptions) -> Option<String> {
    let (config, name) = (&info.config, &options.name);
    if config.retention != "limits" {
        return Some(format!(
            "the stream `{name}` has the retention `{}`, which loses events that a reader has read; it must be `limits`",
            config.retention
        ));
    }
    if config.no_ack || config.sealed {
        return Some(format!("the stream `{name}` confirms or takes no events"));
    }
    if options.topics.is_empty() {
        // Whoever asks for nothing in particular takes the stream as another program has made it.
        return None;
    }
    let is_kept = |wanted: &String| config.subjects.iter().any(|kept| covers(kept, wanted));
    let missing = wanted_subjects(options).into_iter().find(|wanted| !is_kept(wanted))?;
    let kept = config.subjects.join("`, `");
    Some(format!("the stream `{name}` keeps `{kept}`, but not `{missing}`"))
}

/// What differs from what was asked for without doing harm.
fn oddity(info: &StreamInfo, options: &StreamOptions) -> Option<String> {
    let (config, name) = (&info.config, &options.name);
    if config.num_replicas < options.replicas {
        let (is, wanted) = (config.num_replicas, options.replicas);
        return Some(format!("stream `{name}`: on {is} servers, not on {wanted}"));
    }
    let window = Duration::from_nanos(config.duplicate_window);
    (window < options.duplicate_window).then(|| {
        let wanted = options.duplicate_window;
        format!("stream `{name}`: ids are remembered for {window:?}, not for {wanted:?}")
    })
}

/// Whether everything that `subject` stands for is matched by `pattern`.
fn covers(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (None, None) | (Some(">"), Some(_)) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

impl StreamInfo {
    fn mark(&self) -> StoreMark {
        StoreMark { store: self.created.clone(), last: self.state.last_seq }
    }
}

// === Publishing ===

/// Events that were sent and are not confirmed, in order.
struct Window<'a> {
    open: &'a Open,
    /// How long each may wait.
    patience: Duration,
    sent: VecDeque<Sent>,
    /// Whether the burst is over, so that nothing is sent until all of these are confirmed.
    is_over: bool,
    /// What the stream had given before: the number of an event that it stores now is higher.
    before: u64,
}

struct Sent {
    at: Instant,
    by: Instant,
    answer: Answer,
}

impl Shared {
    async fn publish_all(&self, events: &[Event], taken: &mut usize) -> Result<(), Error> {
        let Some(first) = events.first() else { return Ok(()) };
        let start = Instant::now();
        let open = self.open(&first.topic).await?;
        // Whoever waited for the connection waits less for the confirmations.
        let patience = WAIT_MAX.saturating_sub(start.elapsed());
        let before = open.last.load(Ordering::Relaxed);
        let sent = VecDeque::new();
        let mut window = Window { open: &open, patience, sent, is_over: false, before };
        let mut unsent = events.iter();
        let mut failed = None;
        loop {
            while failed.is_none() && window.has_room() {
                let Some(event) = unsent.next() else { break };
                failed = window.send(event, &self.topics).await.err();
            }
            let Some(oldest) = window.sent.pop_front() else {
                return failed.map_or(Ok(()), Err);
            };
            match oldest.confirmed(&open, &self.options.name).await {
                Ok(stored) => {
                    *taken += 1;
                    self.confirm(&window, &stored);
                }
                Err(fault) => {
                    open.connection.retire_after(&fault);
                    self.settle(window).await;
                    return Err(open.refusal(fault, &events[*taken]));
                }
            }
        }
    }

    /// Waits for what is on its way, so that what is repeated cannot overtake it.
    async fn settle(&self, mut window: Window<'_>) {
        while let Some(sent) = window.sent.pop_front() {
            if let Ok(stored) = sent.confirmed(window.open, &self.options.name).await {
                self.confirm(&window, &stored);
            }
        }
    }

    fn confirm(&self, window: &Window<'_>, stored: &Stored) {
        let open = window.open;
        if stored.follows(window.before) {
            let last = open.last.fetch_max(stored.number, Ordering::Relaxed).max(stored.number);
            let mut confirmed = self.confirmed.lock();
            match &mut *confirmed {
                Some(mark) if mark.store == open.store.store => mark.last = last,
                other => *other = Some(StoreMark { store: open.store.store.clone(), last }),
            }
        } else {
            // Someone has made the stream anew. The next connection finds out.
            open.connection.retire();
        }
    }
}

impl Window<'_> {
    fn has_room(&mut self) -> bool {
        let waiting = self.sent.len();
        self.is_over =
            waiting == WINDOW || (self.is_over && self.open.is_replicated && waiting > 0);
        !self.is_over && self.sent.front().is_none_or(|oldest| oldest.at.elapsed() < STALL)
    }

    async fn send(&mut self, event: &Event, topics: &Subjects) -> Result<(), Error> {
        let subject = topics.of(&event.topic)?;
        let at = Instant::now();
        let payload = event.payload.clone();
        let sent = self
            .open
            .connection
            .ask(subject, header_map(&event.headers), payload, at + self.patience)
            .await;
        let answer = sent.map_err(|fault| self.open.unsent(fault, event))?;
        self.sent.push_back(Sent { at, by: at + self.patience, answer });
        Ok(())
    }
}

impl Sent {
    async fn confirmed(self, open: &Open, stream: &str) -> Result<Stored, Fault> {
        let answer = self.answer.wait(self.by).await?;
        let stored = PublishAnswer::read(&answer.payload)?;
        if stored.stream == stream {
            return Ok(stored);
        }
        // Ours must be gone, or it would have answered.
        open.connection.retire();
        Err(Fault::refused(format_args!("the stream `{}` took it, not `{stream}`", stored.stream)))
    }
}

impl Open {
    /// Ends the connection if it must, and says what `fault` means for the call.
    fn failed(&self, fault: Fault, topic: &str, doing: &str) -> Error {
        self.connection.retire_after(&fault);
        fault.into_error(topic, doing)
    }

    fn refusal(&self, fault: Fault, event: &Event) -> Error {
        match fault {
            Fault::Refused { code: code::MESSAGE_TOO_LARGE, .. } => {
                too_large(event, self.message_max.unwrap_or_default())
            }
            fault => fault.into_error(&event.topic, "publishing on"),
        }
    }

    fn unsent(&self, fault: Fault, event: &Event) -> Error {
        match fault {
            // The other connection may be to a server that takes more.
            Fault::TooLarge => too_large(event, payload_max(&self.connection.client)),
            fault => fault.before_sending(&event.topic),
        }
    }
}

fn too_large(event: &Event, limit: usize) -> Error {
    Error::TooLarge { topic: event.topic.to_string(), bytes: event.payload.len(), limit }
}

impl Connection {
    /// After some faults nobody can tell what became of the stream, or of what is on its way: the next connection looks.
    fn retire_after(&self, fault: &Fault) {
        if matches!(fault, Fault::Away(_) | Fault::Nobody(_) | Fault::Lost | Fault::Silent) {
            self.retire();
        }
    }
}

impl Fault {
    /// What it means for a call that has sent something.
    fn into_error(self, topic: &str, doing: &str) -> Error {
        let action = || format!("{doing} `{topic}`");
        match self {
            Self::Away(_) | Self::Nobody(_) => Error::Disconnected { topic: topic.to_owned() },
            Self::Silent => Error::TimedOut { action: action(), after: WAIT_MAX },
            Self::Denied(words) => {
                Error::Denied { topic: topic.to_owned(), source: (*words).into() }
            }
            Self::Lost | Self::TooLarge | Self::Refused { .. } => {
                Error::Transport { action: action(), source: self.into() }
            }
        }
    }

    /// What it means for an event that was not sent because of it.
    fn before_sending(self, topic: &str) -> Error {
        match self {
            Self::Silent | Self::Lost => Error::Disconnected { topic: topic.to_owned() },
            fault => fault.into_error(topic, "publishing on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, subject: &str, expected: bool) {
        assert_eq!(covers(pattern, subject), expected, "`{pattern}` and `{subject}`");
    }

    #[test]
    fn a_pattern_covers_what_it_matches_and_narrower_patterns() {
        check("cantina.a", "cantina.a", true);
        check("cantina.a", "cantina.a.b", false);
        check("cantina.a.b", "cantina.a", false);
        check("cantina.>", "cantina.a.b", true);
        check("cantina.>", "cantina.>", true);
        check("cantina.>", "cantina", false);
        check(">", "cantina.a", true);
        check("cantina.*", "cantina.a", true);
        check("cantina.*", "cantina.*", true);
        check("cantina.*", "cantina.>", false);
        check("cantina.a", "cantina.>", false);
        check("cantina.a", "cantina.*", false);
        check("*.a", "cantina.a", true);
    }

    #[test]
    fn an_answer_is_a_number_or_a_refusal() {
        let stored = PublishAnswer::read(br#"{"stream":"LOG","seq":7}"#).unwrap();
        assert_eq!(stored.number, 7);
        assert!(stored.follows(6));
        assert!(!stored.follows(7), "numbers have begun anew");
        let double = PublishAnswer::read(br#"{"stream":"LOG","seq":7,"duplicate":true}"#);
        assert!(double.unwrap().follows(9), "what is there already counts as taken");
        let read = |answer: &str| PublishAnswer::read(answer.as_bytes()).unwrap_err();
        let full = read(r#"{"error":{"code":400,"err_code":10054,"description":"too large"}}"#);
        assert!(matches!(full, Fault::Refused { code: code::MESSAGE_TOO_LARGE, .. }), "{full}");
        let busy = read(r#"{"error":{"code":503,"err_code":10008,"description":"busy"}}"#);
        assert!(matches!(busy, Fault::Away(_)), "{busy}");
        for answer in ["", "{}", "-ERR", r#"{"seq":-1}"#] {
            assert!(matches!(read(answer), Fault::Refused { .. }), "{answer}");
        }
    }

    #[test]
    fn only_what_may_have_been_stored_is_uncertain() {
        let error = |fault: Fault| fault.into_error("a", "publishing on");
        assert!(error(Fault::Lost).is_uncertain() && error(Fault::Silent).is_uncertain());
        assert!(!error(Fault::away("x")).is_uncertain());
        assert!(!error(Fault::Nobody("cantina.a".into())).is_uncertain());
        assert!(!Fault::Silent.before_sending("a").is_uncertain());
        assert!(!error(Fault::Denied("x".into())).is_temporary());
    }
}

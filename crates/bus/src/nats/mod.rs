//! The adapter for NATS servers.
//!
//! # Why a thread
//!
//! Each [`NatsBus`] has a thread with a runtime of one thread (`thread`), on which everything of the client library `async-nats` runs, and our forwarding tasks:
//!
//! * The library starts tasks that nobody can join. They are gone when the runtime is, so that nothing outlives [`close`](Bus::close).
//! * The library logs, partly every message. On this thread that leads nowhere, so a log entry that is published never makes another.
//! * The library puts what it reads into a channel for each subscription, and drops the newest message when that is full.
//!   Its task reads until the socket is empty or tokio's budget is spent, which is 128 reads of at most 64 KiB.
//!   The smallest message takes 21 bytes, so those are fewer than the [half million](NatsOptions) that the channel holds.
//!   Then the forwarding tasks run, which were woken meanwhile, because on one thread tasks run in the order in which they were woken.
//!   They take everything, without a budget, before the socket is read again.
//!   Should the library drop something all the same, it is counted as missed.
//!   It reports each one, but not more than 128 between two turns of a task; beyond that the count is too low.
//!
//! What is published goes from the caller's thread through the library's channel of 2048 commands straight to the task that owns the socket.
//!
//! # What the parts are
//!
//! `options` reads an address, `subject` turns topics into subjects, `thread` runs the library, `connection` is what its callbacks write down,
//! `arrival` turns messages into events, `fences` tell how far the server has come, `denials` what it forbids, and `stream` has what it keeps.

mod arrival;
mod connection;
mod denials;
mod fences;
mod options;
mod stream;
mod subject;
mod thread;

use std::{
    future::Future,
    num::NonZeroUsize,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_nats::{
    Client, HeaderMap, PublishErrorKind, Statistics, Subject, client::PublishError,
    connection::State as LinkState,
};
use async_trait::async_trait;
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

pub use self::options::{NatsOptions, Storage, StreamOptions};
use self::{
    arrival::Arrivals,
    connection::Connection,
    stream::Stream,
    subject::{Pattern, Subjects},
    thread::Thread,
};
use crate::{
    Bus, Capabilities, ConnectError, Durable, Error, Event, HEADERS_BYTES_MAX, Headers, Link,
    PublishAllError, Reach, State, Subscription, queue,
};

/// No call waits longer, unless it is for a stream.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// What the frame around headers takes of the servers' limit.
const FRAME: usize = 64;

/// A bus on NATS servers, which reaches every machine that uses them.
///
/// Clones are the same bus; closing one closes all.
/// When the last clone is dropped, its subscriptions end.
///
/// # What it does beyond the contract, and where it comes to its limits
///
/// * **It is there at once and for good.** [`connect`](Self::connect) does not fail because no server is there.
///   The bus tries for ever, with pauses of up to two seconds, and takes up every subscription again.
///   [`State::trouble`] says why it does not get through.
/// * **While it is disconnected** `publish` and `subscribe` fail with [`Error::Disconnected`] at once, and nothing is queued.
///   Whoever wants a subscription although no server is there tries again until it stands; from then on it survives.
/// * **`publish` may have published as soon as it is called**, before it is awaited; most often it has.
/// * **`Ok` from `publish`** means that the event is on its way.
///   If the connection breaks, what was on its way is lost, and nobody knows how much;
///   so no [`Missed`](crate::Delivery::Missed) is made up for it, but [`State::reconnects`] counts the interruption.
///   [`flush`](Bus::flush) tells whether the server has what was published before; without a connection it fails with [`Error::Transport`], because nobody knows.
///   For more than that there are [streams](NatsOptions).
/// * **Forbidden topics**: a subscription that the server refuses fails with [`Error::Denied`].
///   That a message was refused is known only some time after it was published; from then on, for thirty seconds, `publish` on its topic fails with `Denied`.
///   Fences, which `subscribe` and `flush` are made of, need the permission to subscribe to `_INBOX.>`.
///   Permissions that the server takes away while a subscription stands end it there, without a word to its reader; [`State::trouble`] has it, and the next connection asks for it again.
/// * **Subjects**: `/dashboard/log` is `cantina.dashboard.log`, and so is `dashboard.log`.
///   A subscription delivers the topic under which it was made; one with wildcards, the subject without `cantina.`.
/// * **Headers** arrive ordered by name.
///   One of a foreign client that no event of ours could have is left out, and if it is not UTF-8, the client library reconnects.
/// * A foreign client's reply subject becomes the header [`REPLY_TO`](crate::REPLY_TO), if it is a topic.
///
/// # With a stream
///
/// Events of the topics that the stream keeps go over a connection of their own, and `Ok` from `publish` means that the servers have stored them.
/// [`durable`](Bus::durable) has readers that miss nothing; subscriptions are as without a stream and see what comes while they are there.
///
/// [`State::backlog`] is what has not reached the socket, and with a stream also what waits for its confirmation.
#[derive(Clone)]
pub struct NatsBus {
    shared: Arc<Shared>,
}

struct Shared {
    thread: Thread,
    connection: Arc<Connection>,
    subjects: Subjects,
    stream: Option<Stream>,
    statistics: Arc<Statistics>,
    is_closed: AtomicBool,
    /// Whether someone has closed it as far as ending the thread.
    is_stopping: AtomicBool,
    /// Events given to the client library.
    sent: AtomicU64,
    /// Events that the stream took.
    kept: AtomicU64,
    refused: AtomicU64,
    /// Fences given to the client library.
    fences: AtomicU64,
}

/// What `async_trait` makes of an `async fn publish`.
type Published<'f> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'f>>;

/// Why it is not known that the server has everything.
enum Unfenced {
    Lost,
    Denied(String),
    Closed,
    TooLate,
}

impl NatsBus {
    /// A bus on the servers of `options`.
    ///
    /// It waits for the first attempt to reach one, for two seconds at most, and comes back connected or not.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if the options cannot be used with any server.
    pub async fn connect(options: NatsOptions) -> Result<Self, ConnectError> {
        let connection = Arc::new(Connection::default());
        let thread = Thread::start(&options, Arc::clone(&connection)).await?;
        let statistics = thread.client.statistics();
        let stream = options
            .stream
            .clone()
            .map(|stream| Stream::new(thread::dial(options), thread.runtime.clone(), stream));
        let shared = Shared {
            thread,
            connection,
            subjects: Subjects::default(),
            stream,
            statistics,
            is_closed: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            fences: AtomicU64::new(0),
        };
        // Without an answer in time the bus is one that is not connected yet.
        let _ = timeout(WAIT_MAX, shared.connection.tried.notified()).await;
        Ok(Self { shared: Arc::new(shared) })
    }
}

#[async_trait]
impl Bus for NatsBus {
    /// Most often there is room for the event, and then it is sent before there is a future to wait for:
    /// what the client library needs for it stays on the stack, and no clock is asked.
    fn publish<'b, 'f>(&'b self, event: Event) -> Published<'f>
    where
        'b: 'f,
        Self: 'f,
    {
        match self.shared.publish_now(&event) {
            Poll::Ready(published) => Box::pin(std::future::ready(published)),
            Poll::Pending => Box::pin(self.shared.publish_later(event)),
        }
    }

    async fn subscribe(&self, topic: &str, capacity: NonZeroUsize) -> Result<Subscription, Error> {
        let pattern = Pattern::parse(topic)?;
        let subject = pattern.subject.clone();
        self.shared.check_link(topic)?;
        let before = self.shared.connection.denials.total();
        let (subscription, subscribed) = self.shared.take_in(topic, pattern, capacity);
        let standing = async {
            subscribed.await.map_err(|_| Unfenced::Closed)?;
            self.shared.fence().await
        };
        let fenced = timeout(WAIT_MAX, standing).await.unwrap_or(Err(Unfenced::TooLate));
        fenced.map_err(|unfenced| unsubscribed(topic, unfenced))?;
        match self.shared.connection.denials.subscription(&subject, before) {
            Some(text) => Err(Error::Denied { topic: topic.to_owned(), source: text.into() }),
            None => Ok(subscription),
        }
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities()
    }

    fn state(&self) -> State {
        let shared = &self.shared;
        let connection = &shared.connection;
        let stream_trouble = || shared.stream.as_ref().and_then(Stream::trouble);
        State {
            link: shared.link(),
            published: shared.sent.load(Ordering::Relaxed) + shared.kept.load(Ordering::Relaxed),
            refused: shared.refused.load(Ordering::Relaxed),
            missed: connection.missed.load(Ordering::Relaxed),
            reconnects: shared.connects().saturating_sub(1),
            backlog: shared.backlog(),
            subscriptions: connection.feeds.count(),
            trouble: connection.trouble().or_else(stream_trouble),
        }
    }

    async fn flush(&self) -> Result<(), Error> {
        self.shared.check_open()?;
        self.shared.flush().await
    }

    async fn close(&self) -> Result<(), Error> {
        let shared = &self.shared;
        shared.is_closed.store(true, Ordering::Release);
        let flushed = shared.flush_at_last().await;
        shared.is_stopping.store(true, Ordering::Release);
        shared.thread.stop().await;
        if let Some(stream) = &shared.stream {
            stream.close();
        }
        flushed
    }

    async fn publish_all(&self, events: &[Event]) -> Result<(), PublishAllError> {
        let mut taken = 0;
        while let Some(event) = events.get(taken) {
            let kept = self.shared.kept(&events[taken..]);
            let (count, result) = if kept.is_empty() {
                let published = self.publish(event.clone()).await;
                (usize::from(published.is_ok()), published)
            } else {
                self.shared.publish_kept(kept).await
            };
            taken += count;
            result.map_err(|source| PublishAllError { taken, source })?;
        }
        Ok(())
    }

    fn durable(&self) -> Option<&dyn Durable> {
        self.shared.stream.as_ref().map(Stream::durable)
    }
}

/// Why a subscription does not stand.
fn unsubscribed(topic: &str, unfenced: Unfenced) -> Error {
    let topic = topic.to_owned();
    match unfenced {
        Unfenced::Lost => Error::Disconnected { topic },
        Unfenced::Denied(text) => Error::Denied { topic, source: text.into() },
        Unfenced::Closed => Error::Closed,
        Unfenced::TooLate => {
            Error::TimedOut { action: format!("subscribing to `{topic}`"), after: WAIT_MAX }
        }
    }
}

/// What the server takes, less the room that headers may need.
fn payload_max(client: &Client) -> usize {
    client.max_payload().saturating_sub(HEADERS_BYTES_MAX + FRAME)
}

/// The headers as the client library has them; nothing if there are none, which is the usual case.
fn header_map(headers: &Headers) -> Option<HeaderMap> {
    if headers.is_empty() {
        return None;
    }
    let mut map = HeaderMap::new();
    headers.iter().for_each(|(name, value)| map.append(name, value));
    Some(map)
}

impl Shared {
    /// Publishes if that takes no waiting; `Pending` means that nothing was done.
    fn publish_now(&self, event: &Event) -> Poll<Result<(), Error>> {
        let subject = match self.check(event) {
            Ok(subject) => subject,
            Err(error) => return Poll::Ready(self.count(Err(error))),
        };
        if self.keeper(&event.topic).is_some() {
            return Poll::Pending;
        }
        if let Err(error) = self.check_sendable(&event.topic, &subject) {
            return Poll::Ready(self.count(Err(error)));
        }
        let mut context = Context::from_waker(Waker::noop());
        // Dropped where it waits, this has sent nothing.
        let sent = pin!(self.give(event, subject)).poll(&mut context);
        sent.map(|sent| self.count(sent.map_err(|error| self.unsent(event, error))))
    }

    /// Publishes what was found to need waiting.
    async fn publish_later(&self, event: Event) -> Result<(), Error> {
        if let Some(stream) = self.keeper(&event.topic) {
            let stored = stream.publish(&event).await;
            return self.count_kept(u64::from(stored.is_ok()), stored);
        }
        let subject = self.subjects.of(&event.topic)?;
        let sent = match timeout(WAIT_MAX, self.give(&event, subject)).await {
            Ok(sent) => sent.map_err(|error| self.unsent(&event, error)),
            // What is given up while it waits for room was not sent, so the bus does not have to say that it does not know.
            Err(_) => Err(Error::Disconnected { topic: event.topic.to_string() }),
        };
        self.count(sent)
    }

    /// The subject of an event that can be published on this bus.
    fn check(&self, event: &Event) -> Result<Subject, Error> {
        let subject = self.subjects.of(&event.topic)?;
        event.check_content(self.payload_max())?;
        self.check_open()?;
        Ok(subject)
    }

    /// Whether something can be published without a stream now.
    fn check_sendable(&self, topic: &str, subject: &str) -> Result<(), Error> {
        self.check_link(topic)?;
        match self.connection.denials.publish(subject) {
            Some(text) => Err(Error::Denied { topic: topic.to_owned(), source: text.into() }),
            None => Ok(()),
        }
    }

    /// The stream, if it keeps `topic`.
    fn keeper(&self, topic: &str) -> Option<&Stream> {
        self.stream.as_ref().filter(|stream| stream.keeps(topic))
    }

    async fn give(&self, event: &Event, subject: Subject) -> Result<(), PublishError> {
        let (client, payload) = (&self.thread.client, event.payload.clone());
        match header_map(&event.headers) {
            None => client.publish(subject, payload).await,
            Some(headers) => client.publish_with_headers(subject, headers, payload).await,
        }
    }

    fn unsent(&self, event: &Event, error: PublishError) -> Error {
        let (topic, bytes) = (event.topic.to_string(), event.payload.len());
        match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => {
                Error::TooLarge { topic, bytes, limit: self.payload_max() }
            }
            PublishErrorKind::Send if self.is_closed.load(Ordering::Acquire) => Error::Closed,
            _ => Error::Transport {
                action: format!("publishing on `{topic}`"),
                source: error.into(),
            },
        }
    }

    /// Starts to subscribe: the subscription, and who says that the client library has it.
    fn take_in(
        &self,
        topic: &str,
        pattern: Pattern,
        capacity: NonZeroUsize,
    ) -> (Subscription, oneshot::Receiver<()>) {
        let (feed, subscription) = queue(topic, capacity);
        let left = Arc::new(Notify::new());
        let (subscribed, standing) = oneshot::channel();
        let arrivals = Arrivals {
            client: self.thread.client.clone(),
            connection: Arc::clone(&self.connection),
            pattern,
            feed: Arc::new(feed),
            left: Arc::clone(&left),
        };
        self.thread.runtime.spawn(arrivals.forward(subscribed));
        (subscription.on_drop(move || left.notify_one()), standing)
    }

    /// Waits until the server has everything that was sent before.
    async fn fence(&self) -> Result<(), Unfenced> {
        let connects = self.connects();
        // A loss or a denial is either seen here, or fails the fence that is open by then.
        let mut fence = self.connection.fences.open();
        if let Some(text) = self.fences_denied() {
            return Err(Unfenced::Denied(text));
        }
        if !self.is_connected() {
            return Err(Unfenced::Lost);
        }
        let sent = self.thread.client.publish(fence.subject(), "".into()).await;
        sent.map_err(|_| Unfenced::Closed)?;
        self.fences.fetch_add(1, Ordering::Relaxed);
        // A fence that was sent on the next connection says nothing of this one.
        if fence.passed().await && self.connects() == connects {
            return Ok(());
        }
        Err(self.fences_denied().map_or(Unfenced::Lost, Unfenced::Denied))
    }

    /// What the server said if fences cannot come back.
    fn fences_denied(&self) -> Option<String> {
        self.connection.denials.subscription(&self.connection.fences.pattern(), 0)
    }

    async fn flush(&self) -> Result<(), Error> {
        let action = || "flushing".to_owned();
        match timeout(WAIT_MAX, self.fence()).await.unwrap_or(Err(Unfenced::TooLate)) {
            Ok(()) => Ok(()),
            // What was published before may have arrived or not, which is not what `Disconnected` says.
            Err(Unfenced::Lost) => {
                let source = "the connection was lost".into();
                Err(Error::Transport { action: action(), source })
            }
            Err(Unfenced::Denied(text)) => {
                Err(Error::Denied { topic: self.connection.fences.pattern(), source: text.into() })
            }
            Err(Unfenced::Closed) => Err(Error::Closed),
            Err(Unfenced::TooLate) => Err(Error::TimedOut { action: action(), after: WAIT_MAX }),
        }
    }

    fn capabilities(&self) -> Capabilities {
        let keeps = self.stream.is_some();
        Capabilities {
            wildcards: true,
            durable: keeps,
            confirms: keeps,
            reach: Reach::Network,
            payload_max: self.payload_max(),
            wait_max: if keeps { stream::WAIT_MAX } else { WAIT_MAX },
        }
    }

    /// Flushes, unless nothing can be gained by it.
    async fn flush_at_last(&self) -> Result<(), Error> {
        let is_stopping = || self.is_stopping.load(Ordering::Acquire);
        // Without a connection it matters only if something waits to leave.
        let is_idle = !self.is_connected() && self.backlog() == 0;
        if is_idle || is_stopping() {
            return Ok(());
        }
        match self.flush().await {
            // Someone else closes the bus too, and has flushed.
            Err(_) if is_stopping() => Ok(()),
            flushed => flushed,
        }
    }

    /// The first of `events` that the stream keeps and that can be published.
    fn kept<'a>(&self, events: &'a [Event]) -> &'a [Event] {
        let Some(stream) = &self.stream else { return &[] };
        if self.check_open().is_err() {
            return &[];
        }
        let capabilities = self.capabilities();
        let is_fine =
            |event: &Event| event.check(&capabilities).is_ok() && stream.keeps(&event.topic);
        let count = events.iter().take_while(|event| is_fine(event)).count();
        &events[..count]
    }

    /// How many of the first of `events` the stream took, and what became of the next.
    async fn publish_kept(&self, events: &[Event]) -> (usize, Result<(), Error>) {
        let Some(stream) = &self.stream else { return (0, Ok(())) };
        let (taken, result) = match stream.publish_all(events).await {
            Ok(()) => (events.len(), Ok(())),
            Err(PublishAllError { taken, source }) => (taken, Err(source)),
        };
        (taken, self.count_kept(taken as u64, result))
    }

    /// Counts an event given to the client library, or not.
    fn count(&self, sent: Result<(), Error>) -> Result<(), Error> {
        let counter = if sent.is_ok() { &self.sent } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        sent
    }

    /// Counts the events that the stream took, and the one that it did not.
    fn count_kept(&self, taken: u64, result: Result<(), Error>) -> Result<(), Error> {
        self.kept.fetch_add(taken, Ordering::Relaxed);
        self.refused.fetch_add(u64::from(result.is_err()), Ordering::Relaxed);
        result
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.is_closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Whether `topic` can be reached at all now.
    fn check_link(&self, topic: &str) -> Result<(), Error> {
        self.check_open()?;
        if self.is_connected() {
            Ok(())
        } else {
            Err(Error::Disconnected { topic: topic.to_owned() })
        }
    }

    /// The notes of our callback are quick to read; that they say no may only mean that a note got lost.
    fn is_connected(&self) -> bool {
        let is_up = self.connection.is_up.load(Ordering::Acquire)
            || self.thread.client.connection_state() == LinkState::Connected;
        is_up && !self.connection.is_broken.load(Ordering::Acquire)
    }

    fn link(&self) -> Link {
        if self.is_closed.load(Ordering::Acquire) {
            return Link::Closed;
        }
        if self.is_connected() {
            return Link::Connected;
        }
        let attempts = self.connection.attempts.load(Ordering::Relaxed);
        Link::Disconnected { since: self.connection.lost_at(), attempts }
    }

    /// How many connections there have been.
    fn connects(&self) -> u64 {
        self.statistics.connects.load(Ordering::Acquire)
    }

    /// Messages between us and the socket, and those for the stream that are not confirmed.
    fn backlog(&self) -> u64 {
        let written = self.statistics.out_messages.load(Ordering::Relaxed);
        let sent = self.sent.load(Ordering::Relaxed) + self.fences.load(Ordering::Relaxed);
        sent.saturating_sub(written) + self.stream.as_ref().map_or(0, Stream::backlog)
    }

    fn payload_max(&self) -> usize {
        payload_max(&self.thread.client)
    }
}

impl std::fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsBus").field("state", &self.state()).finish_non_exhaustive()
    }
}

//! One connection for kept events, from its first byte to its last.

use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use async_nats::{
    Client, ClientError, ConnectErrorKind, ConnectOptions, HeaderMap, Message, PublishErrorKind,
    ReconnectToServer, ServerAddr, ServerError, StatusCode, Subject, Subscriber, connection::State,
};
use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
    task::coop::unconstrained,
    time::{Instant, timeout_at},
};

use crate::{
    BoxError,
    nats::denials::{self, Use},
};

/// Where the servers are and how to log in, asked anew for every connection.
pub(in crate::nats) type Dial =
    Box<dyn Fn() -> Result<(Vec<ServerAddr>, ConnectOptions), BoxError> + Send + Sync>;

/// How long the servers may take to greet.
const GREETING_MAX: Duration = Duration::from_secs(2);

/// A connection that ends when it is lost, and questions over it that find their answers.
///
/// Answers come to one inbox and are given out by the number at the end of their subject.
/// The client library has such a table too, but one that keeps the place of an answer that never comes; in an outage of hours that adds up.
pub(super) struct Connection {
    pub(super) client: Client,
    inbox: String,
    number: AtomicU64,
    waiting: Arc<Waiting>,
}

/// Who waits for an answer on a connection, and whether it still can come.
struct Waiting {
    table: Mutex<HashMap<u64, Waiter>>,
    lost: watch::Sender<bool>,
    /// The subject on which the server took nothing from us the last time, and its words.
    denied: watch::Sender<Option<(String, Fault)>>,
}

struct Waiter {
    subject: Subject,
    sender: oneshot::Sender<Result<Message, Fault>>,
}

/// An answer that is due. Dropping it gives up its place in the table.
pub(super) struct Answer {
    number: u64,
    waiting: Arc<Waiting>,
    receiver: oneshot::Receiver<Result<Message, Fault>>,
}

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// There is no connection, or nobody who could take it now: it was not taken.
    Away(Arc<str>),
    /// Nobody listens on this subject: it was not taken.
    Nobody(Subject),
    /// The connection was lost while waiting for the answer.
    Lost,
    /// No answer came in time.
    Silent,
    /// It is larger than the server takes, and was not sent.
    TooLarge,
    /// The server does not allow it.
    Denied(Arc<str>),
    /// JetStream answered with an error.
    Refused {
        /// Its number, or 0.
        code: u64,
        /// Its words.
        words: Arc<str>,
    },
}

// === impl Connection ===

impl Connection {
    /// Connects, and opens the inbox.
    pub(super) async fn open(dial: &Dial, runtime: &Handle) -> Result<Arc<Self>, Fault> {
        let waiting = Arc::new(Waiting {
            table: Mutex::default(),
            lost: watch::Sender::new(false),
            denied: watch::Sender::new(None),
        });
        let (servers, options) = dial().map_err(Fault::away)?;
        // A task of its own, because the library panics on some things that no server says.
        let connecting = runtime.spawn(connect(servers, options, Arc::clone(&waiting)));
        let client = connecting.await.map_err(Fault::away)??;
        let inbox = client.new_inbox();
        let answers = client.subscribe(format!("{inbox}.*")).await.map_err(Fault::away)?;
        runtime.spawn(give_out(answers, Arc::clone(&waiting)));
        Ok(Arc::new(Self { client, inbox, number: AtomicU64::new(0), waiting }))
    }

    /// Sends `payload` to `subject`. The answer is waited for by who asked.
    pub(super) async fn ask(
        &self,
        subject: Subject,
        headers: Option<HeaderMap>,
        payload: Bytes,
        by: Instant,
    ) -> Result<Answer, Fault> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let answer = self.waiting.register(number, subject.clone());
        // After registering, so that a loss after this look finds the waiter in the table.
        if self.is_lost() {
            return Err(Fault::away("the connection was lost"));
        }
        let reply = Subject::from(format!("{}.{number}", self.inbox));
        let sent = async {
            match headers {
                None => self.client.publish_with_reply(subject, reply, payload).await,
                Some(headers) => {
                    self.client
                        .publish_with_reply_and_headers(subject, reply, headers, payload)
                        .await
                }
            }
        };
        match within(by, sent).await {
            Some(Ok(())) => Ok(answer),
            Some(Err(error)) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                Err(Fault::TooLarge)
            }
            Some(Err(error)) => Err(Fault::away(error)),
            // Whether the library has taken it is known: it has not.
            None => Err(Fault::away("the connection takes nothing more")),
        }
    }

    /// Asks and waits for the answer.
    pub(super) async fn request(
        &self,
        subject: String,
        payload: Bytes,
        by: Instant,
    ) -> Result<Message, Fault> {
        self.ask(subject.into(), None, payload, by).await?.wait(by).await
    }

    /// Whether nothing comes or goes any more.
    pub(super) fn is_lost(&self) -> bool {
        *self.waiting.lost.borrow() || self.client.connection_state() != State::Connected
    }

    /// Returns when nothing comes or goes any more.
    pub(super) async fn lost(&self) {
        // The sender is in `self`, so that the wait ends with the loss only.
        let _ = self.waiting.lost.subscribe().wait_for(|lost| *lost).await;
    }

    /// What the server refuses from now on: the subject, and its words.
    pub(super) fn denials(&self) -> watch::Receiver<Option<(String, Fault)>> {
        self.waiting.denied.subscribe()
    }

    /// Uses this connection no longer. Who waits for an answer on it learns that it is lost.
    pub(super) fn retire(&self) {
        self.waiting.lose();
    }

    /// How many answers are due.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.table.lock().len()
    }
}

/// Connects once, to a connection that never comes back by itself.
///
/// The library's own reconnecting would send what it still holds from before: events that follow one which was lost with the old connection.
/// The servers would store those first, and the lost one, once it is repeated, after them.
/// So after the first connection the callback leads to an address where nobody is; after as many attempts as there are addresses the library gives up and lets go of what it holds.
async fn connect(
    mut servers: Vec<ServerAddr>,
    options: ConnectOptions,
    events: Arc<Waiting>,
) -> Result<Client, Fault> {
    let nowhere: ServerAddr = "nats://127.0.0.1:0".parse().map_err(Fault::away)?;
    servers.push(nowhere.clone());
    let target = ReconnectToServer { addr: nowhere, delay: Some(Duration::ZERO) };
    let options = options
        .connection_timeout(GREETING_MAX)
        .ignore_discovered_servers()
        .max_reconnects(servers.len())
        .reconnect_delay_callback(|_| Duration::ZERO)
        .reconnect_to_server_callback(move |_, info| {
            let is_first = info.server_id.is_empty();
            std::future::ready((!is_first).then(|| target.clone()))
        })
        .event_callback(move |event| {
            events.heed(&event);
            std::future::ready(())
        });
    options.connect(servers).await.map_err(|error| match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            Fault::away("the server refuses our credentials")
        }
        _ => Fault::away(error),
    })
}

/// Gives answers to who waits for them, until the connection is lost.
async fn give_out(mut answers: Subscriber, waiting: Arc<Waiting>) {
    let mut lost = waiting.lost.subscribe();
    let given = async {
        // Without a budget: what waits longer here may push out what comes after it.
        while let Some(message) = unconstrained(answers.next()).await {
            waiting.answer(message);
        }
    };
    tokio::select! {
        _ = lost.wait_for(|lost| *lost) => {}
        () = given => {}
    }
    waiting.lose();
}

/// What `future` gives, unless it waits past `by`. What is ready at once needs no timer.
async fn within<T>(by: Instant, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    if let Poll::Ready(output) = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
    {
        return Some(output);
    }
    timeout_at(by, future).await.ok()
}

// === impl Waiting ===

impl Waiting {
    fn register(self: &Arc<Self>, number: u64, subject: Subject) -> Answer {
        let (sender, receiver) = oneshot::channel();
        self.table.lock().insert(number, Waiter { subject, sender });
        Answer { number, waiting: Arc::clone(self), receiver }
    }

    fn answer(&self, message: Message) {
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
        let waiter = number.and_then(|number: u64| self.table.lock().remove(&number));
        let Some(Waiter { subject, sender }) = waiter else { return };
        let is_nobody = message.status == Some(StatusCode::NO_RESPONDERS);
        // Who asked may have given up.
        let _ = sender.send(if is_nobody { Err(Fault::Nobody(subject)) } else { Ok(message) });
    }

    fn lose(&self) {
        self.lost.send_replace(true);
        self.fail(&Fault::Lost, |_| true);
    }

    fn fail(&self, fault: &Fault, concerns: impl Fn(&Subject) -> bool) {
        let failed: Vec<_> =
            self.table.lock().extract_if(|_, waiter| concerns(&waiter.subject)).collect();
        for (_, waiter) in failed {
            let _ = waiter.sender.send(Err(fault.clone()));
        }
    }

    /// What the client library reports besides messages.
    fn heed(&self, event: &async_nats::Event) {
        match event {
            async_nats::Event::Disconnected
            | async_nats::Event::Closed
            | async_nats::Event::ClientError(ClientError::MaxReconnects) => self.lose(),
            async_nats::Event::ServerError(ServerError::Other(words)) => self.heed_refusal(words),
            _ => {}
        }
    }

    /// A refusal says which subject it is about, but not which message.
    fn heed_refusal(&self, words: &str) {
        let fault = Fault::Denied(words.into());
        match denials::parse(words) {
            Some((Use::Publish, denied)) => {
                self.fail(&fault, |subject| subject.as_str() == denied);
                self.denied.send_replace(Some((denied.to_owned(), fault)));
            }
            // It is about an inbox, and without it no answer comes.
            Some((Use::Subscribe, _)) => self.fail(&fault, |_| true),
            None => {}
        }
    }
}

// === impl Answer ===

impl Answer {
    pub(super) async fn wait(mut self, by: Instant) -> Result<Message, Fault> {
        match within(by, &mut self.receiver).await {
            Some(Ok(answer)) => answer,
            Some(Err(_)) => Err(Fault::Lost),
            None => Err(Fault::Silent),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // An answer that came has left the table.
        if !self.receiver.is_terminated() {
            self.waiting.table.lock().remove(&self.number);
        }
    }
}

// === impl Fault ===

impl Fault {
    pub(super) fn away(words: impl fmt::Display) -> Self {
        Self::Away(words.to_string().into())
    }

    pub(super) fn refused(words: impl fmt::Display) -> Self {
        Self::Refused { code: 0, words: words.to_string().into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(words) | Self::Denied(words) | Self::Refused { words, .. } => {
                f.write_str(words)
            }
            Self::Nobody(subject) => write!(f, "no server answers on `{subject}`"),
            Self::Lost => f.write_str("the connection was lost before the answer came"),
            Self::Silent => f.write_str("no answer in time"),
            Self::TooLarge => f.write_str("larger than the server takes"),
        }
    }
}

impl std::error::Error for Fault {}

//! The questions of JetStream's API that we ask, and what we read of the answers.

use std::time::Duration;

use async_nats::jetstream::{consumer, stream};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use super::connection::{Connection, Fault};

/// A question without an answer is asked again after this time.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Error numbers of JetStream.
pub(super) mod code {
    pub(in super::super) const BUSY: [u64; 4] = [10_007, 10_008, 10_009, 10_118];
    pub(in super::super) const CONSUMER_NOT_FOUND: u64 = 10_014;
    pub(in super::super) const MESSAGE_TOO_LARGE: u64 = 10_054;
    pub(in super::super) const STREAM_NAME_IN_USE: u64 = 10_058;
    pub(in super::super) const STREAM_NOT_FOUND: u64 = 10_059;
}

/// What we read of a stream. Newer servers say more.
#[derive(Debug, Deserialize)]
pub(super) struct StreamInfo {
    pub(super) config: StreamConfig,
    /// When it was made; of two streams of one name, each has another.
    pub(super) created: String,
    pub(super) state: StreamState,
}

#[derive(Debug, Deserialize)]
pub(super) struct StreamConfig {
    #[serde(default)]
    pub(super) subjects: Vec<String>,
    pub(super) retention: String,
    #[serde(default)]
    pub(super) num_replicas: usize,
    /// In nanoseconds.
    #[serde(default)]
    pub(super) duplicate_window: u64,
    /// -1 without a limit.
    #[serde(default)]
    pub(super) max_msg_size: i64,
    #[serde(default)]
    pub(super) no_ack: bool,
    #[serde(default)]
    pub(super) sealed: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct StreamState {
    pub(super) last_seq: u64,
}

/// What we read of a consumer.
#[derive(Debug, Deserialize)]
pub(super) struct ConsumerInfo {
    pub(super) config: ConsumerConfig,
    pub(super) delivered: Place,
    pub(super) ack_floor: Place,
    #[serde(default)]
    pub(super) num_ack_pending: u64,
    #[serde(default)]
    pub(super) num_pending: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct ConsumerConfig {
    #[serde(default)]
    pub(super) ack_policy: String,
    #[serde(default)]
    pub(super) filter_subject: String,
    /// Where it sends events unasked.
    pub(super) deliver_subject: Option<String>,
}

/// How far a consumer has come, in its own count and in that of the stream.
#[derive(Debug, Deserialize)]
pub(super) struct Place {
    #[serde(default)]
    pub(super) consumer_seq: u64,
    #[serde(default)]
    pub(super) stream_seq: u64,
}

/// The answer to a published event.
#[derive(Debug, Deserialize)]
pub(super) struct PublishAnswer {
    #[serde(default)]
    stream: String,
    seq: Option<u64>,
    #[serde(default)]
    duplicate: bool,
    error: Option<Refusal>,
}

/// What a stream says of an event that it has.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) stream: String,
    pub(super) number: u64,
    /// Whether it had it before.
    is_duplicate: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Reply<T> {
    No { error: Refusal },
    Yes(T),
}

#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

#[derive(Serialize)]
struct CreateConsumer<'a> {
    stream_name: &'a str,
    config: &'a consumer::Config,
}

#[derive(Deserialize)]
struct Deleted {}

// === Streams ===

pub(super) async fn stream_info(
    connection: &Connection,
    stream: &str,
    by: Instant,
) -> Result<StreamInfo, Fault> {
    ask(connection, format!("STREAM.INFO.{stream}"), Bytes::new(), by).await
}

pub(super) async fn create_stream(
    connection: &Connection,
    config: &stream::Config,
    by: Instant,
) -> Result<StreamInfo, Fault> {
    ask(connection, format!("STREAM.CREATE.{}", config.name), json(config)?, by).await
}

// === Consumers ===

/// What the servers know of a consumer; nothing if there is none.
pub(super) async fn consumer_info(
    connection: &Connection,
    stream: &str,
    name: &str,
    by: Instant,
) -> Result<Option<ConsumerInfo>, Fault> {
    let asked = ask(connection, format!("CONSUMER.INFO.{stream}.{name}"), Bytes::new(), by).await;
    unless_gone(asked)
}

/// Makes the consumer that `config` names, for the one subject that it filters.
pub(super) async fn create_consumer(
    connection: &Connection,
    stream: &str,
    config: &consumer::Config,
    by: Instant,
) -> Result<ConsumerInfo, Fault> {
    let name = config.name.as_deref().unwrap_or_default();
    let question = format!("CONSUMER.CREATE.{stream}.{name}.{}", config.filter_subject);
    ask(connection, question, json(&CreateConsumer { stream_name: stream, config })?, by).await
}

/// Removes a consumer. One that is not there is as good.
pub(super) async fn delete_consumer(
    connection: &Connection,
    stream: &str,
    name: &str,
    by: Instant,
) -> Result<(), Fault> {
    let question = format!("CONSUMER.DELETE.{stream}.{name}");
    let asked = ask::<Deleted>(connection, question, Bytes::new(), by).await;
    unless_gone(asked).map(|_| ())
}

fn unless_gone<T>(asked: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match asked {
        Ok(found) => Ok(Some(found)),
        Err(Fault::Refused { code: code::CONSUMER_NOT_FOUND, .. }) => Ok(None),
        Err(fault) => Err(fault),
    }
}

// === What they have in common ===

/// Asks until there is an answer: while the servers choose who leads, nobody gives one, and nobody remembers the question.
/// Asking any of these twice does what asking it once does.
async fn ask<T: DeserializeOwned>(
    connection: &Connection,
    question: String,
    payload: Bytes,
    by: Instant,
) -> Result<T, Fault> {
    let answer = loop {
        let soon = by.min(Instant::now() + ANSWER_MAX);
        match connection.request(format!("$JS.API.{question}"), payload.clone(), soon).await {
            Err(Fault::Silent) if soon < by => {}
            answered => break answered?,
        }
    };
    match serde_json::from_slice(&answer.payload) {
        Ok(Reply::Yes(value)) => Ok(value),
        Ok(Reply::No { error }) => Err(error.into()),
        Err(error) => Err(Fault::refused(format_args!("not understood ({question}): {error}"))),
    }
}

fn json(value: &impl Serialize) -> Result<Bytes, Fault> {
    serde_json::to_vec(value).map(Bytes::from).map_err(Fault::refused)
}

impl PublishAnswer {
    /// Where the event is stored.
    pub(super) fn read(payload: &[u8]) -> Result<Stored, Fault> {
        let answer: Self = serde_json::from_slice(payload).map_err(Fault::refused)?;
        match answer {
            Self { error: Some(refusal), .. } => Err(refusal.into()),
            Self { seq: Some(number), stream, duplicate: is_duplicate, .. } => {
                Ok(Stored { stream, number, is_duplicate })
            }
            _ => Err(Fault::refused("an answer without a number")),
        }
    }
}

impl Stored {
    /// Whether this can be of the stream that had given the number `before` when the event was sent, and not of one made anew.
    pub(super) fn follows(&self, before: u64) -> bool {
        self.is_duplicate || self.number > before
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        // They are busy choosing who leads: nothing was stored.
        if code::BUSY.contains(&refusal.err_code) {
            return Self::away(refusal.description);
        }
        Self::Refused { code: refusal.err_code, words: refusal.description.into() }
    }
}

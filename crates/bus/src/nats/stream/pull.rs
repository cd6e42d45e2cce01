//! Pulling events out of a consumer.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::{Message, StatusCode, Subject, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use serde::Serialize;
use tokio::{sync::watch, task::coop::unconstrained, time::timeout};

use super::connection::{Connection, Fault};

/// How long the servers keep a request for more.
const EXPIRES: Duration = Duration::from_secs(30);

/// How often they show that they still have it.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// After this time without anything, they do not.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// The bytes that one request may bring, so that many large events do not pile up.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// The events that a consumer sends to us.
pub(super) struct Pull {
    connection: Arc<Connection>,
    messages: Subscriber,
    inbox: String,
    question: Subject,
    denials: watch::Receiver<Option<(String, Fault)>>,
    /// The requests that the servers have, the oldest first.
    requests: VecDeque<Request>,
    number: u64,
}

struct Request {
    number: u64,
    /// Events that may still come of it.
    due: usize,
}

/// The body of a request for more. Times are in nanoseconds.
#[derive(Serialize)]
struct More {
    batch: usize,
    expires: u128,
    idle_heartbeat: u128,
    max_bytes: usize,
}

/// What the servers say of an event besides the event, in the subject for its acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    /// How often it was delivered, this time included.
    pub(super) delivery: u64,
    /// Its number in the stream.
    pub(super) stream: u64,
    /// The number of this delivery among those of the consumer.
    pub(super) consumer: u64,
    /// How many events the consumer has for us after it.
    pub(super) pending: u64,
}

// === impl Pull ===

impl Pull {
    pub(super) async fn open(
        connection: &Arc<Connection>,
        stream: &str,
        consumer: &str,
    ) -> Result<Self, Fault> {
        let inbox = connection.client.new_inbox();
        let subscribed = connection.client.subscribe(format!("{inbox}.*")).await;
        Ok(Self {
            connection: Arc::clone(connection),
            messages: subscribed.map_err(Fault::away)?,
            inbox,
            question: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}").into(),
            denials: connection.denials(),
            requests: VecDeque::new(),
            number: 0,
        })
    }

    /// Events that may come without asking for more.
    pub(super) fn due(&self) -> usize {
        self.requests.iter().map(|request| request.due).sum()
    }

    /// Asks for `batch` more events.
    pub(super) async fn ask(&mut self, batch: usize) -> Result<(), Fault> {
        let more = More {
            batch,
            expires: EXPIRES.as_nanos(),
            idle_heartbeat: HEARTBEAT.as_nanos(),
            // One event always fits, or it would never come.
            max_bytes: BYTES_MAX.max(2 * self.connection.client.max_payload()),
        };
        let body = serde_json::to_vec(&more).map_err(Fault::refused)?;
        self.number += 1;
        let reply = Subject::from(format!("{}.{}", self.inbox, self.number));
        let client = &self.connection.client;
        let asked = client.publish_with_reply(self.question.clone(), reply, body.into());
        match timeout(SILENCE_MAX, asked).await {
            Ok(asked) => asked.map_err(Fault::away)?,
            Err(_) => return Err(Fault::Silent),
        }
        self.requests.push_back(Request { number: self.number, due: batch });
        Ok(())
    }

    /// The next event; nothing when a request came to its end without one.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<(Message, Numbers)>, Fault> {
        loop {
            let message = self.receive().await?;
            match message.status {
                None => {
                    let numbers = message.reply.as_deref().and_then(Numbers::parse);
                    let Some(numbers) = numbers else { continue };
                    self.count_one();
                    return Ok(Some((message, numbers)));
                }
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                Some(StatusCode::NO_RESPONDERS) => {
                    return Err(Fault::Nobody(self.question.clone()));
                }
                Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => {
                    if self.end(&message.subject) {
                        return Ok(None);
                    }
                }
                Some(_) => {
                    let words = message.description.unwrap_or_default();
                    if !is_usual_end(&words) {
                        return Err(Fault::refused(words));
                    }
                    if self.end(&message.subject) {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn receive(&mut self) -> Result<Message, Fault> {
        // Most often there is one, and then nothing waits and no clock is asked.
        if let Some(message) = self.messages.next().now_or_never() {
            return message.ok_or(Fault::Lost);
        }
        tokio::select! {
            () = self.connection.lost() => Err(Fault::Lost),
            fault = denied(&mut self.denials, &self.question) => Err(fault),
            received = timeout(SILENCE_MAX, unconstrained(self.messages.next())) => {
                received.map_err(|_| Fault::Silent)?.ok_or(Fault::Lost)
            }
        }
    }

    /// The servers work off requests in order, so an event counts for the oldest.
    fn count_one(&mut self) {
        if let Some(oldest) = self.requests.front_mut() {
            oldest.due -= 1;
            if oldest.due == 0 {
                self.requests.pop_front();
            }
        }
    }

    /// Whether something was still to come of the request that is over: the servers also say so of one that brought everything.
    fn end(&mut self, subject: &str) -> bool {
        let number = subject.rsplit('.').next().and_then(|number| number.parse().ok());
        let before = self.requests.len();
        self.requests.retain(|request| Some(request.number) != number);
        self.requests.len() < before
    }
}

/// Waits until the server refuses what is sent to `subject`.
async fn denied(
    denials: &mut watch::Receiver<Option<(String, Fault)>>,
    subject: &Subject,
) -> Fault {
    while denials.changed().await.is_ok() {
        if let Some((_, fault)) =
            denials.borrow_and_update().as_ref().filter(|(denied, _)| denied == subject.as_str())
        {
            return fault.clone();
        }
    }
    Fault::Lost
}

/// Whether a request ended because it brought what it could.
fn is_usual_end(words: &str) -> bool {
    ["Message Size Exceeds MaxBytes", "Batch Completed"]
        .iter()
        .any(|usual| words.eq_ignore_ascii_case(usual))
}

impl Numbers {
    /// `$JS.ACK.<stream>.<consumer>.<delivery>.<stream>.<consumer>.<time>.<pending>`;
    /// where there are domains, with two parts more after `ACK` and perhaps one at the end.
    fn parse(reply: &str) -> Option<Self> {
        let parts: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let numbers = match parts.len() {
            7 => &parts[2..],
            9.. => &parts[4..],
            _ => return None,
        };
        Some(Self {
            delivery: numbers[0].parse().ok()?,
            stream: numbers[1].parse().ok()?,
            consumer: numbers[2].parse().ok()?,
            pending: numbers[4].parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_numbers_of_an_event_with_and_without_a_domain() {
        let expected = Some(Numbers { delivery: 1, stream: 30, consumer: 20, pending: 5 });
        assert_eq!(Numbers::parse("$JS.ACK.LOG.reader.1.30.20.1700000000.5"), expected);
        assert_eq!(Numbers::parse("$JS.ACK.hub.abc.LOG.reader.1.30.20.1700000000.5"), expected);
        assert_eq!(Numbers::parse("$JS.ACK._.abc.LOG.reader.1.30.20.1700000000.5.xyz"), expected);
        for reply in ["", "$JS.ACK", "_INBOX.1", "$JS.ACK.LOG.reader.1.x.20.17.5", "$JS.ACK.a.b.c"]
        {
            assert_eq!(Numbers::parse(reply), None, "{reply}");
        }
    }
}

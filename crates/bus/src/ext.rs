//! Types instead of bytes, on any bus.

use std::{fmt, marker::PhantomData, num::NonZeroUsize, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout_at};

use crate::{
    Bus, DecodeError, Delivery, Error, Event, Subscription, Topic,
    topic::{decode, encode},
    unique::unique,
};

/// The header that names the topic on which a request wants its answer.
pub const REPLY_TO: &str = "Cantina-Reply-To";

/// Answers that wait for one requester. The first counts, so there is room for a few that come too late.
const ANSWERS_MAX: NonZeroUsize = NonZeroUsize::new(16).expect("16 is not zero");

/// What every [`Bus`] can do with a [`Topic`].
pub trait BusExt: Bus {
    /// Publishes `value` as JSON.
    ///
    /// # Errors
    ///
    /// Those of [`Bus::publish`], and [`Error::Encode`].
    fn publish_json<T: Serialize>(
        &self,
        topic: &Topic<T>,
        value: &T,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let event = topic.encode(value);
        async { self.publish(event?).await }
    }

    /// Receives every value published on `topic` from now on; see [`Bus::subscribe`].
    fn subscribe_json<T: DeserializeOwned>(
        &self,
        topic: &Topic<T>,
        capacity: NonZeroUsize,
    ) -> impl Future<Output = Result<TypedSubscription<T>, Error>> + Send {
        let name = topic.name();
        async move {
            let events = self.subscribe(name, capacity).await?;
            Ok(TypedSubscription { events, payload: PhantomData })
        }
    }

    /// Publishes `question` and waits, at most for `patience`, for the first answer.
    ///
    /// The question carries a private topic in the header [`REPLY_TO`]; who answers uses [`answer`](Self::answer).
    fn request<Q: Serialize, A: DeserializeOwned>(
        &self,
        topic: &Topic<Q>,
        question: &Q,
        patience: Duration,
    ) -> impl Future<Output = Result<A, RequestError>> + Send {
        let (name, event) = (topic.name(), topic.encode(question));
        async move {
            let deadline = Instant::now() + patience;
            timeout_at(deadline, ask(self, event?))
                .await
                .map_err(|_| RequestError::NoAnswer { topic: name.to_owned(), after: patience })?
        }
    }

    /// Answers `question`, an event received on the topic of a [`request`](Self::request).
    ///
    /// An event that wants no answer gets none, which is not an error.
    fn answer<A: Serialize>(
        &self,
        question: &Event,
        answer: &A,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let answer = question.headers.get(REPLY_TO).map(|topic| encode(topic, answer));
        async {
            match answer {
                Some(event) => self.publish(event?).await,
                None => Ok(()),
            }
        }
    }
}

impl<B: Bus + ?Sized> BusExt for B {}

/// Asks on a topic of its own and waits for the first answer, without a limit.
async fn ask<B: Bus + ?Sized, A: DeserializeOwned>(
    bus: &B,
    question: Event,
) -> Result<A, RequestError> {
    let reply_to = format!("reply.{}", unique());
    let mut answers = bus.subscribe(&reply_to, ANSWERS_MAX).await?;
    bus.publish(question.with_header(REPLY_TO, reply_to)).await?;
    loop {
        match answers.recv().await {
            Some(Delivery::Event(answer)) => return Ok(decode(&answer)?),
            Some(Delivery::Missed(_)) => {}
            None => return Err(RequestError::Bus(Error::Closed)),
        }
    }
}

/// The values of one topic.
pub struct TypedSubscription<T> {
    events: Subscription,
    payload: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> TypedSubscription<T> {
    /// Waits for the next value. `None` means what it means for [`Subscription::recv`].
    ///
    /// After an error the next call goes on with the next event.
    /// Cancel safe.
    pub async fn recv(&mut self) -> Option<Result<T, ReceiveError>> {
        Some(match self.events.recv().await? {
            Delivery::Event(event) => decode(&event).map_err(ReceiveError::from),
            Delivery::Missed(count) => {
                Err(ReceiveError::Missed { topic: self.events.topic().to_owned(), count })
            }
        })
    }

    /// The events themselves, with their headers.
    pub fn into_inner(self) -> Subscription {
        self.events
    }
}

impl<T> fmt::Debug for TypedSubscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedSubscription").field(&self.events).finish()
    }
}

/// The next thing in a [`TypedSubscription`] is not a value.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The payload is not what the topic promises; the event was skipped.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Events were lost here.
    #[error("events missed on `{topic}`: {count}")]
    Missed {
        /// The topic.
        topic: String,
        /// How many.
        count: u64,
    },
}

/// A request got no answer that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The bus refused the question, or was closed.
    #[error(transparent)]
    Bus(#[from] Error),
    /// Nobody answered in time.
    #[error("no answer on `{topic}` within {after:?}")]
    NoAnswer {
        /// The topic of the question.
        topic: String,
        /// How long the request waited.
        after: Duration,
    },
    /// The answer is not what the requester expected.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::MemoryBus;

    const NUMBER: Topic<u32> = Topic::new("number");

    fn room() -> NonZeroUsize {
        NonZeroUsize::new(2).unwrap()
    }

    #[tokio::test]
    async fn a_typed_subscriber_gets_values_and_learns_of_bad_and_lost_ones() {
        let bus: Arc<dyn Bus> = Arc::new(MemoryBus::default());
        let mut numbers = bus.subscribe_json(&NUMBER, room()).await.unwrap();
        bus.publish_json(&NUMBER, &1).await.unwrap();
        bus.publish(Event::new(NUMBER.name(), "not a number")).await.unwrap();
        bus.publish_json(&NUMBER, &3).await.unwrap();

        let lost = numbers.recv().await.unwrap().unwrap_err();
        assert_eq!(lost.to_string(), "events missed on `number`: 1");
        let bad = numbers.recv().await.unwrap().unwrap_err();
        assert_eq!(bad.to_string(), "reading the payload of an event on `number`");
        assert_eq!(numbers.recv().await.unwrap().unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_gives_up_when_its_patience_ends() {
        let bus = MemoryBus::default();
        let patience = Duration::from_secs(3);
        let before = Instant::now();
        let error = bus.request::<_, u32>(&NUMBER, &1, patience).await.unwrap_err();
        assert_eq!(error.to_string(), "no answer on `number` within 3s");
        assert_eq!(before.elapsed(), patience);
        assert_eq!(bus.state().subscriptions, 0, "the private topic is gone");
    }

    #[tokio::test]
    async fn the_first_answer_counts_and_a_wrong_one_is_named() {
        let bus = MemoryBus::default();
        let mut questions = bus.subscribe("number", room()).await.unwrap();
        let answer = async {
            let Some(Delivery::Event(question)) = questions.recv().await else {
                panic!("no question")
            };
            bus.answer(&question, &(NUMBER.decode(&question).unwrap() + 1)).await.unwrap();
            bus.answer(&question, &"too late").await.unwrap();
        };
        let patience = Duration::from_secs(3);
        let (received, ()) = tokio::join!(bus.request(&NUMBER, &1, patience), answer);
        assert_eq!(received.ok(), Some(2_u32));

        let answer = async {
            let Some(Delivery::Event(question)) = questions.recv().await else {
                panic!("no question")
            };
            bus.answer(&question, &"text").await.unwrap();
        };
        let (received, ()) = tokio::join!(bus.request::<_, u32>(&NUMBER, &1, patience), answer);
        assert!(matches!(received, Err(RequestError::Decode(_))), "{received:?}");
    }

    #[tokio::test]
    async fn what_asks_for_no_answer_gets_none() {
        let bus = MemoryBus::default();
        bus.answer(&Event::new("number", "1"), &2).await.unwrap();
        assert_eq!(bus.state().published, 0);
    }
}

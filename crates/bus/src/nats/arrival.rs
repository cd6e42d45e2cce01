//! From what the server sends to what subscribers find in their queues.

use std::sync::{Arc, atomic::Ordering};

use async_nats::{Client, HeaderMap, HeaderName, HeaderValue, Message, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::{
    sync::{Notify, oneshot},
    task::coop::unconstrained,
};

use super::{
    connection::Connection,
    subject::{Pattern, topic_of},
};
use crate::{Event, Feed, Headers, REPLY_TO};

/// The most events that a subscriber is given at once.
const BATCH: usize = 256;

/// One subscription, on the side of the connection's thread.
pub(super) struct Arrivals {
    pub(super) client: Client,
    pub(super) connection: Arc<Connection>,
    pub(super) pattern: Pattern,
    pub(super) feed: Arc<Feed>,
    /// Told when the subscriber leaves.
    pub(super) left: Arc<Notify>,
}

impl Arrivals {
    /// Subscribes, says so to `subscribed`, and passes events on until the subscriber leaves or the connection is closed.
    ///
    /// It takes whatever has arrived without giving way to other tasks: then the client library's own queue is empty whenever the socket is read.
    pub(super) async fn forward(self, subscribed: oneshot::Sender<()>) {
        tokio::select! {
            biased;
            () = self.left.notified() => {}
            () = unconstrained(self.pass_on(subscribed)) => {}
        }
        self.connection.feeds.remove(&self.feed);
    }

    async fn pass_on(&self, subscribed: oneshot::Sender<()>) {
        let subject = self.pattern.subject.clone();
        let Ok(mut messages) = self.client.subscribe(subject).await else { return };
        // Nothing is awaited between the two, so no message can be lost before its feed is known.
        self.connection.feeds.add(sid(&messages), &self.feed);
        // Whoever asked may have left; then `left` says so.
        let _ = subscribed.send(());
        let mut batch = Vec::new();
        while let Some(first) = messages.next().await {
            batch.extend(event(first, self.pattern.exact.as_ref()));
            // What else is there goes along, so that the subscriber is woken once for all.
            while batch.len() < BATCH {
                let Some(Some(message)) = messages.next().now_or_never() else { break };
                batch.extend(event(message, self.pattern.exact.as_ref()));
            }
            let Some(displaced) = self.feed.push_all(batch.drain(..)) else { return };
            self.connection.missed.fetch_add(displaced, Ordering::Relaxed);
        }
    }
}

/// The number by which the client library calls a subscription when it reports that it dropped one of its messages.
///
/// It shows it nowhere but here. The test `what_arrives_too_fast_is_counted` fails when that changes.
fn sid(messages: &Subscriber) -> Option<u64> {
    let text = format!("{messages:?}");
    let (_, rest) = text.split_once("sid: ")?;
    rest.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()
}

/// What a message is on our bus; `None` for a subject that is no topic, which only a pattern can bring.
pub(super) fn event(message: Message, exact: Option<&Arc<str>>) -> Option<Event> {
    let topic = match exact {
        Some(topic) => Arc::clone(topic),
        None => topic_of(&message.subject)?.into(),
    };
    let mut event = Event::new(topic, message.payload);
    if let Some(headers) = &message.headers {
        event.headers = headers_of(headers);
    }
    let reply_to = message.reply.as_deref().and_then(topic_of);
    if let Some(topic) = reply_to.filter(|_| event.headers.get(REPLY_TO).is_none()) {
        event.headers.push(REPLY_TO, topic);
    }
    Some(event)
}

/// Headers by name: the client library keeps no order among different names.
///
/// What no event of ours could have is left out, so that an event that came can be published as it is.
fn headers_of(map: &HeaderMap) -> Headers {
    let with_text =
        |(name, values)| -> (&str, &Vec<HeaderValue>) { (HeaderName::as_ref(name), values) };
    let mut names: Vec<_> = map.iter().map(with_text).collect();
    names.sort_unstable_by_key(|(name, _)| *name);
    let each = |(name, values)| {
        let values: &Vec<HeaderValue> = values;
        values.iter().map(move |value| (name, value.as_str()))
    };
    Headers::of_valid(names.into_iter().flat_map(each))
}

/// Passes on every fence that comes back.
pub(super) async fn pass_fences(mut fences: Subscriber, connection: Arc<Connection>) {
    while let Some(message) = fences.next().await {
        // What the server said before the fence was handed to another task before the fence was handed to this one. Let it run first.
        tokio::task::yield_now().await;
        connection.fences.pass(&message.subject);
    }
    // When the bus is closed, this task is gone before the library is.
    connection.broke();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str, reply: Option<&str>, headers: Option<HeaderMap>) -> Message {
        Message {
            subject: subject.into(),
            reply: reply.map(Into::into),
            payload: "{}".into(),
            headers,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn a_foreign_question_says_where_to_answer_if_that_is_a_topic() {
        let reply_to = |reply| {
            let event = event(message("cantina.a", Some(reply), None), None).unwrap();
            event.headers.get(REPLY_TO).map(str::to_owned)
        };
        assert_eq!(reply_to("cantina.reply.1").as_deref(), Some("reply.1"));
        assert_eq!(reply_to("_INBOX.1"), None);
        assert_eq!(reply_to("cantina.*"), None);
    }

    #[test]
    fn the_header_counts_where_there_is_one() {
        let mut map = HeaderMap::new();
        map.append(REPLY_TO, "mine");
        let event = event(message("cantina.a", Some("cantina.other"), Some(map)), None).unwrap();
        assert_eq!(event.headers.iter().collect::<Vec<_>>(), [(REPLY_TO, "mine")]);
    }

    #[test]
    fn headers_are_sorted_by_name_and_impossible_ones_left_out() {
        let mut map = HeaderMap::new();
        for (name, value) in
            [("C", "3"), ("A", "1"), ("B", "2"), ("A", "0"), ("Bell", "\u{7}"), ("D", " x")]
        {
            map.append(name, value);
        }
        map.append("Huge", "x".repeat(crate::HEADERS_BYTES_MAX));
        let event = event(message("cantina.a", None, Some(map)), None).unwrap();
        let headers: Vec<_> = event.headers.iter().collect();
        assert_eq!(headers, [("A", "1"), ("A", "0"), ("B", "2"), ("C", "3")]);
    }

    #[test]
    fn a_subscriber_finds_the_topic_it_asked_for() {
        let exact = "/dashboard/log".into();
        let found = |exact| event(message("cantina.dashboard.log", None, None), exact);
        assert_eq!(&*found(Some(&exact)).unwrap().topic, "/dashboard/log");
        assert_eq!(&*found(None).unwrap().topic, "dashboard.log");
        assert_eq!(event(message("other", None, None), None), None);
    }
}

//! What travels on a bus.

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;

use crate::{Capabilities, Error, check_topic};

/// The most bytes that the names and values of an event's headers may have together.
///
/// A broker that counts headers into its limit declares that much less as [`Capabilities::payload_max`].
pub const HEADERS_BYTES_MAX: usize = 4096;

/// Bytes under a topic, with a few headers. Cloning shares all three.
///
/// ```
/// use bus::Event;
///
/// let event = Event::new("/dashboard/log", r#"{"message": "hello"}"#).with_header("Cantina-Origin", "r3x");
/// assert_eq!(event.headers.get("Cantina-Origin"), Some("r3x"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// The topic it is published on.
    pub topic: Arc<str>,
    /// What is published. The bus never looks into it.
    pub payload: Bytes,
    /// What accompanies it: ids, origins, where to answer.
    pub headers: Headers,
}

impl Event {
    /// An event without headers. Whether a bus takes it is decided when it is published.
    pub fn new(topic: impl Into<Arc<str>>, payload: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), headers: Headers::default() }
    }

    /// Adds a header after those it has.
    #[must_use]
    pub fn with_header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.headers.push(name, value);
        self
    }

    /// What every adapter checks before it publishes: topic, headers and size.
    ///
    /// # Errors
    ///
    /// [`Error::Topic`], [`Error::Header`] or [`Error::TooLarge`].
    pub fn check(&self, capabilities: &Capabilities) -> Result<(), Error> {
        check_topic(&self.topic)?;
        self.check_content(capabilities.payload_max)
    }

    /// What [`check`](Self::check) does besides the topic.
    pub(crate) fn check_content(&self, payload_max: usize) -> Result<(), Error> {
        self.headers.check(&self.topic)?;
        let (bytes, limit) = (self.payload.len(), payload_max);
        if bytes > limit {
            return Err(Error::TooLarge { topic: self.topic.to_string(), bytes, limit });
        }
        Ok(())
    }
}

/// Shows the size of the payload, not the payload: it may be long, and it may be private.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("topic", &self.topic)
            .field("payload_bytes", &self.payload.len())
            .field("headers", &self.headers)
            .finish()
    }
}

/// Names with values, in the order they were added. Names are compared exactly.
///
/// A broker may bring the names into another order, but never the values of one name.
///
/// Usually there are none; then nothing is allocated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Option<Arc<Vec<Header>>>);

/// One header: its name and its value.
type Header = (Cow<'static, str>, String);

impl Headers {
    /// Adds a header after the others.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let headers = self.0.get_or_insert_default();
        Arc::make_mut(headers).push((name.into(), value.into()));
    }

    /// The value of the first header of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All headers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|all| all.iter()).map(|(name, value)| (&**name, &**value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Those of `all` that every adapter can carry.
    #[cfg(feature = "nats")]
    pub(crate) fn of_valid<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let (mut headers, mut bytes) = (Self::default(), 0);
        for (name, value) in all {
            let with_it = bytes + name.len() + value.len();
            if fault(name, value, with_it).is_none() {
                headers.push(name.to_owned(), value);
                bytes = with_it;
            }
        }
        headers
    }

    fn check(&self, topic: &str) -> Result<(), Error> {
        let mut bytes = 0;
        for (name, value) in self.iter() {
            bytes += name.len() + value.len();
            if let Some(reason) = fault(name, value, bytes) {
                let (topic, name) = (topic.to_owned(), name.to_owned());
                return Err(Error::Header { topic, name, reason });
            }
        }
        Ok(())
    }
}

/// The rule that a header breaks, with which all of them come to `bytes`.
///
/// A name is printable ASCII without a colon, and a value has no control characters:
/// on the wire of a broker a line break would begin another header, or end them all.
/// Blanks around a value are lost there.
fn fault(name: &str, value: &str, bytes: usize) -> Option<&'static str> {
    if name.is_empty() {
        Some("the name is empty")
    } else if !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
        Some("the name has a character other than printable ASCII without `:`")
    } else if value.contains(char::is_control) {
        Some("the value has a control character")
    } else if value.trim() != value {
        Some("the value begins or ends with a blank")
    } else if bytes > HEADERS_BYTES_MAX {
        Some("all headers together have more than 4096 bytes")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bus, MemoryBus};

    #[track_caller]
    fn check(name: &'static str, value: &str, expected: Option<&str>) {
        let event = Event::new("a", "").with_header(name, value);
        let refused = event.check(&MemoryBus::default().capabilities()).err();
        assert_eq!(refused.map(|error| error.to_string()).as_deref(), expected);
    }

    #[test]
    fn a_header_cannot_smuggle_in_another() {
        check("Cantina-Origin", "r3x", None);
        check("Cantina-Origin", "größer", None);
        check(
            "Cantina-Origin",
            "r3x\r\nNats-Msg-Id: 1",
            Some("header `Cantina-Origin` of an event on `a`: the value has a control character"),
        );
        check(
            "A",
            " x",
            Some("header `A` of an event on `a`: the value begins or ends with a blank"),
        );
        check("", "x", Some("header `` of an event on `a`: the name is empty"));
        check(
            "A: b",
            "x",
            Some(
                "header `A: b` of an event on `a`: the name has a character other than printable ASCII without `:`",
            ),
        );
        check(
            "A",
            &"x".repeat(HEADERS_BYTES_MAX),
            Some("header `A` of an event on `a`: all headers together have more than 4096 bytes"),
        );
    }

    #[test]
    fn a_clone_shares_everything_and_changes_alone() {
        let first = Event::new("a", "payload").with_header("A", "1");
        let second = first.clone().with_header("B", "2");
        assert_eq!(first.headers.iter().collect::<Vec<_>>(), [("A", "1")]);
        assert_eq!(second.headers.iter().collect::<Vec<_>>(), [("A", "1"), ("B", "2")]);
        assert_eq!(first.payload.as_ptr(), second.payload.as_ptr());
    }

    #[test]
    fn debug_does_not_show_the_payload() {
        assert!(!format!("{:?}", Event::new("a", "secret")).contains("secret"));
    }
}

//! Topics: which names are allowed, and what travels on one.

use std::{fmt, marker::PhantomData};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Event};

/// The longest topic, in bytes.
pub const TOPIC_BYTES_MAX: usize = 255;

/// Whether every adapter can carry `topic`.
///
/// A topic is 1 to 255 bytes of printable ASCII without spaces, `*` and `>`.
/// Its segments are separated by `.` or `/`, and none is empty, except that the topic may begin with `/`.
///
/// # Errors
///
/// [`Error::Topic`], with the rule that is broken.
pub fn check_topic(topic: &str) -> Result<(), Error> {
    fault(topic).map_or(Ok(()), |reason| Err(Error::Topic { topic: topic.to_owned(), reason }))
}

/// The rule that `topic` breaks. `const`, so that [`Topic::new`] can refuse at compile time.
const fn fault(topic: &str) -> Option<&'static str> {
    let bytes = topic.as_bytes();
    if bytes.is_empty() {
        return Some("it is empty");
    }
    if bytes.len() > TOPIC_BYTES_MAX {
        return Some("it has more than 255 bytes");
    }
    // A leading slash is part of the name, not the end of an empty segment.
    let mut at = if bytes[0] == b'/' { 1 } else { 0 };
    let mut segment_bytes = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'.' | b'/' if segment_bytes == 0 => return Some("it has an empty segment"),
            b'.' | b'/' => segment_bytes = 0,
            b'*' | b'>' => return Some("it has a wildcard, `*` or `>`"),
            0x21..=0x7e => segment_bytes += 1,
            _ => return Some("it has a character other than printable ASCII without spaces"),
        }
        at += 1;
    }
    if segment_bytes == 0 { Some("it has an empty segment") } else { None }
}

/// The name of a topic, and the type that travels on it as JSON.
///
/// ```
/// use bus::Topic;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct SetLevel {
///     level: String,
/// }
///
/// const SET_LEVEL: Topic<SetLevel> = Topic::new("debug.set.global.level");
///
/// let event = SET_LEVEL.encode(&SetLevel { level: "DEBUG".into() })?;
/// assert_eq!(event.payload, r#"{"level":"DEBUG"}"#);
/// assert_eq!(SET_LEVEL.decode(&event)?.level, "DEBUG");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Topic<T> {
    name: &'static str,
    payload: PhantomData<fn() -> T>,
}

impl<T> Topic<T> {
    /// Ties `name` to `T`.
    ///
    /// # Panics
    ///
    /// If [`check_topic`] refuses `name`; in a constant, that is an error of the compiler.
    pub const fn new(name: &'static str) -> Self {
        assert!(fault(name).is_none(), "not the name of a topic: see `bus::check_topic`");
        Self { name, payload: PhantomData }
    }

    /// The topic as the bus knows it.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T: Serialize> Topic<T> {
    /// The event that carries `value`.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if `value` has no form in JSON.
    pub fn encode(&self, value: &T) -> Result<Event, Error> {
        encode(self.name, value)
    }
}

impl<T: DeserializeOwned> Topic<T> {
    /// What `event` carries.
    pub fn decode(&self, event: &Event) -> Result<T, DecodeError> {
        decode(event)
    }
}

/// An event of any topic with `value` as JSON.
pub(crate) fn encode<T: Serialize>(topic: &str, value: &T) -> Result<Event, Error> {
    match serde_json::to_vec(value) {
        Ok(payload) => Ok(Event::new(topic, payload)),
        Err(source) => Err(Error::Encode { topic: topic.to_owned(), source }),
    }
}

/// The JSON in an event of any topic.
pub(crate) fn decode<T: DeserializeOwned>(event: &Event) -> Result<T, DecodeError> {
    serde_json::from_slice(&event.payload)
        .map_err(|source| DecodeError { topic: event.topic.to_string(), source })
}

/// A payload is not what its topic promises.
#[derive(Debug, thiserror::Error)]
#[error("reading the payload of an event on `{topic}`")]
pub struct DecodeError {
    /// The topic of the event.
    pub topic: String,
    /// What is wrong, and where in the payload.
    pub source: serde_json::Error,
}

// A derive would ask for `T: Clone`, `T: Copy` and `T: Debug`.
impl<T> Clone for Topic<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Topic<T> {}

impl<T> fmt::Debug for Topic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Topic").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(topic: &str, expected: Option<&str>) {
        let refused = check_topic(topic).err().map(|error| error.to_string());
        assert_eq!(refused.as_deref(), expected);
    }

    #[test]
    fn topics_of_cantina_os_are_topics() {
        for topic in
            ["/dashboard/log", "service.status.update", "MODE_TRANSITION", "voice.cleaned_up", "a"]
        {
            check(topic, None);
        }
        check(&"x".repeat(255), None);
    }

    #[test]
    fn what_some_broker_would_misread_is_refused() {
        check("", Some("topic ``: it is empty"));
        check(
            "a b",
            Some("topic `a b`: it has a character other than printable ASCII without spaces"),
        );
        check(
            "a\r\nPUB b",
            Some(
                "topic `a\\r\\nPUB b`: it has a character other than printable ASCII without spaces",
            ),
        );
        check("ä", Some("topic `ä`: it has a character other than printable ASCII without spaces"));
        check("a.*", Some("topic `a.*`: it has a wildcard, `*` or `>`"));
        check("a.>", Some("topic `a.>`: it has a wildcard, `*` or `>`"));
        for topic in ["a..b", "a/.b", "a.", ".a", "//a", "/"] {
            check(topic, Some(&format!("topic `{topic}`: it has an empty segment")));
        }
        assert!(check_topic(&"x".repeat(256)).is_err());
    }

    #[test]
    fn a_payload_of_another_type_is_an_error_that_names_the_topic() {
        let error = Topic::<u32>::new("a.b").decode(&Event::new("a.b", "\"x\"")).unwrap_err();
        assert_eq!(error.to_string(), "reading the payload of an event on `a.b`");
        assert!(std::error::Error::source(&error).is_some());
    }
}

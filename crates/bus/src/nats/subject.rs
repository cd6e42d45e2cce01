//! Topics as subjects: `cantina.` before them, and `.` for `/`.

use std::{collections::HashMap, sync::Arc};

use async_nats::Subject;
use parking_lot::RwLock;

use crate::{Error, check_topic};

/// What all our subjects begin with.
const PREFIX: &str = "cantina.";

/// Topics whose subject is remembered. Programs use a few dozen for long; the rest are private topics for answers.
const KNOWN_MAX: usize = 1024;

/// The subjects of the topics that were used, so that publishing neither checks nor converts the same topic again.
#[derive(Default)]
pub(super) struct Subjects {
    known: RwLock<HashMap<Arc<str>, Subject>>,
}

impl Subjects {
    /// The subject of `topic`, if that is one.
    pub(super) fn of(&self, topic: &Arc<str>) -> Result<Subject, Error> {
        if let Some(subject) = self.known.read().get(topic) {
            return Ok(subject.clone());
        }
        check_topic(topic)?;
        let subject = Subject::from(subject_of(topic));
        let mut known = self.known.write();
        if known.len() == KNOWN_MAX {
            known.clear();
        }
        known.insert(Arc::clone(topic), subject.clone());
        Ok(subject)
    }
}

/// `/dashboard/log` is `cantina.dashboard.log`.
pub(super) fn subject_of(topic: &str) -> String {
    let relative = topic.strip_prefix('/').unwrap_or(topic);
    format!("{PREFIX}{}", relative.replace('/', "."))
}

/// `cantina.dashboard.log` is `dashboard.log`; the slashes are gone for good. `None` for what is no subject of ours.
pub(super) fn topic_of(subject: &str) -> Option<&str> {
    subject.strip_prefix(PREFIX).filter(|topic| check_topic(topic).is_ok())
}

/// What someone subscribes to.
pub(super) struct Pattern {
    pub(super) subject: String,
    /// The topic of all events, if it has no wildcard.
    pub(super) exact: Option<Arc<str>>,
}

impl Pattern {
    /// A topic, or one in which whole segments are `*`, or the last one is `>`.
    pub(super) fn parse(topic: &str) -> Result<Self, Error> {
        let refuse = |reason| Error::Topic { topic: topic.to_owned(), reason };
        let relative = topic.strip_prefix('/').unwrap_or(topic);
        let last = relative.split(['.', '/']).count() - 1;
        let mut is_exact = true;
        for (index, segment) in relative.split(['.', '/']).enumerate() {
            match segment {
                "*" => is_exact = false,
                ">" if index == last => is_exact = false,
                ">" => return Err(refuse("it has a `>` that is not its last segment")),
                _ if segment.contains(['*', '>']) => {
                    return Err(refuse("it has a wildcard that is not a whole segment"));
                }
                _ => {}
            }
        }
        // With the wildcards out of the way, the other rules are those of every topic.
        match check_topic(&topic.replace(['*', '>'], "x")) {
            Err(Error::Topic { reason, .. }) => return Err(refuse(reason)),
            Err(other) => return Err(other),
            Ok(()) => {}
        }
        Ok(Self { subject: subject_of(topic), exact: is_exact.then(|| topic.into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_become_subjects_and_come_back_without_slashes() {
        for (topic, subject, back) in [
            ("/dashboard/log", "cantina.dashboard.log", "dashboard.log"),
            ("service.status.update", "cantina.service.status.update", "service.status.update"),
            ("MODE", "cantina.MODE", "MODE"),
            ("a/b.c", "cantina.a.b.c", "a.b.c"),
        ] {
            assert_eq!(subject_of(topic), subject);
            assert_eq!(topic_of(subject), Some(back));
            assert_eq!(&*Subjects::default().of(&topic.into()).unwrap(), subject);
        }
    }

    #[test]
    fn what_is_no_subject_of_ours_has_no_topic() {
        for subject in ["", "cantina", "cantina.", "other.a", "cantina.a\u{e4}", "_INBOX.a"] {
            assert_eq!(topic_of(subject), None, "{subject}");
        }
    }

    #[test]
    fn a_pattern_has_wildcards_for_whole_segments_only() {
        let parse = |topic| Pattern::parse(topic).map(|pattern| (pattern.subject, pattern.exact));
        assert_eq!(parse("/a/b").unwrap(), ("cantina.a.b".to_owned(), Some("/a/b".into())));
        assert_eq!(parse("/a/*/c").unwrap(), ("cantina.a.*.c".to_owned(), None));
        assert_eq!(parse("a.>").unwrap(), ("cantina.a.>".to_owned(), None));
        assert_eq!(parse(">").unwrap(), ("cantina.>".to_owned(), None));
        for (topic, reason) in [
            ("a.>.b", "topic `a.>.b`: it has a `>` that is not its last segment"),
            ("a.b*", "topic `a.b*`: it has a wildcard that is not a whole segment"),
            ("*..b", "topic `*..b`: it has an empty segment"),
            ("", "topic ``: it is empty"),
        ] {
            assert_eq!(parse(topic).unwrap_err().to_string(), reason);
        }
    }

    #[test]
    fn remembers_a_bounded_number_of_subjects() {
        let subjects = Subjects::default();
        for number in 0..3 * KNOWN_MAX {
            subjects.of(&format!("reply.{number}").into()).unwrap();
            assert!(subjects.known.read().len() <= KNOWN_MAX);
        }
        assert!(subjects.of(&"a b".into()).is_err());
    }
}

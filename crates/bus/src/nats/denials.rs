//! What the server forbade lately.
//!
//! A server says so in a line of its own, some time after the message or subscription that it dropped.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How many subjects are remembered; then the oldest are forgotten.
const DENIALS_MAX: usize = 64;

/// How long a subject is not tried again. Permissions of a server change while it runs.
const MEMORY: Duration = Duration::from_secs(30);

/// What a client wanted to do with a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Publish,
    Subscribe,
}

struct Denial {
    wanted: Use,
    subject: String,
    /// What the server said.
    text: String,
    at: Instant,
    /// Rises with every denial.
    number: u64,
}

/// The subjects that the server refused on this connection.
#[derive(Default)]
pub(super) struct Denials {
    /// How many there are, so that publishing looks for its subject only if there are any.
    count: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    denials: VecDeque<Denial>,
    /// All there ever were.
    total: u64,
}

impl Denials {
    pub(super) fn add(&self, wanted: Use, subject: &str, text: &str) {
        let mut inner = self.inner.lock();
        inner.denials.retain(|denial| (denial.wanted, &*denial.subject) != (wanted, subject));
        if inner.denials.len() == DENIALS_MAX {
            inner.denials.pop_front();
        }
        inner.total += 1;
        let number = inner.total;
        let (subject, text) = (subject.to_owned(), text.to_owned());
        inner.denials.push_back(Denial { wanted, subject, text, at: Instant::now(), number });
        self.count.store(inner.denials.len(), Ordering::Release);
    }

    /// Another connection, another server, other permissions.
    pub(super) fn forget(&self) {
        let mut inner = self.inner.lock();
        inner.denials.clear();
        self.count.store(0, Ordering::Release);
    }

    /// How many there have been: what [`subscription`](Self::subscription) counts from.
    pub(super) fn total(&self) -> u64 {
        self.inner.lock().total
    }

    /// What the server said to a message on `subject` lately.
    pub(super) fn publish(&self, subject: &str) -> Option<String> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.forget_old(Instant::now());
        self.find(Use::Publish, subject, 0)
    }

    /// What the server said to a subscription to `subject` after the first `before` denials.
    pub(super) fn subscription(&self, subject: &str, before: u64) -> Option<String> {
        self.find(Use::Subscribe, subject, before)
    }

    /// What the server said last.
    pub(super) fn last(&self) -> Option<String> {
        self.forget_old(Instant::now());
        self.inner.lock().denials.back().map(|denial| denial.text.clone())
    }

    fn find(&self, wanted: Use, subject: &str, before: u64) -> Option<String> {
        let inner = self.inner.lock();
        let is_it = |denial: &&Denial| {
            denial.wanted == wanted && denial.number > before && denial.subject == subject
        };
        inner.denials.iter().find(is_it).map(|denial| denial.text.clone())
    }

    /// Only messages are tried again after some time: a subscription stays refused until someone asks for it again.
    fn forget_old(&self, now: Instant) {
        let mut inner = self.inner.lock();
        let is_old = |denial: &Denial| now.saturating_duration_since(denial.at) >= MEMORY;
        inner.denials.retain(|denial| denial.wanted == Use::Subscribe || !is_old(denial));
        self.count.store(inner.denials.len(), Ordering::Release);
    }
}

/// The use and the subject of `Permissions Violation for Publish to "cantina.a"`.
pub(super) fn parse(text: &str) -> Option<(Use, &str)> {
    const PUBLISH: &str = "permissions violation for publish to \"";
    const SUBSCRIBE: &str = "permissions violation for subscription to \"";
    let after = |start: &str| {
        let head = text.get(..start.len())?;
        head.eq_ignore_ascii_case(start).then(|| &text[start.len()..])
    };
    let (wanted, rest) = match (after(PUBLISH), after(SUBSCRIBE)) {
        (Some(rest), _) => (Use::Publish, rest),
        (None, Some(rest)) => (Use::Subscribe, rest),
        (None, None) => return None,
    };
    rest.split_once('"').map(|(subject, _)| (wanted, subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_what_a_server_says() {
        let said = r#"Permissions Violation for Publish to "cantina.a""#;
        assert_eq!(parse(said), Some((Use::Publish, "cantina.a")));
        let said = r#"Permissions Violation for Subscription to "cantina.>" using queue "q""#;
        assert_eq!(parse(said), Some((Use::Subscribe, "cantina.>")));
        for said in
            ["", "Maximum Payload Violation", "Permissions Violation for Publish to \"x", "\u{e4}"]
        {
            assert_eq!(parse(said), None, "{said}");
        }
    }

    #[test]
    fn a_message_is_tried_again_after_a_while_and_a_subscription_is_not_forgotten() {
        let denials = Denials::default();
        denials.add(Use::Publish, "p", "no p");
        denials.add(Use::Subscribe, "s", "no s");
        assert_eq!(denials.publish("p").as_deref(), Some("no p"));
        assert_eq!(denials.publish("s"), None);
        denials.forget_old(Instant::now() + MEMORY);
        assert_eq!(denials.publish("p"), None);
        assert_eq!(denials.subscription("s", 0).as_deref(), Some("no s"));
        assert_eq!(denials.last().as_deref(), Some("no s"));
        denials.forget();
        assert_eq!((denials.subscription("s", 0), denials.last()), (None, None));
    }

    #[test]
    fn a_denial_from_before_does_not_count() {
        let denials = Denials::default();
        denials.add(Use::Subscribe, "s", "no");
        let before = denials.total();
        assert_eq!(denials.subscription("s", before), None);
        denials.add(Use::Subscribe, "s", "no again");
        assert_eq!(denials.subscription("s", before).as_deref(), Some("no again"));
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let denials = Denials::default();
        for number in 0..=DENIALS_MAX {
            denials.add(Use::Publish, &number.to_string(), "no");
        }
        assert_eq!(denials.publish("0"), None);
        assert!(denials.publish("1").is_some());
        assert_eq!(denials.inner.lock().denials.len(), DENIALS_MAX);
    }
}

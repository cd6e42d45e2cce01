//! What is known of the connection: what its callbacks write down and [`State`](crate::State) shows.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use async_nats::{Event as Happening, Server, ServerError};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    denials::{self, Denials, Use},
    fences::Fences,
};
use crate::Feed;

/// The second attempt to connect waits this long, and each after it twice as long as the one before.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// No attempt waits longer than this.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A connection that did not even last this long does not count as one when the next pause is chosen.
const LASTED: Duration = Duration::from_secs(1);

/// So many servers are named when none can be reached.
const SERVERS_NAMED: usize = 4;

/// Written by the thread of the connection, read by everyone.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) denials: Denials,
    pub(super) fences: Fences,
    pub(super) feeds: Feeds,
    /// Events that our subscribers missed.
    pub(super) missed: AtomicU64,
    /// Attempts since the connection was lost.
    pub(super) attempts: AtomicU64,
    /// Whether there is a connection, as far as was heard.
    pub(super) is_up: AtomicBool,
    /// Whether there will never be one again, because the client library has panicked.
    pub(super) is_broken: AtomicBool,
    /// Wakes whoever waits for the first attempt.
    pub(super) tried: Notify,
    link: Mutex<LinkNotes>,
}

#[derive(Default)]
struct LinkNotes {
    lost_at: Option<SystemTime>,
    connected_at: Option<Instant>,
    trouble: Option<String>,
}

impl Connection {
    /// Since when there is no connection.
    pub(super) fn lost_at(&self) -> SystemTime {
        *self.link.lock().lost_at.get_or_insert_with(SystemTime::now)
    }

    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = self.link.lock().trouble.clone();
        trouble.or_else(|| self.denials.last())
    }

    /// The client library tells what happened.
    pub(super) fn heard(&self, happening: &Happening) {
        match happening {
            Happening::Connected => self.connected(),
            Happening::Disconnected => self.lost(),
            Happening::SlowConsumer(sid) => self.overflowed(*sid),
            Happening::ServerError(error) => self.refused(error),
            // One round of attempts has failed; what went wrong comes with the next, in `retrying`.
            Happening::ClientError(_) => self.tried.notify_one(),
            Happening::LameDuckMode | Happening::Draining | Happening::Closed => {}
        }
    }

    /// The client library is gone, and it was not told to go.
    pub(super) fn broke(&self) {
        self.is_broken.store(true, Ordering::Release);
        self.lost();
        self.link.lock().trouble = Some("the client library has failed".to_owned());
    }

    /// Another round of attempts begins. `servers` know how the last one ended.
    pub(super) fn retrying(&self, servers: &[Server]) {
        let faults: Vec<_> = servers.iter().filter_map(fault).take(SERVERS_NAMED).collect();
        if !faults.is_empty() {
            self.link.lock().trouble = Some(faults.join("; "));
        }
    }

    /// How long the attempt of this number waits, the first being 1: about twice as long each time, never the same for two clients.
    pub(super) fn pause(&self, attempt: usize) -> Duration {
        self.attempts.store(attempt.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        let doublings = match attempt.checked_sub(2) {
            Some(doublings) => doublings,
            // A server that takes us and throws us out at once is not to be asked in a circle.
            None if self.was_thrown_out() => 3,
            None => return Duration::ZERO,
        };
        let factor = 1_u32.checked_shl(doublings.try_into().unwrap_or(u32::MAX));
        let longest = PAUSE_MIN.saturating_mul(factor.unwrap_or(u32::MAX)).min(PAUSE_MAX);
        jittered(longest)
    }

    fn was_thrown_out(&self) -> bool {
        self.link.lock().connected_at.is_some_and(|at| at.elapsed() < LASTED)
    }

    fn connected(&self) {
        *self.link.lock() =
            LinkNotes { lost_at: None, connected_at: Some(Instant::now()), trouble: None };
        self.attempts.store(0, Ordering::Relaxed);
        self.denials.forget();
        self.is_up.store(true, Ordering::Release);
        self.tried.notify_one();
    }

    fn lost(&self) {
        self.is_up.store(false, Ordering::Release);
        let mut link = self.link.lock();
        link.lost_at = Some(SystemTime::now());
        // The server may have said why.
        link.trouble.get_or_insert_with(|| "the connection was lost".to_owned());
        drop(link);
        self.fences.fail();
    }

    /// The client library dropped the newest message of the subscription that it calls `sid`.
    ///
    /// It was to come after those that are on their way to the feed, and they are in it now:
    /// the forwarding task was woken for the first of them before this was sent.
    fn overflowed(&self, sid: u64) {
        if self.feeds.missed(sid) {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn refused(&self, error: &ServerError) {
        let ServerError::Other(text) = error else {
            self.link.lock().trouble = Some(words(&error.to_string()));
            return;
        };
        let Some((wanted, subject)) = denials::parse(text) else {
            self.link.lock().trouble = Some(format!("the server says: {}", text.escape_debug()));
            return;
        };
        // That we may not publish on a fence's subject, the server says when it comes to it, so the fence has done its work.
        if wanted == Use::Publish && self.fences.pass(subject) {
            return;
        }
        self.denials.add(wanted, subject, &format!("the server says: {}", text.escape_debug()));
        if subject == self.fences.pattern() {
            self.fences.fail();
        }
    }
}

/// A pause between half of `longest` and all of it.
pub(super) fn jittered(longest: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().hash_one(()) % 1024).expect("it is below 1024");
    longest / 2 + longest / 2 * random / 1024
}

/// Which server it is and what its last attempt ended with.
fn fault(server: &Server) -> Option<String> {
    let error = server.last_error.as_ref()?;
    Some(format!("{}:{}: {}", server.addr.host(), server.addr.port(), words(error)))
}

/// An error of the client library as a person would say it.
fn words(error: &str) -> String {
    let error = ["IO error: ", "nats: "]
        .into_iter()
        .fold(error, |error, prefix| error.strip_prefix(prefix).unwrap_or(error));
    if error.starts_with("authorization violation") {
        return "the server refuses our credentials".to_owned();
    }
    match error {
        "timed out" => "no answer in time".to_owned(),
        "failed signing nonce" => "the credentials cannot sign".to_owned(),
        _ => error.escape_debug().to_string(),
    }
}

// === impl Feeds ===

/// The feeds of all subscriptions.
#[derive(Default)]
pub(super) struct Feeds {
    all: Mutex<Vec<(Option<u64>, Arc<Feed>)>>,
}

impl Feeds {
    pub(super) fn add(&self, sid: Option<u64>, feed: &Arc<Feed>) {
        self.all.lock().push((sid, Arc::clone(feed)));
    }

    pub(super) fn remove(&self, feed: &Arc<Feed>) {
        self.all.lock().retain(|(_, known)| !Arc::ptr_eq(known, feed));
    }

    pub(super) fn count(&self) -> usize {
        self.all.lock().len()
    }

    /// Ends every subscription after what is queued.
    pub(super) fn end(&self) {
        for (_, feed) in self.all.lock().drain(..) {
            feed.close();
        }
    }

    /// Tells the subscriber that one event was lost; `false` if there is no such subscription of ours.
    fn missed(&self, sid: u64) -> bool {
        let all = self.all.lock();
        let Some((_, feed)) = all.iter().find(|(known, _)| *known == Some(sid)) else {
            return false;
        };
        feed.missed(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_two_seconds_and_differ() {
        let connection = Connection::default();
        assert_eq!(connection.pause(1), Duration::ZERO);
        for (attempt, longest) in [(2, 50), (3, 100), (7, 1600), (8, 2000), (1000, 2000)] {
            let longest = Duration::from_millis(longest);
            let pauses: Vec<_> = (0..100).map(|_| connection.pause(attempt)).collect();
            assert!(pauses.iter().all(|pause| *pause >= longest / 2 && *pause <= longest));
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "of attempt {attempt}");
        }
        assert_eq!(connection.attempts.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn a_server_that_throws_us_out_at_once_is_not_asked_in_a_circle() {
        let connection = Connection::default();
        connection.heard(&Happening::Connected);
        connection.heard(&Happening::Disconnected);
        assert!(connection.pause(1) >= Duration::from_millis(200));
    }

    #[test]
    fn trouble_is_what_the_server_said_and_ends_with_the_connection() {
        let connection = Connection::default();
        assert_eq!(connection.trouble(), None);
        connection.heard(&Happening::Disconnected);
        assert_eq!(connection.trouble().as_deref(), Some("the connection was lost"));
        connection.heard(&Happening::ServerError(ServerError::AuthorizationViolation));
        connection.heard(&Happening::Disconnected);
        assert_eq!(connection.trouble().as_deref(), Some("the server refuses our credentials"));
        connection.heard(&Happening::Connected);
        assert_eq!(connection.trouble(), None);
    }

    #[test]
    fn errors_of_the_library_are_said_as_people_say_them() {
        for (error, expected) in [
            ("IO error: Connection refused (os error 111)", "Connection refused (os error 111)"),
            (
                "authorization violation: nats: authorization violation",
                "the server refuses our credentials",
            ),
            ("IO error: nats: Maximum Connections Exceeded", "Maximum Connections Exceeded"),
            ("timed out", "no answer in time"),
            ("TLS error: no\x1b such file", "TLS error: no\\u{1b} such file"),
        ] {
            assert_eq!(words(error), expected);
        }
    }
}

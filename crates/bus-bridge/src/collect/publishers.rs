//! How far each instance has come in what it publishes.

use std::collections::HashMap;
use std::sync::Arc;

use log_entry::SessionId;

/// The instances that were heard of, each with its latest entry.
#[derive(Debug, Default)]
pub(super) struct Publishers {
    known: HashMap<Arc<str>, Publisher>,
    /// How many entries came so far.
    clock: u64,
}

#[derive(Debug)]
struct Publisher {
    /// The number of its latest entry among those that it published.
    number: Option<u64>,
    /// Where that entry is in its own record.
    session: SessionId,
    seq: u64,
    /// When it came.
    heard: u64,
}

/// What an entry is among those of its instance.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Numbers that were passed over before it.
    pub(super) missing: u64,
    /// Whether it is not after the latest.
    pub(super) is_double: bool,
}

/// Instances that are known; the one that was silent longest is forgotten
/// first.
const PUBLISHERS_MAX: usize = 1024;

// === impl Publishers ===

impl Publishers {
    /// The name of the instance, to share.
    pub(super) fn name(&self, origin: &str) -> Arc<str> {
        self.known.get_key_value(origin).map_or_else(|| origin.into(), |(name, _)| name.clone())
    }

    /// Takes note of an entry of `origin`: its number among those that were
    /// published, and its `session` and `seq` over there.
    pub(super) fn note(
        &mut self,
        origin: &Arc<str>,
        number: Option<u64>,
        session: &SessionId,
        seq: u64,
    ) -> Place {
        self.clock += 1;
        let heard = self.clock;
        let Some(publisher) = self.known.get_mut(origin) else {
            self.make_room();
            let publisher = Publisher { number, session: session.clone(), seq, heard };
            self.known.insert(origin.clone(), publisher);
            return Place::default();
        };
        publisher.heard = heard;
        let is_double = publisher.session == *session && seq <= publisher.seq;
        let missing = publisher.pass(number, is_double);
        if !is_double {
            publisher.session.clone_from(session);
            publisher.seq = seq;
        }
        Place { missing, is_double }
    }

    fn make_room(&mut self) {
        if self.known.len() >= PUBLISHERS_MAX
            && let Some((silent, _)) = self.known.iter().min_by_key(|(_, known)| known.heard)
        {
            let silent = silent.clone();
            self.known.remove(&silent);
        }
    }
}

// === impl Publisher ===

impl Publisher {
    /// Goes on to `number`, and says how many were passed over.
    fn pass(&mut self, number: Option<u64>, is_double: bool) -> u64 {
        match (self.number, number) {
            (Some(last), Some(number)) if number > last => {
                self.number = Some(number);
                number - last - 1
            }
            // What comes again has its old number; a new entry with a low one
            // means that the instance has begun to count anew.
            (Some(_), Some(_)) if is_double => 0,
            (_, Some(_)) => {
                self.number = number;
                0
            }
            (_, None) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(second: u32) -> SessionId {
        format!("cantina-session-20261122-1603{second:02}").parse().unwrap()
    }

    #[track_caller]
    fn check(publishers: &mut Publishers, number: u64, at: (u32, u64), expected: (u64, bool)) {
        let place = publishers.note(&"r3x".into(), Some(number), &session(at.0), at.1);
        assert_eq!((place.missing, place.is_double), expected);
    }

    #[test]
    fn what_is_passed_over_is_missing() {
        let mut publishers = Publishers::default();
        check(&mut publishers, 40, (1, 10), (0, false));
        check(&mut publishers, 41, (1, 12), (0, false));
        check(&mut publishers, 45, (1, 13), (3, false));
        check(&mut publishers, 46, (2, 1), (0, false));
        let other = publishers.note(&"bb8".into(), Some(7), &session(1), 1);
        assert_eq!(other, Place::default());
    }

    #[test]
    fn what_comes_again_is_a_double_whatever_its_number() {
        let mut publishers = Publishers::default();
        check(&mut publishers, 1, (1, 1), (0, false));
        check(&mut publishers, 2, (1, 5), (0, false));
        check(&mut publishers, 1, (1, 1), (0, true));
        check(&mut publishers, 2, (1, 5), (0, true));
        check(&mut publishers, 3, (1, 5), (0, true));
        check(&mut publishers, 4, (1, 6), (0, false));
    }

    #[test]
    fn an_instance_may_begin_to_count_anew() {
        let mut publishers = Publishers::default();
        check(&mut publishers, 900, (1, 900), (0, false));
        check(&mut publishers, 1, (2, 1), (0, false));
        check(&mut publishers, 2, (2, 2), (0, false));
        check(&mut publishers, 4, (2, 4), (1, false));
    }

    #[test]
    fn a_session_with_an_earlier_name_is_no_double() {
        let mut publishers = Publishers::default();
        check(&mut publishers, 1, (30, 9), (0, false));
        check(&mut publishers, 2, (10, 1), (0, false));
    }

    #[test]
    fn the_instance_that_was_silent_longest_is_forgotten() {
        let (mut publishers, busy) = (Publishers::default(), Arc::from("busy"));
        check(&mut publishers, 1, (1, 1), (0, false));
        for number in 0..PUBLISHERS_MAX as u64 {
            publishers.note(&format!("x{number}").into(), Some(1), &session(1), 1);
            publishers.note(&busy, Some(number + 1), &session(1), number + 1);
        }
        assert_eq!(publishers.known.len(), PUBLISHERS_MAX);
        assert_eq!(publishers.note(&busy, Some(9000), &session(1), 9000).missing, 9000 - 1025);
        check(&mut publishers, 50, (1, 50), (0, false));
    }
}

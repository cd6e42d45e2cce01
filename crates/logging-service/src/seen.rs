//! The ids that emitters gave lately, so that a record sent twice is kept once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use log_entry::EntryId;

/// The latest ids of each emitter.
///
/// Ids are remembered by a hash of 64 bits under a random seed: a tenth of the
/// memory, and nobody can find two ids that share one.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    emitters: HashMap<Arc<str>, Ids>,
    seed: RandomState,
    /// How many ids came so far.
    clock: u64,
}

/// The latest ids of one emitter, oldest first.
#[derive(Debug, Default)]
struct Ids {
    set: HashSet<u64>,
    order: VecDeque<u64>,
    /// When the latest came.
    heard: u64,
}

/// Ids remembered per emitter. An emitter resends what was not acknowledged,
/// which is at most some thousands of records.
const IDS_MAX: usize = 65_536;
/// Ids remembered in all: with many emitters, each has its share.
const IDS_TOTAL_MAX: usize = 8 * IDS_MAX;
/// Emitters remembered; the one that was silent longest is forgotten first.
const EMITTERS_MAX: usize = 64;

impl Seen {
    /// Remembers `id` of `emitter`. Returns whether it is new.
    pub(crate) fn insert(&mut self, emitter: &Arc<str>, id: &EntryId) -> bool {
        if !self.emitters.contains_key(emitter) {
            self.make_room();
        }
        let id = self.seed.hash_one(id);
        let share = self.share();
        self.clock += 1;
        let ids = self.emitters.entry(emitter.clone()).or_default();
        ids.heard = self.clock;
        ids.insert(id, share)
    }

    /// Forgets `id` of `emitter`, which was not kept after all.
    pub(crate) fn remove(&mut self, emitter: &Arc<str>, id: &EntryId) {
        if let Some(ids) = self.emitters.get_mut(emitter) {
            // It stays in the order, where it does no harm.
            ids.set.remove(&self.seed.hash_one(id));
        }
    }

    /// Ids that each emitter may have.
    fn share(&self) -> usize {
        (IDS_TOTAL_MAX / self.emitters.len().max(1)).min(IDS_MAX)
    }

    /// Makes room for one emitter more.
    fn make_room(&mut self) {
        if self.emitters.len() >= EMITTERS_MAX
            && let Some((silent, _)) = self.emitters.iter().min_by_key(|(_, ids)| ids.heard)
        {
            let silent = silent.clone();
            self.emitters.remove(&silent);
        }
        let share = (IDS_TOTAL_MAX / (self.emitters.len() + 1)).min(IDS_MAX);
        self.emitters.values_mut().for_each(|ids| ids.shrink(share));
    }
}

impl Ids {
    fn insert(&mut self, id: u64, share: usize) -> bool {
        if !self.set.insert(id) {
            return false;
        }
        self.order.push_back(id);
        while self.order.len() > share {
            self.forget_oldest();
        }
        true
    }

    fn shrink(&mut self, share: usize) {
        if self.order.len() > share {
            while self.order.len() > share {
                self.forget_oldest();
            }
            self.order.shrink_to_fit();
            self.set.shrink_to_fit();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front() {
            self.set.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use log_entry::EntryIds;

    use super::*;

    #[test]
    fn an_id_is_new_once_per_emitter() {
        let (mut seen, a, b) = (Seen::default(), Arc::from("a"), Arc::from("b"));
        let id = EntryIds::new(1).next(1);
        assert!(seen.insert(&a, &id));
        assert!(!seen.insert(&a, &id));
        assert!(seen.insert(&b, &id));
        seen.remove(&a, &id);
        assert!(seen.insert(&a, &id));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let (mut seen, emitter) = (Seen::default(), Arc::from("a"));
        let mut ids = EntryIds::new(1);
        let first = ids.next(1);
        seen.insert(&emitter, &first);
        for _ in 0..IDS_MAX {
            seen.insert(&emitter, &ids.next(1));
        }
        assert!(seen.insert(&emitter, &first));
    }

    #[test]
    fn the_emitter_that_was_silent_longest_is_forgotten() {
        let (mut seen, mut ids) = (Seen::default(), EntryIds::new(1));
        let (busy, silent): (Arc<str>, Arc<str>) = ("busy".into(), "silent".into());
        let (first, second) = (ids.next(1), ids.next(1));
        seen.insert(&busy, &first);
        seen.insert(&silent, &second);
        for number in 0..EMITTERS_MAX {
            seen.insert(&Arc::from(number.to_string()), &first);
            seen.insert(&busy, &ids.next(1));
        }
        assert_eq!(seen.emitters.len(), EMITTERS_MAX);
        assert!(!seen.insert(&busy, &first), "it spoke all the time");
        assert!(seen.insert(&silent, &second));
    }

    #[test]
    fn all_emitters_together_have_a_bound() {
        let (mut seen, mut ids) = (Seen::default(), EntryIds::new(1));
        for emitter in 0..EMITTERS_MAX {
            let emitter = Arc::from(emitter.to_string());
            for _ in 0..IDS_MAX {
                seen.insert(&emitter, &ids.next(1));
            }
        }
        let total: usize = seen.emitters.values().map(|ids| ids.order.len()).sum();
        assert!(total <= IDS_TOTAL_MAX, "{total} ids");
        let share = IDS_TOTAL_MAX / EMITTERS_MAX;
        assert!(seen.emitters.values().all(|ids| ids.set.len() <= share));
    }
}

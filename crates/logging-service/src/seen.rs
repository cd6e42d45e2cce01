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
    /// How many are remembered.
    total: usize,
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
/// Ids remembered in all; beyond that, who has most of them forgets some.
const IDS_TOTAL_MAX: usize = 8 * IDS_MAX;
/// Emitters remembered; the one that was silent longest is forgotten first. A
/// collector has one for each instance, and all of them may send again.
const EMITTERS_MAX: usize = 1024;

impl Seen {
    /// Remembers `id` of `emitter`. Returns whether it is new.
    pub(crate) fn insert(&mut self, emitter: &Arc<str>, id: &EntryId) -> bool {
        if !self.emitters.contains_key(emitter) {
            self.make_room();
        }
        let id = self.seed.hash_one(id);
        self.clock += 1;
        let ids = self.emitters.entry(emitter.clone()).or_default();
        ids.heard = self.clock;
        if !ids.set.insert(id) {
            return false;
        }
        ids.order.push_back(id);
        self.total += 1;
        if ids.order.len() > IDS_MAX {
            ids.forget_oldest();
            self.total -= 1;
        }
        if self.total > IDS_TOTAL_MAX {
            self.forget_some();
        }
        true
    }

    /// Forgets `id` of `emitter`, which was not kept after all.
    pub(crate) fn remove(&mut self, emitter: &Arc<str>, id: &EntryId) {
        if let Some(ids) = self.emitters.get_mut(emitter) {
            // It stays in the order, where it does no harm.
            ids.set.remove(&self.seed.hash_one(id));
        }
    }

    /// Makes room for one emitter more.
    fn make_room(&mut self) {
        if self.emitters.len() >= EMITTERS_MAX
            && let Some((silent, _)) = self.emitters.iter().min_by_key(|(_, ids)| ids.heard)
        {
            let silent = silent.clone();
            let forgotten = self.emitters.remove(&silent);
            self.total -= forgotten.map_or(0, |ids| ids.order.len());
        }
    }

    /// Has the emitter with most ids forget an eighth: then nobody else has to
    /// forget any, and the next time is not soon.
    fn forget_some(&mut self) {
        if let Some(most) = self.emitters.values_mut().max_by_key(|ids| ids.order.len()) {
            let count = most.order.len().div_ceil(8);
            (0..count).for_each(|_| most.forget_oldest());
            self.total -= count;
            if most.order.capacity() > 2 * most.order.len() {
                most.order.shrink_to_fit();
                most.set.shrink_to_fit();
            }
        }
    }
}

impl Ids {
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
        let (modest, first): (Arc<str>, _) = ("modest".into(), ids.next(1));
        seen.insert(&modest, &first);
        for emitter in 0..12 {
            let emitter = Arc::from(emitter.to_string());
            for _ in 0..IDS_MAX {
                seen.insert(&emitter, &ids.next(1));
            }
        }
        let total: usize = seen.emitters.values().map(|ids| ids.order.len()).sum();
        assert_eq!(total, seen.total);
        assert!((IDS_TOTAL_MAX / 8 * 7..=IDS_TOTAL_MAX).contains(&total), "{total} ids");
        assert!(!seen.insert(&modest, &first), "others had more");
    }

    #[test]
    fn hundreds_of_instances_may_send_again_what_they_sent() {
        let (mut seen, mut ids) = (Seen::default(), EntryIds::new(1));
        let names: Vec<Arc<str>> = (0..500).map(|number| number.to_string().into()).collect();
        let sent: Vec<_> = (0..20)
            .flat_map(|_| names.iter().cloned())
            .chain(std::iter::repeat_n(names[0].clone(), 20_000))
            .map(|emitter| (emitter, ids.next(1)))
            .collect();
        assert!(sent.iter().all(|(emitter, id)| seen.insert(emitter, id)));
        assert!(sent.iter().all(|(emitter, id)| !seen.insert(emitter, id)));
    }
}

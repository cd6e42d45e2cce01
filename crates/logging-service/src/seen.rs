//! The ids that emitters gave lately, so that a record sent twice is kept once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use log_entry::EntryId;

/// The latest ids of each emitter.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    emitters: HashMap<Arc<str>, Ids>,
    /// Emitters in the order they first came.
    order: VecDeque<Arc<str>>,
}

/// The latest ids of one emitter, oldest first.
#[derive(Debug, Default)]
struct Ids {
    set: HashSet<EntryId>,
    order: VecDeque<EntryId>,
}

/// Ids remembered per emitter. An emitter resends what was not acknowledged,
/// which is at most some thousands of records.
const IDS_MAX: usize = 65_536;
/// Emitters remembered; the one that came first is forgotten first.
const EMITTERS_MAX: usize = 64;

impl Seen {
    /// Remembers `id` of `emitter`. Returns whether it is new.
    pub(crate) fn insert(&mut self, emitter: &Arc<str>, id: &EntryId) -> bool {
        if !self.emitters.contains_key(emitter) {
            self.make_room();
            self.order.push_back(emitter.clone());
        }
        self.emitters.entry(emitter.clone()).or_default().insert(id)
    }

    /// Forgets `id` of `emitter`, which was not kept after all.
    pub(crate) fn remove(&mut self, emitter: &Arc<str>, id: &EntryId) {
        if let Some(ids) = self.emitters.get_mut(emitter) {
            // It stays in the order, where it does no harm.
            ids.set.remove(id);
        }
    }

    fn make_room(&mut self) {
        if self.order.len() >= EMITTERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.emitters.remove(&oldest);
        }
    }
}

impl Ids {
    fn insert(&mut self, id: &EntryId) -> bool {
        if !self.set.insert(id.clone()) {
            return false;
        }
        if self.order.len() >= IDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        self.order.push_back(id.clone());
        true
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
        for number in 0..EMITTERS_MAX {
            seen.insert(&Arc::from(number.to_string()), &first);
        }
        assert_eq!(seen.emitters.len(), EMITTERS_MAX);
    }
}

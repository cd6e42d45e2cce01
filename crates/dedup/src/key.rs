use std::hash::{BuildHasher, Hash, RandomState};

/// What stands for a record when looking for its like.
///
/// 128 bits, so that two different records do not share one by chance.
/// Only keys of the same [`Keyer`] can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u64; 2]);

impl Key {
    /// Which of `buckets` buckets this key belongs to.
    pub(crate) fn bucket(self, buckets: usize) -> usize {
        let remainder = self.0[0] % buckets as u64;
        usize::try_from(remainder).expect("a remainder is smaller than its divisor, a usize")
    }
}

/// Makes [`Key`]s, with a random seed of its own.
///
/// The seed makes it impossible to prepare records that get the same key, so a
/// program can neither hide its records behind those of another nor slow down
/// the look-up.
/// Clones share the seed: their keys are the same.
#[derive(Debug, Clone, Default)]
pub struct Keyer {
    seed: RandomState,
}

impl Keyer {
    /// A keyer with a new random seed.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key of a record that is made of `parts`.
    ///
    /// A tuple of strings and numbers does; where one part ends and the next
    /// begins is part of the key.
    ///
    /// ```
    /// let keyer = dedup::Keyer::new();
    /// let key = keyer.key(("voice", 40, "no answer", Some("TimeoutError")));
    /// assert_eq!(key, keyer.key(("voice", 40, "no answer", Some("TimeoutError"))));
    /// assert_ne!(key, keyer.key(("voice", 40, "no answer", None::<&str>)));
    /// ```
    pub fn key(&self, parts: impl Hash) -> Key {
        // Two hashes of 64 bits under one seed, told apart by what goes in first.
        Key([0_u8, 1].map(|half| self.seed.hash_one((half, &parts))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_not_glued_together() {
        let keyer = Keyer::new();
        assert_ne!(keyer.key(("ab", "c")), keyer.key(("a", "bc")));
        assert_ne!(keyer.key((vec!["ab"], "c")), keyer.key((Vec::<&str>::new(), "ab", "c")));
    }

    #[test]
    fn a_clone_makes_the_same_keys_and_another_keyer_does_not() {
        let keyer = Keyer::new();
        let key = keyer.key("no answer");
        assert_eq!(key, keyer.clone().key("no answer"));
        assert_ne!(key, Keyer::new().key("no answer"));
    }

    #[test]
    fn the_halves_of_a_key_are_two_hashes() {
        let keyer = Keyer::new();
        let [Key(a), Key(b)] = ["a", "b"].map(|parts| keyer.key(parts));
        assert!(a[0] != b[0] && a[1] != b[1]);
        assert_ne!(a[0] ^ a[1], b[0] ^ b[1]);
    }

    #[test]
    fn keys_spread_over_the_buckets() {
        let keyer = Keyer::new();
        let mut buckets = [0; 16];
        for number in 0..16_000 {
            buckets[keyer.key(number).bucket(buckets.len())] += 1;
        }
        // Expected 1,000 each, give or take 31; ten times that is out of reach.
        assert!(buckets.iter().all(|count| (690..1310).contains(count)), "{buckets:?}");
    }
}

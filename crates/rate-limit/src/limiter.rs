//! A bucket for each key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::Bucket;

/// One [`Bucket`] for each key, and a count of what it held back.
#[derive(Debug)]
pub struct Limiter {
    fresh: Bucket,
    keys: BTreeMap<Arc<str>, Limited>,
}

#[derive(Debug)]
struct Limited {
    bucket: Bucket,
    held_back: u64,
}

/// Keys with a bucket of their own. They may come from outside, so their number
/// must have a bound.
pub const KEYS_MAX: usize = 512;
/// The key of the bucket that all further keys share.
pub const OTHER: &str = "(other)";

impl Limiter {
    /// Lets `per_second` through on average, and `burst` at once, of each key.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self { fresh: Bucket::new(per_second, burst), keys: BTreeMap::new() }
    }

    /// Whether one more of `key` may pass at `now`; if not, it is counted.
    pub fn admits(&mut self, key: &Arc<str>, now: Duration) -> bool {
        let limited = self.limited(key);
        let admits = limited.bucket.take(now);
        limited.held_back += u64::from(!admits);
        admits
    }

    /// What was held back since the last call, by key in rising order.
    pub fn take_held_back(&mut self) -> Vec<(Arc<str>, u64)> {
        self.keys
            .iter_mut()
            .filter(|(_, limited)| limited.held_back > 0)
            .map(|(key, limited)| (key.clone(), std::mem::take(&mut limited.held_back)))
            .collect()
    }

    fn limited(&mut self, key: &Arc<str>) -> &mut Limited {
        let has_own = self.keys.contains_key(key) || self.keys.len() < KEYS_MAX;
        let key = if has_own { key.clone() } else { Arc::from(OTHER) };
        self.keys.entry(key).or_insert_with(|| Limited { bucket: self.fresh.clone(), held_back: 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_beyond_the_bound_share_a_bucket() {
        let mut limiter = Limiter::new(1, 1);
        let now = Duration::ZERO;
        let keys: Vec<Arc<str>> = (0..KEYS_MAX + 3).map(|key| Arc::from(key.to_string())).collect();
        let admitted = keys.iter().filter(|key| limiter.admits(key, now)).count();
        assert_eq!(admitted, KEYS_MAX + 1);
        assert_eq!(limiter.take_held_back(), [(Arc::from(OTHER), 2)]);
        assert!(!limiter.admits(&keys[0], now), "those that were there keep their own");
        assert_eq!(limiter.keys.len(), KEYS_MAX + 1);
    }

    proptest! {
        /// Against a bucket for each key and a list of everything held back.
        #[test]
        fn every_key_is_limited_as_if_it_were_alone(
            steps in prop::collection::vec((0..5_u8, 0..300_u64, any::<bool>()), 1..200),
        ) {
            let mut limiter = Limiter::new(7, 3);
            let mut alone = HashMap::<Arc<str>, Bucket>::new();
            let (mut held_back, mut now) = (Vec::<Arc<str>>::new(), Duration::ZERO);
            for (key, millis, takes) in steps {
                now += Duration::from_millis(millis);
                let key: Arc<str> = key.to_string().into();
                let bucket = alone.entry(key.clone()).or_insert_with(|| Bucket::new(7, 3));
                let expected = bucket.take(now);
                prop_assert_eq!(limiter.admits(&key, now), expected);
                held_back.extend((!expected).then_some(key));
                if takes {
                    held_back.sort();
                    let counted = held_back.chunk_by(|left, right| left == right);
                    let counted: Vec<_> =
                        counted.map(|same| (same[0].clone(), same.len() as u64)).collect();
                    prop_assert_eq!(limiter.take_held_back(), counted);
                    held_back.clear();
                }
            }
        }
    }
}

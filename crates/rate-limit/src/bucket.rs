//! One token bucket.

use std::time::Duration;

/// Lets `per_second` through on average, and `burst` at once.
///
/// ```
/// use std::time::Duration;
///
/// use rate_limit::Bucket;
///
/// let mut bucket = Bucket::new(2, 3);
/// let at = Duration::from_secs;
/// assert_eq!((0..10).filter(|_| bucket.take(at(1))).count(), 3);
/// assert_eq!((0..10).filter(|_| bucket.take(at(2))).count(), 2);
/// assert_eq!((0..10).filter(|_| bucket.take(at(1))).count(), 0, "time stands still");
/// ```
#[derive(Debug, Clone)]
pub struct Bucket {
    per_second: u32,
    /// What it holds at the most, and now, in billionths of a token: a
    /// nanosecond brings `per_second` of those.
    full: u64,
    held: u64,
    seen: Duration,
}

/// A token.
const TOKEN: u64 = 1_000_000_000;

impl Bucket {
    /// A bucket that is full. With a burst of zero, nothing ever passes.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let full = u64::from(burst) * TOKEN;
        Self { per_second, full, held: full, seen: Duration::ZERO }
    }

    /// Whether one more may pass at `now`.
    pub fn take(&mut self, now: Duration) -> bool {
        self.fill(now);
        let has_token = self.held >= TOKEN;
        if has_token {
            self.held -= TOKEN;
        }
        has_token
    }

    fn fill(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.seen);
        self.seen += elapsed;
        let held = u128::from(self.held) + elapsed.as_nanos() * u128::from(self.per_second);
        self.held = u64::try_from(held).map_or(self.full, |held| held.min(self.full));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate() {
        let mut bucket = Bucket::new(10, 5);
        let mut passed = |at| (0..100).filter(|_| bucket.take(at)).count();
        assert_eq!(passed(Duration::ZERO), 5);
        assert_eq!(passed(Duration::from_millis(250)), 2);
        assert_eq!(passed(Duration::from_mins(1)), 5);
    }

    #[test]
    fn the_largest_values_do_not_overflow() {
        let mut bucket = Bucket::new(u32::MAX, u32::MAX);
        assert!(bucket.take(Duration::ZERO));
        assert!(bucket.take(Duration::MAX));
        assert!(bucket.take(Duration::ZERO));
        assert_eq!(bucket.held, bucket.full - 2 * TOKEN);
    }

    #[test]
    fn an_empty_burst_lets_nothing_pass() {
        let mut bucket = Bucket::new(1000, 0);
        assert!((0..100).all(|second| !bucket.take(Duration::from_secs(second))));
    }

    /// The definition, without a bucket: one more may pass unless, in some span
    /// that ends now, burst and rate are used up.
    fn may_pass(passed: &[Duration], per_second: u32, burst: u32, now: Duration) -> bool {
        (0..passed.len()).chain([passed.len()]).all(|first| {
            let begin = passed.get(first).copied().unwrap_or(now);
            let tokens = (passed.len() - first + 1) as u128 * u128::from(TOKEN);
            let brought = now.saturating_sub(begin).as_nanos() * u128::from(per_second);
            tokens <= u128::from(burst) * u128::from(TOKEN) + brought
        })
    }

    proptest! {
        #[test]
        fn it_is_what_the_definition_says(
            per_second in 0..2000_u32,
            burst in 0..6_u32,
            steps in prop::collection::vec((-50_000_000..200_000_000_i64, 1..4_usize), 1..80),
        ) {
            let mut bucket = Bucket::new(per_second, burst);
            let (mut clock, mut latest, mut passed) = (0_i64, Duration::ZERO, Vec::new());
            for (step, count) in steps {
                clock = (clock + step).max(0);
                let now = Duration::from_nanos(clock.unsigned_abs());
                latest = latest.max(now);
                for _ in 0..count {
                    let expected = may_pass(&passed, per_second, burst, latest);
                    prop_assert_eq!(bucket.take(now), expected);
                    passed.extend(expected.then_some(latest));
                }
            }
        }
    }
}

//! A token bucket.

use tokio::time::Instant;

/// Lets `per_second` through on average, and `burst` at once.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self { per_second: f64::from(per_second), burst, tokens: burst, filled: now }
    }

    /// Whether one more may pass at `now`.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + seconds * self.per_second).min(self.burst);
        self.filled = now;
        let has_token = self.tokens >= 1.0;
        if has_token {
            self.tokens -= 1.0;
        }
        has_token
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 5, start);
        let passed =
            |bucket: &mut Bucket, at: Instant| (0..100).filter(|_| bucket.take(at)).count();
        assert_eq!(passed(&mut bucket, start), 5);
        assert_eq!(passed(&mut bucket, start + Duration::from_millis(250)), 2);
        assert_eq!(passed(&mut bucket, start + Duration::from_mins(1)), 5);
    }
}

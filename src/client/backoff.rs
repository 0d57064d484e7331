//! How long to wait before the next try: exponential, jittered, bounded. No clock: the caller sleeps.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Longest first delay.
const FIRST_DELAY_MAX: Duration = Duration::from_millis(250);
/// Longest delay of all.
const DELAY_MAX: Duration = Duration::from_secs(15);

/// Delays between tries. Each is drawn from the upper half of a span that doubles from [`FIRST_DELAY_MAX`] to
/// [`DELAY_MAX`], so that clients that lost the same server do not come back together.
pub(super) struct Backoff {
    failures: u32,
    random: u64,
}

impl Backoff {
    /// Starts at the shortest delay; equal seeds give equal delays.
    pub(super) fn new(seed: u64) -> Self {
        Self { failures: 0, random: seed }
    }

    /// A seed that differs from process to process.
    pub(super) fn process_seed() -> u64 {
        RandomState::new().hash_one(std::process::id())
    }

    /// The next delay, after one more failure.
    pub(super) fn delay(&mut self) -> Duration {
        let span = FIRST_DELAY_MAX.saturating_mul(1 << self.failures.min(16)).min(DELAY_MAX);
        self.failures = self.failures.saturating_add(1);
        span / 2 + self.jitter(span / 2)
    }

    /// A delay between nothing and `span`.
    pub(super) fn jitter(&mut self, span: Duration) -> Duration {
        // SplitMix64: good enough to spread clients, nothing secret depends on it.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        span.mul_f64(f64::from((mixed >> 40) as u32) / f64::from(1_u32 << 24))
    }

    /// The other side works again: the next failure is a first one.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_with_jitter_up_to_the_bound() {
        let mut backoff = Backoff::new(7);
        for failure in 0..100_u32 {
            let span = Duration::from_millis(250 << failure.min(10)).min(DELAY_MAX);
            let delay = backoff.delay();
            assert!(delay >= span / 2 && delay <= span, "failure {failure}: {delay:?} of {span:?}");
        }
        backoff.reset();
        assert!(backoff.delay() <= FIRST_DELAY_MAX);
    }

    #[test]
    fn clients_spread() {
        let first: Vec<Duration> = (0..50).map(|seed| Backoff::new(seed).delay()).collect();
        assert!(first.iter().any(|delay| *delay < Duration::from_millis(160)));
        assert!(first.iter().any(|delay| *delay > Duration::from_millis(215)));
    }
}

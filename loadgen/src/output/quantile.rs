//! The percentiles that are shown, in their order, and when they mean something.

use crate::outcome::Distribution;

/// Parts in a whole.
const WHOLE: u32 = 100_000;

/// A percentile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantile {
    /// As people write it: `p99.9`.
    pub label: &'static str,
    /// As names of fields have it: `p999`.
    pub name: &'static str,
    /// How many of 100,000 do not exceed it.
    parts: u32,
}

/// Those shown, the finest last. The longest time follows them everywhere.
pub const SHOWN: [Quantile; 6] = [
    Quantile { label: "p50", name: "p50", parts: 50_000 },
    Quantile { label: "p90", name: "p90", parts: 90_000 },
    Quantile { label: "p99", name: "p99", parts: 99_000 },
    Quantile { label: "p99.9", name: "p999", parts: 99_900 },
    Quantile { label: "p99.99", name: "p9999", parts: 99_990 },
    Quantile { label: "p99.999", name: "p99999", parts: 99_999 },
];

impl Quantile {
    /// The same in percent.
    #[must_use]
    pub fn percent(self) -> f64 {
        f64::from(self.parts) / 1_000.0
    }

    /// Nanoseconds; none if there are too few times for it: beyond it there must be at least one.
    #[must_use]
    pub fn of(self, times: &Distribution) -> Option<u64> {
        let beyond = times.count().saturating_mul(u64::from(WHOLE - self.parts));
        (beyond >= u64::from(WHOLE)).then(|| times.percentile_ns(self.percent()))
    }
}

/// The longest, nanoseconds; none if there is no time at all.
#[must_use]
pub fn max_of(times: &Distribution) -> Option<u64> {
    (times.count() > 0).then(|| times.max_ns())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_needs_a_time_beyond_it() {
        for (count, finest) in [(0, None), (1, None), (2, Some("p50")), (99, Some("p90")), (100, Some("p99"))] {
            let mut times = Distribution::default();
            times.record_many(1_000_000, count);
            let shown: Vec<_> = SHOWN.iter().filter(|quantile| quantile.of(&times).is_some()).collect();
            assert_eq!(shown.last().map(|quantile| quantile.label), finest, "{count} times");
        }
        let mut times = Distribution::default();
        times.record_many(1_000_000, 99_999);
        assert_eq!(SHOWN[5].of(&times), None);
        times.record(9_000_000);
        assert_eq!(SHOWN[5].of(&times), Some(times.percentile_ns(99.999)));
        assert_eq!(max_of(&Distribution::default()), None);
    }
}

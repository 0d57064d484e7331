//! How far two machines' clocks are apart: from pings, as NTP does it.
//!
//! The worker's answer was written somewhere between the ping and its return. The quickest exchange says it best: half
//! of its round trip bounds the error, however unequal the two ways are.

use crate::clock::Nanos;

/// Exchanges that the best one is chosen from.
pub(super) const EXCHANGES: u32 = 64;
/// An error above this is worth a warning, nanoseconds.
const WORTH_A_WARNING_NS: u64 = 100_000;

/// One ping, on the coordinator's clock but for `theirs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    /// When it was sent.
    pub(super) sent: Nanos,
    /// What the worker's clock said.
    pub(super) theirs: Nanos,
    /// When that arrived.
    pub(super) received: Nanos,
}

/// How far the clocks are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offset {
    /// Added to the worker's clock it gives the coordinator's, nanoseconds.
    pub(super) offset_ns: i64,
    /// It is at most this far off, nanoseconds.
    pub(super) error_ns: u64,
}

impl Offset {
    /// The best estimate; none without an exchange.
    pub(super) fn estimate(exchanges: &[Exchange]) -> Option<Self> {
        let best = exchanges.iter().min_by_key(|exchange| exchange.received.since_ns(exchange.sent))?;
        let half_ns = best.received.since_ns(best.sent).div_ceil(2);
        let middle_ns = i128::from(best.sent.0) + i128::from(half_ns);
        let offset_ns = middle_ns - i128::from(best.theirs.0);
        // Clocks that count from a machine's start are never 292 years apart.
        Some(Self { offset_ns: i64::try_from(offset_ns).unwrap_or_default(), error_ns: half_ns })
    }

    /// What a report should say of it.
    pub(super) fn warning(&self, who: &str) -> Option<String> {
        let error_us = self.error_ns.div_ceil(1_000);
        (self.error_ns > WORTH_A_WARNING_NS).then(|| {
            format!(
                "{who}: its clock is known to ±{error_us} µs (half of the quickest round trip); latencies of messages \
                 that another worker published may be off by that much"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker whose clock is `ahead_ns` ahead, over a way that takes so long there and back.
    fn exchange(sent: u64, ahead_ns: i64, (there_ns, back_ns): (u64, u64)) -> Exchange {
        let theirs = Nanos((sent + there_ns).checked_add_signed(ahead_ns).unwrap());
        Exchange { sent: Nanos(sent), theirs, received: Nanos(sent + there_ns + back_ns) }
    }

    #[test]
    fn the_quickest_exchange_decides_and_its_bound_holds() {
        let (hour, hour_ns) = (3_600_000_000_000, 3_600_000_000_000_u64);
        for ahead_ns in [0, 1, -1, 5_000_000, -5_000_000, hour, -hour / 2] {
            for quickest in [(20_000, 20_000), (80_000, 300_000), (300_000, 1_000), (0, 0)] {
                let ways = [(1_000_000, 50_000), quickest, (700_000, 900_000)];
                let exchanges: Vec<_> =
                    (1..).zip(ways).map(|(number, way)| exchange(hour_ns * number, ahead_ns, way)).collect();
                let found = Offset::estimate(&exchanges).unwrap();
                let error = found.offset_ns.abs_diff(-ahead_ns);
                assert!(error <= found.error_ns, "{ahead_ns} ns ahead, {quickest:?}: {found:?}");
                assert_eq!(found.error_ns, (quickest.0 + quickest.1).div_ceil(2));
                assert_eq!(found.warning("w").is_some(), found.error_ns > 100_000);
            }
        }
        assert_eq!(Offset::estimate(&[]), None);
    }
}

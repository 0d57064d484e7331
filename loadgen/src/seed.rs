//! Random numbers of a run: all come from the scenario's seed, and each use has a stream of its own, so that a change
//! in one (a longer phase, say) leaves the others as they were.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

/// What random numbers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// When messages are due; one stream per phase.
    Arrivals = 1,
    /// Who sits where and who is what.
    Seats = 2,
    /// What payloads contain.
    Payload = 3,
    /// When a connection leaves and comes back; one stream per subscriber.
    Leaving = 4,
}

/// The random numbers for `purpose`, of its stream `index`.
#[must_use]
pub fn rng(seed: u64, purpose: Purpose, index: u32) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((purpose as u64) << 32 | u64::from(index));
    rng
}

#[cfg(test)]
mod tests {
    use rand::Rng as _;

    use super::*;

    #[test]
    fn streams_differ_and_replay() {
        let first = |seed, purpose, index| rng(seed, purpose, index).next_u64();
        let here = first(1, Purpose::Seats, 0);
        assert_eq!(here, first(1, Purpose::Seats, 0));
        for other in [first(2, Purpose::Seats, 0), first(1, Purpose::Seats, 1), first(1, Purpose::Payload, 0)] {
            assert_ne!(here, other);
        }
    }
}

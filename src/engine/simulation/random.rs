//! One seed decides everything.

/// splitmix64: small, and good enough to choose what happens next.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Random(u64);

impl Random {
    pub(in crate::engine) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(in crate::engine) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from 0 to `end`, not included; 0 if there is none.
    pub(in crate::engine) fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { usize::try_from(self.next() % end as u64).expect("smaller than a usize") }
    }

    /// A number from `first` to `last`, included.
    pub(in crate::engine) fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    /// True once in `times`.
    pub(in crate::engine) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(in crate::engine) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Another generator, whose numbers have nothing to do with this one's.
    pub(in crate::engine) const fn fork(&mut self) -> Self {
        Self::new(self.next())
    }
}

pub(in crate::engine) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

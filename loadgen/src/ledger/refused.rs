//! What a server did not take of one publisher: publications that reach nobody and are owed to nobody.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Ranges that are remembered of one publisher. What makes more of them counts as unnamed.
const RANGES_MAX: usize = 1 << 14;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Sorted, apart from each other, none empty.
    ranges: Vec<Range<u64>>,
    /// Refusals that do not say of which publication.
    unnamed: u64,
}

impl Refused {
    /// Adds those of `sequences` that are not among them; returns how many.
    pub fn add(&mut self, sequences: Range<u64>) -> u64 {
        if sequences.is_empty() {
            return 0;
        }
        let before = self.count_in(sequences.clone());
        let added = sequences.end - sequences.start - before;
        // Those that overlap or touch become one.
        let first = self.ranges.partition_point(|range| range.end < sequences.start);
        let end = self.ranges.partition_point(|range| range.start <= sequences.end);
        let joined = self.ranges[first..end]
            .iter()
            .fold(sequences, |joined, range| joined.start.min(range.start)..joined.end.max(range.end));
        if first == end && self.ranges.len() == RANGES_MAX {
            self.unnamed += added;
        } else {
            self.ranges.splice(first..end, [joined]);
        }
        added
    }

    /// Adds one of which it is not known which.
    pub const fn add_unnamed(&mut self) {
        self.unnamed += 1;
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.unnamed == 0
    }

    /// Those that are known, in order.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().cloned()
    }

    /// How many are not known.
    #[must_use]
    pub const fn unnamed(&self) -> u64 {
        self.unnamed
    }

    /// Whether this one is known to be among them.
    #[must_use]
    pub fn contains(&self, sequence: u64) -> bool {
        self.count_in(sequence..sequence + 1) == 1
    }

    /// How many of `sequences` are known to be among them.
    #[must_use]
    pub fn count_in(&self, sequences: Range<u64>) -> u64 {
        self.within(sequences).map(|range| range.end - range.start).sum()
    }

    /// What is left of `sequences`, in order.
    pub fn rest_of(&self, sequences: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut start = sequences.start;
        let end = sequences.end;
        let gaps = self.within(sequences).map(Some).chain([None]).map(move |range| {
            let gap = start..range.as_ref().map_or(end, |range| range.start);
            start = range.map_or(end, |range| range.end);
            gap
        });
        gaps.filter(|gap| !gap.is_empty())
    }

    fn within(&self, sequences: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self.ranges.partition_point(|range| range.end <= sequences.start);
        let cut = move |range: &Range<u64>| range.start.max(sequences.start)..range.end.min(sequences.end);
        self.ranges[first..].iter().map(cut).take_while(|range| !range.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::RngExt as _;

    use super::*;
    use crate::seed::{Purpose, rng};

    #[test]
    fn they_agree_with_a_set() {
        for seed in 0..500 {
            let mut rng = rng(seed, Purpose::Payload, 0);
            let (mut refused, mut set) = (Refused::default(), BTreeSet::new());
            for _ in 0..rng.random_range(0..20) {
                let start = rng.random_range(0..60);
                let range = start..start + rng.random_range(0..8);
                let new = range.clone().filter(|sequence| set.insert(*sequence)).count() as u64;
                assert_eq!(refused.add(range), new, "seed {seed}");
            }
            assert!(refused.ranges.windows(2).all(|pair| pair[0].end < pair[1].start), "seed {seed}: {refused:?}");
            let start = rng.random_range(0..60);
            let asked = start..start + rng.random_range(0..30);
            let wanted: Vec<u64> = asked.clone().filter(|sequence| !set.contains(sequence)).collect();
            assert_eq!(refused.rest_of(asked.clone()).flatten().collect::<Vec<_>>(), wanted, "seed {seed}");
            assert_eq!(refused.count_in(asked.clone()), asked.end - asked.start - wanted.len() as u64);
            assert!((0..80).all(|sequence| refused.contains(sequence) == set.contains(&sequence)), "seed {seed}");
            assert_eq!(refused.is_empty(), set.is_empty());
        }
    }

    #[test]
    fn more_ranges_than_are_remembered_are_counted() {
        let mut refused = Refused::default();
        let ranges = RANGES_MAX as u64;
        for number in 0..=ranges {
            assert_eq!(refused.add(2 * number..2 * number + 1), 1);
        }
        refused.add_unnamed();
        assert_eq!((refused.ranges().count(), refused.unnamed()), (RANGES_MAX, 2));
        assert_eq!(refused.add(1..2), 1, "it joins two");
        assert_eq!((refused.ranges().count(), refused.unnamed()), (RANGES_MAX - 1, 2));
    }
}

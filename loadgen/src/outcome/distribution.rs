//! A distribution of times: an HdrHistogram of 3 digits, in nanoseconds.
//!
//! In JSON it is its usual percentiles for people and scripts, and the whole histogram (V2 with deflate, base64) for
//! tools: merging and comparing read only that. Percentiles are never merged.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize};

/// Times below are told apart to 512 ns, above to 3 digits.
const LOWEST_DISCERNIBLE_NS: u64 = 1_000;
/// Longer times count as this: ten minutes.
const HIGHEST_NS: u64 = 600_000_000_000;
/// Significant digits (HdrHistogram).
const DIGITS: u8 = 3;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    histogram: Histogram<u64>,
}

impl Default for Distribution {
    /// Empty. Small until something is recorded in it.
    fn default() -> Self {
        let mut histogram = Histogram::new_with_bounds(LOWEST_DISCERNIBLE_NS, 2 * LOWEST_DISCERNIBLE_NS, DIGITS)
            .expect("the bounds are in order");
        histogram.auto(true);
        Self { histogram }
    }
}

impl Distribution {
    /// Records one time, nanoseconds. O(1); allocates while the distribution's range grows.
    ///
    /// # Panics
    /// Never: the range grows as needed.
    pub fn record(&mut self, ns: u64) {
        self.record_many(ns, 1);
    }

    /// Records a time that occurred `count` times.
    ///
    /// # Panics
    /// Never: the range grows as needed.
    pub fn record_many(&mut self, ns: u64, count: u64) {
        self.histogram.record_n(ns.min(HIGHEST_NS), count).expect("it grows as needed");
    }

    /// Adds another one, losslessly.
    ///
    /// # Panics
    /// Never: both have the same digits, and it grows as needed.
    pub fn add(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("both have the same digits, and it grows as needed");
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.histogram.reset();
    }

    /// How many times were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The time that `percent` of all do not exceed, nanoseconds; 0 if empty.
    #[must_use]
    pub fn percentile_ns(&self, percent: f64) -> u64 {
        self.histogram.value_at_percentile(percent)
    }

    /// The longest, nanoseconds; 0 if empty.
    #[must_use]
    pub fn max_ns(&self) -> u64 {
        self.histogram.max()
    }

    /// The shortest, nanoseconds; 0 if empty.
    #[must_use]
    pub fn min_ns(&self) -> u64 {
        if self.histogram.is_empty() { 0 } else { self.histogram.min() }
    }

    /// The mean, nanoseconds.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        self.histogram.mean()
    }

    /// The histogram, for writers of its own formats.
    #[must_use]
    pub const fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// The whole histogram as V2 with deflate (HdrHistogram's own exchange format).
    ///
    /// # Panics
    /// If memory cannot be written to.
    #[must_use]
    pub fn to_v2(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.histogram, &mut bytes).expect("memory takes it");
        bytes
    }

    /// The inverse of [`Distribution::to_v2`].
    ///
    /// # Errors
    /// The bytes are no V2 histogram, or one with other digits.
    pub fn from_v2(bytes: &[u8]) -> Result<Self, String> {
        let histogram: Histogram<u64> =
            Deserializer::new().deserialize(&mut &bytes[..]).map_err(|error| format!("not a V2 histogram: {error}"))?;
        if histogram.sigfig() != DIGITS {
            return Err(format!("a histogram of {} digits, loadgen's have {DIGITS}", histogram.sigfig()));
        }
        let mut whole = Self::default();
        whole.histogram.add(&histogram).map_err(|error| format!("histogram out of range: {error}"))?;
        Ok(whole)
    }
}

/// The JSON shape; times in nanoseconds.
#[derive(Serialize, Deserialize)]
struct Shape {
    count: u64,
    #[serde(default)]
    min_ns: u64,
    #[serde(default)]
    mean_ns: f64,
    #[serde(default)]
    p50_ns: u64,
    #[serde(default)]
    p90_ns: u64,
    #[serde(default)]
    p99_ns: u64,
    #[serde(default)]
    p999_ns: u64,
    #[serde(default)]
    p9999_ns: u64,
    #[serde(default)]
    p99999_ns: u64,
    #[serde(default)]
    max_ns: u64,
    /// V2 with deflate, base64; empty if nothing was recorded.
    v2: String,
}

impl Serialize for Distribution {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        if self.count() > 0 {
            V2DeflateSerializer::new().serialize(&self.histogram, &mut bytes).map_err(S::Error::custom)?;
        }
        let at = |percent| self.percentile_ns(percent);
        Shape {
            count: self.count(),
            min_ns: self.min_ns(),
            mean_ns: self.mean_ns(),
            p50_ns: at(50.0),
            p90_ns: at(90.0),
            p99_ns: at(99.0),
            p999_ns: at(99.9),
            p9999_ns: at(99.99),
            p99999_ns: at(99.999),
            max_ns: self.max_ns(),
            v2: BASE64_STANDARD.encode(bytes),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shape = Shape::deserialize(deserializer)?;
        if shape.count == 0 {
            return Ok(Self::default());
        }
        let bytes = BASE64_STANDARD.decode(&shape.v2).map_err(D::Error::custom)?;
        let whole = Self::from_v2(&bytes).map_err(D::Error::custom)?;
        if whole.count() != shape.count {
            return Err(D::Error::custom(format!(
                "{} times in the histogram, {} beside it",
                whole.count(),
                shape.count
            )));
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_every_bucket() {
        let mut before = Distribution::default();
        for ns in [0, 700, 1_234_567, 5_000_000_000, u64::MAX] {
            before.record_many(ns, 3);
        }
        let json = serde_json::to_string(&before).unwrap();
        let after: Distribution = serde_json::from_str(&json).unwrap();
        assert_eq!(before, after);
        assert_eq!(after.count(), 15);
        let near = |actual: u64, wanted: u64| actual.abs_diff(wanted) <= wanted / 1_000;
        assert!(near(after.max_ns(), HIGHEST_NS), "{}", after.max_ns());
        assert!(near(after.percentile_ns(50.0), 1_234_567), "{}", after.percentile_ns(50.0));
    }

    #[test]
    fn merging_is_adding_up() {
        let (mut left, mut right, mut both) = <(Distribution, Distribution, Distribution)>::default();
        for ns in 1..2_000 {
            let part = if ns % 3 == 0 { &mut left } else { &mut right };
            part.record(ns * 7_777);
            both.record(ns * 7_777);
        }
        left.add(&right);
        assert_eq!(left, both);
    }

    #[test]
    fn a_count_that_does_not_fit_is_refused() {
        let mut one = Distribution::default();
        one.record(5);
        let json = serde_json::to_string(&one).unwrap().replace("\"count\":1", "\"count\":2");
        assert!(serde_json::from_str::<Distribution>(&json).is_err());
    }
}

//! The gate's statistics: few, robust, exact where runs are few. All of them work on one number per run or per pair of
//! runs, never on single messages: the run is what varies.
//!
//! Tested against scipy, numpy and statsmodels: see `tests/reference/make.py`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

/// A normal distribution's median absolute deviation is this part of its standard deviation: its third quartile.
const NORMAL_MAD: f64 = 0.674_489_750_196_081_7;

/// Where a value probably lies. Unbounded if so few numbers cannot say (in JSON: `null`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

impl Interval {
    /// Says nothing.
    pub const UNBOUNDED: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// The interval of the negated value.
    #[must_use]
    pub const fn negated(self) -> Self {
        Self { low: -self.high, high: -self.low }
    }
}

/// The middle value, or the mean of the two. O(n log n).
///
/// # Panics
/// If there is no value.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    median_of_sorted(&sorted(values))
}

/// The standard deviation that a normal distribution with the same median absolute deviation has: what few outliers
/// cannot move.
///
/// # Panics
/// If there is no value.
#[must_use]
pub fn robust_sigma(values: &[f64]) -> f64 {
    let middle = median(values);
    let deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    median(&deviations) / NORMAL_MAD
}

/// The Hodges–Lehmann estimate: the median of the means of all pairs of values. As robust as the median, and it needs
/// fewer runs. O(n² log n).
///
/// # Panics
/// If there is no value.
#[must_use]
pub fn hodges_lehmann(values: &[f64]) -> f64 {
    median_of_sorted(&walsh_averages(values))
}

/// The exact interval of the centre of a symmetric distribution, from Wilcoxon's signed ranks. O(n² log n).
///
/// # Panics
/// If `confidence` is not between 0 and 1, or there is no value.
#[must_use]
pub fn wilcoxon_interval(values: &[f64], confidence: f64) -> Interval {
    let averages = walsh_averages(values);
    let below = signed_rank_distribution(values.len());
    cut_off(&averages, &below, confidence)
}

/// How probable it is that so many values lie above `bound` if their centre does not: one-sided, Wilcoxon's signed
/// ranks, exact. A value at the bound counts for the bound. O(n³).
///
/// # Panics
/// If there is no value.
#[must_use]
pub fn wilcoxon_p_above(values: &[f64], bound: f64) -> f64 {
    let not_above = walsh_averages(values).iter().filter(|average| **average <= bound).count();
    cumulative(&signed_rank_distribution(values.len()), not_above)
}

/// The exact interval of the median, from the signs alone: it asks nothing of the distribution.
///
/// # Panics
/// If `confidence` is not between 0 and 1, or there is no value.
#[must_use]
pub fn sign_interval(values: &[f64], confidence: f64) -> Interval {
    cut_off(&sorted(values), &binomial_half(values.len()), confidence)
}

/// Medians of resamples, in order, drawn from `values` with replacement. The same seed draws the same.
///
/// # Panics
/// If there is no value.
#[must_use]
pub fn bootstrap_medians(values: &[f64], resamples: u32, seed: u64) -> Vec<f64> {
    let mut draw = Draw::new(seed);
    let mut resample = vec![0.0; values.len()];
    ordered((0..resamples).map(|_| draw.median_of_resample(values, &mut resample)).collect())
}

/// The same for ln(median of `numerator` / median of `denominator`), each resampled by itself: for runs that are no
/// pairs.
///
/// # Panics
/// If there is no value on a side.
#[must_use]
pub fn bootstrap_ln_ratios(numerator: &[f64], denominator: &[f64], resamples: u32, seed: u64) -> Vec<f64> {
    let mut draw = Draw::new(seed);
    let (mut above, mut below) = (vec![0.0; numerator.len()], vec![0.0; denominator.len()]);
    let mut ratio =
        || (draw.median_of_resample(numerator, &mut above) / draw.median_of_resample(denominator, &mut below)).ln();
    ordered((0..resamples).map(|_| ratio()).collect())
}

/// The interval between the resamples' percentiles.
///
/// # Panics
/// If there is no resample, or `confidence` is not between 0 and 1.
#[must_use]
pub fn percentile_interval(resamples_in_order: &[f64], confidence: f64) -> Interval {
    assert!(confidence > 0.0 && confidence < 1.0, "a confidence of {confidence}");
    let tail = (1.0 - confidence) / 2.0;
    Interval { low: quantile(resamples_in_order, tail), high: quantile(resamples_in_order, 1.0 - tail) }
}

/// The part of the resamples that does not exceed `bound`, never 0: one-sided, as [`wilcoxon_p_above`].
#[must_use]
pub fn bootstrap_p_above(resamples_in_order: &[f64], bound: f64) -> f64 {
    let not_above = resamples_in_order.partition_point(|value| *value <= bound);
    (count(not_above) + 1.0) / (count(resamples_in_order.len()) + 1.0)
}

/// The value that this part of all does not exceed, interpolated between neighbours (as numpy does).
///
/// # Panics
/// If there is no value.
#[must_use]
pub fn quantile(values_in_order: &[f64], part: f64) -> f64 {
    let last = values_in_order.len().checked_sub(1).expect("a quantile of something");
    let place = part.clamp(0.0, 1.0) * count(last);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the last index")]
    let before = place as usize;
    let low = values_in_order[before];
    let high = values_in_order[(before + 1).min(last)];
    low + (high - low) * (place - count(before))
}

/// Holm's step-down adjustment: the probabilities, each as large as it has to be when so many are looked at.
#[must_use]
pub fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut by_size: Vec<usize> = (0..probabilities.len()).collect();
    by_size.sort_by(|left, right| probabilities[*left].total_cmp(&probabilities[*right]));
    let mut adjusted = vec![0.0; probabilities.len()];
    let mut largest: f64 = 0.0;
    for (rank, index) in by_size.into_iter().enumerate() {
        let looked_at = count(probabilities.len() - rank);
        largest = largest.max(probabilities[index] * looked_at).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

/// Pairs that show a worsening of `delta` (0.1: 10 %) with 80 % probability, if single pairs scatter by `sigma`
/// (standard deviation of ln ratios); one-sided 5 %, by the median. At least 6: fewer cannot bound a median at 95 %.
#[must_use]
pub fn pairs_needed(sigma: f64, delta: f64) -> u32 {
    const MEDIAN_COSTS: f64 = 1.57;
    let needed = (2.486 * sigma / delta.ln_1p()).powi(2) * MEDIAN_COSTS;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped just before")]
    let whole = needed.ceil().clamp(6.0, 1e6) as u32;
    whole
}

/// Draws resamples. Multiplies and shifts instead of `rand`'s ranges, whose way of drawing may change.
struct Draw(ChaCha8Rng);

impl Draw {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn median_of_resample(&mut self, values: &[f64], resample: &mut [f64]) -> f64 {
        let length = u64::try_from(values.len()).expect("a length fits");
        for slot in resample.iter_mut() {
            let index = (u64::from(self.0.next_u32()) * length) >> 32;
            *slot = values[usize::try_from(index).expect("less than the length")];
        }
        resample.sort_unstable_by(f64::total_cmp);
        median_of_sorted(resample)
    }
}

/// The values at the widest cut that leaves at most half of what `confidence` allows on either side.
fn cut_off(values_in_order: &[f64], distribution: &[f64], confidence: f64) -> Interval {
    assert!(confidence > 0.0 && confidence < 1.0, "a confidence of {confidence}");
    let tail = (1.0 - confidence) / 2.0;
    let mut sum = 0.0;
    let cut = distribution
        .iter()
        .take_while(|probability| {
            sum += **probability;
            sum <= tail
        })
        .count();
    match cut.checked_sub(1) {
        None => Interval::UNBOUNDED,
        Some(index) => {
            Interval { low: values_in_order[index], high: values_in_order[values_in_order.len() - 1 - index] }
        }
    }
}

/// Means of all pairs of values, each with itself as well, in order.
fn walsh_averages(values: &[f64]) -> Vec<f64> {
    let mut averages = Vec::with_capacity(values.len() * (values.len() + 1) / 2);
    for (index, left) in values.iter().enumerate() {
        averages.extend(values[index..].iter().map(|right| f64::midpoint(*left, *right)));
    }
    ordered(averages)
}

/// Probability of each sum of signed ranks, from 0, for `n` values.
fn signed_rank_distribution(n: usize) -> Vec<f64> {
    let mut probabilities = vec![0.0; n * (n + 1) / 2 + 1];
    probabilities[0] = 1.0;
    for rank in 1..=n {
        for sum in (0..probabilities.len()).rev() {
            let without = probabilities[sum];
            let with = sum.checked_sub(rank).map_or(0.0, |before| probabilities[before]);
            probabilities[sum] = f64::midpoint(without, with);
        }
    }
    probabilities
}

/// Probability of each number of heads, from 0, of `n` coins.
fn binomial_half(n: usize) -> Vec<f64> {
    let mut probabilities = vec![0.0; n + 1];
    probabilities[0] = 1.0;
    for _ in 0..n {
        for heads in (0..=n).rev() {
            let fewer = heads.checked_sub(1).map_or(0.0, |before| probabilities[before]);
            probabilities[heads] = f64::midpoint(probabilities[heads], fewer);
        }
    }
    probabilities
}

fn cumulative(distribution: &[f64], up_to: usize) -> f64 {
    distribution.iter().take(up_to + 1).sum::<f64>().min(1.0)
}

fn median_of_sorted(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "a median of something");
    f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
}

fn sorted(values: &[f64]) -> Vec<f64> {
    ordered(values.to_vec())
}

fn ordered(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// A number of things, to calculate with.
fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).expect("far fewer than 4 billion"))
}

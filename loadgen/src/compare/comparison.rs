//! How far a metric's numbers on one side are from those on the other: the effect, its interval, its probability.

use super::metrics::{Direction, Metric};
use super::statistics::{
    Interval, bootstrap_ln_ratios, bootstrap_medians, bootstrap_p_above, hodges_lehmann, median, percentile_interval,
    wilcoxon_interval, wilcoxon_p_above,
};
use super::verdict::{Effect, Method, Verdict};

/// Up to this many pairs intervals are exact (Wilcoxon's signed ranks), above they are bootstrapped.
const EXACT_PAIRS_MAX: usize = 12;
/// With fewer runs a side, the smallest to the largest of them do not even cover the median at 95 %.
pub(super) const UNPAIRED_RUNS_MIN: usize = 6;

/// How resamples are drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resampling {
    pub(super) resamples: u32,
    pub(super) seed: u64,
}

/// A metric's numbers, run by run.
pub(super) struct Sides {
    pub(super) base: Vec<f64>,
    pub(super) candidate: Vec<f64>,
    /// Runs on each side, whether they measured it or not.
    pub(super) runs: [usize; 2],
}

impl Sides {
    /// Why there is no ratio.
    pub(super) fn ratio_problem(&self) -> Option<String> {
        let fewest = self.base.len().min(self.candidate.len());
        if fewest == 0 {
            return Some("not measured".to_owned());
        }
        if [self.base.len(), self.candidate.len()] != self.runs {
            return Some(format!("measured in {} and {} of the runs", self.base.len(), self.candidate.len()));
        }
        let positive = |value: &&f64| value.is_finite() && **value > 0.0;
        let usable = self.base.iter().chain(&self.candidate).filter(positive).count();
        let all = self.base.len() + self.candidate.len();
        (usable < all).then(|| format!("{} of {all} values are 0 or less", all - usable))
    }

    /// Of a metric that has to be 0: the candidate must not begin what the base does not do.
    pub(super) fn zero_verdict(&self) -> (Verdict, Option<String>) {
        let total = |values: &[f64]| values.iter().sum::<f64>();
        let (base, candidate) = (total(&self.base), total(&self.candidate));
        if self.base.is_empty() || self.candidate.is_empty() {
            (Verdict::NotMeasured, None)
        } else if candidate == 0.0 {
            (Verdict::Ok, None)
        } else if base == 0.0 {
            (Verdict::Regression, Some(format!("{candidate} in the candidate's runs, none in the base's")))
        } else {
            (Verdict::Ok, Some(format!("{candidate} in the candidate's runs, {base} in the base's: not judged")))
        }
    }
}

/// A metric's effect, and the same as a worsening: ln ratios and differences, positive is worse.
pub(super) struct Comparison {
    pub(super) effect: Effect,
    pub(super) worsening: Interval,
    pub(super) difference: f64,
    /// Upper bound of the difference.
    pub(super) difference_high: f64,
    /// Why nothing can be concluded.
    pub(super) refused: Option<String>,
}

/// Compares run by run.
pub(super) fn compare_pairs(sides: &Sides, metric: &Metric, how: Resampling, alpha: f64) -> Comparison {
    let both = || sides.base.iter().zip(&sides.candidate);
    let worse = worse_sign(metric);
    let ratios: Vec<f64> = both().map(|(base, candidate)| worse * (candidate / base).ln()).collect();
    let differences: Vec<f64> = both().map(|(base, candidate)| worse * (candidate - base)).collect();
    let limit = metric.bound.ln_1p();
    let confidence = 1.0 - alpha;
    let (method, interval, p_above, difference_high) = if ratios.len() <= EXACT_PAIRS_MAX {
        let high = wilcoxon_interval(&differences, confidence).high;
        (Method::Wilcoxon, wilcoxon_interval(&ratios, confidence), wilcoxon_p_above(&ratios, limit), high)
    } else {
        let resamples = bootstrap_medians(&ratios, how.resamples, how.seed);
        let of_differences = bootstrap_medians(&differences, how.resamples, how.seed);
        let high = percentile_interval(&of_differences, confidence).high;
        let interval = percentile_interval(&resamples, confidence);
        (Method::PairedBootstrap, interval, bootstrap_p_above(&resamples, limit), high)
    };
    let effect = Effect {
        ratio: (worse * median(&ratios)).exp(),
        ratio_hodges_lehmann: Some((worse * hodges_lehmann(&ratios)).exp()),
        interval: as_ratio(interval, worse),
        confidence,
        method,
        difference: worse * median(&differences),
        p_worse: (2.0 * p_above).min(1.0),
    };
    Comparison { effect, worsening: interval, difference: median(&differences), difference_high, refused: None }
}

/// Compares the medians of runs that are no pairs.
pub(super) fn compare_medians(sides: &Sides, metric: &Metric, how: Resampling, alpha: f64) -> Comparison {
    let worse = worse_sign(metric);
    let confidence = 1.0 - alpha;
    let (base, candidate) = (median(&sides.base), median(&sides.candidate));
    let difference = candidate - base;
    let fewest = sides.base.len().min(sides.candidate.len());
    let (interval, p_above) = if fewest < UNPAIRED_RUNS_MIN {
        (Interval::UNBOUNDED, 1.0)
    } else {
        let (above, below) =
            if worse > 0.0 { (&sides.candidate, &sides.base) } else { (&sides.base, &sides.candidate) };
        let resamples = bootstrap_ln_ratios(above, below, how.resamples, how.seed);
        (percentile_interval(&resamples, confidence), bootstrap_p_above(&resamples, metric.bound.ln_1p()))
    };
    let effect = Effect {
        ratio: candidate / base,
        ratio_hodges_lehmann: None,
        interval: as_ratio(interval, worse),
        confidence,
        method: Method::UnpairedBootstrap,
        difference,
        p_worse: (2.0 * p_above).min(1.0),
    };
    let refused = (fewest < UNPAIRED_RUNS_MIN)
        .then(|| format!("{fewest} runs a side say nothing about noise; {UNPAIRED_RUNS_MIN} are needed"));
    Comparison { effect, worsening: interval, difference: worse * difference, difference_high: f64::INFINITY, refused }
}

/// 1 if more is worse, −1 if less is.
const fn worse_sign(metric: &Metric) -> f64 {
    match metric.direction {
        Direction::Lower => 1.0,
        Direction::Higher => -1.0,
    }
}

fn as_ratio(worsening: Interval, worse: f64) -> Interval {
    let interval = if worse > 0.0 { worsening } else { worsening.negated() };
    Interval { low: interval.low.exp(), high: interval.high.exp() }
}

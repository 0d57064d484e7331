//! What the pairs say about each metric: no worse than its bound, worse, or that they do not suffice to tell.
//!
//! The question is one of equivalence: a difference that is certain but smaller than the bound is no regression, and
//! runs that scatter too much to exclude one are no proof that all is well.

use serde::Serialize;

use super::comparison::Comparison;
use super::metrics::Role;
use super::statistics::{Interval, holm};
use crate::thresholds::Unit;

/// What a metric's numbers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// No worse than the bound.
    Ok,
    /// Better by more than the bound.
    Improved,
    /// The numbers do not suffice to tell.
    Inconclusive,
    /// Worse than the bound, and by more than the absolute slack.
    Regression,
    /// Shown only.
    NotJudged,
    /// Not measured on both sides of each pair.
    NotMeasured,
}

/// How an interval was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Exact, from signed ranks of ln ratios; its centre is the Hodges–Lehmann estimate.
    Wilcoxon,
    /// Percentiles of resampled medians of ln ratios.
    PairedBootstrap,
    /// Percentiles of ratios of resampled medians.
    UnpairedBootstrap,
}

/// How the candidate differs from the base.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effect {
    /// Candidate / base: of the median pair, or of the medians if there are no pairs.
    pub ratio: f64,
    /// The same by Hodges and Lehmann's estimate; of pairs only.
    pub ratio_hodges_lehmann: Option<f64>,
    /// Where the ratio probably lies; unbounded is from 0 to infinity (`null`).
    pub interval: Interval,
    /// How probably.
    pub confidence: f64,
    /// How the interval was found.
    pub method: Method,
    /// Candidate − base in the metric's unit: the median of pairs, or of medians.
    pub difference: f64,
    /// How probable such numbers are if the candidate is not worse than the bound; two-sided, by Holm's adjustment for
    /// all that are judged.
    pub p_worse: f64,
}

/// The judgement of one metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// The metric.
    pub metric: String,
    /// Its unit.
    pub unit: Unit,
    /// Whether it decides.
    pub role: Role,
    /// The base's median.
    pub base: Option<f64>,
    /// The candidate's median.
    pub candidate: Option<f64>,
    /// How they differ, if both are there and positive.
    pub effect: Option<Effect>,
    /// By what part it may worsen, noise considered.
    pub bound: f64,
    /// By how much it may worsen whatever the part, in the metric's unit.
    pub slack: f64,
    /// What follows.
    pub verdict: Verdict,
    /// Why, if it is not plain.
    pub note: Option<String>,
}

/// What all metrics together say: any regression is one, and all that decide have to be well. None of them measured
/// is none.
#[must_use]
pub fn overall(judgements: &[Judgement]) -> Option<Verdict> {
    let deciding = || judgements.iter().filter(|judgement| judgement.role == Role::Gating);
    let any = |verdict: Verdict| deciding().any(|judgement| judgement.verdict == verdict);
    let measured = deciding().any(|judgement| judgement.effect.is_some()) || !any(Verdict::NotMeasured);
    if any(Verdict::Regression) {
        Some(Verdict::Regression)
    } else if !measured {
        None
    } else if any(Verdict::Inconclusive) {
        Some(Verdict::Inconclusive)
    } else {
        Some(Verdict::Ok)
    }
}

/// Makes each probability as large as it has to be when so many metrics decide.
pub(super) fn adjust_by_holm(judged: &mut [(Judgement, Option<Comparison>)]) {
    let deciding = |(judgement, comparison): &&mut (Judgement, Option<Comparison>)| {
        judgement.role == Role::Gating && comparison.is_some()
    };
    let mut effects: Vec<&mut Effect> = judged
        .iter_mut()
        .filter(deciding)
        .filter_map(|(_, comparison)| comparison.as_mut().map(|comparison| &mut comparison.effect))
        .collect();
    let probabilities: Vec<f64> = effects.iter().map(|effect| effect.p_worse).collect();
    for (effect, adjusted) in effects.iter_mut().zip(holm(&probabilities)) {
        effect.p_worse = adjusted;
    }
}

/// What follows for a metric.
pub(super) fn conclude(mut judgement: Judgement, comparison: Option<Comparison>, alpha: f64) -> Judgement {
    let Some(comparison) = comparison else {
        return judgement;
    };
    let limit = judgement.bound.ln_1p();
    let (low, high) = (comparison.worsening.low, comparison.worsening.high);
    let (verdict, note) = if judgement.role != Role::Gating {
        (Verdict::NotJudged, comparison.refused)
    } else if comparison.refused.is_some() {
        (Verdict::Inconclusive, comparison.refused)
    } else if high < -limit && comparison.difference < -judgement.slack {
        (Verdict::Improved, None)
    } else if high < limit {
        (Verdict::Ok, None)
    } else if comparison.difference_high <= judgement.slack {
        (Verdict::Ok, Some("within the absolute slack".to_owned()))
    } else if low <= limit {
        (Verdict::Inconclusive, None)
    } else if comparison.difference <= judgement.slack {
        (Verdict::Ok, Some("within the absolute slack".to_owned()))
    } else if comparison.effect.p_worse > alpha {
        (Verdict::Inconclusive, Some("worse by itself, but not surely among so many metrics".to_owned()))
    } else {
        (Verdict::Regression, None)
    };
    judgement.effect = Some(comparison.effect);
    judgement.verdict = verdict;
    judgement.note = note;
    judgement
}

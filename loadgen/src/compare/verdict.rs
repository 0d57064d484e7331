//! What the pairs say about each metric: no worse than its bound, worse, or that they do not suffice to tell.
//!
//! The question is one of equivalence: a difference that is certain but smaller than the bound is no regression, and
//! runs that scatter too much to exclude one are no proof that all is well.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::metrics::{self, Direction, Metric, Role, Unit, UnknownMetric};
use super::noise::NoiseTable;
use super::statistics::{
    Interval, bootstrap_ln_ratios, bootstrap_medians, bootstrap_p_above, hodges_lehmann, holm, median,
    percentile_interval, wilcoxon_interval, wilcoxon_p_above,
};
use crate::outcome::Run;

/// Up to this many pairs intervals are exact (Wilcoxon's signed ranks), above they are bootstrapped.
const EXACT_PAIRS_MAX: usize = 12;
/// With fewer runs a side, the smallest to the largest of them do not even cover the median at 95 %.
pub const UNPAIRED_RUNS_MIN: usize = 6;

/// The metrics of a run, by name. What was not measured is not there.
pub type Values = BTreeMap<String, f64>;

/// One number per metric of a base and a candidate that ran one after the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pair {
    /// Of the base.
    pub base: Values,
    /// Of the candidate.
    pub candidate: Values,
}

/// What is judged, and how strictly.
#[derive(Clone, Debug)]
pub struct Rules {
    metrics: Vec<Metric>,
    noise: Option<NoiseTable>,
    resamples: u32,
    seed: u64,
}

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

impl Rules {
    /// The default metrics; `bounds` replaces bounds by name (0.05: 5 %), `gate`, if any, the set of those that decide.
    ///
    /// # Errors
    /// If a name is no metric.
    pub fn new(bounds: &BTreeMap<String, f64>, gate: Option<&BTreeSet<String>>) -> Result<Self, UnknownMetric> {
        for name in bounds.keys().chain(gate.into_iter().flatten()) {
            let _known: Metric = metrics::find(name)?;
        }
        let mut all = metrics::all();
        for metric in &mut all {
            if let Some(bound) = bounds.get(&metric.name) {
                metric.bound = *bound;
                if metric.role == Role::Silent {
                    metric.role = Role::Gating;
                }
            }
            if let Some(gate) = gate {
                metric.role = match (gate.contains(&metric.name), metric.role) {
                    (true, _) => Role::Gating,
                    (false, Role::Gating) => Role::Advisory,
                    (false, role) => role,
                };
            }
        }
        all.retain(|metric| metric.role != Role::Silent);
        Ok(Self { metrics: all, noise: None, resamples: 10_000, seed: 1 })
    }

    /// With the noise of this machine, which widens bounds.
    #[must_use]
    pub fn with_noise(self, noise: Option<NoiseTable>) -> Self {
        Self { noise, ..self }
    }

    /// With another number of resamples and seed for them.
    #[must_use]
    pub fn with_resamples(self, resamples: u32, seed: u64) -> Self {
        Self { resamples, seed, ..self }
    }

    /// The same, but only these decide.
    #[must_use]
    pub fn deciding(&self, names: &[String]) -> Self {
        let mut rules = self.clone();
        for metric in rules.metrics.iter_mut().filter(|metric| metric.role == Role::Gating) {
            if !names.contains(&metric.name) {
                metric.role = Role::Advisory;
            }
        }
        rules
    }

    /// Resamples of a bootstrap.
    #[must_use]
    pub const fn resamples(&self) -> u32 {
        self.resamples
    }

    /// The metrics that decide or are shown.
    #[must_use]
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The noise table, if there is one.
    #[must_use]
    pub const fn noise(&self) -> Option<&NoiseTable> {
        self.noise.as_ref()
    }

    /// Reads a run's metrics.
    #[must_use]
    pub fn values(&self, run: &Run) -> Values {
        self.metrics.iter().filter_map(|metric| Some((metric.name.clone(), metric.value(run)?))).collect()
    }

    /// Judges pairs; `alpha` is the probability of a false alarm that may be spent (two-sided, over all metrics).
    #[must_use]
    pub fn judge(&self, pairs: &[Pair], alpha: f64) -> Vec<Judgement> {
        let sides = |metric: &Metric| Sides {
            base: pairs.iter().filter_map(|pair| pair.base.get(&metric.name).copied()).collect(),
            candidate: pairs.iter().filter_map(|pair| pair.candidate.get(&metric.name).copied()).collect(),
            runs: [pairs.len(); 2],
        };
        self.judge_by(alpha, pairs.len(), &sides, &|sides, metric| self.compare_pairs(sides, metric, alpha))
    }

    /// Judges runs that are no pairs.
    #[must_use]
    pub fn judge_unpaired(&self, base: &[Values], candidate: &[Values], alpha: f64) -> Vec<Judgement> {
        let of = |runs: &[Values], metric: &Metric| -> Vec<f64> {
            runs.iter().filter_map(|values| values.get(&metric.name).copied()).collect()
        };
        let sides = |metric: &Metric| Sides {
            base: of(base, metric),
            candidate: of(candidate, metric),
            runs: [base.len(), candidate.len()],
        };
        let fewest = base.len().min(candidate.len());
        self.judge_by(alpha, fewest, &sides, &|sides, metric| self.compare_medians(sides, metric, alpha))
    }

    fn judge_by(
        &self,
        alpha: f64,
        pairs: usize,
        sides: &dyn Fn(&Metric) -> Sides,
        compare: &dyn Fn(&Sides, &Metric) -> Comparison,
    ) -> Vec<Judgement> {
        let mut judged: Vec<(Judgement, Option<Comparison>)> = Vec::with_capacity(self.metrics.len());
        for metric in &self.metrics {
            let sides = sides(metric);
            let bound = self.bound(metric, pairs);
            let mut judgement = Judgement {
                metric: metric.name.clone(),
                unit: metric.unit,
                role: metric.role,
                base: (!sides.base.is_empty()).then(|| median(&sides.base)),
                candidate: (!sides.candidate.is_empty()).then(|| median(&sides.candidate)),
                effect: None,
                bound,
                slack: metric.slack,
                verdict: Verdict::NotMeasured,
                note: None,
            };
            if metric.must_be_zero() {
                (judgement.verdict, judgement.note) = sides.zero_verdict();
                if metric.role != Role::Gating {
                    judgement.verdict = Verdict::NotJudged;
                }
                judged.push((judgement, None));
                continue;
            }
            match sides.ratio_problem() {
                Some(problem) => {
                    judgement.note = Some(problem);
                    judged.push((judgement, None));
                }
                None => judged.push((judgement, Some(compare(&sides, &metric.bounded_by(bound))))),
            }
        }
        adjust_by_holm(&mut judged);
        judged.into_iter().map(|(judgement, comparison)| conclude(judgement, comparison, alpha)).collect()
    }

    fn bound(&self, metric: &Metric, pairs: usize) -> f64 {
        self.noise.as_ref().map_or(metric.bound, |noise| noise.bound(&metric.name, metric.bound, pairs))
    }

    fn compare_pairs(&self, sides: &Sides, metric: &Metric, alpha: f64) -> Comparison {
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
            let resamples = bootstrap_medians(&ratios, self.resamples, self.seed);
            let of_differences = bootstrap_medians(&differences, self.resamples, self.seed);
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

    fn compare_medians(&self, sides: &Sides, metric: &Metric, alpha: f64) -> Comparison {
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
            let resamples = bootstrap_ln_ratios(above, below, self.resamples, self.seed);
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
        Comparison {
            effect,
            worsening: interval,
            difference: worse * difference,
            difference_high: f64::INFINITY,
            refused,
        }
    }
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

/// A metric's numbers, run by run.
struct Sides {
    base: Vec<f64>,
    candidate: Vec<f64>,
    /// Runs on each side, whether they measured it or not.
    runs: [usize; 2],
}

impl Sides {
    /// Why there is no ratio.
    fn ratio_problem(&self) -> Option<String> {
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
    fn zero_verdict(&self) -> (Verdict, Option<String>) {
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
struct Comparison {
    effect: Effect,
    worsening: Interval,
    difference: f64,
    /// Upper bound of the difference.
    difference_high: f64,
    /// Why nothing can be concluded.
    refused: Option<String>,
}

fn adjust_by_holm(judged: &mut [(Judgement, Option<Comparison>)]) {
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

fn conclude(mut judgement: Judgement, comparison: Option<Comparison>, alpha: f64) -> Judgement {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(gate: &[&str]) -> Rules {
        let gate = gate.iter().map(|name| (*name).to_owned()).collect();
        Rules::new(&BTreeMap::new(), Some(&gate)).unwrap().with_resamples(1_000, 1)
    }

    /// Pairs of one metric: the base around `base`, the candidate that many times as much, both scattering by a part.
    fn pairs(metric: &str, count: u32, base: f64, ratio: f64, scatter: f64) -> Vec<Pair> {
        let value = |value: f64| Values::from([(metric.to_owned(), value)]);
        let wobble = |number: u32| 1.0 + scatter * (f64::from(number * 7 % 11) / 5.0 - 1.0);
        (0..count).map(|number| Pair { base: value(base), candidate: value(base * ratio * wobble(number)) }).collect()
    }

    fn judge(rules: &Rules, metric: &str, pairs: &[Pair]) -> Judgement {
        let all = rules.judge(pairs, 0.04);
        all.into_iter().find(|judgement| judgement.metric == metric).unwrap()
    }

    #[test]
    fn three_verdicts_and_one_for_the_better() {
        for pairs_count in [10, 20] {
            for (metric, base, ratio, scatter, expected) in [
                ("latency.p50", 2e6, 1.0, 0.02, Verdict::Ok),
                ("latency.p50", 2e6, 1.05, 0.02, Verdict::Ok),
                ("latency.p50", 2e6, 1.3, 0.02, Verdict::Regression),
                ("latency.p50", 2e6, 1.1, 0.02, Verdict::Inconclusive),
                ("latency.p50", 2e6, 1.0, 0.9, Verdict::Inconclusive),
                ("latency.p50", 2e6, 0.7, 0.02, Verdict::Improved),
                // 40 → 48 µs is no alarm, however certain.
                ("latency.p50", 40_000.0, 1.2, 0.02, Verdict::Ok),
                ("latency.p50", 40_000.0, 1.2, 0.9, Verdict::Ok),
                ("deliveries_per_second", 1e5, 0.7, 0.02, Verdict::Regression),
                ("deliveries_per_second", 1e5, 1.5, 0.02, Verdict::Improved),
                ("server.memory_per_connection", 9_000.0, 1.05, 0.001, Verdict::Regression),
                ("server.memory_per_connection", 900.0, 1.05, 0.001, Verdict::Ok),
            ] {
                let judgement = judge(&rules(&[metric]), metric, &pairs(metric, pairs_count, base, ratio, scatter));
                assert_eq!(judgement.verdict, expected, "{pairs_count} pairs: {judgement:?}");
                let effect = judgement.effect.unwrap();
                let within = (effect.interval.low..=effect.interval.high).contains(&effect.ratio);
                assert!(within && (effect.ratio / ratio - 1.0).abs() <= scatter, "{effect:?}");
            }
        }
    }

    #[test]
    fn what_is_certain_alone_may_not_be_among_many() {
        let (metric, six) = ("latency.p50", pairs("latency.p50", 6, 2e6, 1.3, 0.01));
        assert_eq!(judge(&rules(&[metric]), metric, &six).verdict, Verdict::Regression);
        let names = ["latency.p50", "latency.p90", "latency.p99"];
        let mut many = six;
        for pair in &mut many {
            for name in &names[1..] {
                pair.base.insert((*name).to_owned(), 2e6);
                pair.candidate.insert((*name).to_owned(), 2e6);
            }
        }
        let judgement = judge(&rules(&names), metric, &many);
        assert_eq!(judgement.verdict, Verdict::Inconclusive);
        assert!(judgement.note.unwrap().contains("among so many"));
    }

    #[test]
    fn noise_widens_a_bound() {
        let mut noise = NoiseTable::default();
        let scatter = (0..40).map(|number| if number % 2 == 0 { 0.5 } else { -0.5 }).collect();
        noise.add_trial("ok", &BTreeMap::from([("latency.p50".to_owned(), scatter)]));
        let rules = rules(&["latency.p50"]).with_noise(Some(noise));
        let judgement = judge(&rules, "latency.p50", &pairs("latency.p50", 10, 2e6, 1.3, 0.02));
        assert!(judgement.bound > 0.4 && judgement.verdict == Verdict::Ok, "{judgement:?}");
    }

    #[test]
    fn loss_must_not_begin() {
        for (base, candidate, expected) in
            [(0.0, 0.0, Verdict::Ok), (0.0, 1.0, Verdict::Regression), (3.0, 0.0, Verdict::Ok), (3.0, 9.0, Verdict::Ok)]
        {
            let of = |count| Values::from([("lost".to_owned(), count)]);
            let mut pairs = vec![Pair { base: of(0.0), candidate: of(0.0) }; 3];
            pairs.push(Pair { base: of(base), candidate: of(candidate) });
            let judgement = judge(&rules(&["lost"]), "lost", &pairs);
            assert_eq!(judgement.verdict, expected, "{base} {candidate}");
            assert_eq!(overall(&[judgement]).unwrap(), expected);
        }
    }

    #[test]
    fn what_was_not_measured_is_never_well() {
        let gate = rules(&["latency.p50", "server.memory_per_connection"]);
        let mut some = pairs("latency.p50", 10, 2e6, 1.0, 0.02);
        let judgements = gate.judge(&some, 0.04);
        assert_eq!(overall(&judgements), Some(Verdict::Ok));
        assert!(judgements.iter().any(|judgement| judgement.verdict == Verdict::NotMeasured));
        let memory = |pair: &mut Pair, bytes| {
            pair.base.insert("server.memory_per_connection".to_owned(), bytes);
            pair.candidate.insert("server.memory_per_connection".to_owned(), 9_000.0);
        };
        some.iter_mut().for_each(|pair| memory(pair, 9_000.0));
        memory(&mut some[3], -200.0);
        let judgement = judge(&gate, "server.memory_per_connection", &some);
        assert!(judgement.note.unwrap().contains("1 of 20 values are 0 or less"));
        some[3].base.clear();
        let judgement = judge(&gate, "latency.p50", &some);
        assert_eq!(judgement.verdict, Verdict::NotMeasured);
        assert!(judgement.note.unwrap().contains("in 9 and 10 of the runs"));
        assert_eq!(overall(&gate.judge(&[], 0.04)), None);
    }

    #[test]
    fn unpaired_runs_need_to_be_some() {
        let gate = rules(&["latency.p50"]);
        let runs = |count: u32, value: f64| -> Vec<Values> {
            pairs("latency.p50", count, value, 1.0, 0.05).into_iter().map(|pair| pair.candidate).collect()
        };
        let verdict = |base: &[Values], candidate: &[Values]| {
            let all = gate.judge_unpaired(base, candidate, 0.05);
            all.into_iter().find(|judgement| judgement.metric == "latency.p50").unwrap().verdict
        };
        assert_eq!(verdict(&runs(5, 2e6), &runs(9, 6e6)), Verdict::Inconclusive);
        assert_eq!(verdict(&runs(6, 2e6), &runs(9, 6e6)), Verdict::Regression);
        assert_eq!(verdict(&runs(9, 2e6), &runs(9, 2e6)), Verdict::Ok);
        assert_eq!(verdict(&runs(9, 6e6), &runs(9, 2e6)), Verdict::Improved);
    }
}

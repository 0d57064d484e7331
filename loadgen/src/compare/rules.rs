//! Which metrics decide, by what bounds, and the judgement of pairs by them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::comparison::{Comparison, Resampling, Sides, compare_medians, compare_pairs};
use super::metrics::{self, Metric, Role};
use super::noise::NoiseTable;
use super::statistics::median;
use super::verdict::{Judgement, Verdict, adjust_by_holm, conclude};
use crate::outcome::Run;
use crate::thresholds::UnknownMetric;

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
    how: Resampling,
}

impl Rules {
    /// The default metrics; `bounds` replaces bounds by name (0.05: 5 %), `gate`, if any, the set of those that decide.
    ///
    /// # Errors
    /// If a name is no metric.
    pub fn new(bounds: &BTreeMap<String, f64>, gate: Option<&BTreeSet<String>>) -> Result<Self, UnknownMetric> {
        // `latency.p99.9` is `latency.p999`.
        let name_of = |name: &String| metrics::find(name).map(|metric| metric.name().to_owned());
        let bounds = bounds.iter().map(|(name, bound)| Ok((name_of(name)?, *bound)));
        let bounds: BTreeMap<String, f64> = bounds.collect::<Result<_, UnknownMetric>>()?;
        let gate: Option<BTreeSet<String>> = gate.map(|names| names.iter().map(name_of).collect()).transpose()?;
        let mut all = metrics::all();
        for metric in &mut all {
            if let Some(bound) = bounds.get(metric.name()) {
                metric.bound = *bound;
                if metric.role == Role::Silent {
                    metric.role = Role::Gating;
                }
            }
            if let Some(gate) = &gate {
                metric.role = match (gate.contains(metric.name()), metric.role) {
                    (true, _) => Role::Gating,
                    (false, Role::Gating) => Role::Advisory,
                    (false, role) => role,
                };
            }
        }
        all.retain(|metric| metric.role != Role::Silent);
        Ok(Self { metrics: all, noise: None, how: Resampling { resamples: 10_000, seed: 1 } })
    }

    /// With the noise of this machine, which widens bounds.
    #[must_use]
    pub fn with_noise(self, noise: Option<NoiseTable>) -> Self {
        Self { noise, ..self }
    }

    /// With another number of resamples and seed for them.
    #[must_use]
    pub fn with_resamples(self, resamples: u32, seed: u64) -> Self {
        Self { how: Resampling { resamples, seed }, ..self }
    }

    /// For runs with so many connections.
    #[must_use]
    pub fn with_connections(self, connections: u32) -> Self {
        let metrics = self.metrics.into_iter().map(|metric| metric.with_connections(connections)).collect();
        Self { metrics, ..self }
    }

    /// The same, but only these decide.
    #[must_use]
    pub fn deciding(&self, names: &[String]) -> Self {
        let mut rules = self.clone();
        for metric in rules.metrics.iter_mut().filter(|metric| metric.role == Role::Gating) {
            if !names.iter().any(|name| name == metric.name()) {
                metric.role = Role::Advisory;
            }
        }
        rules
    }

    /// Resamples of a bootstrap.
    #[must_use]
    pub const fn resamples(&self) -> u32 {
        self.how.resamples
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
        self.metrics.iter().filter_map(|metric| Some((metric.name().to_owned(), metric.value(run)?))).collect()
    }

    /// Judges pairs; `alpha` is the probability of a false alarm that may be spent (two-sided, over all metrics).
    #[must_use]
    pub fn judge(&self, pairs: &[Pair], alpha: f64) -> Vec<Judgement> {
        let sides = |metric: &Metric| Sides {
            base: pairs.iter().filter_map(|pair| pair.base.get(metric.name()).copied()).collect(),
            candidate: pairs.iter().filter_map(|pair| pair.candidate.get(metric.name()).copied()).collect(),
            runs: [pairs.len(); 2],
        };
        self.judge_by(alpha, pairs.len(), &sides, &|sides, metric| compare_pairs(sides, metric, self.how, alpha))
    }

    /// Judges runs that are no pairs.
    #[must_use]
    pub fn judge_unpaired(&self, base: &[Values], candidate: &[Values], alpha: f64) -> Vec<Judgement> {
        let of = |runs: &[Values], metric: &Metric| -> Vec<f64> {
            runs.iter().filter_map(|values| values.get(metric.name()).copied()).collect()
        };
        let sides = |metric: &Metric| Sides {
            base: of(base, metric),
            candidate: of(candidate, metric),
            runs: [base.len(), candidate.len()],
        };
        let fewest = base.len().min(candidate.len());
        self.judge_by(alpha, fewest, &sides, &|sides, metric| compare_medians(sides, metric, self.how, alpha))
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
                metric: metric.name().to_owned(),
                unit: metric.unit(),
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
        self.noise.as_ref().map_or(metric.bound, |noise| noise.bound(metric.name(), metric.bound, pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::verdict::overall;

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

//! Trials of the gate itself: the whole procedure again and again, with a known difference or with none. What comes out
//! is its power and its false-alarm rate on this machine, which is the only reason to trust its verdicts.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use super::bench::{Attempt, Bench, Pairing, Watch};
use super::decision::{Decision, Outcome};
use super::noise::NoiseTable;
use super::paired::{PairedError, Procedure};
use super::rules::Rules;
use super::simulated::Injection;

/// What is tried, and how often.
#[derive(Clone, Copy, Debug)]
pub struct TrialPlan<'a> {
    /// What is judged.
    pub rules: &'a Rules,
    /// Pairs of a trial's first stage.
    pub pairs: usize,
    /// How their two runs are made.
    pub pairing: Pairing,
    /// How many trials.
    pub trials: usize,
    /// Decides the order of runs and their seeds.
    pub seed: u64,
    /// What the bench does to the candidate; only told here.
    pub injection: Option<Injection>,
}

/// One trial.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
    /// Whether a stage said regression, be it confirmed or not.
    pub alarmed: bool,
    /// Runs that it took.
    pub runs: u32,
    /// Metrics that were worse, confirmed.
    pub regressions: Vec<String>,
    /// Candidate / base of the first stage's median pair, by metric.
    pub ratios: BTreeMap<String, f64>,
}

/// All trials.
#[derive(Clone, Debug, Serialize)]
pub struct TrialRecord {
    /// Raised when a field changes its meaning.
    pub schema: u32,
    /// Class of the machine.
    pub class: String,
    /// The scenario's name.
    pub scenario: String,
    /// Pairs of a trial's first stage.
    pub pairs: usize,
    /// How their two runs were made.
    pub pairing: Pairing,
    /// Decided the order of runs and their seeds.
    pub seed: u64,
    /// Resamples of a bootstrap.
    pub resamples: u32,
    /// What was done to the candidate; none: both sides are alike.
    pub injection: Option<Injection>,
    /// How many trials ended with each outcome.
    pub outcomes: BTreeMap<String, u32>,
    /// Trials that said regression, confirmed, of those that were valid.
    pub regression_rate: f64,
    /// Trials that said so before the confirmation, of those that were valid.
    pub unconfirmed_rate: f64,
    /// Each trial, in order.
    pub trials: Vec<Trial>,
}

/// Runs the trials. With `noise`, the ratios of all pairs are added to it. An interruption ends them early.
///
/// # Errors
/// As [`Procedure::decide`].
pub fn trial(
    plan: TrialPlan<'_>,
    bench: &mut dyn Bench,
    watch: &mut dyn Watch,
    mut noise: Option<&mut NoiseTable>,
) -> Result<TrialRecord, PairedError> {
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut watch = Identified { watch, class: String::new(), scenario: String::new() };
    let mut trials = Vec::with_capacity(plan.trials);
    while trials.len() < plan.trials {
        let TrialPlan { rules, pairs, pairing, .. } = plan;
        let seed = rng.next_u64();
        let decision = Procedure { rules, pairs, pairing, seed, bench, watch: &mut watch }.decide()?;
        if decision.outcome == Outcome::Interrupted {
            break;
        }
        if let Some(noise) = &mut noise
            && decision.outcome != Outcome::Invalid
        {
            noise.add_trial(said(&decision), &ln_ratios(&decision));
        }
        trials.push(summary(&decision));
    }
    if let Some(noise) = noise {
        noise.class.clone_from(&watch.class);
        noise.scenario.clone_from(&watch.scenario);
    }
    let Identified { class, scenario, .. } = watch;
    Ok(TrialRecord::of(plan, class, scenario, trials))
}

impl TrialRecord {
    fn of(plan: TrialPlan<'_>, class: String, scenario: String, trials: Vec<Trial>) -> Self {
        let count = |wanted: &dyn Fn(&Trial) -> bool| trials.iter().filter(|trial| wanted(trial)).count();
        let valid = count(&|trial| trial.outcome != Outcome::Invalid);
        let rate = |wanted: &dyn Fn(&Trial) -> bool| float(count(wanted)) / float(valid.max(1));
        let mut outcomes = BTreeMap::new();
        for trial in &trials {
            *outcomes.entry(trial.outcome.name().to_owned()).or_insert(0) += 1;
        }
        Self {
            schema: 1,
            class,
            scenario,
            pairs: plan.pairs,
            pairing: plan.pairing,
            seed: plan.seed,
            resamples: plan.rules.resamples(),
            injection: plan.injection,
            outcomes,
            regression_rate: rate(&|trial| trial.outcome == Outcome::Regression),
            unconfirmed_rate: rate(&|trial| trial.alarmed && trial.outcome != Outcome::Invalid),
            trials,
        }
    }
}

/// Notes of which machine and scenario the runs are.
struct Identified<'a> {
    watch: &'a mut dyn Watch,
    class: String,
    scenario: String,
}

impl Watch for Identified<'_> {
    fn ran(&mut self, attempt: &Attempt<'_>) -> std::io::Result<()> {
        if let Some(run) = attempt.run {
            self.class.clone_from(&run.machine.class);
            self.scenario.clone_from(&run.scenario.name);
        }
        self.watch.ran(attempt)
    }
}

fn said(decision: &Decision) -> &'static str {
    match decision.outcome {
        Outcome::Inconclusive if decision.alarmed() => "unconfirmed",
        outcome => outcome.name(),
    }
}

fn summary(decision: &Decision) -> Trial {
    let regressed = decision.outcome == Outcome::Regression;
    let first = decision.stages.first().into_iter().flat_map(|stage| &stage.judgements);
    let ratio = |ratio: f64| (ratio * 10_000.0).round() / 10_000.0;
    Trial {
        outcome: decision.outcome,
        reason: decision.reason.clone(),
        alarmed: decision.alarmed(),
        runs: decision.runs,
        regressions: if regressed { decision.regressions() } else { Vec::new() },
        ratios: first
            .filter_map(|judgement| Some((judgement.metric.clone(), ratio(judgement.effect.as_ref()?.ratio))))
            .collect(),
    }
}

/// ln(candidate / base) of every pair that was run, by metric; pairs that two stages judged once.
fn ln_ratios(decision: &Decision) -> BTreeMap<String, Vec<f64>> {
    let mut ratios: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let followed = decision.stages.iter().map(Some).skip(1).chain([None]);
    let stages = decision.stages.iter().zip(followed);
    let stages = stages.filter_map(|(stage, next)| next.is_none_or(|next| !next.kind.doubles()).then_some(stage));
    for pair in stages.flat_map(|stage| &stage.pairs) {
        for (name, base) in pair.base.iter().filter(|(_, base)| **base > 0.0) {
            if let Some(candidate) = pair.candidate.get(name).filter(|candidate| **candidate > 0.0) {
                ratios.entry(name.clone()).or_default().push((candidate / base).ln());
            }
        }
    }
    ratios
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

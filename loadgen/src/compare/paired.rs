//! The paired procedure: base and candidate run at once, or one right after the other, in random order, so that what
//! the machine does meanwhile falls on both.
//!
//! ```text
//! k pairs ──┬─ ok ────────────────────────────────────────────────→ ok
//!           ├─ inconclusive → k more, once ──┬─ ok ───────────────→ ok
//!           │                                ├─ inconclusive ─────→ inconclusive
//!           └─ regression ───────────────────┴→ as many fresh pairs, in the other order
//!                                                (and as many more, once, if those do not suffice)
//!                                                ├─ regression ───→ regression
//!                                                └─ otherwise ────→ inconclusive
//! ```
//!
//! Nobody looks at figures before all pairs of a stage have run: stopping when it looks good finds what it looks for.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::bench::{Attempt, Bench, BenchError, Pairing, Side, StageKind, Watch};
use super::decision::{Decision, InvalidRun, Outcome, Stage};
use super::rules::{Pair, Rules};
use super::validity;
use super::verdict::{Verdict, overall};
use crate::outcome::Run;

/// Probability of a false alarm that the first judgement of a question may spend (two-sided) …
const ALPHA_FIRST: f64 = 0.04;
/// … and the second, of twice as many pairs.
const ALPHA_DOUBLED: f64 = 0.01;
/// How often an invalid run is repeated.
const REPEATS_MAX: u32 = 3;

/// Why the procedure could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PairedError {
    /// The noise table is another machine's.
    #[error("the noise table is of machine class {table}, these runs are of {run}: measure it here with `--aa`")]
    NoiseOfAnotherMachine {
        /// The table's class.
        table: String,
        /// The run's.
        run: String,
    },
    /// Progress could not be told or a run not kept.
    #[error("a run could not be kept or told of: {0}")]
    Watch(#[from] std::io::Error),
}

/// The procedure.
pub struct Procedure<'a> {
    /// What is judged.
    pub rules: &'a Rules,
    /// Pairs of the first stage, at least 1.
    pub pairs: usize,
    /// How the two runs of a pair are made.
    pub pairing: Pairing,
    /// Decides the order within pairs and the seeds of the runs.
    pub seed: u64,
    /// Runs the sides.
    pub bench: &'a mut dyn Bench,
    /// Is told of each run.
    pub watch: &'a mut dyn Watch,
}

/// Why pairs are missing.
enum Stop {
    Interrupted,
    Invalid(String),
}

/// Where a pair is: who runs first, and what the seed of both runs is.
#[derive(Clone, Copy)]
struct Slot {
    first: Side,
    seed: u64,
}

impl Procedure<'_> {
    /// Runs the pairs and judges them.
    ///
    /// # Errors
    /// If the noise table is of another machine, or runs cannot be kept. Whatever happens to a run is no error.
    pub fn decide(mut self) -> Result<Decision, PairedError> {
        let mut decision = Decision {
            outcome: Outcome::Invalid,
            reason: String::new(),
            stages: Vec::new(),
            invalid: Vec::new(),
            runs: 0,
        };
        let stop = self.stages(&mut decision)?;
        if let Some(stop) = stop {
            (decision.outcome, decision.reason) = match stop {
                Stop::Interrupted => (Outcome::Interrupted, "interrupted".to_owned()),
                Stop::Invalid(reason) => (Outcome::Invalid, reason),
            };
        }
        Ok(decision)
    }

    fn stages(&mut self, decision: &mut Decision) -> Result<Option<Stop>, PairedError> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut slots = random_slots(self.pairs, &mut rng);
        let rules = self.rules;
        let said = match self.ask([StageKind::First, StageKind::Doubled], rules, &mut slots, &mut rng, decision)? {
            Ok(said) => said,
            Err(stop) => return Ok(Some(stop)),
        };
        let pairs = slots.len();
        match said {
            None => return Ok(Some(Stop::Invalid("none of the metrics that decide was measured".to_owned()))),
            Some(Verdict::Regression) => {}
            Some(verdict) => {
                (decision.outcome, decision.reason) = plain(verdict, pairs, &decision.not_measured());
                return Ok(None);
            }
        }
        let flagged = decision.regressions();
        let rules = rules.deciding(&flagged);
        let mut slots: Vec<Slot> = slots.into_iter().map(|slot| slot.reversed(&mut rng)).collect();
        let kinds = [StageKind::Confirmation, StageKind::ConfirmationDoubled];
        let confirmed = match self.ask(kinds, &rules, &mut slots, &mut rng, decision)? {
            Ok(said) => said,
            Err(stop) => return Ok(Some(stop)),
        };
        let fresh = slots.len();
        (decision.outcome, decision.reason) = if confirmed == Some(Verdict::Regression) {
            let names = decision.regressions().join(", ");
            (Outcome::Regression, format!("{names}: worse in {pairs} pairs and in {fresh} fresh ones"))
        } else {
            let names = flagged.join(", ");
            let reason = format!("{names}: worse in {pairs} pairs, not confirmed by {fresh} fresh ones");
            (Outcome::Inconclusive, reason)
        };
        Ok(None)
    }

    /// Runs and judges the slots, and as many more if they do not suffice. Afterwards `slots` are those that were
    /// judged.
    fn ask(
        &mut self,
        kinds: [StageKind; 2],
        rules: &Rules,
        slots: &mut Vec<Slot>,
        rng: &mut ChaCha8Rng,
        decision: &mut Decision,
    ) -> Result<Result<Option<Verdict>, Stop>, PairedError> {
        let mut pairs = Vec::new();
        let mut said = None;
        for (kind, alpha) in kinds.into_iter().zip([ALPHA_FIRST, ALPHA_DOUBLED]) {
            if !pairs.is_empty() {
                slots.extend(random_slots(pairs.len(), rng));
            }
            let stopped = self.run_slots(kind, slots, &mut pairs, decision)?;
            said = decision.judge(kind, alpha, rules, (slots, &pairs));
            if let Some(stop) = stopped {
                return Ok(Err(stop));
            }
            if said != Some(Verdict::Inconclusive) {
                break;
            }
        }
        Ok(Ok(said))
    }

    /// Runs those slots that have no pair yet. Stops at the first pair that cannot be made.
    fn run_slots(
        &mut self,
        kind: StageKind,
        slots: &[Slot],
        pairs: &mut Vec<Pair>,
        decision: &mut Decision,
    ) -> Result<Option<Stop>, PairedError> {
        while let Some(slot) = slots.get(pairs.len()) {
            let place = Place { stage: kind, pair: pairs.len() + 1, pairs: slots.len() };
            let (first, second) = (slot.first, slot.first.other());
            let together: &[&[Side]] = match self.pairing {
                Pairing::Interleaved => &[&[first, second]],
                Pairing::Sequential => &[&[first], &[second]],
            };
            let mut pair = Pair::default();
            for sides in together {
                let runs = match self.valid_runs(place, sides, slot.seed, decision)? {
                    Ok(runs) => runs,
                    Err(stop) => return Ok(Some(stop)),
                };
                for (side, run) in runs {
                    match side {
                        Side::Base => pair.base = self.rules.values(&run),
                        Side::Candidate => pair.candidate = self.rules.values(&run),
                    }
                }
            }
            pairs.push(pair);
        }
        Ok(None)
    }

    /// Runs that may be compared, made at once, and repeated if need be: all of them if one is invalid, since another
    /// time is no longer theirs.
    fn valid_runs(
        &mut self,
        place: Place,
        sides: &[Side],
        seed: u64,
        decision: &mut Decision,
    ) -> Result<Result<Vec<(Side, Run)>, Stop>, PairedError> {
        let mut last = (Side::Base, String::new());
        for repeat in 0..=REPEATS_MAX {
            let runs: Vec<Result<Run, BenchError>> = match *sides {
                [first, _] => self.bench.run_both(first, seed).into(),
                _ => sides.iter().map(|side| self.bench.run(*side, seed)).collect(),
            };
            let (mut valid, mut interrupted) = (Vec::new(), false);
            for (side, run) in sides.iter().copied().zip(runs) {
                decision.runs += 1;
                let problems = match &run {
                    Ok(run) => validity::problems(run),
                    Err(error) => vec![told(error.as_ref())],
                };
                let Place { stage, pair, pairs } = place;
                let shown = run.as_ref().ok();
                self.watch.ran(&Attempt { stage, pair, pairs, side, repeat, run: shown, problems: &problems })?;
                if shown.is_some_and(|run| run.interrupted) {
                    interrupted = true;
                    continue;
                }
                match run {
                    Ok(run) if problems.is_empty() => {
                        self.of_this_machine(&run)?;
                        valid.push((side, run));
                    }
                    _ => {
                        last = (side, problems.join("; "));
                        decision.invalid.push(InvalidRun { stage, pair, side, problems });
                    }
                }
            }
            if interrupted {
                return Ok(Err(Stop::Interrupted));
            }
            if valid.len() == sides.len() {
                return Ok(Ok(valid));
            }
        }
        let (name, problems) = (last.0.name(), last.1);
        let times = REPEATS_MAX + 1;
        let reason = match sides {
            [_] => format!("a run of the {name} was invalid {times} times: {problems}"),
            _ => format!("a pair had an invalid run {times} times, at last that of the {name}: {problems}"),
        };
        Ok(Err(Stop::Invalid(reason)))
    }

    fn of_this_machine(&self, run: &Run) -> Result<(), PairedError> {
        match self.rules.noise() {
            Some(noise) if noise.class != run.machine.class => {
                Err(PairedError::NoiseOfAnotherMachine { table: noise.class.clone(), run: run.machine.class.clone() })
            }
            _ => Ok(()),
        }
    }
}

impl Decision {
    fn judge(
        &mut self,
        kind: StageKind,
        alpha: f64,
        rules: &Rules,
        (slots, pairs): (&[Slot], &[Pair]),
    ) -> Option<Verdict> {
        let judgements = rules.judge(pairs, alpha);
        let said = overall(&judgements);
        let first = slots.iter().take(pairs.len()).map(|slot| slot.first).collect();
        self.stages.push(Stage { kind, alpha, first, pairs: pairs.to_vec(), judgements });
        said
    }
}

/// Where in the procedure a run is.
#[derive(Clone, Copy)]
struct Place {
    stage: StageKind,
    pair: usize,
    pairs: usize,
}

impl Slot {
    /// The other order, with a seed of its own.
    fn reversed(self, rng: &mut ChaCha8Rng) -> Self {
        Self { first: self.first.other(), seed: rng.next_u64() }
    }
}

/// As many that begin with the base as with the candidate, shuffled.
fn random_slots(count: usize, rng: &mut ChaCha8Rng) -> Vec<Slot> {
    let mut slots = Vec::with_capacity(count);
    let mut first = if rng.next_u32() & 1 == 0 { Side::Base } else { Side::Candidate };
    for _ in 0..count {
        slots.push(Slot { first, seed: rng.next_u64() });
        first = first.other();
    }
    for last in (1..count).rev() {
        let among = u64::try_from(last + 1).expect("a count fits");
        let other = usize::try_from((u64::from(rng.next_u32()) * among) >> 32).expect("less than the count");
        slots.swap(last, other);
    }
    slots
}

fn plain(verdict: Verdict, pairs: usize, not_measured: &[String]) -> (Outcome, String) {
    match verdict {
        Verdict::Inconclusive => (Outcome::Inconclusive, format!("{pairs} pairs do not suffice to tell")),
        _ if not_measured.is_empty() => (Outcome::Ok, format!("no worse than the bounds in {pairs} pairs")),
        _ => {
            let names = not_measured.join(", ");
            (Outcome::Inconclusive, format!("no worse than the bounds in {pairs} pairs, but not measured: {names}"))
        }
    }
}

/// An error and what caused it, in a line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::compare::bench::BenchError;
    use crate::compare::metrics::Role;
    use crate::compare::noise::NoiseTable;
    use crate::compare::simulated::{Injection, Noise, SimulatedBench};

    fn rules() -> Rules {
        Rules::new(&BTreeMap::new(), None).unwrap().with_resamples(1_000, 1)
    }

    fn quiet() -> Noise {
        Noise { cpu: 0.01, p50: 0.01, p99: 0.01, memory: 0.002, drift: 0.2, disturbed: 0.0 }
    }

    fn decide(bench: &mut dyn Bench, rules: &Rules, watch: &mut dyn Watch) -> Decision {
        let pairing = Pairing::Sequential;
        Procedure { rules, pairs: 10, pairing, seed: 5, bench, watch }.decide().unwrap()
    }

    fn kinds(decision: &Decision) -> Vec<StageKind> {
        decision.stages.iter().map(|stage| stage.kind).collect()
    }

    #[test]
    fn each_way_through() {
        use StageKind::{Confirmation, Doubled, First};
        let cases = [
            (quiet(), 1.0, Outcome::Ok, vec![First], 20),
            (quiet(), 0.7, Outcome::Ok, vec![First], 20),
            (quiet(), 1.2, Outcome::Regression, vec![First, Confirmation], 40),
            // At the bound nobody can tell, however quiet it is.
            (quiet(), 1.05, Outcome::Inconclusive, vec![First, Doubled], 40),
        ];
        for (noise, cpu, outcome, stages, runs) in cases {
            let mut bench = SimulatedBench::new(noise, Injection { cpu, ..Injection::default() }, 3);
            let decision = decide(&mut bench, &rules(), &mut ());
            assert_eq!((decision.outcome, kinds(&decision), decision.runs), (outcome, stages, runs), "{cpu}");
        }
    }

    #[test]
    fn the_confirmation_is_in_the_other_order_and_only_about_what_was_flagged() {
        let injection = Injection { cpu: 1.3, ..Injection::default() };
        let decision = decide(&mut SimulatedBench::new(quiet(), injection, 3), &rules(), &mut ());
        let [first, confirmation] = &decision.stages[..] else { panic!("{:?}", kinds(&decision)) };
        let reversed: Vec<Side> = first.first.iter().map(|side| side.other()).collect();
        assert_eq!(confirmation.first, reversed);
        assert_eq!(first.first.iter().filter(|side| **side == Side::Base).count(), 5);
        assert_eq!(decision.regressions(), ["server.cpu_per_delivery"]);
        let deciding = confirmation.judgements.iter().filter(|judgement| judgement.role == Role::Gating);
        assert_eq!(deciding.count(), 1);
        assert!(decision.alarmed());
    }

    #[test]
    fn a_regression_that_goes_away_is_not_one() {
        /// Worse for so many runs of the candidate.
        struct Spell(SimulatedBench, SimulatedBench, u32);
        impl Bench for Spell {
            fn run(&mut self, side: Side, seed: u64) -> Result<Run, BenchError> {
                let bench = if self.2 > 0 { &mut self.0 } else { &mut self.1 };
                self.2 -= u32::from(side == Side::Candidate && self.2 > 0);
                bench.run(side, seed)
            }
        }
        let worse = Injection { latency: 2.0, ..Injection::default() };
        let slow = SimulatedBench::new(quiet(), worse, 1);
        let mut bench = Spell(slow, SimulatedBench::new(quiet(), Injection::default(), 2), 10);
        let decision = decide(&mut bench, &rules(), &mut ());
        assert_eq!(decision.outcome, Outcome::Inconclusive);
        assert!(decision.alarmed() && decision.reason.contains("not confirmed"), "{}", decision.reason);
    }

    #[test]
    fn invalid_runs_are_repeated_three_times() {
        /// Fails the first so many runs.
        struct Flaky(SimulatedBench, u32);
        impl Bench for Flaky {
            fn run(&mut self, side: Side, seed: u64) -> Result<Run, BenchError> {
                if let Some(left) = self.1.checked_sub(1) {
                    self.1 = left;
                    return Err("the port is taken".into());
                }
                self.0.run(side, seed)
            }
        }
        struct Counts(Vec<u32>);
        impl Watch for Counts {
            fn ran(&mut self, attempt: &Attempt<'_>) -> std::io::Result<()> {
                self.0.push(attempt.repeat);
                Ok(())
            }
        }
        let bench = || SimulatedBench::new(quiet(), Injection::default(), 1);
        let mut counts = Counts(Vec::new());
        let decision = decide(&mut Flaky(bench(), 3), &rules(), &mut counts);
        assert_eq!((decision.outcome, decision.invalid.len(), decision.runs), (Outcome::Ok, 3, 23));
        assert_eq!(counts.0[..5], [0, 1, 2, 3, 0]);
        let decision = decide(&mut Flaky(bench(), 4), &rules(), &mut ());
        assert_eq!((decision.outcome, decision.invalid.len(), decision.runs), (Outcome::Invalid, 4, 4));
        assert!(decision.reason.contains("invalid 4 times: the port is taken"), "{}", decision.reason);
        // A candidate that loses deliveries never gets as far as a figure.
        let decision = decide(&mut bench().losing(184), &rules(), &mut ());
        assert_eq!(decision.outcome, Outcome::Invalid);
        assert!(decision.reason.contains("candidate") && decision.reason.contains("184"), "{}", decision.reason);
    }

    #[test]
    fn an_interrupted_run_ends_it() {
        struct Interrupted(SimulatedBench);
        impl Bench for Interrupted {
            fn run(&mut self, side: Side, seed: u64) -> Result<Run, BenchError> {
                let mut run = self.0.run(side, seed)?;
                run.interrupted = true;
                Ok(run)
            }
        }
        let mut bench = Interrupted(SimulatedBench::new(quiet(), Injection::default(), 1));
        let decision = decide(&mut bench, &rules(), &mut ());
        assert_eq!((decision.outcome, decision.runs), (Outcome::Interrupted, 1));
    }

    #[test]
    fn noise_of_another_machine_is_refused() {
        let rules = rules().with_noise(Some(NoiseTable { class: "elsewhere".to_owned(), ..NoiseTable::default() }));
        let mut bench = SimulatedBench::new(quiet(), Injection::default(), 1);
        let (pairing, bench) = (Pairing::Interleaved, &mut bench);
        let procedure = Procedure { rules: &rules, pairs: 3, pairing, seed: 5, bench, watch: &mut () };
        assert!(matches!(procedure.decide(), Err(PairedError::NoiseOfAnotherMachine { .. })));
    }

    #[test]
    fn the_same_seed_decides_the_same() {
        let again = || {
            let mut bench = SimulatedBench::new(Noise::default(), Injection { cpu: 1.1, ..Injection::default() }, 8);
            serde_json::to_string(&decide(&mut bench, &rules(), &mut ())).unwrap()
        };
        assert_eq!(again(), again());
    }
}

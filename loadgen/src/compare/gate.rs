//! `loadgen compare` from its options to its exit code.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::bench::{Bench, Pairing, Side};
use super::command_bench::Runner;
use super::decision::{Decision, Outcome};
use super::metrics::Role;
use super::noise::{NoiseError, NoiseTable};
use super::options::{CompareOptions, Pairs, Servers, Strictness, Subject, TrialBench, Unlike};
use super::paired::{PairedError, Procedure};
use super::pairing::{self, Choice};
use super::prepared::Prepared;
use super::progress::{self, Progress};
use super::recorded::{self, RecordedError, RecordedSet};
use super::rules::Rules;
use super::simulated::{InjectedBench, Injection, SimulatedBench};
use super::statistics::pairs_needed;
use super::text;
use super::trial::{TrialPlan, trial};
use super::verdict::{Judgement, Verdict, overall};
use super::worktree::WorktreeError;
use crate::exit::Exit;
use crate::scenario::Scenario;
use crate::scratch::Scratch;
use crate::thresholds::UnknownMetric;

/// Raised when a field of `verdict.json` changes its meaning.
const SCHEMA: u32 = 1;
/// Recorded runs are compared at 95 %.
const ALPHA_RECORDED: f64 = 0.05;

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// A bound or a deciding metric that is none.
    #[error(transparent)]
    Metric(#[from] UnknownMetric),
    /// A bound that is no part.
    #[error("the bound of {metric} is {bound}: a part above 0 it should be (0.05 is 5 %)")]
    Bound {
        /// The metric.
        metric: String,
        /// What was asked for.
        bound: f64,
    },
    /// Nothing to do.
    #[error("{what} is 0: at least 1 it should be")]
    Zero {
        /// Pairs, trials or resamples.
        what: &'static str,
    },
    /// The number of pairs follows from the noise, and there is none.
    #[error("pairs = auto needs a noise table of this machine: write one with `--aa`, or give a number")]
    AutoWithoutNoise,
    /// The two runs of a pair should be made at once, and cannot.
    #[error("--pairing interleaved: {why}")]
    CannotInterleave {
        /// What is in the way.
        why: &'static str,
    },
    /// The noise is that of pairs made otherwise.
    #[error("the noise table is of {} pairs, these are {}: measure it so with `--aa`", table.name(), asked.name())]
    NoiseOfOtherPairs {
        /// The table's.
        table: Pairing,
        /// What is done here.
        asked: Pairing,
    },
    /// `aa.toml` cannot be read or written.
    #[error(transparent)]
    Noise(#[from] NoiseError),
    /// Recorded runs cannot be read.
    #[error(transparent)]
    Recorded(#[from] RecordedError),
    /// The base revision cannot be had.
    #[error(transparent)]
    Worktree(#[from] WorktreeError),
    /// The procedure could not go on.
    #[error(transparent)]
    Paired(#[from] PairedError),
    /// A folder or file could not be written.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The report could not be written.
    #[error("the report could not be written: {0}")]
    Out(#[from] io::Error),
}

impl CompareError {
    /// What the command ends with.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Metric(_)
            | Self::Bound { .. }
            | Self::Zero { .. }
            | Self::AutoWithoutNoise
            | Self::CannotInterleave { .. } => Exit::Usage,
            Self::NoiseOfOtherPairs { .. } => Exit::Incomparable,
            Self::Noise(NoiseError::Format { .. } | NoiseError::Read { .. }) => Exit::Usage,
            Self::Worktree(WorktreeError::NoRevision(_)) => Exit::Usage,
            Self::Recorded(RecordedError::Empty { .. }) => Exit::Invalid,
            Self::Recorded(RecordedError::Schema { .. }) => Exit::Incomparable,
            Self::Recorded(_) => Exit::Usage,
            Self::Paired(PairedError::NoiseOfAnotherMachine { .. }) => Exit::Incomparable,
            Self::Noise(_) | Self::Worktree(_) | Self::Paired(_) | Self::File { .. } | Self::Out(_) => Exit::Internal,
        }
    }
}

/// Compares, tells of it on `out`, and says what the command ends with. `runner` runs a scenario against a server that
/// is up.
///
/// # Errors
/// If nothing could be compared; [`CompareError::exit`] says what the command ends with then.
pub fn run(options: &CompareOptions, runner: &Runner<'_>, out: &mut dyn Write) -> Result<Exit, CompareError> {
    check(options)?;
    let noise = match (&options.subject, &options.noise) {
        // Trials add to the table, and the first ones begin it.
        (Subject::Trial { .. }, Some(path)) if !path.exists() => None,
        (_, path) => path.as_deref().map(NoiseTable::read).transpose()?,
    };
    let rules = Rules::new(&options.bounds, options.gate.as_ref())?
        .with_noise(noise)
        .with_resamples(options.resamples, options.seed);
    if let Some(folder) = &options.out {
        fresh_folder(folder)?;
    }
    match &options.subject {
        Subject::Recorded { base, candidate, unlike } => {
            compare_recorded(options, &rules, (base, candidate, *unlike), out)
        }
        Subject::Servers { servers, scenario } => {
            let choice = chosen_pairing(options, &rules, (servers, scenario))?;
            let rules = rules.with_connections(scenario.subscribers.count);
            let scratch = Scratch::new()?;
            let prepared = Prepared::new(servers, scratch.path(), out)?;
            let mut bench = prepared.bench(scenario, scratch.path(), runner);
            compare_servers(options, &rules, (&mut bench, choice), out)
        }
        Subject::Trial { trials, injection, bench: TrialBench::Simulated(noise) } => {
            let mut bench = SimulatedBench::new(*noise, injection.unwrap_or_default(), options.seed);
            let choice = Choice { pairing: options.pairing.unwrap_or(Pairing::Sequential), note: None };
            compare_trials(options, &rules, (*trials, *injection), (&mut bench, choice), out)
        }
        Subject::Trial { trials, injection, bench: TrialBench::Servers { servers, scenario } } => {
            let choice = chosen_pairing(options, &rules, (servers, scenario))?;
            let rules = rules.with_connections(scenario.subscribers.count);
            let scratch = Scratch::new()?;
            let prepared = Prepared::new(servers, scratch.path(), out)?;
            let mut bench = prepared.bench(scenario, scratch.path(), runner);
            let mut bench = InjectedBench::new(&mut bench, injection.unwrap_or_default());
            compare_trials(options, &rules, (*trials, *injection), (&mut bench, choice), out)
        }
    }
}

/// How the runs of a pair are made.
fn chosen_pairing(
    options: &CompareOptions,
    rules: &Rules,
    (servers, scenario): (&Servers, &Scenario),
) -> Result<Choice, CompareError> {
    let choice = pairing::choose(options.pairing, servers, scenario)?;
    match rules.noise() {
        Some(noise) if noise.pairing != choice.pairing => {
            Err(CompareError::NoiseOfOtherPairs { table: noise.pairing, asked: choice.pairing })
        }
        _ => Ok(choice),
    }
}

fn check(options: &CompareOptions) -> Result<(), CompareError> {
    let trials = if let Subject::Trial { trials, .. } = &options.subject { *trials } else { 1 };
    let resamples = usize::try_from(options.resamples).unwrap_or(usize::MAX);
    let pairs = if let Pairs::Fixed(pairs) = options.pairs { pairs } else { 1 };
    for (what, number) in [("pairs", pairs), ("trials", trials), ("resamples", resamples)] {
        if number == 0 {
            return Err(CompareError::Zero { what });
        }
    }
    for (name, bound) in &options.bounds {
        let may_be_zero = super::metrics::find(name)?.must_be_zero();
        if !bound.is_finite() || *bound < 0.0 || (*bound == 0.0 && !may_be_zero) {
            return Err(CompareError::Bound { metric: name.clone(), bound: *bound });
        }
    }
    Ok(())
}

/// Pairs of the first stage.
fn pairs(options: &CompareOptions, rules: &Rules) -> Result<usize, CompareError> {
    const AUTO_MAX: u32 = 40;
    match (options.pairs, rules.noise()) {
        (Pairs::Fixed(pairs), _) => Ok(pairs),
        (Pairs::Auto, None) => Err(CompareError::AutoWithoutNoise),
        (Pairs::Auto, Some(noise)) => {
            let gating = rules.metrics().iter().filter(|metric| metric.role == Role::Gating);
            let needed = gating.filter_map(|metric| {
                let sigma = noise.metric.get(metric.name())?.sigma;
                Some(pairs_needed(sigma, metric.bound).min(AUTO_MAX))
            });
            let needed = needed.max().ok_or(CompareError::AutoWithoutNoise)?;
            Ok(usize::try_from(needed).unwrap_or(usize::MAX))
        }
    }
}

/// `verdict.json` of a comparison in pairs.
#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    loadgen: &'static str,
    written: String,
    seed: u64,
    resamples: u32,
    pairs: usize,
    pairing: Pairing,
    #[serde(flatten)]
    decision: &'a Decision,
}

/// `verdict.json` of recorded runs.
#[derive(Serialize)]
struct RecordedReport<'a> {
    schema: u32,
    loadgen: &'static str,
    written: String,
    seed: u64,
    resamples: u32,
    /// Runs on each side.
    runs: [usize; 2],
    unlike: &'a [String],
    doubts: &'a [String],
    left_out: Vec<&'a String>,
    outcome: Outcome,
    judgements: &'a [Judgement],
}

fn compare_servers(
    options: &CompareOptions,
    rules: &Rules,
    (bench, Choice { pairing, note }): (&mut dyn Bench, Choice),
    out: &mut dyn Write,
) -> Result<Exit, CompareError> {
    let pairs = pairs(options, rules)?;
    let busy = other_work(&fs::read_to_string("/proc/loadavg").unwrap_or_default(), cores());
    for note in busy.into_iter().chain(note) {
        writeln!(out, "{note}")?;
    }
    let mut watch = Progress::new(out, options.out.as_deref());
    let decision = Procedure { rules, pairs, pairing, seed: options.seed, bench, watch: &mut watch }.decide()?;
    text::decision(&decision, out)?;
    if let Some(folder) = &options.out {
        let (seed, resamples) = (options.seed, options.resamples);
        let (loadgen, written) = (env!("CARGO_PKG_VERSION"), now());
        let report = Report { schema: SCHEMA, loadgen, written, seed, resamples, pairs, pairing, decision: &decision };
        write_json(&folder.join("verdict.json"), &report)?;
    }
    Ok(exit_of(decision.outcome, options.strictness))
}

fn compare_trials(
    options: &CompareOptions,
    rules: &Rules,
    (trials, injection): (usize, Option<Injection>),
    (bench, Choice { pairing, note }): (&mut dyn Bench, Choice),
    out: &mut dyn Write,
) -> Result<Exit, CompareError> {
    let plan = TrialPlan { rules, pairs: pairs(options, rules)?, pairing, trials, seed: options.seed, injection };
    if let Some(note) = note {
        writeln!(out, "{note}")?;
    }
    let mut watch = Progress::new(out, None);
    // With a difference put in, ratios are not the machine's noise.
    let mut noise = injection.is_none().then(|| rules.noise().cloned().unwrap_or_default());
    // Trials measure the noise, so they do not presuppose it; what earlier ones found is only added to.
    let unbiased = rules.clone().with_noise(None);
    let record = trial(TrialPlan { rules: &unbiased, ..plan }, bench, &mut watch, noise.as_mut())?;
    if let Some(noise) = &mut noise {
        (noise.schema, noise.written, noise.pairing) = (SCHEMA, now(), pairing);
    }
    text::trials(&record, noise.as_ref(), out)?;
    if let Some(folder) = &options.out {
        write_json(&folder.join("trial.json"), &record)?;
    }
    let beside_trial = options.out.as_ref().map(|folder| folder.join("aa.toml"));
    if let (Some(noise), Some(path)) = (&noise, options.noise.as_ref().or(beside_trial.as_ref())) {
        noise.write(path)?;
    }
    Ok(if record.trials.len() < trials { Exit::Interrupted } else { Exit::Ok })
}

fn compare_recorded(
    options: &CompareOptions,
    rules: &Rules,
    (base, candidate, on_unlike): (&Path, &Path, Unlike),
    out: &mut dyn Write,
) -> Result<Exit, CompareError> {
    let (base, candidate) = (RecordedSet::read(base)?, RecordedSet::read(candidate)?);
    let left_out: Vec<&String> = base.left_out.iter().chain(&candidate.left_out).collect();
    let unlike = recorded::unlike(&base, &candidate);
    let doubts = recorded::doubts(&base, &candidate);
    let lists =
        [("left out", left_out.clone()), ("unlike", unlike.iter().collect()), ("doubtful", doubts.iter().collect())];
    for (name, lines) in lists {
        for line in lines {
            writeln!(out, "{name}: {line}")?;
        }
    }
    if !unlike.is_empty() && on_unlike == Unlike::Refuse {
        writeln!(
            out,
            "\nINCOMPARABLE: the runs are of unlike machines or scenarios; --force compares them nevertheless"
        )?;
        return Ok(Exit::Incomparable);
    }
    let connections = base.runs.iter().chain(&candidate.runs).map(|run| run.scenario.subscribers.count).min();
    let rules = rules.clone().with_connections(connections.unwrap_or(0));
    let values = |set: &RecordedSet| set.runs.iter().map(|run| rules.values(run)).collect::<Vec<_>>();
    let judgements = rules.judge_unpaired(&values(&base), &values(&candidate), ALPHA_RECORDED);
    let outcome = match overall(&judgements) {
        None => Outcome::Invalid,
        Some(Verdict::Regression) => Outcome::Regression,
        Some(Verdict::Inconclusive) => Outcome::Inconclusive,
        Some(_) => Outcome::Ok,
    };
    let runs = [base.runs.len(), candidate.runs.len()];
    let how = judgements.iter().find_map(|judgement| judgement.effect.as_ref()).map(text::how);
    writeln!(out, "{} and {} recorded runs; {}", runs[0], runs[1], how.unwrap_or_default())?;
    text::judgements(judgements.iter(), out)?;
    writeln!(
        out,
        "\n{}: of recorded runs, so what the machine did meanwhile is part of it",
        outcome.name().to_uppercase()
    )?;
    if let Some(folder) = &options.out {
        let (unlike, doubts, judgements) = (&unlike[..], &doubts[..], &judgements[..]);
        let (loadgen, written) = (env!("CARGO_PKG_VERSION"), now());
        let (schema, seed, resamples) = (SCHEMA, options.seed, options.resamples);
        let report = RecordedReport {
            schema,
            loadgen,
            written,
            seed,
            resamples,
            runs,
            unlike,
            doubts,
            left_out,
            outcome,
            judgements,
        };
        write_json(&folder.join("verdict.json"), &report)?;
    }
    Ok(exit_of(outcome, options.strictness))
}

const fn exit_of(outcome: Outcome, strictness: Strictness) -> Exit {
    match (outcome, strictness) {
        (Outcome::Ok, _) | (Outcome::Inconclusive, Strictness::Lenient) => Exit::Ok,
        (Outcome::Inconclusive, Strictness::Strict) => Exit::Inconclusive,
        (Outcome::Regression, _) => Exit::Regression,
        (Outcome::Invalid, _) => Exit::Invalid,
        (Outcome::Interrupted, _) => Exit::Interrupted,
    }
}

/// What to know before the first run: whoever else works here makes intervals wider, and verdicts rarer.
fn other_work(loadavg: &str, cores: f64) -> Option<String> {
    let load: f64 = loadavg.split(' ').next()?.parse().ok()?;
    let busy = load > cores / 2.0;
    busy.then(|| {
        format!("note: the load average is {load} on {cores} cores before the first run: intervals will be wide")
    })
}

fn cores() -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    f64::from(u32::try_from(cores).unwrap_or(u32::MAX))
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Makes the folder; what an earlier comparison left there would be taken for a part of this one.
fn fresh_folder(path: &Path) -> Result<(), CompareError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        |source| CompareError::File { path, source }
    };
    fs::create_dir_all(path).map_err(failed(path))?;
    for side in [Side::Base, Side::Candidate] {
        let folder = path.join(side.name());
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for file in entries.flatten().map(|entry| entry.path()).filter(|file| progress::is_kept_run(file)) {
            fs::remove_file(&file).map_err(failed(&file))?;
        }
    }
    for name in ["verdict.json", "trial.json"] {
        match fs::remove_file(path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path.join(name))(error)),
            _ => {}
        }
    }
    Ok(())
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), CompareError> {
    let failed = |source| CompareError::File { path: path.display().to_string(), source };
    let mut text = serde_json::to_string_pretty(value).map_err(|error| failed(error.into()))?;
    text.push('\n');
    fs::write(path, text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_is_told_of() {
        assert_eq!(other_work("0.90 1.20 3.00 1/200 4711\n", 2.0), None);
        assert!(other_work("1.10 0.20 0.10 1/200 4711\n", 2.0).unwrap().contains("1.1 on 2 cores"));
        assert_eq!(other_work("", 2.0), None);
    }
}

//! `loadgen compare`: what was asked for as the gate takes it, and what is left of a comparison.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::cli::{self, CompareMode, Setup};
use crate::compare::{
    self, CompareOptions, Pairs, Place, Servers, Strictness, Subject, TrialBench, Unlike, bench::Side,
};
use crate::exit::Exit;
use crate::machine::{Kernel, calibrate};
use crate::output::html;
use crate::payload;
use crate::run::Conduct;
use crate::scenario::Scenario;
use crate::scratch::Scratch;

use super::kept::{self, Labelled};
use super::{CommandError, DriveSide, keep};

/// Pairs that report.html shows: curves of more cannot be told apart.
const PAIRS_SHOWN: usize = 4;
/// What a record has beside runs.
const FILES: [&str; 3] = ["verdict.json", "trial.json", "aa.toml"];

/// Compares, and keeps what was asked to be kept. Every run gets a server of its own.
///
/// # Errors
/// There is no scenario, nothing could be compared, or something cannot be kept.
///
/// # Panics
/// If a run does.
pub fn compare(
    options: &cli::CompareOptions,
    drive: &DriveSide<'_>,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let is_recorded = matches!(options.mode, CompareMode::Recorded { .. });
    if is_recorded && options.record.is_some() {
        return Err(CommandError::Usage("--record keeps new runs; the two sets are recorded already".to_owned()));
    }
    let scratch = match (&options.out, &options.record) {
        (None, Some(_)) => Some(Scratch::new()?),
        _ => None,
    };
    let folder = options.out.clone().or_else(|| scratch.as_ref().map(|scratch| scratch.path().to_owned()));
    let subject = subject(options)?;
    let is_trial = matches!(subject, Subject::Trial { .. });
    let pin = generator_core(&options.server_cores, cores());
    let last = Mutex::new(None);
    let runner = |scenario: &Scenario, place: Place| {
        let setup = Setup { server_pid: Some(place.server_pid), pin, ..Setup::default() };
        let run = drive(scenario, Conduct { setup, beside: place.beside, ..Conduct::default() })?;
        if is_trial {
            *last.lock().expect("nobody panics while holding it") = Some(run.clone());
        }
        Ok(run)
    };
    let asked = gate_options(options, subject, folder.clone());
    let exit = compare::run(&asked, &runner, out)?;
    let Some(folder) = folder.filter(|_| !is_recorded) else { return Ok(exit) };
    // What bounds were held against, or what trials have found, belongs to the verdict.
    let noise = folder.join("aa.toml");
    if let Some(used) = options.noise.as_ref().filter(|used| used.is_file() && **used != noise) {
        let failed = |source| CommandError::Write { path: noise.clone(), source };
        std::fs::read(used).and_then(|table| std::fs::write(&noise, table)).map_err(failed)?;
    }
    // Of trials there are hundreds of runs: their figures are in trial.json, the last one stands for the others.
    let last = last.into_inner().expect("nobody panics while holding it");
    let mut runs =
        if is_trial { last.into_iter().map(|run| ("same".to_owned(), run)).collect() } else { runs_of(&folder)? };
    if options.out.is_some() && !runs.is_empty() {
        keep::write(&folder.join("report.html"), |file| html::report(&shown(&runs), file))?;
    }
    if let Some(results) = options.record.as_ref().filter(|_| !runs.is_empty()) {
        let calibration = calibrate::calibrate(&Kernel::default());
        runs.iter_mut().for_each(|(_, run)| run.machine.calibration.clone_from(&calibration));
        keep::record_in(results, &runs, (&folder, &FILES), out)?;
    }
    Ok(exit)
}

fn gate_options(options: &cli::CompareOptions, subject: Subject, out: Option<PathBuf>) -> CompareOptions {
    let bounds: BTreeMap<String, f64> = options.bounds.iter().cloned().collect();
    let gate = (!bounds.is_empty()).then(|| bounds.keys().cloned().collect());
    CompareOptions {
        pairs: Pairs::Fixed(usize::try_from(options.pairs).unwrap_or(usize::MAX)),
        seed: options.order_seed,
        gate,
        bounds,
        pairing: options.pairing,
        strictness: if options.strict { Strictness::Strict } else { Strictness::Lenient },
        noise: options.noise.clone(),
        out,
        ..CompareOptions::new(subject)
    }
}

fn subject(options: &cli::CompareOptions) -> Result<Subject, CommandError> {
    let (base, candidate) = match &options.mode {
        CompareMode::Recorded { base, candidate } => {
            let unlike = if options.force { Unlike::Compare } else { Unlike::Refuse };
            return Ok(Subject::Recorded { base: base.clone(), candidate: candidate.clone(), unlike });
        }
        CompareMode::Commands { base, candidate } => (base, candidate),
        CompareMode::Revisions { command, .. } | CompareMode::Same { command } => (command, command),
    };
    let mut servers = Servers::new(base, candidate);
    if let CompareMode::Revisions { base_rev, candidate_rev, build, .. } = &options.mode {
        servers.base_revision = Some(base_rev.clone());
        servers.candidate_revision.clone_from(candidate_rev);
        servers.build.clone_from(build);
    }
    servers.cores = options.server_cores.iter().map(|&core| core as usize).collect();
    let scenario = Box::new(options.source.load_for_servers(payload::bytes_min)?);
    let servers = Box::new(servers);
    if matches!(options.mode, CompareMode::Same { .. }) || options.trials > 1 {
        let trials = usize::try_from(options.trials).unwrap_or(usize::MAX);
        let bench = TrialBench::Servers { servers, scenario };
        return Ok(Subject::Trial { trials, injection: options.injection, bench });
    }
    Ok(Subject::Servers { servers, scenario })
}

/// The first core that is not the servers'; none if they have no cores of their own, or all.
fn generator_core(of_servers: &[u32], cores: u32) -> Option<u32> {
    (0..cores).find(|core| !of_servers.is_empty() && !of_servers.contains(core))
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

/// The runs that the gate kept, in the order in which they began.
fn runs_of(folder: &Path) -> Result<Vec<Labelled>, CommandError> {
    let mut runs = Vec::new();
    for side in [Side::Base, Side::Candidate] {
        let kept = folder.join(side.name());
        if !kept.is_dir() {
            continue;
        }
        for file in kept::files_of(&kept)? {
            let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            runs.push((format!("{} {name}", side.name()), kept::read(&file)?));
        }
    }
    runs.sort_by(|(_, one), (_, other)| one.started.cmp(&other.started));
    Ok(runs)
}

fn side_of(label: &str) -> &str {
    label.split(' ').next().unwrap_or(label)
}

/// Runs for the page: those of some pairs, evenly over the comparison, base before candidate.
fn shown(runs: &[Labelled]) -> Vec<Labelled> {
    let pair_of = |label: &str| label.split_once(' ').map(|(_, pair)| pair.to_owned()).unwrap_or_default();
    let valid = || runs.iter().filter(|(label, _)| !label.contains("invalid"));
    let mut pairs: Vec<String> = Vec::new();
    for (label, _) in valid() {
        let pair = pair_of(label);
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    let step = pairs.len().div_ceil(PAIRS_SHOWN).max(1);
    let chosen: Vec<&String> = pairs.iter().step_by(step).collect();
    let mut shown: Vec<Labelled> = valid().filter(|(label, _)| chosen.contains(&&pair_of(label))).cloned().collect();
    shown.sort_by_key(|(label, _)| (pair_of(label), side_of(label).to_owned()));
    if shown.is_empty() { runs.iter().take(2 * PAIRS_SHOWN).cloned().collect() } else { shown }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::compare::Pairing;
    use crate::compare::simulated::{Injection, blank_run};

    use super::*;

    fn options(line: &str) -> cli::CompareOptions {
        let words = ["loadgen", "compare"].into_iter().chain(line.split(' ').filter(|word| !word.is_empty()));
        match cli::parse(words.map(OsString::from)).unwrap_or_else(|error| panic!("{error}")) {
            cli::Invocation::Compare(options) => *options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_asked_for_is_what_the_gate_does() {
        let asked = options("--base-rev a --candidate-rev b --build make --command x --server-cores 1,3 --strict");
        let Subject::Servers { servers, .. } = subject(&asked).unwrap() else { panic!("two servers") };
        assert_eq!((servers.base.as_str(), servers.candidate.as_str()), ("x", "x"));
        assert_eq!((servers.base_revision.as_deref(), servers.candidate_revision.as_deref()), (Some("a"), Some("b")));
        assert_eq!((servers.build.as_deref(), servers.cores), (Some("make"), vec![1, 3]));
        let asked = options("--base x --candidate y -k 7 --order-seed 5 --bound latency.p99.9=20% --bound lost=0");
        let gate = gate_options(&asked, subject(&asked).unwrap(), None);
        assert_eq!((gate.pairs, gate.seed, gate.strictness), (Pairs::Fixed(7), 5, Strictness::Lenient));
        assert_eq!(gate.pairing, None);
        let asked = options("--base x --candidate y --pairing sequential");
        assert_eq!(gate_options(&asked, subject(&asked).unwrap(), None).pairing, Some(Pairing::Sequential));
        assert_eq!(gate.gate.unwrap().into_iter().collect::<Vec<_>>(), ["latency.p999", "lost"]);
        let asked = options("--base x --candidate y --url ws://h:{port}/{room}");
        let Subject::Servers { scenario, .. } = subject(&asked).unwrap() else { panic!("two servers") };
        assert_eq!(scenario.target.url, "ws://h:{port}/{room}");
        let wrong = subject(&options("--base x --candidate y --url ws://h:{ports}/")).unwrap_err();
        assert!(wrong.to_string().contains("target.url"), "{wrong}");
        let asked = options("--base x --candidate y");
        assert_eq!(gate_options(&asked, subject(&asked).unwrap(), None).gate, None);
        let Subject::Trial { trials, injection, .. } =
            subject(&options("--aa --command x --trials 3 --inject cpu=20%")).unwrap()
        else {
            panic!("trials")
        };
        assert_eq!((trials, injection), (3, Some(Injection { cpu: 1.2, ..Injection::default() })));
        assert!(matches!(subject(&options("a b --force")).unwrap(), Subject::Recorded { unlike: Unlike::Compare, .. }));
    }

    #[test]
    fn the_generator_leaves_the_servers_their_cores() {
        for (of_servers, cores, wanted) in
            [(&[][..], 4, None), (&[1], 2, Some(0)), (&[0, 1], 4, Some(2)), (&[0, 1], 2, None)]
        {
            assert_eq!(generator_core(of_servers, cores), wanted, "{of_servers:?} of {cores}");
        }
    }

    #[test]
    fn the_page_shows_few_pairs_whole() {
        let run = blank_run(&Scenario::default());
        let mut runs: Vec<Labelled> = Vec::new();
        for pair in 1..=10 {
            runs.push((format!("candidate pair-{pair:03}"), run.clone()));
            runs.push((format!("base pair-{pair:03}"), run.clone()));
        }
        runs.push(("base pair-003-invalid-1".to_owned(), run.clone()));
        let labels: Vec<String> = shown(&runs).into_iter().map(|(label, _)| label).collect();
        assert_eq!(labels.len(), 8);
        assert_eq!(labels[..3], ["base pair-001", "candidate pair-001", "base pair-004"]);
        assert_eq!(shown(&runs[20..]).len(), 1);
    }
}

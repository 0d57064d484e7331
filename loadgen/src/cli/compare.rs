//! `loadgen compare`.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};

use super::run;
use super::scenario_flags::{self, Listed, ScenarioSource};
use crate::compare::Pairing;
use crate::compare::simulated::Injection;
use crate::thresholds::{Unit, metrics, quantity};

/// What `loadgen compare` was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareOptions {
    /// What is compared.
    pub mode: CompareMode,
    /// What each run does; nothing for recorded ones.
    pub source: ScenarioSource,
    /// How often the whole comparison is made, to learn how often it says what: usually once, with
    /// [`CompareMode::Same`] ten times.
    pub trials: u32,
    /// Pairs of runs.
    pub pairs: u32,
    /// How the two runs of a pair are made; nothing: at once, if that is possible.
    pub pairing: Option<Pairing>,
    /// What trials do to the candidate's figures after each run; nothing: both sides are alike.
    pub injection: Option<Injection>,
    /// Bounds by metric, a share: these and no others are gated on; empty: the usual ones.
    pub bounds: Vec<(String, f64)>,
    /// The noise of the same server against itself (`aa.toml`), which widens bounds that it makes dishonest.
    pub noise: Option<PathBuf>,
    /// Decides the order of the runs.
    pub order_seed: u64,
    /// Cores that the server is pinned to.
    pub server_cores: Vec<u32>,
    /// Inconclusive ends with its own exit code instead of 0.
    pub strict: bool,
    /// Recorded runs of unlike machines or scenarios are compared all the same.
    pub force: bool,
    /// A folder for every run, the verdict and report.html.
    pub out: Option<PathBuf>,
    /// The folder of recorded results that gets them too.
    pub record: Option<PathBuf>,
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompareMode {
    /// Two recorded runs, or folders of them.
    Recorded {
        /// The base.
        base: PathBuf,
        /// The candidate.
        candidate: PathBuf,
    },
    /// Two servers, each by the command that starts it.
    Commands {
        /// The base.
        base: String,
        /// The candidate.
        candidate: String,
    },
    /// A revision of this repository against what is here, or against another revision.
    Revisions {
        /// The base.
        base_rev: String,
        /// The candidate; none: the working tree.
        candidate_rev: Option<String>,
        /// Builds the server in a revision's folder.
        build: Option<String>,
        /// Starts the server; `{dir}` becomes the revision's folder.
        command: String,
    },
    /// One server against itself: how often that says regression.
    Same {
        /// Starts the server.
        command: String,
    },
}

const EXAMPLES: &str = "\
A change against the revision that it is based on, as configs/loadgen/ci/ does it:
  loadgen compare --base-rev origin/main --build 'cargo build --release' \\
      --command 'exec {dir}/target/release/shardcast serve --listen 127.0.0.1:{port}' \\
      --url 'ws://127.0.0.1:9000/ws/{room}' configs/loadgen/smoke.toml
Two programs; two recorded sets; one program against itself:
  loadgen compare --base './old serve --listen 127.0.0.1:{port}' \\
      --candidate './new serve --listen 127.0.0.1:{port}' one-room.toml
  loadgen compare results/HOST/smoke/aaaa results/HOST/smoke/bbbb
  loadgen compare --aa --command './new serve' --trials 20 smoke.toml
  loadgen compare --aa --command './new serve' --inject cpu=20% smoke.toml

Each run has a fresh server; a pair is one run of each, in random order. By default both runs of a pair are made at \
once, with messages in turn (--pairing interleaved): a machine that changes its speed changes it for both, so that the \
ratio of their CPU per delivery hardly scatters. It needs {port} in the commands: a free port for each server, which \
the URL gets, too. Latencies are those of two servers that share their cores: longer than alone, for both sides, and \
where one burns more CPU the other may wait for it. --pairing sequential has each server alone.

Per metric, the ratio's 95 % interval over \
the pairs is held against a bound: wholly above it is a regression (confirmed with fresh pairs), wholly below is fine, \
between is inconclusive (twice the pairs once, then a note). Every scenario flag of `loadgen run` works here.

Exit codes: 0 no worse · 10 regression · 11 inconclusive, with --strict · 12 runs were invalid · 13 not comparable · \
2 bad usage. Metrics: loadgen help metrics";

const BASE_HELP: &str =
    "Starts the base's server (by sh -c, ends it with SIGTERM); {port}, in URLs too, becomes a free one";

pub(super) fn command() -> Command {
    let command = Command::new("compare")
        .about("Compares two servers, revisions or recorded sets, and says whether one is worse")
        .override_usage(
            "loadgen compare [OPTIONS] --base CMD --candidate CMD [SCENARIO]\n       \
             loadgen compare [OPTIONS] --base-rev REV [--build CMD] --command CMD [SCENARIO]\n       \
             loadgen compare [OPTIONS] --aa --command CMD [SCENARIO]\n       \
             loadgen compare [OPTIONS] RUN_A RUN_B",
        )
        .after_help(EXAMPLES)
        .arg(
            Arg::new("paths")
                .value_name("SCENARIO | RUN_A RUN_B")
                .num_args(0..=2)
                .value_parser(value_parser!(PathBuf))
                .help("The scenario's file; or two recorded runs (run.json) or folders of them"),
        )
        .args(sides())
        .group(ArgGroup::new("side").args(["base", "base-rev", "aa"]))
        .args(judgement())
        .next_help_heading("Output")
        .args([
            run::out().help(
                "Write every run, verdict.json and report.html into this folder (of trials: trial.json and aa.toml)",
            ),
            run::record(),
        ]);
    scenario_flags::add(command, Listed::No)
}

fn sides() -> [Arg; 9] {
    let value = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    [
        value("base", "CMD", BASE_HELP).requires("candidate"),
        value("candidate", "CMD", "Starts the candidate's server").requires("base"),
        value("base-rev", "REV", "Base: this revision of the repository, in a worktree of its own").requires("command"),
        value("candidate-rev", "REV", "Candidate: this revision [default: the working tree]").requires("base-rev"),
        value("build", "CMD", "Builds the server in a revision's folder, before all runs").requires("base-rev"),
        value("command", "CMD", "Starts the server; {dir} becomes the revision's folder"),
        Arg::new("aa")
            .long("aa")
            .action(ArgAction::SetTrue)
            .requires("command")
            .help("The same server on both sides: prints how often that is called a regression, and the noise"),
        Arg::new("trials")
            .long("trials")
            .value_name("N")
            .value_parser(value_parser!(u32).range(1..=1_000))
            .help("Make the whole comparison so often and count the verdicts [default: 1, with --aa 10]"),
        Arg::new("inject")
            .long("inject")
            .value_name("WHAT=SHARE")
            .action(ArgAction::Append)
            .requires("aa")
            .value_parser(injected)
            .help(
                "With --aa: worsen the candidate's figures by it after each run, such as cpu=20%, to see how often \
                   that is found; WHAT is cpu, latency or memory",
            ),
    ]
}

/// What of the candidate's figures is made worse.
#[derive(Clone, Copy, Debug)]
enum Injected {
    Cpu,
    Latency,
    Memory,
}

fn injected(text: &str) -> Result<(Injected, f64), String> {
    let (what, share) = text.split_once('=').ok_or("not of the form WHAT=SHARE, such as cpu=20%")?;
    let what = match what.trim() {
        "cpu" => Injected::Cpu,
        "latency" => Injected::Latency,
        "memory" => Injected::Memory,
        other => return Err(format!("\"{other}\" is not cpu, latency or memory")),
    };
    let share = quantity::parse(Unit::Share, share.trim())
        .ok_or_else(|| format!("\"{share}\" is not {}", quantity::form(Unit::Share)))?;
    Ok((what, 1.0 + share))
}

fn injection(matches: &ArgMatches) -> Option<Injection> {
    let all = matches.get_many::<(Injected, f64)>("inject")?;
    Some(all.fold(Injection::default(), |injection, &(what, factor)| match what {
        Injected::Cpu => Injection { cpu: factor, ..injection },
        Injected::Latency => Injection { latency: factor, ..injection },
        Injected::Memory => Injection { memory: factor, ..injection },
    }))
}

fn judgement() -> [Arg; 8] {
    [
        Arg::new("pairs")
            .long("pairs")
            .short('k')
            .value_name("N")
            .value_parser(value_parser!(u32).range(2..=200))
            .default_value("10")
            .help("Pairs of runs; fewer than 6 cannot tell anything but a large regression"),
        Arg::new("pairing").long("pairing").value_name("HOW").value_parser(pairing).help(
            "interleaved: both servers of a pair at once, with messages in turn; sequential: one after the other \
                 [default: interleaved if the commands have {port} and the loop is open]",
        ),
        Arg::new("bound")
            .long("bound")
            .value_name("METRIC=SHARE")
            .action(ArgAction::Append)
            .value_parser(bound)
            .help("Gate on this metric: worse by more than the share is a regression, such as latency.p99=20%"),
        Arg::new("noise")
            .long("noise")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("The aa.toml of this machine: bounds become no narrower than its noise allows"),
        Arg::new("order-seed")
            .long("order-seed")
            .value_name("N")
            .value_parser(value_parser!(u64))
            .default_value("1")
            .help("Decides the order of the runs in each pair"),
        Arg::new("server-cores")
            .long("server-cores")
            .value_name("CORE,…")
            .value_delimiter(',')
            .value_parser(value_parser!(u32))
            .help("Pin the server to these cores"),
        Arg::new("strict")
            .long("strict")
            .action(ArgAction::SetTrue)
            .help("End with code 11 if the pairs do not suffice to tell"),
        Arg::new("force")
            .long("force")
            .action(ArgAction::SetTrue)
            .help("Compare recorded runs of unlike machines or scenarios too"),
    ]
}

fn pairing(text: &str) -> Result<Pairing, String> {
    let known = [Pairing::Interleaved, Pairing::Sequential];
    let named = known.into_iter().find(|pairing| pairing.name() == text);
    named.ok_or_else(|| format!("\"{text}\" is not interleaved or sequential"))
}

fn bound(text: &str) -> Result<(String, f64), String> {
    let (metric, share) = text.split_once('=').ok_or("not of the form METRIC=SHARE, such as latency.p99=20%")?;
    let metric = metrics::find(metric.trim()).map_err(|error| error.to_string())?;
    let share = quantity::parse(Unit::Share, share.trim())
        .ok_or_else(|| format!("\"{share}\" is not {}", quantity::form(Unit::Share)))?;
    Ok((metric.name, share))
}

fn mode(matches: &ArgMatches, paths: &[PathBuf]) -> Result<CompareMode, String> {
    let text = |id| super::text(matches, id);
    if let [base, candidate] = paths {
        if ["base", "base-rev", "command", "trials", "inject"].iter().any(|id| matches.contains_id(id))
            || matches.get_flag("aa")
        {
            return Err(
                "two paths are recorded runs, which need no command and no trials; a scenario is one path".to_owned()
            );
        }
        return Ok(CompareMode::Recorded { base: base.clone(), candidate: candidate.clone() });
    }
    match (text("base"), text("candidate"), text("base-rev"), text("command")) {
        (Some(_), _, _, Some(_)) => Err("--command goes with --base-rev or --aa, not with --base".to_owned()),
        (Some(base), Some(candidate), ..) => Ok(CompareMode::Commands { base, candidate }),
        (_, _, Some(base_rev), Some(command)) => {
            let (candidate_rev, build) = (text("candidate-rev"), text("build"));
            Ok(CompareMode::Revisions { base_rev, candidate_rev, build, command })
        }
        (_, _, _, Some(command)) if matches.get_flag("aa") => Ok(CompareMode::Same { command }),
        _ => Err(
            "nothing to compare: give two recorded runs, --base and --candidate, --base-rev and --command, or --aa \
                  and --command"
                .to_owned(),
        ),
    }
}

pub(super) fn options(matches: &ArgMatches) -> Result<CompareOptions, String> {
    let paths: Vec<PathBuf> = matches.get_many::<PathBuf>("paths").unwrap_or_default().cloned().collect();
    let mode = mode(matches, &paths)?;
    let file = match mode {
        CompareMode::Recorded { .. } => None,
        _ => paths.into_iter().next(),
    };
    Ok(CompareOptions {
        source: scenario_flags::source(matches, file).map_err(|error| error.to_string())?,
        trials: matches.get_one::<u32>("trials").copied().unwrap_or(match mode {
            CompareMode::Same { .. } => 10,
            _ => 1,
        }),
        mode,
        pairs: matches.get_one::<u32>("pairs").copied().expect("it has a default"),
        pairing: matches.get_one::<Pairing>("pairing").copied(),
        injection: injection(matches),
        bounds: matches.get_many::<(String, f64)>("bound").unwrap_or_default().cloned().collect(),
        noise: matches.get_one::<PathBuf>("noise").cloned(),
        order_seed: matches.get_one::<u64>("order-seed").copied().expect("it has a default"),
        server_cores: matches.get_many::<u32>("server-cores").unwrap_or_default().copied().collect(),
        strict: matches.get_flag("strict"),
        force: matches.get_flag("force"),
        out: matches.get_one::<PathBuf>("out").cloned(),
        record: matches.get_one::<PathBuf>("record").cloned(),
    })
}

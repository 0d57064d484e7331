//! `loadgen run`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::scenario_flags::{self, Listed, ScenarioSource};
use super::setup::{self, Setup};
use crate::scenario::fields;

/// What `loadgen run` was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOptions {
    /// What to run.
    pub source: ScenarioSource,
    /// Whether to run it at all.
    pub action: Action,
    /// How.
    pub setup: Setup,
    /// Where the outcome goes.
    pub output: OutputOptions,
    /// What is shown meanwhile, on standard error.
    pub show: Show,
}

/// What to do with the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run it.
    Run,
    /// Print the plan.
    DryRun,
    /// Print the whole effective scenario.
    PrintScenario,
}

/// Where the outcome goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputOptions {
    /// What standard output gets.
    pub format: RunFormat,
    /// A folder for run.json, run.hlog, run.hgrm, run.csv and report.html.
    pub out: Option<PathBuf>,
    /// The folder of recorded results (`results/`) that gets this one too.
    pub record: Option<PathBuf>,
}

/// What standard output gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunFormat {
    /// A summary for people.
    Text,
    /// The whole outcome as JSON.
    Json,
}

/// What is shown while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// The live view on a terminal; elsewhere a line at this distance.
    LiveOrLines(Duration),
    /// A line at this distance.
    Lines(Duration),
    /// Nothing.
    Nothing,
}

const EXAMPLES: &str = "\
Without a file, the rest is as the defaults say:
  loadgen run --url ws://127.0.0.1:8080/ws/{room} --subscribers 1000 --rate 50 --duration 30s

A file, and flags over it; what they make together:
  loadgen run configs/loadgen/one-room.toml --rate 200 --print-scenario
What it will do, and which limits of this machine it will hit:
  loadgen run configs/loadgen/many-rooms.toml --dry-run

Coming from wrk2: --rate is -R, --subscribers is -c, --duration is -d; latency always counts from when a message was \
due. Coming from k6: thresholds decide the exit code, phases are its stages, subscribers its virtual users.
  loadgen run smoke.toml --threshold 'latency.p99 <= 20ms' --threshold 'lost = 0'
  loadgen run --phase warm-up:2s --phase measured:10s:50 --phase measured:10s:100:peak

The server's CPU per delivery and memory per connection, kept with everything else:
  loadgen run soak.toml --server-pid \"$(pidof shardcast)\" --out soak/ --record
For scripts:
  loadgen run smoke.toml --quiet --format json | jq .total.latency.p99_ns

The most that the server can do (a closed loop; its latencies mean little):
  loadgen run --subscribers 1000 --window 64

Exit codes: 0 fine · 2 bad usage · 12 invalid (loss, or the generator was late or busy) · 14 a threshold is not met · \
130 interrupted, report written · 1 anything else. More: loadgen help exit-codes, … metrics, … scenario";

pub(super) fn command() -> Command {
    let command = Command::new("run")
        .about("Runs a scenario against a server and reports what it measured")
        .long_about(
            "Runs a scenario against a server and reports what it measured. Every field of the scenario is a flag: \
             `-h` lists the common ones, `--help` all. A flag wins over the file.",
        )
        .after_help(EXAMPLES)
        .arg(scenario_flags::file())
        .args(actions());
    let command = setup::add(command).next_help_heading("Output").args(outputs());
    scenario_flags::add(command, Listed::Yes)
}

fn actions() -> [Arg; 2] {
    [
        Arg::new("dry-run")
            .long("dry-run")
            .action(ArgAction::SetTrue)
            .help("Only print the plan: connections, deliveries and bytes per second, limits that it will hit"),
        Arg::new("print-scenario")
            .long("print-scenario")
            .action(ArgAction::SetTrue)
            .conflicts_with("dry-run")
            .help("Only print the whole scenario that file and flags make, as a file"),
    ]
}

fn outputs() -> [Arg; 6] {
    [
        Arg::new("format")
            .long("format")
            .value_name("WHAT")
            .value_parser(PossibleValuesParser::new(["text", "json"]))
            .default_value("text")
            .help("What standard output gets at the end: a summary for people, or the whole outcome"),
        out(),
        record(),
        Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).help("Show nothing while it runs"),
        Arg::new("no-live")
            .long("no-live")
            .action(ArgAction::SetTrue)
            .conflicts_with("quiet")
            .help("Lines instead of the live view, on a terminal too"),
        Arg::new("plain-every")
            .long("plain-every")
            .value_name("TIME")
            .value_parser(interval)
            .default_value("5s")
            .help("Time between lines where there is no live view"),
    ]
}

pub(super) fn out() -> Arg {
    Arg::new("out")
        .long("out")
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .help("Write run.json, run.hlog, run.hgrm, run.csv and report.html into this folder")
}

pub(super) fn record() -> Arg {
    Arg::new("record")
        .long("record")
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("results")
        .help("Keep the outcome in this folder of results, by machine, scenario and revision [without =DIR: results]")
}

fn interval(text: &str) -> Result<Duration, String> {
    fields::duration(text).and_then(|interval| match interval {
        interval if interval < Duration::from_millis(100) => Err("at least 100ms".to_owned()),
        interval => Ok(interval),
    })
}

pub(super) fn options(matches: &ArgMatches) -> Result<RunOptions, String> {
    let file = matches.get_one::<PathBuf>("scenario").cloned();
    let source = scenario_flags::source(matches, file).map_err(|error| error.to_string())?;
    let every = matches.get_one::<Duration>("plain-every").copied().expect("it has a default");
    Ok(RunOptions {
        source,
        action: match (matches.get_flag("dry-run"), matches.get_flag("print-scenario")) {
            (true, _) => Action::DryRun,
            (_, true) => Action::PrintScenario,
            _ => Action::Run,
        },
        setup: setup::options(matches),
        output: OutputOptions {
            format: match super::text(matches, "format").as_deref() {
                Some("json") => RunFormat::Json,
                _ => RunFormat::Text,
            },
            out: matches.get_one::<PathBuf>("out").cloned(),
            record: matches.get_one::<PathBuf>("record").cloned(),
        },
        show: match (matches.get_flag("quiet"), matches.get_flag("no-live")) {
            (true, _) => Show::Nothing,
            (_, true) => Show::Lines(every),
            _ => Show::LiveOrLines(every),
        },
    })
}

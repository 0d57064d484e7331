//! `loadgen search`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command, value_parser};

use super::run::RunFormat;
use super::scenario_flags::{self, Listed, ScenarioSource};
use super::setup::{self, Setup};
use crate::scenario::fields::{self, Kind};
use crate::thresholds::Unit;
use crate::thresholds::quantity;

/// What `loadgen search` was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOptions {
    /// What to run at each load; one measured phase.
    pub source: ScenarioSource,
    /// How.
    pub setup: Setup,
    /// What must hold, as metric and bound; the scenario's own thresholds as well.
    pub bounds: Vec<String>,
    /// What is varied.
    pub vary: Vary,
    /// The load to begin with; none: the scenario's.
    pub from: Option<f64>,
    /// The largest load to try; none: until a bound fails.
    pub to: Option<f64>,
    /// How near the result shall be, a share of it.
    pub precision: f64,
    /// What standard output gets.
    pub format: RunFormat,
    /// A folder for what was measured at each load, and the curve.
    pub out: Option<PathBuf>,
}

/// What a search varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vary {
    /// Messages per second.
    Rate,
    /// Subscribers.
    Subscribers,
}

const EXAMPLES: &str = "\
Examples:
  loadgen search --subscribers 1000 --bound 'latency.p99 <= 20ms'
  loadgen search one-room.toml --vary subscribers --to 15000 --out capacity/ \\
      --bound 'latency.p999 <= 100ms'

Each load is a run of its own. It doubles until a run breaks a bound or is invalid, twice; then the space between is \
halved until it is as small as --precision, and what was found has to hold again. A run in which the generator was \
late or busy says nothing about the server: the result is then \"at least\". Then follows the curve of latency against \
load, at 10, 50 and 90 %. Every scenario flag of `loadgen run` works here.

Exit codes: 0 found · 14 no load holds · 12 the generator is too slow for any · 130 interrupted · 2 bad usage";

pub(super) fn command() -> Command {
    let command = Command::new("search")
        .about("Finds the highest load at which latency bounds hold")
        .after_help(EXAMPLES)
        .arg(scenario_flags::file())
        .args([
            Arg::new("bound")
                .long("bound")
                .value_name("METRIC OP BOUND")
                .action(clap::ArgAction::Append)
                .required(true)
                .help("What must hold, such as 'latency.p99 <= 20ms'; may be repeated"),
            Arg::new("vary")
                .long("vary")
                .value_name("WHAT")
                .value_parser(PossibleValuesParser::new(["rate", "subscribers"]))
                .default_value("rate")
                .help("What is raised"),
            Arg::new("from")
                .long("from")
                .value_name("N")
                .value_parser(load)
                .help("The load to begin with [default: the scenario's]"),
            Arg::new("to").long("to").value_name("N").value_parser(load).help("The largest load to try"),
            Arg::new("precision")
                .long("precision")
                .value_name("SHARE")
                .value_parser(precision)
                .default_value("5%")
                .help("How near the result shall be"),
            Arg::new("format")
                .long("format")
                .value_name("WHAT")
                .value_parser(PossibleValuesParser::new(["text", "json"]))
                .default_value("text")
                .help("What standard output gets: a row per run and the curve, or all of it as JSON at the end"),
            Arg::new("out")
                .long("out")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Write each run (run-01.json …), runs.csv, search.json and report.html into this folder"),
        ]);
    scenario_flags::add(setup::add(command), Listed::No)
}

fn load(text: &str) -> Result<f64, String> {
    match fields::parse_value(Kind::Number, text)?.as_float() {
        Some(value) if value > 0.0 => Ok(value),
        _ => Err("must be above 0".to_owned()),
    }
}

fn precision(text: &str) -> Result<f64, &'static str> {
    quantity::parse(Unit::Share, text)
        .filter(|&share| (0.001..=0.5).contains(&share))
        .ok_or("not a share from 0.1% to 50%")
}

pub(super) fn options(matches: &ArgMatches) -> Result<SearchOptions, String> {
    let file = matches.get_one::<PathBuf>("scenario").cloned();
    let mut source = scenario_flags::source(matches, file).map_err(|error| error.to_string())?;
    let bounds = super::texts(matches, "bound");
    for bound in &bounds {
        // As thresholds they are checked with the scenario.
        source.overrides.threshold(bound).map_err(|error| error.to_string())?;
    }
    let number = |id| matches.get_one::<f64>(id).copied();
    if let (Some(from), Some(to)) = (number("from"), number("to"))
        && from >= to
    {
        return Err(format!("--from {from} must be below --to {to}"));
    }
    Ok(SearchOptions {
        source,
        setup: setup::options(matches),
        bounds,
        vary: match super::text(matches, "vary").as_deref() {
            Some("subscribers") => Vary::Subscribers,
            _ => Vary::Rate,
        },
        from: number("from"),
        to: number("to"),
        precision: number("precision").expect("it has a default"),
        format: match super::text(matches, "format").as_deref() {
            Some("json") => RunFormat::Json,
            _ => RunFormat::Text,
        },
        out: matches.get_one::<PathBuf>("out").cloned(),
    })
}

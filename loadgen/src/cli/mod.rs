//! The command line: what `loadgen` was asked to do, as plain structs. Nothing is done here.

mod compare;
mod reference;
mod run;
mod scenario_flags;
mod search;
mod setup;
mod small;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command};

pub use compare::{CompareMode, CompareOptions};
pub use run::{Action, OutputOptions, RunFormat, RunOptions, Show};
pub use scenario_flags::ScenarioSource;
pub use search::{SearchOptions, Vary};
pub use setup::{Setup, Workers};
pub use small::{IndexMode, IndexOptions, ReportOptions, Serve, WorkerOptions};

/// What was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Invocation {
    /// `loadgen run`
    Run(Box<RunOptions>),
    /// `loadgen report`
    Report(ReportOptions),
    /// `loadgen search`
    Search(Box<SearchOptions>),
    /// `loadgen compare`
    Compare(Box<CompareOptions>),
    /// `loadgen index`
    Index(IndexOptions),
    /// `loadgen worker`
    Worker(WorkerOptions),
    /// `loadgen help`: this text is to be printed.
    Help(String),
}

const ABOUT: &str = "Load generator for servers that broadcast messages to rooms: honest latency, an audit of every \
                     delivery, a regression gate for CI";

const EXAMPLES: &str = "\
Examples:
  loadgen run --url ws://127.0.0.1:8080/ws/{room} --subscribers 1000 --rate 50
  loadgen run configs/loadgen/smoke.toml --dry-run
  loadgen compare --base-rev main --build 'cargo build --release' \\
      --command '{dir}/target/release/shardcast serve --listen 127.0.0.1:8080' \\
      configs/loadgen/smoke.toml

More: loadgen help run, … scenario (the file), … metrics (for thresholds), … exit-codes";

/// The command with all its subcommands.
#[must_use]
pub fn command() -> Command {
    Command::new("loadgen")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(EXAMPLES)
        .max_term_width(100)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands([
            run::command(),
            small::report(),
            search::command(),
            compare::command(),
            small::index(),
            small::worker(),
            Command::new("help")
                .about("Explains a command, or one of: scenario, metrics, exit-codes")
                .arg(Arg::new("topic").value_name("TOPIC")),
        ])
}

/// Understands a command line; the first argument is the program's name.
///
/// # Errors
/// It cannot be understood (exit code 2), or help was asked for: `use_stderr` tells them apart.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, clap::Error> {
    let mut command = command();
    // Where a problem is found only after clap is satisfied, it is reported the same way.
    let matches = command.try_get_matches_from_mut(arguments)?;
    let Some((name, matches)) = matches.subcommand() else {
        return Err(command.error(ErrorKind::MissingSubcommand, "a command is missing"));
    };
    let parsed = match name {
        "run" => run::options(matches).map(|options| Invocation::Run(Box::new(options))),
        "report" => Ok(Invocation::Report(small::report_options(matches))),
        "search" => search::options(matches).map(|options| Invocation::Search(Box::new(options))),
        "compare" => compare::options(matches).map(|options| Invocation::Compare(Box::new(options))),
        "index" => Ok(Invocation::Index(small::index_options(matches))),
        "worker" => Ok(Invocation::Worker(small::worker_options(matches))),
        _ => help(&mut command, matches.get_one::<String>("topic").map(String::as_str)).map(Invocation::Help),
    };
    parsed.map_err(|problem| match command.find_subcommand_mut(name) {
        Some(command) => command.error(ErrorKind::ValueValidation, problem),
        None => command.error(ErrorKind::ValueValidation, problem),
    })
}

fn help(command: &mut Command, topic: Option<&str>) -> Result<String, String> {
    let Some(topic) = topic else { return Ok(command.render_long_help().to_string()) };
    if let Some(text) = reference::topic(topic) {
        return Ok(text);
    }
    match command.find_subcommand_mut(topic).filter(|found| found.get_name() != "help") {
        // The name with the program's before it, as the usage line of `--help` has it.
        Some(found) => Ok(found.clone().bin_name(format!("loadgen {topic}")).render_long_help().to_string()),
        None => Err(format!(
            "nothing is known about \"{topic}\": commands are run, report, search, compare, index, worker; other \
             topics are {}",
            reference::TOPICS.join(", ")
        )),
    }
}

fn text(matches: &ArgMatches, id: &str) -> Option<String> {
    matches.get_one::<String>(id).cloned()
}

fn texts(matches: &ArgMatches, id: &str) -> Vec<String> {
    matches.get_many::<String>(id).unwrap_or_default().cloned().collect()
}

#[cfg(test)]
mod tests;

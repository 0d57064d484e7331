//! The commands with few options: `report`, `index`, `worker`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

/// What `loadgen report` was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportOptions {
    /// Files of runs, or folders with a run.json.
    pub runs: Vec<PathBuf>,
    /// The page; none: standard output.
    pub out: Option<PathBuf>,
}

/// What `loadgen index` was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexOptions {
    /// The folder of results.
    pub results: PathBuf,
    /// Whether to write.
    pub mode: IndexMode,
}

/// Whether `loadgen index` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexMode {
    /// Brings the index up to date.
    Write,
    /// Only says whether it is.
    Check,
}

/// What `loadgen worker` was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerOptions {
    /// Where the coordinator connects.
    pub listen: SocketAddr,
    /// The core that it is pinned to.
    pub pin: Option<u32>,
    /// When it ends.
    pub serve: Serve,
}

/// When `loadgen worker` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serve {
    /// When it is killed: it serves one coordinator after the other.
    All,
    /// With its first coordinator, or when its standard input closes.
    One,
}

pub(super) fn report() -> Command {
    Command::new("report")
        .about("Makes one HTML page of runs, several of them over each other")
        .after_help(
            "The page needs no network and no other file.\n\n\
             Examples:\n  loadgen report out/run.json > report.html\n  \
             loadgen report before/ after/ --out both.html",
        )
        .args([
            Arg::new("runs")
                .value_name("RUN")
                .required(true)
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help("A run.json, or a folder with one"),
            Arg::new("out")
                .long("out")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Write the page there [default: standard output]"),
        ])
}

pub(super) fn report_options(matches: &ArgMatches) -> ReportOptions {
    ReportOptions {
        runs: matches.get_many::<PathBuf>("runs").unwrap_or_default().cloned().collect(),
        out: matches.get_one::<PathBuf>("out").cloned(),
    }
}

pub(super) fn index() -> Command {
    Command::new("index").about("Brings the README of a folder of results up to date").args([
        Arg::new("results")
            .value_name("DIR")
            .value_parser(value_parser!(PathBuf))
            .default_value("results")
            .help("The folder of results"),
        Arg::new("check")
            .long("check")
            .action(ArgAction::SetTrue)
            .help("Write nothing; end with code 1 if it is not up to date"),
    ])
}

pub(super) fn index_options(matches: &ArgMatches) -> IndexOptions {
    IndexOptions {
        results: matches.get_one::<PathBuf>("results").cloned().expect("it has a default"),
        mode: if matches.get_flag("check") { IndexMode::Check } else { IndexMode::Write },
    }
}

pub(super) fn worker() -> Command {
    Command::new("worker")
        .about("Drives a part of the runs of a coordinator on another machine (`run --workers-at`)")
        .after_help(
            "Whoever reaches its port can make it send load to any server: listen on a private network.\n\n\
             Example, on two machines and then on a third one:\n  loadgen worker --listen 10.0.0.2:7000\n  \
             loadgen worker --listen 10.0.0.3:7000\n  loadgen run soak.toml --workers-at 10.0.0.2:7000,10.0.0.3:7000",
        )
        .args([
            Arg::new("listen")
                .long("listen")
                .value_name("ADDRESS:PORT")
                .value_parser(value_parser!(SocketAddr))
                .default_value("127.0.0.1:7000")
                .help("Where the coordinator connects"),
            Arg::new("pin").long("pin").value_name("CORE").value_parser(value_parser!(u32)).help("Run on this core"),
            // How `run --workers` starts its processes.
            Arg::new("once")
                .long("once")
                .action(ArgAction::SetTrue)
                .hide(true)
                .help("End with the first coordinator, or when standard input closes"),
        ])
}

pub(super) fn worker_options(matches: &ArgMatches) -> WorkerOptions {
    WorkerOptions {
        listen: matches.get_one::<SocketAddr>("listen").copied().expect("it has a default"),
        pin: matches.get_one::<u32>("pin").copied(),
        serve: if matches.get_flag("once") { Serve::One } else { Serve::All },
    }
}

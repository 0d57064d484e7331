//! The `loadgen` command.

use std::io::{self, Write};
use std::process::ExitCode;

use loadgen::cli::{self, Action, Invocation, RunFormat, RunOptions, Setup};
use loadgen::commands::{self, CommandError};
use loadgen::compare::RunError;
use loadgen::exit::Exit;
use loadgen::outcome::Run;
use loadgen::run::{Conduct, Interrupt};
use loadgen::scenario::Scenario;
use loadgen::scenario::load::{LoadError, to_toml};
use loadgen::scenario::plan::{MachineLimits, Plan};
use loadgen::{payload, thresholds, workers};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let invocation = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => {
            let _nobody_to_tell = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    match dispatch(invocation, &mut io::stdout().lock()) {
        Ok(exit) => exit.into(),
        // `loadgen help metrics | head` has read enough.
        Err(error) if is_broken_pipe(&error) => Exit::Ok.into(),
        Err(error) => {
            let _nobody_to_tell = writeln!(io::stderr(), "loadgen: {error:#}");
            exit_of(&error).into()
        }
    }
}

/// What a failed command ends with.
fn exit_of(error: &anyhow::Error) -> Exit {
    if error.is::<LoadError>() {
        return Exit::Usage;
    }
    error.downcast_ref::<CommandError>().map_or(Exit::Internal, CommandError::exit)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let of_output = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    of_output || error.downcast_ref::<CommandError>().is_some_and(CommandError::is_broken_pipe)
}

fn dispatch(invocation: Invocation, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let interrupt = Interrupt::on_signals;
    match invocation {
        Invocation::Help(text) => {
            out.write_all(text.as_bytes())?;
            Ok(Exit::Ok)
        }
        Invocation::Run(options) => run(&options, out),
        Invocation::Report(options) => Ok(commands::report::report(&options, out)?),
        Invocation::Search(options) => Ok(commands::search::search(&options, &mut quietly(interrupt()), out)?),
        Invocation::Compare(options) => Ok(commands::compare::compare(&options, &mut quietly(interrupt()), out)?),
        Invocation::Index(options) => Ok(commands::index::index(&options, out)?),
        Invocation::Worker(options) => Ok(workers::listen(&options, out)?),
    }
}

/// Runs scenarios without showing them.
fn quietly(interrupt: Interrupt) -> impl FnMut(&Scenario, &Setup) -> Result<Run, RunError> {
    move |scenario, setup| {
        let conduct = Conduct { setup: setup.clone(), live: None, interrupt: interrupt.clone() };
        Ok(loadgen::run::run(scenario, &conduct)?)
    }
}

fn run(options: &RunOptions, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let scenario = options.source.load(payload::bytes_min)?;
    match options.action {
        Action::PrintScenario => {
            out.write_all(to_toml(&scenario).as_bytes())?;
            Ok(Exit::Ok)
        }
        Action::DryRun => {
            let plan = Plan::new(&scenario, options.setup.workers.drivers(), &machine_limits());
            match options.output.format {
                RunFormat::Text => plan.write(out)?,
                RunFormat::Json => writeln!(out, "{}", serde_json::to_string_pretty(&plan)?)?,
            }
            Ok(Exit::Ok)
        }
        Action::Run => {
            server_is_looked_at(options, &scenario)?;
            Ok(commands::run::execute(&scenario, options, Interrupt::on_signals(), out)?)
        }
    }
}

/// Thresholds on the server's own figures need to know where they come from.
fn server_is_looked_at(options: &RunOptions, scenario: &Scenario) -> Result<(), CommandError> {
    let needing = thresholds::needing_server(scenario);
    let looked_at = options.setup.server_pid.is_some() || options.setup.server_metrics.is_some();
    match needing.first() {
        Some(metric) if !looked_at => Err(CommandError::Usage(format!(
            "thresholds: {metric} cannot be measured without --server-pid or --server-metrics"
        ))),
        _ => Ok(()),
    }
}

/// Limits of this machine; what cannot be read is as on a small machine.
fn machine_limits() -> MachineLimits {
    let usual = MachineLimits::default();
    let numbers = |path: &str| -> Vec<u64> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
    };
    let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let cores = std::thread::available_parallelism()
        .map_or(usual.cores, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
    let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(4_096);
    MachineLimits {
        open_files: open_files.unwrap_or(u64::MAX),
        ports_per_address: match numbers("/proc/sys/net/ipv4/ip_local_port_range")[..] {
            [first, last] => (last + 1).saturating_sub(first),
            _ => usual.ports_per_address,
        },
        cores,
        listen_backlog: numbers("/proc/sys/net/core/somaxconn").first().copied().unwrap_or(usual.listen_backlog),
        tcp_memory_bytes: numbers("/proc/sys/net/ipv4/tcp_mem").get(2).map(|pages| pages.saturating_mul(page_bytes)),
    }
}

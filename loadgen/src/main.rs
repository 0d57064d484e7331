//! The `loadgen` command.

use std::io::{self, Write};
use std::process::ExitCode;

use loadgen::cli::{self, Action, Invocation, RunFormat, RunOptions, Setup};
use loadgen::commands::{self, CommandError};
use loadgen::compare::RunError;
use loadgen::exit::Exit;
use loadgen::machine::Kernel;
use loadgen::machine::limits::Limits;
use loadgen::outcome::Run;
use loadgen::run::{Conduct, Interrupt};
use loadgen::scenario::Scenario;
use loadgen::scenario::load::{LoadError, to_toml};
use loadgen::scenario::plan::Plan;
use loadgen::{payload, workers};

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
        Invocation::Compare(options) => Ok(commands::compare::compare(&options, &conducted(interrupt()), out)?),
        Invocation::Index(options) => Ok(commands::index::index(&options, out)?),
        Invocation::Worker(options) => Ok(workers::listen(&options, out)?),
    }
}

/// Runs scenarios without showing them.
fn quietly(interrupt: Interrupt) -> impl FnMut(&Scenario, &Setup) -> Result<Run, RunError> {
    move |scenario, setup| {
        let conduct = Conduct { setup: setup.clone(), interrupt: interrupt.clone(), ..Conduct::default() };
        Ok(loadgen::run::run(scenario, &conduct)?)
    }
}

/// Runs scenarios without showing them, several at once if need be.
fn conducted(interrupt: Interrupt) -> impl Fn(&Scenario, Conduct) -> Result<Run, RunError> + Sync {
    move |scenario, conduct| {
        let conduct = Conduct { interrupt: interrupt.clone(), ..conduct };
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
            let plan = Plan::new(&scenario, options.setup.workers.drivers(), &Limits::read(&Kernel::default()));
            match options.output.format {
                RunFormat::Text => plan.write(out)?,
                RunFormat::Json => writeln!(out, "{}", serde_json::to_string_pretty(&plan)?)?,
            }
            Ok(Exit::Ok)
        }
        Action::Run => {
            commands::server_is_looked_at(&scenario, &options.setup)?;
            Ok(commands::run::execute(&scenario, options, Interrupt::on_signals(), out)?)
        }
    }
}

//! The command line: what is asked for, from which sources, and what the process exits with.

use std::fmt::Display;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::client;
use crate::server::config::{self, Config, EXIT_USAGE, FILE_VARIABLE, Flag, Problems, Sources};
use crate::server::{logging, serve};

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let profile = if cfg!(debug_assertions) { "with assertions" } else { "release" };
    format!("{} ({profile}, {}-{})", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS)
});

const AFTER_HELP: &str = "\
Every setting has a key (limits.rooms_max) and a variable (SHARDCAST_LIMITS_ROOMS_MAX). The command line wins over the \
environment, the environment over the file. All settings with their defaults: shardcast print-config

Exit codes:
  0    stopped as asked, everyone closed in order
  3    the drain cut somebody off
  64   the command line is wrong
  78   the file or the environment is wrong
  130  ended at once by a second signal, SIGINT
  143  the same, SIGTERM
  1    anything else

The console clients have exit codes of their own: shardcast subscribe --help";

/// Rooms by URL, every message to everyone in them: a sharded WebSocket broadcast server.
///
/// Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "shardcast", version = VERSION.as_str(), after_help = AFTER_HELP)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// What to do. A new command is a variant here and an arm in [`dispatch`].
#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT, then drain (the default command)
    Serve(SettingsArgs),
    /// Say whether the settings are right, or all that is wrong with them; start nothing
    CheckConfig(SettingsArgs),
    #[command(flatten)]
    Client(client::Command),
    /// Print every setting with its default, as a file to start from
    PrintConfig,
}

/// Where settings come from.
#[derive(Debug, Default, Args)]
struct SettingsArgs {
    /// Read settings from this TOML file [env: SHARDCAST_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Accept connections here; repeat for more [default: 127.0.0.1:8080 and [::1]:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// Number of shards (threads), or "cores": one per core
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// How long connections have to leave when the server stops, such as 10s
    #[arg(long, value_name = "DURATION")]
    drain: Option<String>,
    /// What to log: a level, or targets with levels, such as info,shardcast::engine=debug
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How to log: human or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Set any setting by its key, such as limits.rooms_max=10; repeat for more
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

impl SettingsArgs {
    /// The sources that these arguments and the process's environment name.
    fn sources(self) -> Sources {
        let from_environment = || std::env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let listen = (!self.listen.is_empty()).then(|| self.listen.join(","));
        let named = [
            ("--listen", "listen", listen),
            ("--shards", "shards", self.shards),
            ("--drain", "drain", self.drain),
            ("--log-level", "log.level", self.log_level),
            ("--log-format", "log.format", self.log_format),
        ];
        let named = named.into_iter().filter_map(|(name, key, value)| Some((name, key.to_owned(), value?)));
        let set = self.set.into_iter().map(|(key, value)| ("--set", key, value));
        Sources {
            file: self.config.or_else(from_environment),
            variables: std::env::vars_os().collect(),
            flags: named.chain(set).map(|(name, key, value)| Flag { name: name.to_owned(), key, value }).collect(),
        }
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not of the form KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// Does what the process's arguments ask for.
pub(crate) fn run() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => dispatch(cli.command.unwrap_or(Command::Serve(cli.settings))),
        Err(error) => refuse(&error),
    }
}

fn dispatch(command: Command) -> ExitCode {
    match command {
        Command::Serve(settings) => with_config(settings, |config| {
            logging::init(&config.log);
            serve::run(config)
        }),
        Command::CheckConfig(settings) => with_config(settings, |_| print("OK\n")),
        Command::Client(command) => client::run(command),
        Command::PrintConfig => print(&config::reference()),
    }
}

/// Goes on with the settings, or reports all that is wrong with them.
fn with_config(settings: SettingsArgs, then: impl FnOnce(&Config) -> ExitCode) -> ExitCode {
    match config::load(&settings.sources()) {
        Ok(config) => then(&config),
        Err(problems) => {
            report(&problems);
            problems.exit_code()
        }
    }
}

fn report(problems: &Problems) {
    problems.iter().for_each(|problem| complain(problem));
}

/// Help and version as asked for; anything else that clap has to say as one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return error.print().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let rendered = error.render().to_string();
    let said =
        rendered.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let line = said.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    complain(&format_args!("{line}; see 'shardcast {}--help'", command_of(std::env::args().nth(1))));
    ExitCode::from(EXIT_USAGE)
}

/// The command that was meant, with a blank: settings and commands exclude each other, so it is the first argument.
fn command_of(first: Option<String>) -> String {
    first.filter(|name| Cli::command().find_subcommand(name).is_some()).map(|name| name + " ").unwrap_or_default()
}

fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// One line to standard error. If nobody reads it, the exit code has to do.
fn complain(problem: &dyn Display) {
    let _unread = writeln!(std::io::stderr(), "shardcast: {problem}");
}

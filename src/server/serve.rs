//! Runs the server until it is told to stop.

use std::io::Write as _;
use std::process::ExitCode;

use crate::server::config::Config;

/// Serves as `config` says; returns when the server has stopped.
pub(crate) fn run(_config: &Config) -> ExitCode {
    match writeln!(std::io::stderr(), "shardcast: serve: not built yet") {
        Ok(()) | Err(_) => ExitCode::FAILURE,
    }
}

//! The `shardcast` binary.

mod server;

use std::process::ExitCode;

fn main() -> ExitCode {
    server::cli::run()
}

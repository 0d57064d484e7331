//! The `shardcast` binary.

mod client;

use clap::Parser as _;

#[derive(clap::Parser)]
#[command(name = "shardcast", version)]
struct Cli {
    #[command(subcommand)]
    command: client::Command,
}

fn main() -> std::process::ExitCode {
    client::run(Cli::parse().command)
}

//! The `shardcast` binary.

mod client;
mod server;

use std::process::ExitCode;

/// Small entries that come and go on many threads: what mimalloc is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    server::cli::run()
}

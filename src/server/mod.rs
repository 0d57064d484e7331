//! The control path: everything that the binary adds to the engine.

mod accept;
pub(crate) mod cli;
pub(crate) mod config;
mod front_door;
#[cfg(fuzzing)]
pub mod fuzzed;
mod handshake;
mod http;
mod logging;
mod machine;
mod metrics;
mod page;
mod query;
mod serve;
mod spare_file;

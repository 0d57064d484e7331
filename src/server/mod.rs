//! The control path: everything that the binary adds to the engine.

mod accept;
mod api;
pub(crate) mod cli;
pub(crate) mod config;
mod cross_origin;
mod front_door;
#[cfg(fuzzing)]
pub mod fuzzed;
mod handshake;
mod http;
mod idempotency;
mod logging;
mod long_poll;
mod machine;
mod metrics;
mod page;
mod pending;
mod query;
mod refused;
mod serve;
mod spare_file;
mod streams;
mod takeover;

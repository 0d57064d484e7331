//! The control path: everything that the binary adds to the engine.

mod accept;
mod api;
pub(crate) mod cli;
pub(crate) mod config;
mod front_door;
mod handshake;
mod http;
mod idempotency;
mod logging;
mod machine;
mod metrics;
mod page;
mod query;
mod serve;
mod spare_file;

//! What bad clients may do, against the real server: each gets the specified answer, and costs nobody else anything.
//!
//! `SHARDCAST_BIN` names another binary than the one that was built with the tests; `HOSTILE_CONNECTIONS` sets how many
//! connections the storm has. Nothing here measures speed: the only times are deadlines after which something hangs.
#![cfg(all(feature = "server", target_os = "linux"))]

mod bombs;
mod client;
mod files;
mod frames;
mod half_open;
mod handshakes;
mod limits;
mod pair;
mod rooms;
mod server;
mod storm;

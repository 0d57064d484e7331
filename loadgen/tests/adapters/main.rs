//! Dialects against real servers, over real WebSocket connections.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test is to end it; most of these are no test functions")]

mod connection;
mod nats;
mod nats_server;
mod nchan;
mod nchan_server;
mod server_process;
mod shardcast;
mod shardcast_server;

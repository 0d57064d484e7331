//! shardcast: a sharded WebSocket broadcast engine.

pub mod engine;
pub mod protocol;

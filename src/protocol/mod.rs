//! Bytes to meaning and back, without I/O.
//!
//! [`frame`] is RFC 6455, [`deflate`] its compression (RFC 7692). What frames and streams say about a publication:
//! [`v1`] (the subprotocol `shardcast.v1`), [`event_stream`] (a room as server-sent events) and [`centrifuge`] (the
//! JSON protocol of stock centrifuge clients). [`position`] is a room's position as text; [`json`] writes JSON;
//! [`chunk`] is an HTTP answer without an end.

pub mod centrifuge;
pub mod chunk;
pub mod deflate;
pub mod event_stream;
pub mod frame;
pub mod json;
pub mod position;
pub mod v1;

#[cfg(test)]
mod tests;

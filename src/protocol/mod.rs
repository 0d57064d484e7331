//! Bytes to meaning and back, without I/O.
//!
//! [`frame`] is RFC 6455. What the frames, and the streams of HTTP, say about a publication: [`v1`] (the subprotocol
//! `shardcast.v1`), [`event_stream`] (SSE of a room) and [`centrifuge`] (the JSON protocol of stock centrifuge clients).
//! [`position`] is a room's position as text; [`json`] writes JSON; [`chunk`] is HTTP's chunked coding.

pub mod centrifuge;
pub mod chunk;
pub mod event_stream;
pub mod frame;
pub mod json;
pub mod position;
pub mod v1;

//! The centrifuge client protocol, JSON, as stock clients speak it (`centrifuge-js` 5).
//!
//! [`commands`] reads what a client sends; [`reply`] and [`push`] write what it gets: one object each, without a line
//! end. Objects in one WebSocket message are joined by `\n`; [`stream`] wraps them for SSE and HTTP streams, whose
//! clients send by [`emulation`]. [`publication`] writes the object that pushes, subscribe replies and history have in
//! common; [`texts`] and [`delta`] make it smaller, [`filter`] leaves it out. Zero values are not written, unknown
//! fields not read. Sessions, rooms and permissions are the caller's.

pub mod code;
mod command;
pub mod delta;
pub mod emulation;
mod envelope;
mod error;
mod fields;
pub mod filter;
pub mod publication;
pub mod push;
pub mod reply;
pub mod stream;
pub mod texts;

#[cfg(test)]
pub(crate) mod tests;

pub use code::{Disconnect, Error, Unsubscribe};
pub use command::{
    Asked, Body, Command, Commands, Connect, ConnectSub, DeltaKind, History, StreamPosition, Subscribe, commands,
};
pub use error::{CommandError, Verdict};
pub use publication::{ClientInfo, PublicationView};
pub use reply::{ConnectResult, Recovery, RefreshResult, SubscribeResult};

/// Longest channel that is read, bytes; as a room's name.
pub const CHANNEL_BYTES_MAX: usize = 255;
/// Longest token that is read, bytes.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Longest epoch that is read, bytes.
pub const EPOCH_BYTES_MAX: usize = 64;
/// Longest name of a method of `rpc`, and of a client and its version, bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// Most server-side subscriptions that a `connect` may recover.
pub const CONNECT_SUBS_MAX: usize = 128;

//! RFC 6455 frames: the server's side, strict, without I/O.
//!
//! [`decode`] turns bytes of a client into calls of a [`Sink`]; the `encode_…` functions append frames to a buffer. A
//! frame that lies wholly in what was read is decoded where it lies; only what a read has cut is kept, in an
//! [`Unfinished`]. Extensions are not spoken: a reserved bit is an error. Pacing, deadlines and the answer to a ping or
//! a close frame are the caller's.

mod close;
mod decode;
mod encode;
mod error;
mod header;
mod mask;
mod unfinished;
mod utf8;

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

pub use close::{CLOSE_REASON_BYTES_MAX, CloseCode};
pub use decode::decode;
pub use encode::{
    HEADER_BYTES_MAX, encode_close, encode_message, encode_message_parts, encode_ping, encode_pong, encoded_len, parts,
};
pub use error::ProtocolError;
pub use unfinished::Unfinished;

/// Longest payload of a control frame, bytes (RFC 6455 §5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// What a message's payload is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageKind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// The bounds that decoding keeps; each is the engine's setting of the same name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeLimits {
    /// Longest message, bytes; judged by the headers, before payload is kept.
    pub message_bytes_max: usize,
    /// Most frames of one fragmented message, empty ones included. A message in one frame is always allowed.
    pub message_fragments_max: u32,
}

/// Takes what was decoded, in the order of arrival.
///
/// Slices live as long as the call: they lie in the caller's input or in memory that is freed next. A sink must not
/// assume that a message comes in one read, nor that a ping comes between messages: it may come within one.
pub trait Sink {
    /// A whole message. A text's payload is valid UTF-8. `Break`: decoding stops behind this message.
    fn message(&mut self, kind: MessageKind, payload: &[u8]) -> ControlFlow<()>;

    /// A ping of at most [`CONTROL_BYTES_MAX`] bytes. `Break`: decoding stops behind it.
    fn ping(&mut self, payload: &[u8]) -> ControlFlow<()>;

    /// A pong of at most [`CONTROL_BYTES_MAX`] bytes, asked for or not.
    fn pong(&mut self, payload: &[u8]);

    /// The peer's close frame, the last call. `code` is one that may stand in a close frame; `None`: there was no body.
    fn close(&mut self, code: Option<u16>, reason: &str);
}

//! RFC 6455 frames: the server's side, strict, without I/O.
//!
//! [`decode`] turns bytes of a client into calls of a [`Sink`]; the `encode_…` functions append frames to a buffer. A
//! frame that lies wholly in what was read is decoded where it lies; only what a read has cut is kept, in an
//! [`Unfinished`]. Of extensions, only the frames of permessage-deflate are known: a sink that says so is handed
//! compressed messages as they came ([`deflate`](super::deflate) inflates them); else a reserved bit is an error.
//! Pacing, deadlines and the answer to a ping or a close frame are the caller's.

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
    HEADER_BYTES_MAX, coding, encode_close, encode_deflated, encode_message, encode_message_parts, encode_ping,
    encode_pong, encoded_len, parts,
};
pub use error::ProtocolError;
pub use unfinished::Unfinished;

pub(super) use utf8::check_whole as check_text;

/// Longest payload of a control frame, bytes (RFC 6455 §5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// The first of the three reserved bits, as [`ProtocolError::ReservedBits`] counts them.
const RSV1: u8 = 0b100;

/// What a message's payload is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageKind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// What the bytes of a message's payload are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum Coding {
    /// The message.
    #[default]
    Plain,
    /// What it was compressed to (RFC 7692).
    Deflated,
}

/// The bounds that decoding keeps; each is the engine's setting of the same name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeLimits {
    /// Longest message, bytes; judged by the headers, before payload is kept. A compressed message may have an eighth
    /// and 64 bytes more: what cannot be compressed grows.
    pub message_bytes_max: usize,
    /// Most frames of one fragmented message, empty ones included. A message in one frame is always allowed.
    pub message_fragments_max: u32,
}

/// What a connection's handshake agreed on that changes what its frames mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Extension {
    /// RFC 6455 alone.
    #[default]
    None,
    /// permessage-deflate (RFC 7692): RSV1 on the first frame of a message says that its payload is compressed.
    Deflate,
}

/// Takes what was decoded, in the order of arrival.
///
/// Slices live as long as the call: they lie in the caller's input or in memory that is freed next. A sink must not
/// assume that a message comes in one read, nor that a ping comes between messages: it may come within one.
pub trait Sink {
    /// A whole message. A text's payload is valid UTF-8. `Break`: decoding stops behind this message.
    fn message(&mut self, kind: MessageKind, payload: &[u8]) -> ControlFlow<()>;

    /// What the connection's handshake agreed on; asked once per [`decode`].
    fn extension(&self) -> Extension {
        Extension::None
    }

    /// A whole compressed message, as it came, [`Extension::Deflate`] only: to be inflated (a text is checked then, see
    /// [`Inflater::message`](super::deflate::Inflater::message)). `Break`: decoding stops behind it.
    ///
    /// # Errors
    /// It cannot be inflated, or not within the limits; decoding ends with the error.
    fn compressed_message(&mut self, kind: MessageKind, payload: &[u8]) -> Result<ControlFlow<()>, ProtocolError> {
        let _ = (kind, payload);
        Err(ProtocolError::ReservedBits { bits: RSV1 })
    }

    /// A ping of at most [`CONTROL_BYTES_MAX`] bytes. `Break`: decoding stops behind it.
    fn ping(&mut self, payload: &[u8]) -> ControlFlow<()>;

    /// A pong of at most [`CONTROL_BYTES_MAX`] bytes, asked for or not.
    fn pong(&mut self, payload: &[u8]);

    /// The peer's close frame, the last call. `code` is one that may stand in a close frame; `None`: there was no body.
    fn close(&mut self, code: Option<u16>, reason: &str);
}

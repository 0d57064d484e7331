//! The subprotocol `shardcast.v1`: each message of the server begins with a line of ASCII that says where it stands.
//!
//! A publication is `EPOCH:OFFSET\n` and the payload; the first message is `EPOCH:OFFSET STATE\n` alone. What a client
//! sends has no such line.

use super::frame::{MessageKind, encode_message, encode_message_parts};
use super::position::{self, POSITION_BYTES_MAX, PositionError};

/// The name in `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "shardcast.v1";

/// Longest header line, its end included, bytes.
pub const HEADER_BYTES_MAX: usize = POSITION_BYTES_MAX + " recovered\n".len();

/// How a subscription has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing was asked for; the offset is the newest publication's.
    Live,
    /// Everything after the position follows.
    Recovered,
    /// What was missed cannot be replayed; the offset is the newest publication's.
    Lost,
}

impl State {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Recovered => "recovered",
            Self::Lost => "lost",
        }
    }
}

/// What a message's first line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The room's life that the offset belongs to.
    pub epoch: &'a str,
    /// The publication's offset, or the state's.
    pub offset: u64,
    /// Present in the first message only.
    pub state: Option<State>,
}

/// Why a message is not one of `shardcast.v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// No line end within [`HEADER_BYTES_MAX`] bytes.
    #[error("no header line within {HEADER_BYTES_MAX} bytes")]
    NoLine,
    /// The line is not ASCII.
    #[error("the header line is not ASCII")]
    NotAscii,
    /// The position is none.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// The word behind the position is not a state.
    #[error("the state is none of live, recovered, lost")]
    State,
}

/// Appends the frame of a publication. The caller vouches that a text is UTF-8.
pub fn publication_frame(out: &mut Vec<u8>, epoch: &str, offset: u64, kind: MessageKind, payload: &[u8]) {
    let mut line = Vec::with_capacity(HEADER_BYTES_MAX);
    position::write(&mut line, epoch, offset);
    line.push(b'\n');
    encode_message_parts(out, kind, &line, payload);
}

/// Appends the frame of the first message.
pub fn state_frame(out: &mut Vec<u8>, epoch: &str, offset: u64, state: State) {
    let mut line = Vec::with_capacity(HEADER_BYTES_MAX);
    position::write(&mut line, epoch, offset);
    line.push(b' ');
    line.extend_from_slice(state.as_str().as_bytes());
    line.push(b'\n');
    encode_message(out, MessageKind::Text, &line);
}

/// Splits a message of the server into its header and the payload.
///
/// # Errors
/// The first line is not a header.
pub fn parse(message: &[u8]) -> Result<(Header<'_>, &[u8]), HeaderError> {
    let head = &message[..message.len().min(HEADER_BYTES_MAX)];
    let end = head.iter().position(|byte| *byte == b'\n').ok_or(HeaderError::NoLine)?;
    let line = std::str::from_utf8(&head[..end]).map_err(|_| HeaderError::NotAscii)?;
    let (position, state) = match line.split_once(' ') {
        None => (line, None),
        Some((position, "live")) => (position, Some(State::Live)),
        Some((position, "recovered")) => (position, Some(State::Recovered)),
        Some((position, "lost")) => (position, Some(State::Lost)),
        Some(_) => return Err(HeaderError::State),
    };
    let (epoch, offset) = position::parse(position)?;
    Ok((Header { epoch, offset, state }, &message[end + 1..]))
}

//! A frame's header (RFC 6455 §5.2).

use super::error::ProtocolError;
use super::{CONTROL_BYTES_MAX, Coding, Extension, MessageKind, RSV1};

/// Longest header of a client's frame: 2 bytes, a 64-bit length, the mask.
pub(super) const CLIENT_HEADER_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
/// How far right the reserved bits are moved to be counted.
const RESERVED_SHIFT: u32 = 4;
const OPCODE: u8 = 0x0f;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FrameKind {
    /// Begins a message.
    Start(MessageKind),
    /// Goes on with it.
    Continuation,
    /// Stands for itself, also between the frames of a message.
    Control(Control),
}

/// Control frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Control {
    Close,
    Ping,
    Pong,
}

/// A header that is complete and in itself allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: FrameKind,
    /// Of a message's first frame: what its payload, and that of the frames that go on with it, is.
    pub(super) coding: Coding,
    /// Whether this is the message's last frame.
    pub(super) fin: bool,
    pub(super) mask: [u8; 4],
    /// Its own length, bytes.
    pub(super) header_bytes: usize,
    pub(super) payload_bytes: u64,
}

/// What the first bytes of a frame say.
#[derive(Clone, Copy, Debug)]
pub(super) enum Parsed {
    /// The header is not complete; it has at least `needed_bytes`, more than there are.
    Partial { needed_bytes: usize },
    /// The header is complete.
    Whole(Header),
}

/// Reads the header at the start of `bytes`. Bytes are judged in their order, those of an incomplete header too: the
/// verdict does not depend on where reads have cut.
#[inline]
pub(super) fn parse(bytes: &[u8], extension: Extension) -> Result<Parsed, ProtocolError> {
    let Some(&first) = bytes.first() else {
        return Ok(Parsed::Partial { needed_bytes: 2 });
    };
    let coding = if first & RESERVED == 0 { Coding::Plain } else { coding(first, extension)? };
    let kind = frame_kind(first)?;
    let Some(&second) = bytes.get(1) else {
        return Ok(Parsed::Partial { needed_bytes: 2 });
    };
    if second & MASKED == 0 {
        return Err(ProtocolError::Unmasked);
    }
    let length = second & LENGTH;
    if matches!(kind, FrameKind::Control(_)) && usize::from(length) > CONTROL_BYTES_MAX {
        return Err(ProtocolError::ControlTooLong);
    }
    let (length_bytes, payload_bytes) = match length {
        LENGTH_16 => (2, bytes[2..].first_chunk().map(|field| u64::from(u16::from_be_bytes(*field)))),
        LENGTH_64 => (8, bytes[2..].first_chunk().map(|field| u64::from_be_bytes(*field))),
        _ => (0, Some(u64::from(length))),
    };
    let header_bytes = 2 + length_bytes + 4;
    let Some(payload_bytes) = payload_bytes else {
        return Ok(Parsed::Partial { needed_bytes: header_bytes });
    };
    check_length(length, payload_bytes)?;
    let Some(mask) = bytes[2 + length_bytes..].first_chunk() else {
        return Ok(Parsed::Partial { needed_bytes: header_bytes });
    };
    Ok(Parsed::Whole(Header { kind, coding, fin: first & FIN != 0, mask: *mask, header_bytes, payload_bytes }))
}

/// What a first byte with a reserved bit says. RSV1 may stand on the first frame of a message only (RFC 7692 §6).
#[cold]
fn coding(first: u8, extension: Extension) -> Result<Coding, ProtocolError> {
    match ((first & RESERVED) >> RESERVED_SHIFT, first & OPCODE, extension) {
        (RSV1, TEXT | BINARY, Extension::Deflate) => Ok(Coding::Deflated),
        (bits, ..) => Err(ProtocolError::ReservedBits { bits }),
    }
}

#[inline]
fn frame_kind(first: u8) -> Result<FrameKind, ProtocolError> {
    let kind = match first & OPCODE {
        0x0 => FrameKind::Continuation,
        TEXT => FrameKind::Start(MessageKind::Text),
        BINARY => FrameKind::Start(MessageKind::Binary),
        0x8 => FrameKind::Control(Control::Close),
        0x9 => FrameKind::Control(Control::Ping),
        0xa => FrameKind::Control(Control::Pong),
        opcode => return Err(ProtocolError::ReservedOpcode { opcode }),
    };
    if matches!(kind, FrameKind::Control(_)) && first & FIN == 0 {
        return Err(ProtocolError::ControlFragmented);
    }
    Ok(kind)
}

/// `field` is the 7-bit length, `length` what it or the bytes behind it say.
#[inline]
fn check_length(field: u8, length: u64) -> Result<(), ProtocolError> {
    match field {
        LENGTH_16 if length < u64::from(LENGTH_16) => Err(ProtocolError::NonMinimalLength { length, encoded_bytes: 2 }),
        LENGTH_64 if length <= u64::from(u16::MAX) => Err(ProtocolError::NonMinimalLength { length, encoded_bytes: 8 }),
        LENGTH_64 if length >> 63 != 0 => Err(ProtocolError::LengthTopBit { length }),
        _ => Ok(()),
    }
}

//! Frames to a client: never masked, never fragmented.

use super::close::CLOSE_REASON_BYTES_MAX;
use super::{CONTROL_BYTES_MAX, CloseCode, Coding, MessageKind};

/// Longest header of a server's frame, bytes.
pub const HEADER_BYTES_MAX: usize = 10;

const FIN_TEXT: u8 = 0x81;
const FIN_BINARY: u8 = 0x82;
/// Of the first frame of a compressed message (RFC 7692 §6).
const RSV1: u8 = 0x40;
const FIN_CLOSE: u8 = 0x88;
const FIN_PING: u8 = 0x89;
const FIN_PONG: u8 = 0x8a;

/// Longest payload whose frame has a 2-byte header.
const SHORT_BYTES_MAX: usize = 125;
/// Longest payload whose frame has a 4-byte header.
const MEDIUM_BYTES_MAX: usize = 0xffff;

/// Length of the frame of a message of `payload_len` bytes, bytes.
#[must_use]
pub const fn encoded_len(payload_len: usize) -> usize {
    if payload_len <= SHORT_BYTES_MAX {
        2 + payload_len
    } else if payload_len <= MEDIUM_BYTES_MAX {
        4 + payload_len
    } else {
        HEADER_BYTES_MAX + payload_len
    }
}

/// Appends a message as one frame. The caller vouches that a text is UTF-8.
pub fn encode_message(out: &mut Vec<u8>, kind: MessageKind, payload: &[u8]) {
    encode_message_parts(out, kind, &[], payload);
}

/// Appends a message whose payload is `head` and then `tail` as one frame. The caller vouches that a text is UTF-8.
pub fn encode_message_parts(out: &mut Vec<u8>, kind: MessageKind, head: &[u8], tail: &[u8]) {
    encode_data(out, first(kind), head, tail);
}

/// Appends a message as one frame whose payload is compressed already, by a
/// [`Deflater`](crate::protocol::deflate::Deflater), for connections that agreed on it.
pub fn encode_deflated(out: &mut Vec<u8>, kind: MessageKind, compressed: &[u8]) {
    encode_data(out, RSV1 | first(kind), &[], compressed);
}

/// The first byte of a message's only frame.
const fn first(kind: MessageKind) -> u8 {
    match kind {
        MessageKind::Text => FIN_TEXT,
        MessageKind::Binary => FIN_BINARY,
    }
}

#[inline]
fn encode_data(out: &mut Vec<u8>, first: u8, head: &[u8], tail: &[u8]) {
    let payload_len = head.len() + tail.len();
    out.reserve(encoded_len(payload_len));
    encode_header(out, first, payload_len);
    out.extend_from_slice(head);
    out.extend_from_slice(tail);
}

/// Appends a ping of at most [`CONTROL_BYTES_MAX`] bytes; more would be a bug, and is cut.
pub fn encode_ping(out: &mut Vec<u8>, payload: &[u8]) {
    encode_control(out, FIN_PING, payload);
}

/// Appends a pong of at most [`CONTROL_BYTES_MAX`] bytes; more would be a bug, and is cut.
pub fn encode_pong(out: &mut Vec<u8>, payload: &[u8]) {
    encode_control(out, FIN_PONG, payload);
}

/// Appends a close frame. The code must be allowed in one; `reason` is cut at [`CLOSE_REASON_BYTES_MAX`] bytes or
/// before, at a character's boundary.
pub fn encode_close(out: &mut Vec<u8>, code: CloseCode, reason: &str) {
    debug_assert!(code.is_allowed(), "close code {} must not be sent", code.0);
    let reason = cut(reason, CLOSE_REASON_BYTES_MAX);
    encode_header(out, FIN_CLOSE, 2 + reason.len());
    out.extend_from_slice(&code.0.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// `text`, or what of it fits into `bytes_max` without parting a character.
fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=text.len().min(bytes_max)).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

fn encode_control(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    debug_assert!(payload.len() <= CONTROL_BYTES_MAX, "a control frame has at most {CONTROL_BYTES_MAX} bytes");
    let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
    encode_header(out, first, payload.len());
    out.extend_from_slice(payload);
}

/// Whether the payload of a frame that [`encode_message`] or [`encode_deflated`] wrote is compressed.
///
/// # Panics
/// If it is empty.
#[must_use]
pub const fn coding(frame: &[u8]) -> Coding {
    if frame[0] & RSV1 == 0 { Coding::Plain } else { Coding::Deflated }
}

/// Kind and payload of a frame that [`encode_message`] or [`encode_deflated`] wrote.
///
/// # Panics
/// If it is shorter than its header.
#[must_use]
pub fn parts(frame: &[u8]) -> (MessageKind, &[u8]) {
    let kind = if frame[0] & !RSV1 == FIN_BINARY { MessageKind::Binary } else { MessageKind::Text };
    let header_bytes = match frame[1] {
        126 => 4,
        127 => HEADER_BYTES_MAX,
        _ => 2,
    };
    (kind, &frame[header_bytes..])
}

fn encode_header(out: &mut Vec<u8>, first: u8, payload_len: usize) {
    match (u8::try_from(payload_len), u16::try_from(payload_len)) {
        (Ok(length @ 0..=125), _) => out.extend_from_slice(&[first, length]),
        (_, Ok(length)) => {
            out.extend_from_slice(&[first, 126]);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(payload_len as u64).to_be_bytes());
        }
    }
}

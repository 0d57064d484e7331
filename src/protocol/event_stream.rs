//! A room as server-sent events (the HTML standard, §9.2), in HTTP chunks.
//!
//! A publication is an event of no name with its position as `id:`, text as it is, bytes in base64 with the name
//! `binary`. `live` and `lost` say where the stream begins. A text's line ends (`\n`, `\r\n`, `\r`) reach the client as
//! `\n`: the format knows no other.

use super::chunk::chunk;
use super::frame::MessageKind;
use super::json::{Object, base64, has_line_end};
use super::position;

/// The media type of server-sent events.
pub const CONTENT_TYPE: &str = "text/event-stream";

/// The first chunk: how long a browser waits before it reconnects, milliseconds.
pub const RETRY: &[u8] = b"d\r\nretry: 2000\n\n\r\n";

/// A chunk with a comment, which keeps the connection's middle boxes awake and clients do not see.
pub const COMMENT: &[u8] = b"3\r\n:\n\n\r\n";

/// An event that tells where the stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Nothing was asked for; the position is the newest publication's.
    Live,
    /// What was asked for cannot be replayed; the position is the newest publication's.
    Lost,
}

/// Appends a publication as one event in one chunk. `position` is `EPOCH:OFFSET`.
pub fn publication(out: &mut Vec<u8>, position: &str, kind: MessageKind, payload: &[u8]) {
    chunk(out, |out| {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(position.as_bytes());
        match kind {
            MessageKind::Text => text_lines(out, payload),
            MessageKind::Binary => {
                out.extend_from_slice(b"\nevent: binary\ndata: ");
                base64(out, payload);
            }
        }
        out.extend_from_slice(b"\n\n");
    });
}

/// Appends the event of the stream's beginning in one chunk.
pub fn begin(out: &mut Vec<u8>, begin: Begin, epoch: &str, offset: u64) {
    chunk(out, |out| {
        let name: &[u8] = match begin {
            Begin::Live => b"live",
            Begin::Lost => b"lost",
        };
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name);
        out.extend_from_slice(b"\nid: ");
        position::write(out, epoch, offset);
        out.extend_from_slice(b"\ndata: ");
        let mut data = Object::open(out);
        super::json::string(data.key("epoch"), epoch);
        super::json::decimal(data.key("offset"), offset);
        data.close();
        out.extend_from_slice(b"\n\n");
    });
}

/// Appends `\ndata: LINE` for each line of `text`, an empty last one included.
fn text_lines(out: &mut Vec<u8>, text: &[u8]) {
    if !has_line_end(text) {
        out.extend_from_slice(b"\ndata: ");
        out.extend_from_slice(text);
        return;
    }
    let mut rest = text;
    loop {
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        out.extend_from_slice(b"\ndata: ");
        out.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
        let Some(end) = end else { return };
        let line_end = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[end + line_end..];
    }
}

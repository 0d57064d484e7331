//! Replies and pushes over HTTP: server-sent events, and lines (`http_stream`); both in chunks.

use crate::protocol::chunk::{self, chunk};
use crate::protocol::event_stream::CONTENT_TYPE;

/// How a stream is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// `/connection/sse`: an event per object.
    Events,
    /// `/connection/http_stream`: a line per object.
    Lines,
}

/// The first chunk of a stream of events: some proxies pass a head on only with a first byte of the body.
pub const EVENTS_BEGIN: &[u8] = b"2\r\n\r\n\r\n";

/// Appends one object in one chunk. The object has no line end in it.
pub fn object_chunk(out: &mut Vec<u8>, kind: StreamKind, json: &[u8]) {
    match kind {
        StreamKind::Events => event_chunk(out, json),
        StreamKind::Lines => lines_chunk(out, json),
    }
}

/// Appends one line in one chunk.
pub fn lines_chunk(out: &mut Vec<u8>, json: &[u8]) {
    chunk(out, |out| {
        out.extend_from_slice(json);
        out.push(b'\n');
    });
}

/// Appends one event in one chunk.
pub fn event_chunk(out: &mut Vec<u8>, json: &[u8]) {
    chunk(out, |out| {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(json);
        out.extend_from_slice(b"\n\n");
    });
}

/// The object in a chunk that [`object_chunk`] has written.
#[must_use]
pub fn object_in(bytes: &[u8], kind: StreamKind) -> Option<&[u8]> {
    let body = chunk::body(bytes)?;
    match kind {
        StreamKind::Events => body.strip_prefix(b"data: ")?.strip_suffix(b"\n\n"),
        StreamKind::Lines => body.strip_suffix(b"\n"),
    }
}

/// Appends the head of the answer, for a page of `origin` if there is one. The stream ends with the connection's end.
pub fn response_head(out: &mut Vec<u8>, kind: StreamKind, origin: Option<&str>) {
    let content_type = match kind {
        StreamKind::Events => CONTENT_TYPE,
        StreamKind::Lines => "application/json",
    };
    chunk::response_head(out, content_type, origin);
}

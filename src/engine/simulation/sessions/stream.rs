//! What a session's server side sends, over any transport, as objects.

use super::super::reader::{Item, Kind, Reader};
use crate::engine::session::Transport;

/// Parses a server's bytes; panics if they are not valid.
pub(in super::super) enum Hearing {
    Frames(Reader),
    Chunks(Chunks),
}

/// An HTTP answer without an end: lines, or events, in chunks.
pub(in super::super) struct Chunks {
    bytes: Vec<u8>,
    greeting_len: usize,
    is_events: bool,
    is_over: bool,
}

impl Hearing {
    pub(in super::super) fn new(transport: Transport, greeting_len: usize) -> Self {
        let is_events = transport == Transport::Events;
        match transport {
            Transport::WebSocket => Self::Frames(Reader::new(greeting_len)),
            Transport::Events | Transport::Lines => {
                Self::Chunks(Chunks { bytes: Vec::new(), greeting_len, is_events, is_over: false })
            }
        }
    }

    pub(in super::super) fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::Frames(reader) => reader.feed(bytes),
            Self::Chunks(chunks) => chunks.bytes.extend_from_slice(bytes),
        }
    }

    /// Whether nothing is unfinished.
    pub(in super::super) const fn is_at_boundary(&self) -> bool {
        match self {
            Self::Frames(reader) => reader.is_at_boundary(),
            Self::Chunks(chunks) => chunks.bytes.is_empty(),
        }
    }

    pub(in super::super) fn next_item(&mut self) -> Option<Item> {
        match self {
            Self::Frames(reader) => reader.next_item(),
            Self::Chunks(chunks) => chunks.next_item(),
        }
    }
}

impl Chunks {
    fn next_item(&mut self) -> Option<Item> {
        if self.greeting_len > 0 {
            if self.bytes.len() < self.greeting_len {
                return None;
            }
            let greeting = self.bytes.drain(..std::mem::take(&mut self.greeting_len)).collect();
            return Some(Item::Greeting(greeting));
        }
        assert!(!self.is_over || self.bytes.is_empty(), "{} bytes behind the last chunk", self.bytes.len());
        let head = self.bytes.windows(2).position(|pair| pair == b"\r\n")?;
        let text = std::str::from_utf8(&self.bytes[..head]).expect("a chunk's length is ASCII");
        let len = usize::from_str_radix(text, 16).expect("a chunk begins with its length");
        if self.bytes.len() < head + 2 + len + 2 {
            return None;
        }
        let chunk: Vec<u8> = self.bytes.drain(..head + 2 + len + 2).collect();
        assert!(chunk.ends_with(b"\r\n"), "a chunk ends with a line end");
        if len == 0 {
            self.is_over = true;
            return Some(Item::Last);
        }
        let object = self.object(&chunk[head + 2..head + 2 + len]);
        // What is passed over is what an unasked pong is among frames.
        Some(object.map_or(Item::Pong(Vec::new()), |object| Item::Message(Kind::Text, object)))
    }

    /// The object in a chunk's body; `None`: it is only there to be passed over.
    fn object(&self, body: &[u8]) -> Option<Vec<u8>> {
        let (begin, end): (&[u8], &[u8]) = if self.is_events { (b"data: ", b"\n\n") } else { (b"", b"\n") };
        if matches!(body, b" " | b":\n\n") {
            return None;
        }
        let object = body.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
        let object = object.unwrap_or_else(|| panic!("no object: {}", String::from_utf8_lossy(body)));
        assert!(!object.contains(&b'\n'), "an object has one line");
        Some(object.to_vec())
    }
}

/// Whether an object is a push that goes to everybody in a room.
pub(in super::super) fn is_delivery(object: &[u8]) -> bool {
    let Some(rest) = object.strip_prefix(b"{\"push\":{\"channel\":\"") else { return false };
    let kind = rest.iter().position(|byte| *byte == b'"').map(|end| &rest[end + 1..]).unwrap_or_default();
    [&b",\"pub\":"[..], b",\"join\":", b",\"leave\":"].iter().any(|begin| kind.starts_with(begin))
}

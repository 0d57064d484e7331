//! The client's side of the protocol, sharing nothing with the engine: frames in, frames out, and what messages say.

use super::random::mix;
use crate::engine::position::{Began, Epoch, Position};
use crate::protocol::frame::Coding;

/// Text or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Binary,
}

/// What a server sends behind the greeting.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Greeting(Vec<u8>),
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    /// The end of an HTTP answer.
    Last,
}

/// The state line of `shardcast.v1`: a position, and a word behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    pub(super) position: Position,
    pub(super) state: Began,
}

/// Splits a message of `shardcast.v1`: the line in front, and what follows it.
pub(super) fn split_line(message: &[u8]) -> (&str, &[u8]) {
    let end = message.iter().position(|byte| *byte == b'\n').expect("a message begins with a line");
    (std::str::from_utf8(&message[..end]).expect("a line is ASCII"), &message[end + 1..])
}

/// Reads `EPOCH:OFFSET`.
pub(super) fn position_of(text: &str) -> Position {
    let (epoch, offset) = text.split_once(':').expect("a position has two parts");
    assert!(epoch == "0" || !epoch.starts_with('0'), "epoch {epoch} is not the shortest");
    let epoch = Epoch(u64::from_str_radix(epoch, 16).expect("an epoch is hexadecimal"));
    Position { epoch, offset: offset.parse().expect("an offset is decimal") }
}

/// Reads the line of the first message.
pub(super) fn beginning_of(line: &str) -> Beginning {
    let (position, state) = line.split_once(' ').expect("the first line says the state");
    let state = match state {
        "live" => Began::Live,
        "recovered" => Began::Recovered,
        "lost" => Began::Lost,
        other => panic!("no such state: {other}"),
    };
    Beginning { position: position_of(position), state }
}

/// Parses a server's bytes; panics if they are not valid.
pub(super) struct Reader {
    bytes: Vec<u8>,
    greeting_len: Option<usize>,
    /// Whether messages may come compressed.
    coding: Coding,
    closed: bool,
}

impl Reader {
    pub(super) fn new(greeting_len: usize) -> Self {
        let greeting_len = (greeting_len > 0).then_some(greeting_len);
        Self { bytes: Vec::new(), greeting_len, coding: Coding::Plain, closed: false }
    }

    /// One whose client agreed on this.
    pub(super) fn inflating(self, coding: Coding) -> Self {
        Self { coding, ..self }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether nothing is unfinished.
    pub(super) const fn is_at_boundary(&self) -> bool {
        self.bytes.is_empty()
    }

    fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        (self.bytes.len() >= len).then(|| self.bytes.drain(..len).collect())
    }

    pub(super) fn next_item(&mut self) -> Option<Item> {
        if let Some(len) = self.greeting_len {
            let greeting = self.take(len)?;
            self.greeting_len = None;
            return Some(Item::Greeting(greeting));
        }
        assert!(!self.closed || self.bytes.is_empty(), "{} bytes behind the close frame", self.bytes.len());
        let [first, second, ..] = self.bytes[..] else { return None };
        let is_compressed = self.coding == Coding::Deflated && matches!(first, 0xc1 | 0xc2);
        let is_known = is_compressed || matches!(first, 0x81 | 0x82 | 0x88..=0x8a);
        assert!(is_known, "0x{first:02x} begins no frame of this server");
        let (header, len) = match second {
            0..126 => (2, usize::from(second)),
            126 => {
                let len = usize::from(u16::from_be_bytes([*self.bytes.get(2)?, *self.bytes.get(3)?]));
                assert!(len >= 126, "{len} fits into seven bits");
                (4, len)
            }
            _ => panic!("second byte 0x{second:02x}: masked, or longer than any message"),
        };
        let payload = self.take(header + len)?.split_off(header);
        assert!(is_compressed || first < 0x88 || payload.len() <= 125, "a control frame is short");
        Some(match first {
            0xc1 => Item::Message(Kind::Text, inflated(payload)),
            0xc2 => Item::Message(Kind::Binary, inflated(payload)),
            0x81 => Item::Message(Kind::Text, payload),
            0x82 => Item::Message(Kind::Binary, payload),
            0x89 => Item::Ping(payload),
            0x8a => Item::Pong(payload),
            _ => {
                self.closed = true;
                assert!(payload.len() >= 2, "this server always gives a code");
                let reason = std::str::from_utf8(&payload[2..]).expect("a reason is text").to_owned();
                Item::Close(u16::from_be_bytes([payload[0], payload[1]]), reason)
            }
        })
    }
}

/// What a compressed message says (RFC 7692 §7.2.2): nothing of a message before is needed for it.
fn inflated(mut payload: Vec<u8>) -> Vec<u8> {
    payload.extend([0, 0, 0xff, 0xff]);
    let mut message = Vec::with_capacity(MESSAGE_BYTES_MAX);
    let mut inflater = flate2::Decompress::new(false);
    inflater.decompress_vec(&payload, &mut message, flate2::FlushDecompress::Sync).expect("it can be inflated");
    assert!(inflater.total_in() == payload.len() as u64, "a message is longer than any here");
    message
}

/// Longest message here, bytes.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Appends a masked frame.
pub(super) fn write_frame(out: &mut Vec<u8>, first: u8, payload: &[u8], mask: u32) {
    out.push(first);
    match u8::try_from(payload.len()) {
        Ok(len @ 0..126) => out.push(0x80 | len),
        _ => {
            out.push(0x80 | 126);
            out.extend(u16::try_from(payload.len()).expect("messages are short here").to_be_bytes());
        }
    }
    let mask = mask.to_be_bytes();
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Publishers of the API have numbers from here on, by room name.
pub(super) const OUTSIDE: u32 = 1_000_000;

/// Publishers that are sessions have numbers from here on: see [`super::sessions`].
pub(super) const SESSIONS: u32 = 2_000_000;

/// Which message: who published it, and its number among that one's messages, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) by: u32,
    pub(super) number: u32,
}

impl Id {
    pub(super) const fn kind(self) -> Kind {
        if !self.is_json() && (self.by ^ self.number).is_multiple_of(3) { Kind::Binary } else { Kind::Text }
    }

    /// Whether a session published it: what sessions publish is JSON, here a string.
    const fn is_json(self) -> bool {
        self.by >= SESSIONS
    }

    /// Whether it is published as one that is not kept.
    pub(super) const fn is_passing(self) -> bool {
        let is_outside = self.by >= OUTSIDE && self.by < SESSIONS;
        is_outside && (mix((self.by as u64) << 32 | self.number as u64) >> 40).is_multiple_of(3)
    }

    /// The message's payload, which says all of this.
    pub(super) fn payload(self) -> Vec<u8> {
        let hash = mix(u64::from(self.by) << 32 | u64::from(self.number));
        let len = match hash % 16 {
            0..6 => hash >> 8 & 31,
            6..14 => hash >> 8 & 127,
            _ => hash >> 8 & 511,
        };
        let quote = if self.is_json() { "\"" } else { "" };
        let mut payload = format!("{quote}{}:{}:", self.by, self.number).into_bytes();
        // What most of them say is alike, so that deltas are worth it.
        let letters = if hash >> 20 & 3 == 0 { hash.rotate_left(7) } else { 0 };
        payload.extend((0..len).map(|i| b'a' + u8::try_from((letters ^ i) % 26).expect("a letter")));
        payload.extend(quote.bytes());
        payload
    }

    /// Reads a message; panics if anything of it is wrong.
    pub(super) fn of(kind: Kind, payload: &[u8]) -> Self {
        let text = payload.strip_prefix(b"\"").unwrap_or(payload);
        let mut parts = text.splitn(3, |byte| *byte == b':').map(|part| std::str::from_utf8(part).expect("ASCII"));
        let mut number = || parts.next().and_then(|part| part.parse().ok()).expect("a message begins with its numbers");
        let id = Self { by: number(), number: number() };
        assert_eq!(payload, id.payload(), "{id:?} is not what was published");
        assert_eq!(kind, id.kind(), "{id:?} is of the other kind");
        id
    }
}

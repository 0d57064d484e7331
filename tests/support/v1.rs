//! A member that speaks the subprotocol `shardcast.v1`: it knows where it stands.

use std::fmt;

use super::{Client, Event, Server};

/// Epoch and offset, as a client knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: String,
    pub(crate) offset: u64,
}

impl Position {
    pub(crate) fn new(epoch: &str, offset: u64) -> Self {
        Self { epoch: epoch.to_owned(), offset }
    }

    fn parse(text: &str) -> Self {
        let (epoch, offset) = text.split_once(':').unwrap_or_else(|| panic!("not a position: {text:?}"));
        let digits = epoch.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        assert!(digits && (1..=16).contains(&epoch.len()), "not an epoch: {epoch:?}");
        Self::new(epoch, offset.parse().expect("an offset is a number"))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.offset)
    }
}

/// See the module.
pub(crate) struct V1 {
    pub(crate) client: Client,
    /// `live`, `recovered` or `lost`.
    pub(crate) state: String,
    pub(crate) position: Position,
}

impl V1 {
    /// A new member of `/ws/` and this, with a receive buffer of this size if there is one.
    pub(crate) fn join(server: &Server, room: &str, receive_buffer: Option<usize>) -> Self {
        let mut joining = server.joining(room).with("Sec-WebSocket-Protocol", "shardcast.v1");
        if let Some(bytes) = receive_buffer {
            joining = joining.receive_buffer(bytes);
        }
        let mut client = joining.join();
        let line = client.text_of();
        let words = line.strip_suffix('\n').and_then(|line| line.split_once(' '));
        let (position, state) = words.unwrap_or_else(|| panic!("not a state line: {line:?}"));
        Self { client, state: state.to_owned(), position: Position::parse(position) }
    }

    /// The next publication, or what else comes; its header is taken off.
    pub(crate) fn next(&mut self) -> Event {
        let (event, line) = match self.client.next() {
            Event::Text(text) => {
                let (line, payload) = text.split_once('\n').expect("a line in front");
                (Event::Text(payload.to_owned()), line.to_owned())
            }
            Event::Binary(bytes) => {
                let end = bytes.iter().position(|byte| *byte == b'\n').expect("a line in front");
                let line = String::from_utf8(bytes[..end].to_vec()).expect("the line is ASCII");
                (Event::Binary(bytes[end + 1..].to_vec()), line)
            }
            other => return other,
        };
        let position = Position::parse(&line);
        assert_eq!(position.epoch, self.position.epoch, "the epoch changes on the way");
        assert!(position.offset > self.position.offset, "{position} after {}", self.position);
        self.position = position;
        event
    }

    /// The next publication's text, which follows the one before without a gap.
    pub(crate) fn text_of(&mut self) -> String {
        let before = self.position.offset;
        match self.next() {
            Event::Text(text) => {
                assert_eq!(self.position.offset, before + 1, "a gap");
                text
            }
            other => panic!("expected a text, got {other:?}"),
        }
    }
}

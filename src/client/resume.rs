//! Which messages of a `shardcast.v1` connection are new, and where the next connection has to begin: so that each is
//! printed once, over however many connections. No I/O.

use bytes::Bytes;
use shardcast::protocol::v1::{self, HeaderError, SUBPROTOCOL, State};

use super::link::Event;
use super::position::Position;

/// Where in a room's history a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// With what is published from now on.
    Now,
    /// With the newest so many.
    Last(u64),
    /// Behind this position.
    Since(Position),
}

impl Start {
    /// What a URL's query says for it.
    pub(super) fn query(self) -> Option<String> {
        match self {
            Self::Now => None,
            Self::Last(count) => Some(format!("last={count}")),
            Self::Since(position) => Some(format!("since={position}")),
        }
    }
}

/// What a message of a connection means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A new publication, without its header. `skipped`: so many before it were left out for this connection.
    Publication { position: Position, payload: Event, skipped: u64 },
    /// One that an earlier connection had brought.
    Known,
    /// The connection goes on where it was to begin.
    Joined(Position),
    /// What was published after `before` cannot be had any more; it goes on behind `now`.
    Lost { before: Option<Position>, now: Position },
}

/// A server that does not keep to the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResumeError {
    /// The message does not begin as every message has to.
    #[error("a message that is not one of {SUBPROTOCOL}: {0}")]
    Header(#[from] HeaderError),
    /// A state behind the first message, or none in it.
    #[error("a message of {SUBPROTOCOL} out of its place")]
    Order,
}

/// What is known over all connections.
#[derive(Debug)]
pub(super) struct Resume {
    start: Start,
    /// Whether the connection has sent its first message.
    joined: bool,
}

impl Resume {
    /// Begins at `start`.
    pub(super) fn new(start: Start) -> Self {
        Self { start, joined: false }
    }

    /// Where the next connection begins; what comes then is of that connection.
    pub(super) fn connect(&mut self) -> Start {
        self.joined = false;
        self.start
    }

    /// Takes one message, which is not the end of the connection.
    ///
    /// # Errors
    /// It is not as `shardcast.v1` has it.
    pub(super) fn hear(&mut self, message: Event) -> Result<Heard, ResumeError> {
        let (bytes, kind): (Bytes, fn(Bytes) -> Event) = match message {
            Event::Text(bytes) => (bytes, Event::Text),
            Event::Binary(bytes) => (bytes, Event::Binary),
            Event::End(_) => return Err(ResumeError::Order),
        };
        let (header, payload) = v1::parse(&bytes)?;
        let position = Position::new(header.epoch, header.offset).map_err(HeaderError::from)?;
        match (header.state, self.joined) {
            (Some(state), false) => Ok(self.join(position, state)),
            (None, true) => {
                let payload = kind(bytes.slice_ref(payload));
                Ok(self.publication(position, payload))
            }
            _ => Err(ResumeError::Order),
        }
    }

    fn join(&mut self, position: Position, state: State) -> Heard {
        let heard = match state {
            State::Live | State::Recovered => Heard::Joined(position),
            State::Lost => Heard::Lost { before: self.position(), now: position },
        };
        self.joined = true;
        self.start = Start::Since(position);
        heard
    }

    fn publication(&mut self, position: Position, payload: Event) -> Heard {
        let skipped = match self.position() {
            Some(before) if before.epoch == position.epoch => {
                if position.offset <= before.offset {
                    return Heard::Known;
                }
                position.offset - before.offset - 1
            }
            _ => 0,
        };
        self.start = Start::Since(position);
        Heard::Publication { position, payload, skipped }
    }

    fn position(&self) -> Option<Position> {
        match self.start {
            Start::Since(position) => Some(position),
            Start::Now | Start::Last(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use shardcast::protocol::position::PositionError;

    use super::*;

    fn at(text: &str) -> Position {
        text.parse().unwrap()
    }

    fn text(text: &str) -> Event {
        Event::Text(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn publication(position: &str, payload: Event, skipped: u64) -> Heard {
        Heard::Publication { position: at(position), payload, skipped }
    }

    #[test]
    fn queries() {
        assert_eq!(Start::Now.query(), None);
        assert_eq!(Start::Last(7).query().unwrap(), "last=7");
        assert_eq!(Start::Since(at("0a:7")).query().unwrap(), "since=0a:7");
    }

    #[test]
    fn two_connections_give_each_publication_once() {
        let mut resume = Resume::new(Start::Last(2));
        assert_eq!(resume.connect(), Start::Last(2));
        assert_eq!(resume.hear(text("a:4 recovered\n")), Ok(Heard::Joined(at("a:4"))));
        assert_eq!(resume.hear(text("a:5\nfive\n")), Ok(publication("a:5", text("five\n"), 0)));
        let binary = Event::Binary(Bytes::from_static(b"a:6\n\xff\n\x00"));
        let payload = Event::Binary(Bytes::from_static(b"\xff\n\x00"));
        assert_eq!(resume.hear(binary), Ok(publication("a:6", payload, 0)));
        assert_eq!(resume.connect(), Start::Since(at("a:6")));
        assert_eq!(resume.hear(text("a:6 recovered\n")), Ok(Heard::Joined(at("a:6"))));
        // A server that replays too much.
        assert_eq!(resume.hear(text("a:6\nsix")), Ok(Heard::Known));
        assert_eq!(resume.hear(text("a:7\n")), Ok(publication("a:7", text(""), 0)));
        // A slow reader's gap.
        assert_eq!(resume.hear(text("a:10\nten")), Ok(publication("a:10", text("ten"), 2)));
        assert_eq!(resume.connect(), Start::Since(at("a:10")));
    }

    #[test]
    fn a_loss_is_told_and_gone_on_from() {
        let mut resume = Resume::new(Start::Since(at("a:9")));
        let lost = Heard::Lost { before: Some(at("a:9")), now: at("b:2") };
        assert_eq!(resume.hear(text("b:2 lost\n")), Ok(lost));
        // Of another epoch: neither known nor a gap.
        assert_eq!(resume.hear(text("b:3\nx")), Ok(publication("b:3", text("x"), 0)));
        assert_eq!(resume.connect(), Start::Since(at("b:3")));
        // A connection that ended before its first message changes nothing.
        assert_eq!(resume.connect(), Start::Since(at("b:3")));
    }

    #[test]
    fn servers_that_break_the_protocol() {
        let long = format!("{}:1\n", "a".repeat(100));
        for (joined, message, error) in [
            (false, "hello", HeaderError::NoLine.into()),
            (false, "", HeaderError::NoLine.into()),
            (false, long.as_str(), HeaderError::NoLine.into()),
            (false, "a:1\nx", ResumeError::Order),
            (false, "a:1 gone\n", HeaderError::State.into()),
            (true, "a:2 live\n", ResumeError::Order),
            (true, "x\n", HeaderError::Position(PositionError::Shape).into()),
        ] {
            let mut resume = Resume::new(Start::Now);
            if joined {
                resume.hear(text("a:1 live\n")).unwrap();
            }
            assert_eq!(resume.hear(text(message)), Err(error), "{message:?}");
        }
    }
}

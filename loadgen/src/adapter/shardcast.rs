//! Adapter `shardcast`: rooms by URL with the subprotocol `shardcast.v1`, whose messages begin with a line that says
//! where they stand, so that who comes back gets what it missed.
//!
//! ```text
//! EPOCH:OFFSET live\n          first, alone: where the room stands (or `recovered`, or `lost`)
//! EPOCH:OFFSET\nPAYLOAD        a publication
//! ```

use super::{DialectError, Event, Position, excerpt};

pub(super) const SUBPROTOCOL: &str = "shardcast.v1";

/// What one connection keeps.
#[derive(Debug)]
pub(super) struct State {
    position: Option<(Box<str>, u64)>,
    /// The first line has come.
    is_joined: bool,
}

impl State {
    pub(super) fn new(position: Option<Position>) -> Self {
        let position = match position {
            Some(Position::Offset { epoch, offset }) => Some((epoch, offset)),
            _ => None,
        };
        Self { position, is_joined: false }
    }

    /// `url`, with the position to resume from.
    pub(super) fn url(&self, url: String) -> String {
        let Some((epoch, offset)) = &self.position else { return url };
        let separator = if url.contains('?') { '&' } else { '?' };
        format!("{url}{separator}since={epoch}:{offset}")
    }

    pub(super) const fn is_joined(&self) -> bool {
        self.is_joined
    }

    pub(super) fn position(&self) -> Option<Position> {
        self.position.as_ref().map(|(epoch, offset)| Position::Offset { epoch: epoch.clone(), offset: *offset })
    }

    pub(super) fn receive(&mut self, bytes: &[u8], events: &mut impl FnMut(Event<'_>)) -> Result<(), DialectError> {
        let unknown = || DialectError::Unknown { adapter: "shardcast", excerpt: excerpt(bytes) };
        let end = bytes.iter().position(|&byte| byte == b'\n').ok_or_else(unknown)?;
        let line = std::str::from_utf8(&bytes[..end]).map_err(|_| unknown())?;
        let (position, state) = line.split_once(' ').map_or((line, None), |(position, state)| (position, Some(state)));
        let (epoch, offset) = position.split_once(':').ok_or_else(unknown)?;
        let offset = offset.parse().map_err(|_| unknown())?;
        match (self.is_joined, state) {
            (false, Some("live")) => {}
            // The offset is what was asked for; what follows moves it on.
            (false, Some("recovered")) if self.position.is_some() => {}
            (false, Some("lost")) => events(Event::NotResumed),
            (true, None) => {
                self.stands_at(epoch, offset);
                events(Event::Publication(&bytes[end + 1..]));
                return Ok(());
            }
            _ => return Err(unknown()),
        }
        self.stands_at(epoch, offset);
        self.is_joined = true;
        events(Event::Joined);
        Ok(())
    }

    fn stands_at(&mut self, epoch: &str, offset: u64) {
        match &mut self.position {
            Some((known, at)) if **known == *epoch => *at = offset,
            position => *position = Some((epoch.into(), offset)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::testing::any_bytes;

    fn at(epoch: &str, offset: u64) -> Position {
        Position::Offset { epoch: epoch.into(), offset }
    }

    fn seen(state: &mut State, message: &str) -> Result<Vec<String>, DialectError> {
        let mut seen = Vec::new();
        state.receive(message.as_bytes(), &mut |event| {
            seen.push(match event {
                Event::Publication(payload) => format!("got {}", String::from_utf8_lossy(payload)),
                other => format!("{other:?}"),
            });
        })?;
        Ok(seen)
    }

    #[test]
    fn every_message_moves_the_position() {
        let mut state = State::new(None);
        assert_eq!(state.url("ws://h/ws/a".to_owned()), "ws://h/ws/a");
        assert!(!state.is_joined() && state.position().is_none());
        assert_eq!(seen(&mut state, "1f:41 live\n").unwrap(), ["Joined"]);
        assert!(state.is_joined());
        assert_eq!(state.position(), Some(at("1f", 41)));
        assert_eq!(seen(&mut state, "1f:42\nhello\nworld").unwrap(), ["got hello\nworld"]);
        assert_eq!(seen(&mut state, "1f:43\n").unwrap(), ["got "]);
        assert_eq!(state.position(), Some(at("1f", 43)));
        assert_eq!(seen(&mut state, "20:1\nx").unwrap(), ["got x"]);
        assert_eq!(state.position(), Some(at("20", 1)));
    }

    #[test]
    fn who_comes_back_says_where_it_was() {
        for (url, wanted) in [("ws://h/ws/a", "ws://h/ws/a?since=1f:7"), ("ws://h/a?k=v", "ws://h/a?k=v&since=1f:7")] {
            assert_eq!(State::new(Some(at("1f", 7))).url(url.to_owned()), wanted);
        }
        let mut state = State::new(Some(at("1f", 7)));
        assert_eq!(seen(&mut state, "1f:7 recovered\n").unwrap(), ["Joined"]);
        assert_eq!(seen(&mut state, "1f:8\nx").unwrap(), ["got x"]);
        let mut state = State::new(Some(at("1f", 7)));
        assert_eq!(seen(&mut state, "20:3 lost\n").unwrap(), ["NotResumed", "Joined"]);
        assert_eq!(state.position(), Some(at("20", 3)));
    }

    #[test]
    fn anything_else_is_an_error() {
        for first in ["", "x", "1f:1\nearly", "1f:1 recovered\n", "1f:1 begun\n", "1f:x live\n", "1f live\n"] {
            assert!(seen(&mut State::new(None), first).is_err(), "{first:?}");
        }
        let mut state = State::new(None);
        seen(&mut state, "1f:1 live\n").unwrap();
        for later in ["1f:2 live\n", "hello", ":\n", "1f:-1\nx"] {
            let said = seen(&mut state, later).unwrap_err().to_string();
            assert!(said.contains("shardcast"), "{said}");
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused() {
        any_bytes(b"0123456789af: \nliverecoveredlost", |pieces| {
            let mut state = State::new(Some(at("1f", 7)));
            for piece in pieces {
                drop(state.receive(piece, &mut |_| ()));
            }
        });
    }
}

//! Adapter `sse`: server-sent events, as the HTML standard defines `text/event-stream`. Any chunking of the body.
//!
//! An event that has data is a publication; lines of data are joined by LF. One that has a name and no loadgen's
//! payload is the server's own word: `lost` says that it cannot resume, others say nothing. Member is who got the
//! answer's head (status 200), which the caller checks.

use hyper::http::HeaderValue;

use super::{DialectError, Event, Position};
use crate::stamp::{self, Read};

/// The longest line, and the most data of one event, in bytes.
const EVENT_BYTES_MAX: usize = 16 << 20;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What one connection keeps.
#[derive(Debug, Default)]
pub(super) struct State {
    /// A line whose end has not arrived.
    line: Vec<u8>,
    /// The event's data so far, each line followed by LF.
    data: Vec<u8>,
    /// The event's type, if it has one.
    name: Vec<u8>,
    /// The id that the next dispatch makes the last one.
    id: Vec<u8>,
    last_id: Vec<u8>,
    /// The first line, which may begin with a byte order mark, is through.
    has_begun: bool,
    /// A line ended in CR: an LF that follows belongs to it.
    is_after_cr: bool,
}

impl State {
    pub(super) fn new(position: Option<Position>) -> Self {
        let last_id = match position {
            Some(Position::EventId(id)) => id.into_string().into_bytes(),
            _ => Vec::new(),
        };
        Self { id: last_id.clone(), last_id, ..Self::default() }
    }

    /// The last id, if a header can say it.
    pub(super) fn position(&self) -> Option<Position> {
        let id = std::str::from_utf8(&self.last_id).ok().filter(|id| !id.is_empty())?;
        HeaderValue::from_bytes(id.as_bytes()).is_ok().then(|| Position::EventId(id.into()))
    }

    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let mut headers = vec![("Accept".to_owned(), "text/event-stream".to_owned())];
        if let Some(Position::EventId(id)) = self.position() {
            headers.push(("Last-Event-ID".to_owned(), id.into_string()));
        }
        headers
    }

    pub(super) fn receive(&mut self, bytes: &[u8], events: &mut impl FnMut(Event<'_>)) -> Result<(), DialectError> {
        let mut rest = bytes;
        if self.is_after_cr && !rest.is_empty() {
            self.is_after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(at) = rest.iter().position(|&byte| byte == b'\n' || byte == b'\r') {
            if self.line.is_empty() {
                self.line_ended(&rest[..at], events)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&rest[..at]);
                self.line_ended(&line, events)?;
                line.clear();
                self.line = line;
            }
            let is_cr = rest[at] == b'\r';
            rest = &rest[at + 1..];
            if is_cr {
                self.is_after_cr = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
        bounded("a line", self.line.len() + rest.len())?;
        self.line.extend_from_slice(rest);
        Ok(())
    }

    fn line_ended(&mut self, line: &[u8], events: &mut impl FnMut(Event<'_>)) -> Result<(), DialectError> {
        let mut line = line;
        if !self.has_begun {
            self.has_begun = true;
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            self.event_ended(events);
            return Ok(());
        }
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                bounded("an event", self.data.len() + value.len())?;
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"id" if !value.contains(&0) => {
                self.id.clear();
                self.id.extend_from_slice(value);
            }
            b"event" => {
                bounded("a name", value.len())?;
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            // A comment (no name), the time to wait before reconnecting, which the schedule decides.
            _ => {}
        }
        Ok(())
    }

    fn event_ended(&mut self, events: &mut impl FnMut(Event<'_>)) {
        self.last_id.clone_from(&self.id);
        if let [data @ .., _] = self.data.as_slice() {
            if [&b""[..], b"message"].contains(&self.name.as_slice()) || stamp::read(data) != Read::Foreign {
                events(Event::Publication(data));
            } else if self.name == b"lost" {
                events(Event::NotResumed);
            }
            self.data.clear();
        }
        self.name.clear();
    }
}

fn bounded(what: &'static str, actual_bytes: usize) -> Result<(), DialectError> {
    if actual_bytes > EVENT_BYTES_MAX {
        return Err(DialectError::TooLong { adapter: "sse", what, actual_bytes, limit_bytes: EVENT_BYTES_MAX });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::testing::{any_bytes, in_any_pieces};

    fn publications(state: &mut State, pieces: &[&[u8]]) -> Vec<String> {
        let mut seen = Vec::new();
        for piece in pieces {
            state
                .receive(piece, &mut |event| match event {
                    Event::Publication(data) => seen.push(String::from_utf8_lossy(data).into_owned()),
                    other => seen.push(format!("{other:?}")),
                })
                .unwrap();
        }
        seen
    }

    #[test]
    fn the_standards_examples() {
        let cases: &[(&str, &[&str])] = &[
            ("data: YHOO\ndata: +2\ndata: 10\n\n", &["YHOO\n+2\n10"]),
            (
                ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
                &["first event", "second event", " third event"],
            ),
            ("data\n\ndata\ndata\n\ndata:", &["", "\n"]),
            ("data:test\n\ndata: test\n\n", &["test", "test"]),
            ("\u{feff}data: after a mark\n\n", &["after a mark"]),
            ("\u{feff}\u{feff}data: a second mark\n\n", &[]),
            ("data: a\r\rdata: b\r\n\r\ndata: c\n\n", &["a", "b", "c"]),
            ("event: add\ndata: 73857293\n\nretry: 10\nfoo: bar\n\ndata: x\n\n", &["x"]),
            ("event: add\nevent:message\ndata: a\n\nevent: add\n\ndata: b\n\n", &["a", "b"]),
            ("event: live\nid: 1f:7\ndata: {}\n\n", &[]),
            ("event: lost\nid: 1f:7\ndata: {}\n\ndata: x\n\n", &["NotResumed", "x"]),
            ("data: unfinished\n", &[]),
            ("\r\ndata: {\"push\":{}}\n\n", &["{\"push\":{}}"]),
            ("DATA: x\n data: y\n\n", &[]),
            ("data: a:b: c\n\n", &["a:b: c"]),
        ];
        for (body, expected) in cases {
            assert_eq!(publications(&mut State::default(), &[body.as_bytes()]), *expected, "{body:?}");
        }
    }

    #[test]
    fn a_name_does_not_hide_a_payload() {
        let mut payload = vec![b'.'; stamp::PAYLOAD_BYTES_MIN];
        let stamped =
            stamp::Stamp { run_id: 1, room: 0, publisher: 0, sequence: 0, due: crate::clock::Nanos::default() };
        stamp::write(&mut payload, stamp::Place::Front, &stamped);
        let payload = String::from_utf8(payload).unwrap();
        let body = format!("event: said\ndata: {payload}\n\n");
        assert_eq!(publications(&mut State::default(), &[body.as_bytes()]), [payload]);
    }

    #[test]
    fn the_last_id_is_where_to_resume() {
        let mut state = State::default();
        assert_eq!(state.position(), None);
        publications(&mut state, &[b"id: 7\ndata: x\n\nid: 8\ndata: not dispatched\n"]);
        assert_eq!(state.position(), Some(Position::EventId("7".into())));
        let mut resumed = State::new(state.position());
        assert!(resumed.headers().contains(&("Last-Event-ID".to_owned(), "7".to_owned())));
        publications(&mut resumed, &[b"data: without an id\n\n"]);
        assert_eq!(resumed.position(), Some(Position::EventId("7".into())));
        publications(&mut resumed, &[b"id: a\0b\n\n"]);
        assert_eq!(resumed.position(), Some(Position::EventId("7".into())), "an id with NUL is ignored");
        publications(&mut resumed, &[b"id: 9\n\n"]);
        assert_eq!(resumed.position(), Some(Position::EventId("9".into())), "an event without data has an id too");
        publications(&mut resumed, &[b"id: a\x01b\n\n"]);
        assert_eq!(resumed.position(), None, "no header can say it");
        publications(&mut resumed, &[b"id: 10\n\nid\n\n"]);
        assert_eq!(resumed.position(), None, "an empty id takes it back");
    }

    #[test]
    fn pieces_do_not_matter() {
        let body = "\u{feff}: hi\r\nid: 1\r\ndata: a\r\n\r\ndata: b\rdata: c\r\rid: 2\n\
            data\n\ndata: 😀\r\ndata: e\r\n\r\r\ndata:d\n\n";
        let mut whole = State::default();
        let expected = publications(&mut whole, &[body.as_bytes()]);
        assert_eq!(expected, ["a", "b\nc", "", "😀\ne", "d"]);
        in_any_pieces(body.as_bytes(), |pieces| {
            let mut state = State::default();
            assert_eq!(publications(&mut state, pieces), expected, "{pieces:?}");
            assert_eq!(state.position(), whole.position(), "{pieces:?}");
        });
    }

    #[test]
    fn any_bytes_are_taken() {
        any_bytes(b"data: id:\r\n\n\0\xef\xbb\xbf", |pieces| drop(publications(&mut State::default(), pieces)));
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut state = State::default();
        let piece = vec![b'x'; EVENT_BYTES_MAX / 2 + 1];
        state.receive(&piece, &mut |_| ()).unwrap();
        let error = state.receive(&piece, &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("a line of 16777218 bytes, 16777216 is the limit"), "{error}");
    }
}

//! Adapter `nats`: the NATS client protocol over WebSocket. The room is a subject.
//!
//! The protocol is a stream of bytes: a frame may hold many operations, or a piece of one. Member is who got the `PONG`
//! to the `PING` that follows the `SUB`.

use std::io::Write as _;

use super::{DialectError, Event, Kind, Outgoing, Role, excerpt};

/// The longest line; `INFO` lists the cluster's servers.
const LINE_BYTES_MAX: usize = 256 << 10;
/// The server's own bound of `max_payload`.
const PAYLOAD_BYTES_MAX: usize = 64 << 20;
const CRLF: &[u8] = b"\r\n";

/// What one connection keeps.
#[derive(Debug, Default)]
pub(super) struct State {
    /// An operation whose end has not arrived.
    unfinished: Vec<u8>,
    is_joined: bool,
}

/// What stands at the beginning of the stream.
enum Operation<'a> {
    Message(&'a [u8]),
    Ping,
    Pong,
    Error(String),
    /// `INFO` and `+OK`, of which nothing is needed.
    Other,
}

/// Why a room's name is no subject to publish to.
pub(super) fn subject_problem(room: &str) -> Option<&'static str> {
    if room.split('.').any(str::is_empty) {
        return Some("a NATS subject has no empty part: a.b, not .a, a..b or a.");
    }
    let is_wrong = |c: char| c.is_whitespace() || c.is_control() || c == '*' || c == '>';
    room.contains(is_wrong).then_some("a NATS subject has no spaces and no wildcards (* or >)")
}

pub(super) fn publication(room: &str, payload: &[u8], out: &mut Vec<u8>) -> Kind {
    write!(out, "PUB {room} {}\r\n", payload.len()).expect("a Vec takes everything");
    out.extend_from_slice(payload);
    out.extend_from_slice(CRLF);
    Kind::Binary
}

impl State {
    pub(super) fn opening(room: &str, role: Role) -> Vec<Outgoing> {
        let connect = serde_json::json!({
            "verbose": false,
            "pedantic": false,
            "lang": "rust",
            "name": "loadgen",
            "version": env!("CARGO_PKG_VERSION"),
            "protocol": 1,
            "echo": true,
            "headers": true,
            "no_responders": false,
        });
        let subscribe = match role {
            Role::Subscriber | Role::Returning => format!("SUB {room} 1\r\n"),
            Role::Publisher => String::new(),
        };
        let bytes = format!("CONNECT {connect}\r\n{subscribe}PING\r\n").into_bytes();
        vec![Outgoing { kind: Kind::Binary, bytes }]
    }

    pub(super) const fn is_joined(&self) -> bool {
        self.is_joined
    }

    pub(super) fn receive(&mut self, bytes: &[u8], events: &mut impl FnMut(Event<'_>)) -> Result<(), DialectError> {
        if self.unfinished.is_empty() {
            let taken = self.take_all(bytes, events)?;
            self.unfinished.extend_from_slice(&bytes[taken..]);
            return Ok(());
        }
        let mut stream = std::mem::take(&mut self.unfinished);
        stream.extend_from_slice(bytes);
        let taken = self.take_all(&stream, events)?;
        stream.drain(..taken);
        self.unfinished = stream;
        Ok(())
    }

    /// Takes all whole operations; returns their bytes.
    fn take_all(&mut self, stream: &[u8], events: &mut impl FnMut(Event<'_>)) -> Result<usize, DialectError> {
        let mut taken = 0;
        while let Some((operation, length)) = first_operation(&stream[taken..])? {
            taken += length;
            match operation {
                Operation::Message(payload) => {
                    // A message proves the subscription, and may be sent before the PONG.
                    self.join(events);
                    events(Event::Publication(payload));
                }
                Operation::Ping => {
                    events(Event::Answer(Outgoing { kind: Kind::Binary, bytes: b"PONG\r\n".to_vec() }));
                }
                Operation::Pong => self.join(events),
                Operation::Error(words) => events(if is_of_a_publication(&words) {
                    Event::PublicationRefused { number: None, words }
                } else {
                    Event::Refused(words)
                }),
                Operation::Other => {}
            }
        }
        Ok(taken)
    }

    fn join(&mut self, events: &mut impl FnMut(Event<'_>)) {
        if !std::mem::replace(&mut self.is_joined, true) {
            events(Event::Joined);
        }
    }
}

/// Of which one, the protocol does not say.
fn is_of_a_publication(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    words.starts_with("permissions violation for publish") || words == "maximum payload violation"
}

/// The operation at the beginning and how many bytes it has; nothing if it is not whole.
fn first_operation(stream: &[u8]) -> Result<Option<(Operation<'_>, usize)>, DialectError> {
    let Some(line_end) = stream.iter().position(|&byte| byte == b'\n') else {
        bounded("a line", stream.len(), LINE_BYTES_MAX)?;
        return Ok(None);
    };
    let line = stream[..line_end].trim_ascii();
    let (name, arguments) = line.split_at(line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len()));
    let line_bytes = line_end + 1;
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    if is(b"MSG") || is(b"HMSG") {
        return message(name, arguments, stream, line_bytes);
    }
    let operation = if is(b"PING") {
        Operation::Ping
    } else if is(b"PONG") {
        Operation::Pong
    } else if is(b"-ERR") {
        let words = String::from_utf8_lossy(arguments);
        Operation::Error(words.trim().trim_matches('\'').to_owned())
    } else if is(b"INFO") || is(b"+OK") {
        Operation::Other
    } else {
        return Err(DialectError::Unknown { adapter: "nats", excerpt: excerpt(line) });
    };
    Ok(Some((operation, line_bytes)))
}

/// `MSG subject sid [reply-to] #bytes` or `HMSG subject sid [reply-to] #header-bytes #all-bytes`, then the payload.
fn message<'a>(
    name: &[u8],
    arguments: &[u8],
    stream: &'a [u8],
    line_bytes: usize,
) -> Result<Option<(Operation<'a>, usize)>, DialectError> {
    let unknown = || DialectError::Unknown { adapter: "nats", excerpt: excerpt(stream) };
    let has_headers = name.len() == b"HMSG".len();
    let mut sizes = arguments.rsplit(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(number);
    let all_bytes = sizes.next().flatten().ok_or_else(unknown)?;
    let header_bytes = if has_headers { sizes.next().flatten().ok_or_else(unknown)? } else { 0 };
    if sizes.count() < 2 || header_bytes > all_bytes {
        return Err(unknown());
    }
    bounded("a payload", all_bytes, PAYLOAD_BYTES_MAX)?;
    let payload_end = line_bytes + all_bytes;
    let whole_bytes = payload_end + CRLF.len();
    if stream.len() < whole_bytes {
        return Ok(None);
    }
    if &stream[payload_end..whole_bytes] != CRLF {
        return Err(unknown());
    }
    Ok(Some((Operation::Message(&stream[line_bytes + header_bytes..payload_end]), whole_bytes)))
}

fn number(word: &[u8]) -> Option<usize> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn bounded(what: &'static str, actual_bytes: usize, limit_bytes: usize) -> Result<(), DialectError> {
    if actual_bytes > limit_bytes {
        return Err(DialectError::TooLong { adapter: "nats", what, actual_bytes, limit_bytes });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::testing::{any_bytes, in_any_pieces};

    fn seen(state: &mut State, pieces: &[&[u8]]) -> Result<Vec<String>, DialectError> {
        let mut seen = Vec::new();
        for piece in pieces {
            state.receive(piece, &mut |event| {
                seen.push(match event {
                    Event::Publication(payload) => format!("got {}", String::from_utf8_lossy(payload)),
                    Event::Answer(answer) => format!("answer {}", String::from_utf8_lossy(&answer.bytes)),
                    other => format!("{other:?}"),
                });
            })?;
        }
        Ok(seen)
    }

    const STREAM: &[u8] = b"INFO {\"server_id\":\"x\",\"max_payload\":1048576}\r\n+OK\r\nPONG\r\n\
        MSG lobby 1 5\r\nhello\r\nMSG lobby 1 _INBOX.1 2\r\n\r\n\r\nPING\r\n\
        HMSG lobby 1 12 16\r\nNATS/1.0\r\n\r\nbody\r\nmsg\tlobby  1  0\r\n\r\n\
        -ERR 'Permissions Violation for Publish to \"x\"'\r\n";

    #[test]
    fn a_stream_is_understood_in_any_pieces() {
        let expected = [
            "Joined",
            "got hello",
            "got \r\n",
            "answer PONG\r\n",
            "got body",
            "got ",
            "PublicationRefused { number: None, words: \"Permissions Violation for Publish to \\\"x\\\"\" }",
        ];
        assert_eq!(seen(&mut State::default(), &[STREAM]).unwrap(), expected);
        in_any_pieces(STREAM, |pieces| {
            let mut state = State::default();
            assert_eq!(seen(&mut state, pieces).unwrap(), expected, "{pieces:?}");
            assert!(state.is_joined() && state.unfinished.is_empty());
        });
    }

    #[test]
    fn a_message_before_the_pong_joins() {
        let events = seen(&mut State::default(), &[b"MSG a 1 1\r\nx\r\nPONG\r\n"]).unwrap();
        assert_eq!(events, ["Joined", "got x"]);
    }

    #[test]
    fn what_is_not_nats_is_refused() {
        for stream in [
            "{\"event\":\"hi\"}\r\n",
            "\r\n",
            "MSG\r\n",
            "MSG a 1 x\r\n",
            "MSG 5\r\nhello\r\n",
            "MSG a 1 -1\r\n",
            "MSG a 1 2\r\nabc\r\n",
            "HMSG a 1 9 8\r\n12345678\r\n",
            "HMSG a 1 8\r\n12345678\r\n",
            "MSG a 1 99999999999\r\n",
            "MSG a 1 99999999999999999999999\r\n",
        ] {
            assert!(seen(&mut State::default(), &[stream.as_bytes()]).is_err(), "{stream:?}");
        }
        assert!(seen(&mut State::default(), &[&vec![b'x'; LINE_BYTES_MAX + 1]]).is_err());
    }

    #[test]
    fn any_bytes_are_taken_or_refused() {
        any_bytes(b"MSG HPING O+K-ERR 019\r\n", |pieces| drop(seen(&mut State::default(), pieces)));
    }

    #[test]
    fn what_is_sent() {
        let opening = State::opening("lobby", Role::Subscriber);
        let said = String::from_utf8(opening[0].bytes.clone()).unwrap();
        assert!(said.starts_with("CONNECT {") && said.ends_with("}\r\nSUB lobby 1\r\nPING\r\n"), "{said}");
        assert!(!String::from_utf8(State::opening("a", Role::Publisher)[0].bytes.clone()).unwrap().contains("SUB"));
        let mut out = Vec::new();
        assert_eq!(publication("lobby", b"hello", &mut out), Kind::Binary);
        assert_eq!(out, b"PUB lobby 5\r\nhello\r\n");
    }

    #[test]
    fn subjects() {
        for (room, is_subject) in [
            ("lobby", true),
            ("a.b.c", true),
            ("load-0", true),
            ("", false),
            ("a..b", false),
            (".a", false),
            ("a.", false),
            ("a b", false),
            ("a.*", false),
            (">", false),
            ("a\r\nb", false),
        ] {
            assert_eq!(subject_problem(room).is_none(), is_subject, "{room:?}");
        }
    }
}

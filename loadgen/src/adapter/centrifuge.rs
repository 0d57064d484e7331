//! Adapter `centrifuge`: the centrifuge protocol in JSON, as centrifugo and centrifuge speak it. The room is a channel.
//!
//! A frame holds one or more JSON objects, one per line. Without a token: the server must take anonymous connections.
//! Payloads that are JSON objects travel as such, text as a JSON string. Publishers subscribe as well: many servers let
//! only subscribers publish.

use std::borrow::Cow;
use std::io::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{DialectError, Event, Kind, Outgoing, Position, Role, excerpt, json};
use crate::scenario::Format;

const CONNECT_ID: u32 = 1;
const SUBSCRIBE_ID: u32 = 2;

/// What one connection keeps.
#[derive(Debug)]
pub(super) struct State {
    role: Role,
    last_id: u32,
    /// Publications so far.
    publications: u64,
    is_joined: bool,
    /// The server wants its pings answered.
    answers_pings: bool,
    /// Of a recoverable subscription.
    position: Option<(Box<str>, u64)>,
    /// The subscription asked for what was missed.
    asks_to_resume: bool,
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(default)]
    id: u32,
    #[serde(borrow)]
    error: Option<Refusal<'a>>,
    connect: Option<Connected>,
    #[serde(borrow)]
    subscribe: Option<Subscribed<'a>>,
    #[serde(borrow)]
    push: Option<Push<'a>>,
}

#[derive(Deserialize)]
struct Refusal<'a> {
    #[serde(default)]
    code: u32,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Connected {
    #[serde(default)]
    pong: bool,
}

#[derive(Deserialize)]
struct Subscribed<'a> {
    #[serde(default)]
    recoverable: bool,
    #[serde(borrow, default)]
    epoch: Cow<'a, str>,
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    recovered: bool,
    #[serde(borrow, default)]
    publications: Vec<Publication<'a>>,
}

#[derive(Deserialize)]
struct Push<'a> {
    #[serde(borrow, rename = "pub")]
    publication: Option<Publication<'a>>,
    #[serde(borrow)]
    unsubscribe: Option<Ended<'a>>,
    #[serde(borrow)]
    disconnect: Option<Ended<'a>>,
}

#[derive(Deserialize)]
struct Publication<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    offset: u64,
}

#[derive(Deserialize)]
struct Ended<'a> {
    #[serde(default)]
    code: u32,
    #[serde(borrow, default)]
    reason: Cow<'a, str>,
}

impl State {
    pub(super) fn new(role: Role, position: Option<Position>) -> Self {
        let position = match position {
            Some(Position::Offset { epoch, offset }) => Some((epoch, offset)),
            _ => None,
        };
        let asks_to_resume = position.is_some();
        Self {
            role,
            last_id: SUBSCRIBE_ID,
            publications: 0,
            is_joined: false,
            answers_pings: false,
            position,
            asks_to_resume,
        }
    }

    pub(super) fn opening(&self, room: &str) -> Vec<Outgoing> {
        let mut bytes = br#"{"id":1,"connect":{"name":"loadgen"}}"#.to_vec();
        bytes.extend_from_slice(b"\n{\"id\":2,\"subscribe\":{\"channel\":");
        json::push_string(&mut bytes, room.as_bytes());
        if self.role == Role::Returning {
            bytes.extend_from_slice(br#","positioned":true,"recoverable":true"#);
        }
        if let Some((epoch, offset)) = &self.position {
            bytes.extend_from_slice(br#","recover":true,"epoch":"#);
            json::push_string(&mut bytes, epoch.as_bytes());
            write!(bytes, ",\"offset\":{offset}").expect("a Vec takes everything");
        }
        bytes.extend_from_slice(b"}}");
        vec![Outgoing::text(bytes)]
    }

    pub(super) const fn is_joined(&self) -> bool {
        self.is_joined
    }

    pub(super) fn position(&self) -> Option<Position> {
        self.position.as_ref().map(|(epoch, offset)| Position::Offset { epoch: epoch.clone(), offset: *offset })
    }

    pub(super) fn publication(&mut self, room: &str, format: Format, payload: &[u8], out: &mut Vec<u8>) -> Kind {
        self.last_id = self.last_id.wrapping_add(1).max(SUBSCRIBE_ID + 1);
        self.publications += 1;
        write!(out, "{{\"id\":{},\"publish\":{{\"channel\":", self.last_id).expect("a Vec takes everything");
        json::push_string(out, room.as_bytes());
        out.extend_from_slice(b",\"data\":");
        json::push_payload(out, format, payload);
        out.extend_from_slice(b"}}");
        Kind::Text
    }

    pub(super) fn receive(&mut self, bytes: &[u8], events: &mut impl FnMut(Event<'_>)) -> Result<(), DialectError> {
        for line in bytes.split(|&byte| byte == b'\n') {
            let line = line.trim_ascii();
            if !line.is_empty() {
                let reply = serde_json::from_slice::<Reply<'_>>(line).map_err(|source| DialectError::Json {
                    adapter: "centrifuge",
                    excerpt: excerpt(line),
                    source,
                })?;
                self.replied(reply, events);
            }
        }
        Ok(())
    }

    fn replied(&mut self, reply: Reply<'_>, events: &mut impl FnMut(Event<'_>)) {
        if let Some(push) = reply.push {
            self.pushed(push, events);
        } else if let Some(Refusal { code, message }) = reply.error {
            let what = match reply.id {
                // It may be allowed to publish all the same; if not, that is refused with words of its own.
                SUBSCRIBE_ID if self.role == Role::Publisher => return self.join(events),
                CONNECT_ID => "connect",
                SUBSCRIBE_ID => "subscribe",
                id => {
                    let number = self.publications.checked_sub(1 + u64::from(self.last_id.wrapping_sub(id)));
                    return events(Event::PublicationRefused { number, words: format!("publish: {code} {message}") });
                }
            };
            events(Event::Refused(format!("{what}: {code} {message}")));
        } else if let Some(connected) = reply.connect {
            self.answers_pings = connected.pong;
        } else if let Some(subscribed) = reply.subscribe {
            self.subscribed(subscribed, events);
        } else if reply.id == 0 && self.answers_pings {
            events(Event::Answer(Outgoing::text(b"{}")));
        }
    }

    fn subscribed(&mut self, subscribed: Subscribed<'_>, events: &mut impl FnMut(Event<'_>)) {
        if self.asks_to_resume && !subscribed.recovered {
            events(Event::NotResumed);
        }
        self.position = subscribed.recoverable.then(|| (subscribed.epoch.into(), subscribed.offset));
        self.join(events);
        for publication in subscribed.publications {
            self.published(&publication, events);
        }
    }

    fn pushed(&mut self, push: Push<'_>, events: &mut impl FnMut(Event<'_>)) {
        if let Some(publication) = push.publication {
            self.published(&publication, events);
        } else if let Some(Ended { code, reason }) = push.unsubscribe {
            events(Event::Refused(format!("unsubscribed by the server: {code} {reason}")));
        } else if let Some(Ended { code, reason }) = push.disconnect {
            events(Event::Refused(format!("disconnected by the server: {code} {reason}")));
        }
    }

    /// Another channel's publication counts as well: the audit tells which room it was for.
    fn published(&mut self, publication: &Publication<'_>, events: &mut impl FnMut(Event<'_>)) {
        if let (Some((_, offset)), 1..) = (&mut self.position, publication.offset) {
            *offset = publication.offset;
        }
        if let Some(data) = publication.data {
            events(Event::Publication(&json::payload(data.get().as_bytes())));
        }
    }

    fn join(&mut self, events: &mut impl FnMut(Event<'_>)) {
        if !std::mem::replace(&mut self.is_joined, true) {
            events(Event::Joined);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::testing::any_bytes;

    fn seen(state: &mut State, frame: &str) -> Vec<String> {
        let mut seen = Vec::new();
        state
            .receive(frame.as_bytes(), &mut |event| {
                seen.push(match event {
                    Event::Publication(payload) => format!("got {}", String::from_utf8_lossy(payload)),
                    Event::Answer(answer) => format!("answer {}", String::from_utf8_lossy(&answer.bytes)),
                    other => format!("{other:?}"),
                });
            })
            .unwrap();
        seen
    }

    fn opening(state: &State) -> String {
        String::from_utf8(state.opening("lobby").remove(0).bytes).unwrap()
    }

    fn at(epoch: &str, offset: u64) -> Position {
        Position::Offset { epoch: epoch.into(), offset }
    }

    #[test]
    fn connect_subscribe_and_publications_in_one_frame() {
        let mut state = State::new(Role::Subscriber, None);
        let said = opening(&state);
        assert_eq!(
            said,
            "{\"id\":1,\"connect\":{\"name\":\"loadgen\"}}\n{\"id\":2,\"subscribe\":{\"channel\":\"lobby\"}}"
        );
        let connected = r#"{"id":1,"connect":{"client":"c1","version":"x","ping":25,"pong":true}}"#;
        assert_eq!(seen(&mut state, connected), [""; 0]);
        assert!(!state.is_joined());
        let frame = "{\"id\":2,\"subscribe\":{}}\n\
            {\"push\":{\"channel\":\"lobby\",\"pub\":{\"data\":{\"lg\":\"x\"} }}}\n\
            {\"push\":{\"channel\":\"lobby\",\"pub\":{\"data\":\"a \\\"b\\\" \\u0063\"}}}\n{}\n";
        assert_eq!(seen(&mut state, frame), ["Joined", r#"got {"lg":"x"}"#, r#"got a "b" c"#, "answer {}"]);
        assert!(state.is_joined());
        assert_eq!(state.position(), None);
        for ignored in [
            r#"{"push":{"channel":"lobby","join":{"info":{"user":"u"}}}}"#,
            r#"{"id":7,"publish":{}}"#,
            r#"{"push":{"channel":"lobby","message":{"data":1},"new":[1]}}"#,
            "\n",
        ] {
            assert_eq!(seen(&mut state, ignored), [""; 0], "{ignored}");
        }
    }

    #[test]
    fn a_ping_is_answered_only_where_the_server_asked_for_it() {
        let mut state = State::new(Role::Subscriber, None);
        seen(&mut state, r#"{"id":1,"connect":{"client":"c1","ping":25}}"#);
        assert_eq!(seen(&mut state, "{}"), [""; 0]);
    }

    #[test]
    fn a_publisher_subscribes_first_if_it_may() {
        for answer in [r#"{"id":2,"subscribe":{}}"#, r#"{"id":2,"error":{"code":103,"message":"permission denied"}}"#] {
            let mut state = State::new(Role::Publisher, None);
            assert_eq!(opening(&state), opening(&State::new(Role::Subscriber, None)));
            assert_eq!(seen(&mut state, r#"{"id":1,"connect":{"client":"c"}}"#), [""; 0]);
            assert!(!state.is_joined());
            assert_eq!(seen(&mut state, answer), ["Joined"], "{answer}");
            assert!(state.is_joined());
        }
    }

    #[test]
    fn a_publication_and_its_refusal() {
        let mut state = State::new(Role::Publisher, None);
        let mut out = Vec::new();
        assert_eq!(state.publication("a\"b", Format::Json, br#"{"x":1}"#, &mut out), Kind::Text);
        assert_eq!(out, br#"{"id":3,"publish":{"channel":"a\"b","data":{"x":1}}}"#);
        out.clear();
        state.publication("a", Format::Text, b"say \"x\"", &mut out);
        assert_eq!(out, br#"{"id":4,"publish":{"channel":"a","data":"say \"x\""}}"#);
        assert_eq!(
            seen(&mut state, r#"{"id":4,"error":{"code":103,"message":"permission denied"}}"#),
            ["PublicationRefused { number: Some(1), words: \"publish: 103 permission denied\" }"]
        );
        assert_eq!(
            seen(&mut state, r#"{"id":9,"error":{"code":1}}"#),
            ["PublicationRefused { number: None, words: \"publish: 1 \" }"],
            "there was no such publication"
        );
    }

    #[test]
    fn refusals_have_their_code_and_words() {
        let cases = [
            (r#"{"id":1,"error":{"code":109,"message":"token expired"}}"#, "connect: 109 token expired"),
            (r#"{"id":2,"error":{"code":102,"message":"unknown channel"}}"#, "subscribe: 102 unknown channel"),
            (
                r#"{"push":{"channel":"a","unsubscribe":{"code":2500,"reason":"insufficient state"}}}"#,
                "unsubscribed by the server: 2500 insufficient state",
            ),
            (
                r#"{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}"#,
                "disconnected by the server: 3001 shutdown",
            ),
        ];
        for (frame, words) in cases {
            let mut state = State::new(Role::Subscriber, None);
            assert_eq!(seen(&mut state, frame), [format!("Refused({words:?})")]);
            assert!(!state.is_joined());
        }
    }

    #[test]
    fn who_comes_back_goes_on_where_it_was() {
        let mut state = State::new(Role::Returning, None);
        assert!(opening(&state).ends_with(r#"{"channel":"lobby","positioned":true,"recoverable":true}}"#));
        seen(&mut state, r#"{"id":2,"subscribe":{"recoverable":true,"positioned":true,"epoch":"e1","offset":7}}"#);
        assert_eq!(state.position(), Some(at("e1", 7)));
        seen(&mut state, r#"{"push":{"channel":"lobby","pub":{"data":1,"offset":8}}}"#);
        assert_eq!(state.position(), Some(at("e1", 8)));

        let mut back = State::new(Role::Returning, state.position());
        let asked = r#""recoverable":true,"recover":true,"epoch":"e1","offset":8}}"#;
        assert!(opening(&back).ends_with(asked), "{}", opening(&back));
        assert_eq!(back.position(), Some(at("e1", 8)), "a second fall before the answer loses nothing");
        let frame = r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e1","offset":8,"was_recovering":true,
            "recovered":true,"publications":[{"data":"i","offset":9},{"data":"j","offset":10}]}}"#;
        assert_eq!(seen(&mut back, &frame.replace('\n', " ")), ["Joined", "got i", "got j"]);
        assert_eq!(back.position(), Some(at("e1", 10)));

        let mut late = State::new(Role::Returning, back.position());
        let frame = r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e2","offset":3,"was_recovering":true}}"#;
        assert_eq!(seen(&mut late, frame), ["NotResumed", "Joined"]);
        assert_eq!(late.position(), Some(at("e2", 3)));
    }

    #[test]
    fn what_is_not_centrifuge_is_refused() {
        for frame in ["hello", "[1]", "{\"id\":\"x\"}", "{\"push\":", "7", "\u{feff}{}"] {
            let error = State::new(Role::Subscriber, None).receive(frame.as_bytes(), &mut |_| ()).unwrap_err();
            assert!(error.to_string().contains("target.adapter = \"centrifuge\""), "{error}");
        }
        any_bytes(b"{}[]\":,\\\nidpushconnectsubscribe01", |pieces| {
            let mut state = State::new(Role::Returning, None);
            for piece in pieces {
                drop(state.receive(piece, &mut |_| ()));
            }
        });
    }
}

//! Adapter `template`: a hello, then frames made by a template. For servers that wrap messages in JSON of their own.
//!
//! Within a JSON string of the template (an odd number of quotes before it) `{room}` and `{payload}` are JSON-escaped,
//! elsewhere they stand as they are. A delivery that looks like what `publish_template` makes is unwrapped; any other
//! frame is taken whole.

use super::json;
use super::url::ROOM;
use super::{Event, Kind, Outgoing};
use crate::scenario::Target;

const PAYLOAD: &str = "{payload}";

/// The templates of a target.
#[derive(Clone, Debug)]
pub(super) struct Templates {
    hello: Option<String>,
    hello_answers: u32,
    publish: Option<String>,
}

/// Whether what is put in stands within a JSON string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    String,
    Plain,
}

/// A template around a payload, with the room's name put in.
#[derive(Debug)]
struct Envelope {
    before: Vec<u8>,
    after: Vec<u8>,
    quoting: Quoting,
}

/// What one connection keeps.
#[derive(Debug)]
pub(super) struct State {
    hello: Option<Vec<u8>>,
    answers_due: u32,
    envelope: Option<Envelope>,
}

impl Templates {
    pub(super) fn new(target: &Target) -> Self {
        Self {
            hello: target.hello.clone(),
            hello_answers: target.hello_answers,
            publish: target.publish_template.clone(),
        }
    }

    pub(super) fn names_rooms(&self) -> bool {
        self.hello.iter().chain(&self.publish).any(|template| template.contains(ROOM))
    }

    pub(super) fn state(&self, room: &str) -> State {
        State {
            hello: self.hello.as_ref().map(|hello| with_room(hello, room, 0)),
            answers_due: self.hello_answers,
            envelope: self.publish.as_ref().map(|publish| Envelope::new(publish, room)),
        }
    }
}

impl State {
    pub(super) fn opening(&mut self) -> Vec<Outgoing> {
        self.hello.take().map(Outgoing::text).into_iter().collect()
    }

    pub(super) const fn is_joined(&self) -> bool {
        self.answers_due == 0
    }

    pub(super) fn receive(&mut self, kind: Kind, bytes: &[u8], events: &mut impl FnMut(Event<'_>)) {
        if self.answers_due > 0 {
            if kind == Kind::Text {
                self.answers_due -= 1;
                if self.answers_due == 0 {
                    events(Event::Joined);
                }
            }
            return;
        }
        let inside = self.envelope.as_ref().and_then(|envelope| envelope.inside(bytes));
        match inside {
            Some((payload, Quoting::Plain)) => events(Event::Publication(payload)),
            Some((payload, Quoting::String)) => match json::unescape(payload) {
                Some(payload) => events(Event::Publication(&payload)),
                None => events(Event::Publication(bytes)),
            },
            None => events(Event::Publication(bytes)),
        }
    }

    pub(super) fn publication(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Kind {
        match &self.envelope {
            Some(envelope) => envelope.wrap(payload, out),
            None => out.extend_from_slice(payload),
        }
        Kind::Text
    }
}

impl Envelope {
    fn new(template: &str, room: &str) -> Self {
        let (before, after) = template.split_once(PAYLOAD).unwrap_or((template, ""));
        let quotes_before = quotes(before.as_bytes());
        let quoting = quoting(quotes_before);
        Self { before: with_room(before, room, 0), after: with_room(after, room, quotes_before), quoting }
    }

    fn wrap(&self, payload: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        match self.quoting {
            Quoting::String => json::push_escaped(out, payload),
            Quoting::Plain => out.extend_from_slice(payload),
        }
        out.extend_from_slice(&self.after);
    }

    /// The payload as it stands in `frame`, if the frame is this envelope.
    fn inside<'a>(&self, frame: &'a [u8]) -> Option<(&'a [u8], Quoting)> {
        let inside = frame.strip_prefix(self.before.as_slice())?.strip_suffix(self.after.as_slice())?;
        Some((inside, self.quoting))
    }
}

/// Quotes that begin or end a JSON string.
fn quotes(text: &[u8]) -> usize {
    let mut escaped = false;
    let mut count = 0;
    for &byte in text {
        count += usize::from(byte == b'"' && !escaped);
        escaped = byte == b'\\' && !escaped;
    }
    count
}

const fn quoting(quotes_before: usize) -> Quoting {
    if quotes_before.is_multiple_of(2) { Quoting::Plain } else { Quoting::String }
}

/// `template`, before which stand `quotes_before` quotes, with the room's name for `{room}`.
fn with_room(template: &str, room: &str, mut quotes_before: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(template.len() + room.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once(ROOM) {
        out.extend_from_slice(before.as_bytes());
        quotes_before += quotes(before.as_bytes());
        match quoting(quotes_before) {
            Quoting::String => json::push_escaped(&mut out, room.as_bytes()),
            Quoting::Plain => out.extend_from_slice(room.as_bytes()),
        }
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates(hello: &str, answers: u32, publish: &str) -> Templates {
        Templates { hello: Some(hello.to_owned()), hello_answers: answers, publish: Some(publish.to_owned()) }
    }

    fn received(state: &mut State, kind: Kind, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        state.receive(kind, bytes, &mut |event| {
            events.push(match event {
                Event::Publication(payload) => String::from_utf8_lossy(payload).into_owned(),
                other => format!("{other:?}"),
            });
        });
        events
    }

    #[test]
    fn the_hello_and_its_answers_come_first() {
        let mut state = templates(r#"{"join":"{room}"}"#, 2, "{payload}").state("a\"b");
        assert_eq!(state.opening(), [Outgoing::text(r#"{"join":"a\"b"}"#)]);
        assert!(!state.is_joined());
        assert_eq!(received(&mut state, Kind::Text, b"welcome"), [""; 0]);
        assert_eq!(received(&mut state, Kind::Binary, b"not an answer"), [""; 0]);
        assert_eq!(received(&mut state, Kind::Text, b"joined"), ["Joined"]);
        assert!(state.is_joined());
        assert_eq!(received(&mut state, Kind::Text, b"hi"), ["hi"]);
    }

    #[test]
    fn payloads_are_escaped_within_strings_only() {
        for (template, payload, frame) in [
            (r#"{"to":"{room}","say":"{payload}"}"#, r#"a"b\c"#, r#"{"to":"lobby","say":"a\"b\\c"}"#),
            (r#"{"say":{payload},"to":"{room}"}"#, r#"{"a":1}"#, r#"{"say":{"a":1},"to":"lobby"}"#),
            (r#"{"a\"":"> {payload}"}"#, "\n", r#"{"a\"":"> \n"}"#),
            ("PUB {room} {payload}", "a\"b", "PUB lobby a\"b"),
        ] {
            let mut state = templates("", 0, template).state("lobby");
            let mut out = Vec::new();
            assert_eq!(state.publication(payload.as_bytes(), &mut out), Kind::Text);
            assert_eq!(String::from_utf8(out.clone()).unwrap(), frame);
            assert_eq!(received(&mut state, Kind::Text, &out), [payload], "{template}");
        }
    }

    #[test]
    fn a_frame_of_another_shape_is_taken_whole() {
        let mut state = templates("", 0, r#"{"say":"{payload}"}"#).state("lobby");
        for frame in ["hello", r#"{"say":""#, r#"{"said":"x"}"#, r#"{"say":"\x"}"#, ""] {
            assert_eq!(received(&mut state, Kind::Text, frame.as_bytes()), [frame]);
        }
    }
}

//! Adapter `template`: a hello, then frames made by a template. For servers that wrap messages in envelopes of their
//! own.
//!
//! A delivery is unwrapped by `delivery_template`, and a frame of another shape is no delivery. Without that template a
//! frame that looks like what `publish_template` makes is unwrapped, and any other is taken whole.

use super::envelope::{Envelope, with_room};
use super::url::ROOM;
use super::{Event, Kind, Outgoing};
use crate::scenario::Target;

/// The templates of a target.
#[derive(Clone, Debug)]
pub(super) struct Templates {
    hello: Option<String>,
    hello_answers: u32,
    publish: Option<String>,
    delivery: Option<String>,
}

/// What one connection keeps.
#[derive(Debug)]
pub(super) struct State {
    hello: Option<Vec<u8>>,
    answers_due: u32,
    publish: Option<Envelope>,
    delivery: Option<Envelope>,
}

impl Templates {
    pub(super) fn new(target: &Target) -> Self {
        Self {
            hello: target.hello.clone(),
            hello_answers: target.hello_answers,
            publish: target.publish_template.clone(),
            delivery: target.delivery_template.clone(),
        }
    }

    pub(super) fn names_rooms(&self) -> bool {
        self.hello.iter().chain(&self.publish).any(|template| template.contains(ROOM))
    }

    /// Around a publication to `room`.
    pub(super) fn envelope(&self, room: &str) -> Option<Envelope> {
        self.publish.as_ref().map(|publish| Envelope::new(publish, room))
    }

    pub(super) fn state(&self, room: &str) -> State {
        State {
            hello: self.hello.as_ref().map(|hello| with_room(hello, room)),
            answers_due: self.hello_answers,
            publish: self.envelope(room),
            delivery: self.delivery.as_ref().map(|delivery| Envelope::new(delivery, room)),
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
        if let Some(delivery) = &self.delivery {
            if let Some(payload) = delivery.unwrap(bytes) {
                events(Event::Publication(&payload));
            }
            return;
        }
        match self.publish.as_ref().and_then(|publish| publish.unwrap(bytes)) {
            Some(payload) => events(Event::Publication(&payload)),
            None => events(Event::Publication(bytes)),
        }
    }

    pub(super) fn publication(&self, payload: &[u8], out: &mut Vec<u8>) -> Kind {
        match &self.publish {
            Some(envelope) => envelope.wrap(payload, out),
            None => out.extend_from_slice(payload),
        }
        Kind::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::testing::any_bytes;

    fn templates(answers: u32, publish: &str, delivery: Option<&str>) -> Templates {
        Templates {
            hello: Some(r#"{"join":"{room}"}"#.to_owned()),
            hello_answers: answers,
            publish: Some(publish.to_owned()),
            delivery: delivery.map(str::to_owned),
        }
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
        let mut state = templates(2, "{payload}", None).state("a\"b");
        assert_eq!(state.opening(), [Outgoing::text(&br#"{"join":"a\"b"}"#[..])]);
        assert!(!state.is_joined());
        assert_eq!(received(&mut state, Kind::Text, b"welcome"), [""; 0]);
        assert_eq!(received(&mut state, Kind::Binary, b"not an answer"), [""; 0]);
        assert_eq!(received(&mut state, Kind::Text, b"joined"), ["Joined"]);
        assert!(state.is_joined());
        assert_eq!(received(&mut state, Kind::Text, b"hi"), ["hi"]);
    }

    #[test]
    fn what_is_published_is_unwrapped() {
        let mut state = templates(0, r#"{"say":"{payload}"}"#, None).state("lobby");
        let mut out = Vec::new();
        assert_eq!(state.publication(b"a\"b", &mut out), Kind::Text);
        assert_eq!(out, br#"{"say":"a\"b"}"#);
        assert_eq!(received(&mut state, Kind::Text, &out), ["a\"b"]);
    }

    #[test]
    fn a_frame_of_another_shape_is_taken_whole() {
        let mut state = templates(0, r#"{"say":"{payload}"}"#, None).state("lobby");
        for frame in ["hello", r#"{"say":""#, r#"{"said":"x"}"#, r#"{"say":"\x"}"#, ""] {
            assert_eq!(received(&mut state, Kind::Text, frame.as_bytes()), [frame]);
        }
    }

    #[test]
    fn any_bytes_are_taken() {
        for delivery in [None, Some(r#"{"a":{any},"b":"{payload}",{any}}"#), Some("{any}{payload}{any}x{any}")] {
            let mut state = templates(1, r#"{"a":"{payload}"}"#, delivery).state("lobby");
            any_bytes(b"{\"a\":\"b\",x\\}", |pieces| {
                for piece in pieces {
                    received(&mut state, Kind::Text, piece);
                }
            });
        }
    }

    #[test]
    fn with_a_delivery_template_only_deliveries_count() {
        let delivery = r#"{"id":{any},"in":"{room}","message":"{payload}"}"#;
        let mut state = templates(0, r#"{"say":"{payload}"}"#, Some(delivery)).state("lobby");
        let frame = br#"{"id":7,"in":"lobby","message":"a\"b"}"#;
        assert_eq!(received(&mut state, Kind::Text, frame), ["a\"b"]);
        for other in [r#"{"type":"ping"}"#, r#"{"id":7,"in":"hall","message":"x"}"#, r#"{"say":"x"}"#] {
            assert_eq!(received(&mut state, Kind::Text, other.as_bytes()), [""; 0]);
        }
    }
}

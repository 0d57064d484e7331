//! How loadgen speaks to servers: one small file per dialect, none of which reads or writes a socket.
//!
//! A [`Dialect`] is made once from `[target]`; each connection has a [`Session`] of it. The caller opens what
//! [`Session::request`] says, sends what [`Session::opening`] returns, hands everything that arrives to
//! [`Session::receive`], and sends the answers that come back as [`Event::Answer`]. Dialects are enum variants, not
//! trait objects: with the raw one `receive` is a compare and a call.

use std::sync::Arc;

use crate::scenario::Format;

mod centrifuge;
mod dialect;
mod envelope;
mod http_publish;
mod json;
mod nats;
mod pusher;
mod raw;
mod shardcast;
mod signature;
mod sse;
mod target;
mod template;
#[cfg(test)]
pub(crate) mod testing;
mod url;

pub use dialect::Dialect;
pub use http_publish::HttpPublish;
pub use target::TargetError;

use dialect::Language;

/// A `[target]` for each of several servers, with comments: help for whoever writes a scenario.
pub const TARGETS: &str = include_str!("targets.toml");

/// What a WebSocket frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

impl From<Format> for Kind {
    fn from(format: Format) -> Self {
        match format {
            Format::Text | Format::Json => Self::Text,
            Format::Binary => Self::Binary,
        }
    }
}

/// A WebSocket message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The frame's opcode.
    pub kind: Kind,
    /// The frame's payload.
    pub bytes: Vec<u8>,
}

impl Outgoing {
    pub(crate) fn text(bytes: impl Into<Vec<u8>>) -> Self {
        Self { kind: Kind::Text, bytes: bytes.into() }
    }
}

/// What to open: a WebSocket handshake, or the `GET` of an event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Absolute, `ws://…` or `http://…`.
    pub url: String,
    /// Besides those that every request of the transport has.
    pub headers: Vec<(String, String)>,
    /// `Sec-WebSocket-Protocol`.
    pub subprotocol: Option<String>,
}

/// What carries the deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// WebSocket messages.
    WebSocket,
    /// The body of an HTTP response, `text/event-stream`.
    EventStream,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Listens.
    Subscriber,
    /// Listens, and will want to resume: asks the server to keep its position, where the dialect has to ask.
    Returning,
    /// Publishes. Joins the room only where publishing may need it.
    Publisher,
}

/// What arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The server confirmed that the connection is a member. At most once, and never from a dialect without
    /// confirmation: ask [`Session::is_joined`] after the opening.
    Joined,
    /// The session began at a position that the server could not resume from: it announced that the publications
    /// since are lost. Comes before `Joined`.
    NotResumed,
    /// A publication's payload, as it was published.
    Publication(&'a [u8]),
    /// To be sent, in order.
    Answer(Outgoing),
    /// The server refused to connect or to join: its code and words.
    Refused(String),
    /// The server did not take a publication.
    PublicationRefused {
        /// Which of this session's, from 0, where the dialect says so.
        number: Option<u64>,
        /// Its code and words.
        words: String,
    },
}

/// Where a subscriber that comes back goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// After the event with this id.
    EventId(Box<str>),
    /// After this offset of the stream.
    Offset {
        /// Names the stream; another one means that the server lost its log.
        epoch: Box<str>,
        /// Of the last publication that arrived.
        offset: u64,
    },
}

/// Why a connection cannot go on: what arrived is not the dialect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialectError {
    /// Not the JSON that the dialect sends.
    #[error("target.adapter = \"{adapter}\": the server sent something else ({source}): {excerpt:?}")]
    Json {
        /// The dialect.
        adapter: &'static str,
        /// How it begins.
        excerpt: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Not an operation of the dialect.
    #[error("target.adapter = \"{adapter}\": the server sent something else: {excerpt:?}")]
    Unknown {
        /// The dialect.
        adapter: &'static str,
        /// How it begins.
        excerpt: String,
    },
    /// Something that does not end.
    #[error("target.adapter = \"{adapter}\": {what} of {actual_bytes} bytes, {limit_bytes} is the limit")]
    TooLong {
        /// The dialect.
        adapter: &'static str,
        /// A line, an event, a payload.
        what: &'static str,
        /// As far as it arrived or was announced.
        actual_bytes: usize,
        /// The most that is accepted.
        limit_bytes: usize,
    },
}

/// One connection's side of a dialect.
#[derive(Debug)]
pub struct Session {
    dialect: Arc<Dialect>,
    room: Box<str>,
    role: Role,
    state: State,
}

/// What a dialect keeps per connection. Boxed wherever it is more than a word, so that 20,000 raw ones stay small.
#[derive(Debug)]
enum State {
    Raw,
    Shardcast(Box<shardcast::State>),
    Sse(Box<sse::State>),
    Centrifuge(Box<centrifuge::State>),
    Pusher(pusher::State),
    Nats(Box<nats::State>),
    Template(Box<template::State>),
}

impl Session {
    /// A connection to be, to `room`; with `position` it resumes there if the dialect can.
    #[must_use]
    pub fn new(dialect: &Arc<Dialect>, room: &str, role: Role, position: Option<Position>) -> Self {
        let state = match &dialect.language {
            Language::Raw => State::Raw,
            Language::Shardcast => State::Shardcast(Box::new(shardcast::State::new(position))),
            Language::Sse => State::Sse(Box::new(sse::State::new(position))),
            Language::Centrifuge => State::Centrifuge(Box::new(centrifuge::State::new(role, position))),
            Language::Pusher(_) => State::Pusher(pusher::State::default()),
            Language::Nats => State::Nats(Box::default()),
            Language::Template(templates) => State::Template(Box::new(templates.state(room))),
        };
        Self { dialect: Arc::clone(dialect), room: room.into(), role, state }
    }

    /// What to open.
    #[must_use]
    pub fn request(&self) -> Request {
        let mut request = self.dialect.request(&self.room, self.role);
        match &self.state {
            State::Sse(state) => request.headers.extend(state.headers()),
            State::Shardcast(state) => request.url = state.url(request.url),
            State::Raw | State::Centrifuge(_) | State::Pusher(_) | State::Nats(_) | State::Template(_) => {}
        }
        request
    }

    /// What to send right after the handshake, in order.
    #[must_use]
    pub fn opening(&mut self) -> Vec<Outgoing> {
        match &mut self.state {
            State::Raw | State::Shardcast(_) | State::Sse(_) => Vec::new(),
            State::Centrifuge(state) => state.opening(&self.room),
            // The server speaks first, and its greeting is part of the signature.
            State::Pusher(_) => Vec::new(),
            State::Nats(_) => nats::State::opening(&self.room, self.role),
            State::Template(state) => state.opening(),
        }
    }

    /// Whether the connection is a member; a publisher: whether it may publish. Right after the handshake (an event
    /// stream: after the answer's head, status 200) where the dialect has no confirmation.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        match &self.state {
            State::Raw | State::Sse(_) => true,
            State::Shardcast(state) => state.is_joined(),
            State::Centrifuge(state) => state.is_joined(),
            State::Pusher(state) => state.is_joined(),
            State::Nats(state) => state.is_joined(),
            State::Template(state) => state.is_joined(),
        }
    }

    /// Takes a whole WebSocket message, or any piece of an event stream's body (whatever the `kind`).
    ///
    /// # Errors
    /// When the server does not speak the dialect; the connection is of no further use.
    #[inline]
    pub fn receive(
        &mut self,
        kind: Kind,
        bytes: &[u8],
        events: &mut impl FnMut(Event<'_>),
    ) -> Result<(), DialectError> {
        match &mut self.state {
            State::Raw => {
                events(Event::Publication(bytes));
                Ok(())
            }
            State::Shardcast(state) => state.receive(bytes, events),
            State::Sse(state) => state.receive(bytes, events),
            State::Centrifuge(state) => state.receive(bytes, events),
            State::Pusher(state) => match &self.dialect.language {
                Language::Pusher(settings) => state.receive(bytes, (settings, &self.room), events),
                _ => unreachable!("the state was made for this dialect"),
            },
            State::Nats(state) => state.receive(bytes, events),
            State::Template(state) => {
                state.receive(kind, bytes, events);
                Ok(())
            }
        }
    }

    /// Encodes a publication to this session's room into `out` (cleared first), and says as which kind of frame.
    pub fn publication(&mut self, format: Format, payload: &[u8], out: &mut Vec<u8>) -> Kind {
        out.clear();
        match &mut self.state {
            // Who listens to an event stream publishes over HTTP: see `Dialect::http_publish`.
            State::Raw | State::Shardcast(_) | State::Sse(_) => raw::publication(format, payload, out),
            State::Centrifuge(state) => state.publication(&self.room, format, payload, out),
            State::Pusher(state) => state.publication(&self.room, format, payload, out),
            State::Nats(_) => nats::publication(&self.room, payload, out),
            State::Template(state) => state.publication(payload, out),
        }
    }

    /// Where to resume, of those dialects and servers that can.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match &self.state {
            State::Shardcast(state) => state.position(),
            State::Sse(state) => state.position(),
            State::Centrifuge(state) => state.position(),
            State::Raw | State::Pusher(_) | State::Nats(_) | State::Template(_) => None,
        }
    }
}

/// How something begins, for a message.
fn excerpt(bytes: &[u8]) -> String {
    const EXCERPT_BYTES: usize = 80;
    String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT_BYTES)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{AdapterKind, PublishVia, Target};

    #[test]
    fn twenty_thousand_raw_sessions_are_small() {
        assert!(size_of::<Session>() <= 64, "{} bytes", size_of::<Session>());
    }

    #[test]
    fn the_targets_in_the_help_are_right() {
        #[derive(serde::Deserialize)]
        struct Document {
            target: Target,
        }
        let documents: Vec<&str> = TARGETS.split("[target]\n").skip(1).collect();
        assert_eq!(documents.len(), 11);
        for document in documents {
            let document: Document = toml::from_str(&format!("[target]\n{document}")).unwrap();
            let dialect = Dialect::new(&document.target).unwrap();
            assert!(dialect.names_rooms());
            let room = if document.target.publish == PublishVia::Connection { "private-load-0" } else { "load-0" };
            assert_eq!(dialect.check_room(room), Ok(()));
            assert_eq!(dialect.http_publish(room, Format::Text).is_some(), document.target.publish == PublishVia::Http);
        }
    }

    #[test]
    fn a_raw_room() {
        let mut target = Target { subprotocol: Some("chat".to_owned()), ..Target::default() };
        target.headers.insert("Authorization".to_owned(), "Bearer x".to_owned());
        target.publish_url = Some("ws://127.0.0.1:8081/ws/{room}".to_owned());
        let dialect = Arc::new(Dialect::new(&target).unwrap());
        let mut session = Session::new(&dialect, "a b", Role::Subscriber, None);
        let request = session.request();
        assert_eq!(request.url, "ws://127.0.0.1:8080/ws/a%20b");
        assert_eq!(request.headers, [("Authorization".to_owned(), "Bearer x".to_owned())]);
        assert_eq!(request.subprotocol.as_deref(), Some("chat"));
        let publisher = Session::new(&dialect, "a b", Role::Publisher, None);
        assert_eq!(publisher.request().url, "ws://127.0.0.1:8081/ws/a%20b");
        assert!(session.opening().is_empty() && session.is_joined() && session.position().is_none());

        let mut seen = Vec::new();
        session
            .receive(Kind::Binary, b"\xff", &mut |event| match event {
                Event::Publication(payload) => seen.extend_from_slice(payload),
                other => panic!("{other:?}"),
            })
            .unwrap();
        assert_eq!(seen, b"\xff");

        let mut out = b"old".to_vec();
        for (format, kind) in [(Format::Text, Kind::Text), (Format::Json, Kind::Text), (Format::Binary, Kind::Binary)] {
            assert_eq!(session.publication(format, b"{}", &mut out), kind);
            assert_eq!(out, b"{}");
        }
    }

    #[test]
    fn an_event_stream_asks_for_what_it_missed() {
        let target = Target {
            url: "http://h/{room}".to_owned(),
            adapter: AdapterKind::Sse,
            publish: PublishVia::Http,
            publish_url: Some("http://h/{room}".to_owned()),
            ..Target::default()
        };
        let dialect = Arc::new(Dialect::new(&target).unwrap());
        assert_eq!((dialect.transport(), dialect.resumes()), (Transport::EventStream, true));
        let position = Position::EventId("7".into());
        let session = Session::new(&dialect, "lobby", Role::Returning, Some(position.clone()));
        assert!(session.is_joined());
        assert_eq!(session.position(), Some(position));
        let headers = session.request().headers;
        assert_eq!(
            headers,
            [("Accept", "text/event-stream"), ("Last-Event-ID", "7")]
                .map(|(name, value)| { (name.to_owned(), value.to_owned()) })
        );
    }

    #[test]
    fn what_a_dialect_can_do() {
        let http = |adapter, url: &str| Target {
            url: url.to_owned(),
            adapter,
            publish: PublishVia::Http,
            publish_url: Some("http://h/publish".to_owned()),
            ..Target::default()
        };
        for (target, resumes, names_rooms, carries_binary) in [
            (http(AdapterKind::Raw, "ws://h/{room}"), false, true, true),
            (http(AdapterKind::Raw, "ws://h/"), false, false, true),
            (http(AdapterKind::Shardcast, "ws://h/{room}"), true, true, true),
            (http(AdapterKind::Shardcast, "ws://h/"), true, false, true),
            (http(AdapterKind::Sse, "http://h/{room}"), true, true, false),
            (http(AdapterKind::Centrifuge, "ws://h/"), true, true, false),
            (http(AdapterKind::Pusher, "ws://h/app/key"), false, true, false),
            (http(AdapterKind::Nats, "ws://h/"), false, true, true),
            (http(AdapterKind::Template, "ws://h/"), false, false, false),
        ] {
            let dialect = Dialect::new(&target).unwrap();
            let can = (dialect.resumes(), dialect.names_rooms(), dialect.check_format(Format::Binary).is_ok());
            assert_eq!(can, (resumes, names_rooms, carries_binary), "{:?}", target.adapter);
            assert!(dialect.check_format(Format::Json).is_ok());
            assert!(dialect.check_room("load-0").is_ok());
            assert!(dialect.check_room("").is_err());
        }
        let nats = Dialect::new(&http(AdapterKind::Nats, "ws://h/")).unwrap();
        let said = nats.check_room("a b").unwrap_err().to_string();
        assert!(said.contains("rooms.name = \"a b\"") && said.contains("spaces"), "{said}");
    }
}

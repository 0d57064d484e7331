//! How loadgen speaks to servers: one small file per dialect, none of which reads or writes a socket.
//!
//! A [`Dialect`] is made once from `[target]`; each connection has a [`Session`] of it. The caller opens what
//! [`Session::request`] says, sends what [`Session::opening`] returns, hands everything that arrives to
//! [`Session::receive`], and sends the answers that come back as [`Event::Answer`]. Dialects are enum variants, not
//! trait objects: with the raw one `receive` is a compare and a call.

use std::sync::Arc;

use crate::scenario::Format;

mod dialect;
mod json;
mod raw;
mod target;
mod template;
mod url;

pub use dialect::Dialect;
pub use target::TargetError;

use dialect::Language;

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
    /// Publishes. Joins the room only if the dialect cannot publish otherwise.
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
    /// The server refused to connect, to join or to publish: its code and words.
    Refused(String),
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
    Template(Box<template::State>),
}

impl Session {
    /// A connection to be, to `room`; with `position` it resumes there if the dialect can.
    #[must_use]
    pub fn new(dialect: &Arc<Dialect>, room: &str, role: Role, position: Option<Position>) -> Self {
        let _ = &position;
        let state = match &dialect.language {
            Language::Raw => State::Raw,
            Language::Template(templates) => State::Template(Box::new(templates.state(room))),
        };
        Self { dialect: Arc::clone(dialect), room: room.into(), role, state }
    }

    /// What to open.
    #[must_use]
    pub fn request(&self) -> Request {
        self.dialect.request(&self.room, self.role)
    }

    /// What to send right after the handshake, in order.
    #[must_use]
    pub fn opening(&mut self) -> Vec<Outgoing> {
        match &mut self.state {
            State::Raw => Vec::new(),
            State::Template(state) => state.opening(),
        }
    }

    /// Whether the connection is a member; a publisher: whether it may publish.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        match &self.state {
            State::Raw => true,
            State::Template(state) => state.is_joined(),
        }
    }

    /// Takes a whole WebSocket message, or any piece of an event stream's body.
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
            State::Raw => raw::publication(format, payload, out),
            State::Template(state) => state.publication(payload, out),
        }
    }

    /// Where to resume, of those dialects and servers that can.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match &self.state {
            State::Raw | State::Template(_) => None,
        }
    }
}

/// How something begins, for a message.
fn excerpt(bytes: &[u8]) -> String {
    const EXCERPT_BYTES: usize = 80;
    String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT_BYTES)]).into_owned()
}

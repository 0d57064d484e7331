//! A connection from its handshake on: becoming a member, then everything that arrives.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use fastwebsockets::Payload;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connect::kind_of_http;
use super::messages::{Message, Messages};
use crate::adapter::{Event, Kind, Outgoing, Position, Session};
use crate::clock::Nanos;

/// Why a connection ended, in a word or two.
pub(super) type End = String;

/// What carries a session's messages.
pub(super) enum Stream<S> {
    /// WebSocket messages.
    Messages(Box<Messages<S>>),
    /// The body of an answer.
    Body(Incoming),
}

/// A connection and its side of the dialect, which a publisher shares with the pacer.
pub(super) struct Line<S> {
    pub(super) session: Arc<Mutex<Session>>,
    stream: Stream<S>,
    /// The server announced that what was missed is lost.
    not_resumed: bool,
    /// What the server refused in the last arrival.
    refused: Vec<Refusal>,
}

/// What a server refused.
pub(super) struct Refusal {
    pub(super) what: Refused,
    /// Its words.
    pub(super) words: String,
}

/// See [`Refusal`].
#[derive(Clone, Copy)]
pub(super) enum Refused {
    /// To connect, or to join.
    Connection,
    /// A publication: which one of this session, if it is known.
    Publication(Option<u64>),
}

/// Who gets what arrives.
pub(super) trait Ear {
    /// A payload.
    fn publication(&mut self, payload: &[u8], now: Nanos);

    /// The server said only now, to a member, that it cannot resume.
    fn not_resumed(&mut self) {}
}

impl<F: FnMut(&[u8], Nanos)> Ear for F {
    fn publication(&mut self, payload: &[u8], now: Nanos) {
        self(payload, now);
    }
}

/// One arrival: for an event stream several messages, or a part of one.
enum Arrival {
    Message(Kind, Bytes),
    Collected(Kind, Vec<u8>),
    Nothing,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// A WebSocket connection behind its handshake.
    pub(super) fn over_messages(session: Session, stream: S) -> Self {
        let stream = Stream::Messages(Box::new(Messages::new(stream)));
        Self { session: Arc::new(Mutex::new(session)), stream, not_resumed: false, refused: Vec::new() }
    }

    /// An event stream behind the head of its answer.
    pub(super) fn over_body(session: Session, body: Incoming) -> Self {
        let stream = Stream::Body(body);
        Self { session: Arc::new(Mutex::new(session)), stream, not_resumed: false, refused: Vec::new() }
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().expect("nobody panics while holding it")
    }

    /// Where to resume, if it can.
    pub(super) fn position(&self) -> Option<Position> {
        self.session().position()
    }

    /// Speaks until the server has made this connection a member. Publications that come before count as well.
    pub(super) async fn join(&mut self, ear: &mut impl Ear) -> Result<(), End> {
        let opening = self.session().opening();
        for outgoing in opening {
            self.send(outgoing).await?;
        }
        while !self.is_joined() {
            self.next(ear).await?;
        }
        Ok(())
    }

    /// Whether the server announced that it could not resume.
    pub(super) const fn is_not_resumed(&self) -> bool {
        self.not_resumed
    }

    /// What the server refused in the last arrival.
    pub(super) fn refused(&self) -> &[Refusal] {
        &self.refused
    }

    fn is_joined(&self) -> bool {
        self.session().is_joined()
    }

    /// Takes the next arrival; `ear` gets each payload in it. How many bytes it was.
    pub(super) async fn next(&mut self, ear: &mut impl Ear) -> Result<usize, End> {
        self.refused.clear();
        let arrival = self.arrival().await?;
        let now = Nanos::now();
        let (kind, bytes) = match &arrival {
            Arrival::Message(kind, bytes) => (*kind, &bytes[..]),
            Arrival::Collected(kind, bytes) => (*kind, &bytes[..]),
            Arrival::Nothing => return Ok(0),
        };
        let (mut answers, mut refused, mut not_resumed) = (Vec::new(), std::mem::take(&mut self.refused), false);
        let received = self.session().receive(kind, bytes, &mut |event| match event {
            Event::Publication(payload) => ear.publication(payload, now),
            Event::Answer(outgoing) => answers.push(outgoing),
            Event::Refused(words) => refused.push(Refusal { what: Refused::Connection, words }),
            Event::PublicationRefused { number, words } => {
                refused.push(Refusal { what: Refused::Publication(number), words });
            }
            Event::NotResumed => {
                not_resumed = true;
                ear.not_resumed();
            }
            Event::Joined => {}
        });
        self.not_resumed |= not_resumed;
        self.refused = refused;
        received.map_err(|error| error.to_string())?;
        for answer in answers {
            self.send(answer).await?;
        }
        self.refused.first().map_or(Ok(bytes.len()), |refusal| Err(format!("refused: {}", refusal.words)))
    }

    async fn arrival(&mut self) -> Result<Arrival, End> {
        match &mut self.stream {
            Stream::Messages(messages) => Ok(match messages.next().await? {
                Message::Whole(kind, payload) => Arrival::message(kind, payload),
                Message::Collected(kind, bytes) => Arrival::Collected(kind, bytes),
                Message::Nothing => Arrival::Nothing,
            }),
            Stream::Body(body) => match body.frame().await {
                Some(Ok(frame)) => {
                    let data = frame.into_data().ok();
                    Ok(data.map_or(Arrival::Nothing, |bytes| Arrival::Message(Kind::Text, bytes)))
                }
                Some(Err(error)) => Err(kind_of_http(&error)),
                None => Err("end of the stream".to_owned()),
            },
        }
    }

    async fn send(&mut self, outgoing: Outgoing) -> Result<(), End> {
        match &mut self.stream {
            Stream::Messages(messages) => messages.send(outgoing).await,
            Stream::Body(_) => Ok(()),
        }
    }
}

impl Arrival {
    fn message(kind: Kind, payload: Payload<'_>) -> Self {
        match payload {
            Payload::Bytes(bytes) => Self::Message(kind, bytes.freeze()),
            Payload::Owned(bytes) => Self::Collected(kind, bytes),
            Payload::Borrowed(bytes) => Self::Collected(kind, bytes.to_vec()),
            Payload::BorrowedMut(bytes) => Self::Collected(kind, bytes.to_vec()),
        }
    }
}

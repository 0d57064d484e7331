//! A connection from its handshake on: becoming a member, then everything that arrives.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, ready};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::connect::{kind_of, kind_of_http};
use super::hearing::{Reaction, hear, hear_frames};
use super::messages::Messages;
use crate::adapter::{Kind, Position, Session};
use crate::clock::Nanos;

/// Why a connection ended, in a word or two.
pub(super) type End = String;

/// What one read takes at most: little, as slow members are to read slowly.
const READ_BYTES: usize = 4 << 10;

/// What carries a session's messages.
enum Stream<S> {
    /// WebSocket messages.
    Messages(S, Box<Messages>),
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

/// A line that somebody else reads on.
pub(super) struct Parts<S> {
    pub(super) session: Session,
    pub(super) stream: S,
    pub(super) messages: Messages,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// A WebSocket connection behind its handshake.
    pub(super) fn over_messages(session: Session, stream: S) -> Self {
        Self::new(session, Stream::Messages(stream, Box::default()))
    }

    /// An event stream behind the head of its answer.
    pub(super) fn over_body(session: Session, body: Incoming) -> Self {
        Self::new(session, Stream::Body(body))
    }

    fn new(session: Session, stream: Stream<S>) -> Self {
        Self { session: Arc::new(Mutex::new(session)), stream, not_resumed: false, refused: Vec::new() }
    }

    /// What it is made of, if it is a WebSocket and nobody shares its session.
    pub(super) fn into_parts(self) -> Result<Parts<S>, Self> {
        let Self { session, stream, not_resumed, refused } = self;
        match (Arc::try_unwrap(session), stream) {
            (Ok(session), Stream::Messages(stream, messages)) => {
                let session = session.into_inner().expect("nobody panics while holding it");
                Ok(Parts { session, stream, messages: *messages })
            }
            (Ok(session), stream) => Err(Self { session: Arc::new(session), stream, not_resumed, refused }),
            (Err(session), stream) => Err(Self { session, stream, not_resumed, refused }),
        }
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
        let mut opening = Reaction::default();
        let outgoing = self.session().opening();
        outgoing.into_iter().for_each(|outgoing| opening.send(outgoing));
        self.write(&opening.answer).await?;
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
        let mut reaction = Reaction::default();
        let heard = self.arrival(ear, &mut reaction).await;
        self.not_resumed |= reaction.not_resumed;
        let written = self.write(&reaction.answer).await;
        let refusal = reaction.refusal();
        self.refused = reaction.refused;
        let bytes = heard?;
        written.and(refusal).map(|()| bytes)
    }

    async fn arrival(&mut self, ear: &mut impl Ear, reaction: &mut Reaction) -> Result<usize, End> {
        let Self { session, stream, .. } = self;
        let session = || session.lock().expect("nobody panics while holding it");
        match stream {
            Stream::Messages(stream, messages) => {
                poll_fn(|context| {
                    // On the stack, not with each connection: what comes is taken before anything else is waited for.
                    let mut buffer = [MaybeUninit::uninit(); READ_BYTES];
                    let mut buffer = ReadBuf::uninit(&mut buffer);
                    let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
                    let (now, bytes) = (Nanos::now(), buffer.filled());
                    let whole = read.map_err(|error| kind_of(&error)).and_then(|()| match bytes {
                        [] => Err(kind_of(&io::Error::from(io::ErrorKind::UnexpectedEof))),
                        _ => hear_frames((messages, &mut session()), (bytes, now), ear, reaction),
                    });
                    Poll::Ready(whole.map(|()| bytes.len()))
                })
                .await
            }
            Stream::Body(body) => match body.frame().await {
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else { return Ok(0) };
                    hear(&mut session(), (Kind::Text, &bytes, Nanos::now()), ear, reaction)?;
                    Ok(bytes.len())
                }
                Some(Err(error)) => Err(kind_of_http(&error)),
                None => Err("end of the stream".to_owned()),
            },
        }
    }

    /// Frames; an event stream has no way back.
    async fn write(&mut self, frames: &[u8]) -> Result<(), End> {
        match &mut self.stream {
            Stream::Messages(stream, _) if !frames.is_empty() => {
                stream.write_all(frames).await.map_err(|error| kind_of(&error))
            }
            _ => Ok(()),
        }
    }
}

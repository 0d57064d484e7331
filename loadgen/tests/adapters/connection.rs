//! A WebSocket connection that speaks a session's dialect.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, handshake};
use http_body_util::Empty;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use loadgen::adapter::{Dialect, Event, Kind, Outgoing, Position, Role, Session};
use loadgen::scenario::Format;
use tokio::io::{AsyncRead, AsyncWrite};

/// Nothing here takes a second: this only ends a test that hangs.
const HANGS_AFTER: Duration = Duration::from_secs(30);

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS_AFTER, future).await.unwrap_or_else(|_| panic!("{what}: nothing for {HANGS_AFTER:?}"))
}

/// What arrived, kept.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    Joined,
    NotResumed,
    Publication(Vec<u8>),
    Answered(Vec<u8>),
    Refused(String),
}

/// One connection and its session.
pub(crate) struct Connection {
    socket: FragmentCollector<TokioIo<Upgraded>>,
    session: Session,
}

impl Connection {
    /// Opens over `stream` what the session wants, and sends the opening.
    pub(crate) async fn open(
        dialect: &Arc<Dialect>,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        room: &str,
        role: Role,
    ) -> Self {
        let mut session = Session::new(dialect, room, role, None::<Position>);
        let request = session.request();
        let mut handshake = hyper::Request::get(&request.url)
            .header("Host", "localhost")
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Key", handshake::generate_key())
            .header("Sec-WebSocket-Version", "13");
        for (name, value) in &request.headers {
            handshake = handshake.header(name, value);
        }
        let handshake = handshake.body(Empty::<Bytes>::new()).unwrap();
        let (socket, _) = handshake::client(&TokioExecutor::new(), handshake, stream).await.unwrap();
        let opening = session.opening();
        let mut connection = Self { socket: FragmentCollector::new(socket), session };
        for message in opening {
            connection.send(message).await;
        }
        connection
    }

    pub(crate) async fn publish(&mut self, format: Format, payload: &[u8]) {
        let mut bytes = Vec::new();
        let kind = self.session.publication(format, payload, &mut bytes);
        self.send(Outgoing { kind, bytes }).await;
    }

    pub(crate) async fn send(&mut self, message: Outgoing) {
        let payload = Payload::Owned(message.bytes);
        let frame = match message.kind {
            Kind::Text => Frame::text(payload),
            Kind::Binary => Frame::binary(payload),
        };
        self.socket.write_frame(frame).await.unwrap();
    }

    /// Receives, answering what is to be answered, until `count` things arrived.
    pub(crate) async fn see(&mut self, count: usize) -> Vec<Seen> {
        let mut seen = Vec::new();
        while seen.len() < count {
            let frame = within("a frame", self.socket.read_frame()).await.unwrap();
            let kind = match frame.opcode {
                OpCode::Text => Kind::Text,
                OpCode::Binary => Kind::Binary,
                other => panic!("{other:?} after {seen:?}"),
            };
            let mut answers = Vec::new();
            let mut keep = |event: Event<'_>| {
                seen.push(match event {
                    Event::Joined => Seen::Joined,
                    Event::NotResumed => Seen::NotResumed,
                    Event::Publication(payload) => Seen::Publication(payload.to_vec()),
                    Event::Refused(words) | Event::PublicationRefused { words, .. } => Seen::Refused(words),
                    Event::Answer(answer) => {
                        answers.push(answer.clone());
                        Seen::Answered(answer.bytes)
                    }
                });
            };
            self.session.receive(kind, &frame.payload, &mut keep).unwrap();
            for answer in answers {
                self.send(answer).await;
            }
        }
        seen
    }

    pub(crate) fn is_joined(&self) -> bool {
        self.session.is_joined()
    }
}

//! One open WebSocket: a task that reads, a task that writes, and a bounded queue on either side.
//!
//! Two tasks, because fastwebsockets' reader must not be dropped in the middle of a frame, and a caller that waits for
//! a message *or* its own input would do just that. The reader fills `events` and waits while it is full, so a slow
//! caller slows the server; the writer empties `outgoing`, whose fullness is the caller's to wait for.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocket, WebSocketError};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::fragments::{Fragments, MESSAGE_BYTES_MAX, bytes_of};
use super::handshake::{self, Dialect, HandshakeError};
use super::target::Target;

/// Messages read and not yet taken.
pub(super) const EVENTS_MAX: usize = 256;
/// Frames handed over and not yet written.
const OUTGOING_MAX: usize = 64;
/// A connection that has been silent for so long is pinged; silent for as long again, it is lost.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long the other side may take to answer a close frame.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// What comes out of a link. The last is always an [`End`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A text message, valid UTF-8.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// Nothing more comes.
    End(End),
}

/// How a link ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The server closed it. A close frame may be without a code.
    Closed {
        /// The close code.
        code: Option<u16>,
        /// The server's words.
        reason: String,
    },
    /// It broke.
    Lost(String),
}

/// What goes into a link.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A text message.
    Text(Bytes),
    /// Are you there?
    Ping,
    /// The answer to the server's ping.
    Pong(Bytes),
    /// The last frame: own (1000) or the server's code sent back.
    Close(Option<u16>),
}

/// An open WebSocket; dropped, it is gone at once (no close frame: see [`Link::close`]).
pub(super) struct Link {
    /// Messages in their order, then the end.
    pub(super) events: mpsc::Receiver<Event>,
    /// Frames to write, in their order.
    pub(super) outgoing: mpsc::Sender<Outgoing>,
    tasks: JoinSet<()>,
}

impl Link {
    /// Connects to the room's WebSocket at `path`.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub(super) async fn open(target: &Target, path: &str, dialect: Dialect) -> Result<Self, HandshakeError> {
        Ok(Self::over(handshake::open(target, path, dialect).await?))
    }

    fn over(stream: TokioIo<Upgraded>) -> Self {
        let (read, write) = tokio::io::split(stream);
        let (event_sender, events) = mpsc::channel(EVENTS_MAX);
        let (outgoing, frames) = mpsc::channel(OUTGOING_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(read_loop(read, event_sender, outgoing.clone()));
        tasks.spawn(write_loop(write, frames));
        Self { events, outgoing, tasks }
    }

    /// The next message, or the end. Safe to drop while waiting.
    pub(super) async fn next(&mut self) -> Event {
        let lost = || Event::End(End::Lost("the connection is gone".to_owned()));
        self.events.recv().await.unwrap_or_else(lost)
    }

    /// Leaves: close 1000, then waits (a bounded time) for the server's own close frame, which says that everything
    /// written before has been read. Messages that still come go to `late`. `Err` if the server did not answer so.
    pub(super) async fn close(mut self, mut late: impl FnMut(Event)) -> Result<(), End> {
        let closing = async {
            if self.outgoing.send(Outgoing::Close(Some(1000))).await.is_err() {
                return Err(End::Lost("the connection is gone".to_owned()));
            }
            loop {
                match self.next().await {
                    Event::End(End::Closed { .. }) => return Ok(()),
                    Event::End(end) => return Err(end),
                    event => late(event),
                }
            }
        };
        let result = tokio::time::timeout(CLOSE_TIME_MAX, closing).await;
        self.tasks.abort_all();
        result.unwrap_or_else(|_| Err(End::Lost("no answer to the close frame".to_owned())))
    }
}

/// Reads frames until the end, and tells it.
async fn read_loop(stream: ReadHalf<TokioIo<Upgraded>>, events: mpsc::Sender<Event>, outgoing: mpsc::Sender<Outgoing>) {
    let mut socket = client(tokio::io::join(stream, tokio::io::sink()));
    let mut fragments = Fragments::default();
    let end = loop {
        let frame = match read_frame(&mut socket, &outgoing).await {
            Ok(frame) => frame,
            Err(end) => break end,
        };
        let message = match frame.opcode {
            // A pong that finds the queue full may go missing: what is queued shows that we are alive.
            OpCode::Ping => {
                drop(outgoing.try_send(Outgoing::Pong(bytes_of(frame.payload))));
                continue;
            }
            OpCode::Pong => continue,
            OpCode::Close => break closed(&frame.payload, &outgoing),
            _ => fragments.add(frame),
        };
        match message {
            Ok(None) => {}
            Ok(Some(event)) => {
                if events.send(event).await.is_err() {
                    return;
                }
            }
            Err(reason) => break End::Lost(reason.to_owned()),
        }
    };
    drop(events.send(Event::End(end)).await);
}

/// One frame; a silent server is pinged once, and then given up.
async fn read_frame<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocket<S>,
    outgoing: &mpsc::Sender<Outgoing>,
) -> Result<Frame<'static>, End> {
    let mut frame = pin!(socket.read_frame());
    if let Ok(result) = tokio::time::timeout(SILENCE_MAX, &mut frame).await {
        return result.map_err(|error| lost(&error));
    }
    drop(outgoing.try_send(Outgoing::Ping));
    match tokio::time::timeout(SILENCE_MAX, &mut frame).await {
        Ok(result) => result.map_err(|error| lost(&error)),
        Err(_) => Err(End::Lost("the server has been silent for a minute".to_owned())),
    }
}

fn lost(error: &WebSocketError) -> End {
    End::Lost(match error {
        WebSocketError::UnexpectedEOF => "the server closed the connection without a word".to_owned(),
        error => error.to_string(),
    })
}

/// A close frame: answered with its own code, and told.
fn closed(payload: &[u8], outgoing: &mpsc::Sender<Outgoing>) -> End {
    let code = payload.first_chunk::<2>().map(|code| u16::from_be_bytes(*code));
    drop(outgoing.try_send(Outgoing::Close(code)));
    End::Closed { code, reason: String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned() }
}

/// Writes frames until the close frame, a failure (the reader sees it too), or nobody is left to send any.
async fn write_loop(stream: WriteHalf<TokioIo<Upgraded>>, mut frames: mpsc::Receiver<Outgoing>) {
    let mut socket = client(tokio::io::join(tokio::io::empty(), stream));
    while let Some(outgoing) = frames.recv().await {
        let last = matches!(outgoing, Outgoing::Close(_));
        let frame = match outgoing {
            // Copied: masking changes it in place.
            Outgoing::Text(text) => Frame::text(Payload::Owned(text.to_vec())),
            Outgoing::Ping => Frame::new(true, OpCode::Ping, None, Payload::Owned(Vec::new())),
            Outgoing::Pong(payload) => Frame::pong(Payload::Owned(payload.to_vec())),
            Outgoing::Close(Some(code)) => Frame::close(code, b""),
            Outgoing::Close(None) => Frame::close_raw(Payload::Owned(Vec::new())),
        };
        if socket.write_frame(frame).await.is_err() || last {
            break;
        }
    }
}

fn client<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocket<S> {
    let mut socket = WebSocket::after_handshake(stream, Role::Client);
    socket.set_auto_pong(false);
    socket.set_auto_close(false);
    socket.set_max_message_size(MESSAGE_BYTES_MAX);
    socket
}

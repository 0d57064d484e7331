//! Whole WebSocket messages from frames. fastwebsockets' own collector lets an unfinished message grow without a bound,
//! and a server under test may do anything.

use std::io;

use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocket, WebSocketError};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connect::kind_of;
use super::listen::End;
use crate::adapter::{Kind, Outgoing};

/// The longest message that is accepted, in one frame or in many.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// One connection's frames. Pings and closes are answered by fastwebsockets.
pub(super) struct Messages<S> {
    socket: WebSocket<S>,
    /// A message whose last frame has not come.
    unfinished: Option<(Kind, Vec<u8>)>,
}

/// What a frame brought.
pub(super) enum Message {
    /// A message of one frame.
    Whole(Kind, Payload<'static>),
    /// A message of several.
    Collected(Kind, Vec<u8>),
    /// A part of one, or something that needs no more attention.
    Nothing,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Messages<S> {
    /// Behind the handshake.
    pub(super) fn new(stream: S) -> Self {
        let mut socket = WebSocket::after_handshake(stream, Role::Client);
        // It refuses what is as long as this.
        socket.set_max_message_size(MESSAGE_BYTES_MAX + 1);
        Self { socket, unfinished: None }
    }

    /// Takes the next frame.
    pub(super) async fn next(&mut self) -> Result<Message, End> {
        let frame = self.socket.read_frame().await.map_err(|error| kind_of_websocket(&error))?;
        let kind = match frame.opcode {
            OpCode::Text => Kind::Text,
            OpCode::Binary => Kind::Binary,
            OpCode::Continuation => return self.continued(&frame),
            OpCode::Close => return Err(close_of(&frame.payload)),
            OpCode::Ping | OpCode::Pong => return Ok(Message::Nothing),
        };
        if self.unfinished.is_some() {
            return Err("protocol: a message within another".to_owned());
        }
        if frame.fin {
            return Ok(Message::Whole(kind, frame.payload));
        }
        self.unfinished = Some((kind, frame.payload.to_vec()));
        Ok(Message::Nothing)
    }

    fn continued(&mut self, frame: &Frame<'_>) -> Result<Message, End> {
        let Some((kind, mut bytes)) = self.unfinished.take() else {
            return Err("protocol: a continuation of nothing".to_owned());
        };
        if bytes.len() + frame.payload.len() > MESSAGE_BYTES_MAX {
            return Err(format!("protocol: a message of more than {MESSAGE_BYTES_MAX} bytes"));
        }
        bytes.extend_from_slice(&frame.payload);
        if !frame.fin {
            self.unfinished = Some((kind, bytes));
            return Ok(Message::Nothing);
        }
        if kind == Kind::Text && std::str::from_utf8(&bytes).is_err() {
            return Err(kind_of_websocket(&WebSocketError::InvalidUTF8));
        }
        Ok(Message::Collected(kind, bytes))
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, outgoing: Outgoing) -> Result<(), End> {
        let opcode = if outgoing.kind == Kind::Text { OpCode::Text } else { OpCode::Binary };
        let frame = Frame::new(true, opcode, None, Payload::Owned(outgoing.bytes));
        self.socket.write_frame(frame).await.map_err(|error| kind_of_websocket(&error))
    }
}

/// `close 3008`, from the close frame's payload.
fn close_of(payload: &[u8]) -> End {
    payload.first_chunk().map_or_else(|| "close".to_owned(), |code| format!("close {}", u16::from_be_bytes(*code)))
}

fn kind_of_websocket(error: &WebSocketError) -> End {
    match error {
        WebSocketError::IoError(error) => kind_of(error),
        WebSocketError::UnexpectedEOF | WebSocketError::ConnectionClosed => {
            kind_of(&io::Error::from(io::ErrorKind::UnexpectedEof))
        }
        other => format!("protocol: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// A server's last, or only, frame of a message.
    fn last(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Frame::new(true, opcode, None, Payload::Borrowed(payload)).write(&mut bytes).to_vec()
    }

    /// One that is not the last.
    fn part(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Frame::new(false, opcode, None, Payload::Borrowed(payload)).write(&mut bytes).to_vec()
    }

    /// What comes of these frames: messages in words, and how it ended.
    async fn heard(frames: &[Vec<u8>]) -> (Vec<String>, End) {
        let (mut server, client) = tokio::io::duplex(1 << 16);
        let bytes = frames.concat();
        let writing = tokio::spawn(async move {
            // The client may have heard enough.
            server.write_all(&bytes).await.ok();
            server.shutdown().await.ok();
            server
        });
        let mut messages = Messages::new(client);
        let mut heard = Vec::new();
        let end = loop {
            match messages.next().await {
                Ok(Message::Whole(kind, payload)) => {
                    heard.push(format!("{kind:?} {}", String::from_utf8_lossy(&payload)));
                }
                Ok(Message::Collected(kind, bytes)) => {
                    heard.push(format!("{kind:?} {}", String::from_utf8_lossy(&bytes)));
                }
                Ok(Message::Nothing) => {}
                Err(end) => break end,
            }
        };
        drop(messages);
        drop(writing.await.unwrap());
        (heard, end)
    }

    #[tokio::test]
    async fn messages_in_one_frame_and_in_many() {
        use OpCode::{Binary, Close, Continuation, Pong, Text};
        let frames = [
            last(Text, b"one"),
            part(Text, "ä".as_bytes().split_at(1).0),
            last(Pong, b"between"),
            part(Continuation, "ä".as_bytes().split_at(1).1),
            last(Continuation, b"!"),
            last(Binary, b"two"),
            last(Close, &3008_u16.to_be_bytes()),
        ];
        let (messages, end) = heard(&frames).await;
        assert_eq!(messages, ["Text one", "Text ä!", "Binary two"]);
        assert_eq!(end, "close 3008");
    }

    #[tokio::test]
    async fn what_is_no_message_ends_the_connection() {
        use OpCode::{Binary, Continuation, Text};
        for (frames, wanted) in [
            (vec![last(Continuation, b"x")], "protocol: a continuation of nothing"),
            (vec![part(Binary, b"x"), last(Text, b"y")], "protocol: a message within another"),
            (vec![part(Text, b"x"), last(Continuation, b"\xff")], "protocol: Invalid UTF-8"),
            (vec![part(Text, b"x")], "closed without a word"),
        ] {
            assert_eq!(heard(&frames).await, (Vec::new(), wanted.to_owned()));
        }
    }

    #[tokio::test]
    async fn an_unfinished_message_is_bounded() {
        let quarter = vec![b'x'; MESSAGE_BYTES_MAX / 4];
        let mut frames = vec![part(OpCode::Binary, &quarter)];
        frames.extend((0..3).map(|_| part(OpCode::Continuation, &quarter)));
        let (messages, end) = heard(&frames).await;
        assert_eq!((messages.len(), end.as_str()), (0, "closed without a word"), "as long as may be");
        frames.push(part(OpCode::Continuation, b"x"));
        let (_, end) = heard(&frames).await;
        assert_eq!(end, "protocol: a message of more than 16777216 bytes");
    }
}

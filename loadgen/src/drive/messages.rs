//! Whole WebSocket messages from the bytes that a server sends, RFC 6455 §5. Pure: it reads no socket, and a message
//! that is there wholly is not copied.

use super::listen::End;
use crate::adapter::Kind;

/// The longest message that is accepted, in one frame or in many.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// … and the longest payload of a frame that is no message.
const CONTROL_BYTES_MAX: usize = 125;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What a frame brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A message.
    Message(Kind, &'a [u8]),
    /// To be answered with the same.
    Ping(&'a [u8]),
    /// The server ends the connection: to be answered with the same. The last item.
    Close(&'a [u8]),
}

/// One connection's.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// A frame whose end has not come.
    rest: Vec<u8>,
    /// A message whose last frame has not come.
    unfinished: Option<(Kind, Vec<u8>)>,
}

/// A frame at the beginning of what came.
struct Frame<'a> {
    is_last: bool,
    opcode: u8,
    payload: &'a [u8],
    /// With its header, bytes.
    whole_bytes: usize,
}

impl Messages {
    /// Takes what came; `each` gets what is in it, in order, and may end it.
    #[inline]
    pub(super) fn take(&mut self, bytes: &[u8], mut each: impl FnMut(Item<'_>) -> Result<(), End>) -> Result<(), End> {
        if self.rest.is_empty() {
            let taken = self.take_frames(bytes, &mut each)?;
            self.rest.extend_from_slice(&bytes[taken..]);
            return Ok(());
        }
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(bytes);
        let taken = self.take_frames(&rest, &mut each)?;
        rest.drain(..taken);
        if !rest.is_empty() {
            self.rest = rest;
        }
        Ok(())
    }

    /// Takes all whole frames; how many bytes they are.
    #[inline]
    fn take_frames(&mut self, bytes: &[u8], each: &mut impl FnMut(Item<'_>) -> Result<(), End>) -> Result<usize, End> {
        let mut taken = 0;
        while let Some(frame) = first_frame(&bytes[taken..])? {
            taken += frame.whole_bytes;
            let kind = match frame.opcode {
                TEXT => Kind::Text,
                BINARY => Kind::Binary,
                _ => {
                    self.take_unusual(&frame, each)?;
                    continue;
                }
            };
            if self.unfinished.is_some() {
                return Err("protocol: a message within another".to_owned());
            }
            if frame.is_last {
                each(message(kind, frame.payload)?)?;
            } else {
                self.unfinished = Some((kind, frame.payload.to_vec()));
            }
        }
        Ok(taken)
    }

    #[cold]
    fn take_unusual(
        &mut self,
        frame: &Frame<'_>,
        each: &mut impl FnMut(Item<'_>) -> Result<(), End>,
    ) -> Result<(), End> {
        match frame.opcode {
            CONTINUATION => {}
            PING => return each(Item::Ping(frame.payload)),
            PONG => return Ok(()),
            CLOSE => {
                each(Item::Close(frame.payload))?;
                return Err(close_of(frame.payload));
            }
            other => return Err(format!("protocol: a frame of kind {other}")),
        }
        let Some((kind, mut bytes)) = self.unfinished.take() else {
            return Err("protocol: a continuation of nothing".to_owned());
        };
        if bytes.len() + frame.payload.len() > MESSAGE_BYTES_MAX {
            return Err(format!("protocol: a message of more than {MESSAGE_BYTES_MAX} bytes"));
        }
        bytes.extend_from_slice(frame.payload);
        if frame.is_last {
            return each(message(kind, &bytes)?);
        }
        self.unfinished = Some((kind, bytes));
        Ok(())
    }
}

#[inline]
fn message(kind: Kind, payload: &[u8]) -> Result<Item<'_>, End> {
    if kind == Kind::Text && std::str::from_utf8(payload).is_err() {
        return Err("protocol: Invalid UTF-8".to_owned());
    }
    Ok(Item::Message(kind, payload))
}

/// The frame at the beginning; nothing if it is not whole.
#[inline]
fn first_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, End> {
    let [first, second, behind @ ..] = bytes else { return Ok(None) };
    let (is_last, opcode) = (first & 0x80 != 0, first & 0x0F);
    if first & 0x70 != 0 {
        return Err("protocol: a frame with an extension that nobody asked for".to_owned());
    }
    if second & 0x80 != 0 {
        return Err("protocol: a server's frame is masked".to_owned());
    }
    let (length, behind) = match second {
        126 => match behind.split_first_chunk() {
            Some((length, behind)) => (u64::from(u16::from_be_bytes(*length)), behind),
            None => return Ok(None),
        },
        127 => match behind.split_first_chunk() {
            Some((length, behind)) => (u64::from_be_bytes(*length), behind),
            None => return Ok(None),
        },
        short => (u64::from(*short), behind),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MESSAGE_BYTES_MAX {
        return Err(format!("protocol: a message of more than {MESSAGE_BYTES_MAX} bytes"));
    }
    if opcode >= CLOSE && (length > CONTROL_BYTES_MAX || !is_last) {
        return Err("protocol: a control frame of many bytes or parts".to_owned());
    }
    let header_bytes = bytes.len() - behind.len();
    let payload = behind.get(..length);
    Ok(payload.map(|payload| Frame { is_last, opcode, payload, whole_bytes: header_bytes + length }))
}

/// `close 3008`, from the close frame's payload.
fn close_of(payload: &[u8]) -> End {
    payload.first_chunk().map_or_else(|| "close".to_owned(), |code| format!("close {}", u16::from_be_bytes(*code)))
}

#[cfg(test)]
mod tests {
    use fastwebsockets::{Frame, OpCode, Payload};

    use super::*;
    use crate::adapter::testing::{any_bytes, in_any_pieces};

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

    /// What comes of these pieces: in words, and how it ended.
    fn heard(pieces: &[&[u8]]) -> (Vec<String>, End) {
        let mut messages = Messages::default();
        let mut heard = Vec::new();
        for piece in pieces {
            let taken = messages.take(piece, |item| {
                heard.push(match item {
                    Item::Message(kind, payload) => format!("{kind:?} {}", String::from_utf8_lossy(payload)),
                    Item::Ping(payload) => format!("ping {}", String::from_utf8_lossy(payload)),
                    Item::Close(payload) => format!("close of {} bytes", payload.len()),
                });
                Ok(())
            });
            if let Err(end) = taken {
                return (heard, end);
            }
        }
        (heard, "goes on".to_owned())
    }

    #[test]
    fn messages_in_one_frame_and_in_many_in_any_pieces() {
        use OpCode::{Binary, Close, Continuation, Ping, Pong, Text};
        let long = "x".repeat(300);
        let frames = [
            last(Text, b"one"),
            part(Text, "ä".as_bytes().split_at(1).0),
            last(Pong, b"between"),
            last(Ping, b"?"),
            part(Continuation, "ä".as_bytes().split_at(1).1),
            last(Continuation, b"!"),
            last(Binary, b"two"),
            last(Text, long.as_bytes()),
            last(Close, &3008_u16.to_be_bytes()),
            last(Text, b"nobody hears it"),
        ];
        let wanted = ["Text one", "ping ?", "Text ä!", "Binary two", &format!("Text {long}"), "close of 2 bytes"];
        in_any_pieces(&frames.concat(), |pieces| {
            let (messages, end) = heard(pieces);
            assert_eq!(messages, wanted);
            assert_eq!(end, "close 3008");
        });
        let very_long = last(Binary, &vec![7; 70_000]);
        let (messages, end) = heard(&[&very_long[..5], &very_long[5..60_000], &very_long[60_000..]]);
        assert_eq!((messages[0].len(), end.as_str()), ("Binary ".len() + 70_000, "goes on"));
    }

    #[test]
    fn what_is_no_message_ends_the_connection() {
        use OpCode::{Binary, Continuation, Ping, Text};
        for (frames, wanted) in [
            (vec![last(Continuation, b"x")], "protocol: a continuation of nothing"),
            (vec![part(Binary, b"x"), last(Text, b"y")], "protocol: a message within another"),
            (vec![part(Text, b"x"), last(Continuation, b"\xff")], "protocol: Invalid UTF-8"),
            (vec![last(Text, b"\xff")], "protocol: Invalid UTF-8"),
            (vec![part(Text, b"x")], "goes on"),
            (vec![last(Ping, &[0; 126])], "protocol: a control frame of many bytes or parts"),
            (vec![part(Ping, b"x")], "protocol: a control frame of many bytes or parts"),
            (vec![vec![0x83, 0]], "protocol: a frame of kind 3"),
            (vec![vec![0xC1, 0]], "protocol: a frame with an extension that nobody asked for"),
            (vec![vec![0x81, 0x80, 0, 0, 0, 0]], "protocol: a server's frame is masked"),
        ] {
            assert_eq!(heard(&[&frames.concat()]), (Vec::new(), wanted.to_owned()));
        }
        assert_eq!(heard(&[&last(OpCode::Close, b"")]).1, "close");
    }

    #[test]
    fn a_message_is_bounded() {
        let quarter = vec![b'x'; MESSAGE_BYTES_MAX / 4];
        let mut frames = vec![part(OpCode::Binary, &quarter)];
        frames.extend((0..3).map(|_| part(OpCode::Continuation, &quarter)));
        let (messages, end) = heard(&[&frames.concat()]);
        assert_eq!((messages.len(), end.as_str()), (0, "goes on"), "as long as may be");
        frames.push(part(OpCode::Continuation, b"x"));
        let wanted = "protocol: a message of more than 16777216 bytes";
        assert_eq!(heard(&[&frames.concat()]).1, wanted);
        let announced = [&[0x82, 127][..], &(MESSAGE_BYTES_MAX as u64 + 1).to_be_bytes()].concat();
        assert_eq!(heard(&[&announced]).1, wanted);
    }

    #[test]
    fn any_bytes_are_taken_or_refused() {
        any_bytes(&[0x81, 0x82, 0x01, 0x80, 0x00, 0x89, 0x88, 0x8A, 126, 127, 1, 2, 3, 5, b'x'], |pieces| {
            drop(heard(pieces));
        });
    }
}

//! From frames to messages. Bounded, which fastwebsockets' own collector of fragments is not.

use bytes::{Bytes, BytesMut};
use fastwebsockets::{Frame, OpCode, Payload};

use super::link::Event;

/// Largest message, put together from its fragments, bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The message of which not every fragment is here, if there is one.
#[derive(Default)]
pub(super) struct Fragments(Option<(OpCode, BytesMut)>);

impl Fragments {
    /// Adds a data frame; gives the message if it is complete.
    ///
    /// # Errors
    /// The frame does not fit the ones before it, or the message is too big or not the text that it claims to be.
    pub(super) fn add(&mut self, frame: Frame<'_>) -> Result<Option<Event>, &'static str> {
        let (finished, opcode) = (frame.fin, frame.opcode);
        let payload = bytes_of(frame.payload);
        let Some((_, begun)) = &mut self.0 else {
            return match opcode {
                OpCode::Continuation => Err("a fragment without a beginning"),
                _ if finished => message(opcode, payload).map(Some),
                _ => {
                    self.0 = Some((opcode, BytesMut::from(&payload[..])));
                    Ok(None)
                }
            };
        };
        if opcode != OpCode::Continuation {
            return Err("a message inside a fragmented one");
        }
        if begun.len() + payload.len() > MESSAGE_BYTES_MAX {
            return Err("a message of more than 64 MiB");
        }
        begun.extend_from_slice(&payload);
        let complete = self.0.take_if(|_| finished);
        complete.map(|(opcode, whole)| message(opcode, whole.freeze())).transpose()
    }
}

fn message(opcode: OpCode, payload: Bytes) -> Result<Event, &'static str> {
    match opcode {
        OpCode::Text if std::str::from_utf8(&payload).is_ok() => Ok(Event::Text(payload)),
        OpCode::Text => Err("a text message that is not UTF-8"),
        _ => Ok(Event::Binary(payload)),
    }
}

/// The payload as shared bytes; not copied if it was read.
pub(super) fn bytes_of(payload: Payload<'_>) -> Bytes {
    match payload {
        Payload::Bytes(bytes) => bytes.freeze(),
        other => Bytes::from(Vec::from(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(opcode: OpCode, payload: &'static [u8]) -> Frame<'static> {
        Frame::new(true, opcode, None, Payload::Borrowed(payload))
    }

    fn part(opcode: OpCode, payload: &'static [u8]) -> Frame<'static> {
        Frame::new(false, opcode, None, Payload::Borrowed(payload))
    }

    #[test]
    fn messages_whole_and_in_pieces() {
        let mut fragments = Fragments::default();
        let text = |text: &'static [u8]| Ok(Some(Event::Text(Bytes::from_static(text))));
        assert_eq!(fragments.add(last(OpCode::Text, b"a")), text(b"a"));
        // A character may lie across two fragments.
        assert_eq!(fragments.add(part(OpCode::Text, b"\xc3")), Ok(None));
        assert_eq!(fragments.add(part(OpCode::Continuation, b"")), Ok(None));
        assert_eq!(fragments.add(last(OpCode::Continuation, b"\xa4")), text("ä".as_bytes()));
        assert_eq!(fragments.add(part(OpCode::Binary, b"\xff")), Ok(None));
        let binary = Event::Binary(Bytes::from_static(b"\xff\x00"));
        assert_eq!(fragments.add(last(OpCode::Continuation, b"\x00")), Ok(Some(binary)));
    }

    #[test]
    fn violations() {
        for frames in [
            &[last(OpCode::Continuation, b"a")][..],
            &[part(OpCode::Text, b"a"), last(OpCode::Text, b"b")],
            &[last(OpCode::Text, b"\xff")],
            &[part(OpCode::Text, b"\xc3"), last(OpCode::Continuation, b"a")],
        ] {
            let mut fragments = Fragments::default();
            let copy = |f: &Frame<'_>| Frame::new(f.fin, f.opcode, None, Payload::Owned(f.payload.to_vec()));
            assert!(frames.iter().map(|frame| fragments.add(copy(frame))).any(|result| result.is_err()));
        }
    }
}

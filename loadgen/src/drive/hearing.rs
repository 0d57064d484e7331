//! What a server's bytes say to a session: messages to the dialect, publications to whoever listens, and what is to be
//! answered. The same for a connection with a task of its own and for those that one thread reads.

use fastwebsockets::{Frame, OpCode, Payload};

use super::listen::{Ear, End, Refusal, Refused};
use super::messages::{Item, Messages};
use crate::adapter::{Event, Kind, Outgoing, Session};
use crate::clock::Nanos;

/// What comes of one arrival.
#[derive(Default)]
pub(super) struct Reaction {
    /// Frames to be written, in order.
    pub(super) answer: Vec<u8>,
    /// What the server refused.
    pub(super) refused: Vec<Refusal>,
    /// The server announced that what was missed is lost.
    pub(super) not_resumed: bool,
}

impl Reaction {
    /// A message of ours.
    pub(super) fn send(&mut self, outgoing: Outgoing) {
        let opcode = if outgoing.kind == Kind::Text { OpCode::Text } else { OpCode::Binary };
        self.push(opcode, outgoing.bytes);
    }

    fn push(&mut self, opcode: OpCode, payload: Vec<u8>) {
        let mut frame = Frame::new(true, opcode, None, Payload::Owned(payload));
        frame.mask();
        self.answer.extend_from_slice(frame.write(&mut Vec::new()));
    }

    /// What the server refused, as the end of a connection that it is fatal to.
    pub(super) fn refusal(&self) -> Result<(), End> {
        self.refused.first().map_or(Ok(()), |refusal| Err(format!("refused: {}", refusal.words)))
    }
}

/// Takes bytes that came over WebSocket at `now`. After an error there may be something to answer all the same.
#[inline]
pub(super) fn hear_frames(
    (messages, session): (&mut Messages, &mut Session),
    (bytes, now): (&[u8], Nanos),
    ear: &mut impl Ear,
    reaction: &mut Reaction,
) -> Result<(), End> {
    messages.take(bytes, |item| match item {
        Item::Message(kind, payload) => hear(session, (kind, payload, now), ear, reaction),
        Item::Ping(payload) => {
            reaction.push(OpCode::Pong, payload.to_vec());
            Ok(())
        }
        Item::Close(payload) => {
            reaction.push(OpCode::Close, payload.to_vec());
            Ok(())
        }
    })
}

/// Takes a message, or a piece of an event stream.
#[inline]
pub(super) fn hear(
    session: &mut Session,
    (kind, bytes, now): (Kind, &[u8], Nanos),
    ear: &mut impl Ear,
    reaction: &mut Reaction,
) -> Result<(), End> {
    let received = session.receive(kind, bytes, &mut |event| match event {
        Event::Publication(payload) => ear.publication(payload, now),
        Event::Answer(outgoing) => reaction.send(outgoing),
        Event::Refused(words) => reaction.refused.push(Refusal { what: Refused::Connection, words }),
        Event::PublicationRefused { number, words } => {
            reaction.refused.push(Refusal { what: Refused::Publication(number), words });
        }
        Event::NotResumed => {
            reaction.not_resumed = true;
            ear.not_resumed();
        }
        Event::Joined => {}
    });
    received.map_err(|error| error.to_string())
}

//! What a client says: frames that wait to be sent, and how far it has got with leaving.

use std::collections::VecDeque;

use super::random::Random;
use super::reader::{Id, Kind, write_frame};
use super::socket::{SharedWire, lock};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Speech {
    outgoing: VecDeque<u8>,
    /// Messages that it put into `outgoing`.
    pub(super) published: u32,
    pub(super) pings: u32,
    pub(super) said_close: Option<u16>,
    pub(super) departure: Departure,
}

/// How far the client has got with ending its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Departure {
    #[default]
    No,
    /// FIN follows when everything of its own is out.
    Announced,
    Ended,
    Reset,
}

impl Speech {
    /// Whether it has begun to leave.
    pub(super) fn leaves(&self) -> bool {
        self.said_close.is_some() || self.departure != Departure::No
    }

    pub(super) fn is_all_sent(&self) -> bool {
        self.outgoing.is_empty()
    }

    fn say(&mut self, random: &mut Random, first: u8, payload: &[u8]) {
        let mut frame = Vec::new();
        write_frame(&mut frame, first, payload, u32::try_from(random.next() >> 32).expect("32 bits"));
        self.outgoing.extend(frame);
    }

    /// Publishes a message.
    pub(super) fn publish(&mut self, by: u32, random: &mut Random) {
        let id = Id { by, number: self.published };
        self.published += 1;
        self.message(id.kind(), &id.payload(), random);
    }

    /// Says a message, in one frame or several, with pings in between.
    pub(super) fn message(&mut self, kind: Kind, payload: &[u8], random: &mut Random) {
        let mut rest = payload;
        let mut opcode = if kind == Kind::Text { 1 } else { 2 };
        while random.one_in(4) {
            let (part, behind) = rest.split_at(random.below(rest.len() + 1));
            self.say(random, opcode, part);
            (opcode, rest) = (0, behind);
            if random.one_in(3) {
                self.ping(random);
            }
        }
        self.say(random, 0x80 | opcode, rest);
    }

    pub(super) fn ping(&mut self, random: &mut Random) {
        self.pings += 1;
        let payload = self.pings.to_string().into_bytes();
        self.say(random, 0x89, &payload);
    }

    pub(super) fn pong(&mut self, random: &mut Random, payload: &[u8]) {
        self.say(random, 0x8a, payload);
    }

    /// Breaks the protocol: an unmasked frame.
    pub(super) fn offend(&mut self) {
        self.outgoing.extend([0x82, 1, 7]);
    }

    /// Says goodbye.
    pub(super) fn close(&mut self, random: &mut Random) {
        let code = random.pick(&[1000, 1001, 4321]);
        self.said_close = Some(code);
        self.say(random, 0x88, &code.to_be_bytes());
    }

    /// The server said goodbye: what was about to be said is void.
    pub(super) fn answer_close(&mut self, random: &mut Random, code: u16) {
        if self.said_close.is_none() {
            self.outgoing.clear();
            self.say(random, 0x88, &code.to_be_bytes());
        }
        self.announce_end();
    }

    pub(super) fn announce_end(&mut self) {
        if self.departure == Departure::No {
            self.departure = Departure::Announced;
        }
    }

    /// The server sends no more: nor does the client.
    pub(super) fn fall_silent(&mut self) {
        self.outgoing.clear();
        self.announce_end();
    }

    /// Puts up to `max` bytes onto the wire.
    pub(super) fn send(&mut self, wire: &SharedWire, max: usize) {
        let len = max.min(self.outgoing.len());
        let mut wire = lock(wire);
        if len > 0 {
            wire.client_write(self.outgoing.drain(..len));
        }
        if self.departure == Departure::Announced && self.outgoing.is_empty() {
            self.departure = Departure::Ended;
            wire.client_end();
        }
    }

    /// Up to `max` bytes that the server read together with the handshake.
    pub(super) fn take_unread(&mut self, max: usize) -> Vec<u8> {
        let len = max.min(self.outgoing.len());
        self.outgoing.drain(..len).collect()
    }
}

//! A client: what it sends, how it reads, and what it must never see.

use std::collections::VecDeque;

use super::random::Random;
use super::reader::{Id, Item, Reader, write_frame};
use super::socket::{SharedWire, lock};
use crate::engine::clock::Nanos;
use crate::engine::settings::LagPolicy;

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Temper {
    /// Its kernel's buffer is never full: nothing may pass it by, whatever the window.
    Perfect,
    /// Reads whenever it has a chance, from a small buffer.
    Steady,
    /// Reads now and then.
    Sluggish,
    /// Never reads again, nor answers pings.
    Stalled,
}

/// What everybody in a client's situation must put up with.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) lag: LagPolicy,
    pub(super) listen_only: bool,
    /// The budget for unfinished messages is small enough to be used up.
    pub(super) unfinished_scarce: bool,
}

/// See the module.
pub(super) struct Client {
    pub(super) id: u32,
    /// Which of the names it joined, and what the engine called the room then.
    pub(super) name: usize,
    pub(super) room_id: u64,
    pub(super) shard: usize,
    pub(super) echo: bool,
    pub(super) temper: Temper,
    pub(super) terms: Terms,
    pub(super) wire: SharedWire,
    pub(super) joined_at: Nanos,
    /// Steps of the world: when it was sent to its shard, and when it read its greeting.
    pub(super) joined_step: u64,
    pub(super) greeted_step: Option<u64>,
    greeting: Vec<u8>,
    outgoing: VecDeque<u8>,
    /// Messages that it put into `outgoing`.
    pub(super) published: u32,
    pings: u32,
    pub(super) pongs: u32,
    reader: Reader,
    pub(super) got: Vec<Id>,
    said_close: Option<u16>,
    pub(super) closed_with: Option<u16>,
    /// It sends FIN when everything of its own is out.
    ends: bool,
    pub(super) ended: bool,
    pub(super) reset: bool,
    /// It did what the server must close it for, with this code.
    pub(super) offence: Option<u16>,
    /// It waited for a home that stood still, and may have been taken for gone.
    pub(super) excused: bool,
    /// A shard stood still: what it published before its goodbye may not have come back in time.
    pub(super) home_stood_still: bool,
    pub(super) draining: Option<u16>,
    /// It has seen the end of the stream.
    pub(super) over: bool,
}

/// What a new client is made of.
pub(super) struct Newcomer {
    pub(super) id: u32,
    pub(super) name: usize,
    pub(super) room_id: u64,
    pub(super) shard: usize,
    pub(super) echo: bool,
    pub(super) temper: Temper,
    pub(super) terms: Terms,
    pub(super) greeting: Vec<u8>,
    pub(super) wire: SharedWire,
}

impl Client {
    pub(super) fn new(newcomer: Newcomer, joined_at: Nanos, joined_step: u64) -> Self {
        let Newcomer { id, name, room_id, shard, echo, temper, terms, greeting, wire } = newcomer;
        let reader = Reader::new(greeting.len());
        Self {
            id,
            name,
            room_id,
            shard,
            echo,
            temper,
            terms,
            wire,
            joined_at,
            joined_step,
            greeted_step: None,
            greeting,
            outgoing: VecDeque::new(),
            published: 0,
            pings: 0,
            pongs: 0,
            reader,
            got: Vec::new(),
            said_close: None,
            closed_with: None,
            ends: false,
            ended: false,
            reset: false,
            offence: None,
            excused: false,
            home_stood_still: false,
            draining: None,
            over: false,
        }
    }

    /// Whether the server has no reason to end it, and it does not want to.
    pub(super) fn stays(&self) -> bool {
        !self.over && self.closed_with.is_none() && !self.leaves()
    }

    pub(super) const fn is_greeted(&self) -> bool {
        self.greeted_step.is_some() || self.greeting.is_empty()
    }

    /// Whether it has begun to leave.
    pub(super) const fn leaves(&self) -> bool {
        self.said_close.is_some() || self.ends || self.ended || self.reset
    }

    /// Whether its shard may take it for gone: it does not answer pings in time.
    pub(super) const fn may_seem_gone(&self) -> bool {
        self.excused || matches!(self.temper, Temper::Stalled | Temper::Sluggish)
    }

    /// Whether it is a live client that reads.
    pub(super) fn reads(&self) -> bool {
        !self.over && !self.reset && self.temper != Temper::Stalled
    }

    /// Whether there is something for it to read, be it the end.
    pub(super) fn can_read(&self) -> bool {
        let wire = lock(&self.wire);
        self.reads() && (wire.unread() > 0 || wire.server_ended || wire.server_gone)
    }

    fn say(&mut self, random: &mut Random, first: u8, payload: &[u8]) {
        let mut frame = Vec::new();
        write_frame(&mut frame, first, payload, u32::try_from(random.next() >> 32).expect("32 bits"));
        self.outgoing.extend(frame);
    }

    /// Publishes a message, in one frame or several, with pings in between.
    pub(super) fn publish(&mut self, random: &mut Random) {
        if self.leaves() {
            return;
        }
        if self.terms.listen_only {
            self.offence.get_or_insert(1008);
        }
        let id = Id { by: self.id, number: self.published };
        self.published += 1;
        let opcode = if id.is_text() { 1 } else { 2 };
        let payload = id.payload();
        let mut rest = &payload[..];
        let mut first = opcode;
        while random.one_in(4) {
            let (part, behind) = rest.split_at(random.below(rest.len() + 1));
            self.say(random, first, part);
            (first, rest) = (0, behind);
            if random.one_in(3) {
                self.ping(random);
            }
        }
        self.say(random, 0x80 | first, rest);
    }

    pub(super) fn ping(&mut self, random: &mut Random) {
        if !self.leaves() {
            self.pings += 1;
            let payload = self.pings.to_string().into_bytes();
            self.say(random, 0x89, &payload);
        }
    }

    /// Breaks the protocol: an unmasked frame.
    pub(super) fn offend(&mut self) {
        if !self.leaves() {
            self.offence.get_or_insert(1002);
            self.outgoing.extend([0x82, 1, 7]);
        }
    }

    /// Closes in order.
    pub(super) fn close(&mut self, random: &mut Random) {
        if !self.leaves() {
            let code = random.pick(&[1000, 1001, 4321]);
            self.said_close = Some(code);
            self.say(random, 0x88, &code.to_be_bytes());
        }
    }

    /// Ends its stream without a close frame, in the same moment as the last of its bytes.
    pub(super) fn end(&mut self) {
        self.ends = true;
        self.send(usize::MAX);
    }

    pub(super) fn reset(&mut self) {
        self.reset = true;
        self.over = true;
        lock(&self.wire).client_reset();
    }

    /// Puts up to `max` bytes onto the wire.
    pub(super) fn send(&mut self, max: usize) {
        let len = max.min(self.outgoing.len());
        let mut wire = lock(&self.wire);
        if len > 0 {
            wire.client_write(self.outgoing.drain(..len));
        }
        if self.ends && self.outgoing.is_empty() && !self.ended {
            self.ended = true;
            wire.client_end();
        }
    }

    /// What came behind the handshake, of which the server has read up to `max` bytes already.
    pub(super) fn take_unread(&mut self, max: usize) -> Vec<u8> {
        let len = max.min(self.outgoing.len());
        self.outgoing.drain(..len).collect()
    }

    pub(super) fn has_sent_all(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Reads up to `max` bytes and does what they ask for.
    pub(super) fn read(&mut self, max: usize, now: (Nanos, u64), random: &mut Random) {
        if self.over {
            return;
        }
        let bytes = lock(&self.wire).client_read(max);
        self.reader.feed(&bytes);
        while let Some(item) = self.reader.next_item() {
            self.take(item, now, random);
        }
        let wire = lock(&self.wire);
        let at_end = wire.unread() == 0 && (wire.server_ended || wire.server_gone);
        let (in_order, lost) = (wire.server_ended, wire.server_reset);
        drop(wire);
        if at_end {
            self.saw_end(in_order, lost);
        }
    }

    fn take(&mut self, item: Item, now: (Nanos, u64), random: &mut Random) {
        match item {
            Item::Greeting(greeting) => {
                assert_eq!(greeting, self.greeting, "client {} got another greeting", self.id);
                self.greeted_step = Some(now.1);
            }
            Item::Message { text, payload } => {
                let id = Id::of(text, &payload);
                assert!(self.echo || id.by != self.id, "client {} got its own {id:?}", self.id);
                self.got.push(id);
            }
            Item::Ping(payload) => {
                if !self.leaves() && self.closed_with.is_none() {
                    self.say(random, 0x8a, &payload);
                }
            }
            Item::Pong(payload) => {
                let pong: u32 =
                    std::str::from_utf8(&payload).ok().and_then(|it| it.parse().ok()).expect("our own ping");
                assert!(pong > self.pongs && pong <= self.pings, "pong {pong} of {} after {}", self.pings, self.pongs);
                self.pongs = pong;
            }
            Item::Close(code) => self.closed(code, random),
        }
    }

    fn closed(&mut self, code: u16, random: &mut Random) {
        self.closed_with = Some(code);
        let due = self.said_close == Some(code)
            || self.offence == Some(code)
            || self.draining == Some(code)
            || code == 1013 && self.terms.unfinished_scarce
            || code == 3008 && self.terms.lag == LagPolicy::Disconnect && self.temper != Temper::Perfect;
        assert!(due, "client {} ({:?}) was closed with {code}", self.id, self.temper);
        if self.said_close.is_none() {
            // What it was about to send is void.
            self.outgoing.clear();
            self.say(random, 0x88, &code.to_be_bytes());
        }
        self.ends = true;
    }

    fn saw_end(&mut self, in_order: bool, lost: bool) {
        let forgiven =
            self.ended || self.leaves() && self.home_stood_still || self.may_seem_gone() || self.draining.is_some();
        if in_order && !lost {
            assert!(self.reader.is_at_boundary(), "client {}: the stream ends within a frame", self.id);
            let answered = self.closed_with.is_some() || !self.is_greeted();
            assert!(answered || forgiven, "client {}: the stream ends without a close frame", self.id);
        } else {
            let forgiven = forgiven || self.closed_with.is_some() || lock(&self.wire).refuses_poller;
            assert!(forgiven, "client {} ({:?}) was cut off", self.id, self.temper);
        }
        if !lock(&self.wire).server_gone {
            // It ends its side too.
            self.outgoing.clear();
            self.ends = true;
            self.send(0);
        }
        self.over = true;
    }

    /// Whether the newest ping has been answered.
    pub(super) const fn is_answered(&self) -> bool {
        self.pings == self.pongs
    }
}

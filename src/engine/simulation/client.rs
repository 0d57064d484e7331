//! A client: how it reads, and what it must never see.

use super::random::Random;
use super::reader::{Beginning, Id, Item, Kind, Reader, beginning_of, position_of, split_line};
use super::socket::{SharedWire, lock};
use super::speech::{Departure, Speech};
use crate::engine::clock::Nanos;
use crate::engine::feed::Encoding;
use crate::engine::position::{Began, Position, Start};
use crate::engine::settings::{Echo, LagPolicy};
use crate::protocol::frame::Coding;

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
    /// The room has a history.
    pub(super) keeps: bool,
    /// The budget for unfinished messages is small enough to be used up.
    pub(super) unfinished_scarce: bool,
}

/// Who a client is.
pub(super) struct Identity {
    pub(super) id: u32,
    /// Which of the names it joined, and what the engine called the room then.
    pub(super) name: usize,
    pub(super) room_id: u64,
    pub(super) shard: usize,
    pub(super) encoding: Encoding,
    pub(super) start: Start,
    /// Whether the position in `start` is one that it made up.
    pub(super) forged: bool,
    pub(super) echo: Echo,
    pub(super) temper: Temper,
    pub(super) terms: Terms,
    pub(super) greeting: Vec<u8>,
    /// Whether it is sent compressed messages.
    pub(super) coding: Coding,
    pub(super) joined_at: Nanos,
    /// Step of the world in which it was sent to its shard.
    pub(super) joined_step: u64,
}

/// See the module.
pub(super) struct Client {
    pub(super) who: Identity,
    pub(super) wire: SharedWire,
    /// Step of the world in which it read its greeting.
    pub(super) greeted_step: Option<u64>,
    pub(super) speech: Speech,
    pongs: u32,
    reader: Reader,
    pub(super) got: Vec<Id>,
    /// What its first line said, with `shardcast.v1`.
    pub(super) began: Option<Beginning>,
    /// Offset of each of `got`, with `shardcast.v1`.
    pub(super) offsets: Vec<u64>,
    /// Where the room stood when it was told that what it had asked for is not there.
    pub(super) lost_at: Option<Position>,
    /// When it was told how it begins.
    pub(super) told_at: Nanos,
    /// Each message that it published was said at this time or later.
    pub(super) said_at: Vec<Nanos>,
    pub(super) closed_with: Option<u16>,
    /// It did what the server must close it for, with this code.
    pub(super) offence: Option<u16>,
    /// It waited for a home that stood still, and may have been taken for gone.
    pub(super) excused: bool,
    /// A shard stood still: a close may have taken longer than it may.
    pub(super) shard_stood_still: bool,
    pub(super) draining: Option<u16>,
    /// It has seen the end of the stream.
    pub(super) over: bool,
}

/// How the server's side of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    InOrder,
    CutOff,
}

impl Client {
    pub(super) fn new(who: Identity, wire: SharedWire) -> Self {
        let reader = Reader::new(who.greeting.len()).inflating(who.coding);
        Self {
            who,
            wire,
            greeted_step: None,
            speech: Speech::default(),
            pongs: 0,
            reader,
            got: Vec::new(),
            began: None,
            offsets: Vec::new(),
            lost_at: None,
            told_at: Nanos(0),
            said_at: Vec::new(),
            closed_with: None,
            offence: None,
            excused: false,
            shard_stood_still: false,
            draining: None,
            over: false,
        }
    }

    /// Whether the server has no reason to end it, and it does not want to.
    pub(super) fn stays(&self) -> bool {
        !self.over && self.closed_with.is_none() && !self.speech.leaves()
    }

    pub(super) const fn is_greeted(&self) -> bool {
        self.greeted_step.is_some() || self.who.greeting.is_empty()
    }

    /// Whether its shard may take it for gone: it does not answer pings in time.
    pub(super) const fn may_seem_gone(&self) -> bool {
        self.excused || matches!(self.who.temper, Temper::Stalled | Temper::Sluggish)
    }

    /// Whether it is a live client that reads.
    pub(super) fn reads(&self) -> bool {
        !self.over && self.who.temper != Temper::Stalled
    }

    /// Whether there is something for it to read, be it the end.
    pub(super) fn can_read(&self) -> bool {
        let wire = lock(&self.wire);
        self.reads() && (wire.unread() > 0 || wire.server_ended || wire.server_gone)
    }

    /// Whether the newest ping has been answered.
    pub(super) const fn is_answered(&self) -> bool {
        self.speech.pings == self.pongs
    }

    /// Up to where it has read, if it knows.
    pub(super) fn position(&self) -> Option<Position> {
        let Position { epoch, offset } = self.began?.position;
        Some(Position { epoch, offset: self.offsets.last().copied().unwrap_or(offset) })
    }

    /// Publishes a message, not before `now`.
    pub(super) fn publish(&mut self, random: &mut Random, now: Nanos) {
        if self.speech.leaves() {
            return;
        }
        if self.who.terms.listen_only {
            self.offence.get_or_insert(1008);
        }
        self.said_at.push(now);
        self.speech.publish(self.who.id, random);
    }

    pub(super) fn ping(&mut self, random: &mut Random) {
        if !self.speech.leaves() {
            self.speech.ping(random);
        }
    }

    pub(super) fn offend(&mut self) {
        if !self.speech.leaves() {
            self.offence.get_or_insert(1002);
            self.speech.offend();
        }
    }

    /// Closes in order.
    pub(super) fn close(&mut self, random: &mut Random) {
        if !self.speech.leaves() {
            self.speech.close(random);
        }
    }

    /// Ends its stream without a close frame, in the same moment as the last of its bytes.
    pub(super) fn end(&mut self) {
        self.speech.announce_end();
        self.send(usize::MAX);
    }

    pub(super) fn reset(&mut self) {
        self.speech.departure = Departure::Reset;
        self.over = true;
        lock(&self.wire).client_reset();
    }

    pub(super) fn send(&mut self, max: usize) {
        self.speech.send(&self.wire, max);
    }

    /// Reads up to `max` bytes at a moment of the world (step, and time), and does what they ask for.
    pub(super) fn read(&mut self, max: usize, moment: (u64, Nanos), random: &mut Random) {
        if self.over {
            return;
        }
        let bytes = lock(&self.wire).client_read(max);
        self.reader.feed(&bytes);
        while let Some(item) = self.reader.next_item() {
            self.take(item, moment, random);
        }
        let wire = lock(&self.wire);
        let at_end = wire.unread() == 0 && (wire.server_ended || wire.server_gone);
        let end = if wire.server_ended && !wire.server_reset { End::InOrder } else { End::CutOff };
        drop(wire);
        if at_end {
            self.saw(end);
        }
    }

    fn take(&mut self, item: Item, (step, now): (u64, Nanos), random: &mut Random) {
        let own = self.who.id;
        match item {
            Item::Greeting(greeting) => {
                assert_eq!(greeting, self.who.greeting, "client {own} got another greeting");
                self.greeted_step = Some(step);
            }
            Item::Message(kind, message) if self.who.encoding == Encoding::V1 => self.message_v1(kind, &message, now),
            Item::Message(kind, payload) => self.publication(kind, &payload),
            Item::Ping(payload) => {
                if !self.speech.leaves() && self.closed_with.is_none() {
                    self.speech.pong(random, &payload);
                }
            }
            // It stands in the place of a publication that is not kept.
            Item::Pong(payload) if payload.is_empty() => {}
            Item::Pong(payload) => {
                let pong: u32 =
                    std::str::from_utf8(&payload).ok().and_then(|it| it.parse().ok()).expect("our own ping");
                let pings = self.speech.pings;
                assert!(pong > self.pongs && pong <= pings, "pong {pong} of {pings} after {}", self.pongs);
                self.pongs = pong;
            }
            Item::Close(code, reason) => {
                if code == 4410 {
                    let position = reason.strip_prefix("not recoverable, the position is ");
                    self.lost_at = Some(position_of(position.expect("the reason of 4410 says the position")));
                    self.told_at = now;
                }
                self.closed(code, random);
            }
            Item::Last => panic!("no HTTP answer"),
        }
    }

    fn publication(&mut self, kind: Kind, payload: &[u8]) {
        let (own, id) = (self.who.id, Id::of(kind, payload));
        assert!(self.who.echo == Echo::On || id.by != own, "client {own} got its own {id:?}");
        self.got.push(id);
    }

    fn message_v1(&mut self, kind: Kind, message: &[u8], now: Nanos) {
        let (line, payload) = split_line(message);
        let Some(Beginning { position: Position { epoch, .. }, .. }) = self.began else {
            assert!(kind == Kind::Text && payload.is_empty(), "the first message is a line of text");
            let began = beginning_of(line);
            self.lost_at = (began.state == Began::Lost).then_some(began.position);
            (self.began, self.told_at) = (Some(began), now);
            return;
        };
        let position = position_of(line);
        assert_eq!(position.epoch, epoch, "client {}: the epoch changes on the way", self.who.id);
        self.publication(kind, payload);
        self.offsets.push(position.offset);
    }

    fn closed(&mut self, code: u16, random: &mut Random) {
        self.closed_with = Some(code);
        let (terms, temper) = (&self.who.terms, self.who.temper);
        let due = self.speech.said_close == Some(code)
            || self.offence == Some(code)
            || self.draining == Some(code)
            || code == 1013 && terms.unfinished_scarce
            || code == 4410 && self.who.encoding == Encoding::Raw && matches!(self.who.start, Start::After(_))
            || code == 3008 && terms.lag == LagPolicy::Disconnect && temper != Temper::Perfect;
        assert!(due, "client {} ({temper:?}) was closed with {code}", self.who.id);
        self.speech.answer_close(random, code);
    }

    fn saw(&mut self, end: End) {
        let forgiven = self.speech.departure == Departure::Ended || self.may_seem_gone() || self.draining.is_some();
        let (id, temper) = (self.who.id, self.who.temper);
        if end == End::InOrder {
            assert!(self.reader.is_at_boundary(), "client {id}: the stream ends within a frame");
            let answered = self.closed_with.is_some() || !self.is_greeted();
            assert!(answered || forgiven, "client {id}: the stream ends without a close frame");
        } else {
            let forgiven =
                forgiven || self.shard_stood_still || self.closed_with.is_some() || lock(&self.wire).refuses_poller;
            assert!(forgiven, "client {id} ({temper:?}) was cut off");
        }
        if !lock(&self.wire).server_gone {
            self.speech.fall_silent();
            self.send(0);
        }
        self.over = true;
    }
}

//! From a socket's bytes to publications.
//!
//! A connection is read when the poller reported it, in turn with others, one read at a time. Whenever publishers have
//! to wait (the fan-out is behind, an inbox is full, the connection has used its rate), reading stops where it is: the
//! bytes stay, the kernel's buffer fills, and TCP slows the client down. Nothing is lost.

use std::cmp::Reverse;
use std::io;
use std::ops::ControlFlow;

use super::clock::Nanos;
use super::command::Keeping;
use super::connection::{Allowance, Flags, State};
use super::home::Homes;
use super::membership::Close;
use super::metrics::{Counter, Counts};
use super::outbox::{Outbox, Stamp};
use super::post::{Message, Payload};
use super::settings::ClientPublish;
use super::shard::{READ_BYTES, Shard, publication_counter};
use super::socket::Socket;
use super::window::Publisher;
use crate::protocol::deflate::Inflater;
use crate::protocol::frame::{self, DecodeLimits, Extension, MessageKind, ProtocolError, Sink};

/// Bytes of messages that a shard takes in one turn: what follows goes out a turn later.
const PUBLISHED_BYTES_PER_TURN: usize = if cfg!(test) { 1_024 } else { 256 << 10 };

/// What a message costs of it beside its payload, and what a ping or a pong costs.
pub(crate) const MESSAGE_OVERHEAD_BYTES: usize = 64;

/// Bytes of answers to the pings of one read. A connection that takes no more gets one: the newest.
const PONG_BYTES_PER_READ: usize = 4 << 10;

/// Bytes read at once where connections may publish so many messages a second: what one may not yet publish is kept.
const READ_BYTES_RATED: usize = if cfg!(test) { 256 } else { 4 << 10 };

/// Connections read in one turn: the fan-out has to go on.
const READS_PER_TURN: usize = if cfg!(test) { 4 } else { 256 };

const MICRO: u64 = 1_000_000;

impl<S: Socket> Shard<S> {
    /// Puts a connection into the queue of those to be read.
    pub(crate) fn queue_reading(&mut self, number: u32) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        if !connection.flags.has(Flags::QUEUED) {
            connection.flags.set(Flags::QUEUED);
            if connection.state != State::Joining {
                self.readable.push_back(number);
            }
        }
    }

    /// Reads connections in turn, as long as publishers need not wait.
    pub(crate) fn read(&mut self) {
        let mut bytes_left = PUBLISHED_BYTES_PER_TURN;
        for _ in 0..READS_PER_TURN {
            if bytes_left == 0 {
                self.counts.add(Counter::PublishersHeld, 1);
                return;
            }
            let Some(number) = self.readable.pop_front() else { return };
            self.read_connection(number, &mut bytes_left);
        }
    }

    fn read_connection(&mut self, number: u32, bytes_left: &mut usize) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        if connection.state == State::Joining {
            // The entry is an earlier connection's of the same number: what was reported of this one stays noted.
            return;
        }
        if connection.state == State::Closing {
            connection.flags.clear(Flags::QUEUED);
            return self.discard(number);
        }
        if connection.is_ending() {
            connection.flags.clear(Flags::QUEUED);
            // When it closes, what is in its socket is thrown away.
            return;
        }
        if self.is_throttled(number) {
            // An earlier connection's entry again: this one's own is among the throttled.
            return;
        }
        let Some(connection) = self.connections.get_mut(number) else { return };
        connection.flags.clear(Flags::QUEUED);
        let unread = connection.extra.as_mut().map(|extra| std::mem::take(&mut extra.unread)).unwrap_or_default();
        if !unread.is_empty() {
            self.decode_unread(number, unread, bytes_left);
            return;
        }
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let read_bytes =
            if self.settings.limits.publish_per_second_max.is_some() { READ_BYTES_RATED } else { READ_BYTES };
        let received = connection.socket.receive(&mut buffer[..read_bytes]);
        match received {
            Ok(0) => self.gone(number, Counter::ClosedLost),
            Ok(len) => {
                self.counts.add(Counter::BytesReceived, len as u64);
                connection.heard_s = self.now.seconds();
                if !connection.flags.has_any(Flags::SESSION) {
                    connection.flags.clear(Flags::PINGED);
                }
                // An end that was reported together with the data is not reported again.
                let drained = len < read_bytes && !connection.flags.has(Flags::HUNG_UP);
                let consumed = self.decode(number, &mut buffer[..len], bytes_left);
                let socket = if drained { Socketful::Drained } else { Socketful::MayHoldMore };
                self.keep_unread(number, &buffer[consumed..len], socket);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {}
                io::ErrorKind::Interrupted => self.queue_reading(number),
                _ => self.gone(number, Counter::ClosedLost),
            },
        }
        self.read_buffer = buffer;
    }

    /// Goes on with what was received before publishers had to wait.
    fn decode_unread(&mut self, number: u32, mut unread: Vec<u8>, bytes_left: &mut usize) {
        let consumed = self.decode(number, &mut unread, bytes_left);
        unread.drain(..consumed);
        self.keep_unread(number, &unread, Socketful::MayHoldMore);
    }

    /// Keeps what was received and not decoded, and comes back to it.
    fn keep_unread(&mut self, number: u32, rest: &[u8], socket: Socketful) {
        let Some(connection) = self.connections.get_mut(number).filter(|it| !it.is_ending()) else { return };
        if !rest.is_empty() {
            connection.extra().unread = rest.to_vec();
        }
        if let Some(unfinished) = connection.extra.as_mut().and_then(|extra| extra.unfinished.as_mut())
            && unfinished.since_s == 0
        {
            unfinished.since_s = self.now.seconds().max(1);
        }
        let is_session = connection.flags.has_any(Flags::SESSION);
        let allowance = connection.extra.as_ref().and_then(|extra| extra.allowance).filter(|_| !is_session);
        match allowance.filter(Allowance::is_used_up) {
            // Also when nothing is left: what comes next would be read, and published, at once.
            Some(allowance) => {
                connection.flags.set(Flags::QUEUED);
                self.throttled.push(Reverse((self.unthrottled_at(allowance), number)));
            }
            None if rest.is_empty() && socket == Socketful::Drained => {}
            None if rest.is_empty() => self.queue_reading(number),
            None => {
                // Next of all: so one connection at a time holds such bytes, not each that publishes.
                connection.flags.set(Flags::QUEUED);
                self.readable.push_front(number);
            }
        }
    }

    /// Throws away what a closing connection still sends, until it ends or answers our close frame.
    fn discard(&mut self, number: u32) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        match connection.socket.receive(&mut self.read_buffer) {
            Ok(0) => self.gone(number, Counter::ClosedLost),
            Ok(len) => self.listen_for_goodbye(number, len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.queue_reading(number),
            Err(_) => self.gone(number, Counter::ClosedLost),
        }
    }

    /// Decodes what one connection sent and does what it says. Returns how much was used up.
    fn decode(&mut self, number: u32, input: &mut [u8], bytes_left: &mut usize) -> usize {
        let Some(connection) = self.connections.get_mut(number) else { return input.len() };
        if connection.flags.has_any(Flags::STREAM) {
            return input.len();
        }
        if connection.flags.has_any(Flags::SESSION) {
            return self.decode_session(number, input, bytes_left);
        }
        let Some(room) = self.rooms.get(connection.room) else { return input.len() };
        let limits = &self.settings.limits;
        let decode_limits = DecodeLimits {
            message_bytes_max: limits.message_bytes_max,
            message_fragments_max: limits.message_fragments_max,
        };
        let blocked = connection.flags.has(Flags::BLOCKED);
        let mut unfinished = connection.extra.as_mut().and_then(|extra| extra.unfinished.take());
        let allowance = connection.extra.as_ref().and_then(|extra| extra.allowance);
        let mut received = Received {
            homes: &mut self.homes,
            outbox: &mut self.outbox,
            counts: &mut self.counts,
            inflater: &mut self.inflater,
            extension: connection.extension(),
            message_bytes_max: limits.message_bytes_max,
            bytes_left,
            allowance: limits.publish_per_second_max.map(|rate| refilled(allowance, rate, self.now)),
            listen_only: room.settings.publish == ClientPublish::Refused,
            own_shard: self.own_number,
            home: room.room.home,
            stamp: Stamp {
                room_id: room.room.id,
                publisher: Publisher::connection(self.own_number, connection.serial),
                published: self.now,
            },
            published: false,
            pongs: Vec::new(),
            pongs_bytes_max: if blocked { 0 } else { PONG_BYTES_PER_READ },
            pong: None,
            ended: None,
        };
        let decoded = frame::decode(&mut unfinished, input, &decode_limits, &mut self.unfinished_left, &mut received);
        let Received { allowance, published, pongs, pong, ended, .. } = received;
        if published {
            connection.flags.set(Flags::PUBLISHED);
        }
        if unfinished.is_some() || pong.is_some() || allowance.is_some() || connection.extra.is_some() {
            let extra = connection.extra();
            (extra.unfinished, extra.allowance) = (unfinished, allowance);
            extra.direct.extend_from_slice(&pongs);
            if let Some(pong) = pong
                && extra.pong.replace(pong).is_some()
            {
                self.counts.add(Counter::DroppedPong, 1);
            }
            connection.settle();
        }
        if connection.has_direct() && !blocked {
            self.serve(number);
        }
        self.end_if(number, decoded, ended).unwrap_or(input.len())
    }

    /// Ends the connection if its bytes ask for it. Otherwise: how much was used up.
    fn end_if(&mut self, number: u32, decoded: Result<usize, ProtocolError>, ended: Option<Ended>) -> Option<usize> {
        let close = match (decoded, ended) {
            (Ok(consumed), None) => return Some(consumed),
            (Err(error), _) => error.into(),
            (Ok(_), Some(Ended::ByClient(code))) => {
                // RFC 6455 §5.5.1: the answer carries the same code; a frame without one is answered with 1000.
                Close { code: code.unwrap_or(1000), reason: String::new(), counter: Counter::ClosedByClient }
            }
            (Ok(_), Some(Ended::ListenOnly)) => Close {
                code: 1008,
                reason: "this room is listen-only: room.publish is \"refused\"".to_owned(),
                counter: Counter::ClosedListenOnly,
            },
        };
        self.end(number, close);
        None
    }

    /// Whether a connection may not publish yet.
    fn is_throttled(&self, number: u32) -> bool {
        let extra = self.connections.get(number).and_then(|connection| connection.extra.as_ref());
        // A session is told that it is too fast, instead of being read later.
        let allowance = extra.filter(|extra| extra.session.is_none()).and_then(|extra| extra.allowance);
        let used_up = allowance.filter(Allowance::is_used_up);
        used_up.is_some_and(|allowance| self.unthrottled_at(allowance) > self.now)
    }

    fn unthrottled_at(&self, allowance: Allowance) -> Nanos {
        let rate = u64::from(self.settings.limits.publish_per_second_max.unwrap_or(u32::MAX)).max(1);
        let missing = MICRO.saturating_sub(allowance.micro_messages);
        Nanos(allowance.counted_at.0 + missing * 1_000 / rate + 1)
    }

    /// Connections that may publish again.
    pub(crate) fn unthrottle(&mut self) {
        while let Some(Reverse((at, number))) = self.throttled.peek().copied() {
            if at > self.now {
                return;
            }
            self.throttled.pop();
            if self.connections.get(number).is_some_and(|it| it.flags.has(Flags::QUEUED)) {
                self.readable.push_back(number);
            }
        }
    }
}

/// What a read left in the socket. One that took less than it could has emptied it: the next arrival is reported.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Socketful {
    Drained,
    MayHoldMore,
}

impl Allowance {
    const fn is_used_up(&self) -> bool {
        self.micro_messages < MICRO
    }
}

/// Whether nothing may be published for now.
pub(crate) const fn is_used_up(allowance: &Allowance) -> bool {
    allowance.is_used_up()
}

/// The allowance at `now`, of a connection that may publish `rate` messages a second and as many at once.
pub(crate) fn refilled(allowance: Option<Allowance>, rate: u32, now: Nanos) -> Allowance {
    let full = u64::from(rate) * MICRO;
    let micro_messages = allowance.map_or(full, |old| {
        let passed_nanos = now.0.saturating_sub(old.counted_at.0);
        let gained = u128::from(passed_nanos) * u128::from(rate) / 1_000;
        old.micro_messages.saturating_add(u64::try_from(gained).unwrap_or(u64::MAX)).min(full)
    });
    Allowance { micro_messages, counted_at: now }
}

/// Why a connection that sent valid frames ends.
enum Ended {
    /// It said so, with this code.
    ByClient(Option<u16>),
    /// It published where only the server may.
    ListenOnly,
}

/// Takes what the decoder finds in one connection's bytes.
struct Received<'s> {
    homes: &'s mut Homes,
    outbox: &'s mut Outbox,
    counts: &'s mut Counts,
    inflater: &'s mut Option<Box<Inflater>>,
    extension: Extension,
    message_bytes_max: usize,
    bytes_left: &'s mut usize,
    allowance: Option<Allowance>,
    listen_only: bool,
    own_shard: usize,
    home: usize,
    stamp: Stamp,
    published: bool,
    /// Answers to all pings but the newest, encoded.
    pongs: Vec<u8>,
    pongs_bytes_max: usize,
    /// The newest ping.
    pong: Option<Vec<u8>>,
    ended: Option<Ended>,
}

impl Received<'_> {
    /// Takes what a message costs from what the turn may take.
    fn charge(&mut self, payload_bytes: usize) {
        *self.bytes_left = self.bytes_left.saturating_sub(payload_bytes + MESSAGE_OVERHEAD_BYTES);
    }
}

impl Sink for Received<'_> {
    fn message(&mut self, kind: MessageKind, payload: &[u8]) -> ControlFlow<()> {
        self.counts.add(Counter::MessagesReceived, 1);
        if self.listen_only {
            self.ended = Some(Ended::ListenOnly);
            return ControlFlow::Break(());
        }
        let Stamp { room_id, publisher, published } = self.stamp;
        if self.home == self.own_shard {
            let payload = Payload::Borrowed(payload);
            let message =
                Message { kind, payload, publisher, published, tags: None, info: None, keeping: Keeping::Kept };
            let published = self.homes.publish(room_id, &message);
            self.counts.add(publication_counter(published), 1);
        } else {
            self.outbox.publish(self.home, (kind, payload), None, self.stamp);
        }
        self.published = true;
        self.charge(payload.len());
        let allowed = self.allowance.as_mut().is_none_or(|allowance| {
            allowance.micro_messages = allowance.micro_messages.saturating_sub(MICRO);
            allowance.micro_messages >= MICRO
        });
        if *self.bytes_left > 0 && allowed { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn extension(&self) -> Extension {
        self.extension
    }

    fn compressed_message(&mut self, kind: MessageKind, payload: &[u8]) -> Result<ControlFlow<()>, ProtocolError> {
        if self.listen_only {
            // Not worth inflating: it is refused whatever it says.
            return Ok(self.message(kind, &[]));
        }
        let mut inflater = self.inflater.take().unwrap_or_default();
        let inflated = inflater.message(kind, payload, self.message_bytes_max);
        let flow = inflated.map(|message| self.message(kind, message));
        *self.inflater = Some(inflater);
        flow
    }

    fn ping(&mut self, payload: &[u8]) -> ControlFlow<()> {
        self.charge(0);
        if let Some(older) = self.pong.replace(payload.to_vec()) {
            if self.pongs.len() < self.pongs_bytes_max {
                frame::encode_pong(&mut self.pongs, &older);
            } else {
                self.counts.add(Counter::DroppedPong, 1);
            }
        }
        ControlFlow::Continue(())
    }

    fn pong(&mut self, _payload: &[u8]) {
        // That something came is all that the heartbeat asks.
        self.charge(0);
    }

    fn close(&mut self, code: Option<u16>, _reason: &str) {
        self.ended = Some(Ended::ByClient(code));
    }
}

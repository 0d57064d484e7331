//! One member's connection: a slab entry, and more only while there is something unfinished.

use std::io;

use super::admission::Permit;
use super::membership::Close;
use super::presence::Attendee;
use super::session::Session;
use super::socket::Socket;
use super::window::Publisher;
use crate::protocol::frame::{self, Extension, Unfinished};

/// A connection of one shard. An idle one is this entry and nothing else; a test keeps its size.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    pub(crate) socket: S,
    /// Its room's number on this shard.
    pub(crate) room: u32,
    /// Its place in the room's ring.
    pub(crate) place: u32,
    /// Tells it from earlier connections with the same number.
    pub(crate) serial: u32,
    /// Position in the room's window up to which the kernel has taken everything.
    pub(crate) cursor: u64,
    /// What is unfinished, if anything is.
    pub(crate) extra: Option<Box<Extra>>,
    /// When something last came from it; of an HTTP stream, also when a comment went to it; of one that is ending, when
    /// that began (second of the engine's life).
    pub(crate) heard_s: u32,
    /// When the heartbeat looks at it next.
    pub(crate) due_s: u32,
    pub(crate) state: State,
    pub(crate) flags: Flags,
    /// Its share of the connection limits: given back when the entry is dropped.
    pub(crate) _permit: Permit,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Waits for its room's home to know this shard.
    Joining,
    /// A member.
    Open,
    /// No member any more: only what is in [`Extra::direct`] still goes out, what comes in is thrown away.
    Closing,
}

/// Bits that a connection has or has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    /// The kernel took less than was offered: the next writable event goes on.
    pub(crate) const BLOCKED: Self = Self(1);
    /// It stands in the shard's queue of connections to be read.
    pub(crate) const QUEUED: Self = Self(2);
    /// It does not want its own messages.
    pub(crate) const NO_ECHO: Self = Self(4);
    /// It has published (with `NO_ECHO`: the window holds frames that it must not get).
    pub(crate) const PUBLISHED: Self = Self(8);
    /// A ping is unanswered.
    pub(crate) const PINGED: Self = Self(16);
    /// It is closed as soon as it has everything.
    pub(crate) const LEAVING: Self = Self(32);
    /// The poller reported the stream's end, or an error: a read that took less than it could is not the last one.
    pub(crate) const HUNG_UP: Self = Self(64);
    /// The client's close frame has come: nothing more is owed to it than ours.
    pub(crate) const SAID_GOODBYE: Self = Self(128);
    /// What it sends is not frames any more, or not from a frame's start.
    pub(crate) const UNINTELLIGIBLE: Self = Self(256);
    /// It is in many rooms, and says so in commands: see [`super::session`].
    pub(crate) const SESSION: Self = Self(512);
    /// An HTTP answer without end instead of a WebSocket: what its client sends says nothing.
    pub(crate) const STREAM: Self = Self(1_024);
    /// It may send compressed messages.
    pub(crate) const DEFLATE: Self = Self(2_048);
    /// Its own messages are in the window and must be left out.
    pub(crate) const SKIPS_OWN: Self = Self(4 | 8);

    pub(crate) const fn has(self, all: Self) -> bool {
        self.0 & all.0 == all.0
    }

    pub(crate) const fn has_any(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    pub(crate) const fn set(&mut self, flags: Self) {
        self.0 |= flags.0;
    }

    pub(crate) const fn clear(&mut self, flags: Self) {
        self.0 &= !flags.0;
    }
}

/// What only some connections need, and only for some time.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// An unfinished frame or message from the client.
    pub(crate) unfinished: Option<Box<Unfinished>>,
    /// Received bytes that are not decoded yet, because publishers have to wait.
    pub(crate) unread: Vec<u8>,
    /// Bytes for this connection alone (handshake answer, ping, close, rest of a frame), `direct_sent` of which are
    /// out.
    pub(crate) direct: Vec<u8>,
    pub(crate) direct_sent: usize,
    /// The newest ping that is not answered yet: one answer is kept, RFC 6455 §5.5.3 allows it.
    pub(crate) pong: Option<Vec<u8>>,
    /// How it closes when it has been offered what it published itself: see [`super::ending`].
    pub(crate) ending: Option<Box<Close>>,
    /// Messages that it may publish now, if its rate is bounded: see [`super::inbound`].
    pub(crate) allowance: Option<Allowance>,
    pub(crate) session: Option<Box<Session>>,
    /// Who a member is, if it has a name and its room wants to know.
    pub(crate) attendee: Option<Box<Attendee>>,
}

/// A token bucket of one second's messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// Messages, in millionths.
    pub(crate) micro_messages: u64,
    pub(crate) counted_at: super::clock::Nanos,
}

impl Extra {
    fn is_empty(&self) -> bool {
        self.unfinished.is_none()
            && self.unread.is_empty()
            && self.direct.is_empty()
            && self.pong.is_none()
            && self.ending.is_none()
            && self.allowance.is_none()
            && self.session.is_none()
            && self.attendee.is_none()
    }
}

/// How far sending got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The kernel took everything.
    All,
    /// The kernel took so many bytes and wants no more.
    Part(usize),
    /// The stream is gone.
    Gone,
}

/// Offers `bytes` to the kernel once.
pub(crate) fn send(socket: &mut impl Socket, bytes: &[u8]) -> Sent {
    match socket.send(bytes) {
        Ok(sent) if sent == bytes.len() => Sent::All,
        Ok(sent) => Sent::Part(sent),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Part(0),
        // The stream is edge-triggered: a retry has to come from us.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => send(socket, bytes),
        Err(_) => Sent::Gone,
    }
}

impl<S: Socket> Connection<S> {
    pub(crate) fn publisher(&self, shard: usize) -> Publisher {
        Publisher::connection(shard, self.serial)
    }

    /// What its frames may be.
    pub(crate) const fn extension(&self) -> Extension {
        if self.flags.has(Flags::DEFLATE) { Extension::Deflate } else { Extension::None }
    }

    pub(crate) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Frees the extra part when nothing is unfinished any more.
    pub(crate) fn settle(&mut self) {
        if !self.flags.has(Flags::SESSION) && self.extra.as_ref().is_some_and(|extra| extra.is_empty()) {
            self.extra = None;
        }
    }

    /// Whether nothing more is read from it, for it has said its last.
    pub(crate) fn is_ending(&self) -> bool {
        self.state == State::Closing || self.extra.as_ref().is_some_and(|extra| extra.ending.is_some())
    }

    #[cfg(test)]
    pub(crate) fn forget_partial(&mut self) {
        if let Some(session) = self.extra.as_mut().and_then(|extra| extra.session.as_deref_mut()) {
            session.forget_partial();
        }
    }

    /// Whether it is a member of a room of its own.
    #[cfg(test)]
    pub(crate) fn is_member(&self) -> bool {
        self.state == State::Open && !self.flags.has(Flags::SESSION)
    }

    /// Whether bytes for this connection alone are waiting.
    pub(crate) fn has_direct(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| !extra.direct.is_empty() || extra.pong.is_some())
    }

    /// Sends what is waiting for this connection alone. At a frame boundary of the room's data only.
    pub(crate) fn send_direct(&mut self) -> Sent {
        let Some(extra) = self.extra.as_mut() else { return Sent::All };
        loop {
            if extra.direct_sent == extra.direct.len() {
                (extra.direct, extra.direct_sent) = (Vec::new(), 0);
                let Some(ping) = extra.pong.take() else { break };
                frame::encode_pong(&mut extra.direct, &ping);
            }
            match send(&mut self.socket, &extra.direct[extra.direct_sent..]) {
                Sent::All => extra.direct_sent = extra.direct.len(),
                Sent::Part(sent) => {
                    extra.direct_sent += sent;
                    return Sent::Part(sent);
                }
                Sent::Gone => return Sent::Gone,
            }
        }
        self.settle();
        Sent::All
    }

    /// Puts the rest of a frame that was cut off from the window in front of what waits for this connection alone.
    pub(crate) fn carry(&mut self, frame_rest: &[u8]) {
        let extra = self.extra();
        debug_assert!(extra.direct_sent == 0, "nothing of its own begins in the middle of a frame");
        extra.direct.splice(0..0, frame_rest.iter().copied());
    }
}

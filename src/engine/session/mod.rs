//! Connections that are in many rooms at once, and say so in commands: the centrifuge protocol.
//!
//! ```text
//! inbound      a socket's bytes → messages → commands
//! commands     what each command does
//! subscribing  into a room, out of it
//! later        what is said about a room before the session is in it
//! delivery     a room's publications to those of its subscriptions whose socket takes them
//! ```
//!
//! A session is a connection without a room of its own. Each of its subscriptions stands in a room's ring in its place,
//! with a cursor of its own; what goes out to the session alone (replies, pings) goes out between their frames.

mod commands;
mod delivery;
mod inbound;
mod later;
mod outside;
mod subscribing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use uuid::Uuid;

use super::feed::Encoding;
use super::position::Start;
use super::settings::Settings;
use crate::protocol::centrifuge::code::Disconnect;
use crate::protocol::centrifuge::publication::{self, ClientInfo};
use crate::protocol::centrifuge::{push, stream};
use crate::protocol::chunk;
use crate::protocol::frame::{self, CloseCode, Coding, MessageKind};

use later::Later;
pub use outside::Target;
pub(crate) use outside::{Act, SessionKey};

/// What a node calls itself to clients of streams: there is one.
pub const NODE: &str = "local";

/// How a session's server side reaches its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// WebSocket, both ways.
    WebSocket,
    /// Server-sent events; what the client says comes by other requests.
    Events,
    /// A line per object in an HTTP answer without end; what the client says comes by other requests.
    Lines,
}

/// Who a session's client is, as far as the server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user's id; empty: anonymous.
    pub user: Arc<str>,
    /// What is to be told others about the connection, as JSON.
    pub info: Option<Arc<str>>,
}

/// How a session's connection begins.
#[derive(Clone, Debug)]
pub struct SessionTerms {
    /// How it is reached.
    pub transport: Transport,
    /// Whose it is. Here an authenticated identity enters.
    pub identity: Identity,
    /// What the client said in its first request, for transports whose socket says nothing more.
    pub commands: Vec<u8>,
}

/// What a session is beside its connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) transport: Transport,
    /// Whether publications come to it compressed.
    coding: Coding,
    pub(super) identity: Identity,
    /// The client's id, which others may see, and the secret that its other requests show.
    pub(super) client: Uuid,
    pub(super) secret: Uuid,
    phase: Phase,
    /// Numbers of its subscriptions.
    pub(super) subscriptions: Vec<u32>,
    /// Those of them that have something to get, while the socket takes nothing.
    waiting: Vec<u32>,
    /// The one in the middle of whose frame the socket stopped.
    partial: Option<u32>,
    /// Commands that wait for a subscription to begin, in order.
    later: Vec<Later>,
    /// Objects for this client alone that wait to be framed, in lines.
    replies: Vec<u8>,
    /// The client as others see it, as JSON: made when it is needed first.
    info: Option<Arc<str>>,
    /// When to ping it next (second of the engine's life).
    pub(super) next_ping_s: u32,
    pub(super) pings_unanswered: u8,
    /// When the first of them was sent, or the last answer came.
    pub(super) unanswered_since_s: Option<u32>,
}

/// How far the protocol has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first command has to be `connect`.
    New,
    /// `connect` is answered when this many server-side subscriptions are there.
    Connecting {
        command: u32,
        left: u32,
    },
    Connected,
}

/// A session's membership of one room.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(super) connection: u32,
    /// Tells it from earlier ones with the same number.
    pub(super) serial: u32,
    /// The room's number on this shard.
    pub(super) room: u32,
    /// Its place in the room's ring.
    pub(super) place: u32,
    /// Position in the room's window up to which the kernel has taken everything.
    pub(super) cursor: u64,
    /// The command that is to be answered; 0: none.
    command: u32,
    start: Start,
    pub(super) state: SubscriptionState,
    origin: Origin,
    /// Whether the client asked for what it missed.
    recovers: bool,
    /// Whether it would rather have no subscription than one that misses something.
    rejects_lost: bool,
    moves: Moves,
}

/// Whether a subscription's client is told who comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moves {
    Unasked,
    /// It will be, from when it is a member, if the room tells.
    Asked,
    /// It is, by a subscription of its own, of this number.
    Heard(u32),
}

/// Where a subscription is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubscriptionState {
    /// Waits for the room's home to know this shard, or for `connect` to be answered.
    Joining,
    /// A member that has everything, or gets it in turn.
    Open,
    /// A member that waits for its socket.
    Waiting,
}

/// Who wanted a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The client, by a command.
    Client,
    /// The server, when the client connected.
    Connect,
    /// The server, later.
    Server,
}

impl Subscription {
    /// Whether its socket takes no more.
    pub(super) fn is_waiting(&self) -> bool {
        self.state == SubscriptionState::Waiting
    }

    /// One to who comes and goes.
    pub(super) const fn listener(connection: u32, serial: u32, room: u32) -> Self {
        Self {
            connection,
            serial,
            room,
            place: 0,
            cursor: 0,
            command: 0,
            start: Start::Live,
            state: SubscriptionState::Joining,
            origin: Origin::Server,
            recovers: false,
            rejects_lost: false,
            moves: Moves::Unasked,
        }
    }

    /// It is in its room.
    pub(super) const fn begin(&mut self, place: u32, cursor: u64) {
        (self.place, self.cursor, self.state) = (place, cursor, SubscriptionState::Open);
    }
}

impl Session {
    /// `ids`: the client's, and the secret.
    pub(super) fn new(transport: Transport, coding: Coding, identity: Identity, ids: [Uuid; 2]) -> Self {
        let [client, secret] = ids;
        Self {
            transport,
            coding,
            identity,
            client,
            secret,
            phase: Phase::New,
            subscriptions: Vec::new(),
            waiting: Vec::new(),
            partial: None,
            later: Vec::new(),
            replies: Vec::new(),
            info: None,
            next_ping_s: 0,
            pings_unanswered: 0,
            unanswered_since_s: None,
        }
    }

    /// Its socket stands in the middle of nothing any more.
    pub(super) const fn forget_partial(&mut self) {
        self.partial = None;
    }

    pub(super) const fn is_new(&self) -> bool {
        matches!(self.phase, Phase::New)
    }

    pub(super) const fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected)
    }

    #[cfg(test)]
    pub(super) fn forget_replies(&mut self) {
        self.replies.clear();
    }

    /// Whether something waits for its client.
    #[cfg(test)]
    pub(crate) fn owes(&self) -> bool {
        !self.waiting.is_empty() || self.partial.is_some() || !self.replies.is_empty()
    }

    /// Adds an object to what waits to be framed.
    fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.replies.is_empty() {
            self.replies.push(b'\n');
        }
        write(&mut self.replies);
    }

    /// Frames what waits into `out`: objects that came about together go together.
    fn frame_replies(&mut self, out: &mut Vec<u8>) {
        if self.replies.is_empty() {
            return;
        }
        frame_objects(self.transport, out, &self.replies);
        self.replies.clear();
        // Replies are rare and mostly short: not worth keeping memory for in every session.
        self.replies.shrink_to(0);
    }

    /// The client as others see it, as JSON.
    fn info(&mut self) -> Arc<str> {
        let Self { info, client, identity, .. } = self;
        Arc::clone(info.get_or_insert_with(|| client_info(*client, identity)))
    }
}

/// A client as others see it, as JSON.
fn client_info(client: Uuid, identity: &Identity) -> Arc<str> {
    let (mut out, mut buffer) = (Vec::new(), Uuid::encode_buffer());
    let client = &*client.as_hyphenated().encode_lower(&mut buffer);
    let conn_info = identity.info.as_deref();
    publication::client_info(&mut out, &ClientInfo { user: &identity.user, client, conn_info, chan_info: None });
    String::from_utf8(out).expect("JSON is UTF-8").into()
}

/// Frames objects, one per line, for a transport.
pub(super) fn frame_objects(transport: Transport, out: &mut Vec<u8>, objects: &[u8]) {
    match transport {
        Transport::WebSocket => frame::encode_message(out, MessageKind::Text, objects),
        Transport::Events => objects.split(|byte| *byte == b'\n').for_each(|object| stream::event_chunk(out, object)),
        Transport::Lines => objects.split(|byte| *byte == b'\n').for_each(|object| stream::lines_chunk(out, object)),
    }
}

impl Transport {
    /// The encoding of the publications that go over it.
    pub(super) const fn encoding(self) -> Encoding {
        match self {
            Self::WebSocket => Encoding::Centrifuge,
            Self::Events => Encoding::CentrifugeEvents,
            Self::Lines => Encoding::CentrifugeLines,
        }
    }

    /// The end of a session, as its client understands it.
    pub(super) fn write_close(self, out: &mut Vec<u8>, code: u16, reason: &str) {
        if self == Self::WebSocket {
            return frame::encode_close(out, CloseCode(code), reason);
        }
        let mut object = Vec::new();
        push::disconnect_with(&mut object, code, reason);
        frame_objects(self, out, &object);
        out.extend_from_slice(chunk::LAST);
    }
}

/// What a session's pings and its client's answers are about, seconds: for `connect`.
fn ping_s(settings: &Settings) -> u32 {
    u32::try_from(settings.heartbeat.ping_interval.as_secs()).unwrap_or(u32::MAX).max(1)
}

/// How a session is told to end for the server's own reasons.
pub(super) const fn code_of(why: Disconnect) -> (u16, &'static str) {
    (why.code, why.reason)
}

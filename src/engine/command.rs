//! What the front door, the API and the engine's user ask of a shard.

use std::collections::hash_map::RandomState;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::admission::Permit;
use super::asking::{Answer, Ask};
use super::directory::Room;
use super::feed::Encoding;
use super::history::History;
use super::home::Held;
use super::metrics::Snapshot;
use super::newer::Newer;
use super::position::{Epoch, Start};
use super::session::{Act, Identity, SessionKey, SessionTerms, Target};
use super::settings::Echo;
use super::users::UserHashes;
use crate::protocol::deflate::Agreed;
use crate::protocol::frame::MessageKind;

/// One command to one shard. Answers go back over the channel that it carries.
#[derive(Debug)]
pub(crate) enum Command<S> {
    /// Take this connection, for life.
    Join(Box<Join<S>>),
    /// Publish into a room whose home this shard is.
    Publish { room: Arc<Room>, held: Held, publication: Box<Publication>, reply: oneshot::Sender<Published> },
    /// Say what the home of this room knows.
    Ask { room: Arc<Room>, ask: Ask, reply: oneshot::Sender<Answer> },
    /// Say what is newer than a position in this room, which whoever asks holds, now or when there is something.
    Newer { room: Arc<Room>, newer: Box<Newer>, reply: oneshot::Sender<History> },
    /// Take what the client of a session says by a request of its own, and say whether there is such a session.
    Emulate { session: Box<SessionKey>, message: Bytes, reply: oneshot::Sender<bool> },
    /// Do something with every session that is meant, and say with how many.
    Act { target: Arc<Target>, act: Act, reply: oneshot::Sender<usize> },
    /// Say which users the sessions belong to, hashed like this.
    Users(Arc<RandomState>, oneshot::Sender<UserHashes>),
    /// As a home, send something through every shard; each answers with its number.
    Probe(mpsc::Sender<usize>),
    /// Say how things stand.
    Snapshot(oneshot::Sender<Box<Snapshot>>),
    /// Close every connection within a time, and tell when all are gone.
    Drain(Drain, oneshot::Sender<Drained>),
}

// An inbox has a place for each of its `inbox_entries_max` entries, and a storm of connections touches all of them.
const _: () = assert!(size_of::<Command<mio::net::TcpStream>>() <= 64, "what is larger belongs into a box");

/// A connection that becomes a member.
#[derive(Debug)]
pub(crate) struct Join<S> {
    pub(crate) socket: S,
    pub(crate) role: Role,
    pub(crate) permit: Permit,
    /// What the client gets once it is a member: the answer to its handshake.
    pub(crate) greeting: Vec<u8>,
    /// What came behind the handshake.
    pub(crate) unread: Vec<u8>,
    /// What its handshake agreed on as to compression.
    pub(crate) deflate: Option<Agreed>,
    /// Told when it is a member; dropped if it does not become one.
    pub(crate) joined: Option<oneshot::Sender<()>>,
}

/// What a connection is on its shard.
#[derive(Debug)]
pub(crate) enum Role {
    /// Of one room, counted as its member already: [`super::directory::Directory::join`].
    Member { room: Arc<Room>, encoding: Encoding, start: Start, echo: Echo, identity: Identity },
    /// Of as many rooms as it says.
    Session(SessionTerms),
}

/// What is published from outside: by the API, a broker, or the engine's user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Whether the payload is text.
    pub kind: MessageKind,
    /// What members get.
    pub payload: Bytes,
    /// What is to be said about it: a JSON object. Encodings without words for that leave it out.
    pub tags: Option<Arc<str>>,
    /// Who published it: a JSON object. Encodings without words for that leave it out.
    pub info: Option<Arc<str>>,
    /// Whether a room that has a history keeps it.
    pub keeping: Keeping,
}

/// Whether a room that has a history keeps a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Keeping {
    /// Like every other.
    #[default]
    Kept,
    /// It is for those who are there: no history shows it, and it takes nothing else's place. It has an offset like
    /// every other, which those who come back later find nothing at.
    Passing,
}

impl Publication {
    /// Text or bytes, without tags.
    #[must_use]
    pub fn of(kind: MessageKind, payload: impl Into<Bytes>) -> Self {
        Self { kind, payload: payload.into(), tags: None, info: None, keeping: Keeping::Kept }
    }

    /// A text without tags.
    #[must_use]
    pub fn text(payload: impl Into<Bytes>) -> Self {
        Self::of(MessageKind::Text, payload)
    }

    /// Bytes without tags.
    #[must_use]
    pub fn binary(payload: impl Into<Bytes>) -> Self {
        Self::of(MessageKind::Binary, payload)
    }
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its number in the room, from 1, dense within an epoch.
    pub offset: u64,
    /// Members of the room when it was published.
    pub members: u32,
    /// The room's epoch; `None`: nobody was there to get it, and the room keeps nothing.
    pub epoch: Option<Epoch>,
}

/// How to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// The closes are spread evenly over this time, so that not everybody comes back at once; each shard closes at
    /// least one in 10 ms, so few need less. At its end, who does not read is cut off; who does not answer its close
    /// has `limits.close_time_max` more.
    pub spread: Duration,
    /// The close code: 1001 (going away) or 1012 (service restart).
    pub code: u16,
}

/// What a drain came to on one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were closed in order, with everything that they were to get.
    pub closed: usize,
    /// Connections that were cut off: they did not take what they were to get, or did not answer the close, in time.
    pub aborted: usize,
}

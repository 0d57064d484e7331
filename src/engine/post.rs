//! What travels between shards and homes: publications on their way in, feeds on their way out.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::asking::{Answered, Question};
use super::clock::Nanos;
use super::command::Keeping;
use super::directory::Room;
use super::ending::Mark;
use super::feed::Feed;
use super::position::Position;
use super::presence::Move;
use super::window::{Entry, Publisher};
use crate::protocol::frame::{self, MessageKind};

/// To a home: what one shard's connections published during one turn.
#[derive(Debug, Default)]
pub(crate) struct ToHome {
    /// Frames, encoded once where they arrived: the encoding does not depend on the offset.
    pub(crate) frames: Vec<u8>,
    /// One per frame, in order.
    pub(crate) publications: Vec<Publication>,
    /// Behind all publications.
    pub(crate) marks: Vec<Mark>,
    /// Behind all publications.
    pub(crate) questions: Vec<Question>,
}

/// One frame of [`ToHome`].
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) room_id: u64,
    pub(crate) publisher: Publisher,
    pub(crate) published: Nanos,
    pub(crate) frame_len: usize,
    /// Who published it, as JSON, if that is known.
    pub(crate) info: Option<Arc<str>>,
}

/// Between homes and the shards that have members.
#[derive(Debug)]
pub(crate) enum ToShard {
    /// To the home: this shard has members of the room from now on, who get this feed.
    Enter { room: Arc<Room>, member: Entrant },
    /// To the shard: whatever is published from now on will come.
    Entered(Box<Entered>),
    /// To the home: nobody on this shard gets this feed of the room any more.
    Leave { room_id: u64, feed: Feed, shard: usize },
    /// To the home: members came and went.
    Attend(Vec<Move>),
    /// To the home: a question about those members, behind their moves.
    Asked(Question),
    /// To the shard: what was published during one turn, feed by feed.
    Deliver(Vec<Chunk>),
    /// To the shard: of this room, nothing in front of this offset is kept any more.
    Forget { number: u32, room_id: u64, kept_from: u64 },
    /// To the shard: the answer to a question of one of its connections.
    Answered(Box<Answered>),
    /// To the shard: what was published before the mark has been delivered.
    Marked(Mark),
    /// To the shard: answer.
    Probe(mpsc::Sender<usize>),
}

/// A home's answer to [`ToShard::Enter`].
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) member: Entrant,
    pub(crate) room_id: u64,
    /// Where the room stands.
    pub(crate) position: Position,
    /// What the room has kept up to there, if anything.
    pub(crate) kept: Option<Chunk>,
}

/// A shard that has members of a room who get the same feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entrant {
    pub(crate) shard: usize,
    pub(crate) feed: Feed,
    /// What the shard calls the room, with this feed.
    pub(crate) number: u32,
    /// Tells this stay from earlier ones of the shard in the same room.
    pub(crate) stay: u32,
}

/// Consecutive publications of one room.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// What the receiving shard calls the room.
    pub(crate) number: u32,
    pub(crate) room_id: u64,
    /// Offset of the first publication.
    pub(crate) first_offset: u64,
    /// The frames, shared by all shards.
    pub(crate) frames: Bytes,
    /// Where each frame ends in `frames`.
    pub(crate) entries: Arc<[Entry]>,
    /// Offset of the oldest publication that the room keeps; [`NOTHING_KEPT`] if it has no history.
    pub(crate) kept_from: u64,
}

/// The offset from which on a room without history keeps publications.
pub(crate) const NOTHING_KEPT: u64 = u64::MAX;

impl ToHome {
    pub(crate) fn is_empty(&self) -> bool {
        self.publications.is_empty() && self.marks.is_empty() && self.questions.is_empty()
    }

    pub(crate) fn len_bytes(&self) -> usize {
        self.frames.len()
            + self.publications.len() * size_of::<Publication>()
            + self.marks.len() * size_of::<Mark>()
            + self.questions.len() * size_of::<Question>()
    }
}

impl ToShard {
    pub(crate) fn len_bytes(&self) -> usize {
        let chunk = |chunk: &Chunk| chunk.frames.len() + size_of_val(&*chunk.entries);
        match self {
            Self::Deliver(chunks) => chunks.iter().map(chunk).sum(),
            Self::Entered(entered) => size_of::<Entered>() + entered.kept.as_ref().map_or(0, chunk),
            Self::Answered(answered) => answered.len_bytes(),
            Self::Attend(moves) => size_of_val(&**moves),
            _ => size_of::<Self>(),
        }
    }
}

/// A message on its way into a room's order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'m> {
    pub(crate) kind: MessageKind,
    pub(crate) payload: Payload<'m>,
    pub(crate) publisher: Publisher,
    pub(crate) published: Nanos,
    /// JSON objects.
    pub(crate) tags: Option<&'m Arc<str>>,
    pub(crate) info: Option<&'m Arc<str>>,
    pub(crate) keeping: Keeping,
}

/// In which form a message's payload is at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload<'m> {
    Borrowed(&'m [u8]),
    Shared(&'m Bytes),
    /// As a raw room's frame.
    Framed(&'m [u8]),
}

impl Payload<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
            Self::Framed(frame) => frame::parts(frame).1,
        }
    }

    pub(super) fn to_shared(self) -> Bytes {
        match self {
            Self::Shared(bytes) => bytes.clone(),
            Self::Borrowed(_) | Self::Framed(_) => Bytes::copy_from_slice(self.bytes()),
        }
    }
}

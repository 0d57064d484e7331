//! What a member of a room gets: its publications, or who comes and goes, in one encoding.
//!
//! Members that get the same bytes share a window: on a shard, a room is as many [`LocalRoom`](super::ring::LocalRoom)s
//! as there are feeds in use. A publication is encoded once per feed and node, by the room's home.

use super::position::{Began, Epoch, Position};
use crate::protocol::frame::{self, MessageKind};
use crate::protocol::v1;

/// The form in which a member gets a room's publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Encoding {
    /// A WebSocket message is the payload and nothing else.
    #[default]
    Raw,
    /// The WebSocket subprotocol `shardcast.v1`: a header line with the position, then the payload.
    V1,
}

/// What of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Content {
    /// Its publications.
    Publications,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Feed {
    pub(crate) encoding: Encoding,
    pub(crate) content: Content,
}

/// One publication, as it is encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encodable<'p> {
    pub(crate) room: &'p str,
    pub(crate) epoch: Epoch,
    pub(crate) offset: u64,
    pub(crate) kind: MessageKind,
    pub(crate) payload: &'p [u8],
    /// JSON objects.
    pub(crate) tags: Option<&'p str>,
    pub(crate) info: Option<&'p str>,
    /// Whether the room has a history, so that its positions are worth telling.
    pub(crate) keeps: bool,
}

impl Encoding {
    /// What a member is told before anything else, if the encoding has words for that: how it begins, and where.
    pub(crate) fn greet(self, out: &mut Vec<u8>, began: Began, position: Position) {
        match self {
            Self::Raw => {}
            Self::V1 => v1::state_frame(out, position.epoch.text().as_str(), position.offset, began.into()),
        }
    }

    /// Whether [`Encoding::greet`] can say that what somebody missed is lost.
    pub(crate) const fn tells_lost(self) -> bool {
        match self {
            Self::Raw => false,
            Self::V1 => true,
        }
    }
}

impl Feed {
    pub(crate) const fn publications(encoding: Encoding) -> Self {
        Self { encoding, content: Content::Publications }
    }

    /// Appends a publication as one frame. O(payload).
    pub(crate) fn encode(self, out: &mut Vec<u8>, publication: &Encodable<'_>) {
        let Encodable { epoch, offset, kind, payload, .. } = *publication;
        match self.encoding {
            Encoding::Raw => frame::encode_message(out, kind, payload),
            Encoding::V1 => v1::publication_frame(out, epoch.text().as_str(), offset, kind, payload),
        }
    }
}

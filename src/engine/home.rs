//! The rooms whose order this shard decides.
//!
//! Whatever is published into a room comes to its home, which numbers it and passes it to the shards that have members.
//! One
//! writer per room gives one order, without a lock. What came during one turn goes out as one chunk per room.

use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::sync::mpsc;

use super::clock::Nanos;
use super::command::Published;
use super::directory::Room;
use super::ending::Mark;
use super::outbox::Outbox;
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
}

/// One frame of [`ToHome`].
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) room_id: u64,
    pub(crate) publisher: Publisher,
    pub(crate) published: Nanos,
    pub(crate) frame_len: usize,
}

/// Between homes and the shards that have members.
#[derive(Debug)]
pub(crate) enum ToShard {
    /// To the home: this shard has members of the room from now on.
    Enter { room: Arc<Room>, member: Entrant },
    /// To the shard: whatever is published from now on will come; the newest publication until now has this offset.
    Entered { member: Entrant, room_id: u64, offset: u64 },
    /// To the home: this shard has no members of the room any more.
    Leave { room_id: u64, shard: usize },
    /// To the shard: what was published during one turn, room by room.
    Deliver(Vec<Chunk>),
    /// To the shard: what was published before the mark has been delivered.
    Marked(Mark),
    /// To the shard: answer.
    Probe(mpsc::Sender<usize>),
}

/// A shard that has members of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entrant {
    pub(crate) shard: usize,
    /// What the shard calls the room.
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
}

impl ToHome {
    pub(crate) fn len_bytes(&self) -> usize {
        self.frames.len() + self.publications.len() * size_of::<Publication>() + self.marks.len() * size_of::<Mark>()
    }
}

impl ToShard {
    pub(crate) fn len_bytes(&self) -> usize {
        let chunk = |chunk: &Chunk| chunk.frames.len() + size_of_val(&*chunk.entries);
        match self {
            Self::Deliver(chunks) => chunks.iter().map(chunk).sum(),
            _ => size_of::<Self>(),
        }
    }
}

/// The rooms whose home this shard is. A room is here while a shard has members of it.
#[derive(Debug, Default)]
pub(crate) struct Homes {
    rooms: FxHashMap<u64, HomeRoom>,
    /// Rooms with publications that have not gone out.
    unsent: Vec<u64>,
}

#[derive(Debug)]
struct HomeRoom {
    room: Arc<Room>,
    /// Offset of the newest publication; 0: none yet.
    offset: u64,
    /// The shards that have members.
    shards: Vec<Entrant>,
    /// The publications of this turn.
    frames: Vec<u8>,
    entries: Vec<Entry>,
}

impl Homes {
    /// How many rooms have their home here.
    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Numbers and keeps one message. `None`: no shard has members of the room, so there is nobody to get it.
    pub(crate) fn publish(
        &mut self,
        to: u64,
        message: (MessageKind, &[u8]),
        by: Publisher,
        at: Nanos,
    ) -> Option<Published> {
        let room = self.rooms.get_mut(&to)?;
        if room.entries.is_empty() {
            self.unsent.push(to);
        }
        frame::encode_message(&mut room.frames, message.0, message.1);
        Some(room.number(by, at))
    }

    /// The same for a frame that another shard encoded.
    pub(crate) fn publish_frame(&mut self, publication: &Publication, frame: &[u8]) -> Option<Published> {
        let room = self.rooms.get_mut(&publication.room_id)?;
        if room.entries.is_empty() {
            self.unsent.push(publication.room_id);
        }
        room.frames.extend_from_slice(frame);
        Some(room.number(publication.publisher, publication.published))
    }

    /// Sends a mark back, behind what was published until now.
    pub(crate) fn mark(&mut self, mark: Mark, outbox: &mut Outbox) {
        self.flush_room(mark.room_id, outbox);
        outbox.deliver(mark.shard, ToShard::Marked(mark));
    }

    /// A shard has members from now on.
    pub(crate) fn enter(&mut self, room: Arc<Room>, member: Entrant, outbox: &mut Outbox) {
        let room_id = room.id;
        // What was published before goes to those who were there before.
        self.flush_room(room_id, outbox);
        let home = self.rooms.entry(room_id).or_insert_with(|| HomeRoom::new(room));
        debug_assert!(home.shards.iter().all(|other| other.shard != member.shard), "a shard enters a room once");
        home.shards.push(member);
        outbox.deliver(member.shard, ToShard::Entered { member, room_id, offset: home.offset });
    }

    /// A shard has no members any more. The last one takes the room's numbering with it.
    pub(crate) fn leave(&mut self, room_id: u64, shard: usize, outbox: &mut Outbox) {
        self.flush_room(room_id, outbox);
        let Some(home) = self.rooms.get_mut(&room_id) else { return };
        home.shards.retain(|other| other.shard != shard);
        if home.shards.is_empty() {
            self.rooms.remove(&room_id);
            if self.rooms.capacity() > 1_024 && self.rooms.capacity() / 8 > self.rooms.len() {
                self.rooms.shrink_to(self.rooms.len() * 2);
            }
        }
    }

    /// Passes on what was published since the last time: at the end of every turn.
    pub(crate) fn flush(&mut self, outbox: &mut Outbox) {
        while let Some(room_id) = self.unsent.pop() {
            self.flush_room(room_id, outbox);
        }
    }

    fn flush_room(&mut self, room_id: u64, outbox: &mut Outbox) {
        let Some(home) = self.rooms.get_mut(&room_id) else { return };
        let count = home.entries.len() as u64;
        if count == 0 {
            return;
        }
        let frames = Bytes::from(std::mem::take(&mut home.frames));
        let entries: Arc<[Entry]> = home.entries.as_slice().into();
        home.entries.clear();
        let first_offset = home.offset + 1 - count;
        for Entrant { shard, number, .. } in home.shards.iter().copied() {
            let (frames, entries) = (frames.clone(), Arc::clone(&entries));
            outbox.deliver_chunk(shard, Chunk { number, room_id, first_offset, frames, entries });
        }
    }
}

impl HomeRoom {
    const fn new(room: Arc<Room>) -> Self {
        Self { room, offset: 0, shards: Vec::new(), frames: Vec::new(), entries: Vec::new() }
    }

    /// Numbers the frame that was just appended to `frames`.
    fn number(&mut self, publisher: Publisher, published: Nanos) -> Published {
        self.offset += 1;
        self.entries.push(Entry { end: self.frames.len() as u64, published, publisher });
        Published { offset: self.offset, members: self.room.members() }
    }
}

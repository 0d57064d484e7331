//! What one turn of a shard has for the others, and for itself.
//!
//! Per other shard: one entry of publications and one of deliveries per turn, however many publications and rooms they
//! are of. What does not fit into a full inbox waits here, in order, and makes this shard's publishers wait: see
//! [`Outbox::is_blocked`].

use std::collections::VecDeque;
use std::sync::Arc;

use super::asking::Question;
use super::clock::Nanos;
use super::ending::Mark;
use super::inbox::Peer;
use super::post::{Chunk, Publication, ToHome, ToShard};
use super::presence::Move;
use super::window::Publisher;
use crate::protocol::frame::{self, MessageKind};

/// See the module.
pub(crate) struct Outbox {
    own_shard: usize,
    lanes: Vec<Lane>,
}

/// To one shard.
struct Lane {
    /// `None`: this is the shard itself.
    peer: Option<Peer>,
    publishing: ToHome,
    publishes: VecDeque<ToHome>,
    delivering: Vec<Chunk>,
    attending: Vec<Move>,
    deliveries: VecDeque<ToShard>,
}

/// What is published: into which room, by whom, when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) room_id: u64,
    pub(crate) publisher: Publisher,
    pub(crate) published: Nanos,
}

impl Outbox {
    /// `peers`: the inboxes of all shards; that of `own_shard` is not used.
    pub(crate) fn new(own_shard: usize, peers: Vec<Peer>) -> Self {
        let lane = |(shard, peer)| Lane {
            peer: (shard != own_shard).then_some(peer),
            publishing: ToHome::default(),
            publishes: VecDeque::new(),
            delivering: Vec::new(),
            attending: Vec::new(),
            deliveries: VecDeque::new(),
        };
        Self { own_shard, lanes: peers.into_iter().enumerate().map(lane).collect() }
    }

    pub(crate) const fn shards(&self) -> usize {
        self.lanes.len()
    }

    /// A message of one of this shard's connections, for a room whose home is another shard.
    pub(crate) fn publish(
        &mut self,
        home: usize,
        message: (MessageKind, &[u8]),
        info: Option<&Arc<str>>,
        stamp: Stamp,
    ) {
        let (kind, payload) = message;
        debug_assert_ne!(home, self.own_shard, "what is published at home does not travel");
        let publishing = &mut self.lanes[home].publishing;
        let start = publishing.frames.len();
        frame::encode_message(&mut publishing.frames, kind, payload);
        let Stamp { room_id, publisher, published } = stamp;
        let frame_len = publishing.frames.len() - start;
        let info = info.cloned();
        publishing.publications.push(Publication { room_id, publisher, published, frame_len, info });
    }

    /// A mark behind what was published for this home until now.
    pub(crate) fn mark(&mut self, home: usize, mark: Mark) {
        debug_assert_ne!(home, self.own_shard, "a mark at home does not travel");
        self.lanes[home].publishing.marks.push(mark);
    }

    /// A question behind what was published for this home until now.
    pub(crate) fn ask(&mut self, home: usize, question: Question) {
        debug_assert_ne!(home, self.own_shard, "a question at home does not travel");
        self.lanes[home].publishing.questions.push(question);
    }

    /// Publications for a shard.
    pub(crate) fn deliver_chunk(&mut self, shard: usize, chunk: Chunk) {
        self.lanes[shard].delivering.push(chunk);
    }

    /// A move of one of this shard's members, for the room's home; behind anything else for it so far.
    pub(crate) fn attend(&mut self, home: usize, moved: Move) {
        self.lanes[home].attending.push(moved);
    }

    /// Anything else for a shard, behind the publications and the moves so far.
    pub(crate) fn deliver(&mut self, shard: usize, message: ToShard) {
        let lane = &mut self.lanes[shard];
        lane.seal_deliveries();
        lane.deliveries.push_back(message);
    }

    /// What this shard has for itself, in order. To be taken until there is nothing.
    pub(crate) fn take_own(&mut self) -> Option<ToShard> {
        let lane = &mut self.lanes[self.own_shard];
        lane.seal_deliveries();
        lane.deliveries.pop_front()
    }

    /// Hands everything to the other shards and wakes those that sleep. What a full inbox does not take stays.
    pub(crate) fn flush(&mut self) {
        for lane in &mut self.lanes {
            lane.flush();
        }
    }

    /// Whether another shard's inbox is full: then nothing more may be published here for now.
    pub(crate) fn is_blocked(&self) -> bool {
        self.holds_deliveries() || self.lanes.iter().any(|lane| !lane.publishes.is_empty())
    }

    /// Whether another shard's inbox takes no more deliveries: then this home numbers nothing more for now.
    pub(crate) fn holds_deliveries(&self) -> bool {
        self.lanes.iter().any(|lane| lane.peer.is_some() && !lane.deliveries.is_empty())
    }
}

impl Lane {
    fn seal_deliveries(&mut self) {
        if !self.delivering.is_empty() {
            self.deliveries.push_back(ToShard::Deliver(std::mem::take(&mut self.delivering)));
        }
        if !self.attending.is_empty() {
            self.deliveries.push_back(ToShard::Attend(std::mem::take(&mut self.attending)));
        }
    }

    fn flush(&mut self) {
        if self.peer.is_some() {
            self.seal_deliveries();
        }
        let Some(peer) = &self.peer else { return };
        if !self.publishing.is_empty() {
            self.publishes.push_back(std::mem::take(&mut self.publishing));
        }
        let mut pushed = false;
        while let Some(entry) = self.publishes.pop_front() {
            if let Err(entry) = peer.publish(entry) {
                self.publishes.push_front(entry);
                break;
            }
            pushed = true;
        }
        while let Some(entry) = self.deliveries.pop_front() {
            if let Err(entry) = peer.deliver(entry) {
                self.deliveries.push_front(entry);
                break;
            }
            pushed = true;
        }
        if pushed {
            peer.ring();
        }
    }
}

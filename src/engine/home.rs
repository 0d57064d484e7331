//! The rooms whose order this shard decides.
//!
//! Whatever is published into a room comes to its home, which numbers it, keeps it if the room has a history, encodes
//! it once for each feed in use, and passes it to the shards that have members. One writer per room gives one order,
//! without a lock. What came during one turn goes out as one chunk per feed.

mod keeping;
mod newest;
mod waiting;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::asking::{Answer, Answered, Ask, Question};
use super::attendance::EventCounts;
use super::clock::{Nanos, Unix};
use super::command::{Keeping, Published};
use super::compressor::Compressor;
use super::directory::{Directory, Room};
use super::ending::Mark;
use super::feed::{Content, Encodable, Encoding, Feed, Form};
use super::history::{self, History, HistoryQuery, Log, Record};
use super::outbox::Outbox;
use super::position::{Epoch, Position};
use super::post::{Chunk, Entered, Entrant, Message, NOTHING_KEPT, Payload, ToShard};
use super::roll::Roll;
use super::settings::RoomSettings;
#[cfg(test)]
use super::simulation::Planted;
use super::window::{Entry, Publisher};
use crate::protocol::centrifuge::texts::Texts;
use crate::protocol::frame::Coding;
use keeping::Kept;
use newest::Newest;
use waiting::{Waiting, Waits};

/// Bytes of a room's past that are compressed for a shard that comes, the newest.
const COMPRESSED_ON_ENTRY_BYTES_MAX: usize = 128 << 10;

/// The rooms whose home this shard is. A room is here while a shard has members of it, or it keeps something.
#[derive(Debug)]
pub(crate) struct Homes {
    pub(super) rooms: FxHashMap<u64, HomeRoom>,
    /// Rooms with something that has not gone out.
    pub(super) unsent: Vec<u64>,
    directory: Arc<Directory>,
    unix: Unix,
    next_epoch: u64,
    /// Rooms that keep something, each once: when to look whether it has expired.
    expiries: BinaryHeap<Reverse<(Nanos, u64)>>,
    waits: Waits,
    /// What the rooms here keep, and may keep, bytes.
    kept_bytes: usize,
    kept_bytes_max: usize,
    compressor: Compressor,
    /// Of the publication that is being encoded.
    texts: Texts,
    /// Rooms that hold leaves back, each once: when to look at them.
    pub(super) leaves: BinaryHeap<Reverse<(Nanos, u64)>>,
    pub(super) events: EventCounts,
    #[cfg(test)]
    pub(crate) planted: Planted,
}

#[derive(Debug)]
pub(super) struct HomeRoom {
    pub(super) room: Arc<Room>,
    epoch: Epoch,
    /// Offset of the newest publication; 0: none yet.
    offset: u64,
    /// Publications of this turn, and moves that are told.
    pub(super) unsent: u64,
    pub(super) feeds: Vec<HomeFeed>,
    /// `None`: nobody gets changes.
    newest: Option<Box<Newest>>,
    /// `None`: the room has no history.
    kept: Option<Box<Kept>>,
    /// `None`: the room keeps no presence.
    pub(super) roll: Option<Box<Roll>>,
    /// `None`: nobody waits for what is published next.
    waiting: Option<Box<Waiting>>,
    #[cfg(test)]
    planted: Planted,
}

/// Those who get the same bytes, and the bytes of this turn.
#[derive(Debug)]
pub(super) struct HomeFeed {
    pub(super) feed: Feed,
    shards: Vec<Entrant>,
    pub(super) frames: Vec<u8>,
    pub(super) entries: Vec<Entry>,
}

impl Homes {
    /// `seed` tells this run's epochs from those of others.
    pub(crate) fn new(directory: Arc<Directory>, unix: Unix, seed: u64, kept_bytes_max: usize) -> Self {
        let compressor = Compressor::new(directory.settings().deflate.compression());
        Self {
            rooms: FxHashMap::default(),
            unsent: Vec::new(),
            directory,
            unix,
            next_epoch: seed,
            expiries: BinaryHeap::new(),
            waits: Waits::default(),
            kept_bytes: 0,
            kept_bytes_max,
            compressor,
            texts: Texts::default(),
            leaves: BinaryHeap::new(),
            events: EventCounts::default(),
            #[cfg(test)]
            planted: Planted::Nothing,
        }
    }

    /// How many rooms have their home here.
    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// What the rooms here keep, bytes.
    pub(crate) const fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Numbers one message. `None`: nobody is there to get it, and the room keeps nothing.
    pub(crate) fn publish(&mut self, to: u64, message: &Message<'_>) -> Option<Published> {
        let room = self.rooms.get_mut(&to)?;
        if room.unsent == 0 {
            self.unsent.push(to);
        }
        let published = room.number(message, &mut self.texts, &mut self.compressor);
        if room.kept.is_some() {
            self.keep(to, message);
        } else if let Some(waiting) = &mut room.waiting {
            waiting.fresh.push(record(room.offset, message, self.unix));
        }
        Some(published)
    }

    /// The same for one from outside: `held` says that whoever publishes holds the room for as long as this takes.
    pub(crate) fn publish_from_outside(&mut self, room: &Arc<Room>, held: Held, message: &Message<'_>) -> Published {
        if held == Held::ByPublisher {
            self.room(room);
        }
        let published = self.publish(room.id, message);
        if held == Held::ByPublisher {
            self.directory.release(room);
        }
        published.unwrap_or(Published { offset: 1, members: 0, epoch: None })
    }

    /// Sends a mark back, behind what was published until now.
    pub(crate) fn mark(&mut self, mark: Mark, outbox: &mut Outbox) {
        self.flush_room(mark.room_id, outbox);
        outbox.deliver(mark.shard, ToShard::Marked(mark));
    }

    /// Answers a question of a connection, behind what was published until now.
    pub(crate) fn asked(&mut self, question: Question, outbox: &mut Outbox) {
        self.flush_room(question.room_id, outbox);
        let Question { room_id, asker, ask } = question;
        let answer = self.answer(room_id, ask, outbox);
        outbox.deliver(asker.shard, ToShard::Answered(Box::new(Answered { asker, answer })));
    }

    /// What a room's home knows.
    pub(crate) fn answer(&mut self, room_id: u64, ask: Ask, outbox: &mut Outbox) -> Answer {
        match ask {
            Ask::Published => Answer::Published,
            Ask::History(query) => Answer::History(self.history(room_id, &query)),
            Ask::Presence => Answer::Presence(self.presence(room_id)),
            Ask::PresenceStats => Answer::PresenceStats(self.presence_stats(room_id)),
            Ask::Forget => {
                self.forget(room_id, outbox);
                Answer::Forgotten
            }
        }
    }

    /// `None`: the room has no history, or is not there.
    fn history(&self, room_id: u64, query: &HistoryQuery) -> Option<History> {
        let room = self.rooms.get(&room_id)?;
        Some(room.kept.as_ref()?.log.read(query, room.position()))
    }

    /// The room, which somebody holds; new if it was not here.
    fn room(&mut self, room: &Arc<Room>) -> &mut HomeRoom {
        self.rooms.entry(room.id).or_insert_with(|| {
            self.next_epoch = self.next_epoch.wrapping_add(1);
            let settings = room.settings(self.directory.settings());
            // It outlives its members: its home holds it, unless they have gone already.
            let held = settings.has_history() && self.directory.hold_more(room).is_some();
            let mut home = HomeRoom::new(Arc::clone(room), Epoch(mixed(self.next_epoch)), settings);
            if let Some(kept) = &mut home.kept {
                kept.held = held;
            }
            #[cfg(test)]
            {
                home.planted = self.planted;
            }
            home
        })
    }

    /// A shard has members from now on.
    pub(crate) fn enter(&mut self, room: &Arc<Room>, member: Entrant, outbox: &mut Outbox) {
        let room_id = room.id;
        // What was published before goes to those who were there before.
        self.flush_room(room_id, outbox);
        let home = self.room(room);
        let index = home.feeds.iter().position(|feed| feed.feed == member.feed);
        let index = index.unwrap_or_else(|| {
            home.feeds.push(HomeFeed::new(member.feed));
            home.feeds.len() - 1
        });
        let shards = &mut home.feeds[index].shards;
        debug_assert!(shards.iter().all(|other| other.shard != member.shard), "a shard enters a feed once");
        shards.push(member);
        home.needs_texts();
        let position = Position { epoch: home.epoch, offset: home.newest_of(member.feed.content) };
        let Self { rooms, texts, compressor, .. } = self;
        let kept = rooms.get(&room_id).and_then(|home| home.encode_kept(member, texts, compressor));
        let entered = Entered { member, room_id, position, kept };
        outbox.deliver(member.shard, ToShard::Entered(Box::new(entered)));
    }

    /// A shard has no members any more. The last one takes the room's numbering with it, unless the room has a history:
    /// whoever comes back in time finds the same numbering, whether or not anything was published meanwhile.
    pub(crate) fn leave(&mut self, room_id: u64, (feed, shard): (Feed, usize), now: Nanos, outbox: &mut Outbox) {
        self.flush_room(room_id, outbox);
        let Some(home) = self.rooms.get_mut(&room_id) else { return };
        if let Some(of_feed) = home.feeds.iter_mut().find(|it| it.feed == feed) {
            of_feed.shards.retain(|other| other.shard != shard);
        }
        home.feeds.retain(|feed| !feed.shards.is_empty());
        home.needs_texts();
        self.left(room_id, now);
    }

    /// Somebody has left a room: what becomes of it if that was the last.
    fn left(&mut self, room_id: u64, now: Nanos) {
        if let Some(home) = self.rooms.get_mut(&room_id)
            && home.feeds.is_empty()
            && let Some(kept) = &mut home.kept
        {
            kept.used = now;
            self.schedule_expiry(room_id, now);
        }
        self.remove_unused(room_id, now);
    }

    /// Forgets a room that nobody is in and that keeps nothing.
    fn remove_unused(&mut self, room_id: u64, now: Nanos) {
        let is_young = |kept: &Kept| now < kept.used.after(kept.settings.history_age_max);
        let keeps = |kept: &Kept| kept.held && (!kept.log.is_empty() || is_young(kept));
        let unused = |room: &HomeRoom| {
            room.feeds.is_empty() && room.waiting.is_none() && !room.kept.as_deref().is_some_and(keeps)
        };
        if self.rooms.get(&room_id).is_some_and(unused) {
            let held = |room: &HomeRoom| room.kept.as_ref().is_some_and(|kept| kept.held);
            let removed = self.rooms.remove(&room_id);
            debug_assert!(
                removed.as_ref().and_then(|room| room.roll.as_ref()).is_none_or(|roll| roll.is_empty()),
                "who leaves is noted before the last shard leaves"
            );
            if let Some(room) = removed.filter(held) {
                self.directory.release(&room.room);
            }
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
        if std::mem::take(&mut home.unsent) == 0 {
            return;
        }
        let (publications, moves) = (home.newest_of(Content::Publications), home.newest_of(Content::Presence));
        let room_keeps_from = home.kept_from();
        for HomeFeed { feed, shards, frames, entries } in &mut home.feeds {
            if entries.is_empty() {
                continue;
            }
            let newest = match feed.content {
                Content::Publications => publications,
                Content::Presence => moves,
            };
            let kept_from = if feed.is_kept() { room_keeps_from } else { NOTHING_KEPT };
            let first_offset = newest + 1 - entries.len() as u64;
            let frames = Bytes::from(std::mem::take(frames));
            let shared: Arc<[Entry]> = entries.as_slice().into();
            entries.clear();
            for Entrant { shard, number, .. } in shards.iter().copied() {
                let (frames, entries) = (frames.clone(), Arc::clone(&shared));
                outbox.deliver_chunk(shard, Chunk { number, room_id, first_offset, frames, entries, kept_from });
            }
        }
        self.tell_waiting(room_id);
    }
}

/// A message that was just numbered, to be kept.
fn record(offset: u64, message: &Message<'_>, unix: Unix) -> Record {
    Record {
        offset,
        kind: message.kind,
        payload: message.payload.to_shared(),
        time_ms: unix.milliseconds_at(message.published),
        tags: message.tags.cloned(),
        info: message.info.cloned(),
    }
}

/// Whether whoever publishes holds the room in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    No,
    ByPublisher,
}

/// Consecutive numbers to epochs that do not look alike (the finalizer of MurmurHash3: a bijection, so none comes
/// twice).
const fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let number = (number ^ (number >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ (number >> 33)
}

impl HomeFeed {
    const fn new(feed: Feed) -> Self {
        Self { feed, shards: Vec::new(), frames: Vec::new(), entries: Vec::new() }
    }
}

impl HomeRoom {
    fn new(room: Arc<Room>, epoch: Epoch, settings: &RoomSettings) -> Self {
        let kept =
            Kept { log: Log::default(), settings: settings.clone(), used: Nanos(0), held: false, expires: false };
        let kept = settings.has_history().then(|| Box::new(kept));
        let roll = Roll::new(settings).map(Box::new);
        Self {
            room,
            epoch,
            offset: 0,
            unsent: 0,
            feeds: Vec::new(),
            newest: None,
            kept,
            roll,
            waiting: None,
            #[cfg(test)]
            planted: Planted::Nothing,
        }
    }

    /// Offset of the newest of what a feed with this content has.
    fn newest_of(&self, content: Content) -> u64 {
        match content {
            Content::Publications => self.offset,
            Content::Presence => self.roll.as_ref().map_or(0, |roll| roll.offset()),
        }
    }

    const fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.offset }
    }

    /// Offset of the oldest publication that is kept, or would be.
    fn kept_from(&self) -> u64 {
        let Some(kept) = &self.kept else { return NOTHING_KEPT };
        kept.log.first_offset().unwrap_or(self.offset + 1)
    }

    /// Numbers a message, and encodes it for each feed.
    fn number(&mut self, message: &Message<'_>, texts: &mut Texts, compressor: &mut Compressor) -> Published {
        self.offset += 1;
        self.unsent += 1;
        let Message { kind, payload, mut publisher, published, tags, info, keeping } = *message;
        if keeping == Keeping::Passing {
            debug_assert_eq!(publisher, Publisher::OUTSIDE, "what members publish is kept");
            publisher = Publisher::OUTSIDE_PASSING;
        }
        self.follow(message, texts);
        for HomeFeed { feed, frames, entries, .. } in &mut self.feeds {
            if feed.content != Content::Publications {
                continue;
            }
            if let (Encoding::Raw, Coding::Plain, Payload::Framed(frame)) = (feed.encoding, feed.coding, payload) {
                frames.extend_from_slice(frame);
            } else {
                let (room, epoch, offset, payload) =
                    (self.room.name.as_str(), self.epoch, self.offset, payload.bytes());
                let (tags, info) = (tags.map(|it| &**it), info.map(|it| &**it));
                let keeps = self.kept.is_some();
                let (texts, time_ms) = (&*texts, 0);
                let publication = Encodable { room, epoch, offset, kind, payload, texts, tags, info, time_ms, keeps };
                feed.encode(frames, &publication, compressor);
            }
            entries.push(Entry { end: frames.len() as u64, published, publisher });
        }
        Published { offset: self.offset, members: self.room.members(), epoch: Some(self.epoch) }
    }

    /// Everything that is kept, for a shard that comes. Of what is to be compressed only the newest is, as far as that
    /// holds the home up for a millisecond or so: plain frames are no less right.
    fn encode_kept(&self, entrant: Entrant, texts: &mut Texts, compressor: &mut Compressor) -> Option<Chunk> {
        let Entrant { feed, number, .. } = entrant;
        let kept = self.kept.as_ref().filter(|_| feed.is_kept())?;
        let (mut frames, mut entries) = (Vec::new(), Vec::new());
        let mut bytes_left = kept.log.bytes();
        for (record, published, keeping) in kept.log.records() {
            let Record { offset, kind, payload, tags, info, .. } = record;
            if feed.form == Form::Whole {
                texts.set(*kind, payload, None);
            }
            let encodable = Encodable {
                room: self.room.name.as_str(),
                epoch: self.epoch,
                offset: *offset,
                kind: *kind,
                payload,
                texts,
                tags: tags.as_deref(),
                info: info.as_deref(),
                time_ms: 0,
                keeps: true,
            };
            let coding = if bytes_left > COMPRESSED_ON_ENTRY_BYTES_MAX { Coding::Plain } else { feed.coding };
            bytes_left = bytes_left.saturating_sub(history::cost(record));
            match keeping {
                Keeping::Kept => Feed { coding, ..feed }.encode(&mut frames, &encodable, compressor),
                // Offsets are dense: something has to stand there.
                Keeping::Passing => frames.extend_from_slice(feed.encoding.nothing()),
            }
            let publisher = match keeping {
                Keeping::Kept => Publisher::OUTSIDE,
                Keeping::Passing => Publisher::NOTHING,
            };
            entries.push(Entry { end: frames.len() as u64, published: *published, publisher });
        }
        let kept_from = self.kept_from();
        let (room_id, frames, entries) = (self.room.id, Bytes::from(frames), entries.into());
        Some(Chunk { number, room_id, first_offset: kept_from, frames, entries, kept_from })
    }
}

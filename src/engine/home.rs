//! The rooms whose order this shard decides.
//!
//! Whatever is published into a room comes to its home, which numbers it, keeps it if the room has a history, encodes it
//! once for each feed in use, and passes it to the shards that have members. One writer per room gives one order, without
//! a lock. What came during one turn goes out as one chunk per feed.

mod waiting;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::sync::mpsc;

use super::asking::{Answer, Answered, Ask, Question};
use super::attendance::EventCounts;
use super::clock::{Nanos, Unix};
use super::command::{Keeping, Published};
use super::compressor::Compressor;
use super::directory::{Directory, Room};
use super::ending::Mark;
use super::feed::{Content, Encodable, Encoding, Feed};
use super::history::{self, History, HistoryQuery, Log, Record};
use super::outbox::Outbox;
use super::position::{Epoch, Position};
use super::presence::Move;
use super::roll::Roll;
use super::settings::RoomSettings;
#[cfg(test)]
use super::simulation::Planted;
use super::window::{Entry, Publisher};
use crate::protocol::frame::{self, Coding, MessageKind};
use waiting::{Waiting, Waits};

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

/// Bytes of a room's past that are compressed for a shard that comes, the newest.
const COMPRESSED_ON_ENTRY_BYTES_MAX: usize = 128 << 10;

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
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
            Self::Framed(frame) => frame::parts(frame).1,
        }
    }

    fn to_shared(self) -> Bytes {
        match self {
            Self::Shared(bytes) => bytes.clone(),
            Self::Borrowed(_) | Self::Framed(_) => Bytes::copy_from_slice(self.bytes()),
        }
    }
}

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
    /// `None`: the room has no history.
    kept: Option<Box<Kept>>,
    /// `None`: the room keeps no presence.
    pub(super) roll: Option<Box<Roll>>,
    /// `None`: nobody waits for what is published next.
    waiting: Option<Box<Waiting>>,
}

/// Those who get the same bytes, and the bytes of this turn.
#[derive(Debug)]
pub(super) struct HomeFeed {
    pub(super) feed: Feed,
    shards: Vec<Entrant>,
    pub(super) frames: Vec<u8>,
    pub(super) entries: Vec<Entry>,
}

/// A room's past.
#[derive(Debug)]
struct Kept {
    log: Log,
    settings: RoomSettings,
    /// When something was last published, or the last member left.
    used: Nanos,
    /// Whether this home holds the room in the directory, so that it can be found as long as it is here.
    held: bool,
    /// Whether the room stands in [`Homes::expiries`].
    expires: bool,
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
        let published = room.number(message, &mut self.compressor);
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

    /// Keeps a message that was just numbered.
    fn keep(&mut self, id: u64, message: &Message<'_>) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let Some(kept) = &mut room.kept else { return };
        let record = record(room.offset, message, self.unix);
        if !kept.held {
            // The last member has gone while its message was on its way: nobody can find this room any more, and its
            // name may be another room's by now.
            return;
        }
        let kept_by_others = self.kept_bytes - kept.log.bytes();
        kept.log.append(record, (message.published, message.keeping), &kept.settings);
        // The newest always stays: then the bound is exceeded by what one message a room takes.
        while kept_by_others + kept.log.bytes() > self.kept_bytes_max && kept.log.first_offset() < Some(room.offset) {
            kept.log.forget_oldest();
        }
        #[cfg(test)]
        if self.planted == Planted::OneLessKept
            && kept.log.records().count() as u64 == u64::from(kept.settings.history_count_max)
        {
            kept.log.forget_oldest();
        }
        self.kept_bytes = kept_by_others + kept.log.bytes();
        kept.used = message.published;
        self.schedule_expiry(id, message.published);
    }

    /// Has a room looked at when what was kept, or done, at `since` is old enough.
    fn schedule_expiry(&mut self, id: u64, since: Nanos) {
        let Some(kept) = self.rooms.get_mut(&id).and_then(|room| room.kept.as_mut()) else { return };
        if !kept.expires {
            kept.expires = true;
            self.expiries.push(Reverse((since.after(kept.settings.history_age_max), id)));
        }
    }

    /// Lets go of what has been kept for long enough, and answers those who have waited for long enough.
    pub(crate) fn expire(&mut self, now: Nanos, outbox: &mut Outbox) {
        self.end_waits(now);
        self.forget_left(now);
        while let Some(Reverse((at, id))) = self.expiries.peek().copied() {
            if at > now {
                return;
            }
            self.expiries.pop();
            let Some(room) = self.rooms.get_mut(&id) else { continue };
            let Some(kept) = &mut room.kept else { continue };
            kept.expires = false;
            let age_max = Nanos(0).after(kept.settings.history_age_max).0;
            let before = kept.log.bytes();
            kept.log.expire(Nanos((now.0 + 1).saturating_sub(age_max)));
            self.kept_bytes -= before - kept.log.bytes();
            let (oldest, used, is_empty) = (kept.log.oldest(), kept.used, room.feeds.is_empty());
            if let Some(oldest) = oldest {
                // Not for every publication of its own: whatever expires within a second goes together.
                let soonest = Nanos((now.0 + 1_000_000_000).saturating_sub(age_max));
                self.schedule_expiry(id, oldest.max(soonest));
            } else if is_empty && now < Nanos(used.0.saturating_add(age_max)) {
                self.schedule_expiry(id, used);
            }
            self.forgotten(id, before, outbox);
            self.remove_unused(id, now);
        }
    }

    /// Lets go of everything that a room has kept.
    fn forget(&mut self, id: u64, outbox: &mut Outbox) {
        let Some(kept) = self.rooms.get_mut(&id).and_then(|room| room.kept.as_mut()) else { return };
        let before = kept.log.bytes();
        kept.log = Log::default();
        self.kept_bytes -= before;
        self.forgotten(id, before, outbox);
    }

    /// A room's log is shorter than its former `before` bytes: tells the shards.
    fn forgotten(&mut self, id: u64, before: usize, outbox: &mut Outbox) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let Some(kept) = &room.kept else { return };
        if kept.log.bytes() == before {
            return;
        }
        let kept_from = room.kept_from();
        self.flush_room(id, outbox);
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let of_publications = |feed: &&HomeFeed| feed.feed.content == Content::Publications;
        for entrant in room.feeds.iter().filter(of_publications).flat_map(|feed| &feed.shards) {
            outbox.deliver(entrant.shard, ToShard::Forget { number: entrant.number, room_id: id, kept_from });
        }
    }

    /// When [`Homes::expire`] has something to do.
    pub(crate) fn next_expiry(&self) -> Option<Nanos> {
        let kept = self.expiries.peek().map(|Reverse((at, _))| *at);
        [kept, self.next_wait_end()].into_iter().flatten().min()
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
            HomeRoom::new(Arc::clone(room), Epoch(mixed(self.next_epoch)), settings, held)
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
        let position = Position { epoch: home.epoch, offset: home.newest_of(member.feed.content) };
        let kept = self.rooms.get(&room_id).and_then(|home| home.encode_kept(member, &mut self.compressor));
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
        let bounds = |content| (home.newest_of(content), home.kept_from_of(content));
        let (publications, presence) = (bounds(Content::Publications), bounds(Content::Presence));
        for HomeFeed { feed, shards, frames, entries } in &mut home.feeds {
            if entries.is_empty() {
                continue;
            }
            let (newest, kept_from) = match feed.content {
                Content::Publications => publications,
                Content::Presence => presence,
            };
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

/// Consecutive numbers to epochs that do not look alike (the finalizer of MurmurHash3: a bijection, so none comes twice).
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
    fn new(room: Arc<Room>, epoch: Epoch, settings: &RoomSettings, held: bool) -> Self {
        let kept = Kept { log: Log::default(), settings: settings.clone(), used: Nanos(0), held, expires: false };
        let kept = settings.has_history().then(|| Box::new(kept));
        let roll = Roll::new(settings).map(Box::new);
        Self { room, epoch, offset: 0, unsent: 0, feeds: Vec::new(), kept, roll, waiting: None }
    }

    /// Offset of the newest of what a feed with this content has.
    fn newest_of(&self, content: Content) -> u64 {
        match content {
            Content::Publications => self.offset,
            Content::Presence => self.roll.as_ref().map_or(0, |roll| roll.offset()),
        }
    }

    /// Offset of the oldest that is kept of what a feed with this content has.
    fn kept_from_of(&self, content: Content) -> u64 {
        match content {
            Content::Publications => self.kept_from(),
            Content::Presence => NOTHING_KEPT,
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
    fn number(&mut self, message: &Message<'_>, compressor: &mut Compressor) -> Published {
        self.offset += 1;
        self.unsent += 1;
        let Message { kind, payload, publisher, published, tags, info, .. } = *message;
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
                let publication = Encodable { room, epoch, offset, kind, payload, tags, info, time_ms: 0, keeps };
                feed.encode(frames, &publication, compressor);
            }
            entries.push(Entry { end: frames.len() as u64, published, publisher });
        }
        Published { offset: self.offset, members: self.room.members(), epoch: Some(self.epoch) }
    }

    /// Everything that is kept, for a shard that comes. Of what is to be compressed only the newest is, as far as that
    /// holds the home up for a millisecond or so: plain frames are no less right.
    fn encode_kept(&self, Entrant { feed, number, .. }: Entrant, compressor: &mut Compressor) -> Option<Chunk> {
        let kept = self.kept.as_ref().filter(|_| feed.content == Content::Publications)?;
        let (mut frames, mut entries) = (Vec::new(), Vec::new());
        let mut bytes_left = kept.log.bytes();
        for (record, published, keeping) in kept.log.records() {
            let Record { offset, kind, payload, tags, info, .. } = record;
            let encodable = Encodable {
                room: self.room.name.as_str(),
                epoch: self.epoch,
                offset: *offset,
                kind: *kind,
                payload,
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
            let (published, publisher) = (*published, Publisher::OUTSIDE);
            entries.push(Entry { end: frames.len() as u64, published, publisher });
        }
        let kept_from = self.kept_from();
        let (room_id, frames, entries) = (self.room.id, Bytes::from(frames), entries.into());
        Some(Chunk { number, room_id, first_offset: kept_from, frames, entries, kept_from })
    }
}

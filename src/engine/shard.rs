//! A shard: connections for life, their rooms' windows, an inbox, and one loop over them.
//!
//! Nothing here waits, locks, or looks at a clock: time and I/O are passed in, so the simulation runs this very code.
//! One [`Shard::turn`] in order: what sockets reported → inbox → reading (publishing) → homes → inboxes of the others →
//! a slice of the fan-out → timers. The slice is short, so the poller and the inbox are looked at every
//! [`SLICE_SENDS`] sends, and what arrived meanwhile goes out with the live head.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::clock::{Nanos, Unix};
use super::command::{Command, Keeping, Publication, Published};
use super::connection::{Connection, Flags};
use super::directory::Directory;
use super::drain::Draining;
use super::feed::Feed;
use super::heartbeat::Wheel;
use super::home::Homes;
use super::inbox::Inbox;
use super::lap::Appended;
use super::metrics::{Counter, Counts, Latencies, Snapshot};
use super::outbox::Outbox;
use super::post;
use super::post::{Message, Payload, ToHome, ToShard};
use super::ring::LocalRoom;
use super::session::Subscription;
use super::settings::Settings;
use super::slab::Slab;
use super::socket::Socket;
use super::window::Publisher;
use crate::protocol::deflate::Inflater;
use crate::protocol::frame;

// The numbers below are small in tests, so that the simulation reaches their edges with few clients.

/// Sends between two looks at the poller and the inbox. Measured in the prototype: 32–128 halve p50 and p99 when rounds
/// overlap and cost nothing.
pub(crate) const SLICE_SENDS: usize = if cfg!(test) { 3 } else { 64 };

/// Inbox entries taken in one turn, per queue.
const INBOX_ENTRIES_PER_TURN: usize = if cfg!(test) { 4 } else { 256 };

/// Connections taken in one turn while a fan-out is running: each costs about three sends, and a storm of them must not
/// stretch a lap of members who are there already.
const JOINS_PER_SLICE: usize = if cfg!(test) { 1 } else { 4 };

/// Bytes that a shard reads at once, and the most that a connection gets to publish before others are read.
pub(crate) const READ_BYTES: usize = if cfg!(test) { 512 } else { 64 << 10 };

/// What the poller reported of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) number: u32,
    pub(crate) readable: bool,
    /// The peer sends no more, or the stream is broken; `readable` as well.
    pub(crate) hung_up: bool,
    pub(crate) writable: bool,
}

/// See the module.
pub(crate) struct Shard<S: Socket> {
    pub(crate) own_number: usize,
    pub(crate) settings: Arc<Settings>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) poller: S::Poller,
    pub(crate) inbox: Inbox<S>,
    pub(crate) outbox: Outbox,
    pub(crate) homes: Homes,
    pub(crate) connections: Slab<Connection<S>>,
    pub(crate) rooms: Slab<LocalRoom>,
    /// Of sessions: members of rooms beside connections that are members themselves.
    pub(crate) subscriptions: Slab<Subscription>,
    /// Number of a room on this shard, by its id and by what members get of it.
    pub(crate) room_numbers: FxHashMap<(u64, Feed), u32>,
    /// Rooms whose lap is running, each once.
    pub(crate) running: VecDeque<u32>,
    /// Rooms that wait for their time to gather to pass.
    pub(crate) gathering: BinaryHeap<Reverse<(Nanos, u32)>>,
    /// Connections that have something to be read, in order.
    pub(crate) readable: VecDeque<u32>,
    /// Connections that have published as much as they may, until when.
    pub(crate) throttled: BinaryHeap<Reverse<(Nanos, u32)>>,
    /// Rooms that have more to offer than they may: publishers wait while there are any.
    pub(crate) backlogged: usize,
    /// Rooms whose window holds memory.
    pub(crate) warm: Vec<u32>,
    /// Number and stay of rooms that nobody held at some time since the last second: see `session::changes`.
    pub(crate) idle_rooms: Vec<(u32, u32)>,
    pub(crate) wheel: Wheel,
    pub(crate) read_buffer: Vec<u8>,
    /// Of clients' compressed messages; `None` until the first comes.
    pub(crate) inflater: Option<Box<Inflater>>,
    /// Sessions over HTTP, whose clients say what they have to say by requests of their own.
    pub(crate) posting_sessions: usize,
    /// Bytes of unfinished messages that this shard may still hold.
    pub(crate) unfinished_left: usize,
    /// What everybody has been offered since the turn began.
    pub(crate) finished: Vec<Appended>,
    pub(crate) counts: Counts,
    pub(crate) latencies: Latencies,
    pub(crate) now: Nanos,
    pub(crate) unix: Unix,
    pub(crate) next_serial: u32,
    pub(crate) next_stay: u32,
    pub(crate) draining: Option<Draining>,
    #[cfg(test)]
    pub(crate) planted: super::simulation::Planted,
}

/// What a publication counts as: nobody hears it if no shard has members of its room.
pub(crate) const fn publication_counter(published: Option<Published>) -> Counter {
    if published.is_some() { Counter::Publications } else { Counter::PublicationsUnheard }
}

/// What a shard is made of.
pub(crate) struct Parts<S: Socket> {
    pub(crate) own_number: usize,
    pub(crate) settings: Arc<Settings>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) poller: S::Poller,
    pub(crate) inbox: Inbox<S>,
    pub(crate) outbox: Outbox,
    pub(crate) unix: Unix,
    /// Tells the epochs of this shard and run from those of others.
    pub(crate) epoch_seed: u64,
}

/// Whether a shard goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Look at the poller again, and sleep no longer than this (`None`: as long as nothing happens).
    Again(Option<Duration>),
    /// It was told to stop.
    Ended,
}

impl<S: Socket> Shard<S> {
    pub(crate) fn new(parts: Parts<S>) -> Self {
        let Parts { own_number, settings, directory, poller, inbox, outbox, unix, epoch_seed } = parts;
        let kept_bytes_max = settings.limits.history_bytes_max / outbox.shards();
        let homes = Homes::new(Arc::clone(&directory), unix, epoch_seed, kept_bytes_max);
        let unfinished_left = settings.limits.unfinished_bytes_max / outbox.shards();
        Self {
            own_number,
            settings,
            directory,
            poller,
            inbox,
            outbox,
            homes,
            connections: Slab::new(),
            rooms: Slab::new(),
            subscriptions: Slab::new(),
            room_numbers: FxHashMap::default(),
            running: VecDeque::new(),
            gathering: BinaryHeap::new(),
            readable: VecDeque::new(),
            throttled: BinaryHeap::new(),
            backlogged: 0,
            warm: Vec::new(),
            idle_rooms: Vec::new(),
            wheel: Wheel::new(),
            read_buffer: vec![0; READ_BYTES],
            inflater: None,
            unfinished_left,
            finished: Vec::new(),
            counts: Counts::default(),
            latencies: Latencies::default(),
            now: Nanos(0),
            unix,
            next_serial: 0,
            posting_sessions: 0,
            next_stay: 0,
            draining: None,
            #[cfg(test)]
            planted: super::simulation::Planted::Nothing,
        }
    }

    /// One round of the loop, at `now`, with what the poller reported.
    pub(crate) fn turn(&mut self, now: Nanos, ready: impl Iterator<Item = Ready>) -> Turn {
        self.now = now;
        self.finished.clear();
        self.counts.add(Counter::Turns, 1);
        for Ready { number, readable, hung_up, writable } in ready {
            if hung_up && let Some(connection) = self.connections.get_mut(number) {
                connection.flags.set(Flags::HUNG_UP);
            }
            if writable {
                self.writable(number);
            }
            if readable {
                self.queue_reading(number);
            }
        }
        // What the last turn could not pass on counts, not what this one is about to.
        let (blocked, holds_deliveries) = (self.outbox.is_blocked(), self.outbox.holds_deliveries());
        self.take_deliveries();
        let keeps_up = self.backlogged == 0;
        if keeps_up && !blocked {
            self.take_commands();
        }
        // Even if `blocked`: shards whose publications wait for each other would wait for ever.
        if keeps_up && !holds_deliveries {
            self.take_publishes();
        }
        if keeps_up && !blocked {
            self.read();
        }
        self.flush();
        self.fan_out();
        self.on_time();
        // Whoever left since may have been the last of its room here: the home is told before this shard sleeps.
        self.flush();
        if self.inbox.is_stopped() { Turn::Ended } else { Turn::Again(self.sleep_max()) }
    }

    /// Whether publishers need not wait: the fan-out keeps up, and the other shards take what this one has for them.
    pub(crate) fn may_publish(&self) -> bool {
        self.backlogged == 0 && !self.outbox.is_blocked()
    }

    fn take_deliveries(&mut self) {
        for _ in 0..INBOX_ENTRIES_PER_TURN {
            if self.backlogged > 0 {
                return;
            }
            let Some(message) = self.inbox.deliveries.pop() else { return };
            self.take(message);
        }
    }

    fn take_commands(&mut self) {
        let mut joins_left = if self.running.is_empty() { usize::MAX } else { JOINS_PER_SLICE };
        for _ in 0..INBOX_ENTRIES_PER_TURN {
            if joins_left == 0 {
                return;
            }
            let Ok((command, slot)) = self.inbox.commands.try_recv() else { return };
            match command {
                Command::Join(join) => {
                    joins_left -= 1;
                    self.accept(*join);
                }
                Command::Publish { room, held, publication, reply } => {
                    let Publication { kind, payload, tags, info, keeping } = *publication;
                    let message = Message {
                        kind,
                        payload: Payload::Shared(&payload),
                        publisher: Publisher::OUTSIDE,
                        published: self.now,
                        tags: tags.as_ref(),
                        info: info.as_ref(),
                        keeping,
                    };
                    let published = self.homes.publish_from_outside(&room, held, &message);
                    self.counts.add(publication_counter(published.epoch.map(|_| published)), 1);
                    // Whoever published may have gone; the publication stands.
                    reply.send(published).ok();
                }
                Command::Ask { room, ask, reply } => {
                    let answer = self.homes.answer(room.id, ask, &mut self.outbox);
                    // Whoever asked may have gone.
                    reply.send(answer).ok();
                }
                Command::Newer { room, newer, reply } => self.homes.newer(&room, *newer, self.now, reply),
                Command::Emulate { session, message, reply } => {
                    let heard = self.emulate(&session, &message);
                    // Whoever asked may have gone.
                    reply.send(heard).ok();
                }
                Command::Act { target, act, reply } => {
                    let count = self.act(&target, &act);
                    // Whoever asked may have gone.
                    reply.send(count).ok();
                }
                Command::Users(state, reply) => {
                    reply.send(self.users(&state)).ok();
                }
                Command::Probe(reply) => self.probe(&reply),
                Command::Snapshot(reply) => {
                    reply.send(Box::new(self.snapshot())).ok();
                }
                Command::Drain(drain, drained) => {
                    self.homes.end_all_waits();
                    self.draining =
                        Some(Draining::new(drain, drained, self.now, (self.connections.len(), self.counts.aborted())));
                }
            }
            drop(slot);
        }
    }

    fn take_publishes(&mut self) {
        for _ in 0..INBOX_ENTRIES_PER_TURN {
            let Some(ToHome { frames, publications, marks, questions }) = self.inbox.publishes.pop() else { return };
            let mut start = 0;
            for post::Publication { room_id, publisher, published, frame_len, info } in &publications {
                let frame = &frames[start..start + frame_len];
                let message = Message {
                    kind: frame::parts(frame).0,
                    payload: Payload::Framed(frame),
                    publisher: *publisher,
                    published: *published,
                    tags: None,
                    info: info.as_ref(),
                    keeping: Keeping::Kept,
                };
                let published = self.homes.publish(*room_id, &message);
                self.counts.add(publication_counter(published), 1);
                start += frame_len;
            }
            for mark in marks {
                self.homes.mark(mark, &mut self.outbox);
            }
            for question in questions {
                self.homes.asked(question, &mut self.outbox);
            }
        }
    }

    /// As a home, sends something the way that publications go, to every shard.
    fn probe(&mut self, reply: &tokio::sync::mpsc::Sender<usize>) {
        for shard in 0..self.outbox.shards() {
            self.outbox.deliver(shard, ToShard::Probe(reply.clone()));
        }
    }

    /// Passes on what this turn brought, to itself as well.
    pub(crate) fn flush(&mut self) {
        self.homes.flush(&mut self.outbox);
        while let Some(message) = self.outbox.take_own() {
            self.take(message);
            self.homes.flush(&mut self.outbox);
        }
        self.count_events();
        self.outbox.flush();
    }

    fn take(&mut self, message: ToShard) {
        match message {
            ToShard::Enter { room, member } => self.homes.enter(&room, member, &mut self.outbox),
            ToShard::Leave { room_id, feed, shard } => {
                self.homes.leave(room_id, (feed, shard), self.now, &mut self.outbox);
            }
            ToShard::Entered(entered) => self.entered(*entered),
            ToShard::Forget { number, room_id, kept_from } => self.forget(number, room_id, kept_from),
            ToShard::Answered(answered) => self.answered(*answered),
            ToShard::Attend(moves) => self.homes.attend(moves, self.now),
            ToShard::Asked(question) => self.homes.asked(question, &mut self.outbox),
            ToShard::Deliver(chunks) => {
                for chunk in &chunks {
                    self.deliver(chunk);
                }
            }
            ToShard::Marked(mark) => self.marked(mark),
            ToShard::Probe(reply) => {
                // Full or closed: whoever asked has given up.
                reply.try_send(self.own_number).ok();
            }
        }
    }

    /// How long the poller may sleep.
    fn sleep_max(&self) -> Option<Duration> {
        if !self.running.is_empty() || (!self.readable.is_empty() && self.may_publish()) {
            return Some(Duration::ZERO);
        }
        if self.outbox.is_blocked() {
            // Nobody tells when the other inbox has room again.
            return Some(Duration::from_millis(1));
        }
        let gathered = self.gathering.peek().map(|Reverse((at, _))| *at);
        let unthrottled = self.throttled.peek().map(|Reverse((at, _))| *at);
        let closes = self.draining.as_ref().and_then(|draining| draining.next_close(self.now));
        let ticked = (self.connections.len() > 0 || !self.warm.is_empty()).then(|| self.wheel.next_tick());
        let (expires, leaves) = (self.homes.next_expiry(), self.homes.next_leave());
        let first = [gathered, unthrottled, closes, ticked, expires, leaves].into_iter().flatten().min()?;
        Some(first.since(self.now))
    }

    fn snapshot(&self) -> Snapshot {
        let mut blocked_members = 0;
        let mut lag_bytes_max = 0;
        let mut window_bytes = 0;
        for room in self.warm.iter().filter_map(|number| self.rooms.get(*number)) {
            window_bytes += room.window.held_bytes() as u64;
            for cursor in room.blocked.iter().filter_map(|number| self.blocked_cursor(room, *number)) {
                blocked_members += 1;
                lag_bytes_max = lag_bytes_max.max(room.window.head().saturating_sub(cursor));
            }
        }
        Snapshot {
            shard: self.own_number,
            counts: self.counts.clone(),
            latencies: self.latencies.clone(),
            connections: self.connections.len(),
            subscriptions: self.subscriptions.len(),
            posting_sessions: self.posting_sessions,
            rooms: self.rooms.len(),
            homes: self.homes.len(),
            blocked_members,
            lag_bytes_max,
            window_bytes,
            history_bytes: self.homes.kept_bytes() as u64,
            unfinished_bytes: self.settings.limits.unfinished_bytes_max / self.outbox.shards() - self.unfinished_left,
        }
    }

    /// The cursor of a room's member, if its socket takes no more.
    fn blocked_cursor(&self, room: &LocalRoom, number: u32) -> Option<u64> {
        if room.feed.encoding.is_multiplexed() {
            return self.subscriptions.get(number).filter(|it| it.is_waiting()).map(|it| it.cursor);
        }
        self.connections.get(number).filter(|connection| connection.is_blocked_member()).map(|it| it.cursor)
    }

    /// What only time brings.
    fn on_time(&mut self) {
        self.gathered();
        self.unthrottle();
        self.heartbeat();
        self.homes.expire(self.now, &mut self.outbox);
        self.homes.tell_leaves(self.now);
        self.drain();
    }
}

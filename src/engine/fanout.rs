//! The fan-out: every member of a room is offered everything up to the head, with one send.
//!
//! This is the hot loop of the engine. Per member it touches one connection entry and calls the kernel; it allocates
//! nothing, takes no lock, looks up nothing by key, writes no log.

use super::clock::Nanos;
use super::connection::{Connection, Flags, Sent, State, send};
use super::feed::Form;
use super::membership::{CLOSE_SLOW, Close};
use super::metrics::{Counter, record};
use super::post::Chunk;
use super::ring::{LocalRoom, Queued, Warmth};
use super::settings::LagPolicy;
use super::shard::{SLICE_SENDS, Shard};
#[cfg(test)]
use super::simulation::Planted;
use super::socket::Socket;
use super::window::Window;

/// Places of a ring that are walked past for one send's worth of a slice: looking costs far less than sending.
pub(crate) const VISITS_PER_SEND: usize = 16;

impl<S: Socket> Shard<S> {
    /// Publications from a room's home.
    pub(crate) fn deliver(&mut self, chunk: &Chunk) {
        // The shard may have left the room, and come back, while the chunk was on its way.
        let current = |room: &&mut LocalRoom| room.room.id == chunk.room_id && room.joining.is_none();
        let Some(room) = self.rooms.get_mut(chunk.number).filter(current) else { return };
        let is_idle = room.feed.form == Form::Whole;
        debug_assert!(room.holders > 0 || is_idle, "a room without members, present or to be, is not kept");
        room.append(chunk, self.now);
        if room.warmth == Warmth::Cold {
            self.warm.push(chunk.number);
        }
        room.warmth = Warmth::Touched;
        let backlogged = room.backlog_bytes() > self.settings.limits.backlog_bytes_max as u64;
        if backlogged && !room.backlogged {
            room.backlogged = true;
            self.backlogged += 1;
        }
        if room.lap.is_running() || room.queued == Queued::Running {
            self.start_lap(chunk.number);
        } else if room.places() == 0 {
            // Nobody is offered it, so no lap's end trims the window of a room that is only held.
            self.trim(chunk.number);
        }
    }

    /// A room keeps nothing in front of `offset` any more.
    pub(crate) fn forget(&mut self, number: u32, room_id: u64, offset: u64) {
        let current = |room: &&mut LocalRoom| room.room.id == room_id && room.joining.is_none();
        if let Some(room) = self.rooms.get_mut(number).filter(current) {
            room.forget(offset);
            self.trim(number);
        }
    }

    /// Puts a room with something to offer into the queue, unless its time to gather has not passed.
    fn start_lap(&mut self, number: u32) {
        let Some(room) = self.rooms.get_mut(number) else { return };
        match room.queued {
            Queued::Running => return,
            Queued::Gathering if !room.backlogged => return,
            Queued::No if room.not_before > self.now && !room.backlogged => {
                room.queued = Queued::Gathering;
                self.gathering.push(std::cmp::Reverse((room.not_before, number)));
                return;
            }
            Queued::No | Queued::Gathering => {}
        }
        room.start(self.now);
        self.running.push_back(number);
    }

    /// Rooms whose time to gather, or to rest, has passed.
    pub(crate) fn gathered(&mut self) {
        while let Some(std::cmp::Reverse((at, number))) = self.gathering.peek().copied() {
            if at > self.now {
                return;
            }
            self.gathering.pop();
            // It may have been started since, because too much had gathered, or the number may be another room's by
            // now.
            let due = |room: &&mut LocalRoom| room.queued == Queued::Gathering && room.not_before <= at;
            if let Some(room) = self.rooms.get_mut(number).filter(due) {
                room.start(self.now);
                self.running.push_back(number);
            }
        }
    }

    /// One slice: [`SLICE_SENDS`] sends, over the running rooms in turn.
    pub(crate) fn fan_out(&mut self) {
        let mut visits_left = SLICE_SENDS * VISITS_PER_SEND;
        while visits_left > 0 {
            let Some(number) = self.running.pop_front() else { return };
            visits_left = self.slice(number, visits_left);
            let Some(room) = self.rooms.get_mut(number) else { continue };
            if room.queued != Queued::Running {
                continue;
            }
            if !room.lap.is_running() {
                self.lap_ended(number);
            } else if let Some(rest) = room.rest(self.now) {
                room.queued = Queued::Gathering;
                room.not_before = self.now.after(rest);
                self.gathering.push(std::cmp::Reverse((room.not_before, number)));
            } else {
                self.running.push_back(number);
            }
        }
    }

    /// Visits members of one room until the lap or the slice ends. Returns what is left of the slice.
    fn slice(&mut self, number: u32, mut visits_left: usize) -> usize {
        let Some(room) = self.rooms.get_mut(number) else { return visits_left };
        if room.feed.encoding.is_multiplexed() {
            let SlicePart { tally, visits_left, movers } = self.slice_of_sessions(number, visits_left);
            self.offered(number);
            self.follow_changes(movers);
            self.settle_tally(tally);
            return visits_left;
        }
        let places = room.places();
        let mut tally = Tally::default();
        for _ in 0..room.lap.visits_left() {
            let place = room.lap.next();
            let mut cost = 1;
            if let Some(number) = room.at(place)
                && let Some(connection) = self.connections.get_mut(number)
                && connection.cursor != room.window.head()
                && !connection.flags.has_any(Flags::BLOCKED)
            {
                cost = VISITS_PER_SEND;
                #[cfg(test)]
                let before = connection.cursor;
                match offer(connection, &room.window, room.settings.lag, self.own_number, &mut tally) {
                    Sent::All if connection.flags.has_any(Flags::LEAVING) => tally.ended.push(number),
                    Sent::All => {}
                    Sent::Part(_) => {
                        #[cfg(test)]
                        if self.planted == Planted::PartForgotten {
                            connection.cursor = before;
                        }
                        connection.flags.set(Flags::BLOCKED);
                        room.block(number, connection.cursor);
                    }
                    Sent::Gone => tally.ended.push(number),
                }
            }
            room.lap.visited(places);
            if visits_left <= cost {
                visits_left = 0;
                break;
            }
            visits_left -= cost;
        }
        self.offered(number);
        self.settle_tally(tally);
        visits_left
    }

    /// Takes note of what everybody has been offered by now.
    fn offered(&mut self, number: u32) {
        let Some(room) = self.rooms.get_mut(number) else { return };
        let mut done = false;
        while let Some(appended) = room.lap.take_done() {
            self.finished.push(appended);
            room.offered_to_all(appended.end);
            done = true;
        }
        if done {
            self.trim(number);
        }
    }

    /// Records how long it took until everybody had been offered what this turn finished, at the turn's end.
    pub(crate) fn record_finished(&mut self, now: Nanos) {
        for appended in self.finished.drain(..) {
            let count = u64::from(appended.count);
            record(&mut self.latencies.publish_to_last_send, now.since(appended.published), count);
            record(&mut self.latencies.fan_out, now.since(appended.at), 1);
        }
    }

    /// Adds up what a slice did, and ends the connections that it found gone.
    pub(crate) fn settle_tally(&mut self, tally: Tally) {
        let Tally { sends, blocked, deliveries, bytes, skipped, ended, .. } = tally;
        self.counts.add(Counter::Sends, sends);
        self.counts.add(Counter::SendsBlocked, blocked);
        self.counts.add(Counter::Deliveries, deliveries);
        self.counts.add(Counter::BytesSent, bytes);
        self.counts.add(Counter::DroppedLatest, skipped);
        for number in ended {
            if self.connections.get(number).is_some_and(|it| it.flags.has_any(Flags::LEAVING)) {
                self.close_leaving(number);
            } else {
                self.gone(number, Counter::ClosedLost);
            }
        }
    }

    /// A lap is over: the ring may be renumbered, and what arrived meanwhile begins to gather.
    fn lap_ended(&mut self, number: u32) {
        let Some(room) = self.rooms.get_mut(number) else { return };
        room.end(self.now);
        self.renumber(number);
        let Some(room) = self.rooms.get_mut(number) else { return };
        room.begin_next();
        if room.lap.is_running() {
            self.start_lap(number);
        } else if room.places() == 0 {
            // Nobody is left to be offered what arrived meanwhile: it is no backlog any more.
            self.trim(number);
        }
    }

    /// Closes the gaps in a room's ring, if there are many. Amortised O(1) per member that left.
    pub(crate) fn renumber(&mut self, number: u32) {
        let Some(room) = self.rooms.get_mut(number).filter(|room| room.wants_renumbering()) else { return };
        let multiplexed = room.feed.encoding.is_multiplexed();
        for (place, member) in (0u32..).zip(room.renumber()) {
            if multiplexed {
                if let Some(subscription) = self.subscriptions.get_mut(*member) {
                    subscription.place = place;
                }
            } else if let Some(connection) = self.connections.get_mut(*member) {
                connection.place = place;
            }
        }
    }

    /// Holds blocked members to the room's window, and forgets what nobody needs any more.
    pub(crate) fn trim(&mut self, number: u32) {
        let Some(room) = self.rooms.get_mut(number) else { return };
        let multiplexed = room.feed.encoding.is_multiplexed();
        let mut lagging = Vec::new();
        if !room.blocked.is_empty() {
            let limit = room.lag_limit(self.now);
            if !room.lap.is_running() || room.may_lag(limit) {
                lagging = if multiplexed {
                    self.find_lagging_subscriptions(number, limit)
                } else {
                    self.find_lagging(number, limit)
                };
            }
        }
        for member in lagging {
            if multiplexed { self.lagged_subscription(number, member) } else { self.lagged(number, member) }
        }
        let Some(room) = self.rooms.get_mut(number) else { return };
        #[cfg(test)]
        if self.planted == Planted::BlockedForgotten {
            room.set_blocked(Vec::new(), u64::MAX);
        }
        room.release();
        if room.backlogged && room.backlog_bytes() <= self.settings.limits.backlog_bytes_max as u64 / 2 {
            room.backlogged = false;
            self.backlogged -= 1;
        }
    }

    /// Looks at all blocked members of a room: those behind `limit` are returned.
    fn find_lagging(&mut self, number: u32, limit: u64) -> Vec<u32> {
        let Some(room) = self.rooms.get_mut(number) else { return Vec::new() };
        let (mut still, mut lagging, mut floor) = (std::mem::take(&mut room.blocked), Vec::new(), u64::MAX);
        still.retain(|member| {
            let Some(connection) = self.connections.get(*member) else { return false };
            if connection.room != number || !connection.is_blocked_member() {
                return false;
            }
            if connection.cursor < limit {
                lagging.push(*member);
            }
            floor = floor.min(connection.cursor.max(limit));
            true
        });
        still.sort_unstable();
        still.dedup();
        room.set_blocked(still, floor);
        lagging
    }

    /// A member fell behind the window: the room's policy decides.
    fn lagged(&mut self, room_number: u32, number: u32) {
        let Some(room) = self.rooms.get_mut(room_number) else { return };
        let Some(connection) = self.connections.get_mut(number) else { return };
        let rest = room.window.frame_rest(connection.cursor);
        let boundary = rest.unwrap_or(connection.cursor);
        let counter = match room.settings.lag {
            LagPolicy::Disconnect => {
                let missed = room.window.frames_between(boundary, room.window.head());
                self.counts.add(Counter::DroppedSlow, missed);
                let lag = room.window.head() - connection.cursor;
                let reason = format!("slow: {missed} publications, {lag} bytes behind; see room.window_* settings");
                self.close(number, &Close { code: CLOSE_SLOW, reason, counter: Counter::ClosedSlow });
                return;
            }
            LagPolicy::Skip => Counter::DroppedSkip,
            LagPolicy::Latest => Counter::DroppedLatest,
        };
        if let Some(end) = rest {
            connection.carry(room.window.between(connection.cursor, end));
            self.counts.add_carried(end - connection.cursor);
        }
        let newest = room.window.newest_start().max(boundary);
        self.counts.add(counter, room.window.frames_between(boundary, newest));
        connection.cursor = newest;
    }

    /// Offers one connection whatever waits for it: a new member, or one whose socket takes more again.
    pub(crate) fn serve(&mut self, number: u32) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        match connection.state {
            State::Joining => return,
            State::Closing => return self.serve_closing(number),
            State::Open if connection.flags.has(Flags::SESSION) => return self.serve_session(number),
            State::Open => {}
        }
        let Some(room) = self.rooms.get_mut(connection.room) else { return };
        let mut tally = Tally::default();
        match catch_up(connection, room, self.own_number, &mut tally) {
            Sent::All => {
                connection.flags.clear(Flags::BLOCKED);
                if connection.flags.has(Flags::LEAVING) {
                    tally.ended.push(number);
                }
            }
            Sent::Part(_) if connection.flags.has(Flags::BLOCKED) => {}
            Sent::Part(_) => {
                connection.flags.set(Flags::BLOCKED);
                room.block(number, connection.cursor);
            }
            Sent::Gone => {
                connection.flags.clear(Flags::LEAVING);
                tally.ended.push(number);
            }
        }
        self.settle_tally(tally);
    }
}

/// What a slice did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    sends: u64,
    blocked: u64,
    deliveries: u64,
    bytes: u64,
    pub(crate) skipped: u64,
    /// Connections that are gone, or have everything and are to be closed. Hardly ever any.
    pub(crate) ended: Vec<u32>,
    /// Members at the same cursor get the same frames: where they began and ended, and how many they were.
    last_count: (u64, u64, u64),
}

impl Tally {
    /// What comes next is of another room: equal positions mean other frames there.
    pub(crate) const fn of_other_room(&mut self) {
        self.last_count = (0, 0, 0);
    }

    fn count(&mut self, window: &Window, from: u64, to: u64) {
        if (self.last_count.0, self.last_count.1) != (from, to) {
            self.last_count = (from, to, window.frames_between(from, to));
        }
        self.deliveries += self.last_count.2;
        self.bytes += to - from;
        self.sends += 1;
    }
}

/// A slice of one room's lap: what it did, and what is left for other rooms.
pub(crate) struct SlicePart {
    pub(crate) tally: Tally,
    pub(crate) visits_left: usize,
    /// Subscriptions that may go on in another feed: see `session::changes`.
    pub(crate) movers: Vec<u32>,
}

/// Sends what is between two positions, and moves the cursor.
#[inline]
pub(crate) fn send_between<S: Socket>(
    socket: &mut S,
    cursor: &mut u64,
    window: &Window,
    to: u64,
    tally: &mut Tally,
) -> Sent {
    let from = *cursor;
    let sent = send(socket, window.between(from, to));
    match sent {
        Sent::All => *cursor = to,
        Sent::Part(bytes) => {
            *cursor = from + bytes as u64;
            tally.blocked += 1;
        }
        Sent::Gone => return sent,
    }
    tally.count(window, from, *cursor);
    sent
}

/// Offers everything up to the head to a member at a frame boundary that is not blocked.
fn offer<S: Socket>(
    connection: &mut Connection<S>,
    window: &Window,
    lag: LagPolicy,
    shard: usize,
    tally: &mut Tally,
) -> Sent {
    debug_assert!(window.frame_rest(connection.cursor).is_none(), "whoever is in the middle of a frame is blocked");
    if lag == LagPolicy::Latest {
        let newest = window.newest_start();
        if connection.cursor < newest {
            tally.skipped += window.frames_between(connection.cursor, newest);
            connection.cursor = newest;
        }
    }
    if connection.flags.has(Flags::SKIPS_OWN) {
        return offer_without_own(connection, window, shard, tally);
    }
    send_between(&mut connection.socket, &mut connection.cursor, window, window.head(), tally)
}

/// The same for a member that does not want its own messages: a send for each run of frames of others.
fn offer_without_own<S: Socket>(
    connection: &mut Connection<S>,
    window: &Window,
    shard: usize,
    tally: &mut Tally,
) -> Sent {
    let own = connection.publisher(shard);
    let mut run_end = connection.cursor;
    for (start, entry) in window.frames_from(connection.cursor) {
        if entry.publisher == own {
            if run_end > connection.cursor {
                match send_between(&mut connection.socket, &mut connection.cursor, window, start, tally) {
                    Sent::All => {}
                    sent => return sent,
                }
            }
            connection.cursor = entry.end;
        }
        run_end = entry.end;
    }
    if connection.cursor == window.head() {
        Sent::All
    } else {
        send_between(&mut connection.socket, &mut connection.cursor, window, window.head(), tally)
    }
}

/// What a blocked or new member gets when it can: the rest of a frame, what is for it alone, everything else.
fn catch_up<S: Socket>(connection: &mut Connection<S>, room: &LocalRoom, shard: usize, tally: &mut Tally) -> Sent {
    if let Some(end) = room.window.frame_rest(connection.cursor) {
        match send_between(&mut connection.socket, &mut connection.cursor, &room.window, end, tally) {
            Sent::All => {}
            sent => return sent,
        }
    }
    if connection.has_direct() {
        match connection.send_direct() {
            Sent::All => {}
            sent => return sent,
        }
    }
    if connection.cursor == room.window.head() {
        return Sent::All;
    }
    offer(connection, &room.window, room.settings.lag, shard, tally)
}

impl<S: Socket> Connection<S> {
    /// A member for whom the kernel may take more.
    #[cfg(test)]
    pub(crate) fn is_open_and_unblocked(&self) -> bool {
        self.state == State::Open && !self.flags.has(Flags::BLOCKED)
    }

    /// A member for whom the kernel takes no more.
    pub(crate) fn is_blocked_member(&self) -> bool {
        self.state == State::Open && self.flags.has(Flags::BLOCKED)
    }
}

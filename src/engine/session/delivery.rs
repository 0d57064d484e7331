//! A room's publications to those of its subscriptions whose socket takes them: the hot loop of sessions, beside that
//! of members in [`fanout`](super::super::fanout).
//!
//! A session whose socket takes no more is blocked as a whole. Its subscriptions then wait, each with its cursor, in
//! the order in which they were found to have something; nothing is queued for them.

use super::super::connection::{Connection, Flags, Sent};
use super::super::fanout::{SlicePart, Tally, VISITS_PER_SEND, send_between};
use super::super::feed::Form;
use super::super::membership::Close;
use super::super::metrics::Counter;
use super::super::ring::LocalRoom;
use super::super::settings::LagPolicy;
use super::super::shard::Shard;
#[cfg(test)]
use super::super::simulation::Planted;
use super::super::slab::Slab;
use super::super::socket::Socket;
use super::super::window::Window;
use super::{Session, Subscription, SubscriptionState};
use crate::protocol::centrifuge::code::{Disconnect, Unsubscribe};

impl<S: Socket> Shard<S> {
    /// Visits subscriptions of one room until the lap or the slice ends. Returns what is left of the slice.
    pub(in crate::engine) fn slice_of_sessions(&mut self, number: u32, mut visits_left: usize) -> SlicePart {
        let mut tally = Tally::default();
        let Self { rooms, connections, subscriptions, .. } = self;
        let mut movers = Vec::new();
        let Some(room) = rooms.get_mut(number) else { return SlicePart { tally, visits_left, movers } };
        let (places, leads_to_changes) = (room.places(), room.leads_to_changes());
        for _ in 0..room.lap.visits_left() {
            let mut cost = 1;
            if let Some(subscription) = room.at(room.lap.next())
                && let Some(it) = subscriptions.get_mut(subscription)
                && it.cursor != room.window.head()
                && it.state == SubscriptionState::Open
                && let Some(connection) = connections.get_mut(it.connection)
            {
                if connection.flags.has_any(Flags::BLOCKED) {
                    wait(connection, it, subscription, room);
                } else {
                    cost = VISITS_PER_SEND;
                    match offer(connection, it, &room.window, room.settings.lag, &mut tally) {
                        Sent::All if leads_to_changes => movers.push(subscription),
                        Sent::All => {}
                        Sent::Part(_) => {
                            connection.flags.set(Flags::BLOCKED);
                            wait(connection, it, subscription, room);
                            note_partial(connection, it, subscription, &room.window);
                        }
                        Sent::Gone => tally.ended.push(it.connection),
                    }
                }
            }
            room.lap.visited(places);
            if visits_left <= cost {
                visits_left = 0;
                break;
            }
            visits_left -= cost;
        }
        SlicePart { tally, visits_left, movers }
    }

    /// Offers a session whatever waits for it.
    pub(in crate::engine) fn serve_session(&mut self, number: u32) {
        let (mut tally, mut movers) = (Tally::default(), Vec::new());
        let Self { rooms, connections, subscriptions, .. } = self;
        let Some(connection) = connections.get_mut(number) else { return };
        let Some(mut session) = connection.extra.as_mut().and_then(|extra| extra.session.take()) else { return };
        if connection.flags.has(Flags::LEAVING) {
            everything_waits(&mut session, subscriptions, rooms);
        }
        let sent = catch_up(connection, &mut session, (rooms, subscriptions), &mut tally, &mut movers);
        match sent {
            Sent::All => {
                connection.flags.clear(Flags::BLOCKED);
                if connection.flags.has(Flags::LEAVING) {
                    tally.ended.push(number);
                }
            }
            Sent::Part(_) => connection.flags.set(Flags::BLOCKED),
            Sent::Gone => {
                connection.flags.clear(Flags::LEAVING);
                tally.ended.push(number);
            }
        }
        #[cfg(test)]
        if self.planted == Planted::WaitingDropped && matches!(sent, Sent::Part(_)) {
            session.waiting.truncate(1);
        }
        connection.extra().session = Some(session);
        self.follow_changes(movers);
        self.settle_tally(tally);
    }

    /// Looks at all waiting subscriptions of a room: those behind `limit` are returned.
    pub(in crate::engine) fn find_lagging_subscriptions(&mut self, number: u32, limit: u64) -> Vec<u32> {
        let Some(room) = self.rooms.get_mut(number) else { return Vec::new() };
        let (mut still, mut lagging, mut floor) = (std::mem::take(&mut room.blocked), Vec::new(), u64::MAX);
        still.sort_unstable();
        still.dedup();
        still.retain(|subscription| {
            let Some(it) = self.subscriptions.get(*subscription) else { return false };
            if it.room != number || it.state != SubscriptionState::Waiting {
                return false;
            }
            if it.cursor < limit {
                lagging.push(*subscription);
            }
            floor = floor.min(it.cursor.max(limit));
            true
        });
        room.set_blocked(still, floor);
        lagging
    }

    /// A subscription fell behind the window: the room's policy decides. Whoever has a position is told of a gap, and
    /// so is who gets changes: they apply to what it has not had.
    pub(in crate::engine) fn lagged_subscription(&mut self, room_number: u32, subscription: u32) {
        let Some(room) = self.rooms.get(room_number) else { return };
        let Some(it) = self.subscriptions.get_mut(subscription) else { return };
        let rest = room.window.frame_rest(it.cursor);
        let boundary = rest.unwrap_or(it.cursor);
        let (number, head) = (it.connection, room.window.head());
        let counter = match room.settings.lag {
            LagPolicy::Disconnect => {
                self.counts.add(Counter::DroppedSlow, room.window.frames_between(boundary, head));
                let (code, reason) = super::code_of(Disconnect::SLOW);
                self.close(number, &Close { code, reason: reason.to_owned(), counter: Counter::ClosedSlow });
                return;
            }
            LagPolicy::Skip => Counter::DroppedSkip,
            LagPolicy::Latest => Counter::DroppedLatest,
        };
        #[cfg(test)]
        let (is_told, tells_changes) = (self.planted != Planted::GapUntold, self.planted != Planted::ChangeLost);
        #[cfg(not(test))]
        let (is_told, tells_changes) = (true, true);
        if (room.settings.has_history() && is_told) || (room.feed.form == Form::Changed && tells_changes) {
            self.counts.add(counter, room.window.frames_between(boundary, head));
            return self.unsubscribe(subscription, Unsubscribe::INSUFFICIENT_STATE);
        }
        let newest = room.window.newest_start().max(boundary);
        self.counts.add(counter, room.window.frames_between(boundary, newest));
        if let Some(end) = rest
            && let Some(connection) = self.connections.get_mut(number)
        {
            connection.carry(room.window.between(it.cursor, end));
            self.counts.add_carried(end - it.cursor);
            if let Some(session) = connection.extra.as_mut().and_then(|extra| extra.session.as_deref_mut()) {
                session.partial = None;
            }
        }
        it.cursor = newest;
    }
}

/// Offers everything up to the head to a subscription whose session is at a frame boundary and not blocked.
fn offer<S: Socket>(
    connection: &mut Connection<S>,
    it: &mut Subscription,
    window: &Window,
    lag: LagPolicy,
    tally: &mut Tally,
) -> Sent {
    if lag == LagPolicy::Latest {
        let newest = window.newest_start();
        if it.cursor < newest {
            tally.skipped += window.frames_between(it.cursor, newest);
            it.cursor = newest;
        }
    }
    send_between(&mut connection.socket, &mut it.cursor, window, window.head(), tally)
}

/// Puts a subscription among those of its session that have something to get.
fn wait<S>(connection: &mut Connection<S>, it: &mut Subscription, subscription: u32, room: &mut LocalRoom) {
    it.state = SubscriptionState::Waiting;
    if let Some(session) = connection.extra.as_mut().and_then(|extra| extra.session.as_deref_mut()) {
        session.waiting.push(subscription);
    }
    room.block(subscription, it.cursor);
}

/// Remembers in whose frame the socket stopped.
fn note_partial<S>(connection: &mut Connection<S>, it: &Subscription, subscription: u32, window: &Window) {
    if let Some(session) = connection.extra.as_mut().and_then(|extra| extra.session.as_deref_mut()) {
        session.partial = window.frame_rest(it.cursor).map(|_| subscription);
    }
}

/// A leaving session gets everything that was published until now.
fn everything_waits(session: &mut Session, subscriptions: &mut Slab<Subscription>, rooms: &mut Slab<LocalRoom>) {
    for subscription in &session.subscriptions {
        if let Some(it) = subscriptions.get_mut(*subscription)
            && it.state == SubscriptionState::Open
            && let Some(room) = rooms.get_mut(it.room)
            && it.cursor != room.window.head()
        {
            it.state = SubscriptionState::Waiting;
            session.waiting.push(*subscription);
            room.block(*subscription, it.cursor);
        }
    }
}

/// What a session gets when its socket takes something again: the rest of a frame, what is for it alone, everything
/// else. `movers`: see [`super::changes`].
fn catch_up<S: Socket>(
    connection: &mut Connection<S>,
    session: &mut Session,
    (rooms, subscriptions): (&mut Slab<LocalRoom>, &mut Slab<Subscription>),
    tally: &mut Tally,
    movers: &mut Vec<u32>,
) -> Sent {
    if let Some(it) = session.partial.and_then(|partial| subscriptions.get_mut(partial))
        && let Some(room) = rooms.get(it.room)
        && let Some(end) = room.window.frame_rest(it.cursor)
    {
        match send_between(&mut connection.socket, &mut it.cursor, &room.window, end, tally) {
            Sent::All => {}
            sent => return sent,
        }
    }
    session.partial = None;
    if connection.has_direct() {
        match connection.send_direct() {
            Sent::All => {}
            sent => return sent,
        }
    }
    while let Some(subscription) = session.waiting.first().copied() {
        if let Some(it) = subscriptions.get_mut(subscription)
            && let Some(room) = rooms.get_mut(it.room)
        {
            // Whoever has everything once its frame is finished costs no send of nothing.
            let sent = if it.cursor == room.window.head() {
                Sent::All
            } else {
                tally.of_other_room();
                offer(connection, it, &room.window, room.settings.lag, tally)
            };
            match sent {
                Sent::All => {
                    it.state = SubscriptionState::Open;
                    if room.leads_to_changes() {
                        movers.push(subscription);
                    }
                }
                Sent::Part(bytes) => {
                    session.partial = room.window.frame_rest(it.cursor).map(|_| subscription);
                    // The next time somebody else comes first.
                    session.waiting.rotate_left(1);
                    return Sent::Part(bytes);
                }
                Sent::Gone => return Sent::Gone,
            }
        }
        session.waiting.remove(0);
    }
    Sent::All
}

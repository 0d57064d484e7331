//! Into a room, and out of it.

use std::sync::Arc;

use super::super::connection::Connection;
use super::super::directory::Room;
use super::super::feed::{Feed, Form};
use super::super::metrics::Counter;
use super::super::position::{Began, EpochText, Position, Start};
use super::super::presence::Way;
use super::super::ring::{Joining, LocalRoom};
use super::super::room::RoomName;
use super::super::settings::Recovery as RecoveryMode;
use super::super::shard::Shard;
#[cfg(test)]
use super::super::simulation::Planted;
use super::super::socket::Socket;
use super::changes::form;
use super::commands::position;
use super::later::Waiting;
use super::{Moves, Origin, Phase, Session, Subscription, SubscriptionState, Transport};
use crate::protocol::centrifuge::code::{Error, Unsubscribe};
use crate::protocol::centrifuge::reply::{self, Recovery, SubscribeResult};
use crate::protocol::centrifuge::stream::{self, StreamKind};
use crate::protocol::centrifuge::{ConnectSub, StreamPosition, Subscribe, push};
use crate::protocol::deflate::Inflater;
use crate::protocol::frame::{self, Coding};

/// Bytes of the publications that stand in the answer to a subscribe; what is left of what was missed follows as
/// pushes, which all members share.
const REPLAY_REPLY_BYTES_MAX: usize = if cfg!(test) { 1_024 } else { 16 << 10 };

/// A flag of `subscribe`: an error is preferred to a subscription that is not recovered.
const REJECT_UNRECOVERED: u64 = 2;

/// How a subscription began, for its client.
pub(super) struct Begun {
    room: Arc<Room>,
    keeps: bool,
    epoch: EpochText,
    offset: u64,
    recovery: Recovery,
    delta: bool,
    /// What was missed, as objects joined by commas.
    publications: Vec<u8>,
}

impl Begun {
    pub(super) fn channel(&self) -> &str {
        self.room.name.as_str()
    }

    pub(super) fn to_reply(&self) -> SubscribeResult<'_> {
        SubscribeResult {
            recoverable: self.keeps,
            positioned: self.keeps,
            epoch: if self.keeps { self.epoch.as_str() } else { "" },
            offset: if self.keeps { self.offset } else { 0 },
            recovery: self.recovery,
            publications: &self.publications,
            delta: self.delta,
            ..SubscribeResult::default()
        }
    }
}

impl<S: Socket> Shard<S> {
    /// The number of a session's subscription to a room, if it has one. O(subscriptions of the session).
    pub(super) fn subscription_to(&mut self, number: u32, channel: &str) -> Option<u32> {
        let session = self.connections.get_mut(number)?.extra.as_mut()?.session.as_deref()?;
        let is_it = |subscription: &&u32| {
            let room = self.subscriptions.get(**subscription).and_then(|it| self.rooms.get(it.room));
            room.is_some_and(|room| room.room.name.as_str() == channel)
        };
        session.subscriptions.iter().find(is_it).copied()
    }

    pub(super) fn subscribe(&mut self, number: u32, id: u32, asked: &Subscribe<'_>) -> Result<(), Error> {
        if asked.kind != 0 {
            return Err(Error::NOT_AVAILABLE.because("only stream subscriptions are"));
        }
        if asked.filter.is_some() {
            return Err(Error::NOT_AVAILABLE.because("tag filters are not"));
        }
        let name = RoomName::new(&asked.channel).map_err(|error| Error::BAD_REQUEST.because(error.to_string()))?;
        if self.subscription_to(number, &asked.channel).is_some() {
            return Err(Error::ALREADY_SUBSCRIBED);
        }
        let limit = self.settings.sessions.subscriptions_max;
        if self.session(number).is_some_and(|session| session.subscriptions.len() >= limit) {
            let why = format!("{limit} subscriptions, sessions.subscriptions_max is {limit}");
            return Err(Error::LIMIT_EXCEEDED.because(why));
        }
        let room = self.directory.join(&name).map_err(|full| Error::LIMIT_EXCEEDED.because(full.to_string()))?;
        let wish = Wish {
            origin: Origin::Client,
            command: id,
            start: start(asked.recover.as_ref()),
            recovers: asked.recover.is_some(),
            rejects_lost: asked.flags & REJECT_UNRECOVERED != 0,
            moves: if asked.asked.join_leave { Moves::Asked } else { Moves::Unasked },
            form: form(asked, room.settings(&self.settings)),
        };
        self.add_subscription(number, &room, wish);
        Ok(())
    }

    /// Puts a session into the rooms that the server wants it in. Returns for how many it has to wait.
    pub(super) fn subscribe_to_server_rooms(&mut self, number: u32, had: &[ConnectSub<'_>]) -> u32 {
        let settings = Arc::clone(&self.settings);
        let mut left = 0;
        for name in &settings.sessions.rooms {
            let Ok(room) = self.directory.join(name) else { continue };
            let had = had.iter().find(|sub| sub.channel == name.as_str()).and_then(|sub| sub.recover.as_ref());
            let (origin, start, recovers) = (Origin::Connect, start(had), had.is_some());
            let (rejects_lost, moves, form) = (false, Moves::Unasked, Form::Value);
            let wish = Wish { origin, command: 0, start, recovers, rejects_lost, moves, form };
            left += u32::from(self.add_subscription(number, &room, wish) == Entering::Waits);
        }
        left
    }

    /// Begins the subscriptions that the server wanted: their rooms are there.
    pub(super) fn begin_server_rooms(&mut self, number: u32) -> Vec<Begun> {
        let numbers = self.session(number).map(|session| session.subscriptions.clone()).unwrap_or_default();
        numbers.into_iter().filter_map(|subscription| self.begin(subscription)).collect()
    }

    /// Puts a session into a room, in which it is counted as a member already.
    pub(super) fn add_subscription(&mut self, number: u32, room: &Arc<Room>, wish: Wish) -> Entering {
        let Wish { origin, command, start, recovers, rejects_lost, moves, form } = wish;
        let Some(session) = self.session(number) else { return Entering::Ready };
        let feed = Feed::publications(session.transport.encoding(), session.coding).in_form(form);
        self.hold_changes(room, feed);
        let room_number = self.local_room(room, feed);
        self.next_serial = self.next_serial.wrapping_add(1);
        let serial = self.next_serial;
        let subscription = self.subscriptions.insert(Subscription {
            connection: number,
            serial,
            room: room_number,
            place: 0,
            cursor: 0,
            command,
            start,
            state: SubscriptionState::Joining,
            origin,
            recovers,
            rejects_lost,
            moves,
        });
        if let Some(session) = self.session(number) {
            session.subscriptions.push(subscription);
        }
        let local = self.rooms.get_mut(room_number).expect("the room was just found");
        local.holders += 1;
        if let Some(joining) = &mut local.joining {
            joining.push(Joining { number: subscription, serial, start, joined: None });
            return Entering::Waits;
        }
        if self.wait_if_ahead(room_number, Joining { number: subscription, serial, start, joined: None }).is_none() {
            return Entering::Waits;
        }
        if origin != Origin::Connect {
            self.subscribed(subscription);
        }
        Entering::Ready
    }

    /// The room's home knows this shard: the subscription begins, unless it is to begin with others.
    pub(in crate::engine) fn subscribed(&mut self, subscription: u32) {
        let Some(it) = self.subscriptions.get(subscription) else { return };
        if self.rooms.get(it.room).is_some_and(LocalRoom::tells_moves) {
            return self.hears(subscription);
        }
        let (number, command, origin, rejects_lost) = (it.connection, it.command, it.origin, it.rejects_lost);
        if origin == Origin::Connect {
            let Some(session) = self.session(number) else { return };
            let Phase::Connecting { left, .. } = &mut session.phase else { return };
            *left -= 1;
            if *left == 0 {
                self.answer_connect(number);
            }
            return;
        }
        let Some(begun) = self.begin(subscription) else { return };
        if begun.recovery == Recovery::Failed && rejects_lost {
            self.remove_subscription(subscription);
            self.say(number, |out| reply::error(out, command, &Error::UNRECOVERABLE_POSITION));
        } else if origin == Origin::Server {
            let result = begun.to_reply();
            let position = result.recoverable.then_some((result.epoch, result.offset));
            self.say(number, |out| push::subscribe(out, begun.channel(), position, None));
        } else {
            self.say(number, |out| reply::subscribe(out, command, &begun.to_reply()));
        }
        self.send_replies(number);
        self.hear_later(number, Waiting::Subscription(subscription));
    }

    /// Makes a subscription a member. What it missed is in the window, as for everybody; the first of it goes into the
    /// answer.
    fn begin(&mut self, subscription: u32) -> Option<Begun> {
        let it = self.subscriptions.get_mut(subscription)?;
        if it.state != SubscriptionState::Joining {
            return None;
        }
        let session = self.connections.get_mut(it.connection)?.extra.as_mut()?.session.as_deref_mut()?;
        let room = self.rooms.get_mut(it.room)?;
        let (cursor, began, offset) = room.find(start_in(room, it));
        let recovery = match began {
            _ if !it.recovers => Recovery::NotAsked,
            Began::Lost => Recovery::Failed,
            Began::Live | Began::Recovered => Recovery::Recovered,
        };
        let (keeps, epoch) = (room.settings.has_history(), room.position().epoch.text());
        let delta = room.feed.form != Form::Value;
        if recovery == Recovery::Failed && it.rejects_lost {
            let room = Arc::clone(&room.room);
            self.count_began(began);
            return Some(Begun { room, keeps, epoch, offset, recovery, delta, publications: Vec::new() });
        }
        let (place, _) = room.add(subscription);
        it.begin(place, cursor);
        let publications = cut_out(room, it, session.transport, &mut self.inflater);
        if it.cursor != room.window.head() {
            it.state = SubscriptionState::Waiting;
            session.waiting.push(subscription);
            room.block(subscription, it.cursor);
        }
        self.counts.add(Counter::Subscribed, 1);
        let room = Arc::clone(&room.room);
        self.count_began(began);
        self.attend(subscription);
        Some(Begun { room, keeps, epoch, offset, recovery, delta, publications })
    }

    /// A new member's session: it hears of those who come from now on, itself the first.
    fn attend(&mut self, subscription: u32) {
        let Some(it) = self.subscriptions.get(subscription) else { return };
        let (number, room_number, moves) = (it.connection, it.room, it.moves);
        if moves == Moves::Asked
            && let Some(local) = self.rooms.get(room_number)
        {
            let (room, feed) = (Arc::clone(&local.room), local.feed);
            let listener = self.listen(number, &room, feed);
            if let Some(it) = self.subscriptions.get_mut(subscription) {
                it.moves = listener.map_or(Moves::Unasked, Moves::Heard);
            }
        }
        self.session_moved(room_number, number, Way::In);
    }

    pub(super) fn unsubscribe_by_client(&mut self, number: u32, channel: &str) {
        if let Some(subscription) = self.subscription_to(number, channel) {
            self.remove_subscription(subscription);
        }
    }

    /// Ends a subscription for the server's own reasons.
    pub(super) fn unsubscribe(&mut self, subscription: u32, why: Unsubscribe) {
        let Some(it) = self.subscriptions.get(subscription) else { return };
        let (number, command) = (it.connection, it.command);
        let is_unanswered = it.state == SubscriptionState::Joining && it.origin == Origin::Client;
        let Some(name) = self.rooms.get(it.room).map(|room| room.room.name.clone()) else { return };
        self.remove_subscription(subscription);
        if is_unanswered {
            let error = Error::EXPIRED.because("the server has ended it before it began");
            self.say(number, |out| reply::error(out, command, &error));
        }
        self.counts.add(Counter::Unsubscribed, 1);
        self.say(number, |out| push::unsubscribe(out, name.as_str(), why));
        self.send_replies(number);
        self.hear_later(number, Waiting::Subscription(subscription));
    }

    /// Takes a subscription out of its room and of its session. If its socket stands in the middle of one of the room's
    /// frames, the session carries the rest.
    pub(in crate::engine) fn remove_subscription(&mut self, subscription: u32) {
        let Some(it) = self.subscriptions.remove(subscription) else { return };
        if let Moves::Heard(listener) = it.moves {
            self.remove_subscription(listener);
        }
        if it.state != SubscriptionState::Joining {
            self.session_moved(it.room, it.connection, Way::Out);
        }
        if let Some(connection) = self.connections.get_mut(it.connection) {
            #[cfg(test)]
            if self.planted == Planted::RestForgotten {
                connection.forget_partial();
            }
            if is_partial(connection, subscription)
                && let Some(room) = self.rooms.get(it.room)
                && let Some(end) = room.window.frame_rest(it.cursor)
            {
                connection.carry(room.window.between(it.cursor, end));
                self.counts.add_carried(end - it.cursor);
            }
            if let Some(session) = connection.extra.as_mut().and_then(|extra| extra.session.as_deref_mut()) {
                session.subscriptions.retain(|other| *other != subscription);
                session.waiting.retain(|other| *other != subscription);
                session.partial = session.partial.filter(|other| *other != subscription);
            }
        }
        let Some((room_id, feed)) = self.rooms.get(it.room).map(|room| (room.room.id, room.feed)) else { return };
        self.leave_room(it.room, (it.state != SubscriptionState::Joining).then_some(it.place));
        self.release_changes(room_id, feed);
    }
}

/// What a new subscription is to be.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    pub(super) origin: Origin,
    pub(super) command: u32,
    pub(super) start: Start,
    pub(super) recovers: bool,
    pub(super) rejects_lost: bool,
    pub(super) moves: Moves,
    pub(super) form: Form,
}

/// Whether a new subscription has to wait for its room's home.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Entering {
    Ready,
    Waits,
}

/// Where a subscription begins whose client was at a position.
fn start(had: Option<&StreamPosition<'_>>) -> Start {
    match had {
        None => Start::Live,
        Some(had) if had.epoch.is_empty() => Start::AfterOffset(had.offset),
        Some(had) => Start::After(position(had, super::super::position::Epoch::NONE)),
    }
}

/// The same, as the room's settings want it: of a room with `recovery = "cache"` only the newest publication that is
/// kept counts, for whoever has not seen it.
fn start_in(room: &LocalRoom, subscription: &Subscription) -> Start {
    if room.settings.recovery != RecoveryMode::Cache || !room.settings.has_history() {
        return subscription.start;
    }
    let Position { epoch, offset: newest } = room.position();
    let (_, _, before) = room.find(Start::Last(1));
    match subscription.start {
        Start::After(Position { epoch: of, offset }) if of == epoch && (before + 1..=newest).contains(&offset) => {
            subscription.start
        }
        Start::AfterOffset(offset) if (before + 1..=newest).contains(&offset) => subscription.start,
        _ => Start::Last(1),
    }
}

/// Cuts the first publications that a subscription is to get out of their frames, and moves its cursor behind them.
fn cut_out(
    room: &LocalRoom,
    subscription: &mut Subscription,
    transport: Transport,
    inflater: &mut Option<Box<Inflater>>,
) -> Vec<u8> {
    let mut objects = Vec::new();
    let head = room.window.head();
    // A push that tells of a subscription has no place for publications.
    let has_place = subscription.origin != Origin::Server;
    if !(has_place && subscription.recovers && subscription.cursor != head) {
        return objects;
    }
    let mut prefix = Vec::new();
    push::publication_prefix(&mut prefix, room.room.name.as_str());
    let from = subscription.cursor;
    for (start, entry) in room.window.frames_from(from) {
        if !entry.is_kept() {
            // As if it had come to a shard that was not there: what passes is for those who were.
            subscription.cursor = entry.end;
            continue;
        }
        let bytes = room.window.between(start, entry.end);
        let text = match transport {
            Transport::WebSocket if frame::coding(bytes) == Coding::Deflated => {
                let (kind, payload) = frame::parts(bytes);
                inflater.get_or_insert_default().message(kind, payload, REPLAY_REPLY_BYTES_MAX).ok()
            }
            Transport::WebSocket => Some(frame::parts(bytes).1),
            Transport::Events => stream::object_in(bytes, StreamKind::Events),
            Transport::Lines => stream::object_in(bytes, StreamKind::Lines),
        };
        let Some(object) = text.and_then(|text| push::publication_in(text, &prefix)) else { break };
        if objects.len() + object.len() > REPLAY_REPLY_BYTES_MAX {
            break;
        }
        if !objects.is_empty() {
            objects.push(b',');
        }
        objects.extend_from_slice(object);
        subscription.cursor = entry.end;
    }
    #[cfg(test)]
    if room.planted == Planted::ReplayTooLong
        && let Some((_, entry)) = room.window.frames_from(subscription.cursor).next()
    {
        subscription.cursor = entry.end;
    }
    objects
}

/// Whether a session's socket stands in the middle of a frame of this subscription's.
fn is_partial<S>(connection: &Connection<S>, subscription: u32) -> bool {
    let session: Option<&Session> = connection.extra.as_ref().and_then(|extra| extra.session.as_deref());
    session.is_some_and(|session| session.partial == Some(subscription))
}

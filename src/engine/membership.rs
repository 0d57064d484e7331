//! Coming and going: a connection joins its room, is closed, is gone.

use std::sync::Arc;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::admission::Permit;
use super::command::{Join, Role};
use super::connection::{Connection, Extra, Flags, Sent, State};
use super::directory::Room;
use super::feed::{Feed, Form};
use super::metrics::Counter;
use super::position::{Began, Position};
use super::post::{Entered, Entrant, ToShard};
use super::presence::{Attendee, Way};
use super::ring::{Joining, LocalRoom, Warmth};
use super::session::{Session, SessionTerms, Transport};
use super::settings::Echo;
use super::shard::Shard;
#[cfg(test)]
use super::simulation::Planted;
use super::socket::Socket;
use crate::protocol::chunk;
use crate::protocol::deflate::Agreed;
use crate::protocol::frame::{self, CloseCode, Coding, ProtocolError};

/// Why and how this side closes a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Close {
    /// RFC 6455 §7.4, or 3008 (slow).
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) counter: Counter,
}

/// The close code of a member that lagged behind its room's window. Registered range of RFC 6455 §7.4.2; centrifuge's
/// clients know it as "slow".
pub(crate) const CLOSE_SLOW: u16 = 3008;

/// The close code of a raw member that asked for publications that are not there any more.
const CLOSE_NOT_RECOVERABLE: u16 = 4410;

impl From<ProtocolError> for Close {
    fn from(error: ProtocolError) -> Self {
        let counter = match error {
            ProtocolError::MessageTooLong { .. }
            | ProtocolError::InflatedTooLong { .. }
            | ProtocolError::TooManyFragments { .. } => Counter::ClosedTooLong,
            ProtocolError::UnfinishedBytes { .. } => Counter::ClosedUnfinished,
            _ => Counter::ClosedProtocol,
        };
        Self { code: error.close_code(), reason: error.to_string(), counter }
    }
}

fn not_recoverable(position: Position) -> Close {
    let reason = format!("not recoverable, the position is {position}");
    Close { code: CLOSE_NOT_RECOVERABLE, reason, counter: Counter::ClosedNotRecoverable }
}

/// A session has no room of its own.
const NO_ROOM: u32 = u32::MAX;

/// What a new session's connection is made of.
struct Opening<S> {
    socket: S,
    permit: Permit,
    greeting: Vec<u8>,
    unread: Vec<u8>,
    deflate: Option<Agreed>,
}

impl<S: Socket> Shard<S> {
    /// Takes a connection for life. It becomes a member at once, or when the room's home knows this shard.
    pub(crate) fn accept(&mut self, join: Join<S>) {
        let Join { mut socket, role, permit, greeting, unread, deflate, joined } = join;
        let expected = self.connections.next_number();
        if socket.register(&self.poller, expected).is_err() {
            self.counts.add(Counter::ClosedPoller, 1);
            if let Role::Member { room, .. } = role {
                self.directory.leave(&room);
            }
            return;
        }
        let (room, encoding, start, echo, identity) = match role {
            Role::Member { room, encoding, start, echo, identity } => (room, encoding, start, echo, identity),
            Role::Session(terms) => {
                let opening = Opening { socket, permit, greeting, unread, deflate };
                return self.open_session(opening, terms, joined);
            }
        };
        let coding = deflate.map_or(Coding::Plain, |agreed| agreed.outgoing);
        let room_number = self.local_room(&room, Feed::publications(encoding, coding));
        self.next_serial = self.next_serial.wrapping_add(1);
        let mut connection = Connection {
            socket,
            room: room_number,
            place: 0,
            serial: self.next_serial,
            cursor: 0,
            extra: None,
            heard_s: self.now.seconds(),
            due_s: 0,
            state: State::Joining,
            flags: Flags::default(),
            _permit: permit,
        };
        if encoding.is_stream() {
            connection.flags.set(Flags::STREAM);
        }
        let local = self.rooms.get_mut(room_number).expect("the room was just found");
        if echo == Echo::Off || local.settings.echo == Echo::Off {
            connection.flags.set(Flags::NO_ECHO);
        }
        if local.settings.has_presence() && !identity.user.is_empty() {
            let client = self.new_id();
            connection.extra().attendee = Some(Box::new(Attendee { client, identity }));
        }
        if !(greeting.is_empty() && unread.is_empty()) {
            let extra = connection.extra();
            (extra.direct, extra.unread) = (greeting, unread);
        }
        if deflate.is_some() {
            connection.flags.set(Flags::DEFLATE);
        }
        let number = self.connections.insert(connection);
        debug_assert_eq!(number, expected, "the poller was told the number that the connection got");
        self.came_late(number);
        self.schedule_heartbeat(number);
        let local = self.rooms.get_mut(room_number).expect("the room was just found");
        local.holders += 1;
        let newcomer = Joining { number, serial: self.next_serial, start, joined };
        match &mut local.joining {
            Some(joining) => joining.push(newcomer),
            None => self.welcome(room_number, newcomer),
        }
    }

    /// An id that nobody can guess.
    #[cfg(not(test))]
    fn new_id(&mut self) -> Uuid {
        Uuid::new_v4()
    }

    /// The simulation's ids are decided by its seed.
    #[cfg(test)]
    fn new_id(&mut self) -> Uuid {
        self.next_serial = self.next_serial.wrapping_add(1);
        Uuid::from_u64_pair(self.own_number as u64, u64::from(self.next_serial))
    }

    /// Takes a connection for life that is in no room yet.
    fn open_session(&mut self, opening: Opening<S>, terms: SessionTerms, joined: Option<oneshot::Sender<()>>) {
        let Opening { socket, permit, greeting, unread, deflate } = opening;
        let SessionTerms { transport, identity, commands } = terms;
        self.next_serial = self.next_serial.wrapping_add(1);
        let mut flags = Flags::default();
        flags.set(Flags::SESSION);
        if transport != Transport::WebSocket {
            flags.set(Flags::STREAM);
            self.posting_sessions += 1;
        }
        if deflate.is_some() {
            flags.set(Flags::DEFLATE);
        }
        let coding = deflate.map_or(Coding::Plain, |agreed| agreed.outgoing);
        let ids = [self.new_id(), self.new_id()];
        let session = Some(Box::new(Session::new(transport, coding, identity, ids)));
        let is_unread = !unread.is_empty();
        let extra = Extra { direct: greeting, unread, session, ..Extra::default() };
        let number = self.connections.insert(Connection {
            socket,
            room: NO_ROOM,
            place: 0,
            serial: self.next_serial,
            cursor: 0,
            extra: Some(Box::new(extra)),
            heard_s: self.now.seconds(),
            due_s: 0,
            state: State::Open,
            flags,
            _permit: permit,
        });
        self.counts.add(Counter::Opened, 1);
        self.came_late(number);
        self.schedule_session(number);
        if let Some(joined) = joined {
            // Whoever waited may have gone; the session is there all the same.
            joined.send(()).ok();
        }
        self.serve(number);
        if !commands.is_empty() {
            self.hear(number, &commands);
        }
        if is_unread {
            self.queue_reading(number);
        }
    }

    /// Closes a session in order: out of its rooms, then the end as its transport says it.
    fn close_session(&mut self, number: u32, close: &Close) {
        let subscriptions = self.session(number).map(|session| session.subscriptions.clone()).unwrap_or_default();
        for subscription in subscriptions {
            self.remove_subscription(subscription);
        }
        let Some(connection) = self.connections.get_mut(number) else { return };
        connection.state = State::Closing;
        connection.flags.set(match close.counter {
            Counter::ClosedByClient => Flags::SAID_GOODBYE,
            _ => Flags::UNINTELLIGIBLE,
        });
        let extra = connection.extra();
        (extra.unread, extra.pong, extra.allowance) = (Vec::new(), None, None);
        let transport = extra.session.as_ref().map_or(Transport::WebSocket, |session| session.transport);
        transport.write_close(&mut extra.direct, close.code, &close.reason);
        self.serve(number);
        self.schedule_abort(number);
    }

    /// This shard's number of the room with this feed; asks the room's home if it is new here.
    pub(crate) fn local_room(&mut self, room: &Arc<Room>, feed: Feed) -> u32 {
        if let Some(number) = self.room_numbers.get(&(room.id, feed)) {
            return *number;
        }
        let settings = feed.settings(room.settings(&self.settings));
        self.next_stay = self.next_stay.wrapping_add(1);
        let number = self.rooms.insert(LocalRoom::new(Arc::clone(room), feed, settings, self.next_stay));
        self.room_numbers.insert((room.id, feed), number);
        let member = Entrant { shard: self.own_number, feed, number, stay: self.next_stay };
        self.outbox.deliver(room.home, ToShard::Enter { room: Arc::clone(room), member });
        number
    }

    /// The home knows this shard: whoever waited for it is a member now.
    pub(crate) fn entered(&mut self, entered: Entered) {
        let Entered { member, room_id, position, kept } = entered;
        // Everybody may have gone meanwhile, and the number may be that of another room, or of another stay in this
        // one.
        let current = |room: &&mut LocalRoom| room.room.id == room_id && room.stay == member.stay;
        #[cfg(test)]
        let current = |room: &&mut LocalRoom| current(room) || self.planted == Planted::StaleEntered;
        let Some(room) = self.rooms.get_mut(member.number).filter(current) else { return };
        #[cfg(test)]
        {
            room.planted = self.planted;
        }
        let waiting = room.entered(position, kept.as_ref());
        if room.warmth != Warmth::Cold {
            self.warm.push(member.number);
        }
        let is_multiplexed = member.feed.encoding.is_multiplexed();
        for newcomer in waiting {
            let Joining { number, serial, .. } = newcomer;
            let own = |it: &Connection<S>| it.serial == serial && it.state == State::Joining;
            let is_there = if is_multiplexed {
                self.subscriptions.get(number).is_some_and(|it| it.serial == serial)
            } else {
                self.connections.get(number).is_some_and(own)
            };
            if is_there {
                // It may have come after the home gave its answer, and know more than that says.
                self.welcome(member.number, newcomer);
            }
        }
    }

    pub(crate) fn become_member(&mut self, newcomer: Joining) {
        let Joining { number, start, joined, .. } = newcomer;
        let Some(connection) = self.connections.get_mut(number) else { return };
        let Some(room) = self.rooms.get_mut(connection.room) else { return };
        (connection.place, _) = room.add(number);
        let (cursor, began, offset) = room.find(start);
        connection.cursor = cursor;
        let Position { epoch, .. } = room.position();
        room.feed.encoding.greet(&mut connection.extra().direct, began, Position { epoch, offset });
        connection.settle();
        let lost = (began == Began::Lost).then(|| room.position());
        #[cfg(test)]
        if self.planted == Planted::LapTooShort {
            room.lap.forget_place();
        }
        connection.state = State::Open;
        self.counts.add(Counter::Opened, 1);
        self.member_moved(number, Way::In);
        let Some(connection) = self.connections.get_mut(number) else { return };
        if let Some(joined) = joined {
            // Whoever waited may have gone; the connection is a member all the same.
            joined.send(()).ok();
        }
        let unread = connection.extra.as_ref().is_some_and(|extra| !extra.unread.is_empty());
        let reported = connection.flags.has(Flags::QUEUED);
        connection.flags.clear(Flags::QUEUED);
        match lost {
            Some(position) if !self.tells_lost(number) => self.close(number, &not_recoverable(position)),
            _ => self.serve(number),
        }
        self.count_began(began);
        if unread || reported {
            self.queue_reading(number);
        }
    }

    pub(crate) fn count_began(&mut self, began: Began) {
        match began {
            Began::Live => {}
            Began::Recovered => self.counts.add(Counter::Recovered, 1),
            Began::Lost => self.counts.add(Counter::NotRecovered, 1),
        }
    }

    /// Whether the connection's encoding has words for "what you missed is lost".
    fn tells_lost(&self, number: u32) -> bool {
        let room = self.connections.get(number).and_then(|connection| self.rooms.get(connection.room));
        room.is_some_and(|room| room.feed.encoding.tells_lost())
    }

    /// Closes in order: no member any more, the close frame goes out at the next frame boundary, then the stream ends.
    pub(crate) fn close(&mut self, number: u32, close: &Close) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        if connection.state == State::Closing {
            return;
        }
        self.counts.add(close.counter, 1);
        if connection.flags.has(Flags::SESSION) {
            return self.close_session(number, close);
        }
        let was = connection.state;
        if was == State::Open {
            self.member_moved(number, Way::Out);
        }
        let Some(connection) = self.connections.get_mut(number) else { return };
        connection.state = State::Closing;
        let (room_number, place) = (connection.room, connection.place);
        #[cfg(test)]
        let was_open = was == State::Open && self.planted != Planted::TornClose;
        #[cfg(not(test))]
        let was_open = was == State::Open;
        if was_open
            && let Some(room) = self.rooms.get(room_number)
            && connection.flags.has(Flags::BLOCKED)
            && let Some(end) = room.window.frame_rest(connection.cursor)
        {
            connection.carry(room.window.between(connection.cursor, end));
            self.counts.add_carried(end - connection.cursor);
        }
        match close.counter {
            Counter::ClosedByClient => connection.flags.set(Flags::SAID_GOODBYE),
            Counter::ClosedProtocol | Counter::ClosedTooLong | Counter::ClosedUnfinished => {
                connection.flags.set(Flags::UNINTELLIGIBLE);
            }
            _ if connection.extra().unread.is_empty() => {}
            _ => connection.flags.set(Flags::UNINTELLIGIBLE),
        }
        let is_stream = connection.flags.has(Flags::STREAM);
        let extra = connection.extra();
        (extra.unread, extra.pong, extra.allowance, extra.ending) = (Vec::new(), None, None, None);
        extra.attendee = None;
        if was == State::Joining {
            // It has not even had the answer to its handshake: there is no WebSocket to close.
            extra.direct = Vec::new();
        } else if is_stream {
            extra.direct.extend_from_slice(chunk::LAST);
        } else {
            frame::encode_close(&mut extra.direct, CloseCode(close.code), &close.reason);
        }
        self.leave_room(room_number, (was == State::Open).then_some(place));
        self.serve(number);
        self.schedule_abort(number);
    }

    /// Forgets a connection whose stream is gone, or is to be aborted.
    pub(crate) fn gone(&mut self, number: u32, counter: Counter) {
        if self.connections.get(number).is_some_and(|it| it.state == State::Open) {
            self.member_moved(number, Way::Out);
        }
        if let Some(session) = self.session(number) {
            // Nothing is carried to where nobody is.
            session.forget_partial();
            for subscription in session.subscriptions.clone() {
                self.remove_subscription(subscription);
            }
        }
        let Some(connection) = self.connections.remove(number) else { return };
        self.posting_sessions -=
            usize::from(connection.flags.has(Flags::SESSION) && connection.flags.has(Flags::STREAM));
        if self.connections.len() == 0 {
            self.wheel.clear();
        }
        if let Some(unfinished) = connection.extra.as_ref().and_then(|extra| extra.unfinished.as_ref()) {
            self.unfinished_left += unfinished.held_bytes();
        }
        if connection.state != State::Closing {
            let ending = connection.extra.as_ref().and_then(|extra| extra.ending.as_ref());
            self.counts.add(ending.map_or(counter, |close| close.counter), 1);
            if !connection.flags.has(Flags::SESSION) {
                self.leave_room(connection.room, (connection.state == State::Open).then_some(connection.place));
            }
        }
    }

    /// One member less. `place`: `None` if it was still joining.
    pub(crate) fn leave_room(&mut self, number: u32, place: Option<u32>) {
        let Some(room) = self.rooms.get_mut(number) else { return };
        if room.tells_moves() {
            self.directory.release(&room.room);
        } else {
            self.directory.leave(&room.room);
        }
        if let Some(place) = place {
            room.remove(place);
        }
        self.release_room(number);
    }

    /// One holder less; the last one takes the room with it, at once or a little later.
    pub(crate) fn release_room(&mut self, number: u32) {
        let Some(room) = self.rooms.get_mut(number) else { return };
        room.holders -= 1;
        if room.holders > 0 {
            self.renumber(number);
        } else if room.feed.form == Form::Whole {
            self.idle_rooms.push((number, room.stay));
        } else {
            self.forget_room(number);
        }
    }

    /// Tells a room's home that nobody here gets this feed any more.
    pub(crate) fn forget_room(&mut self, number: u32) {
        let Some(room) = self.rooms.remove(number) else { return };
        debug_assert_eq!(room.holders, 0, "nobody holds it");
        self.backlogged -= usize::from(room.backlogged);
        self.room_numbers.remove(&(room.room.id, room.feed));
        if self.room_numbers.capacity() > 1_024 && self.room_numbers.capacity() / 8 > self.room_numbers.len() {
            self.room_numbers.shrink_to(self.room_numbers.len() * 2);
        }
        let (room_id, home, feed) = (room.room.id, room.room.home, room.feed);
        self.outbox.deliver(home, ToShard::Leave { room_id, feed, shard: self.own_number });
        if feed.form == Form::Changed
            && let Some(idle) = self.room_numbers.get(&(room_id, feed.in_form(Form::Whole)))
        {
            // Nobody is there either: whoever begins there holds this one as well.
            self.forget_room(*idle);
        }
    }

    /// What the poller reported: the kernel takes more.
    pub(crate) fn writable(&mut self, number: u32) {
        #[cfg(test)]
        if self.planted == Planted::LostEdge {
            return;
        }
        if self.connections.get(number).is_some_and(|connection| connection.flags.has(Flags::BLOCKED)) {
            self.serve(number);
        }
    }

    /// The end of a closing connection's own bytes: nothing more will come from this side.
    pub(crate) fn end_sending(&mut self, number: u32) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        debug_assert_eq!(connection.state, State::Closing, "members go on");
        connection.socket.end_sending();
        self.queue_reading(number);
    }

    /// Sends what waits for one connection alone, and ends it if that was the last of it.
    pub(crate) fn serve_closing(&mut self, number: u32) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        match connection.send_direct() {
            Sent::All => {
                connection.flags.clear(Flags::BLOCKED);
                if connection.flags.has(Flags::SAID_GOODBYE) {
                    // RFC 6455 §7.1.1: both close frames are exchanged, and it is the server that ends the stream.
                    self.gone(number, Counter::ClosedLost);
                } else {
                    self.end_sending(number);
                }
            }
            Sent::Part(_) => connection.flags.set(Flags::BLOCKED),
            Sent::Gone => self.gone(number, Counter::ClosedLost),
        }
    }
}

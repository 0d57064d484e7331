//! Who comes and goes, from the shards that have the connections to the room's home, and from there to those members
//! who want to know.
//!
//! A shard tells the home of its members' moves on the queue on which it says that it enters and leaves rooms, in the
//! same order: behind [`ToShard::Enter`](super::home::ToShard), in front of its `Leave`. So a home that knows no shard
//! of a room any more has seen everybody go, whatever was on its way meanwhile. A turn's moves travel together.
//!
//! Joins and leaves go out as a feed of their own ([`Content::Presence`]): a session that wants them has a second
//! subscription beside that of the room, in which nothing is owed to it.

use std::cmp::Reverse;
use std::sync::Arc;

use super::clock::Nanos;
use super::directory::Room;
use super::feed::{Content, Feed};
use super::home::Homes;
use super::metrics::Counter;
use super::presence::{Attendee, Event, Move, PresenceStats, Present, Way};
use super::ring::{Joining, LocalRoom};
use super::session::Subscription;
use super::shard::Shard;
#[cfg(test)]
use super::simulation::Planted;
use super::socket::Socket;
use super::window::{Entry, Publisher};
use crate::protocol::frame::Coding;

/// What became of events since somebody last asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventCounts {
    pub(crate) told: u64,
    pub(crate) dropped: u64,
}

impl Homes {
    /// Members came and went.
    pub(crate) fn attend(&mut self, moves: Vec<Move>, now: Nanos) {
        for Move { room_id, way, attendee } in moves {
            let Some(roll) = self.rooms.get_mut(&room_id).and_then(|room| room.roll.as_mut()) else { continue };
            let event = roll.note(way, attendee, now);
            if let Some(at) = roll.next_leave().filter(|_| !roll.is_awaited) {
                roll.is_awaited = true;
                self.leaves.push(Reverse((at, room_id)));
            }
            if let Some(event) = event {
                self.tell(room_id, &event, now);
            }
        }
    }

    /// Tells the leaves that have been held for long enough.
    pub(crate) fn tell_leaves(&mut self, now: Nanos) {
        while let Some(Reverse((at, room_id))) = self.leaves.peek().copied() {
            if at > now {
                return;
            }
            self.leaves.pop();
            let roll = |homes: &mut Self| homes.rooms.get_mut(&room_id)?.roll.as_mut()?.next_due(now);
            while let Some(event) = roll(self) {
                #[cfg(test)]
                if self.planted == Planted::LeaveUntold {
                    continue;
                }
                self.tell(room_id, &event, now);
            }
            let Some(roll) = self.rooms.get_mut(&room_id).and_then(|room| room.roll.as_mut()) else { continue };
            roll.is_awaited = false;
            if let Some(at) = roll.next_leave() {
                roll.is_awaited = true;
                self.leaves.push(Reverse((at, room_id)));
            }
        }
    }

    /// When [`Homes::tell_leaves`] has something to do.
    pub(crate) fn next_leave(&self) -> Option<Nanos> {
        self.leaves.peek().map(|Reverse((at, _))| *at)
    }

    /// Encodes an event for those who want it, if there are any and the room has not told too much in this second.
    fn tell(&mut self, room_id: u64, event: &Event, now: Nanos) {
        let Some(room) = self.rooms.get_mut(&room_id) else { return };
        let Some(roll) = &mut room.roll else { return };
        if room.feeds.iter().all(|feed| feed.feed.content != Content::Presence) {
            return;
        }
        if !roll.may_tell(now) {
            self.events.dropped += 1;
            return;
        }
        self.events.told += 1;
        if room.unsent == 0 {
            self.unsent.push(room_id);
        }
        room.unsent += 1;
        let present = event.attendee.present();
        for feed in room.feeds.iter_mut().filter(|feed| feed.feed.content == Content::Presence) {
            feed.feed.encode_move(&mut feed.frames, room.room.name.as_str(), event.way, &present.view());
            let end = feed.frames.len() as u64;
            feed.entries.push(Entry { end, published: now, publisher: Publisher::OUTSIDE });
        }
    }

    /// What became of events since the last time.
    pub(crate) fn take_event_counts(&mut self) -> EventCounts {
        std::mem::take(&mut self.events)
    }

    /// `None`: the room keeps no presence, or is not there.
    pub(crate) fn presence(&self, room_id: u64) -> Option<Vec<Present>> {
        Some(self.rooms.get(&room_id)?.roll.as_ref()?.list())
    }

    /// Of any room: one that keeps no presence knows its members and not their users. One that is not here has nobody.
    pub(crate) fn presence_stats(&self, room_id: u64) -> PresenceStats {
        let Some(room) = self.rooms.get(&room_id) else { return PresenceStats::default() };
        let clients = room.room.members();
        PresenceStats { clients, users: room.roll.as_ref().map_or(0, |roll| roll.users(clients)) }
    }
}

impl<S: Socket> Shard<S> {
    /// Tells a room's home that one of this shard's members came or goes, if the room wants to know.
    fn tell_home(&mut self, room_number: u32, way: Way, attendee: impl FnOnce(&mut Self) -> Option<Attendee>) {
        let Some(room) = self.rooms.get(room_number).filter(|room| room.settings.has_presence()) else { return };
        let (room_id, home) = (room.room.id, room.room.home);
        if let Some(attendee) = attendee(self) {
            self.outbox.attend(home, Move { room_id, way, attendee });
        }
    }

    /// A member that is a connection itself came or goes. Without a name it is one of many: counted, and no more.
    pub(crate) fn member_moved(&mut self, number: u32, way: Way) {
        let Some(room) = self.connections.get(number).map(|connection| connection.room) else { return };
        self.tell_home(room, way, |shard| {
            let extra = shard.connections.get(number)?.extra.as_ref()?;
            extra.attendee.as_deref().cloned()
        });
    }

    /// A session came into a room, or goes out of it.
    pub(crate) fn session_moved(&mut self, room: u32, number: u32, way: Way) {
        #[cfg(test)]
        if self.planted == Planted::OutUnnoted && way == Way::Out {
            return;
        }
        self.tell_home(room, way, |shard| {
            let session = shard.session(number)?;
            Some(Attendee { client: session.client, identity: session.identity.clone() })
        });
    }

    /// Gives a session that is in a room a second subscription there: to who comes and goes. Holds the room without
    /// being one of its members. `None`: the room does not tell.
    pub(crate) fn listen(&mut self, number: u32, room: &Arc<Room>, feed: Feed) -> Option<u32> {
        let settings = room.settings(&self.settings);
        if !settings.has_presence_events() {
            return None;
        }
        self.directory.hold_more(room);
        // Too short to be worth compressing: everybody gets them as they are.
        let feed = Feed { encoding: feed.encoding, content: Content::Presence, coding: Coding::Plain };
        let room_number = self.local_room(room, feed);
        self.next_serial = self.next_serial.wrapping_add(1);
        let serial = self.next_serial;
        let subscription = self.subscriptions.insert(Subscription::listener(number, serial, room_number));
        let local = self.rooms.get_mut(room_number).expect("the room was just found");
        local.holders += 1;
        match &mut local.joining {
            Some(joining) => joining.push(Joining::listener(subscription, serial)),
            None => self.hears(subscription),
        }
        Some(subscription)
    }

    /// The room's home knows that somebody here wants to know: whoever comes from now on is told.
    pub(crate) fn hears(&mut self, subscription: u32) {
        let Some(it) = self.subscriptions.get_mut(subscription) else { return };
        let Some(room) = self.rooms.get_mut(it.room) else { return };
        let (place, cursor) = room.add(subscription);
        it.begin(place, cursor);
    }

    /// What homes told, as counters.
    pub(crate) fn count_events(&mut self) {
        let EventCounts { told, dropped } = self.homes.take_event_counts();
        self.counts.add(Counter::PresenceEvents, told);
        self.counts.add(Counter::PresenceEventsDropped, dropped);
    }
}

impl LocalRoom {
    /// Whether this is the room as those have it who want to know who comes and goes.
    pub(crate) fn tells_moves(&self) -> bool {
        self.feed.content == Content::Presence
    }
}

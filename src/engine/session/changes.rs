//! Subscriptions that get what has changed since the publication before: the centrifuge protocol's deltas.
//!
//! ```text
//!            the feed of whole publications          the feed of changes
//! subscribe ──► answer, replay, one publication ──────► whatever comes next
//! ```
//!
//! Both are feeds like any other: the home encodes a publication once for each, and their members share the bytes. A
//! client can apply a change if the last publication that it got is the one before. So a subscription begins with
//! whole ones, and moves to the other feed's ring once it has been sent the newest publication and nothing has come
//! since: the two windows end at the same offset then, and both hands are empty. The home compares each publication
//! with the one before it for as long as a shard is in the feed of changes, whatever the room keeps of it.
//!
//! A subscription among the whole ones holds the room in both feeds, so the feed of changes is there when it wants to
//! move. It never moves back: one that lags among the changes is ended, and its client comes again.

use std::sync::Arc;

use super::super::directory::Room;
use super::super::feed::{Feed, Form};
use super::super::ring::LocalRoom;
use super::super::settings::RoomSettings;
use super::super::shard::Shard;
#[cfg(test)]
use super::super::simulation::Planted;
use super::super::socket::Socket;
use super::SubscriptionState;
use crate::protocol::centrifuge::{DeltaKind, Subscribe};

/// In which form a subscription's publications are to begin.
pub(super) fn form(asked: &Subscribe<'_>, settings: &RoomSettings) -> Form {
    match asked.delta {
        Some(DeltaKind::Fossil) if settings.has_deltas() => Form::Whole,
        _ => Form::Value,
    }
}

impl<S: Socket> Shard<S> {
    /// Holds the feed of changes beside that of whole publications, if `feed` is that: for one subscription, until it
    /// moves or ends. To be called in front of entering `feed` itself, so that the home answers in this order.
    pub(super) fn hold_changes(&mut self, room: &Arc<Room>, feed: Feed) {
        if feed.form == Form::Whole {
            let number = self.local_room(room, feed.in_form(Form::Changed));
            self.rooms.get_mut(number).expect("the room was just found").holders += 1;
        }
    }

    /// Lets go of it again.
    pub(super) fn release_changes(&mut self, room_id: u64, feed: Feed) {
        if feed.form == Form::Whole
            && let Some(number) = self.room_numbers.get(&(room_id, feed.in_form(Form::Changed))).copied()
        {
            self.release_room(number);
        }
    }

    /// Moves subscriptions that have just been sent the newest publication, whole, to the feed of changes, if that has
    /// come as far. O(1) each, once in its life.
    pub(in crate::engine) fn follow_changes(&mut self, subscriptions: Vec<u32>) {
        for subscription in subscriptions {
            if let Some(left) = self.move_to_changes(subscription) {
                self.release_room(left);
            }
        }
    }

    /// Returns the number of the room that it has left.
    fn move_to_changes(&mut self, subscription: u32) -> Option<u32> {
        let it = self.subscriptions.get_mut(subscription).filter(|it| it.state == SubscriptionState::Open)?;
        let number = it.room;
        let whole = self.rooms.get(number).filter(|room| room.feed.form == Form::Whole)?;
        if it.cursor != whole.window.head() {
            return None;
        }
        let (position, key) = (whole.position(), (whole.room.id, whole.feed.in_form(Form::Changed)));
        let to = *self.room_numbers.get(&key)?;
        let changes = self.rooms.get_mut(to).filter(|room| room.joining.is_none() && room.position() == position)?;
        let (place, cursor) = changes.add(subscription);
        #[cfg(test)]
        let cursor = if self.planted == Planted::MovedTooEarly { changes.window.newest_start() } else { cursor };
        let left = it.place;
        (it.room, it.place, it.cursor) = (to, place, cursor);
        self.rooms.get_mut(number)?.remove(left);
        Some(number)
    }

    /// Leaves the feeds of whole publications that nobody has begun in since the last time. Not at once: the next
    /// newcomer would have all that the room keeps encoded again.
    pub(in crate::engine) fn leave_idle_rooms(&mut self) {
        for (number, stay) in std::mem::take(&mut self.idle_rooms) {
            if self.rooms.get(number).is_some_and(|room| room.stay == stay && room.holders == 0) {
                self.forget_room(number);
            }
        }
    }
}

impl LocalRoom {
    /// Whether whoever is sent the newest frame can be sent changes from there on. What stands in the place of a
    /// publication that is not kept is none that a change applies to.
    pub(super) fn leads_to_changes(&self) -> bool {
        self.feed.form == Form::Whole && self.window.ends_with_something()
    }
}

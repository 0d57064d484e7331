//! Newcomers who know more of a room than their shard.
//!
//! Another shard may have been quicker, and shown a client what is still on its way here. Whoever comes back with such
//! a position is not told that it never was: it waits until everything that the room's home has published by now is
//! here. A [`Mark`] brings the news, behind the publications.

use super::connection::State;
use super::ending::Mark;
use super::ring::Joining;
use super::shard::Shard;
#[cfg(test)]
use super::simulation::Planted;
use super::socket::Socket;

impl<S: Socket> Shard<S> {
    /// Makes a newcomer a member of a room that its home has let this shard into, now or when it need not wait.
    pub(crate) fn welcome(&mut self, room_number: u32, newcomer: Joining) {
        if let Some(newcomer) = self.wait_if_ahead(room_number, newcomer) {
            self.admit_newcomer(room_number, newcomer);
        }
    }

    /// Gives the newcomer back if it need not wait.
    pub(crate) fn wait_if_ahead(&mut self, room_number: u32, newcomer: Joining) -> Option<Joining> {
        let room = self.rooms.get_mut(room_number)?;
        let is_ahead = room.is_behind(newcomer.start);
        #[cfg(test)]
        let is_ahead = is_ahead && self.planted != Planted::AheadIsLost;
        if !is_ahead {
            return Some(newcomer);
        }
        let (connections, subscriptions) = (&self.connections, &self.subscriptions);
        let is_multiplexed = room.feed.encoding.is_multiplexed();
        // Those who went away while they waited.
        room.ahead.retain(|other| {
            if is_multiplexed {
                subscriptions.get(other.number).is_some_and(|it| it.serial == other.serial)
            } else {
                connections.get(other.number).is_some_and(|it| it.serial == other.serial && it.state == State::Joining)
            }
        });
        let mark =
            Mark { room_id: room.room.id, shard: self.own_number, number: newcomer.number, serial: newcomer.serial };
        let home = room.room.home;
        room.ahead.push(newcomer);
        self.send_mark(home, mark);
        None
    }

    /// A mark has come back: if a newcomer waited for it, it is a member now.
    pub(crate) fn waited(&mut self, mark: Mark) {
        let Mark { number, serial, .. } = mark;
        let of_connection = self.connections.get(number).filter(|it| it.serial == serial && it.state == State::Joining);
        let of_subscription = self.subscriptions.get(number).filter(|it| it.serial == serial);
        let room_number = of_connection.map(|it| it.room).or_else(|| of_subscription.map(|it| it.room));
        let Some(room_number) = room_number else { return };
        let Some(room) = self.rooms.get_mut(room_number) else { return };
        let own = |other: &Joining| other.number == number && other.serial == serial;
        if let Some(index) = room.ahead.iter().position(own) {
            let newcomer = room.ahead.swap_remove(index);
            self.admit_newcomer(room_number, newcomer);
        }
    }

    fn admit_newcomer(&mut self, room_number: u32, newcomer: Joining) {
        let room = self.rooms.get(room_number);
        if room.is_some_and(|room| room.feed.encoding.is_multiplexed()) {
            self.subscribed(newcomer.number);
        } else {
            self.become_member(newcomer);
        }
    }
}

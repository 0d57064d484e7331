//! What rooms keep for those who come back: within the bounds of their settings, and of all rooms together.

use std::cmp::Reverse;

use super::super::clock::Nanos;
use super::super::history::Log;
use super::super::outbox::Outbox;
use super::super::post::{Message, ToShard};
use super::super::settings::RoomSettings;
#[cfg(test)]
use super::super::simulation::Planted;
use super::{HomeFeed, Homes, record};
/// A room's past.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) log: Log,
    pub(super) settings: RoomSettings,
    /// When something was last published, or the last member left.
    pub(super) used: Nanos,
    /// Whether this home holds the room in the directory, so that it can be found as long as it is here.
    pub(super) held: bool,
    /// Whether the room stands in [`Homes::expiries`].
    pub(super) expires: bool,
}

impl Homes {
    /// Keeps a message that was just numbered.
    pub(super) fn keep(&mut self, id: u64, message: &Message<'_>) {
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
        // It may have been on its way for longer than the last member has been gone.
        kept.used = kept.used.max(message.published);
        self.schedule_expiry(id, message.published);
    }

    /// Has a room looked at when what was kept, or done, at `since` is old enough.
    pub(super) fn schedule_expiry(&mut self, id: u64, since: Nanos) {
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
    pub(super) fn forget(&mut self, id: u64, outbox: &mut Outbox) {
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
        let kept = |feed: &&HomeFeed| feed.feed.is_kept();
        for entrant in room.feeds.iter().filter(kept).flat_map(|feed| &feed.shards) {
            outbox.deliver(entrant.shard, ToShard::Forget { number: entrant.number, room_id: id, kept_from });
        }
    }

    /// When [`Homes::expire`] has something to do.
    pub(crate) fn next_expiry(&self) -> Option<Nanos> {
        let kept = self.expiries.peek().map(|Reverse((at, _))| *at);
        [kept, self.next_wait_end()].into_iter().flatten().min()
    }
}

//! A room as one shard has it: its members in a ring, its window, and where the fan-out stands.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::clock::Nanos;
use super::directory::Room;
use super::feed::Feed;
use super::lap::{Appended, Lap};
use super::position::{Began, Epoch, Position, Start};
use super::post::{Chunk, NOTHING_KEPT};
use super::settings::RoomSettings;
#[cfg(test)]
use super::simulation::Planted;
use super::window::Window;

/// A place in the ring whose member has left.
const VACANT: u32 = u32::MAX;

/// A ring with so few places is not worth renumbering.
const PLACES_KEPT: usize = if cfg!(test) { 2 } else { 16 };

/// Turns of the ring without an end of the lap after which a room rests: see [`LocalRoom::rest`].
const BUSY_TURNS_BEFORE_REST: u32 = if cfg!(test) { 1 } else { 4 };

/// The rest is one part in so many of the turn's time. At 1,000 × 2,000/s, beside no rest at all: a twentieth costs
/// 0.95 times the CPU at the same p99, a twelfth 0.93 times at 1.05 times the p99, a seventh 0.87 times at 1.18 times.
const REST_PART: u32 = 16;

/// No rest is shorter: the poller counts in milliseconds, rounded up, unless something arrives.
const REST_MIN: Duration = if cfg!(test) { Duration::from_nanos(1) } else { Duration::from_micros(100) };

/// No rest is longer.
const REST_MAX: Duration = Duration::from_millis(5);

/// With so many publications waiting there is no rest. A send of one costs as much as one of about 60 (the floor, in
/// the design): with 16 in it most of what batching saves is saved.
const PUBLICATIONS_WITHOUT_REST: u32 = 16;

/// See the module. A room is here once for each feed that members get.
#[derive(Debug)]
pub(crate) struct LocalRoom {
    pub(crate) room: Arc<Room>,
    pub(crate) feed: Feed,
    pub(crate) settings: RoomSettings,
    pub(crate) window: Window,
    pub(crate) lap: Lap,
    /// Connections in the order in which they came: shuffled, the kernel's sends cost 22 % more at 10,000 (design).
    ring: Vec<u32>,
    vacant: usize,
    /// Who waits until the home knows this shard; `None`: it does.
    pub(crate) joining: Option<Vec<Joining>>,
    /// Who knows more of the room than this shard, and waits until it has had that too: see [`super::ahead`].
    pub(crate) ahead: Vec<Joining>,
    /// Connections of this shard that hold the room: members, and those that are joining.
    pub(crate) holders: usize,
    /// Tells this stay in the room from earlier ones.
    pub(crate) stay: u32,
    /// Members for whom the kernel takes no more, some of them no longer so.
    pub(crate) blocked: Vec<u32>,
    /// No blocked member's cursor is in front of it.
    blocked_floor: u64,
    /// Everybody has been offered what is in front of it.
    offered: u64,
    epoch: Epoch,
    /// Offset of the next publication.
    next_offset: u64,
    /// Offset of the oldest publication that the room keeps for those who come back.
    kept_from: u64,
    /// Whether it stands in one of the shard's queues.
    pub(crate) queued: Queued,
    /// Arrived during a lap of a room that gathers: for the next lap.
    held: Vec<Appended>,
    /// When the lap's turn of the ring began.
    turn_began: Nanos,
    /// Turns in a row at whose end something was left.
    busy_turns: u32,
    /// When publications may go out again.
    pub(crate) not_before: Nanos,
    /// More is waiting to be offered than may.
    pub(crate) backlogged: bool,
    #[cfg(test)]
    pub(crate) planted: Planted,
    pub(crate) warmth: Warmth,
}

/// Where a room stands with the shard's fan-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    /// Nothing to be offered.
    No,
    /// Waits for its time to gather to pass.
    Gathering,
    /// In the queue of running rooms.
    Running,
}

/// Whether a room's window holds memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warmth {
    /// None: not in the shard's list.
    Cold,
    /// It may, and nothing has come for a while.
    Warm,
    /// Something came since the shard last looked for memory to give back.
    Touched,
}

/// A connection that waits to become a member.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(crate) number: u32,
    pub(crate) serial: u32,
    pub(crate) start: Start,
    /// Told when it is a member.
    pub(crate) joined: Option<oneshot::Sender<()>>,
}

impl Joining {
    /// A session's subscription to who comes and goes.
    pub(crate) const fn listener(number: u32, serial: u32) -> Self {
        Self { number, serial, start: Start::Live, joined: None }
    }
}

impl LocalRoom {
    pub(crate) fn new(room: Arc<Room>, feed: Feed, settings: RoomSettings, stay: u32) -> Self {
        Self {
            room,
            feed,
            settings,
            window: Window::default(),
            lap: Lap::default(),
            ring: Vec::new(),
            vacant: 0,
            joining: Some(Vec::new()),
            ahead: Vec::new(),
            holders: 0,
            stay,
            blocked: Vec::new(),
            blocked_floor: u64::MAX,
            offered: 0,
            epoch: Epoch(0),
            next_offset: 0,
            kept_from: NOTHING_KEPT,
            queued: Queued::No,
            held: Vec::new(),
            turn_began: Nanos(0),
            busy_turns: 0,
            not_before: Nanos(0),
            backlogged: false,
            #[cfg(test)]
            planted: Planted::Nothing,
            warmth: Warmth::Cold,
        }
    }

    /// Places of the ring, vacant ones included.
    pub(crate) fn places(&self) -> usize {
        self.ring.len()
    }

    /// Members, not counting those that are joining.
    #[cfg(test)]
    pub(crate) fn members(&self) -> usize {
        self.ring.len() - self.vacant
    }

    /// The connection at `place`, unless it is vacant.
    pub(crate) fn at(&self, place: usize) -> Option<u32> {
        Some(self.ring[place]).filter(|number| *number != VACANT)
    }

    /// The home knows this shard: where the room stands, and what it has kept up to there.
    pub(crate) fn entered(&mut self, position: Position, kept: Option<&Chunk>) -> Vec<Joining> {
        debug_assert!(self.joining.is_some(), "a shard enters a room once");
        self.epoch = position.epoch;
        self.next_offset = position.offset + 1;
        if let Some(kept) = kept {
            self.kept_from = kept.kept_from;
            if !kept.entries.is_empty() {
                self.window.append(&kept.frames, &kept.entries);
                self.warmth = Warmth::Touched;
            }
        }
        self.offered = self.window.head();
        self.joining.take().unwrap_or_default()
    }

    /// Adds a member in front of the window's head: its place, and its cursor.
    pub(crate) fn add(&mut self, number: u32) -> (u32, u64) {
        debug_assert!(self.joining.is_none(), "members come when the home knows this shard");
        let place = u32::try_from(self.ring.len()).expect("a ring has fewer places than there are connections");
        self.ring.push(number);
        if self.lap.is_running() {
            self.lap.place_added();
        }
        (place, self.window.head())
    }

    /// Where the room stands.
    pub(crate) const fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.next_offset - 1 }
    }

    /// Where a cursor has to stand so that its owner gets what it asks for, how its owner then begins, and the offset
    /// in front of what it gets first. Nothing is copied: what it missed is in the window, as for everybody.
    pub(crate) fn find(&self, start: Start) -> (u64, Began, u64) {
        let newest = self.next_offset - 1;
        let (after, began) = match start {
            Start::Live => (newest, Began::Live),
            Start::After(Position { epoch, .. }) if self.is_other(epoch) => (newest, Began::Lost),
            Start::After(Position { offset, .. }) | Start::AfterOffset(offset) => {
                let is_there = offset <= newest && (offset == newest || offset + 1 >= self.kept_from);
                if is_there { (offset, Began::Recovered) } else { (newest, Began::Lost) }
            }
            Start::Last(count) => {
                let most = self.next_offset - self.kept_from.min(self.next_offset);
                let (count, most) = (count as usize, usize::try_from(most).unwrap_or(usize::MAX));
                (newest - self.window.frames_down_to_kept(count, most) as u64, Began::Recovered)
            }
        };
        #[cfg(test)]
        let after = if self.planted == Planted::ReplayTooShort && after < newest { after + 1 } else { after };
        (self.start_of_offset(after + 1), began, after)
    }

    /// Whether `start` lies ahead of what has come to this shard so far: see [`super::ahead`].
    pub(crate) fn is_behind(&self, start: Start) -> bool {
        match start {
            Start::After(Position { epoch, offset }) => epoch == self.epoch && offset >= self.next_offset,
            Start::AfterOffset(offset) => offset >= self.next_offset,
            Start::Live | Start::Last(_) => false,
        }
    }

    fn is_other(&self, epoch: Epoch) -> bool {
        #[cfg(test)]
        if self.planted == Planted::EpochIgnored {
            return false;
        }
        epoch != self.epoch
    }

    /// Position in the window of the publication with this offset, which is there or the next one.
    fn start_of_offset(&self, offset: u64) -> u64 {
        let behind = usize::try_from(self.next_offset - offset).unwrap_or(usize::MAX);
        debug_assert!(behind <= self.window.count(), "what is kept is in the window");
        self.window.start_of(self.window.count().saturating_sub(behind))
    }

    /// The room keeps nothing in front of `offset` any more.
    pub(crate) fn forget(&mut self, offset: u64) {
        self.kept_from = offset;
    }

    /// Vacates a place.
    pub(crate) fn remove(&mut self, place: u32) {
        let place = place as usize;
        debug_assert!(self.ring[place] != VACANT, "a place is vacated once");
        self.ring[place] = VACANT;
        self.vacant += 1;
        if place + 1 == self.ring.len() && !self.lap.is_running() {
            self.ring.pop();
            self.vacant -= 1;
        }
    }

    /// Whether so many places are vacant that the ring should be renumbered.
    pub(crate) fn wants_renumbering(&self) -> bool {
        self.vacant > PLACES_KEPT && self.vacant > self.ring.len() / 4
    }

    /// Closes the gaps, keeping the order. The members' new places are their positions in what is returned.
    pub(crate) fn renumber(&mut self) -> &[u32] {
        let next = self.ring.iter().take(self.lap.next()).filter(|number| **number != VACANT).count();
        self.ring.retain(|number| *number != VACANT);
        self.vacant = 0;
        if self.ring.capacity() > 4 * self.ring.len().max(PLACES_KEPT) {
            self.ring.shrink_to(2 * self.ring.len());
        }
        self.lap.renumbered(next, self.ring.len());
        &self.ring
    }

    /// Takes publications from the home.
    pub(crate) fn append(&mut self, chunk: &Chunk, at: Nanos) {
        let Chunk { first_offset, frames, entries, kept_from, .. } = chunk;
        debug_assert_eq!(*first_offset, self.next_offset, "offsets are dense");
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        self.next_offset = first_offset + u64::from(count);
        self.kept_from = *kept_from;
        self.window.append(frames, entries);
        let appended = Appended { end: self.window.head(), count, published: entries[0].published, at };
        if self.queued == Queued::Running && !self.settings.coalesce.is_zero() {
            // Whoever has not been served in this lap gets it with what is due anyway; the others in the next.
            self.held.push(appended);
        } else {
            self.append_to_lap(appended);
        }
    }

    fn append_to_lap(&mut self, appended: Appended) {
        if self.ring.is_empty() {
            // Whoever holds the room is not a member yet, and will find it in the window.
            self.offered_to_all(appended.end);
        } else {
            self.lap.append(appended, self.ring.len());
        }
    }

    /// A lap begins, or goes on after a rest.
    pub(crate) fn start(&mut self, now: Nanos) {
        self.queued = Queued::Running;
        self.turn_began = now;
    }

    /// How long the room is to rest before its lap goes on.
    ///
    /// A room whose laps know no end keeps its shard busy with sends of a few publications each. A short rest after
    /// each turn of the ring lets more of them gather: a sixteenth of the turn's time costs 3 to 5 % less CPU, at the
    /// same latency. No rest for a room that is behind only now and then, nor where so much is waiting that a send
    /// is well filled anyway, nor for one that gathers: its laps have pauses between them.
    pub(crate) fn rest(&mut self, now: Nanos) -> Option<Duration> {
        if !self.settings.coalesce.is_zero() {
            return None;
        }
        let waiting = self.lap.take_turn(self.ring.len())?;
        let took = now.since(self.turn_began);
        self.turn_began = now;
        self.busy_turns = self.busy_turns.saturating_add(1);
        let rest = (took / REST_PART).min(REST_MAX);
        let rests = self.busy_turns >= BUSY_TURNS_BEFORE_REST && rest >= REST_MIN;
        (rests && waiting < PUBLICATIONS_WITHOUT_REST && !self.backlogged).then_some(rest)
    }

    /// The lap is over.
    pub(crate) fn end(&mut self, now: Nanos) {
        debug_assert!(!self.lap.is_running(), "the lap is over");
        self.queued = Queued::No;
        self.busy_turns = 0;
        self.not_before = now.after(self.settings.coalesce);
    }

    /// The lap is over: what arrived meanwhile is for the next one.
    pub(crate) fn begin_next(&mut self) {
        debug_assert!(!self.lap.is_running(), "one lap at a time");
        for appended in std::mem::take(&mut self.held) {
            self.append_to_lap(appended);
        }
    }

    /// Whether everybody has been offered everything.
    fn is_quiet(&self) -> bool {
        !self.lap.is_running() && self.held.is_empty()
    }

    /// Everybody has been offered what is in front of `end`.
    pub(crate) fn offered_to_all(&mut self, end: u64) {
        // The last of a lap whose members have all gone may be done after what came later.
        self.offered = self.offered.max(end);
    }

    /// Bytes that somebody who keeps up has yet to be offered, with what is noted of each publication. O(log count).
    pub(crate) fn backlog_bytes(&self) -> u64 {
        if self.is_quiet() { 0 } else { self.window.occupied_bytes(self.offered.max(self.window.tail())) }
    }

    /// A member's socket takes no more.
    pub(crate) fn block(&mut self, number: u32, cursor: u64) {
        self.blocked.push(number);
        if self.blocked.len() > 2 * self.ring.len() + PLACES_KEPT {
            // Without publications nobody looks at the list: whoever is blocked again and again would stand in it as
            // often.
            self.blocked.sort_unstable();
            self.blocked.dedup();
        }
        self.blocked_floor = self.blocked_floor.min(cursor);
    }

    /// The blocked members were looked at: those in `still` remain, none behind `floor`.
    pub(crate) fn set_blocked(&mut self, still: Vec<u32>, floor: u64) {
        self.blocked = still;
        self.blocked_floor = floor;
    }

    /// Where the window has to begin so that blocked members lag no farther than the settings allow.
    pub(crate) fn lag_limit(&self, now: Nanos) -> u64 {
        let oldest = Nanos(now.0.saturating_sub(Nanos(0).after(self.settings.window_age_max).0));
        let count = usize::try_from(self.settings.window_count_max).unwrap_or(usize::MAX);
        let limit = self.window.limit(count, self.settings.window_bytes_max as u64, oldest);
        // What the room keeps anyway costs nothing: whoever resumes from far back may take its time.
        limit.min(self.kept_start())
    }

    /// Position from which on the window has to reach for those who come back.
    fn kept_start(&self) -> u64 {
        let kept_from = self.kept_from;
        #[cfg(test)]
        let kept_from = kept_from.saturating_add(u64::from(self.planted == Planted::KeptReleased));
        if kept_from >= self.next_offset { self.window.head() } else { self.start_of_offset(kept_from) }
    }

    /// Whether a blocked member may lie behind `limit`.
    pub(crate) fn may_lag(&self, limit: u64) -> bool {
        !self.blocked.is_empty() && self.blocked_floor < limit
    }

    /// Forgets what nobody needs any more.
    pub(crate) fn release(&mut self) {
        let offered = if self.is_quiet() { self.window.head() } else { self.offered };
        let needed = if self.blocked.is_empty() { offered } else { offered.min(self.blocked_floor) };
        let needed = needed.min(self.kept_start());
        if needed > self.window.tail() {
            self.window.release(needed);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::directory::Directory;
    use super::super::feed::Encoding;
    use super::super::room::RoomName;
    use super::super::settings::Settings;
    use super::super::window::{Entry, Publisher};
    use super::*;
    use crate::protocol::frame::Coding;

    #[test]
    fn empty_messages_are_a_backlog_of_what_is_noted_of_them() {
        let settings = Settings::default();
        let room = Directory::new(Arc::new(settings.clone()), 1).join(&RoomName::new("room").unwrap()).unwrap();
        let mut local = LocalRoom::new(room, Feed::publications(Encoding::Raw, Coding::Plain), settings.room, 0);
        local.entered(Position { epoch: Epoch(1), offset: 0 }, None);
        local.add(0);
        assert_eq!(local.backlog_bytes(), 0);
        let entry = |n| Entry { end: 2 * n, published: Nanos(0), publisher: Publisher::OUTSIDE };
        let entries: Arc<[Entry]> = (1..=1_000_u64).map(entry).collect();
        let frames = Bytes::from([0x81, 0].repeat(1_000));
        local.append(
            &Chunk { number: 0, room_id: 1, first_offset: 1, frames, entries, kept_from: NOTHING_KEPT },
            Nanos(0),
        );
        assert_eq!(local.backlog_bytes(), 1_000 * (2 + size_of::<Entry>() as u64));
    }
}

//! Those who wait at a room's home for the next publication: long polls.
//!
//! A room without history keeps what is published while somebody waits, until the end of the turn. There are at most as
//! many who wait as connections, and those who have given up: they are found when the list has doubled, or when their
//! time is over.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::super::clock::Nanos;
use super::super::directory::Room;
use super::super::history::{History, HistoryQuery, Log, Record};
use super::super::newer::Newer;
use super::super::position::{Position, Start};
use super::{HomeRoom, Homes};

/// From how many on it is looked whether those who wait are still there.
const WAITERS_BEFORE_LOOK: usize = 64;

/// What the homes of a shard know of those who wait.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// When to look whether somebody's time is over.
    due: BinaryHeap<Reverse<(Nanos, u64)>>,
    /// Rooms whose askers have been answered.
    left: Vec<u64>,
    /// The shard drains: nobody waits any more.
    ended: bool,
}

/// Those who wait in one room.
#[derive(Debug)]
pub(super) struct Waiting {
    waiters: Vec<Waiter>,
    /// What has been published this turn, of a room without history.
    pub(super) fresh: Vec<Record>,
    /// When the first one's time is over: of the entries in [`Waits::due`], this one counts.
    due: Nanos,
    look_at: usize,
}

#[derive(Debug)]
struct Waiter {
    /// What it has had, or what was there when it came.
    since: u64,
    complete: bool,
    limit: usize,
    until: Nanos,
    reply: oneshot::Sender<History>,
}

impl Homes {
    /// Answers, or puts the asker among those who wait. Whoever asks holds the room; the answer lets go of it.
    pub(crate) fn newer(&mut self, room: &Arc<Room>, newer: Newer, now: Nanos, reply: oneshot::Sender<History>) {
        let ended = self.waits.ended;
        let home = self.room(room);
        let history = home.after(newer.start, newer.limit.max(1));
        let says_lost = !history.complete && history.offset > 0;
        if says_lost || !history.records.is_empty() || newer.wait.is_zero() || ended {
            // Whoever asked may have gone.
            reply.send(history).ok();
            self.waits.left.push(room.id);
            self.directory.release(room);
            return;
        }
        let until = now.after(newer.wait);
        let waiting = home.waiting.get_or_insert_with(|| {
            let (due, look_at) = (Nanos(u64::MAX), WAITERS_BEFORE_LOOK);
            Box::new(Waiting { waiters: Vec::new(), fresh: Vec::new(), due, look_at })
        });
        let (since, complete, limit) = (history.offset, history.complete, newer.limit.max(1));
        waiting.waiters.push(Waiter { since, complete, limit, until, reply });
        let mut gone = 0;
        if waiting.waiters.len() >= waiting.look_at {
            let before = waiting.waiters.len();
            waiting.waiters.retain(|waiter| !waiter.reply.is_closed());
            gone = before - waiting.waiters.len();
            waiting.look_at = (waiting.waiters.len() * 2).max(WAITERS_BEFORE_LOOK);
        }
        if until < waiting.due {
            waiting.due = until;
            self.waits.due.push(Reverse((until, room.id)));
        }
        for _ in 0..gone {
            self.directory.release(room);
        }
    }

    /// A room has new publications: answers those who have not had them.
    pub(super) fn tell_waiting(&mut self, id: u64) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let Some(waiting) = &mut room.waiting else { return };
        let fresh = std::mem::take(&mut waiting.fresh);
        self.answer_waiting(id, |room, waiter| {
            let history = room.since(waiter.since, waiter.limit, &fresh);
            (!history.records.is_empty() || !history.complete).then_some(history)
        });
    }

    /// Answers those whose time is over, with nothing.
    pub(super) fn end_waits(&mut self, now: Nanos) {
        while let Some(Reverse((at, id))) = self.waits.due.peek().copied()
            && at <= now
        {
            self.waits.due.pop();
            let is_due = |room: &&mut HomeRoom| room.waiting.as_ref().is_some_and(|waiting| waiting.due == at);
            let Some(room) = self.rooms.get_mut(&id).filter(is_due) else { continue };
            if let Some(waiting) = &mut room.waiting {
                waiting.due = Nanos(u64::MAX);
            }
            self.answer_waiting(id, |room, waiter| (waiter.until <= now).then(|| room.nothing_new()));
        }
    }

    /// When [`Homes::end_waits`] has something to do.
    pub(super) fn next_wait_end(&self) -> Option<Nanos> {
        self.waits.due.peek().map(|Reverse((at, _))| *at)
    }

    /// The shard drains: answers everybody, with nothing, and those who come yet without waiting.
    pub(crate) fn end_all_waits(&mut self) {
        self.waits.ended = true;
        let ids: Vec<u64> = self.rooms.iter().filter(|(_, room)| room.waiting.is_some()).map(|(id, _)| *id).collect();
        for id in ids {
            self.answer_waiting(id, |room, _| Some(room.nothing_new()));
        }
    }

    /// Forgets rooms that were there for those who asked. As with members, a room with a history stays for a while:
    /// between two polls, nothing is missed.
    pub(super) fn forget_left(&mut self, now: Nanos) {
        while let Some(id) = self.waits.left.pop() {
            self.left(id, now);
        }
    }

    /// Answers those of a room for whom `answer` has one.
    fn answer_waiting(&mut self, id: u64, answer: impl Fn(&HomeRoom, &Waiter) -> Option<History>) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let Some(mut waiting) = room.waiting.take() else { return };
        for waiter in std::mem::take(&mut waiting.waiters) {
            match answer(room, &waiter) {
                None => waiting.waiters.push(waiter),
                Some(mut history) => {
                    history.complete &= waiter.complete;
                    // Whoever asked may have gone.
                    waiter.reply.send(history).ok();
                    self.directory.release(&room.room);
                }
            }
        }
        let Some(until) = waiting.waiters.iter().map(|waiter| waiter.until).min() else {
            self.waits.left.push(id);
            return;
        };
        if waiting.due == Nanos(u64::MAX) {
            waiting.due = until;
            self.waits.due.push(Reverse((until, id)));
        }
        room.waiting = Some(waiting);
    }
}

impl HomeRoom {
    /// What a room that nobody waited in has behind `start`; nothing if some of it is not there.
    fn after(&self, start: Start, limit: usize) -> History {
        let Position { epoch, offset } = self.position();
        match start {
            Start::Live => self.since(offset, limit, &[]),
            Start::Last(count) => {
                let kept = self.kept.as_ref().map(|kept| kept.log.before_newest(count as usize, offset));
                self.since(kept.unwrap_or(offset), limit, &[])
            }
            Start::AfterOffset(since) => self.since(since, limit, &[]),
            Start::After(since) if since.epoch == epoch => self.since(since.offset, limit, &[]),
            Start::After(_) => History { complete: false, ..self.nothing_new() },
        }
    }

    /// What came after an offset; nothing if some of it is not there. `fresh`: what a room without history has.
    fn since(&self, since: u64, limit: usize, fresh: &[Record]) -> History {
        let now = self.position();
        let since = Position { epoch: now.epoch, offset: since };
        if self.kept.is_none() && !fresh.is_empty() {
            let records = fresh.iter().filter(|record| record.offset > since.offset).take(limit).cloned().collect();
            return History { records, ..self.nothing_new() };
        }
        let query = HistoryQuery { since: Some(since), limit, ..HistoryQuery::default() };
        let mut history = match &self.kept {
            Some(kept) => kept.log.read(&query, now),
            None => Log::default().read(&query, now),
        };
        if !history.complete {
            history.records.clear();
        }
        history
    }

    const fn nothing_new(&self) -> History {
        History { epoch: self.epoch, offset: self.offset, complete: true, records: Vec::new() }
    }
}

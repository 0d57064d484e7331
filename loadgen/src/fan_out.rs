//! How a message spreads over its room: when the first and the last of its members got it.
//!
//! Each publisher has a ring of its latest messages. Workers that hold a part of a room's members each keep what they
//! saw as [`Partial`]s; [`Join`]ed, these are what one worker would have seen.

pub mod join;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

pub use join::Join;

/// Messages of one publisher that are under way at least …
const RING_MIN: usize = 16;
/// … and at most: 48 bytes each.
const RING_MAX: usize = 1 << 14;
/// Partials that are kept until somebody takes them. Beyond, they are counted and gone.
const PARTIALS_MAX: usize = 1 << 20;

/// A message that all members of its room have got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complete {
    /// First member to last one, nanoseconds.
    pub spread_ns: u64,
    /// Due time to last member, nanoseconds.
    pub completion_ns: u64,
    /// When it was due: the phase and second it counts in.
    pub due: Nanos,
}

impl Complete {
    #[inline]
    const fn new(due: Nanos, first: Nanos, last: Nanos) -> Self {
        Self { spread_ns: last.since_ns(first), completion_ns: last.since_ns(due), due }
    }
}

/// What one worker saw of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partial {
    /// The publisher's number.
    pub publisher: u32,
    /// Members that got it.
    pub count: u32,
    /// The publisher's number for it.
    pub sequence: u64,
    /// When it was due.
    pub due: Nanos,
    /// When the first one got it.
    pub first: Nanos,
    /// When the last one got it.
    pub last: Nanos,
}

/// Whether partials are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// No: this process holds all members.
    Nothing,
    /// Yes, of every message: others hold members as well.
    Partials,
}

/// Messages of which nothing can be said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// Messages that some but not all members got before they left the ring, or that are still in it.
    pub incomplete: u64,
    /// Deliveries of messages that had left the ring.
    pub late_deliveries: u64,
    /// Partials that were too many to be kept.
    pub partials_dropped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Free,
    Spreading,
    Complete,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    sequence: u64,
    due: Nanos,
    first: Nanos,
    last: Nanos,
    count: u32,
    state: State,
}

const FREE: Entry = Entry { sequence: 0, due: Nanos(0), first: Nanos(0), last: Nanos(0), count: 0, state: State::Free };

/// See the module.
#[derive(Clone, Debug)]
pub struct FanOut {
    /// One ring after the other.
    entries: Box<[Entry]>,
    ring: usize,
    keep: Keep,
    partials: Vec<Partial>,
    unfinished: Unfinished,
}

impl FanOut {
    /// For so many publishers, each with a ring for `ring` messages: a power of two between 16 and 16,384 is made of it
    /// (see [`ring_for`]).
    #[must_use]
    pub fn new(publishers: u32, ring: usize, keep: Keep) -> Self {
        let ring = ring.clamp(RING_MIN, RING_MAX).next_power_of_two();
        Self {
            entries: vec![FREE; ring * publishers as usize].into_boxed_slice(),
            ring,
            keep,
            partials: Vec::new(),
            unfinished: Unfinished::default(),
        }
    }

    /// Accounts for one delivery (not for a second one of the same message to the same member): the message's figures
    /// if it was the last one of `expected` members. O(1), allocates only for partials that are kept.
    ///
    /// # Panics
    /// There is no such publisher.
    #[inline]
    pub fn delivered(
        &mut self,
        publisher: u32,
        sequence: u64,
        due: Nanos,
        now: Nanos,
        expected: u32,
    ) -> Option<Complete> {
        let at = self.at(publisher, sequence);
        let entry = &mut self.entries[at];
        if entry.sequence != sequence || entry.state == State::Free {
            if entry.state != State::Free && entry.sequence > sequence {
                self.unfinished.late_deliveries += 1;
                return None;
            }
            self.evict(at, publisher);
            let state = State::Spreading;
            self.entries[at] = Entry { sequence, due, first: now, last: now, count: 0, state };
        }
        let entry = &mut self.entries[at];
        entry.count += 1;
        entry.first = entry.first.min(now);
        entry.last = entry.last.max(now);
        if entry.count < expected || entry.state == State::Complete {
            return None;
        }
        entry.state = State::Complete;
        Some(Complete::new(entry.due, entry.first, entry.last))
    }

    /// The partials that are ready: those of messages that left the ring since it was last asked. Messages that are
    /// still in it follow later, at the latest after [`FanOut::finish`].
    pub fn take_partials(&mut self) -> Vec<Partial> {
        std::mem::take(&mut self.partials)
    }

    /// Empties the rings: nothing comes any more. What is not complete counts as such (or becomes a partial).
    pub fn finish(&mut self) -> Unfinished {
        for (publisher, start) in (0..).zip((0..self.entries.len()).step_by(self.ring)) {
            for at in start..start + self.ring {
                self.evict(at, publisher);
            }
        }
        self.unfinished
    }

    /// Messages of which nothing can be said so far; those in the rings are not among them.
    #[must_use]
    pub const fn unfinished(&self) -> Unfinished {
        self.unfinished
    }

    #[inline]
    const fn at(&self, publisher: u32, sequence: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "the lower bits are what is asked for")]
        let within = sequence as usize & (self.ring - 1);
        publisher as usize * self.ring + within
    }

    #[cold]
    fn evict(&mut self, at: usize, publisher: u32) {
        let Entry { sequence, due, first, last, count, state } = std::mem::replace(&mut self.entries[at], FREE);
        if state == State::Free {
            return;
        }
        if self.keep == Keep::Nothing {
            self.unfinished.incomplete += u64::from(state == State::Spreading);
        } else if self.partials.len() < PARTIALS_MAX {
            self.partials.push(Partial { publisher, count, sequence, due, first, last });
        } else {
            self.unfinished.partials_dropped += 1;
        }
    }
}

/// A ring that holds what one publisher sends until it has arrived or is lost: twice the messages of `arrival_timeout`.
#[must_use]
pub fn ring_for(rate_per_publisher: f64, arrival_timeout: Duration) -> usize {
    let messages = 2.0 * rate_per_publisher * arrival_timeout.as_secs_f64();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped to small numbers")]
    let ring = messages.clamp(RING_MIN as f64, RING_MAX as f64) as usize;
    ring.next_power_of_two()
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::seed::{Purpose, rng};

    #[test]
    fn a_message_is_complete_with_the_last_member() {
        let mut fan_out = FanOut::new(2, 16, Keep::Nothing);
        let mut deliver = |publisher, sequence, now| fan_out.delivered(publisher, sequence, Nanos(100), Nanos(now), 3);
        assert_eq!(deliver(0, 0, 150), None);
        assert_eq!(deliver(1, 0, 160), None, "another publisher's");
        assert_eq!(deliver(0, 1, 170), None);
        assert_eq!(deliver(0, 0, 180), None);
        let complete = Complete { spread_ns: 50, completion_ns: 100, due: Nanos(100) };
        assert_eq!(deliver(0, 0, 200), Some(complete));
        assert_eq!(deliver(0, 0, 210), None, "a member more than expected");
        assert_eq!(fan_out.finish(), Unfinished { incomplete: 2, ..Unfinished::default() });
    }

    #[test]
    fn what_leaves_the_ring_incomplete_is_counted() {
        let mut fan_out = FanOut::new(1, 16, Keep::Nothing);
        for sequence in 0..40 {
            assert_eq!(fan_out.delivered(0, sequence, Nanos(0), Nanos(1), 2), None);
        }
        assert_eq!(fan_out.unfinished().incomplete, 24);
        assert_eq!(fan_out.delivered(0, 0, Nanos(0), Nanos(1), 2), None);
        assert_eq!(fan_out.unfinished(), Unfinished { incomplete: 24, late_deliveries: 1, partials_dropped: 0 });
        assert!(fan_out.delivered(0, 39, Nanos(0), Nanos(1), 2).is_some());
        assert_eq!(fan_out.finish().incomplete, 39);
    }

    #[test]
    fn workers_joined_are_one() {
        const MEMBERS: u32 = 30;
        let mut rng = rng(5, Purpose::Payload, 0);
        let mut whole = FanOut::new(2, 64, Keep::Nothing);
        let mut workers = [(); 3].map(|()| FanOut::new(2, 16, Keep::Partials));
        let mut wanted = Vec::new();
        let mut partials = Vec::new();
        for sequence in 0..50 {
            let due = Nanos(sequence * 1_000);
            for member in 0..MEMBERS * 2 {
                let (publisher, worker) = (member % 2, &mut workers[member as usize % 3]);
                let now = due.after(Duration::from_nanos(rng.random_range(1..100_000)));
                wanted.extend(whole.delivered(publisher, sequence, due, now, MEMBERS));
                worker.delivered(publisher, sequence, due, now, u32::MAX);
            }
            partials.extend(workers.iter_mut().flat_map(FanOut::take_partials));
        }
        for worker in &mut workers {
            assert_eq!(worker.finish(), Unfinished::default());
            partials.extend(worker.take_partials());
        }
        let json = serde_json::to_string(&partials).unwrap();
        let partials: Vec<Partial> = serde_json::from_str(&json).unwrap();
        let mut coordinator = Join::default();
        let mut actual: Vec<_> = partials.iter().filter_map(|part| coordinator.add(part, MEMBERS)).collect();
        let key = |complete: &Complete| (complete.due, complete.spread_ns, complete.completion_ns);
        wanted.sort_by_key(key);
        actual.sort_by_key(key);
        assert_eq!(wanted.len(), 100);
        assert_eq!(actual, wanted);
        assert_eq!(coordinator.finish(), Unfinished::default());
    }

    #[test]
    fn rings_have_a_size_that_is_allowed() {
        let second = Duration::from_secs(1);
        for (rate, wanted) in [(0.0, 16), (10.0, 32), (1e3, 2_048), (1e9, 16_384), (f64::NAN, 16)] {
            let ring = ring_for(rate, second);
            assert_eq!(FanOut::new(1, ring, Keep::Nothing).entries.len(), wanted, "{rate}");
        }
    }
}

//! What one subscriber misses below the highest sequence it knows of: ranges of sequences, few of them.

use std::ops::Range;

use super::refused::Refused;

/// Ranges that one subscriber remembers. With one more the lowest of the same publisher is forgotten: it stays missing,
/// and what comes of it after all is taken for a second one.
pub const RANGES_MAX: usize = 128;

/// Why messages are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Why {
    /// They are owed.
    Owed,
    /// The subscriber was away and does not resume.
    Away,
    /// They were published before the subscriber joined, as far as is known.
    BeforeJoining,
}

/// A range of missing messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The publisher's slot in the room.
    pub slot: usize,
    /// Sequences.
    pub sequences: Range<u64>,
    /// Why.
    pub why: Why,
}

/// Whether a sequence was among the missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Missing,
    Not,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    first: u64,
    end: u64,
    slot: u32,
    why: Why,
}

const _: () = assert!(size_of::<Entry>() == 24);

impl Entry {
    fn missing(self) -> Missing {
        Missing { slot: self.slot as usize, sequences: self.first..self.end, why: self.why }
    }
}

/// The ranges, sorted by slot and sequence.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges {
    entries: Vec<Entry>,
    /// Missing sequences by [`Why`], the forgotten ones included.
    counts: [u64; 3],
    untold: u64,
    forgotten: Option<Entry>,
    /// Those forgotten that are owed, of each slot that has any.
    hulls: Vec<Hull>,
}

/// Where the forgotten ones of a slot are: the lowest is forgotten first, so that all remembered ones are above.
#[derive(Clone, Debug)]
struct Hull {
    slot: u32,
    sequences: Range<u64>,
    count: u64,
}

impl Ranges {
    /// Adds a range above all others of its slot; nothing if it is empty.
    pub(super) fn push(&mut self, slot: usize, sequences: Range<u64>, why: Why) {
        self.forgotten = None;
        if sequences.is_empty() {
            return;
        }
        self.counts[why as usize] += sequences.end - sequences.start;
        let slot = u32::try_from(slot).expect("a room has fewer publishers");
        self.insert(Entry { first: sequences.start, end: sequences.end, slot, why });
    }

    /// Takes one sequence out, if it is missing.
    pub(super) fn take(&mut self, slot: usize, sequence: u64) -> Found {
        self.forgotten = None;
        let behind = self.entries.partition_point(|entry| (entry.slot as usize, entry.first) <= (slot, sequence));
        let Some(at) = behind.checked_sub(1) else { return Found::Not };
        let entry = self.entries[at];
        if entry.slot as usize != slot || sequence >= entry.end {
            return Found::Not;
        }
        self.counts[entry.why as usize] -= 1;
        match (entry.first == sequence, entry.end == sequence + 1) {
            (true, true) => _ = self.entries.remove(at),
            (true, false) => self.entries[at].first += 1,
            (false, true) => self.entries[at].end -= 1,
            (false, false) => {
                self.entries[at].end = sequence;
                self.insert(Entry { first: sequence + 1, ..entry });
            }
        }
        Found::Missing
    }

    fn insert(&mut self, entry: Entry) {
        if self.entries.len() == RANGES_MAX {
            let lowest = self.entries.partition_point(|other| other.slot < entry.slot);
            let of_slot = self.entries.get(lowest).is_some_and(|other| other.slot == entry.slot);
            let forgotten = self.entries.remove(if of_slot { lowest } else { 0 });
            self.forget(forgotten);
        }
        let at = self.entries.partition_point(|other| (other.slot, other.first) < (entry.slot, entry.first));
        self.entries.insert(at, entry);
    }

    fn forget(&mut self, entry: Entry) {
        let count = entry.end - entry.first;
        self.untold += count;
        self.forgotten = Some(entry);
        if entry.why != Why::Owed {
            return;
        }
        match self.hulls.iter_mut().find(|hull| hull.slot == entry.slot) {
            Some(hull) => {
                hull.sequences.end = entry.end;
                hull.count += count;
            }
            None => self.hulls.push(Hull { slot: entry.slot, sequences: entry.first..entry.end, count }),
        }
    }

    /// Takes those of a slot out that the server refused, as far as they are known.
    pub(super) fn excuse(&mut self, slot: usize, refused: &Refused) {
        for hull in self.hulls.iter_mut().filter(|hull| hull.slot as usize == slot) {
            let excused = refused.count_in(hull.sequences.clone()).min(hull.count);
            hull.count -= excused;
            self.untold -= excused;
            self.counts[Why::Owed as usize] -= excused;
        }
        for entry in std::mem::take(&mut self.entries) {
            if entry.slot as usize != slot {
                self.entries.push(entry);
                continue;
            }
            self.counts[entry.why as usize] -= refused.count_in(entry.first..entry.end);
            let rest = refused.rest_of(entry.first..entry.end);
            self.entries.extend(rest.map(|rest| Entry { first: rest.start, end: rest.end, ..entry }));
        }
    }

    /// Takes out the lowest owed ones of a slot, `count` at most: how many forgotten ones, and how many others.
    pub(super) fn excuse_lowest(&mut self, slot: usize, count: u64) -> (u64, u64) {
        let (mut forgotten, mut left) = (0, count);
        for hull in self.hulls.iter_mut().filter(|hull| hull.slot as usize == slot) {
            forgotten = hull.count.min(left);
            hull.count -= forgotten;
            self.untold -= forgotten;
            left -= forgotten;
        }
        for entry in self.entries.iter_mut().filter(|entry| entry.slot as usize == slot && entry.why == Why::Owed) {
            let excused = left.min(entry.end - entry.first);
            entry.first += excused;
            left -= excused;
        }
        self.entries.retain(|entry| entry.first < entry.end);
        self.counts[Why::Owed as usize] -= count - left;
        (forgotten, count - left - forgotten)
    }

    /// The range that the last change made it forget.
    pub(super) fn take_forgotten(&mut self) -> Option<Missing> {
        self.forgotten.take().map(Entry::missing)
    }

    /// Those remembered.
    pub(super) fn iter(&self) -> impl Iterator<Item = Missing> + '_ {
        self.entries.iter().map(|entry| entry.missing())
    }

    /// Sequences missing, the forgotten ones included.
    pub(super) const fn count(&self, why: Why) -> u64 {
        self.counts[why as usize]
    }

    /// Sequences forgotten.
    pub(super) const fn untold(&self) -> u64 {
        self.untold
    }
}

//! The audit of one subscriber: which messages it got, which it missed, which came twice or late.
//!
//! Each publisher of the room has a slot. A message in order costs a comparison and two additions. What is missing
//! below the highest sequence is kept as ranges, so that a late one is told from a second one: what is below and not in
//! them has arrived.

pub mod missing;
mod refused;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use missing::{Found, Ranges};
pub use missing::{Missing, Why};
pub use refused::Refused;

/// The sequence that a slot without a next one awaits: none has it.
const NONE: u64 = u64::MAX;

/// What a delivery was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The next one; or the first one since the subscriber joined or came back.
    InOrder,
    /// A later one: so many before it are newly missing.
    Gap(u64),
    /// One that was missing: it came after a later one.
    OutOfOrder,
    /// It came before.
    Duplicate,
}

impl Seen {
    /// Whether it is the first time that this message came.
    #[must_use]
    pub const fn is_first(self) -> bool {
        !matches!(self, Self::Duplicate)
    }
}

/// From when on a publisher's messages are owed to a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// From the first one that arrives: how far the publisher was when the subscriber joined is not known.
    Unknown,
    /// From this sequence on.
    From(u64),
}

/// Whether a subscriber that comes back gets what it missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumes {
    /// It does: all of it is owed.
    Yes,
    /// It does not: nothing of it is owed.
    No,
}

/// Whether the subscriber is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Here,
    Away,
}

/// One publisher as one subscriber sees it.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The sequence that is in order; [`NONE`] until the first one since the subscriber joined or came back.
    next: u64,
    /// Above the highest sequence known, while `next` is [`NONE`]. What is missing below is in the ranges.
    above: u64,
    /// Why sequences from `above` to the next delivery are not owed.
    pending: Why,
}

/// What became of everything owed to a subscriber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Deliveries owed.
    pub expected: u64,
    /// Of these, arrived (once).
    pub received: u64,
    /// Of these, never arrived though a later one of the same publisher did.
    pub lost_in_gaps: u64,
    /// Of these, never arrived and nothing later of the same publisher either.
    pub lost_at_tail: u64,
    /// Deliveries that came again.
    pub duplicated: u64,
    /// Deliveries that came after a later one of the same publisher.
    pub out_of_order: u64,
    /// Missed while the subscriber was away; not owed.
    pub missed_while_away: u64,
    /// Part of the missing ones that were forgotten (see [`missing::RANGES_MAX`]): one that came after all would count
    /// as duplicated, not as received.
    pub untold: u64,
}

impl Account {
    /// Adds another subscriber's.
    pub const fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.received += other.received;
        self.lost_in_gaps += other.lost_in_gaps;
        self.lost_at_tail += other.lost_at_tail;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.missed_while_away += other.missed_while_away;
        self.untold += other.untold;
    }
}

/// See the module. Bytes: about 170, 24 per publisher, and 24 per range that is missing.
#[derive(Clone, Debug)]
pub struct Ledger {
    slots: Box<[Slot]>,
    ranges: Ranges,
    presence: Presence,
    received: u64,
    duplicated: u64,
    out_of_order: u64,
    /// What of the slots' tails the server refused.
    refused_tails: Vec<(usize, Refused)>,
}

impl Ledger {
    /// Of a subscriber to a room of so many publishers, who is there from now on.
    #[must_use]
    pub fn new(publishers: usize, expectation: Expectation) -> Self {
        let slot = Slot { next: NONE, above: 0, pending: Why::BeforeJoining };
        let mut ledger = Self {
            slots: vec![slot; publishers].into_boxed_slice(),
            ranges: Ranges::default(),
            presence: Presence::Here,
            received: 0,
            duplicated: 0,
            out_of_order: 0,
            refused_tails: Vec::new(),
        };
        if let Expectation::From(first) = expectation {
            for slot in 0..publishers {
                ledger.owe_from(slot, first);
            }
        }
        ledger
    }

    /// Says that `slot`'s messages are owed from `sequence` on: for a subscriber that has just joined or come back, and
    /// whose driver knows how far the publisher is. Without it they are owed from the first one that arrives. No effect
    /// once one has arrived.
    ///
    /// # Panics
    /// The room has no such slot.
    pub fn owe_from(&mut self, slot: usize, sequence: u64) {
        let state = &mut self.slots[slot];
        if state.next == NONE {
            state.next = sequence.max(state.above);
            self.ranges.push(slot, state.above..state.next, state.pending);
        }
    }

    /// Accounts for one delivery. In order O(1); else O(log) in the number of missing ranges, and moving them.
    ///
    /// # Panics
    /// The room has no such slot.
    #[inline]
    pub fn observe(&mut self, slot: usize, sequence: u64) -> Seen {
        debug_assert!(sequence != NONE, "no publisher gets that far");
        let state = &mut self.slots[slot];
        if state.next == sequence {
            state.next = sequence + 1;
            self.received += 1;
            return Seen::InOrder;
        }
        self.observe_unusual(slot, sequence)
    }

    #[cold]
    #[inline(never)]
    fn observe_unusual(&mut self, slot: usize, sequence: u64) -> Seen {
        let state = &mut self.slots[slot];
        let (above, why, seen) = if state.next == NONE {
            (state.above, state.pending, Seen::InOrder)
        } else {
            (state.next, Why::Owed, Seen::Gap(sequence.saturating_sub(state.next)))
        };
        if sequence >= above {
            state.next = sequence + 1;
            self.received += 1;
            self.ranges.push(slot, above..sequence, why);
            return seen;
        }
        match self.ranges.take(slot, sequence) {
            Found::Missing => {
                self.received += 1;
                self.out_of_order += 1;
                Seen::OutOfOrder
            }
            Found::Not => {
                self.duplicated += 1;
                Seen::Duplicate
            }
        }
    }

    /// Its connection ended.
    pub const fn left(&mut self) {
        self.presence = Presence::Away;
    }

    /// It is a member again. Say [`Ledger::owe_from`] next if it cannot resume and the publishers' positions are known.
    pub fn came_back(&mut self, resumes: Resumes) {
        self.presence = Presence::Here;
        if resumes == Resumes::No {
            for slot in &mut self.slots {
                if slot.next != NONE {
                    *slot = Slot { next: NONE, above: slot.next, pending: Why::Away };
                }
            }
        }
    }

    /// Above the highest sequence of a slot that arrived, or that it knew of when it joined.
    ///
    /// # Panics
    /// The room has no such slot.
    #[must_use]
    pub fn heard(&self, slot: usize) -> u64 {
        let state = &self.slots[slot];
        if state.next == NONE { state.above } else { state.next }
    }

    /// The missing messages that the last delivery made it forget, if any: see [`missing::RANGES_MAX`]. They are in the
    /// account, but no longer in [`Ledger::missing`].
    pub fn take_forgotten(&mut self) -> Option<Missing> {
        self.ranges.take_forgotten()
    }

    /// Takes what the server refused of a slot's `sent` messages out of what is owed. Of refusals that do not say of
    /// which message, each takes the lowest one that is missing: the numbers are right for who was there from the
    /// beginning. Returns how many of these had been forgotten. Once per slot, when nothing comes any more.
    ///
    /// # Panics
    /// The room has no such slot.
    pub fn excuse(&mut self, slot: usize, sent: u64, refused: &Refused) -> u64 {
        if refused.is_empty() {
            return 0;
        }
        self.ranges.excuse(slot, refused);
        let (Tail::Lost(tail) | Tail::Missed(tail)) = self.tail(&self.slots[slot], sent);
        let mut of_tail = Refused::default();
        for sequences in refused.ranges() {
            of_tail.add(sequences.start.max(tail.start)..sequences.end.min(tail.end));
        }
        let (forgotten, remembered) = self.ranges.excuse_lowest(slot, refused.unnamed());
        let mut left = refused.unnamed() - forgotten - remembered;
        let rest: Vec<_> = of_tail.rest_of(tail).collect();
        for sequences in rest {
            left -= of_tail.add(sequences.start..sequences.end.min(sequences.start.saturating_add(left)));
        }
        self.refused_tails.push((slot, of_tail));
        forgotten
    }

    /// What is left of a tail.
    fn owed_of(&self, slot: usize, tail: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let refused = self.refused_tails.iter().find(|(of, _)| *of == slot).map(|(_, refused)| refused);
        let whole = refused.is_none().then(|| tail.clone()).filter(|tail| !tail.is_empty());
        whole.into_iter().chain(refused.into_iter().flat_map(move |refused| refused.rest_of(tail.clone())))
    }

    /// What is owed and has not arrived, by slot and sequence; `sent` is how many messages each slot's publisher sent.
    pub fn missing<'a>(&'a self, sent: &'a [u64]) -> impl Iterator<Item = Missing> + 'a {
        let tails = self.slots.iter().enumerate().flat_map(|(slot, state)| {
            let sequences = match self.tail(state, sent.get(slot).copied().unwrap_or(0)) {
                Tail::Lost(sequences) => sequences,
                Tail::Missed(_) => 0..0,
            };
            self.owed_of(slot, sequences).map(move |sequences| Missing { slot, sequences, why: Why::Owed })
        });
        let gaps = self.ranges.iter().filter(|missing| missing.why == Why::Owed);
        gaps.chain(tails)
    }

    /// What became of everything, if nothing comes any more; `sent` is how many messages each slot's publisher sent.
    #[must_use]
    pub fn close(&self, sent: &[u64]) -> Account {
        debug_assert_eq!(sent.len(), self.slots.len(), "each publisher says how many it sent");
        let lost_in_gaps = self.ranges.count(Why::Owed);
        let mut missed_while_away = self.ranges.count(Why::Away);
        let mut lost_at_tail = 0;
        for (slot, (state, sent)) in self.slots.iter().zip(sent).enumerate() {
            let (sum, tail) = match self.tail(state, *sent) {
                Tail::Lost(sequences) => (&mut lost_at_tail, sequences),
                Tail::Missed(sequences) => (&mut missed_while_away, sequences),
            };
            *sum += self.owed_of(slot, tail).map(|sequences| sequences.end - sequences.start).sum::<u64>();
        }
        Account {
            expected: self.received + lost_in_gaps + lost_at_tail,
            received: self.received,
            lost_in_gaps,
            lost_at_tail,
            duplicated: self.duplicated,
            out_of_order: self.out_of_order,
            missed_while_away,
            untold: self.ranges.untold(),
        }
    }

    /// What follows the last delivery of a slot.
    fn tail(&self, state: &Slot, sent: u64) -> Tail {
        let above = if state.next == NONE { state.above } else { state.next };
        let sequences = above.min(sent)..sent;
        match (state.next == NONE, state.pending, self.presence) {
            (true, Why::BeforeJoining, _) => Tail::Missed(0..0),
            (true, _, _) | (false, _, Presence::Away) => Tail::Missed(sequences),
            (false, _, Presence::Here) => Tail::Lost(sequences),
        }
    }
}

/// See [`Ledger::tail`].
enum Tail {
    /// Owed and not there.
    Lost(Range<u64>),
    /// Not owed: missed while it was away.
    Missed(Range<u64>),
}

#[cfg(test)]
mod tests;

//! Several workers' sights of the same messages, joined.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{Complete, Partial, Unfinished};

/// Messages that wait for other workers' partials at most; partials of further ones are counted and gone.
const JOINING_MAX: usize = 1 << 20;

/// Takes partials in any order; every message that all members got comes out once, as if one worker had held them all.
#[derive(Clone, Debug, Default)]
pub struct Join {
    waiting: HashMap<(u32, u64), Partial>,
    partials_dropped: u64,
}

impl Join {
    /// Adds one worker's part: the message's figures if now all of `expected` members have got it. Each worker has one
    /// part of each message.
    pub fn add(&mut self, part: &Partial, expected: u32) -> Option<Complete> {
        let waiting = self.waiting.len();
        match self.waiting.entry((part.publisher, part.sequence)) {
            Entry::Occupied(mut entry) => {
                let whole = entry.get_mut();
                whole.count = whole.count.saturating_add(part.count);
                whole.first = whole.first.min(part.first);
                whole.last = whole.last.max(part.last);
                (whole.count >= expected).then(|| {
                    let whole = entry.remove();
                    Complete::new(whole.due, whole.first, whole.last)
                })
            }
            Entry::Vacant(_) if part.count >= expected => Some(Complete::new(part.due, part.first, part.last)),
            Entry::Vacant(entry) if waiting < JOINING_MAX => {
                entry.insert(*part);
                None
            }
            Entry::Vacant(_) => {
                self.partials_dropped += 1;
                None
            }
        }
    }

    /// No more parts come: what is left is incomplete. Add up with what each worker's [`super::FanOut::finish`] says.
    pub fn finish(&mut self) -> Unfinished {
        let incomplete = self.waiting.drain().count() as u64;
        Unfinished { incomplete, late_deliveries: 0, partials_dropped: self.partials_dropped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Nanos;

    #[test]
    fn messages_without_all_their_members_are_incomplete() {
        let part = |sequence, count, first, last| Partial {
            publisher: 0,
            count,
            sequence,
            due: Nanos(5),
            first: Nanos(first),
            last: Nanos(last),
        };
        let mut join = Join::default();
        assert_eq!(join.add(&part(7, 2, 20, 30), 5), None);
        assert_eq!(join.add(&part(8, 2, 20, 30), 5), None);
        let complete = Complete { spread_ns: 30, completion_ns: 40, due: Nanos(5) };
        assert_eq!(join.add(&part(7, 3, 15, 45), 5), Some(complete));
        assert!(join.add(&part(9, 5, 20, 30), 5).is_some());
        assert_eq!(join.finish(), Unfinished { incomplete: 1, ..Unfinished::default() });
    }
}

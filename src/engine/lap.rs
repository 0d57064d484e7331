//! Whose turn it is in a room's fan-out.
//!
//! Members stand in a ring in the order in which they came. A lap walks the ring and offers to each member everything
//! up to the head *of that moment* (the live head). A publication is done when every place of the ring has been visited
//! after it was appended; the lap ends when nothing is left to be done. Nobody starves: a place is visited once per
//! turn of the ring, whatever arrives meanwhile.
//!
//! **Early rewind.** When more arrives soon after a lap began (at most an eighth of the ring served, at most an eighth
//! rewound per lap in all), the lap begins again: the pieces of one burst then reach everyone together.

use std::collections::VecDeque;

use super::clock::Nanos;

/// A lap may be begun again while at most one part in so many has been served.
const REWIND_PART: usize = 8;

/// Publications that were appended to the window together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Position just behind them in the window.
    pub(crate) end: u64,
    /// How many they are.
    pub(crate) count: u32,
    /// When the oldest of them was published.
    pub(crate) published: Nanos,
    /// When they were appended.
    pub(crate) at: Nanos,
}

/// Something that has not been offered to everybody.
#[derive(Clone, Copy, Debug)]
struct Mark {
    appended: Appended,
    /// [`Lap::visits`] at which everybody has been offered it.
    done_at: i64,
}

/// Where the fan-out of one room stands.
#[derive(Debug, Default)]
pub(crate) struct Lap {
    /// Index of the next member.
    next: usize,
    /// Where the lap began.
    start: usize,
    /// Places visited since the lap began.
    served: usize,
    /// Places that this lap visited twice because it was begun again.
    rewound: usize,
    /// The clock of the marks: forward by one for a place visited, back by one for a place added and for one to be
    /// visited again.
    visits: i64,
    /// Places visited since the lap began or the last turn of the ring ended.
    turned: usize,
    /// What is still to be offered to somebody, oldest first.
    marks: VecDeque<Mark>,
}

impl Lap {
    /// Whether anything is left to be offered.
    pub(crate) fn is_running(&self) -> bool {
        !self.marks.is_empty()
    }

    /// The place to visit next.
    pub(crate) const fn next(&self) -> usize {
        self.next
    }

    /// Something was appended to the window, in a ring of `places` (more than none).
    pub(crate) fn append(&mut self, appended: Appended, places: usize) {
        debug_assert!(places > 0, "a ring without members has no lap");
        if self.marks.is_empty() {
            self.next = if self.next < places { self.next } else { 0 };
            self.start = self.next;
            (self.served, self.rewound, self.visits, self.turned) = (0, 0, 0, 0);
        } else if self.may_rewind(places) {
            self.next = self.start;
            self.visits -= signed(self.served);
            self.rewound += self.served;
            self.served = 0;
        }
        let done_at = self.visits + signed(places);
        debug_assert!(
            self.marks.back().is_none_or(|newest| newest.done_at <= done_at),
            "marks are done in their order"
        );
        self.marks.push_back(Mark { appended, done_at });
    }

    /// Whether so few have been served that the lap begins again. Never once something was appended without that: it
    /// would be done later than what comes behind it.
    fn may_rewind(&self, places: usize) -> bool {
        let done_at = self.visits - signed(self.served) + signed(places);
        self.served > 0
            && self.served + self.rewound <= places / REWIND_PART
            && self.marks.back().is_none_or(|newest| newest.done_at <= done_at)
    }

    /// The place [`Lap::next`] was visited.
    pub(crate) const fn visited(&mut self, places: usize) {
        debug_assert!(self.next < places, "the next place is in the ring");
        self.next = if self.next + 1 == places { 0 } else { self.next + 1 };
        self.served += 1;
        self.visits += 1;
        self.turned += 1;
    }

    /// Whether a whole turn of the ring has ended, with something left: publications that arrived during it. Told once
    /// a turn.
    pub(crate) fn take_turn(&mut self, places: usize) -> Option<u32> {
        if self.turned < places || self.marks.is_empty() {
            return None;
        }
        self.turned = 0;
        Some(self.marks.iter().map(|mark| mark.appended.count).sum())
    }

    /// A place was added at the end of the ring: everything outstanding takes one visit more.
    pub(crate) const fn place_added(&mut self) {
        self.visits -= 1;
    }

    /// Takes [`Lap::place_added`] back: a planted bug.
    #[cfg(test)]
    pub(crate) const fn forget_place(&mut self) {
        self.visits += 1;
    }

    /// The ring was renumbered: `next` members stand in front of the next, and there are `places` now. A lap need not
    /// wait for that to end: under a load that never pauses it never ends.
    pub(crate) fn renumbered(&mut self, next: usize, places: usize) {
        self.next = if next < places { next } else { 0 };
        // This lap does not begin again: where it began is not known any more.
        (self.start, self.served, self.rewound) = (self.next, 0, places);
        // Whoever was to be visited comes next, in the same order, with no vacant places in between.
        let done_at_max = self.visits + signed(places);
        for mark in &mut self.marks {
            mark.done_at = mark.done_at.min(done_at_max);
        }
    }

    /// Visits until everybody has been offered everything.
    pub(crate) fn visits_left(&self) -> usize {
        self.marks.back().map_or(0, |newest| usize::try_from(newest.done_at - self.visits).unwrap_or(0))
    }

    /// The next publications that everybody has been offered.
    pub(crate) fn take_done(&mut self) -> Option<Appended> {
        if self.marks.front()?.done_at > self.visits {
            return None;
        }
        self.marks.pop_front().map(|mark| mark.appended)
    }
}

fn signed(places: usize) -> i64 {
    i64::try_from(places).expect("a ring has fewer than 2^32 places")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(end: u64) -> Appended {
        Appended { end, count: 1, published: Nanos(1), at: Nanos(1) }
    }

    /// Walks a ring of `places` until the lap ends; `at` says what happens after so many visits.
    fn walk(lap: &mut Lap, places: &mut usize, mut at: impl FnMut(usize, &mut Lap, &mut usize)) -> Vec<usize> {
        let mut visited = Vec::new();
        while lap.is_running() {
            visited.push(lap.next());
            lap.visited(*places);
            at(visited.len(), lap, places);
            while lap.take_done().is_some() {}
        }
        visited
    }

    #[test]
    fn a_lap_visits_each_once() {
        let mut lap = Lap::default();
        lap.append(appended(10), 3);
        assert_eq!(walk(&mut lap, &mut 3, |_, _, _| ()), [0, 1, 2]);
    }

    #[test]
    fn later_arrival_goes_round_from_there() {
        let mut lap = Lap::default();
        lap.append(appended(10), 4);
        let visited = walk(&mut lap, &mut 4, |visits, lap, places| {
            if visits == 2 {
                lap.append(appended(20), *places);
            }
        });
        assert_eq!(visited, [0, 1, 2, 3, 0, 1]);
    }

    #[test]
    fn early_arrivals_rewind_at_most_an_eighth() {
        let mut lap = Lap::default();
        lap.append(appended(10), 16);
        let visited = walk(&mut lap, &mut 16, |visits, lap, places| {
            if visits <= 3 {
                lap.append(appended(10 + visits as u64), *places);
            }
        });
        let mut expected = vec![0, 0, 0];
        expected.extend(1..16);
        expected.push(0);
        assert_eq!(visited, expected, "two rewinds of one place, then on with the live head");
    }

    #[test]
    fn a_place_added_in_the_middle_is_visited_and_delays_nobody_out() {
        let mut lap = Lap::default();
        let mut places = 4;
        lap.append(appended(10), places);
        let mut done_after = 0;
        while lap.is_running() {
            lap.visited(places);
            done_after += 1;
            if done_after == 2 {
                lap.append(appended(20), places);
                places += 1;
                lap.place_added();
            }
            while let Some(mark) = lap.take_done() {
                assert!(
                    mark.end == 10 && done_after == 5 || mark.end == 20 && done_after == 7,
                    "{mark:?} {done_after}"
                );
            }
        }
        assert_eq!(done_after, 7);
    }

    /// Visits the next place: it has been offered `head` then. Checks what is done, and that the lap can go on.
    fn visit(lap: &mut Lap, offered: &mut [u64], head: u64) {
        offered[lap.next()] = head;
        lap.visited(offered.len());
        while let Some(done) = lap.take_done() {
            assert!(offered.iter().all(|end| *end >= done.end), "somebody has not been offered it");
        }
        assert_eq!(lap.visits_left() > 0, lap.is_running(), "a running lap has somebody to visit");
    }

    /// Random appends, visits, newcomers and leavers, then rest: nothing is done too early, and the lap ends within a
    /// turn.
    #[test]
    fn whatever_happens_everybody_is_offered_everything() {
        let mut state = 1u64;
        let mut below = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % end
        };
        for _ in 0..2_000 {
            let (mut lap, mut head, mut offered) = (Lap::default(), 0, vec![0; 1 + below(40)]);
            for _ in 0..below(40) {
                match below(6) {
                    0 => {
                        head += 1;
                        lap.append(appended(head), offered.len());
                    }
                    1 => {
                        for _ in 0..below(20) {
                            offered.push(head);
                            if lap.is_running() {
                                lap.place_added();
                            }
                        }
                    }
                    2 if below(3) == 0 => {
                        let stays: Vec<bool> = (0..offered.len()).map(|place| place == 0 || below(3) > 0).collect();
                        let next = stays.iter().take(lap.next()).filter(|stays| **stays).count();
                        let mut stays = stays.into_iter();
                        offered.retain(|_| stays.next().unwrap_or(true));
                        lap.renumbered(next, offered.len());
                    }
                    _ if lap.is_running() => visit(&mut lap, &mut offered, head),
                    _ => {}
                }
            }
            for _ in 0..offered.len() {
                if lap.is_running() {
                    visit(&mut lap, &mut offered, head);
                }
            }
            assert!(!lap.is_running(), "everybody was visited, and the lap goes on");
        }
    }
}

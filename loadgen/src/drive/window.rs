//! A closed loop's window: how many messages are outstanding.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::clock::Nanos;

/// Shared by the pacer, who takes places, and the desk, who gives them back.
#[derive(Debug)]
pub(super) struct Window {
    places: Mutex<Places>,
    freed: Condvar,
}

#[derive(Debug)]
struct Places {
    free: u32,
    /// Messages that are outstanding, by when they were due.
    taken: BTreeMap<Nanos, u32>,
}

impl Window {
    pub(super) const fn new(places: u32) -> Self {
        Self { places: Mutex::new(Places { free: places, taken: BTreeMap::new() }), freed: Condvar::new() }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().expect("nobody panics while holding it")
    }

    /// A message that was due then has reached its whole room. Nothing happens if it was given up.
    pub(super) fn give_back(&self, due: Nanos) {
        let mut places = self.places();
        let Some(outstanding) = places.taken.get_mut(&due) else { return };
        *outstanding -= 1;
        if *outstanding == 0 {
            places.taken.remove(&due);
        }
        places.free += 1;
        self.freed.notify_one();
    }

    /// Waits for a free place, but no longer than `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        let places = self.places();
        drop(self.freed.wait_timeout_while(places, timeout, |places| places.free == 0));
    }

    /// Takes all free places for messages that are due `now`, and those of messages that were due more than `give_up`
    /// ago: what has not arrived by then is lost, and keeps nobody waiting.
    pub(super) fn take(&self, now: Nanos, give_up: Duration) -> u32 {
        let mut places = self.places();
        while let Some(oldest) = places.taken.first_entry()
            && now.since(*oldest.key()) > give_up
        {
            let lost = oldest.remove();
            places.free += lost;
        }
        let free = std::mem::take(&mut places.free);
        if free > 0 {
            *places.taken.entry(now).or_default() += free;
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVE_UP: Duration = Duration::from_nanos(100);

    #[test]
    fn what_arrives_frees_its_place() {
        let window = Window::new(3);
        assert_eq!(window.take(Nanos(1), GIVE_UP), 3);
        assert_eq!(window.take(Nanos(2), GIVE_UP), 0);
        window.give_back(Nanos(1));
        window.give_back(Nanos(1));
        assert_eq!(window.take(Nanos(3), GIVE_UP), 2);
        window.give_back(Nanos(3));
        window.give_back(Nanos(7));
        assert_eq!(window.take(Nanos(4), GIVE_UP), 1, "nothing was due at 7");
    }

    #[test]
    fn one_that_is_lost_keeps_its_place_for_a_time_only() {
        let window = Window::new(2);
        assert_eq!(window.take(Nanos(1), GIVE_UP), 2);
        window.give_back(Nanos(1));
        for now in 2..=101 {
            assert_eq!(window.take(Nanos(now), GIVE_UP), 1, "the other place goes on");
            window.give_back(Nanos(now));
        }
        assert_eq!(window.take(Nanos(102), GIVE_UP), 2, "the lost one's is free again");
        window.give_back(Nanos(1));
        assert_eq!(window.take(Nanos(103), GIVE_UP), 0, "it was given up: it arrives for nobody");
    }
}

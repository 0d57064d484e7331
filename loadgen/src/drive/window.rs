//! A closed loop's window: how many messages are outstanding.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Shared by the pacer, who takes places, and the desk, who gives them back.
#[derive(Debug)]
pub(super) struct Window {
    free: Mutex<u32>,
    freed: Condvar,
}

impl Window {
    pub(super) const fn new(places: u32) -> Self {
        Self { free: Mutex::new(places), freed: Condvar::new() }
    }

    /// A message has reached its whole room.
    pub(super) fn give_back(&self) {
        *self.free.lock().expect("nobody panics while holding it") += 1;
        self.freed.notify_one();
    }

    /// Takes all free places; waits for one, but no longer than `timeout`.
    pub(super) fn take(&self, timeout: Duration) -> u32 {
        let free = self.free.lock().expect("nobody panics while holding it");
        let (mut free, _) =
            self.freed.wait_timeout_while(free, timeout, |free| *free == 0).expect("nobody panics while holding it");
        std::mem::take(&mut free)
    }
}

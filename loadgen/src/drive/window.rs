//! A closed loop's window: how many messages are outstanding.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use crate::clock::Nanos;

/// Shared by the pacer, who takes places, and the desk, who gives them back.
#[derive(Debug)]
pub(super) struct Window {
    free: Mutex<u32>,
    /// Messages that were due before have no place any more: they were given up.
    forgotten_until_ns: AtomicU64,
    freed: Condvar,
}

impl Window {
    pub(super) const fn new(places: u32) -> Self {
        Self { free: Mutex::new(places), forgotten_until_ns: AtomicU64::new(0), freed: Condvar::new() }
    }

    /// What was due before `now` is given up: its places are free again, whether it arrives or not.
    pub(super) fn forget_until(&self, now: Nanos) {
        self.forgotten_until_ns.store(now.0, Ordering::Relaxed);
    }

    /// A message that was due then has reached its whole room.
    pub(super) fn give_back(&self, due: Nanos) {
        if due.0 < self.forgotten_until_ns.load(Ordering::Relaxed) {
            return;
        }
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

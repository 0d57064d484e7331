//! Two well-behaved clients that talk all the time: whatever others do must cost them nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::client::Member;
use crate::server::eventually;

/// See the module.
pub(crate) struct Pair {
    ended: Arc<AtomicBool>,
    exchanged: Arc<AtomicU64>,
    talk: JoinHandle<()>,
}

impl Pair {
    /// Joins a room of their own and begins to talk.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let (ended, exchanged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut pair = [Member::join(server, "healthy"), Member::join(server, "healthy")];
        let talk = std::thread::spawn({
            let (ended, exchanged) = (Arc::clone(&ended), Arc::clone(&exchanged));
            move || {
                while !ended.load(Ordering::Relaxed) {
                    let number = exchanged.load(Ordering::Relaxed);
                    let text = format!("message {number}");
                    pair[usize::from(number % 2 == 1)].say(&text);
                    for member in &mut pair {
                        assert_eq!(member.hear(), text, "every message reaches both, in order, once");
                    }
                    exchanged.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let pair = Self { ended, exchanged, talk };
        pair.go_on();
        pair
    }

    /// Waits until another ten messages have reached both.
    pub(crate) fn go_on(&self) {
        let before = self.exchanged.load(Ordering::Relaxed);
        eventually("the healthy pair hears each other", || {
            self.talk.is_finished() || self.exchanged.load(Ordering::Relaxed) >= before + 10
        });
        assert!(!self.talk.is_finished(), "the healthy pair was cut off");
    }

    /// Ends the talk; the number of messages that reached both.
    pub(crate) fn stop(self) -> u64 {
        self.go_on();
        self.ended.store(true, Ordering::Relaxed);
        self.talk.join().expect("the healthy pair was not disturbed");
        self.exchanged.load(Ordering::Relaxed)
    }
}

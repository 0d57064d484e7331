//! What the integration tests share: the server as a process, and clients of their own that know nothing of the engine.
#![allow(dead_code, reason = "every test file uses its own part")]
#![allow(unused_imports, reason = "every test file uses its own part")]

mod fossil;
mod http;
mod metrics;
mod process;
mod server;
mod stream;
mod v1;
mod websocket;

use std::time::{Duration, Instant};

pub(crate) use fossil::apply as apply_delta;
pub(crate) use http::{Answer, Http};
pub(crate) use metrics::Metrics;
pub(crate) use process::Process;
pub(crate) use rustix::process::Signal;
pub(crate) use server::{Server, url_address};
pub(crate) use stream::{SentEvent, Stream};
pub(crate) use v1::{Position, V1};
pub(crate) use websocket::{Client, Event, Joining, Writer, deflated, frame};

/// Whatever takes longer hangs. Nothing is asserted about time below it.
pub(crate) const HANG: Duration = Duration::from_secs(30);

/// Between two looks at something that tells nobody when it changes.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Looks until there is something to be seen.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < HANG, "{what}: not within {HANG:?}");
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

/// Runs `work` on a thread of its own for each of `items`; returns the results in their order.
pub(crate) fn at_once<I: Send, T: Send>(items: Vec<I>, work: impl Fn(I) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.into_iter().map(|item| scope.spawn(move || work(item))).collect();
        threads.into_iter().map(|thread| thread.join().expect("the thread says itself why it failed")).collect()
    })
}

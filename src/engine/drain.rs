//! The orderly end: every connection is told to come back later, not all at once.

use std::time::Duration;

use tokio::sync::oneshot;

use super::clock::Nanos;
use super::command::{Drain, Drained};
use super::connection::{Flags, State};
use super::membership::Close;
use super::metrics::Counter;
use super::shard::Shard;
use super::socket::Socket;

/// Between two rounds of closes.
const ROUND: Duration = Duration::from_millis(10);

/// At most between two closes of a shard: a hundred that come back in a second need no more room, and a stop with few
/// connections is over at once, however long the drain may take.
const PACE: Duration = Duration::from_millis(10);

/// A drain under way.
#[derive(Debug)]
pub(crate) struct Draining {
    drain: Drain,
    drained: Option<oneshot::Sender<Drained>>,
    started: Nanos,
    /// Connections there were.
    total: usize,
    /// Connections that were told to go.
    told: usize,
    /// The next number to look at.
    next: u32,
    aborted_before: u64,
}

impl Draining {
    pub(crate) const fn new(drain: Drain, drained: oneshot::Sender<Drained>, now: Nanos, counts: (usize, u64)) -> Self {
        let (total, aborted_before) = counts;
        Self { drain, drained: Some(drained), started: now, total, told: 0, next: 0, aborted_before }
    }

    /// When the next connections are to be closed; `None`: all have been.
    pub(crate) fn next_close(&self, now: Nanos) -> Option<Nanos> {
        self.drained.as_ref().map(|_| now.after(ROUND))
    }

    /// How many connections should have been told to go by now: the first at once, the others evenly behind it.
    fn quota(&self, now: Nanos) -> usize {
        let past = now.since(self.started).as_nanos();
        let spread = self.drain.spread.as_nanos().min(PACE.as_nanos() * self.total as u128);
        if past >= spread {
            return usize::MAX;
        }
        usize::try_from(1 + self.total as u128 * past / spread).unwrap_or(usize::MAX)
    }

    /// Whether the time is over that those have who do not read what they get.
    fn is_over(&self, now: Nanos) -> bool {
        now.since(self.started) >= self.drain.spread
    }
}

impl<S: Socket> Shard<S> {
    /// Tells those to go whose time has come, in the order of their numbers.
    pub(crate) fn drain(&mut self) {
        let Some(draining) = &mut self.draining else { return };
        let quota = draining.quota(self.now);
        let last_call = draining.is_over(self.now);
        if last_call {
            // Whoever was told and is still here, because its socket took no more, is cut off.
            draining.next = 0;
        }
        while let Some(draining) = &mut self.draining
            && draining.told < quota
            && draining.next < self.connections.numbers_end()
        {
            let number = draining.next;
            draining.next += 1;
            let Some(connection) = self.connections.get_mut(number) else { continue };
            if connection.state == State::Closing {
                continue;
            }
            draining.told += 1;
            if connection.state == State::Open {
                connection.flags.set(Flags::LEAVING);
                // Whoever keeps up gets what it has not had yet, then its close; the socket of others tells when.
                if !connection.flags.has(Flags::BLOCKED) {
                    self.serve(number);
                } else if last_call {
                    self.abort(number, Counter::ClosedDrainCut);
                }
            } else {
                self.close_for_drain(number);
            }
        }
        self.report_drained();
    }

    fn report_drained(&mut self) {
        if self.connections.len() > 0 {
            return;
        }
        let Some(draining) = &mut self.draining else { return };
        let Some(drained) = draining.drained.take() else { return };
        let aborted = self.counts.aborted() - draining.aborted_before;
        let aborted = usize::try_from(aborted).unwrap_or(usize::MAX);
        // Whoever asked may have been told to end at once.
        drained.send(Drained { closed: draining.total.saturating_sub(aborted), aborted }).ok();
    }

    /// A connection has come. If it was on its way when a drain began, it is not to be passed over.
    pub(crate) fn came_late(&mut self, number: u32) {
        if let Some(draining) = &mut self.draining {
            draining.next = draining.next.min(number);
        }
    }

    /// Closes a connection with the drain's code.
    pub(crate) fn close_for_drain(&mut self, number: u32) {
        let code = self.draining.as_ref().map_or(1001, |draining| draining.drain.code);
        let (code, reason) = match self.connections.get(number) {
            Some(connection) if connection.flags.has(Flags::SESSION) => (3001, "shutdown".to_owned()),
            _ => (code, reason_of(code).to_owned()),
        };
        self.close(number, &Close { code, reason, counter: Counter::ClosedDrain });
    }
}

/// What a raw member is told beside the code (IANA's registry: 1012 is "service restart").
const fn reason_of(code: u16) -> &'static str {
    if code == 1012 { "the server is restarting" } else { "the server ends" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draining(spread: Duration, total: usize) -> Draining {
        Draining::new(Drain { spread, code: 1012 }, oneshot::channel().0, Nanos(0), (total, 0))
    }

    /// Connections that have been told to go after so many milliseconds each.
    fn told(draining: &Draining, after_ms: &[u64]) -> Vec<usize> {
        let at = |ms: &u64| draining.quota(Nanos(0).after(Duration::from_millis(*ms))).min(draining.total);
        after_ms.iter().map(at).collect()
    }

    #[test]
    fn few_go_at_once_however_long_the_drain_is() {
        let long = Duration::from_secs(600);
        assert_eq!(told(&draining(long, 1), &[0]), [1]);
        assert_eq!(told(&draining(long, 2), &[0, 9, 10]), [1, 1, 2]);
        assert_eq!(told(&draining(long, 5), &[0, 9, 10, 39, 40]), [1, 1, 2, 4, 5]);
        assert_eq!(told(&draining(Duration::ZERO, 5), &[0]), [5]);
    }

    #[test]
    fn many_go_evenly_and_the_last_before_the_end() {
        let draining = draining(Duration::from_secs(10), 100_000);
        assert_eq!(told(&draining, &[0, 1, 5_000, 9_999, 10_000]), [1, 11, 50_001, 99_991, 100_000]);
    }

    #[test]
    fn who_does_not_read_has_the_whole_drain() {
        let draining = draining(Duration::from_secs(10), 1);
        assert!(!draining.is_over(Nanos(0).after(Duration::from_millis(9_999))));
        assert!(draining.is_over(Nanos(0).after(Duration::from_secs(10))));
    }

    #[test]
    fn the_reason_says_what_the_code_says() {
        assert_eq!((reason_of(1012), reason_of(1001)), ("the server is restarting", "the server ends"));
    }
}

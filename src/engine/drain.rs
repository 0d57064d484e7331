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

    /// How many connections should have been told to go by now.
    fn quota(&self, now: Nanos) -> usize {
        let (spread, past) = (self.drain.spread.as_nanos(), now.since(self.started).as_nanos());
        if past >= spread {
            return usize::MAX;
        }
        usize::try_from(self.total as u128 * past / spread).unwrap_or(usize::MAX)
    }
}

impl<S: Socket> Shard<S> {
    /// Tells those to go whose time has come, in the order of their numbers.
    pub(crate) fn drain(&mut self) {
        let Some(draining) = &mut self.draining else { return };
        let quota = draining.quota(self.now);
        let last_call = quota == usize::MAX;
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

    /// Closes a connection with the drain's code.
    pub(crate) fn close_for_drain(&mut self, number: u32) {
        let code = self.draining.as_ref().map_or(1001, |draining| draining.drain.code);
        let (code, reason) = match self.connections.get(number) {
            Some(connection) if connection.flags.has(Flags::SESSION) => (3001, "shutdown".to_owned()),
            _ => (code, "the server is restarting".to_owned()),
        };
        self.close(number, &Close { code, reason, counter: Counter::ClosedDrain });
    }
}

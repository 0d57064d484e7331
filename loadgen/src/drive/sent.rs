//! What was sent: the pacer's side of the accounts. Apart from the desk, so that a busy reader does not delay it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Nanos;
use crate::outcome::Distribution;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct SentBook {
    /// Messages sent, by publisher.
    pub(super) sent: Vec<u64>,
    /// By phase: messages, and how late they were.
    pub(super) phases: Vec<(u64, Distribution)>,
    /// Since the last tick.
    pub(super) second: Distribution,
    /// Things that went wrong, by kind.
    pub(super) errors: BTreeMap<String, u64>,
}

impl SentBook {
    pub(super) fn new(publishers: u32, phases: usize) -> Self {
        Self { sent: vec![0; publishers as usize], phases: vec![<_>::default(); phases], ..Self::default() }
    }

    /// A message went out at `now`.
    pub(super) fn sent(&mut self, publisher: u32, phase: u32, due: Nanos, now: Nanos) {
        let late_ns = now.since_ns(due);
        self.sent[publisher as usize] += 1;
        let (count, lateness) = &mut self.phases[phase as usize];
        *count += 1;
        lateness.record(late_ns);
        self.second.record(late_ns);
    }

    /// Something went wrong.
    pub(super) fn error(&mut self, kind: impl Into<String>) {
        *self.errors.entry(kind.into()).or_default() += 1;
    }

    /// Lateness of what was sent since it was last asked.
    pub(super) fn take_second(&mut self) -> Distribution {
        std::mem::take(&mut self.second)
    }
}

/// The longest that a thread sleeps without looking whether it should end.
pub(super) const LOOK_AT_LEAST_EVERY: Duration = Duration::from_millis(20);

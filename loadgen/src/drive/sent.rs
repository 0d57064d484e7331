//! What was sent: the pacer's side of the accounts. Apart from the desk, so that a busy reader does not delay it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Sent;
use crate::clock::Nanos;
use crate::outcome::Distribution;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct SentBook {
    /// By publisher.
    pub(super) sent: Vec<Sent>,
    /// Phase of the last message, by publisher.
    last_phase: Vec<u32>,
    /// Publishers whose posts are not all answered.
    pub(super) posting: u32,
    /// By phase: messages, and how late they were.
    pub(super) phases: Vec<(u64, Distribution)>,
    /// By phase: refusals that do not say of which message. Of the phase of the message that was sent last.
    pub(super) unnamed: Vec<u64>,
    /// Since the last tick.
    pub(super) second: Distribution,
    /// Things that went wrong, by kind.
    pub(super) errors: BTreeMap<String, u64>,
}

impl SentBook {
    pub(super) fn new(publishers: u32, phases: usize) -> Self {
        Self {
            sent: vec![Sent::default(); publishers as usize],
            last_phase: vec![0; publishers as usize],
            phases: vec![<_>::default(); phases],
            unnamed: vec![0; phases],
            ..Self::default()
        }
    }

    /// A message went out at `now`.
    pub(super) fn sent(&mut self, publisher: u32, phase: u32, due: Nanos, now: Nanos) {
        let late_ns = now.since_ns(due);
        self.sent[publisher as usize].sequences += 1;
        self.last_phase[publisher as usize] = phase;
        let (count, lateness) = &mut self.phases[phase as usize];
        *count += 1;
        lateness.record(late_ns);
        self.second.record(late_ns);
    }

    /// A message went out, and nobody knows whether the server took it.
    pub(super) fn unanswered(&mut self, publisher: u32) {
        let sent = &mut self.sent[publisher as usize];
        sent.refused.add(sent.sequences..sent.sequences + 1);
        sent.sequences += 1;
    }

    /// The server did not take a message that went out: its `number`, if that is known.
    pub(super) fn refused(&mut self, publisher: u32, number: Option<u64>, words: &str) {
        self.error(format!("publisher: refused: {words}"));
        let sent = &mut self.sent[publisher as usize];
        // The answer may be here before the pacer has written down that it sent the message.
        match number {
            Some(number) => _ = sent.refused.add(number..number + 1),
            None => {
                sent.refused.add_unnamed();
                self.unnamed[self.last_phase[publisher as usize] as usize] += 1;
            }
        }
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

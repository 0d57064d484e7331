//! In which phase a message was due.

use crate::clock::Nanos;
use crate::scenario::Scenario;
use crate::schedule::{Schedule, Span};

/// The span that `offset_ns` is in, looked for from `near` on.
pub(super) fn find(spans: &[Span], near: usize, offset_ns: u64) -> Option<usize> {
    let holds = |span: &Span| span.start_ns <= offset_ns && offset_ns < span.end_ns;
    if spans.get(near).is_some_and(holds) {
        return Some(near);
    }
    spans.iter().position(holds)
}

/// In which phase each message was due; worked out only if somebody asks.
pub(super) struct Dues<'a> {
    scenario: &'a Scenario,
    spans: &'a [Span],
    first_due: Nanos,
    /// When each was due, where no schedule tells.
    closed_loop: &'a [Vec<Nanos>],
    by_publisher: Option<Vec<Vec<u32>>>,
}

impl<'a> Dues<'a> {
    pub(super) const fn new(
        scenario: &'a Scenario,
        spans: &'a [Span],
        first_due: Nanos,
        closed_loop: &'a [Vec<Nanos>],
    ) -> Self {
        Self { scenario, spans, first_due, closed_loop, by_publisher: None }
    }

    pub(super) fn span_of(&mut self, publisher: usize, sequence: u64) -> Option<usize> {
        if self.by_publisher.is_none() {
            self.by_publisher = Some(self.work_out());
        }
        let phases = self.by_publisher.as_ref()?.get(publisher)?;
        let phase = *phases.get(usize::try_from(sequence).ok()?)?;
        (phase != u32::MAX).then_some(phase as usize)
    }

    fn work_out(&self) -> Vec<Vec<u32>> {
        let mut by_publisher = vec![Vec::new(); self.scenario.publishers.count as usize];
        if self.scenario.publishers.window.is_none() {
            for due in Schedule::new(&self.scenario.publishers, self.spans, self.scenario.seed) {
                by_publisher[due.publisher as usize].push(due.phase);
            }
        }
        for (phases, dues) in by_publisher.iter_mut().zip(self.closed_loop) {
            let span_of = |due: &Nanos| find(self.spans, 0, due.since_ns(self.first_due));
            phases
                .extend(dues.iter().map(|due| span_of(due).map_or(u32::MAX, |span| u32::try_from(span).unwrap_or(0))));
        }
        by_publisher
    }
}

//! What a worker's process uses of its machine, in the measured phases and by the second.

use std::time::Duration;

use crate::clock::Nanos;
use crate::machine::Kernel;
use crate::machine::process::{Follow, Sample, Sampler, Used};
use crate::scenario::PhaseKind;
use crate::schedule::Span;

/// An end of a measured phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// It begins.
    Begin,
    /// It ends.
    End,
}

/// When measured phases begin and end, in order.
pub(crate) fn measured_edges(spans: &[Span], first_due: Nanos) -> Vec<(Nanos, Edge)> {
    let at = |ns| first_due.after(Duration::from_nanos(ns));
    let measured = spans.iter().filter(|span| span.kind == PhaseKind::Measured);
    measured.flat_map(|span| [(at(span.start_ns), Edge::Begin), (at(span.end_ns), Edge::End)]).collect()
}

/// Where the threads of a worker run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Threads {
    /// On one core, all of them: what counts is what they use together.
    ShareACore,
    /// Wherever the kernel places them.
    HaveTheMachine,
}

impl Threads {
    /// As part of a core: the busiest one, or all of them on theirs.
    fn busiest(self, used: &Used) -> f64 {
        match self {
            Self::ShareACore if used.seconds > 0.0 => used.busiest_thread.max(used.cpu_seconds / used.seconds),
            _ => used.busiest_thread,
        }
    }
}

/// The process's own CPU.
pub(super) struct Usage {
    threads: Threads,
    sampler: Option<Sampler>,
    last: Option<Sample>,
    /// At the beginning of the measured phase that is running.
    measured_since: Option<Sample>,
    pub(super) cpu_seconds: f64,
    busiest: (f64, f64),
}

impl Usage {
    pub(super) fn new(threads: Threads) -> Self {
        // A kernel that tells nothing: the figures stay 0.
        // Not its children: `compare` runs the server as one.
        let mut sampler = Sampler::new(Kernel::default(), &[std::process::id()], Follow::ProcessOnly).ok();
        let last = sampler.as_mut().and_then(|sampler| sampler.sample().ok());
        Self { threads, sampler, last, measured_since: None, cpu_seconds: 0.0, busiest: (0.0, 0.0) }
    }

    fn sample(&mut self) -> Option<Sample> {
        self.sampler.as_mut()?.sample().ok()
    }

    pub(super) fn edge(&mut self, edge: Edge) {
        let Some(now) = self.sample() else { return };
        if let Some(since) = self.measured_since.take() {
            let used = now.since(&since);
            self.cpu_seconds += used.cpu_seconds;
            self.busiest.0 += self.threads.busiest(&used) * used.seconds;
            self.busiest.1 += used.seconds;
        }
        self.measured_since = (edge == Edge::Begin).then_some(now);
    }

    /// CPU seconds, and the busiest thread's part of a core, since it was last asked.
    pub(super) fn second(&mut self) -> (f64, f64) {
        let Some(now) = self.sample() else { return (0.0, 0.0) };
        let used = self.last.as_ref().map(|last| now.since(last)).unwrap_or_default();
        self.last = Some(now);
        (used.cpu_seconds, self.threads.busiest(&used))
    }

    pub(super) fn busiest(&self) -> f64 {
        if self.busiest.1 > 0.0 { self.busiest.0 / self.busiest.1 } else { 0.0 }
    }
}

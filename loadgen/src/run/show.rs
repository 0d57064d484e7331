//! A snapshot a second for the live view.

use std::sync::mpsc::SyncSender;
use std::time::Duration;

use super::timeline::Course;
use super::watch::real;
use crate::drive::Tick;
use crate::live::{History, Snapshot, Times};
use crate::output::quantile;
use crate::scenario::Scenario;
use crate::schedule::Span;

/// Makes snapshots.
pub(super) struct Show {
    live: Option<SyncSender<Snapshot>>,
    spans: Vec<Span>,
    scenario: String,
    target: String,
    wanted: u64,
    closed_loop: bool,
    history: History,
    errors: u64,
}

impl Show {
    pub(super) fn new(scenario: &Scenario, spans: &[Span], live: Option<SyncSender<Snapshot>>) -> Self {
        Self {
            live,
            spans: spans.to_vec(),
            scenario: scenario.name.clone(),
            target: scenario.target.url.clone(),
            wanted: u64::from(scenario.subscribers.count),
            closed_loop: scenario.publishers.window.is_some(),
            history: History::default(),
            errors: 0,
        }
    }

    /// A second is over (as far as the first worker is concerned: the others' follow within it).
    pub(super) fn second(&mut self, course: &Course, second: u64) {
        let Some(live) = &self.live else { return };
        let empty = Tick::default();
        let tick = course.ticks.get(&second).unwrap_or(&empty);
        self.errors += tick.errors;
        self.history.push(tick.latency.percentile_ns(99.0), tick.deliveries);
        let elapsed = Duration::from_secs(second + 1);
        let end_ns = self.spans.last().map_or(0, |span| span.end_ns);
        let offset_ns = course.first_due.map(|first| course.began.after(elapsed).since_ns(first));
        let span = offset_ns.and_then(|offset| self.spans.iter().find(|span| offset < span.end_ns));
        let part = |done: u64, of: u64| if of == 0 { 0.0 } else { (real(done) / real(of)).min(1.0) };
        let snapshot = Snapshot {
            scenario: self.scenario.clone(),
            target: self.target.clone(),
            elapsed,
            left: offset_ns.map(|offset| Duration::from_nanos(end_ns.saturating_sub(offset))),
            phase: course.phase_at(&self.spans, second).to_owned(),
            phase_progress: match (offset_ns, span) {
                (Some(offset), Some(span)) => part(offset.saturating_sub(span.start_ns), span.end_ns - span.start_ns),
                (Some(_), None) => 1.0,
                (None, _) => part(tick.connected, self.wanted),
            },
            progress: offset_ns.map_or(0.0, |offset| part(offset, end_ns)),
            target_rate: span.filter(|_| !self.closed_loop).map(|span| span.rate_per_second),
            published_per_s: real(tick.published),
            deliveries_per_s: real(tick.deliveries),
            bytes_per_s: real(tick.bytes),
            latency: Times::from(&tick.latency),
            lateness_p99_ns: quantile::SHOWN[2].of(&tick.lateness),
            history: self.history.clone(),
            connected: tick.connected,
            wanted: self.wanted,
            errors: self.errors,
            lost: tick.gaps,
            generator_cpu: tick.busiest_thread,
            server_cpu: course.server_cpu.get(&second).copied(),
            messages: course.problems.iter().chain(&course.warnings).cloned().collect(),
        };
        // The view has not taken the last one yet: this one is not worth waiting for.
        live.try_send(snapshot).ok();
    }
}

//! The workers' parts, added up to the figures of a run. Histograms are added, never percentiles.

use std::collections::BTreeMap;

use super::timeline::Course;
use super::watch::real;
use crate::drive::{Part, PhasePart};
use crate::fan_out::Join;
use crate::outcome::{Audit, Connections, Figures, PhaseOutcome};
use crate::scenario::{PhaseKind, Scenario};
use crate::schedule::Span;
use crate::seats::Seats;

/// What the workers used.
pub(super) struct GeneratorPart {
    pub(super) cpu_seconds: f64,
    pub(super) busiest_thread: f64,
    pub(super) cpu_ns_per_delivery: f64,
}

/// What the verdict on the run needs besides.
pub(super) struct Facts {
    pub(super) members_lost: u64,
    pub(super) publish_errors: BTreeMap<String, u64>,
    pub(super) incomplete: u64,
}

/// See [`merge`].
pub(super) struct Merged {
    pub(super) total: Figures,
    pub(super) phases: Vec<PhaseOutcome>,
    pub(super) audit: Audit,
    pub(super) connections: Connections,
    pub(super) generator: GeneratorPart,
    pub(super) facts: Facts,
    /// Deliveries, audited or not, that the server made during the measured phases.
    pub(super) served: u64,
}

/// Adds up what the workers measured.
pub(super) fn merge(scenario: &Scenario, (seats, spans): (&Seats, &[Span]), course: &Course) -> Merged {
    let whole = add_up((seats, spans), course);
    let timeout_ns = u64::try_from(scenario.limits.arrival_timeout.as_nanos()).unwrap_or(u64::MAX);
    let ended_ns = match (course.first_due, course.published_until) {
        (Some(first), Some(until)) => until.since_ns(first),
        _ => 0,
    };
    let seconds_of = |span: &Span| {
        let end_ns = span.end_ns.min(ended_ns).max(span.start_ns);
        real(end_ns - span.start_ns) / 1e9
    };
    let closed_loop = scenario.publishers.window.is_some();
    let phase = |(span, part): (&Span, &PhasePart)| PhaseOutcome {
        name: span.name.clone(),
        kind: span.kind,
        rate_per_second: (!closed_loop).then_some(span.rate_per_second),
        start_s: real(span.start_ns) / 1e9,
        figures: figures(part, seconds_of(span), timeout_ns),
    };
    let phases: Vec<PhaseOutcome> = spans.iter().zip(&whole.phases).map(phase).collect();
    let (mut measured, mut seconds) = (PhasePart::default(), 0.0);
    for (span, part) in spans.iter().zip(&whole.phases).filter(|(span, _)| span.kind == PhaseKind::Measured) {
        measured.add(part);
        seconds += seconds_of(span);
    }
    let mut total = figures(&measured, seconds, timeout_ns);
    total.connect = whole.connect.clone();
    total.handshake = whole.handshake.clone();
    total.resume = whole.resume.clone();
    let served = measured.arrived + measured.unaudited;
    let per_delivery_ns = |cpu_seconds: f64| if served == 0 { 0.0 } else { cpu_seconds * 1e9 / real(served) };
    let lost = whole.account.lost_in_gaps + whole.account.lost_at_tail;
    Merged {
        total,
        phases,
        audit: Audit {
            expected: whole.account.expected,
            received: whole.account.received,
            lost_in_gaps: whole.account.lost_in_gaps,
            lost_at_tail: whole.account.lost_at_tail,
            // What the server dropped includes what slow readers did not get, which nobody here misses.
            announced_drops: course.announced_drops.unwrap_or(0).min(lost),
            duplicated: whole.account.duplicated,
            out_of_order: whole.account.out_of_order,
            corrupt: whole.corrupt,
            misrouted: whole.misrouted,
            foreign: whole.foreign,
            missed_while_away: whole.account.missed_while_away,
        },
        connections: Connections { connected_max: whole.connected_max, ..whole.connections.clone() },
        generator: GeneratorPart {
            cpu_seconds: whole.cpu_seconds,
            busiest_thread: whole.busiest_thread,
            cpu_ns_per_delivery: per_delivery_ns(whole.cpu_seconds),
        },
        facts: Facts {
            members_lost: whole.members_lost,
            publish_errors: whole.publish_errors,
            incomplete: whole.unfinished.incomplete,
        },
        served,
    }
}

/// All parts together, what only joined parts tell included.
fn add_up((seats, spans): (&Seats, &[Span]), course: &Course) -> Part {
    let mut whole = Part { phases: vec![PhasePart::default(); spans.len()], ..Part::default() };
    let mut join = Join::default();
    for part in course.parts.values() {
        add(&mut whole, part);
        for partial in &part.partials {
            let room = seats.room_of_publisher(partial.publisher);
            let Some(complete) = join.add(partial, seats.normal_members(room)) else { continue };
            let Some(first_due) = course.first_due else { continue };
            let offset_ns = complete.due.since_ns(first_due);
            let span = spans.iter().position(|span| span.start_ns <= offset_ns && offset_ns < span.end_ns);
            if let Some(span) = span {
                whole.phases[span].spread.record(complete.spread_ns);
                whole.phases[span].completion.record(complete.completion_ns);
            }
        }
    }
    whole.unfinished.incomplete += join.finish().incomplete;
    whole
}

fn add(whole: &mut Part, part: &Part) {
    for (sum, phase) in whole.phases.iter_mut().zip(&part.phases) {
        sum.add(phase);
    }
    whole.account.add(&part.account);
    whole.corrupt += part.corrupt;
    whole.misrouted += part.misrouted;
    whole.foreign += part.foreign;
    whole.members_lost += part.members_lost;
    whole.connect.add(&part.connect);
    whole.handshake.add(&part.handshake);
    whole.resume.add(&part.resume);
    whole.unfinished.incomplete +=
        part.unfinished.incomplete + part.unfinished.late_deliveries + part.unfinished.partials_dropped;
    for (kind, count) in &part.publish_errors {
        *whole.publish_errors.entry(kind.clone()).or_default() += count;
    }
    whole.cpu_seconds += part.cpu_seconds;
    whole.busiest_thread = whole.busiest_thread.max(part.busiest_thread);
    // Of all workers together; they need not have had the most at the same time.
    whole.connected_max += part.connected_max;
    let (sum, part) = (&mut whole.connections, &part.connections);
    sum.wanted += part.wanted;
    sum.established += part.established;
    sum.resumed += part.resumed;
    for (kinds, other) in [(&mut sum.failed, &part.failed), (&mut sum.lost, &part.lost)] {
        for (kind, count) in other {
            *kinds.entry(kind.clone()).or_default() += count;
        }
    }
}

fn figures(part: &PhasePart, seconds: f64, timeout_ns: u64) -> Figures {
    let mut latency_with_losses = part.latency.clone();
    latency_with_losses.record_many(timeout_ns, part.lost);
    let per_second = |count: u64| if seconds > 0.0 { real(count) / seconds } else { 0.0 };
    Figures {
        seconds,
        published: part.published,
        deliveries: part.deliveries,
        deliveries_per_second: per_second(part.arrived),
        bytes_per_second: per_second(part.arrived_bytes),
        lost: part.lost,
        latency: part.latency.clone(),
        latency_with_losses,
        lateness: part.lateness.clone(),
        spread: part.spread.clone(),
        completion: part.completion.clone(),
        ..Figures::default()
    }
}

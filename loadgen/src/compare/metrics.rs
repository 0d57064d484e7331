//! What the gate does with each metric of [`crate::thresholds::metrics`]: which way is better, whether it decides, by
//! how much it may worsen. Their names and readers are there alone, so that thresholds and gate mean the same.

use serde::Serialize;

use crate::outcome::Run;
use crate::thresholds::metrics::names;
use crate::thresholds::{self, Unit, UnknownMetric};

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Less of it: times, memory, loss.
    Lower,
    /// More of it: throughput.
    Higher,
}

/// What the gate does with a metric unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Judged.
    Gating,
    /// Shown, not judged.
    Advisory,
    /// Only for thresholds.
    Silent,
}

/// One metric as the gate sees it.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Which way is better.
    pub direction: Direction,
    /// What the gate does with it.
    pub role: Role,
    /// The gate's δ: it may worsen by this part (0.1: 10 %). 0, of a count: there must be none.
    pub bound: f64,
    /// The gate's absolute slack: a worsening up to this is none, whatever the ratio. In the metric's unit.
    pub slack: f64,
    figure: thresholds::Metric,
}

/// What decides or is shown unless told otherwise, in the order of the gate's table: role, bound, slack.
const SHOWN: [(&str, Role, f64, f64); 12] = [
    ("server.cpu_per_delivery", Role::Gating, 0.05, 20.0),
    (MEMORY_PER_CONNECTION, Role::Gating, 0.02, 64.0),
    // Lossless servers only: where both sides drop by design, the gate says so and does not judge.
    ("lost", Role::Gating, 0.0, 0.0),
    ("server.tcp_per_connection", Role::Advisory, OTHER_BOUND, 0.0),
    ("deliveries_per_second", Role::Advisory, OTHER_BOUND, 0.0),
    ("latency.p50", Role::Gating, 0.1, TIME_SLACK_NS),
    ("latency.p90", Role::Advisory, 0.1, TIME_SLACK_NS),
    ("latency.p99", Role::Gating, 0.2, TIME_SLACK_NS),
    ("latency.p999", Role::Advisory, TAIL_BOUND, TIME_SLACK_NS),
    ("latency.max", Role::Advisory, TAIL_BOUND, TIME_SLACK_NS),
    ("spread.p99", Role::Advisory, 0.2, TIME_SLACK_NS),
    ("completion.p99", Role::Advisory, 0.2, TIME_SLACK_NS),
];
/// What the audit counts, and failures: there should be none.
const FAULTS: [&str; 9] = [
    "lost",
    "lost_unannounced",
    "duplicated",
    "corrupt",
    "out_of_order",
    "misrouted",
    "foreign",
    "connections.failed",
    "connections.lost",
];
/// Of all others less is better.
const HIGHER_IS_BETTER: [&str; 9] = [
    "delivered_ratio",
    "delivered",
    "published",
    "deliveries_per_second",
    "bytes_per_second",
    "published_per_second",
    "connections.connected_ratio",
    "connections.max",
    "connections.resumed",
];
/// The bound of what is in none of these lists.
const OTHER_BOUND: f64 = 0.1;
/// The tail of a distribution repeats less well than its body.
const TAIL_BOUND: f64 = 0.3;
/// Differences of times below this are no regression: a scheduler's tick of noise.
const TIME_SLACK_NS: f64 = 50_000.0;

/// The metric whose slack depends on how many connections there are.
const MEMORY_PER_CONNECTION: &str = "server.memory_per_connection";
/// A process grows in steps (blocks of the allocator, pages of its program that it touches for the first time), which
/// differ from start to start by so much; per connection that is the more, the fewer there are.
const PROCESS_STEPS_BYTES: f64 = 262_144.0;

impl Metric {
    /// The same for runs with so many connections.
    #[must_use]
    pub fn with_connections(self, connections: u32) -> Self {
        if self.name() != MEMORY_PER_CONNECTION {
            return self;
        }
        let steps = PROCESS_STEPS_BYTES / f64::from(connections.max(1));
        Self { slack: self.slack.max(steps), ..self }
    }

    fn of(figure: thresholds::Metric) -> Self {
        let name = figure.name.as_str();
        let direction = if HIGHER_IS_BETTER.contains(&name) { Direction::Higher } else { Direction::Lower };
        let shown = SHOWN.iter().find(|(shown, ..)| *shown == name);
        let (role, bound, slack) = match shown {
            Some(&(_, role, bound, slack)) => (role, bound, slack),
            None if FAULTS.contains(&name) => (Role::Silent, 0.0, 0.0),
            None => {
                let is_distribution = figure.is_of_distribution();
                let bound = match name.rsplit('.').next() {
                    Some("p99") if is_distribution => 0.2,
                    Some("p999" | "p9999" | "p99999") => TAIL_BOUND,
                    Some("max") if is_distribution => TAIL_BOUND,
                    _ => OTHER_BOUND,
                };
                (Role::Silent, bound, if is_distribution { TIME_SLACK_NS } else { 0.0 })
            }
        };
        Self { direction, role, bound, slack, figure }
    }

    /// Its name, as thresholds and `--bound` say it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.figure.name
    }

    /// What it is counted in.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.figure.unit
    }

    /// Its value in a run; none if the run did not measure it (no server process to look at, nobody resumed …).
    #[must_use]
    pub fn value(&self, run: &Run) -> Option<f64> {
        self.figure.read(run)
    }

    /// With another bound.
    #[must_use]
    pub fn bounded_by(&self, bound: f64) -> Self {
        Self { bound, ..self.clone() }
    }

    /// Whether only 0 is good: the gate then judges it without statistics.
    #[must_use]
    pub fn must_be_zero(&self) -> bool {
        self.unit() == Unit::Count && self.bound == 0.0
    }
}

/// The metric of that name.
///
/// # Errors
/// If there is none.
pub fn find(name: &str) -> Result<Metric, UnknownMetric> {
    thresholds::metrics::find(name).map(Metric::of)
}

/// All metrics: first those that decide or are shown, in the order of the gate's table.
///
/// # Panics
/// Never: a test holds the gate's table against the table of metrics.
#[must_use]
pub fn all() -> Vec<Metric> {
    let shown = SHOWN.iter().map(|(name, ..)| (*name).to_owned());
    let silent = names().into_iter().filter(|name| SHOWN.iter().all(|(shown, ..)| shown != name));
    shown.chain(silent).map(|name| find(&name).expect("it is in the table")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_of_known_metrics() {
        let shown = SHOWN.iter().map(|(name, ..)| *name);
        for name in shown.chain(FAULTS).chain(HIGHER_IS_BETTER) {
            assert_eq!(find(name).unwrap().name(), name);
        }
        let mut all: Vec<String> = all().iter().map(|metric| metric.name().to_owned()).collect();
        let mut known = names();
        all.sort();
        known.sort();
        assert_eq!(all, known);
    }

    #[test]
    fn the_gate_is_few_metrics() {
        let gating: Vec<_> = all().into_iter().filter(|metric| metric.role == Role::Gating).collect();
        let table: Vec<_> = gating.iter().map(|metric| (metric.name(), metric.bound, metric.slack)).collect();
        let expected = [
            ("server.cpu_per_delivery", 0.05, 20.0),
            ("server.memory_per_connection", 0.02, 64.0),
            ("lost", 0.0, 0.0),
            ("latency.p50", 0.1, 50_000.0),
            ("latency.p99", 0.2, 50_000.0),
        ];
        assert_eq!(table, expected);
    }

    #[test]
    fn memory_has_the_slack_of_a_process() {
        for (name, connections, slack) in [
            (MEMORY_PER_CONNECTION, 1_024, 256.0),
            (MEMORY_PER_CONNECTION, 20_000, 64.0),
            (MEMORY_PER_CONNECTION, 0, 262_144.0),
            ("server.cpu_per_delivery", 1, 20.0),
        ] {
            assert_eq!(find(name).unwrap().with_connections(connections).slack, slack, "{name} {connections}");
        }
    }

    #[test]
    fn the_rest_has_bounds_by_its_kind() {
        for (name, direction, bound, slack) in [
            ("latency.p99.9", Direction::Lower, 0.3, 50_000.0),
            ("resume.p50", Direction::Lower, 0.1, 50_000.0),
            ("connect.max", Direction::Lower, 0.3, 50_000.0),
            ("connections.max", Direction::Higher, 0.1, 0.0),
            ("generator.steal", Direction::Lower, 0.1, 0.0),
            ("misrouted", Direction::Lower, 0.0, 0.0),
        ] {
            let metric = find(name).unwrap();
            assert_eq!((metric.direction, metric.bound, metric.slack), (direction, bound, slack), "{name}");
        }
    }
}

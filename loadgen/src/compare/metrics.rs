//! Every figure of a run by name: `latency.p99`, `server.cpu_per_delivery`. The gate and the scenario's thresholds read
//! the same table, and a name that is not in it is an error, never a bound that silently holds.

use serde::Serialize;

use crate::outcome::{Audit, Distribution, Figures, Run, ServerUse};

/// What a metric is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A time, nanoseconds.
    Nanoseconds,
    /// Memory or payload, bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// Things per second.
    PerSecond,
    /// Things.
    Count,
    /// A part of a whole: 0.5 is half.
    Part,
    /// Seconds of CPU per second.
    Cores,
}

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

/// One metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name, as thresholds and `--bound` say it.
    pub name: String,
    /// What it is counted in.
    pub unit: Unit,
    /// Which way is better.
    pub direction: Direction,
    /// What the gate does with it.
    pub role: Role,
    /// The gate's δ: it may worsen by this part (0.1: 10 %). 0, of a count: there must be none.
    pub bound: f64,
    /// The gate's absolute slack: a worsening up to this is none, whatever the ratio. In the metric's unit.
    pub slack: f64,
    source: Source,
}

impl Metric {
    /// Its value in a run; none if the run did not measure it (no server process to look at, nobody resumed …).
    #[must_use]
    pub fn value(&self, run: &Run) -> Option<f64> {
        match self.source {
            Source::Time(family, statistic) => statistic.of((family.get)(&run.total)),
            Source::Figure(get) => get(run),
        }
    }

    /// With another bound.
    #[must_use]
    pub fn bounded_by(&self, bound: f64) -> Self {
        Self { bound, ..self.clone() }
    }

    /// Whether only 0 is good: the gate then judges it without statistics.
    #[must_use]
    pub fn must_be_zero(&self) -> bool {
        self.unit == Unit::Count && self.bound == 0.0
    }
}

/// A name that is no metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown metric \"{name}\"; known are {}", known.join(", "))]
pub struct UnknownMetric {
    /// What was asked for.
    pub name: String,
    /// What could have been.
    pub known: Vec<String>,
}

/// The value of a metric, in its unit; none if the run did not measure it.
///
/// # Errors
/// If there is no such metric.
pub fn value(name: &str, run: &Run) -> Result<Option<f64>, UnknownMetric> {
    find(name).map(|metric| metric.value(run))
}

/// The metric of that name.
///
/// # Errors
/// If there is none.
pub fn find(name: &str) -> Result<Metric, UnknownMetric> {
    let unknown = || UnknownMetric { name: name.to_owned(), known: summary() };
    all().into_iter().find(|metric| metric.name == name).ok_or_else(unknown)
}

/// All metrics: the fixed ones, then each family of times with each statistic.
#[must_use]
pub fn all() -> Vec<Metric> {
    let fixed = FIXED.iter().map(Fixed::metric);
    let times = FAMILIES.iter().flat_map(|family| STATISTICS.iter().map(|statistic| time_metric(family, *statistic)));
    fixed.chain(times).collect()
}

/// The names in short, for messages: families of times are told as `latency.{min,mean,…}`.
#[must_use]
pub fn summary() -> Vec<String> {
    let statistics: Vec<&str> = STATISTICS.iter().map(|statistic| statistic.name()).collect();
    let statistics = statistics.join("|");
    let families = FAMILIES.iter().map(|family| format!("{}.({statistics})", family.name));
    FIXED.iter().map(|fixed| fixed.name.to_owned()).chain(families).collect()
}

type Get = fn(&Run) -> Option<f64>;

#[derive(Clone, Copy, Debug)]
enum Source {
    Time(&'static Family, Statistic),
    Figure(Get),
}

impl PartialEq for Source {
    /// Names are unique, so the rest of a metric tells them apart.
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

/// A distribution of times that each run has.
#[derive(Debug)]
struct Family {
    name: &'static str,
    get: fn(&Figures) -> &Distribution,
}

static FAMILIES: [Family; 8] = [
    Family { name: "latency", get: |figures| &figures.latency },
    Family { name: "latency_with_losses", get: |figures| &figures.latency_with_losses },
    Family { name: "lateness", get: |figures| &figures.lateness },
    Family { name: "spread", get: |figures| &figures.spread },
    Family { name: "completion", get: |figures| &figures.completion },
    Family { name: "connect", get: |figures| &figures.connect },
    Family { name: "handshake", get: |figures| &figures.handshake },
    Family { name: "resume", get: |figures| &figures.resume },
];

#[derive(Clone, Copy, Debug)]
enum Statistic {
    Min,
    Mean,
    Percentile(&'static str, f64),
    Max,
}

const STATISTICS: [Statistic; 9] = [
    Statistic::Min,
    Statistic::Mean,
    Statistic::Percentile("p50", 50.0),
    Statistic::Percentile("p90", 90.0),
    Statistic::Percentile("p99", 99.0),
    Statistic::Percentile("p999", 99.9),
    Statistic::Percentile("p9999", 99.99),
    Statistic::Percentile("p99999", 99.999),
    Statistic::Max,
];

impl Statistic {
    const fn name(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Mean => "mean",
            Self::Percentile(name, _) => name,
            Self::Max => "max",
        }
    }

    /// What the body of a distribution may worsen by, and its tail, which repeats less well.
    const fn bound(self) -> f64 {
        match self {
            Self::Percentile(_, percent) if percent <= 90.0 => 0.1,
            Self::Min | Self::Mean => 0.1,
            Self::Percentile(_, percent) if percent <= 99.0 => 0.2,
            Self::Percentile(..) | Self::Max => 0.3,
        }
    }

    fn of(self, times: &Distribution) -> Option<f64> {
        let value = match self {
            Self::Min => float(times.min_ns()),
            Self::Mean => times.mean_ns(),
            Self::Percentile(_, percent) => float(times.percentile_ns(percent)),
            Self::Max => float(times.max_ns()),
        };
        (times.count() > 0).then_some(value)
    }
}

/// Differences of times below this are no regression: a scheduler's tick of noise.
const TIME_SLACK_NS: f64 = 50_000.0;

fn time_metric(family: &'static Family, statistic: Statistic) -> Metric {
    let role = match (family.name, statistic.name()) {
        ("latency", "p50" | "p99") => Role::Gating,
        ("latency", "p90" | "p999" | "max") | ("spread" | "completion", "p99") => Role::Advisory,
        _ => Role::Silent,
    };
    Metric {
        name: format!("{}.{}", family.name, statistic.name()),
        unit: Unit::Nanoseconds,
        direction: Direction::Lower,
        role,
        bound: statistic.bound(),
        slack: TIME_SLACK_NS,
        source: Source::Time(family, statistic),
    }
}

/// A metric that is a number of its own.
struct Fixed {
    name: &'static str,
    unit: Unit,
    direction: Direction,
    role: Role,
    bound: f64,
    slack: f64,
    get: Get,
}

impl Fixed {
    fn metric(&self) -> Metric {
        Metric {
            name: self.name.to_owned(),
            unit: self.unit,
            direction: self.direction,
            role: self.role,
            bound: self.bound,
            slack: self.slack,
            source: Source::Figure(self.get),
        }
    }

    /// What the audit counts: there should be none.
    const fn fault(name: &'static str, get: Get) -> Self {
        Self { name, unit: Unit::Count, direction: Direction::Lower, role: Role::Silent, bound: 0.0, slack: 0.0, get }
    }

    const fn silent(name: &'static str, unit: Unit, direction: Direction, get: Get) -> Self {
        Self { name, unit, direction, role: Role::Silent, bound: 0.1, slack: 0.0, get }
    }

    const fn gated(self, bound: f64, slack: f64) -> Self {
        Self { role: Role::Gating, bound, slack, ..self }
    }

    const fn advisory(self) -> Self {
        Self { role: Role::Advisory, ..self }
    }
}

static FIXED: [Fixed; 26] = [
    Fixed::silent("server.cpu_per_delivery", Unit::Nanoseconds, Direction::Lower, |run| {
        of_server(run, |server| server.cpu_ns_per_delivery)
    })
    .gated(0.05, 20.0),
    Fixed::silent("server.memory_per_connection", Unit::Bytes, Direction::Lower, |run| {
        of_server(run, |server| server.memory_per_connection_bytes)
    })
    .gated(0.02, 64.0),
    // Lossless servers only: where both sides drop by design, the gate says so and does not judge.
    Fixed::fault("lost", |run| Some(float(lost(&run.audit)))).gated(0.0, 0.0),
    Fixed::silent("server.tcp_per_connection", Unit::Bytes, Direction::Lower, |run| {
        of_server(run, |server| server.tcp_per_connection_bytes)
    })
    .advisory(),
    Fixed::silent("deliveries_per_second", Unit::PerSecond, Direction::Higher, |run| {
        Some(run.total.deliveries_per_second)
    })
    .advisory(),
    Fixed::silent("server.cpu", Unit::Cores, Direction::Lower, |run| {
        of_server(run, |server| server.cpu_seconds)
            .filter(|_| run.total.seconds > 0.0)
            .map(|cpu| cpu / run.total.seconds)
    }),
    Fixed::silent("server.memory_idle", Unit::Bytes, Direction::Lower, |run| {
        of_server(run, |server| float(server.memory_idle_bytes))
    }),
    Fixed::silent("server.memory_end", Unit::Bytes, Direction::Lower, |run| {
        of_server(run, |server| float(server.memory_end_bytes))
    }),
    Fixed::silent("bytes_per_second", Unit::BytesPerSecond, Direction::Higher, |run| Some(run.total.bytes_per_second)),
    Fixed::silent("published", Unit::Count, Direction::Higher, |run| Some(float(run.total.published))),
    Fixed::silent("delivered", Unit::Count, Direction::Higher, |run| Some(float(run.total.deliveries))),
    Fixed::silent("delivered_ratio", Unit::Part, Direction::Higher, |run| {
        (run.audit.expected > 0).then(|| float(run.audit.received) / float(run.audit.expected))
    }),
    Fixed::fault("lost_unannounced", |run| Some(float(lost(&run.audit).saturating_sub(run.audit.announced_drops)))),
    Fixed::fault("duplicated", |run| Some(float(run.audit.duplicated))),
    Fixed::fault("out_of_order", |run| Some(float(run.audit.out_of_order))),
    Fixed::fault("corrupt", |run| Some(float(run.audit.corrupt))),
    Fixed::fault("misrouted", |run| Some(float(run.audit.misrouted))),
    Fixed::fault("foreign", |run| Some(float(run.audit.foreign))),
    Fixed::silent("missed_while_away", Unit::Count, Direction::Lower, |run| Some(float(run.audit.missed_while_away))),
    Fixed::silent("connections.max", Unit::Count, Direction::Higher, |run| Some(float(run.connections.connected_max))),
    Fixed::fault("connections.failed", |run| Some(float(run.connections.failed.values().sum()))),
    Fixed::fault("connections.lost", |run| Some(float(run.connections.lost.values().sum()))),
    Fixed::silent("connections.resumed", Unit::Count, Direction::Higher, |run| Some(float(run.connections.resumed))),
    Fixed::silent("generator.cpu_per_delivery", Unit::Nanoseconds, Direction::Lower, |run| {
        Some(run.generator.cpu_ns_per_delivery)
    }),
    Fixed::silent("generator.busiest_thread", Unit::Part, Direction::Lower, |run| Some(run.generator.busiest_thread)),
    Fixed::silent("generator.steal", Unit::Part, Direction::Lower, |run| Some(run.generator.steal)),
];

/// Deliveries of all phases that never came, announced or not.
#[must_use]
pub const fn lost(audit: &Audit) -> u64 {
    audit.lost_in_gaps + audit.lost_at_tail
}

fn of_server(run: &Run, get: fn(&ServerUse) -> f64) -> Option<f64> {
    run.server.as_ref().map(get)
}

/// Counts to calculate with: exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts and nanoseconds of a run are far below 2^53")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::simulated::blank_run;
    use crate::scenario::Scenario;

    #[test]
    fn names_are_unique_and_all_can_be_found() {
        let mut names: Vec<String> = all().into_iter().map(|metric| metric.name).collect();
        for name in &names {
            assert_eq!(find(name).unwrap().name, *name);
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(count, FIXED.len() + FAMILIES.len() * STATISTICS.len());
    }

    #[test]
    fn the_gate_is_few_metrics() {
        let gating: Vec<_> = all().into_iter().filter(|metric| metric.role == Role::Gating).collect();
        let table: Vec<_> = gating.iter().map(|metric| (metric.name.as_str(), metric.bound, metric.slack)).collect();
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
    fn an_unknown_name_is_told_with_the_known_ones() {
        for name in ["latency.p98", "latency", "Latency.p99", "lost ", "", "server.p99"] {
            let error = value(name, &blank_run(&Scenario::default())).unwrap_err();
            assert_eq!(error.name, name);
            let text = error.to_string();
            assert!(text.contains("server.cpu_per_delivery") && text.contains("latency.(min|mean|p50|"), "{text}");
        }
    }

    #[test]
    fn values_are_read_from_where_they_are() {
        let mut run = blank_run(&Scenario::default());
        run.total.latency.record_many(1_000_000, 99);
        run.total.latency.record(9_000_000);
        run.audit.lost_in_gaps = 3;
        run.audit.lost_at_tail = 2;
        run.audit.announced_drops = 4;
        run.total.seconds = 2.0;
        run.server = Some(ServerUse { cpu_seconds: 1.0, cpu_ns_per_delivery: 812.5, ..ServerUse::default() });
        run.connections.failed.insert("refused".to_owned(), 2);
        run.connections.failed.insert("timeout".to_owned(), 5);
        for (name, expected) in [
            ("latency.p99", Some(1_000_000.0)),
            ("latency.max", Some(9_000_000.0)),
            ("spread.p50", None),
            ("lost", Some(5.0)),
            ("lost_unannounced", Some(1.0)),
            ("server.cpu", Some(0.5)),
            ("server.cpu_per_delivery", Some(812.5)),
            ("connections.failed", Some(7.0)),
            ("delivered_ratio", None),
        ] {
            let actual = value(name, &run).unwrap();
            let near = match (actual, expected) {
                (Some(actual), Some(expected)) => (actual - expected).abs() <= expected / 500.0,
                (actual, expected) => actual == expected,
            };
            assert!(near, "{name}: {actual:?}, not {expected:?}");
        }
        run.server = None;
        assert_eq!(value("server.cpu_per_delivery", &run).unwrap(), None);
    }
}

//! Every metric of a run by name: for thresholds, for comparisons, for the printed reference.

use serde::Serialize;

use crate::nearest::{did_you_mean, nearest};
use crate::outcome::{Audit, Distribution, Figures, Run, ServerUse};

/// What a metric is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Time, nanoseconds.
    Nanoseconds,
    /// Memory or size.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// A part of 1.
    Share,
    /// CPU seconds per second.
    Cores,
    /// How many.
    Count,
    /// How many per second.
    PerSecond,
}

/// A metric.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Its name: `latency.p99`.
    pub name: String,
    /// What it is counted in.
    pub unit: Unit,
    reader: Reader,
}

#[derive(Clone, Copy, Debug)]
enum Reader {
    Point(fn(&Figures) -> &Distribution, Point),
    Plain(fn(&Run) -> Option<f64>),
}

/// One figure of a distribution.
#[derive(Clone, Copy, Debug)]
enum Point {
    Percentile(f64),
    Min,
    Max,
    Mean,
}

/// A name that no metric has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no metric \"{name}\"{}; `loadgen help metrics` lists them", did_you_mean(nearest.as_deref()))]
pub struct UnknownMetric {
    /// What was asked for.
    pub name: String,
    /// The metric that is nearest to it.
    pub nearest: Option<String>,
}

/// A distribution of times: each has all of [`POINTS`].
struct Family {
    name: &'static str,
    help: &'static str,
    read: fn(&Figures) -> &Distribution,
}

const FAMILIES: &[Family] = &[
    Family { name: "latency", help: "Due time to receipt, each delivery.", read: |figures| &figures.latency },
    Family {
        name: "latency_with_losses",
        help: "The same, with lost deliveries at the arrival timeout.",
        read: |figures| &figures.latency_with_losses,
    },
    Family {
        name: "lateness",
        help: "Due time to when the generator had sent it, each message: its own part of every latency.",
        read: |figures| &figures.lateness,
    },
    Family {
        name: "spread",
        help: "First to last subscriber, each message that all of its room got.",
        read: |figures| &figures.spread,
    },
    Family {
        name: "completion",
        help: "Due time to last subscriber, each message that all of its room got.",
        read: |figures| &figures.completion,
    },
    Family { name: "connect", help: "TCP connect to established, each connection.", read: |figures| &figures.connect },
    Family {
        name: "handshake",
        help: "Established to member of the room, each connection.",
        read: |figures| &figures.handshake,
    },
    Family {
        name: "resume",
        help: "Lost connection found to first new or replayed message, each resume.",
        read: |figures| &figures.resume,
    },
];

const POINTS: &[(&str, Point)] = &[
    ("p50", Point::Percentile(50.0)),
    ("p90", Point::Percentile(90.0)),
    ("p99", Point::Percentile(99.0)),
    ("p999", Point::Percentile(99.9)),
    ("p9999", Point::Percentile(99.99)),
    ("p99999", Point::Percentile(99.999)),
    ("min", Point::Min),
    ("max", Point::Max),
    ("mean", Point::Mean),
];

/// A metric that is one number.
struct Plain {
    name: &'static str,
    unit: Unit,
    help: &'static str,
    read: fn(&Run) -> Option<f64>,
}

const fn plain(name: &'static str, unit: Unit, help: &'static str, read: fn(&Run) -> Option<f64>) -> Plain {
    Plain { name, unit, help, read }
}

const PLAIN: &[Plain] = &[
    plain("lost", Unit::Count, "Deliveries owed that never came, all phases.", |run| Some(count(lost(&run.audit)))),
    plain(
        "lost_unannounced",
        Unit::Count,
        "Part of them that the server did not announce (by its counters of drops, by close codes).",
        |run| Some(count(lost(&run.audit).saturating_sub(run.audit.announced_drops))),
    ),
    plain("duplicated", Unit::Count, "Deliveries that came again.", |run| Some(count(run.audit.duplicated))),
    plain("corrupt", Unit::Count, "Payloads whose checksum is wrong.", |run| Some(count(run.audit.corrupt))),
    plain("out_of_order", Unit::Count, "Deliveries after a later message of the same publisher.", |run| {
        Some(count(run.audit.out_of_order))
    }),
    plain("misrouted", Unit::Count, "Payloads that belong to another room.", |run| Some(count(run.audit.misrouted))),
    plain("foreign", Unit::Count, "Frames that are no payload of the run.", |run| Some(count(run.audit.foreign))),
    plain("missed_while_away", Unit::Count, "Messages that a subscriber missed while it was away; not owed.", |run| {
        Some(count(run.audit.missed_while_away))
    }),
    plain("delivered_ratio", Unit::Share, "Received of expected deliveries, all phases.", |run| {
        ratio(run.audit.received, run.audit.expected)
    }),
    plain("delivered", Unit::Count, "Deliveries of the measured phases.", |run| Some(count(run.total.deliveries))),
    plain("published", Unit::Count, "Messages of the measured phases.", |run| Some(count(run.total.published))),
    plain("deliveries_per_second", Unit::PerSecond, "Deliveries that came within the measured phases.", |run| {
        Some(run.total.deliveries_per_second)
    }),
    plain("bytes_per_second", Unit::BytesPerSecond, "Payload bytes that came within the measured phases.", |run| {
        Some(run.total.bytes_per_second)
    }),
    plain("published_per_second", Unit::PerSecond, "Messages published in the measured phases.", |run| {
        (run.total.seconds > 0.0).then(|| count(run.total.published) / run.total.seconds)
    }),
    plain("connections.connected_ratio", Unit::Share, "Most connections at once, of those asked for.", |run| {
        ratio(run.connections.connected_max, run.connections.wanted)
    }),
    plain("connections.max", Unit::Count, "Most connections at once.", |run| {
        Some(count(run.connections.connected_max))
    }),
    plain("connections.resumed", Unit::Count, "Times that somebody came back.", |run| {
        Some(count(run.connections.resumed))
    }),
    plain("connections.failed", Unit::Count, "Attempts to connect that failed.", |run| {
        Some(count(run.connections.failed.values().sum()))
    }),
    plain("connections.lost", Unit::Count, "Connections that ended though loadgen did not want it.", |run| {
        Some(count(run.connections.lost.values().sum()))
    }),
    plain("server.cpu", Unit::Cores, "CPU of the server during the measured phases.", |run| {
        server(run, |server| server.cpu_seconds).filter(|_| run.total.seconds > 0.0).map(|cpu| cpu / run.total.seconds)
    }),
    plain("server.cpu_per_delivery", Unit::Nanoseconds, "CPU of the server per delivery.", |run| {
        server(run, |server| server.cpu_ns_per_delivery)
    }),
    plain(
        "server.memory_idle",
        Unit::Bytes,
        "Memory (PSS) of the server, all connected and nothing published.",
        |run| server(run, |server| bytes(server.memory_idle_bytes)),
    ),
    plain("server.memory_end", Unit::Bytes, "Memory (PSS) of the server at the end of the last phase.", |run| {
        server(run, |server| bytes(server.memory_end_bytes))
    }),
    plain("server.memory_per_connection", Unit::Bytes, "Memory (PSS) of the server per idle connection.", |run| {
        server(run, |server| server.memory_per_connection_bytes)
    }),
    plain("server.tcp_per_connection", Unit::Bytes, "Kernel memory for TCP per connection, at the end.", |run| {
        server(run, |server| server.tcp_per_connection_bytes)
    }),
    plain("generator.cpu", Unit::Cores, "CPU of the generator's busiest thread.", |run| {
        Some(run.generator.busiest_thread)
    }),
    plain("generator.cpu_per_delivery", Unit::Nanoseconds, "CPU of the generator per delivery.", |run| {
        Some(run.generator.cpu_ns_per_delivery)
    }),
    plain("generator.steal", Unit::Share, "CPU time that the hypervisor gave to others.", |run| {
        Some(run.generator.steal)
    }),
    plain("generator.others", Unit::Cores, "CPU of all other processes of the generator's machine.", |run| {
        Some(run.generator.others)
    }),
];

/// Deliveries of all phases that never came, announced or not.
#[must_use]
pub const fn lost(audit: &Audit) -> u64 {
    audit.lost_in_gaps.saturating_add(audit.lost_at_tail)
}

fn server(run: &Run, read: fn(&ServerUse) -> f64) -> Option<f64> {
    run.server.as_ref().map(read)
}

/// None if there is no whole to be a part of.
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| count(part) / count(whole))
}

/// Exact below 2^53, which no run's counts reach.
const fn count(count: u64) -> f64 {
    count as f64
}

const fn bytes(bytes: u64) -> f64 {
    bytes as f64
}

impl Metric {
    /// Whether it is a figure of a distribution of times.
    #[must_use]
    pub const fn is_of_distribution(&self) -> bool {
        matches!(self.reader, Reader::Point(..))
    }

    /// Its value in a run; none if nothing of the kind was measured.
    #[must_use]
    pub fn read(&self, run: &Run) -> Option<f64> {
        let value = match self.reader {
            Reader::Plain(read) => read(run),
            Reader::Point(read, point) => {
                let distribution = read(&run.total);
                (distribution.count() > 0).then(|| match point {
                    Point::Percentile(percent) => count(distribution.percentile_ns(percent)),
                    Point::Min => count(distribution.min_ns()),
                    Point::Max => count(distribution.max_ns()),
                    Point::Mean => distribution.mean_ns(),
                })
            }
        };
        value.filter(|value| value.is_finite())
    }
}

/// The metric of that name; `latency.p99.9` means `latency.p999`.
///
/// # Errors
/// There is none; the error says the nearest name.
pub fn find(name: &str) -> Result<Metric, UnknownMetric> {
    if let Some(plain) = PLAIN.iter().find(|plain| plain.name == name) {
        return Ok(Metric { name: name.to_owned(), unit: plain.unit, reader: Reader::Plain(plain.read) });
    }
    if let Some((family, point)) = name.split_once('.') {
        let point = point.replace('.', "");
        let family = FAMILIES.iter().find(|known| known.name == family);
        let point = POINTS.iter().find(|&&(known, _)| known == point);
        if let (Some(family), Some(&(known, point))) = (family, point) {
            let name = format!("{}.{known}", family.name);
            return Ok(Metric { name, unit: Unit::Nanoseconds, reader: Reader::Point(family.read, point) });
        }
    }
    let known = names();
    let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    Err(UnknownMetric { name: name.to_owned(), nearest })
}

/// The value of a metric in a run, in its unit (nanoseconds, bytes, a share of 1, a count …); none if nothing of the
/// kind was measured.
///
/// # Errors
/// No metric has this name; the error says the nearest one.
pub fn value(name: &str, run: &Run) -> Result<Option<f64>, UnknownMetric> {
    find(name).map(|metric| metric.read(run))
}

/// The names of all metrics.
#[must_use]
pub fn names() -> Vec<String> {
    let points =
        FAMILIES.iter().flat_map(|family| POINTS.iter().map(move |&(point, _)| format!("{}.{point}", family.name)));
    points.chain(PLAIN.iter().map(|plain| plain.name.to_owned())).collect()
}

/// Names and meanings for the reference: distributions as `latency.*`, then the others with their units.
pub fn reference() -> impl Iterator<Item = (String, &'static str, &'static str)> {
    let families = FAMILIES.iter().map(|family| (format!("{}.*", family.name), "time", family.help));
    families.chain(PLAIN.iter().map(|plain| (plain.name.to_owned(), unit_name(plain.unit), plain.help)))
}

/// The figures that each distribution has.
pub fn points() -> impl Iterator<Item = &'static str> {
    POINTS.iter().map(|&(name, _)| name)
}

const fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Nanoseconds => "time",
        Unit::Bytes => "bytes",
        Unit::BytesPerSecond => "bytes/s",
        Unit::Share => "share",
        Unit::Cores => "cores",
        Unit::Count => "count",
        Unit::PerSecond => "per second",
    }
}

//! `/metrics`: Prometheus text (exposition format 0.0.4).

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use hdrhistogram::Histogram;
use shardcast::engine::{Counter, Snapshot};

use super::front_door::Door;

/// Upper bounds of the latency buckets, microseconds.
const BUCKETS_MICROS: [u64; 20] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// All metrics. `snapshots` holds what the shards said; one that did not answer is `None` or missing.
pub(crate) fn text(door: &Door, snapshots: &[Option<Box<Snapshot>>]) -> String {
    let mut out = Text(String::with_capacity(16 << 10));
    let totals = door.engine.totals();
    out.gauge("build_info", "What runs.", &format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), 1);
    out.gauge("connections", "Connections, those in their handshake included.", "", totals.connections as u64);
    out.gauge("rooms", "Rooms that exist.", "", totals.rooms as u64);
    out.gauge("shards", "Shards.", "", totals.shards as u64);
    front_door(&mut out, door);
    out.head("inbox_depth", "gauge", "Entries that wait in a shard's inbox.");
    for (shard, depth) in door.engine.inbox_depths().iter().enumerate() {
        out.line("inbox_depth", &format!("shard=\"{shard}\""), *depth as u64);
    }
    out.head("shard_up", "gauge", "Whether the shard answered within a second.");
    for shard in 0..totals.shards {
        let up = snapshots.get(shard).is_some_and(Option::is_some);
        out.line("shard_up", &format!("shard=\"{shard}\""), u64::from(up));
    }
    let snapshots: Vec<&Snapshot> = snapshots.iter().flatten().map(|snapshot| &**snapshot).collect();
    counters(&mut out, &snapshots);
    gauges(&mut out, &snapshots);
    let help = "From a publication to the moment when the last member of the shard that keeps up was offered it.";
    out.histogram("publish_to_last_send_seconds", help, &snapshots, |it| &it.latencies.publish_to_last_send);
    let help = "From a publication's arrival at the shard to the same moment.";
    out.histogram("fan_out_seconds", help, &snapshots, |it| &it.latencies.fan_out);
    if let Some(bytes) = kernel_tcp_bytes() {
        out.gauge("kernel_tcp_memory_bytes", "Memory of all TCP sockets of the machine (sockstat).", "", bytes);
    }
    out.0
}

fn front_door(out: &mut Text, door: &Door) {
    let counts = &door.counts;
    out.head("accepted_total", "counter", "Sockets accepted.");
    out.line("accepted_total", "", counts.accepted.load(Ordering::Relaxed));
    out.head("refused_total", "counter", "Sockets and handshakes refused, by reason.");
    for (reason, count) in counts.refused.counts() {
        out.line("refused_total", &format!("reason=\"{reason}\""), count);
    }
}

fn counters(out: &mut Text, snapshots: &[&Snapshot]) {
    let mut last_name = "";
    for counter in Counter::ALL {
        if counter.name() != last_name {
            last_name = counter.name();
            out.head(last_name, "counter", family_help(*counter));
        }
        for snapshot in snapshots {
            let comma = if counter.labels().is_empty() { "" } else { "," };
            let labels = format!("shard=\"{}\"{comma}{}", snapshot.shard, counter.labels());
            out.line(last_name, &labels, snapshot.counts.get(*counter));
        }
    }
}

/// What a family of counters counts: those that differ in a label only are one.
fn family_help(first: Counter) -> &'static str {
    match first.name() {
        "dropped_total" => "What a connection did not get (publications, pongs, answers), by reason.",
        "disconnects_total" => "Connections that ended, by reason.",
        "resumes_total" => "Members that wanted to resume, by outcome.",
        _ => first.help(),
    }
}

/// Name, help, and how to read it.
type Gauge = (&'static str, &'static str, fn(&Snapshot) -> u64);

fn gauges(out: &mut Text, snapshots: &[&Snapshot]) {
    let gauges: [Gauge; 9] = [
        ("shard_connections", "Connections that the shard owns.", |it| it.connections as u64),
        ("shard_subscriptions", "Subscriptions of the shard's sessions.", |it| it.subscriptions as u64),
        ("shard_rooms", "Rooms that the shard has members of.", |it| it.rooms as u64),
        ("shard_homes", "Rooms whose order the shard decides.", |it| it.homes as u64),
        ("blocked_members", "Members whose socket takes no more.", |it| it.blocked_members as u64),
        ("lag_bytes_max", "The farthest that a member lags behind its room.", |it| it.lag_bytes_max),
        ("window_bytes", "Memory of the rooms' windows.", |it| it.window_bytes),
        ("history_bytes", "Memory of what rooms keep for those who come back.", |it| it.history_bytes),
        ("unfinished_bytes", "Bytes of unfinished messages from clients.", |it| it.unfinished_bytes as u64),
    ];
    for (name, help, read) in gauges {
        out.head(name, "gauge", help);
        for snapshot in snapshots {
            out.line(name, &format!("shard=\"{}\"", snapshot.shard), read(snapshot));
        }
    }
}

/// The text so far.
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        write!(self.0, "# HELP shardcast_{name} {help}\n# TYPE shardcast_{name} {kind}\n").expect("a String takes all");
    }

    fn line(&mut self, name: &str, labels: &str, value: u64) {
        let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
        writeln!(self.0, "shardcast_{name}{open}{labels}{close} {value}").expect("a String takes all");
    }

    fn gauge(&mut self, name: &str, help: &str, labels: &str, value: u64) {
        self.head(name, "gauge", help);
        self.line(name, labels, value);
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        snapshots: &[&Snapshot],
        read: impl Fn(&Snapshot) -> &Histogram<u64>,
    ) {
        self.head(name, "histogram", help);
        for snapshot in snapshots {
            let (shard, histogram) = (snapshot.shard, read(snapshot));
            for bound in BUCKETS_MICROS {
                // From the very beginning: two neighbouring ranges may both count the values around their border.
                let below = histogram.count_between(0, bound).min(histogram.len());
                let seconds = std::time::Duration::from_micros(bound).as_secs_f64();
                self.line(&format!("{name}_bucket"), &format!("shard=\"{shard}\",le=\"{seconds}\""), below);
            }
            self.line(&format!("{name}_bucket"), &format!("shard=\"{shard}\",le=\"+Inf\""), histogram.len());
            let sum_seconds = histogram.iter_recorded().map(sum_micros).sum::<f64>() / 1e6;
            writeln!(self.0, "shardcast_{name}_sum{{shard=\"{shard}\"}} {sum_seconds}").expect("a String takes all");
            self.line(&format!("{name}_count"), &format!("shard=\"{shard}\""), histogram.len());
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sum of latencies needs no 53 bits")]
fn sum_micros(value: hdrhistogram::iterators::IterationValue<u64>) -> f64 {
    value.value_iterated_to() as f64 * value.count_at_value() as f64
}

/// What the kernel holds for TCP, from `/proc/net/sockstat`: "TCP: … mem PAGES".
fn kernel_tcp_bytes() -> Option<u64> {
    let sockstat = std::fs::read_to_string("/proc/net/sockstat").ok()?;
    let line = sockstat.lines().find(|line| line.starts_with("TCP:"))?;
    let pages: u64 = line.split_whitespace().skip_while(|word| *word != "mem").nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

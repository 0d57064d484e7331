//! The limits that a plan will hit, each with what helps.

use std::net::IpAddr;

use serde::Serialize;

use super::{Drivers, Place, Plan};
use crate::scenario::{PublishVia, Scenario};

/// Deliveries per second that one core of the generator takes, at least (128-byte payloads).
const DELIVERIES_PER_CORE: f64 = 400_000.0;
/// Kernel memory that a connection takes whose reader has stopped, with the usual `tcp_wmem`, bytes.
const STALLED_KERNEL_BYTES: u64 = 4 << 20;
/// How long a port stays taken after its connection ended (TIME-WAIT), seconds.
const PORT_REST_S: f64 = 60.0;
/// Posts per second that one publisher makes, one after the other, at a round trip of 1 ms.
const POSTS_PER_PUBLISHER: f64 = 1_000.0;

/// Limits of the machine that runs the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineLimits {
    /// Open files that a process may have (the hard limit: loadgen raises its own to it).
    pub open_files: u64,
    /// Local ports for outgoing connections, per local address and server.
    pub ports_per_address: u64,
    /// Cores that may be used.
    pub cores: u32,
    /// Connections that wait to be accepted, per listening socket: at most (`somaxconn`).
    pub listen_backlog: u64,
    /// Memory of all TCP sockets above which the kernel refuses more, bytes; none: not known.
    pub tcp_memory_bytes: Option<u64>,
}

impl Default for MachineLimits {
    /// Those of a small Linux machine as installed.
    fn default() -> Self {
        Self { open_files: 20_000, ports_per_address: 28_232, cores: 2, listen_backlog: 4_096, tcp_memory_bytes: None }
    }
}

/// How much a hit matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// The run cannot be what was asked for.
    Prevents,
    /// The run may be disturbed, or its figures are easily misread.
    Caution,
}

/// A limit that the plan hits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// How much it matters.
    pub weight: Weight,
    /// What is needed and what there is.
    pub text: String,
    /// The command or flag that helps.
    pub remedy: String,
}

/// Whether the server is on this machine, as its URL says.
pub(super) fn is_loopback(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or(bracketed),
        None => authority.split(':').next().unwrap_or(authority),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Local ports that each source address needs: one per connection, and those of connections that ended lately.
pub(super) fn ports_per_address(scenario: &Scenario, drivers: Drivers) -> u64 {
    let mix = &scenario.mix;
    let per_second = |count: u32, stay: f64| if stay > 0.0 { f64::from(count) / stay } else { 0.0 };
    let renewed = per_second(mix.churning, mix.churn_stay.as_secs_f64())
        + per_second(mix.reconnecting, mix.reconnect_every.as_secs_f64());
    let resting = rounded_up(renewed * PORT_REST_S);
    let connections = u64::from(scenario.subscribers.count) + u64::from(scenario.publishers.count);
    let addresses = u64::try_from(scenario.subscribers.source_addresses.len()).unwrap_or(1).max(1);
    let machines = match drivers.place {
        Place::SameMachine => 1,
        Place::OwnMachines => u64::from(drivers.workers.max(1)),
    };
    (connections + resting).div_ceil(addresses * machines)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, which is enough here")]
fn rounded_up(value: f64) -> u64 {
    value.ceil() as u64
}

/// Collects hits.
struct Hits(Vec<Hit>);

impl Hits {
    fn add(&mut self, weight: Weight, text: String, remedy: impl Into<String>) {
        self.0.push(Hit { weight, text, remedy: remedy.into() });
    }
}

pub(super) fn find(scenario: &Scenario, plan: &Plan, place: Place, limits: &MachineLimits) -> Vec<Hit> {
    let mut hits = Hits(Vec::new());
    files(plan, limits, &mut hits);
    ports(scenario, plan, limits, &mut hits);
    deliveries(plan, &mut hits);
    if place == Place::SameMachine {
        cores(plan, limits, &mut hits);
    }
    handshakes(scenario, plan, limits, &mut hits);
    stalled(scenario, limits, &mut hits);
    publishing(scenario, plan, &mut hits);
    samples(plan, &mut hits);
    hits.0
}

fn files(plan: &Plan, limits: &MachineLimits, hits: &mut Hits) {
    if plan.files_per_worker > limits.open_files {
        let beside = plan.files_per_worker - u64::from(plan.subscribers.div_ceil(plan.workers));
        let room = limits.open_files.saturating_sub(beside).max(1);
        let workers = u64::from(plan.subscribers).div_ceil(room);
        let text = format!(
            "{} open files per worker, the limit is {} (hard limit of this shell)",
            plan.files_per_worker, limits.open_files
        );
        let remedy = format!("--workers {workers}, or `ulimit -Hn {}` as root", plan.files_per_worker);
        hits.add(Weight::Prevents, text, remedy);
    }
    let of_server = u64::from(plan.subscribers) + u64::from(plan.publishers);
    if is_loopback(&plan.url) && of_server + super::FILES_BESIDE_CONNECTIONS > limits.open_files {
        let text = format!(
            "the server needs {of_server} open files too; started from this shell it gets {}",
            limits.open_files
        );
        hits.add(Weight::Caution, text, format!("raise the server's limit: `prlimit --nofile={of_server} --pid PID`"));
    }
}

fn ports(scenario: &Scenario, plan: &Plan, limits: &MachineLimits, hits: &mut Hits) {
    // Loopback targets get further addresses by themselves.
    if plan.ports_per_address <= limits.ports_per_address
        || (is_loopback(&plan.url) && scenario.subscribers.source_addresses.is_empty())
    {
        return;
    }
    let text = format!(
        "{} local ports per source address, there are {} (connections that ended keep theirs for a minute)",
        plan.ports_per_address, limits.ports_per_address
    );
    let remedy = "--subscribers-source-addresses IP,IP…, --workers-at on further machines, \
                  or `sysctl net.ipv4.ip_local_port_range=\"1024 65535\"`";
    hits.add(Weight::Prevents, text, remedy);
}

fn deliveries(plan: &Plan, hits: &mut Hits) {
    if let Some(most) = plan.deliveries_per_second_max() {
        let able = DELIVERIES_PER_CORE * f64::from(plan.workers);
        if most > able {
            let text =
                format!("{most:.0} deliveries/s, and a worker takes about {DELIVERIES_PER_CORE:.0}/s on its core");
            let workers = rounded_up(most / DELIVERIES_PER_CORE);
            hits.add(Weight::Prevents, text, format!("--workers {workers}, or --workers-at on other machines"));
        }
    }
}

fn cores(plan: &Plan, limits: &MachineLimits, hits: &mut Hits) {
    if is_loopback(&plan.url) && plan.workers >= limits.cores {
        let text =
            format!("{} worker(s) and the server share {} core(s): each slows the other", plan.workers, limits.cores);
        hits.add(Weight::Caution, text, "fewer workers, or --workers-at on other machines");
    } else if plan.workers > limits.cores {
        let text = format!("{} workers share {} core(s)", plan.workers, limits.cores);
        hits.add(Weight::Caution, text, "--workers-at on other machines");
    }
}

fn handshakes(scenario: &Scenario, plan: &Plan, limits: &MachineLimits, hits: &mut Hits) {
    let at_once = u64::from(scenario.subscribers.connecting_max) * u64::from(plan.workers);
    let at_once = at_once.min(u64::from(plan.subscribers));
    if plan.ramp.is_none() && at_once > limits.listen_backlog {
        let text = format!("{at_once} connections at once, {} may wait to be accepted", limits.listen_backlog);
        let remedy = format!(
            "--connects-per-second, a smaller --subscribers-connecting-max, or `sysctl \
                              net.core.somaxconn={at_once}` (and the server's own backlog)"
        );
        hits.add(Weight::Caution, text, remedy);
    }
}

fn stalled(scenario: &Scenario, limits: &MachineLimits, hits: &mut Hits) {
    let Some(most) = limits.tcp_memory_bytes else { return };
    let needed = u64::from(scenario.mix.stalled) * STALLED_KERNEL_BYTES;
    if needed > most && is_loopback(&scenario.target.url) {
        let text = format!(
            "{} stalled subscribers may take {} MiB of kernel memory, TCP gets {} MiB",
            scenario.mix.stalled,
            needed >> 20,
            most >> 20
        );
        hits.add(Weight::Caution, text, "a small send buffer in the server, --mix-receive-buffer-bytes, fewer of them");
    }
}

fn publishing(scenario: &Scenario, plan: &Plan, hits: &mut Hits) {
    if let Some(window) = scenario.publishers.window {
        let text = format!(
            "closed loop of {window}: a slow server is asked less, so its latencies look better than users would see"
        );
        hits.add(Weight::Caution, text, "take deliveries/s from this run, and latencies from one with --rate");
    }
    let per_publisher = plan.phases.iter().filter_map(|phase| phase.rates).map(|rates| rates.messages).reduce(f64::max);
    let per_publisher = per_publisher.map(|most| most / f64::from(plan.publishers.max(1)));
    if let Some(rate) =
        per_publisher.filter(|&rate| scenario.target.publish == PublishVia::Http && rate > POSTS_PER_PUBLISHER)
    {
        let text = format!("{rate:.0} posts/s per publisher, one after the other");
        let publishers = rounded_up(rate * f64::from(plan.publishers) / POSTS_PER_PUBLISHER);
        hits.add(Weight::Caution, text, format!("--publishers {publishers}"));
    }
}

fn samples(plan: &Plan, hits: &mut Hits) {
    // Ten deliveries above a percentile are the least that says something about it.
    match plan.deliveries_measured {
        Some(deliveries) if deliveries < 1_000.0 => {
            let text = format!("about {deliveries:.0} deliveries are measured: too few for a p99");
            hits.add(Weight::Caution, text, "a longer --duration, a higher --rate or more --subscribers");
        }
        _ => {}
    }
}

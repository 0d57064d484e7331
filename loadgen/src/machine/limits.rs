//! Limits of this machine that a large run hits, and how each is raised.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

use super::{Kernel, numbers};

/// Open files of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// What it may have now; none: no limit.
    pub soft: Option<u64>,
    /// What it may raise that to; none: no limit.
    pub hard: Option<u64>,
}

/// Raises this process's soft limit of open files to its hard one: every connection is an open file. To be called once,
/// at the start; workers inherit it. If the kernel refuses, the limit stays.
///
/// Returns the limit before and now.
pub fn raise_open_files() -> (OpenFiles, OpenFiles) {
    let before = own_open_files();
    if before.soft != before.hard {
        let _kept_if_refused = setrlimit(Resource::Nofile, Rlimit { current: before.hard, maximum: before.hard });
    }
    (before, own_open_files())
}

/// This process's limit of open files.
#[must_use]
pub fn own_open_files() -> OpenFiles {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    OpenFiles { soft: current, hard: maximum }
}

/// The limit of another process (a server's); none if it cannot be read.
#[must_use]
pub fn open_files_of(kernel: &Kernel, pid: u32) -> Option<OpenFiles> {
    parse_open_files(&kernel.proc_text(&format!("{pid}/limits"))?)
}

fn parse_open_files(text: &str) -> Option<OpenFiles> {
    let mut words = text.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace();
    let mut limit = || match words.next()? {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    };
    Some(OpenFiles { soft: limit()?, hard: limit()? })
}

/// Limits of the machine, as far as a load generator meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open files of this process.
    pub open_files: OpenFiles,
    /// First and last local port that the kernel gives to outgoing connections.
    pub ports: Option<(u64, u64)>,
    /// Connections that wait to be accepted, per listening socket: at most.
    pub somaxconn: Option<u64>,
    /// Memory of all TCP sockets above which the kernel refuses more, bytes.
    pub tcp_memory_bytes: Option<u64>,
    /// Receive buffer that a socket begins with; one that is not read does not grow. Bytes.
    pub receive_buffer_bytes: Option<u64>,
    /// Largest send buffer that a socket grows to by itself, bytes.
    pub send_buffer_bytes: Option<u64>,
    /// Connections that the firewall tracks at most; none: it tracks none.
    pub conntrack: Option<u64>,
    /// Cores that this process may use.
    pub cores: usize,
}

impl Default for Limits {
    /// Those of a small Linux machine as installed.
    fn default() -> Self {
        Self {
            open_files: OpenFiles { soft: Some(1_024), hard: Some(20_000) },
            ports: Some((32_768, 60_999)),
            somaxconn: Some(4_096),
            tcp_memory_bytes: Some(2 << 30),
            receive_buffer_bytes: Some(128 << 10),
            send_buffer_bytes: Some(4 << 20),
            conntrack: Some(262_144),
            cores: 2,
        }
    }
}

impl Limits {
    /// Those of now.
    #[must_use]
    pub fn read(kernel: &Kernel) -> Self {
        let setting = |path: &str| kernel.proc_text(&format!("sys/{path}")).map(|text| numbers(&text));
        let one = |path: &str| setting(path)?.first().copied();
        let nth = |path: &str, index: usize| setting(path)?.get(index).copied();
        let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(4_096);
        Self {
            open_files: own_open_files(),
            ports: setting("net/ipv4/ip_local_port_range").and_then(|ports| Some((*ports.first()?, *ports.get(1)?))),
            somaxconn: one("net/core/somaxconn"),
            tcp_memory_bytes: nth("net/ipv4/tcp_mem", 2).map(|pages| pages.saturating_mul(page_bytes)),
            receive_buffer_bytes: nth("net/ipv4/tcp_rmem", 1),
            send_buffer_bytes: nth("net/ipv4/tcp_wmem", 2),
            conntrack: one("net/netfilter/nf_conntrack_max"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Local ports for outgoing connections, per local address and server.
    #[must_use]
    pub fn port_count(&self) -> Option<u64> {
        self.ports.map(|(first, last)| (last + 1).saturating_sub(first))
    }
}

/// Whether the server runs on the same machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Where {
    /// It does: both ends of every connection are here.
    #[default]
    Here,
    /// It runs on another one.
    Elsewhere,
}

/// What a plan asks of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    /// Connections at once, of all workers.
    pub connections: u64,
    /// Processes that share them.
    pub workers: u32,
    /// Machines that the processes are on, each with these limits.
    pub machines: u32,
    /// Local addresses that connections come from.
    pub source_addresses: u64,
    /// Connections in their handshake at once, of all workers; all of them in a storm.
    pub connecting_at_once: u64,
    /// Connections that end and are made anew, per second, on average.
    pub renewed_per_second: f64,
    /// Deliveries per second.
    pub deliveries_per_second: f64,
    /// Subscribers that do not read, or hardly.
    pub stalled: u64,
    /// Receive buffer of those, bytes, if set.
    pub receive_buffer_bytes: Option<u64>,
    /// Where the server runs.
    pub server: Where,
    /// The server's limit of open files, if it could be read. Otherwise one that is here may have what loadgen may.
    pub server_open_files: Option<OpenFiles>,
}

/// What to do about a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// The run cannot be what was asked for.
    Prevents,
    /// The run may be disturbed.
    Disturbs,
}

/// A limit that a plan hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Which, in a few words.
    pub what: &'static str,
    /// What the plan needs, in the unit of `what`.
    pub needed: u64,
    /// What there is.
    pub limit: u64,
    /// How bad that is.
    pub weight: Weight,
    /// What raises it: a command, or a flag of loadgen.
    pub remedy: String,
}

impl Shortage {
    /// What is needed and what there is.
    #[must_use]
    pub fn fact(&self) -> String {
        let Self { what, needed, limit, weight, .. } = self;
        let verb = if *weight == Weight::Prevents { "needs" } else { "may need" };
        format!("{what}: the plan {verb} {needed}, there are {limit}")
    }
}

impl std::fmt::Display for Shortage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}; {}", self.fact(), self.remedy)
    }
}

/// Files that a worker has open besides its connections.
const OTHER_FILES: u64 = 64;
/// What a core of loadgen is expected to receive, deliveries per second.
const DELIVERIES_PER_CORE_SECOND: f64 = 400_000.0;
/// How long the kernel keeps the port of a connection that was closed from here.
const TIME_WAIT_SECONDS: f64 = 60.0;

impl Demand {
    /// Open files of a worker.
    #[must_use]
    pub fn files_per_worker(&self) -> u64 {
        self.connections.div_ceil(u64::from(self.workers.max(1))) + OTHER_FILES
    }

    /// Local ports of all machines: one per connection, and those of connections that ended lately.
    #[must_use]
    pub fn ports(&self) -> u64 {
        self.connections.saturating_add(whole(self.renewed_per_second * TIME_WAIT_SECONDS))
    }

    fn machines(&self) -> u64 {
        u64::from(self.machines.max(1))
    }
}

/// The limits that `demand` hits on this machine, the ones that prevent it first. None: nothing known is in the way.
#[must_use]
pub fn what_is_short(limits: &Limits, demand: &Demand) -> Vec<Shortage> {
    let mut found: Vec<Shortage> = [
        short_files(limits, demand),
        short_server_files(limits, demand),
        short_ports(limits, demand),
        short_conntrack(limits, demand),
        short_backlog(limits, demand),
        short_tcp_memory(limits, demand),
        short_cores(limits, demand),
    ]
    .into_iter()
    .flatten()
    .collect();
    found.sort_by_key(|shortage| shortage.weight == Weight::Disturbs);
    found
}

fn short_files(limits: &Limits, demand: &Demand) -> Option<Shortage> {
    let limit = limits.open_files.hard?;
    let needed = demand.files_per_worker();
    let enough = demand.connections.div_ceil(limit.saturating_sub(OTHER_FILES).max(1));
    let shares = if demand.machines() > 1 {
        format!("--workers-at with {enough} machines")
    } else {
        format!("--workers {enough} shares them")
    };
    let remedy = format!("{shares}, or `ulimit -Hn {needed}` as root before starting loadgen");
    let what = "open files of a worker (nofile, hard)";
    (needed > limit).then_some(Shortage { what, needed, limit, weight: Weight::Prevents, remedy })
}

fn short_server_files(limits: &Limits, demand: &Demand) -> Option<Shortage> {
    let needed = demand.connections + OTHER_FILES;
    let remedy = format!("`ulimit -n {needed}` before starting the server (`LimitNOFILE={needed}` in its unit)");
    let (what, limit, weight) = match demand.server_open_files {
        Some(known) => ("open files of the server (nofile, soft)", known.soft?, Weight::Prevents),
        None if demand.server == Where::Here => {
            ("open files of the server (nofile, hard)", limits.open_files.hard?, Weight::Disturbs)
        }
        None => return None,
    };
    (needed > limit).then_some(Shortage { what, needed, limit, weight, remedy })
}

fn short_ports(limits: &Limits, demand: &Demand) -> Option<Shortage> {
    let per_address = limits.port_count()?;
    let limit = per_address.saturating_mul(demand.source_addresses.max(1)).saturating_mul(demand.machines());
    let needed = demand.ports();
    let remedy = "--subscribers-source-addresses IP,IP…, --workers-at on further machines, or \
                  `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`";
    (needed > limit).then(|| Shortage {
        what: "local ports (each closed connection keeps its own for a minute)",
        needed,
        limit,
        weight: if demand.connections > limit { Weight::Prevents } else { Weight::Disturbs },
        remedy: remedy.to_owned(),
    })
}

fn short_conntrack(limits: &Limits, demand: &Demand) -> Option<Shortage> {
    let limit = limits.conntrack?;
    let needed = demand.ports().div_ceil(demand.machines());
    let remedy = format!("`sysctl -w net.netfilter.nf_conntrack_max={}`", needed.saturating_mul(2));
    let what = "connections that the firewall tracks";
    // The limit is also there when no rule makes the firewall track anything.
    (needed > limit).then_some(Shortage { what, needed, limit, weight: Weight::Disturbs, remedy })
}

fn short_backlog(limits: &Limits, demand: &Demand) -> Option<Shortage> {
    let limit = limits.somaxconn.filter(|_| demand.server == Where::Here)?;
    let needed = demand.connecting_at_once;
    let what = "connections that wait to be accepted (somaxconn)";
    let remedy = format!(
        "--connects-per-second, a smaller --subscribers-connecting-max, or `sysctl -w net.core.somaxconn={needed}`"
    );
    (needed > limit).then_some(Shortage { what, needed, limit, weight: Weight::Disturbs, remedy })
}

/// One that does not read fills its own receive buffer and, if the server is here too, that one's send buffer.
fn short_tcp_memory(limits: &Limits, demand: &Demand) -> Option<Shortage> {
    let limit = limits.tcp_memory_bytes?;
    let receive = demand.receive_buffer_bytes.or(limits.receive_buffer_bytes)?;
    let send = if demand.server == Where::Here { limits.send_buffer_bytes? } else { 0 };
    let needed = demand.stalled.saturating_mul(receive.saturating_add(send));
    let pages = needed.div_ceil(u64::try_from(rustix::param::page_size()).unwrap_or(4_096));
    let remedy = format!(
        "fewer of them, a small send buffer in the server, or \
         `sysctl -w net.ipv4.tcp_mem=\"{pages} {pages} {pages}\"`"
    );
    let what = "bytes of TCP memory for those that do not read (tcp_mem)";
    (needed > limit).then_some(Shortage { what, needed, limit, weight: Weight::Disturbs, remedy })
}

fn short_cores(limits: &Limits, demand: &Demand) -> Option<Shortage> {
    let needed = whole((demand.deliveries_per_second / DELIVERIES_PER_CORE_SECOND).ceil());
    let cores = (limits.cores as u64).saturating_mul(demand.machines());
    let usable = u64::from(demand.workers.max(1)).min(cores);
    let remedy = if needed <= cores {
        format!("--workers {needed} ({DELIVERIES_PER_CORE_SECOND} deliveries/s are expected of a core)")
    } else {
        "--workers-at spreads them over machines; or fewer subscribers, or a lower rate".to_owned()
    };
    let what = "cores for receiving";
    (needed > usable).then_some(Shortage { what, needed, limit: usable, weight: Weight::Disturbs, remedy })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded on both sides before the cast")]
const fn whole(number: f64) -> u64 {
    if number > 0.0 { number.min(1e15) as u64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEST: Demand = Demand {
        connections: 10_000,
        workers: 1,
        machines: 1,
        source_addresses: 1,
        connecting_at_once: 128,
        renewed_per_second: 0.0,
        deliveries_per_second: 100_000.0,
        stalled: 0,
        receive_buffer_bytes: None,
        server: Where::Here,
        server_open_files: None,
    };

    #[test]
    fn each_limit_is_found_alone() {
        let few = OpenFiles { soft: Some(1_024), hard: None };
        let table: [(&str, Demand); 11] = [
            ("", MODEST),
            ("open files of a worker", Demand { connections: 19_999, server: Where::Elsewhere, ..MODEST }),
            ("", Demand { connections: 19_999, workers: 2, server: Where::Elsewhere, ..MODEST }),
            ("open files of the server", Demand { server_open_files: Some(few), ..MODEST }),
            ("open files of the server", Demand { connections: 19_999, workers: 2, ..MODEST }),
            ("local ports", Demand { connections: 30_000, workers: 2, server: Where::Elsewhere, ..MODEST }),
            ("local ports", Demand { renewed_per_second: 400.0, ..MODEST }),
            ("connections that wait", Demand { connecting_at_once: 5_000, ..MODEST }),
            ("bytes of TCP memory", Demand { stalled: 1_000, ..MODEST }),
            ("", Demand { connections: 30_000, workers: 2, machines: 2, server: Where::Elsewhere, ..MODEST }),
            ("cores", Demand { deliveries_per_second: 500_000.0, ..MODEST }),
        ];
        for (wanted, demand) in table {
            let found = what_is_short(&Limits::default(), &demand);
            assert_eq!(found.len(), usize::from(!wanted.is_empty()), "{wanted}: {found:?}");
            assert!(found.iter().all(|shortage| shortage.what.starts_with(wanted)), "{wanted}: {found:?}");
        }
    }

    #[test]
    fn remedies_suffice() {
        let demand = Demand { connections: 50_000, source_addresses: 2, server: Where::Elsewhere, ..MODEST };
        let found = what_is_short(&Limits::default(), &demand);
        assert_eq!(
            found[0].to_string(),
            "open files of a worker (nofile, hard): the plan needs 50064, there are 20000; --workers 3 shares them, or \
             `ulimit -Hn 50064` as root before starting loadgen"
        );
        assert!(what_is_short(&Limits::default(), &Demand { workers: 3, ..demand }).is_empty());

        let fast = Demand { deliveries_per_second: 500_000.0, ..MODEST };
        assert!(what_is_short(&Limits::default(), &fast)[0].remedy.starts_with("--workers 2 "));
        assert!(what_is_short(&Limits::default(), &Demand { workers: 2, ..fast }).is_empty());
        let faster = Demand { deliveries_per_second: 1e6, workers: 2, ..MODEST };
        assert!(what_is_short(&Limits::default(), &faster)[0].remedy.starts_with("--workers-at"));
    }

    #[test]
    fn what_prevents_comes_first() {
        let demand = Demand { connections: 900_000, workers: 99, connecting_at_once: 9_000, ..MODEST };
        let weights: Vec<Weight> =
            what_is_short(&Limits::default(), &demand).iter().map(|shortage| shortage.weight).collect();
        assert_eq!(weights[0], Weight::Prevents);
        assert!(weights.len() > 2 && weights[1..].iter().all(|weight| *weight == Weight::Disturbs), "{weights:?}");
    }

    #[test]
    fn limits_of_other_processes() {
        let head = "Limit                     Soft Limit           Hard Limit           Units     \n";
        let table = [
            (
                "Max open files            1024                 524288               files     ",
                Some(1_024),
                Some(524_288),
            ),
            ("Max open files            unlimited            unlimited            files     ", None, None),
        ];
        for (line, soft, hard) in table {
            assert_eq!(parse_open_files(&format!("{head}{line}\n")), Some(OpenFiles { soft, hard }));
        }
        assert_eq!(parse_open_files(head), None);
        assert!(open_files_of(&Kernel::default(), std::process::id()).is_some());
    }

    #[test]
    fn soft_limit_rises_to_the_hard_one() {
        let (_, now) = raise_open_files();
        assert_eq!(now.soft, now.hard);
        assert_eq!(Limits::read(&Kernel::default()).open_files, now);
    }
}

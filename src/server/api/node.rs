//! `info`: what this node is, and how it stands.

use std::time::{Duration, Instant};

use serde::Serialize;
use uuid::Uuid;

use super::super::front_door::Door;
use super::call::{Outcome, result};

/// How long the shards may take to say what they hold.
const SHARDS_TIME_MAX: Duration = Duration::from_secs(1);

/// What tells this node from others, and this run from earlier ones.
#[derive(Debug)]
pub(crate) struct Node {
    uid: Uuid,
    name: String,
    started: Instant,
}

impl Node {
    /// A node that starts now, called after its machine.
    pub(crate) fn start() -> Self {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { uid: Uuid::new_v4(), name, started: Instant::now() }
    }
}

#[derive(Serialize)]
struct Info {
    nodes: [NodeInfo; 1],
}

#[derive(Serialize)]
struct NodeInfo {
    uid: String,
    name: String,
    version: &'static str,
    num_clients: usize,
    num_users: usize,
    num_channels: usize,
    num_subs: u64,
    /// Seconds.
    uptime: u64,
    process: Process,
}

/// What the process uses.
#[derive(Serialize)]
struct Process {
    /// Percent of one core, on average since the start.
    cpu: f64,
    /// Resident memory, bytes.
    rss: u64,
}

pub(super) async fn info(door: &Door) -> Outcome {
    let node = &door.node;
    let rooms = door.engine.rooms();
    let num_subs = rooms.iter().map(|(_, members)| u64::from(*members)).sum();
    let num_channels = rooms.iter().filter(|(_, members)| *members > 0).count();
    let uptime = node.started.elapsed();
    let info = NodeInfo {
        uid: node.uid.to_string(),
        name: node.name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        num_clients: connections(door).await,
        num_users: door.engine.users().await?,
        num_channels,
        num_subs,
        uptime: uptime.as_secs(),
        process: Process { cpu: cpu_percent(uptime).unwrap_or_default(), rss: resident_bytes().unwrap_or_default() },
    };
    result(&Info { nodes: [info] })
}

/// Connections of all shards: members and sessions, not who is still in its handshake or asks over HTTP.
async fn connections(door: &Door) -> usize {
    let snapshots = tokio::time::timeout(SHARDS_TIME_MAX, door.engine.snapshots()).await.unwrap_or_default();
    snapshots.iter().flatten().map(|snapshot| snapshot.connections).sum()
}

/// `/proc/self/stat`: the 14th and 15th field, the second of which is in brackets and may hold anything.
fn cpu_percent(uptime: Duration) -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    let ticks: u32 = behind_name.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<u32>().ok()).sum();
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    let percent = 100.0 * f64::from(ticks) / f64::from(per_second) / uptime.as_secs_f64();
    Some((percent * 10.0).round() / 10.0).filter(|percent| percent.is_finite())
}

/// `/proc/self/statm`: the second number, in pages.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

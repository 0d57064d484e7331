//! What a run measured: the one shape that reports, comparisons and `results/` read. As JSON it is the documented
//! output of `loadgen run --format json`.

pub mod distribution;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use distribution::Distribution;

use crate::scenario::{PhaseKind, Scenario};

/// Raised when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// [`SCHEMA`] of the loadgen that wrote it.
    pub schema: u32,
    /// Version of that loadgen.
    pub loadgen: String,
    /// Tells this run's messages from any other's; random.
    pub run_id: u64,
    /// When it began, UTC (RFC 3339).
    pub started: String,
    /// What was run.
    pub scenario: Scenario,
    /// Processes that drove it.
    pub workers: u32,
    /// Local adresses, cores and limits that mattered: the machine.
    pub machine: Machine,
    /// Measured phases together.
    pub total: Figures,
    /// Each phase, in order.
    pub phases: Vec<PhaseOutcome>,
    /// Second by second, ramp and tail included.
    pub seconds: Vec<Second>,
    /// What became of every delivery, all phases.
    pub audit: Audit,
    /// Connections.
    pub connections: Connections,
    /// The server's use of its machine during the measured phases, if it could be looked at.
    pub server: Option<ServerUse>,
    /// The generator's own.
    pub generator: GeneratorUse,
    /// Whether the figures say something about the server.
    pub validity: Validity,
    /// The scenario's thresholds, judged.
    pub thresholds: Vec<ThresholdOutcome>,
    /// It was ended by Ctrl-C: what is here was measured until then.
    pub interrupted: bool,
}

/// The machine that loadgen ran on, as far as it matters for figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Static facts (CPU, cores, kernel, limits), by name: see `record`.
    pub facts: BTreeMap<String, String>,
    /// Hash of the facts: figures are only compared within one class.
    pub class: String,
    /// How fast it was when asked (nanoseconds, GB/s …), by name; empty unless the run was recorded.
    pub calibration: BTreeMap<String, f64>,
}

/// What was measured over a span of time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Length of the span, seconds.
    pub seconds: f64,
    /// Messages published that were due in it. What the server refused, and said so, is not among them.
    pub published: u64,
    /// Deliveries of messages that were due in it, whenever they came.
    pub deliveries: u64,
    /// Deliveries that came within the span, per second.
    pub deliveries_per_second: f64,
    /// Payload bytes that came within the span, per second.
    pub bytes_per_second: f64,
    /// Deliveries that never came, of messages that were due in it.
    pub lost: u64,
    /// Due time to receipt, each delivery.
    pub latency: Distribution,
    /// The same, with lost deliveries at the arrival timeout.
    pub latency_with_losses: Distribution,
    /// Due time to when the generator had sent it, each message, refused ones over connections included: the
    /// generator's own part of every latency.
    pub lateness: Distribution,
    /// First to last subscriber, each message that all of its room got.
    pub spread: Distribution,
    /// Due time to last subscriber, each message that all of its room got.
    pub completion: Distribution,
    /// TCP connect to established, each connection.
    pub connect: Distribution,
    /// Established to member of the room, each connection.
    pub handshake: Distribution,
    /// Lost connection found to first new or replayed message, each resume.
    pub resume: Distribution,
}

/// One phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PhaseOutcome {
    /// Its name.
    pub name: String,
    /// Whether it counts.
    pub kind: PhaseKind,
    /// Messages per second asked for; none in a closed loop.
    pub rate_per_second: Option<f64>,
    /// From the first publication's due time of the run, seconds.
    pub start_s: f64,
    /// What was measured.
    pub figures: Figures,
}

/// One second of the run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Second {
    /// Its beginning, seconds from the run's beginning (the first connect).
    pub at_s: f64,
    /// Name of the phase; `ramp` and `tail` are no phases of the scenario.
    pub phase: String,
    /// Connections that were members at its end.
    pub connected: u64,
    /// Messages sent in it.
    pub published: u64,
    /// Deliveries that came in it.
    pub deliveries: u64,
    /// Payload bytes that came in it.
    pub bytes: u64,
    /// Connections that failed or were lost in it.
    pub errors: u64,
    /// Due time to receipt, of deliveries that came in it.
    pub latency: Distribution,
    /// The server's CPU, seconds per second, if known.
    pub server_cpu: Option<f64>,
    /// The generator's CPU, seconds per second, all threads and workers.
    pub generator_cpu: f64,
}

/// What became of every delivery of normal, churning and reconnecting subscribers. Everything is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Deliveries owed: each message to each member of its room at that time, as far as the generator can know.
    pub expected: u64,
    /// Of these, arrived (once).
    pub received: u64,
    /// Of these, never arrived though a later message of the same publisher did.
    pub lost_in_gaps: u64,
    /// Of these, never arrived and nothing later of the same publisher either.
    pub lost_at_tail: u64,
    /// Part of the lost ones that the server announced (its own counters of drops, a close code for slow readers).
    pub announced_drops: u64,
    /// Deliveries that came again.
    pub duplicated: u64,
    /// Deliveries that came after a later message of the same publisher.
    pub out_of_order: u64,
    /// Payloads of this run whose checksum is wrong.
    pub corrupt: u64,
    /// Payloads of this run that belong to another room.
    pub misrouted: u64,
    /// Frames that are no payload of this run.
    pub foreign: u64,
    /// Messages that a subscriber missed while it was away; not owed.
    pub missed_while_away: u64,
}

/// Connections of subscribers and publishers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Connections {
    /// Asked for.
    pub wanted: u64,
    /// Most at once.
    pub connected_max: u64,
    /// Times that somebody became a member.
    pub established: u64,
    /// Attempts that failed, by kind (`refused`, `timeout`, `http 503`, …).
    pub failed: BTreeMap<String, u64>,
    /// Members whose connection ended though loadgen did not want it, by kind (`reset`, `close 3008`, …).
    pub lost: BTreeMap<String, u64>,
    /// Times that somebody came back.
    pub resumed: u64,
}

/// The server's use of its machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerUse {
    /// CPU, seconds, user and system, during the measured phases.
    pub cpu_seconds: f64,
    /// CPU per delivery, nanoseconds.
    pub cpu_ns_per_delivery: f64,
    /// Memory (PSS) before the first connection, bytes.
    pub memory_before_bytes: u64,
    /// … when all were connected and nothing was published.
    pub memory_idle_bytes: u64,
    /// … at the end of the last phase.
    pub memory_end_bytes: u64,
    /// Kernel memory for TCP of the whole machine (both ends, if both are here) before the first connection, bytes.
    pub tcp_before_bytes: u64,
    /// … when all were connected.
    pub tcp_idle_bytes: u64,
    /// … at the end of the last phase.
    pub tcp_end_bytes: u64,
    /// `(memory_idle − memory_before) / connections`, bytes.
    pub memory_per_connection_bytes: f64,
    /// `(tcp_end − tcp_before) / connections`, bytes.
    pub tcp_per_connection_bytes: f64,
    /// Changes of the server's own counters during the run, by metric name, if its `/metrics` was given.
    pub counters: BTreeMap<String, f64>,
}

/// The generator's use of its machine during the measured phases.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GeneratorUse {
    /// CPU, seconds, all threads and workers.
    pub cpu_seconds: f64,
    /// CPU of the busiest thread, as part of a core; of all threads together if they are pinned to one.
    pub busiest_thread: f64,
    /// CPU per delivery, nanoseconds.
    pub cpu_ns_per_delivery: f64,
    /// CPU time that the hypervisor gave to others, as part of the machine's.
    pub steal: f64,
    /// CPU of all other processes of the machine (neither server nor generator), cores.
    pub others: f64,
}

/// Whether the figures say something about the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// Why not; none: valid. Each is a sentence with actual and limit.
    pub problems: Vec<String>,
    /// Worth knowing, does not make it invalid.
    pub warnings: Vec<String>,
}

impl Validity {
    /// Whether the figures say something about the server.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.problems.is_empty()
    }
}

/// One threshold of the scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdOutcome {
    /// The metric, as in the scenario.
    pub metric: String,
    /// The bound, as in the scenario.
    pub bound: String,
    /// What was measured, in the metric's unit; none if nothing of the kind was, and then the bound is not met.
    pub actual: Option<f64>,
    /// Whether it holds.
    pub met: bool,
}

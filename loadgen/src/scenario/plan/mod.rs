//! What a scenario will do, worked out before it is done: `loadgen run --dry-run`.
//!
//! Pure: the limits of the machine are passed in. Byte counts are payload plus WebSocket frame headers, without TCP/IP.

mod hits;
mod text;

use std::time::Duration;

use serde::Serialize;

use super::{AdapterKind, PhaseKind, Scenario};
use crate::machine::limits::Limits;
use crate::seats::Seats;

pub use hits::Hit;

/// The processes that drive a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drivers {
    /// How many; at least 1.
    pub workers: u32,
    /// Where they are.
    pub place: Place,
}

/// Where workers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// All on this machine.
    SameMachine,
    /// Each on a machine of its own, with limits like this one's.
    OwnMachines,
}

impl Default for Drivers {
    /// This process alone.
    fn default() -> Self {
        Self { workers: 1, place: Place::SameMachine }
    }
}

/// What a scenario will do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The scenario's name.
    pub name: String,
    /// Where subscribers connect.
    pub url: String,
    /// Processes that share the subscribers.
    pub workers: u32,
    /// Connections of subscribers.
    pub subscribers: u32,
    /// Connections of publishers.
    pub publishers: u32,
    /// Rooms.
    pub rooms: u32,
    /// Members of the largest room.
    pub members_max: u32,
    /// Members of the smallest room.
    pub members_min: u32,
    /// Deliveries owed for a message, on average over the publishers.
    pub fan_out: f64,
    /// Time to connect all subscribers; none: all at once.
    #[serde(serialize_with = "seconds_or_none")]
    pub ramp: Option<Duration>,
    /// The phases in order.
    pub phases: Vec<PhasePlan>,
    /// Ramp, phases and the wait for the last message.
    #[serde(serialize_with = "seconds")]
    pub total: Duration,
    /// Deliveries owed in all phases; none in a closed loop.
    pub deliveries: Option<f64>,
    /// … in the measured ones.
    pub deliveries_measured: Option<f64>,
    /// Open files that a worker needs.
    pub files_per_worker: u64,
    /// Local ports that each source address needs.
    pub ports_per_address: u64,
    /// What will stand in its way, and what is worth knowing.
    pub hits: Vec<Hit>,
}

/// What a phase will do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhasePlan {
    /// Its name.
    pub name: String,
    /// Whether it counts.
    pub kind: PhaseKind,
    /// How long.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
    /// What is published and delivered; none in a closed loop.
    pub rates: Option<Rates>,
}

/// What is published and delivered, per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// Messages published.
    pub messages: f64,
    /// Deliveries, of all subscribers.
    pub deliveries: f64,
    /// Bytes that the server receives.
    pub bytes_to_server: f64,
    /// Bytes that the server sends.
    pub bytes_from_server: f64,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn seconds_or_none<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}

impl Plan {
    /// Works out what a checked scenario does, driven so, on a machine with these limits.
    #[must_use]
    pub fn new(scenario: &Scenario, drivers: Drivers, limits: &Limits) -> Self {
        let workers = drivers.workers.max(1);
        let members = members_per_room(scenario);
        let (all_members, owed_members) = fan_outs(scenario, &members);
        let phases: Vec<PhasePlan> = phases(scenario, all_members);
        let subscribers = scenario.subscribers.count;
        let ramp = scenario.subscribers.connects_per_second.map(|rate| seconds_of(f64::from(subscribers) / rate));
        let lasting: Duration = phases.iter().map(|phase| phase.duration).sum();
        let owed = |counts: fn(PhaseKind) -> bool| -> Option<f64> {
            let deliveries =
                |phase: &PhasePlan| Some(phase.rates?.messages * phase.duration.as_secs_f64() * owed_members);
            phases.iter().filter(|phase| counts(phase.kind)).map(deliveries).sum()
        };
        let mut plan = Self {
            name: scenario.name.clone(),
            url: scenario.target.url.clone(),
            workers,
            subscribers,
            publishers: scenario.publishers.count,
            rooms: scenario.rooms.count,
            members_max: members.iter().copied().max().unwrap_or(0),
            members_min: members.iter().copied().min().unwrap_or(0),
            fan_out: owed_members,
            ramp,
            total: ramp.unwrap_or_default() + lasting + scenario.limits.arrival_timeout,
            deliveries: owed(|_| true),
            deliveries_measured: owed(|kind| kind == PhaseKind::Measured),
            phases,
            files_per_worker: 0,
            ports_per_address: 0,
            hits: Vec::new(),
        };
        let demand = hits::demand(scenario, drivers, plan.deliveries_per_second_max().unwrap_or(0.0));
        plan.files_per_worker = demand.files_per_worker();
        plan.ports_per_address = hits::ports_per_address(scenario, &demand);
        plan.hits = hits::find(scenario, &plan, &demand, limits);
        plan
    }

    /// Most deliveries per second in any phase; none in a closed loop.
    #[must_use]
    pub fn deliveries_per_second_max(&self) -> Option<f64> {
        let rates = self.phases.iter().filter_map(|phase| phase.rates);
        rates.map(|rates| rates.deliveries).reduce(f64::max)
    }
}

fn seconds_of(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// Members of each room, in the order of the rooms; none if the scenario was not checked and nobody can be seated.
fn members_per_room(scenario: &Scenario) -> Vec<u32> {
    Seats::new(scenario)
        .map_or_else(|_| Vec::new(), |seats| (0..seats.rooms()).map(|room| seats.members(room)).collect())
}

/// Members that a message reaches, on average over the publishers; and those whose deliveries are owed: slow and
/// stalled ones get what they read.
fn fan_outs(scenario: &Scenario, members: &[u32]) -> (f64, f64) {
    let publishers = usize::try_from(scenario.publishers.count.max(1)).unwrap_or(usize::MAX);
    let reached: u64 = members.iter().cycle().take(publishers).map(|&members| u64::from(members)).sum();
    #[expect(clippy::cast_precision_loss, reason = "an average for people")]
    let average = reached as f64 / publishers as f64;
    let subscribers = f64::from(scenario.subscribers.count.max(1));
    let mix = &scenario.mix;
    let (every, away) = (mix.reconnect_every.as_secs_f64(), mix.reconnect_away.as_secs_f64());
    let absent = if every + away > 0.0 { f64::from(mix.reconnecting) * away / (every + away) } else { 0.0 };
    let owed = subscribers - f64::from(mix.slow) - f64::from(mix.stalled) - absent;
    (average * (subscribers - absent) / subscribers, average * owed / subscribers)
}

fn phases(scenario: &Scenario, fan_out: f64) -> Vec<PhasePlan> {
    let payload = &scenario.payload;
    let mean_bytes = f64::midpoint(f64::from(payload.bytes), f64::from(payload.bytes_max.unwrap_or(payload.bytes)));
    let header = frame_header_bytes(scenario.target.adapter, mean_bytes);
    let rates = |messages: f64| Rates {
        messages,
        deliveries: messages * fan_out,
        // A client's frame has a mask of 4 bytes.
        bytes_to_server: messages * (mean_bytes + header + 4.0),
        bytes_from_server: messages * fan_out * (mean_bytes + header),
    };
    let plan = |phase: &super::Phase| PhasePlan {
        name: phase.name.clone(),
        kind: phase.kind,
        duration: phase.duration,
        rates: match scenario.publishers.window {
            Some(_) => None,
            None => Some(rates(phase.rate_per_second.unwrap_or(scenario.publishers.rate_per_second))),
        },
    };
    scenario.phases.iter().map(plan).collect()
}

/// What frames a payload, bytes; of other protocols than raw WebSocket only the frame, not their envelope.
fn frame_header_bytes(adapter: AdapterKind, payload_bytes: f64) -> f64 {
    match adapter {
        // "data: " before and an empty line behind.
        AdapterKind::Sse => 8.0,
        _ if payload_bytes < 126.0 => 2.0,
        _ if payload_bytes < 65_536.0 => 4.0,
        _ => 10.0,
    }
}

#[cfg(test)]
mod tests;

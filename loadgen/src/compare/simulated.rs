//! A bench without servers: runs drawn from the noise that was measured on a virtual machine with two cores. It tells
//! how often the gate sees a regression of a known size, and how often it sees one that is not there.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_distr::{Distribution as _, StandardNormal};
use serde::{Deserialize, Serialize};

use super::bench::{Bench, BenchError, Side};
use crate::outcome::{
    Audit, Connections, Distribution, Figures, GeneratorUse, Machine, Run, SCHEMA, ServerUse, Validity,
};
use crate::scenario::Scenario;

/// The class that simulated runs say they were measured on.
pub const CLASS: &str = "simulated";

/// How far figures of one and the same server scatter: standard deviations of ln(candidate / base) of sequential pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// CPU per delivery.
    pub cpu: f64,
    /// Median latency.
    pub p50: f64,
    /// 99th percentile of latency.
    pub p99: f64,
    /// Memory per connection.
    pub memory: f64,
    /// How far the whole machine drifts from pair to pair, both sides alike.
    pub drift: f64,
    /// Part of the runs that something disturbed: three times the noise.
    pub disturbed: f64,
}

impl Default for Noise {
    /// As measured: 20 sequential pairs, 250 subscribers, robust.
    fn default() -> Self {
        Self { cpu: 0.086, p50: 0.18, p99: 0.28, memory: 0.005, drift: 0.1, disturbed: 0.03 }
    }
}

/// What the candidate does differently: factors, 1 is no difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Injection {
    /// Of the CPU per delivery.
    pub cpu: f64,
    /// Of all latencies.
    pub latency: f64,
    /// Of the memory per connection.
    pub memory: f64,
}

impl Default for Injection {
    fn default() -> Self {
        Self { cpu: 1.0, latency: 1.0, memory: 1.0 }
    }
}

/// See the module.
#[derive(Debug)]
pub struct SimulatedBench {
    noise: Noise,
    injection: Injection,
    /// Deliveries that each run of the candidate loses without saying so.
    candidate_loses: u64,
    drift: f64,
    seed_of_drift: Option<u64>,
    rng: ChaCha8Rng,
}

impl SimulatedBench {
    /// With that noise and that difference; the seed decides all runs.
    #[must_use]
    pub fn new(noise: Noise, injection: Injection, seed: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self { noise, injection, candidate_loses: 0, drift: 0.0, seed_of_drift: None, rng }
    }

    /// Whose candidate loses that many deliveries in each run.
    #[must_use]
    pub fn losing(self, deliveries: u64) -> Self {
        Self { candidate_loses: deliveries, ..self }
    }

    fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.rng)
    }

    /// A run's part of a pair's noise, which has two.
    fn factor(&mut self, pair_sigma: f64, run_scale: f64) -> f64 {
        (pair_sigma / std::f64::consts::SQRT_2 * run_scale * self.normal()).exp()
    }
}

impl Bench for SimulatedBench {
    fn run(&mut self, side: Side, seed: u64) -> Result<Run, BenchError> {
        if self.seed_of_drift != Some(seed) {
            self.seed_of_drift = Some(seed);
            self.drift = self.noise.drift * self.normal();
        }
        let disturbed = f64::from(self.rng.next_u32()) < self.noise.disturbed * f64::from(u32::MAX);
        let scale = if disturbed { 3.0 } else { 1.0 };
        let injection = match side {
            Side::Base => Injection::default(),
            Side::Candidate => self.injection,
        };
        let machine = self.drift.exp();
        let noise = self.noise;
        let cpu_ns = 900.0 * machine * injection.cpu * self.factor(noise.cpu, scale);
        let memory_bytes = 9_000.0 * injection.memory * self.factor(noise.memory, 1.0);
        let p50_ns = 2e6 * machine * injection.latency * self.factor(noise.p50, scale);
        let p99_ns = p50_ns.max(9e6 * machine * injection.latency * self.factor(noise.p99, scale));
        let mut run = blank_run(&Scenario { seed, ..Scenario::default() });
        run.machine.class = CLASS.to_owned();
        run.total.latency.record_many(whole(p50_ns), 9_000);
        run.total.latency.record_many(whole(p99_ns), 990);
        run.total.latency.record_many(whole(p99_ns * 1.5), 10);
        run.total.lateness.record_many(20_000, 1_000);
        run.total.deliveries = 10_000;
        run.total.deliveries_per_second = 5_000.0;
        run.audit.expected = 10_000;
        if side == Side::Candidate {
            run.audit.lost_at_tail = self.candidate_loses;
        }
        run.audit.received = 10_000 - run.audit.lost_at_tail;
        run.server = Some(ServerUse {
            cpu_seconds: cpu_ns * 1e-5,
            cpu_ns_per_delivery: cpu_ns,
            memory_per_connection_bytes: memory_bytes,
            ..ServerUse::default()
        });
        Ok(run)
    }
}

/// A bench whose candidate's figures are made worse by known factors: with servers that are alike, the noise is real
/// and the regression is known.
pub struct InjectedBench<'a> {
    bench: &'a mut dyn Bench,
    injection: Injection,
}

impl<'a> InjectedBench<'a> {
    /// Around another bench.
    pub fn new(bench: &'a mut dyn Bench, injection: Injection) -> Self {
        Self { bench, injection }
    }
}

impl Bench for InjectedBench<'_> {
    fn run(&mut self, side: Side, seed: u64) -> Result<Run, BenchError> {
        Ok(injected(self.bench.run(side, seed)?, side, self.injection))
    }

    fn run_both(&mut self, first: Side, seed: u64) -> [Result<Run, BenchError>; 2] {
        let [one, other] = self.bench.run_both(first, seed);
        [
            one.map(|run| injected(run, first, self.injection)),
            other.map(|run| injected(run, first.other(), self.injection)),
        ]
    }
}

fn injected(mut run: Run, side: Side, injection: Injection) -> Run {
    if side == Side::Candidate {
        if let Some(server) = &mut run.server {
            server.cpu_seconds *= injection.cpu;
            server.cpu_ns_per_delivery *= injection.cpu;
            server.memory_per_connection_bytes *= injection.memory;
        }
        run.total.latency = scaled(&run.total.latency, injection.latency);
    }
    run
}

/// Each time, that many times as long.
fn scaled(times: &Distribution, factor: f64) -> Distribution {
    let mut scaled = Distribution::default();
    for step in times.histogram().iter_recorded() {
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a run are far below 2^53")]
        let ns = step.value_iterated_to() as f64;
        scaled.record_many(whole(ns * factor), step.count_at_value());
    }
    scaled
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "nanoseconds of a run, not negative")]
fn whole(ns: f64) -> u64 {
    ns as u64
}

/// A run of this scenario in which nothing happened.
#[must_use]
pub fn blank_run(scenario: &Scenario) -> Run {
    Run {
        schema: SCHEMA,
        loadgen: env!("CARGO_PKG_VERSION").to_owned(),
        run_id: scenario.seed,
        started: "1970-01-01T00:00:00Z".to_owned(),
        scenario: scenario.clone(),
        workers: 1,
        machine: Machine { facts: BTreeMap::new(), class: String::new(), calibration: BTreeMap::new() },
        total: Figures::default(),
        phases: Vec::new(),
        seconds: Vec::new(),
        audit: Audit::default(),
        connections: Connections::default(),
        server: None,
        generator: GeneratorUse::default(),
        validity: Validity::default(),
        thresholds: Vec::new(),
        interrupted: false,
    }
}

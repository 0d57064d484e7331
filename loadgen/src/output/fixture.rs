//! Made-up runs for tests: a server with a log-normal latency, on request with a pause and with losses.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, LogNormal};

use crate::outcome::{
    Audit, Connections, Distribution, Figures, GeneratorUse, Machine, PhaseOutcome, Run, SCHEMA, Second, ServerUse,
    ThresholdOutcome, Validity,
};
use crate::output::units::real;
use crate::scenario::{Phase, PhaseKind, Scenario};

/// What the made-up run is like.
#[derive(Clone, Debug)]
pub(crate) struct Fabricated {
    pub(crate) name: String,
    pub(crate) seed: u64,
    /// Median latency, milliseconds.
    pub(crate) median_ms: f64,
    /// When the server stands still for half a second, seconds from the run's beginning.
    pub(crate) pause_s: Option<f64>,
    /// Every so many messages, one subscriber does not get it.
    pub(crate) lost_every: Option<u64>,
}

impl Default for Fabricated {
    fn default() -> Self {
        Self { name: "one-room".to_owned(), seed: 7, median_ms: 1.4, pause_s: None, lost_every: None }
    }
}

const SUBSCRIBERS: u64 = 500;
const PAYLOAD_BYTES: u64 = 128;
const PAUSE_S: f64 = 0.5;
const ARRIVAL_TIMEOUT_NS: u64 = 2_000_000_000;
const RAMP_S: u32 = 2;
/// Name, kind, seconds, messages per second.
const PHASES: [(&str, PhaseKind, u32, u32); 3] = [
    ("warm-up", PhaseKind::WarmUp, 2, 100),
    ("step 1", PhaseKind::Measured, 8, 100),
    ("step 2", PhaseKind::Measured, 10, 200),
];
/// Subscribers that share one drawn latency, to be quick.
const TOGETHER: u64 = 50;

/// What `write` writes.
pub(crate) fn text_of(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
    let mut bytes = Vec::new();
    write(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn nanoseconds(seconds: f64) -> u64 {
    u64::try_from(Duration::from_secs_f64(seconds.max(0.0)).as_nanos()).unwrap()
}

impl Fabricated {
    /// Makes it up; the same every time.
    pub(crate) fn run(&self) -> Run {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut seconds = ramp();
        let mut phases = Vec::new();
        let mut start_s = 0;
        for (name, kind, length_s, rate) in PHASES {
            let mut figures = Figures { seconds: f64::from(length_s), ..Figures::default() };
            for at_s in start_s..start_s + length_s {
                seconds.push(self.second(f64::from(RAMP_S + at_s), (name, rate), &mut figures, &mut random));
            }
            figures.deliveries_per_second = real(figures.deliveries) / figures.seconds;
            figures.bytes_per_second = figures.deliveries_per_second * real(PAYLOAD_BYTES);
            let (rate_per_second, start) = (Some(f64::from(rate)), f64::from(start_s));
            phases.push(PhaseOutcome { name: name.to_owned(), kind, rate_per_second, start_s: start, figures });
            start_s += length_s;
        }
        seconds.push(Second {
            at_s: f64::from(RAMP_S + start_s),
            phase: "tail".to_owned(),
            connected: SUBSCRIBERS,
            generator_cpu: 0.02,
            server_cpu: Some(0.01),
            ..Second::default()
        });
        self.finish(seconds, phases, &mut random)
    }

    /// One second in which messages are due; what becomes of them goes to `figures`.
    fn second(&self, at_s: f64, phase: (&str, u32), figures: &mut Figures, random: &mut ChaCha8Rng) -> Second {
        let (name, rate) = phase;
        let spikes = LogNormal::new((self.median_ms / 1e3).ln(), 0.35).unwrap();
        let late = LogNormal::new((40e-6_f64).ln(), 0.4).unwrap();
        let mut second = Second { at_s, phase: name.to_owned(), connected: SUBSCRIBERS, ..Second::default() };
        for message in 0..u64::from(rate) {
            let due_s = at_s + real(message) / f64::from(rate);
            let paused_s = self
                .pause_s
                .map_or(0.0, |from| if (from..from + PAUSE_S).contains(&due_s) { from + PAUSE_S - due_s } else { 0.0 });
            let lost = u64::from(self.lost_every.is_some_and(|every| (figures.published + 1).is_multiple_of(every)));
            let (mut first, mut last) = (u64::MAX, 0);
            for group in 0..SUBSCRIBERS / TOGETHER {
                let latency = nanoseconds(paused_s + spikes.sample(random) * f64::from(rate).sqrt() / 10.0);
                let count = if group == 0 { TOGETHER - lost } else { TOGETHER };
                (first, last) = (first.min(latency), last.max(latency));
                second.latency.record_many(latency, count);
            }
            figures.latency_with_losses.record_many(ARRIVAL_TIMEOUT_NS, lost);
            figures.lateness.record(nanoseconds(late.sample(random)));
            figures.published += 1;
            figures.lost += lost;
            if lost == 0 {
                figures.spread.record(last - first);
                figures.completion.record(last);
            }
        }
        second.published = u64::from(rate);
        second.deliveries = second.latency.count();
        second.bytes = second.deliveries * PAYLOAD_BYTES;
        second.server_cpu = Some(0.05 + real(second.deliveries) * 3.1e-6);
        second.generator_cpu = 0.03 + real(second.deliveries) * 2.2e-6;
        figures.deliveries += second.deliveries;
        figures.latency.add(&second.latency);
        figures.latency_with_losses.add(&second.latency);
        second
    }

    fn finish(&self, seconds: Vec<Second>, phases: Vec<PhaseOutcome>, random: &mut ChaCha8Rng) -> Run {
        let mut total = totals(&phases);
        let connect = LogNormal::new((90e-6_f64).ln(), 0.5).unwrap();
        for _ in 0..SUBSCRIBERS {
            total.connect.record(nanoseconds(connect.sample(random)));
            total.handshake.record(nanoseconds(connect.sample(random) * 4.0));
        }
        let lost = phases.iter().map(|phase| phase.figures.lost).sum();
        let received = phases.iter().map(|phase| phase.figures.deliveries).sum();
        let mut validity = Validity::default();
        if lost > 0 {
            validity.problems.push(format!("{lost} deliveries were lost and not announced, at most 0 may be"));
            validity.warnings.push("the hypervisor took 1.2 % of the machine's CPU time (steal)".to_owned());
        }
        let p99_ns = real(total.latency.percentile_ns(99.0));
        Run {
            schema: SCHEMA,
            loadgen: "0.1.0".to_owned(),
            run_id: 0x5eed_0000 + self.seed,
            started: "2026-11-20T16:00:02Z".to_owned(),
            scenario: self.scenario(),
            workers: 1,
            machine: machine(),
            server: Some(server(received)),
            generator: GeneratorUse {
                cpu_seconds: 5.1,
                busiest_thread: 0.31,
                cpu_ns_per_delivery: 2_280.0,
                steal: if lost > 0 { 0.012 } else { 0.001 },
                others: 0.04,
            },
            total,
            phases,
            seconds,
            audit: Audit { expected: received + lost, received, lost_in_gaps: lost, ..Audit::default() },
            connections: Connections {
                wanted: SUBSCRIBERS,
                connected_max: SUBSCRIBERS,
                established: SUBSCRIBERS,
                failed: if lost > 0 { [("timeout".to_owned(), 2)].into() } else { BTreeMap::new() },
                ..Connections::default()
            },
            validity,
            thresholds: vec![ThresholdOutcome {
                metric: "latency.p99".to_owned(),
                bound: "<= 20ms".to_owned(),
                actual: Some(p99_ns),
                met: p99_ns <= 20e6,
            }],
            interrupted: false,
        }
    }

    fn scenario(&self) -> Scenario {
        let mut scenario = Scenario { name: self.name.clone(), seed: self.seed, ..Scenario::default() };
        scenario.subscribers.count = u32::try_from(SUBSCRIBERS).unwrap();
        for (name, kind, length_s, rate) in PHASES {
            scenario.phases.push(Phase {
                name: name.to_owned(),
                kind,
                duration: Duration::from_secs(u64::from(length_s)),
                rate_per_second: Some(f64::from(rate)),
            });
        }
        scenario.thresholds.insert("latency.p99".to_owned(), "<= 20ms".to_owned());
        scenario
    }
}

fn ramp() -> Vec<Second> {
    let second = |at_s: u32| Second {
        at_s: f64::from(at_s),
        phase: "ramp".to_owned(),
        connected: SUBSCRIBERS * u64::from(at_s + 1) / u64::from(RAMP_S),
        generator_cpu: 0.2,
        server_cpu: Some(0.3),
        ..Second::default()
    };
    (0..RAMP_S).map(second).collect()
}

fn totals(phases: &[PhaseOutcome]) -> Figures {
    let mut total = Figures::default();
    for PhaseOutcome { figures, .. } in phases.iter().filter(|phase| phase.kind == PhaseKind::Measured) {
        total.seconds += figures.seconds;
        total.published += figures.published;
        total.deliveries += figures.deliveries;
        total.lost += figures.lost;
        let distributions: [(&mut Distribution, &Distribution); 5] = [
            (&mut total.latency, &figures.latency),
            (&mut total.latency_with_losses, &figures.latency_with_losses),
            (&mut total.lateness, &figures.lateness),
            (&mut total.spread, &figures.spread),
            (&mut total.completion, &figures.completion),
        ];
        for (whole, part) in distributions {
            whole.add(part);
        }
    }
    total.deliveries_per_second = real(total.deliveries) / total.seconds;
    total.bytes_per_second = total.deliveries_per_second * real(PAYLOAD_BYTES);
    total
}

fn server(deliveries: u64) -> ServerUse {
    const MIB: u64 = 1024 * 1024;
    ServerUse {
        cpu_seconds: real(deliveries) * 3.1e-6,
        cpu_ns_per_delivery: 3_100.0,
        memory_before_bytes: 5 * MIB,
        memory_idle_bytes: 6 * MIB,
        memory_end_bytes: 7 * MIB,
        tcp_before_bytes: MIB,
        tcp_idle_bytes: MIB,
        tcp_end_bytes: 5 * MIB,
        memory_per_connection_bytes: real(MIB) / real(SUBSCRIBERS),
        tcp_per_connection_bytes: 4.0 * real(MIB) / real(SUBSCRIBERS),
        counters: [("shardcast_publications_total".to_owned(), 3_000.0)].into(),
    }
}

fn machine() -> Machine {
    let facts = [("cpu", "AMD EPYC 9B14, 2 cores"), ("kernel", "6.1.0"), ("memory", "7.8 GiB"), ("nofile", "20000")];
    Machine {
        facts: facts.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        class: "4f1c2a9be07d".to_owned(),
        calibration: [("loopback_rtt_p50_ns".to_owned(), 21_400.0)].into(),
    }
}

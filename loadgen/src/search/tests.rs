use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;
use crate::compare::simulated::blank_run;
use crate::outcome::ServerUse;
use crate::scenario::Scenario;
use crate::thresholds;

/// A server whose latency grows towards its capacity as a queue's does, and a generator with a capacity of its own.
struct Simulated {
    server: f64,
    generator: f64,
    /// Part of the runs that something disturbs.
    disturbed: f64,
    rng: ChaCha8Rng,
}

impl Simulated {
    fn new(server: f64, generator: f64, disturbed: f64, seed: u64) -> Self {
        Self { server, generator, disturbed, rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    fn chance(&mut self) -> f64 {
        f64::from(self.rng.next_u32()) / f64::from(u32::MAX)
    }

    fn run(&mut self, load: f64) -> Run {
        let mut scenario = Scenario::default();
        scenario.thresholds.insert("latency.p99".to_owned(), "<= 20ms".to_owned());
        scenario.limits.lateness_p999_max = Duration::from_millis(5);
        let mut run = blank_run(&scenario);
        let wobble = 1.0 + 0.04 * (self.chance() - 0.5);
        let queue = 1.0 / (1.0 - (load / self.server).min(0.999));
        let disturbance = if self.chance() < self.disturbed { 50.0 } else { 1.0 };
        // 20 ms are reached at 95 % of what the server can do at all.
        let latency_ns = 1e6 * queue * wobble * disturbance;
        let latency = Duration::from_secs_f64(latency_ns / 1e9);
        run.total.latency.record_many(u64::try_from(latency.as_nanos()).unwrap(), 1_000);
        run.total.lateness.record_many(if load > self.generator { 50_000_000 } else { 10_000 }, 1_000);
        run.total.deliveries_per_second = load;
        run.total.seconds = 1.0;
        run.server = Some(ServerUse { cpu_seconds: load / self.server, ..ServerUse::default() });
        run.thresholds = thresholds::judge(&run).unwrap();
        run
    }
}

const PLAN: Plan = Plan { from: 10.0, to: None, precision: 0.05, loads: Loads::Any, runs_max: 60 };

fn find(plan: Plan, simulated: &mut Simulated) -> Capacity {
    let mut told = 0;
    let capacity = search(plan, "messages/s", &mut |load| Ok(simulated.run(load)), &mut |_, run| {
        told += 1;
        assert!(run.is_some());
        Ok(())
    })
    .unwrap();
    assert_eq!(told, capacity.attempts.len() + capacity.curve.len());
    capacity
}

#[test]
fn the_capacity_is_found_from_anywhere() {
    for (from, server) in [(10.0, 5_000.0), (4_000.0, 5_000.0), (5_000.0, 5_000.0), (90_000.0, 5_000.0), (1.0, 7.5)] {
        for seed in 0..20 {
            let capacity = find(Plan { from, ..PLAN }, &mut Simulated::new(server, f64::INFINITY, 0.0, seed));
            let (load, fails_at) = (capacity.load.unwrap(), capacity.fails_at.unwrap());
            let wanted = server * 0.95;
            assert!((load / wanted - 1.0).abs() < 0.06, "{from} {server} {seed}: {load}");
            assert!(fails_at > load && fails_at / load < 1.06, "{load} {fails_at}");
            assert_eq!((capacity.limit, capacity.confirmed), (Limit::Server, true));
            assert!(capacity.attempts.len() < 40, "{}", capacity.attempts.len());
            assert!(capacity.sentence().starts_with("CAPACITY: "), "{}", capacity.sentence());
            let parts: Vec<f64> = capacity.curve.iter().map(|attempt| attempt.load / load).collect();
            assert!(parts.iter().zip([0.1, 0.5, 0.9]).all(|(part, wanted)| (part - wanted).abs() < 0.01), "{parts:?}");
            let p99: Vec<f64> = capacity.curve.iter().map(|attempt| attempt.point.unwrap().p99_ns.unwrap()).collect();
            assert!(p99[0] < p99[1] && p99[1] < p99[2], "{p99:?}");
        }
    }
}

#[test]
fn a_noisy_failure_does_not_end_it() {
    let near = (0..200)
        .filter(|&seed| {
            let capacity = find(PLAN, &mut Simulated::new(5_000.0, f64::INFINITY, 0.05, seed));
            (capacity.load.unwrap() / 4_750.0 - 1.0).abs() < 0.1
        })
        .count();
    // Two disturbed runs of the same load in a row: about one search in thirty.
    assert!(near >= 180, "{near} of 200");
}

#[test]
fn a_result_that_does_not_hold_again_is_none() {
    // The first run of 80 is lucky; the load that holds is 40.
    let mut runs = 0;
    let mut simulated = Simulated::new(1e9, f64::INFINITY, 0.0, 1);
    let mut slow = Simulated::new(1.0, f64::INFINITY, 0.0, 1);
    let capacity = search(
        PLAN,
        "messages/s",
        &mut |load| {
            let is_lucky = (load - 80.0).abs() < 1e-6 && runs == 0;
            runs += u32::from((load - 80.0).abs() < 1e-6);
            Ok(if load < 41.0 || is_lucky { simulated.run(load) } else { slow.run(load) })
        },
        &mut |_, _| Ok(()),
    )
    .unwrap();
    assert!((39.0..=41.0).contains(&capacity.load.unwrap()), "{:?}", capacity.load);
    assert!(capacity.confirmed && runs == 3, "{runs}");
}

#[test]
fn a_generator_that_is_the_limit_is_no_capacity() {
    let capacity = find(PLAN, &mut Simulated::new(1e6, 3_000.0, 0.0, 3));
    let load = capacity.load.unwrap();
    assert!((load / 3_000.0 - 1.0).abs() < 0.06, "{load}");
    assert_eq!(capacity.limit, Limit::Generator);
    let text = capacity.sentence();
    assert!(text.starts_with("AT LEAST ") && text.contains("the generator is the limit at "), "{text}");
    let capacity = find(PLAN, &mut Simulated::new(1e6, 0.000_1, 0.0, 3));
    assert_eq!(capacity.load, None);
    assert!(capacity.only_the_generator() && capacity.sentence().contains("NO RESULT"), "{}", capacity.sentence());
}

#[test]
fn bounds_of_the_search_itself() {
    let server = |capacity| Simulated::new(capacity, f64::INFINITY, 0.0, 5);
    let asked = find(Plan { to: Some(700.0), ..PLAN }, &mut server(5_000.0));
    assert_eq!((asked.load, asked.limit, asked.confirmed), (Some(700.0), Limit::Asked, true));
    let nothing = find(PLAN, &mut server(0.001));
    assert_eq!((nothing.load, nothing.limit), (None, Limit::Server));
    assert!(nothing.sentence().starts_with("NO LOAD HOLDS") && nothing.curve.is_empty(), "{}", nothing.sentence());
    let spent = find(Plan { runs_max: 4, ..PLAN }, &mut server(5_000.0));
    assert_eq!((spent.load, spent.limit, spent.attempts.len()), (Some(80.0), Limit::Runs, 4));
    let people = find(Plan { loads: Loads::Whole, from: 3.0, precision: 0.001, ..PLAN }, &mut server(100.0));
    let load = people.load.unwrap();
    assert!((load - 95.0).abs() <= 1.0 && load.fract() == 0.0, "{load}");
}

#[test]
fn runs_that_cannot_be_made() {
    let refused = |_: f64| -> Result<Run, DriveError> { Err("refused".into()) };
    let error = search(PLAN, "messages/s", &mut { refused }, &mut |_, _| Ok(())).unwrap_err();
    assert!(error.to_string().contains("the first load, 10, could not be run: refused"), "{error}");
    let mut unreachable = |_: f64| {
        let mut run = blank_run(&Scenario::default());
        run.connections.wanted = 100;
        run.validity.problems.push("0 of 100 could connect".to_owned());
        Ok(run)
    };
    let error = search(PLAN, "messages/s", &mut unreachable, &mut |_, _| Ok(())).unwrap_err();
    assert!(error.to_string().contains("reached no server: 0 of 100 could connect"), "{error}");
    let mut simulated = Simulated::new(1e9, f64::INFINITY, 0.0, 1);
    let mut dies = |load: f64| if load > 100.0 { Err("refused".into()) } else { Ok(simulated.run(load)) };
    let capacity = search(PLAN, "messages/s", &mut dies, &mut |_, _| Ok(())).unwrap();
    assert!((95.0..=100.0).contains(&capacity.load.unwrap()));
    assert_eq!(capacity.reasons, ["refused"]);
    let mut simulated = Simulated::new(1e9, f64::INFINITY, 0.0, 1);
    let mut interrupted = |load: f64| {
        let mut run = simulated.run(load);
        run.interrupted = load > 30.0;
        Ok(run)
    };
    let capacity = search(PLAN, "messages/s", &mut interrupted, &mut |_, _| Ok(())).unwrap();
    assert_eq!((capacity.load, capacity.limit), (Some(20.0), Limit::Interrupted));
}

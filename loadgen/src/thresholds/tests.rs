use super::*;
use crate::outcome::{Audit, Connections, Distribution, Figures, GeneratorUse, Machine, SCHEMA, ServerUse, Validity};

/// A run of 100 deliveries with latencies of 1 to 100 ms.
fn run() -> Run {
    let mut latency = Distribution::default();
    (1..=100).for_each(|ms| latency.record(ms * 1_000_000));
    Run {
        schema: SCHEMA,
        loadgen: String::new(),
        run_id: 1,
        started: String::new(),
        scenario: Scenario::default(),
        workers: 1,
        machine: Machine::default(),
        total: Figures { seconds: 2.0, published: 10, deliveries_per_second: 50.0, latency, ..Figures::default() },
        phases: Vec::new(),
        seconds: Vec::new(),
        audit: Audit {
            expected: 1_000,
            received: 997,
            lost_in_gaps: 2,
            lost_at_tail: 1,
            announced_drops: 2,
            ..Audit::default()
        },
        connections: Connections::default(),
        server: Some(ServerUse {
            cpu_seconds: 1.0,
            cpu_ns_per_delivery: 3_000.0,
            memory_per_connection_bytes: 1_536.0,
            ..ServerUse::default()
        }),
        generator: GeneratorUse { busiest_thread: 0.5, ..GeneratorUse::default() },
        validity: Validity::default(),
        thresholds: Vec::new(),
        interrupted: false,
    }
}

#[test]
fn thresholds_are_judged() {
    let mut run = run();
    let cases = [
        ("latency.p50", "<= 50.1ms", true),
        ("latency.p50", "<= 49ms", false),
        ("latency.p99.9", "< 0.2s", true),
        ("latency.max", ">= 100000us", true),
        ("latency.mean", "<= 51ms", true),
        ("spread.p99", "<= 1h", false),
        ("lost", "= 3", true),
        ("lost_unannounced", "<= 0", false),
        ("duplicated", "== 0", true),
        ("delivered_ratio", ">= 99.7%", true),
        ("delivered_ratio", ">= 0.998", false),
        ("deliveries_per_second", ">= 0.05k/s", true),
        ("published_per_second", "= 5", true),
        ("connections.connected_ratio", ">= 0", false),
        ("server.cpu", "<= 50%", true),
        ("server.cpu_per_delivery", "< 3us", false),
        ("server.cpu_per_delivery", "<= 3 us", true),
        ("server.memory_per_connection", "<= 1.5KiB", true),
        ("generator.cpu", "<= 0.5", true),
    ];
    for (metric, bound, met) in cases {
        run.scenario.thresholds = [(metric.to_owned(), bound.to_owned())].into();
        let judged = judge(&run).unwrap();
        assert_eq!(judged.len(), 1);
        assert_eq!(judged[0].met, met, "{metric} {bound}: {:?}", judged[0].actual);
        assert_eq!((judged[0].metric.as_str(), judged[0].bound.as_str()), (metric, bound));
    }
}

#[test]
fn what_was_not_measured_is_not_met() {
    let mut run = run();
    run.server = None;
    run.scenario.thresholds = [("server.cpu".to_owned(), "<= 100".to_owned())].into();
    assert_eq!(needing_server(&run.scenario), ["server.cpu"]);
    let judged = judge(&run).unwrap();
    assert_eq!((judged[0].actual, judged[0].met), (None, false));
    assert_eq!(measured(&judged[0]), "nothing");
    let known = ThresholdOutcome { metric: "latency.p99".to_owned(), actual: Some(2.5e6), ..judged[0].clone() };
    assert_eq!(measured(&known), "2.50ms");
    assert_eq!(value("resume.p50", &run), Ok(None));
}

#[test]
fn every_listed_metric_is_found() {
    let run = run();
    let names = metrics::names();
    assert!(names.len() > 80, "{}", names.len());
    for name in &names {
        assert_eq!(&metrics::find(name).unwrap().name, name);
        value(name, &run).unwrap();
    }
    assert_eq!(value("latency.max", &run).unwrap().map(|ns| (ns / 1e6).round()), Some(100.0));
}

#[test]
fn mistakes_are_told() {
    for (metric, bound, wanted) in [
        ("latency.p98", "<= 1ms", "no metric \"latency.p98\"; did you mean \"latency.p9"),
        ("latencey.p99", "<= 1ms", "did you mean \"latency.p99\"?"),
        ("lots", "= 0", "did you mean \"lost\"?"),
        ("cpu_of_the_database", "= 0", "`loadgen help metrics` lists them"),
        ("latency.p99", "20ms", "does not begin with one of"),
        ("latency.p99", "<= 20", "a time with its unit"),
        ("latency.p99", "<= 20MiB", "a time with its unit"),
        ("lost", "= none", "a number"),
        ("delivered_ratio", ">= 99.9ms", "a share"),
        ("deliveries_per_second", "> 5%", "a rate"),
        ("server.memory_per_connection", "< 5ms", "a size"),
    ] {
        let said = parse(metric, bound).unwrap_err().to_string();
        assert!(said.contains(wanted), "{metric} {bound}: {said}");
    }
}

#[test]
fn quantities_are_shown() {
    for (unit, value, wanted) in [
        (Unit::Nanoseconds, 20_500_000.0, "20.5ms"),
        (Unit::Nanoseconds, 0.0, "0ns"),
        (Unit::Nanoseconds, 4_000.0, "4us"),
        (Unit::Bytes, 1_536.0, "1.50KiB"),
        (Unit::Share, 0.999_999, "0.999999"),
        (Unit::Count, 3.0, "3"),
        (Unit::PerSecond, 400_000.0, "400000/s"),
    ] {
        assert_eq!(quantity::show(unit, value), wanted);
    }
}

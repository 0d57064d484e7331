//! The gate tried on noise as it was measured: how often it sees what is there, and what is not. The records in
//! `reference/` are these trials; with `LOADGEN_WRITE_REFERENCE=1` set this test writes them anew.

use std::collections::BTreeMap;
use std::path::Path;

use loadgen::compare::Pairing;
use loadgen::compare::decision::Outcome;
use loadgen::compare::noise::NoiseTable;
use loadgen::compare::rules::Rules;
use loadgen::compare::simulated::{Injection, Noise, SimulatedBench};
use loadgen::compare::trial::{TrialPlan, TrialRecord, trial};

fn run_trials(trials: usize, injection: Option<Injection>, noise: Option<&mut NoiseTable>) -> TrialRecord {
    let rules = Rules::new(&BTreeMap::new(), None).expect("no name").with_resamples(1_000, 1);
    let plan = TrialPlan { rules: &rules, pairs: 10, pairing: Pairing::Sequential, trials, seed: 20, injection };
    let mut bench = SimulatedBench::new(Noise::default(), injection.unwrap_or_default(), 21);
    trial(plan, &mut bench, &mut (), noise).expect("nothing is written")
}

/// The committed record is what the trial says today.
#[track_caller]
fn assert_recorded(name: &str, record: &TrialRecord) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name);
    let text = serde_json::to_string_pretty(record).expect("numbers and strings") + "\n";
    if std::env::var_os("LOADGEN_WRITE_REFERENCE").is_some() {
        std::fs::write(&path, &text).expect("the folder is there");
    }
    let recorded = std::fs::read_to_string(&path).expect("a committed file");
    assert!(recorded == text, "{name} is not what the trial says: write it anew (see the head of this file)");
}

#[test]
fn a_fifth_more_cpu_is_seen_in_nine_of_ten() {
    let record = run_trials(50, Some(Injection { cpu: 1.2, ..Injection::default() }), None);
    assert!(record.regression_rate >= 0.9, "{:?}", record.outcomes);
    for trial in record.trials.iter().filter(|trial| trial.outcome == Outcome::Regression) {
        assert_eq!(trial.regressions, ["server.cpu_per_delivery"]);
    }
    assert_recorded("trial-cpu-20-percent.json", &record);
}

#[test]
fn twice_the_latency_is_seen_in_nine_of_ten() {
    let record = run_trials(20, Some(Injection { latency: 2.0, ..Injection::default() }), None);
    assert!(record.regression_rate >= 0.9, "{:?}", record.outcomes);
}

#[test]
fn a_server_against_itself_is_at_most_one_alarm_in_fifty() {
    let mut noise = NoiseTable::default();
    let record = run_trials(50, None, Some(&mut noise));
    assert!(record.regression_rate <= 0.02, "{:?}", record.outcomes);
    assert_eq!((noise.trials.len(), noise.class.as_str()), (50, "simulated"));
    // The noise that was put in comes out.
    for (metric, sigma) in [("server.cpu_per_delivery", 0.086), ("latency.p50", 0.18), ("latency.p99", 0.28)] {
        let found = noise.metric[metric].sigma;
        assert!((found / sigma - 1.0).abs() < 0.25, "{metric}: {found}, not {sigma}");
    }
    assert_recorded("trial-same-server.json", &record);
}

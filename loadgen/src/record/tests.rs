use std::collections::BTreeMap;

use super::source::GitState;
use super::*;
use crate::outcome::{Audit, Connections, Figures, GeneratorUse, Machine, SCHEMA, ServerUse, Validity};
use crate::scenario::{Phase, PhaseKind, Scenario};

/// A run as the recorder would give it.
pub(super) fn run(name: &str, p50_ns: u64, problems: &[&str]) -> Run {
    let mut total = Figures { deliveries_per_second: 1_234_567.0, deliveries: 3, ..Figures::default() };
    for ns in [p50_ns, p50_ns, 9 * p50_ns] {
        total.latency.record(ns);
    }
    let scenario = Scenario {
        name: name.to_owned(),
        phases: vec![Phase {
            name: String::new(),
            kind: PhaseKind::Measured,
            duration: std::time::Duration::from_secs(3),
            rate_per_second: None,
        }],
        thresholds: [("latency.p99".to_owned(), "<= 20ms".to_owned())].into(),
        ..Scenario::default()
    };
    Run {
        schema: SCHEMA,
        loadgen: "0.1.0".to_owned(),
        run_id: u64::MAX,
        started: "2026-11-20T16:00:01Z".to_owned(),
        scenario,
        workers: 1,
        machine: Machine {
            facts: [("cores".to_owned(), "2".to_owned())].into(),
            class: "x86_64-2c-0011223344".to_owned(),
            calibration: BTreeMap::from([("syscall_ns".to_owned(), 81.5)]),
        },
        total,
        phases: Vec::new(),
        seconds: Vec::new(),
        audit: Audit::default(),
        connections: Connections::default(),
        server: Some(ServerUse { cpu_ns_per_delivery: 4_350.0, ..ServerUse::default() }),
        generator: GeneratorUse::default(),
        validity: Validity { problems: problems.iter().map(|it| (*it).to_owned()).collect(), warnings: Vec::new() },
        thresholds: Vec::new(),
        interrupted: false,
    }
}

pub(super) fn context(rev: &str) -> RecordContext {
    RecordContext {
        command: "loadgen run one-room.toml --record".to_owned(),
        git: Some(GitState { rev: rev.to_owned(), dirty: false }),
        ..RecordContext::default()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_record_holds_everything() {
    let results = tempfile::tempdir().unwrap();
    let mut other = run("one-room", 2_000_000, &["late"]);
    other.scenario.target.url = "ws://127.0.0.1:9/ws/{room}".to_owned();
    let runs = [run("one-room", 1_000_000, &[]), other];
    let extra = [ExtraFile { name: "runs.csv", bytes: b"a,b\n" }, ExtraFile { name: "aa.toml", bytes: b"" }];
    let order = vec!["base".to_owned(), "candidate".to_owned()];
    let context = RecordContext { order, ..context("0123456789ab") };
    let folder = record(results.path(), &runs, &context, &extra).unwrap();
    assert_eq!(folder, results.path().join("x86_64-2c-0011223344/one-room/0123456789ab"));
    assert_eq!(names(&folder), ["aa.toml", "host.toml", "manifest.toml", "run-1.json", "run-2.json", "runs.csv"]);

    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let back: Run = serde_json::from_str(&text("run-2.json")).unwrap();
    assert_eq!((back.run_id, back.total.latency), (u64::MAX, runs[1].total.latency.clone()));

    let manifest: toml::Table = toml::from_str(&text("manifest.toml")).unwrap();
    assert_eq!(manifest["schema"].as_integer(), Some(1));
    assert_eq!(manifest["git"]["rev"].as_str(), Some("0123456789ab"));
    let scenario: Scenario = manifest["scenario"].clone().try_into().unwrap();
    assert_eq!(scenario, runs[0].scenario);
    let entries = manifest["run"].as_array().unwrap();
    assert_eq!(entries[1]["side"].as_str(), Some("candidate"));
    assert_eq!(entries[1]["valid"].as_bool(), Some(false));
    assert!(entries[1].get("scenario_sha256").is_some(), "it is not the scenario above");
    assert!(entries[0].get("scenario_sha256").is_none());

    let host: toml::Table = toml::from_str(&text("host.toml")).unwrap();
    assert_eq!(host["facts"]["cores"].as_str(), Some("2"));
    assert_eq!(host["calibration"]["syscall_ns"].as_float(), Some(81.5));
}

#[test]
fn the_same_revision_again_stands_beside() {
    let results = tempfile::tempdir().unwrap();
    let runs = [run("smoke", 1_000, &[])];
    for wanted in ["abc", "abc-2", "abc-3"] {
        let folder = record(results.path(), &runs, &context("abc"), &[]).unwrap();
        assert!(folder.ends_with(wanted), "{folder:?}");
    }
    assert_eq!(names(&results.path().join("x86_64-2c-0011223344/smoke")), ["abc", "abc-2", "abc-3"]);
}

#[test]
fn those_that_record_at_once_get_folders_of_their_own() {
    let results = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| record(results.path(), &[run("smoke", 1_000, &[])], &context("abc"), &[]).unwrap());
        }
    });
    let parent = results.path().join("x86_64-2c-0011223344/smoke");
    assert_eq!(names(&parent).len(), 8, "{:?}", names(&parent));
    assert!(
        names(&parent).iter().all(|name| names(&parent.join(name)) == ["host.toml", "manifest.toml", "run-1.json"])
    );
}

#[test]
fn run_files_sort_in_order() {
    assert_eq!(manifest::run_file(8, 9), "run-9.json");
    assert_eq!(manifest::run_file(8, 10), "run-09.json");
    assert_eq!(manifest::run_file(99, 100), "run-100.json");
}

#[test]
fn what_cannot_be_recorded_leaves_nothing() {
    let results = tempfile::tempdir().unwrap();
    let good = [run("smoke", 1_000, &[])];
    let extra = |name| [ExtraFile { name, bytes: b"x" }];
    let reasons = [
        record(results.path(), &[], &context("abc"), &[]).unwrap_err().to_string(),
        record(results.path(), &[run("../smoke", 1, &[])], &context("abc"), &[]).unwrap_err().to_string(),
        record(results.path(), &[run(".smoke", 1, &[])], &context("abc"), &[]).unwrap_err().to_string(),
        record(results.path(), &good, &context("a/b"), &[]).unwrap_err().to_string(),
        record(results.path(), &good, &context("abc"), &extra("../x")).unwrap_err().to_string(),
        record(results.path(), &good, &context("abc"), &extra("run-1.json")).unwrap_err().to_string(),
    ];
    let wanted = [
        "no run",
        "scenario \"../smoke\"",
        "scenario \".smoke\"",
        "revision \"a/b\"",
        "file \"../x\"",
        "a second file \"run-1.json\"",
    ];
    for (reason, wanted) in reasons.iter().zip(wanted) {
        assert!(reason.contains(wanted), "{reason}");
    }
    assert!(names(results.path()).is_empty());

    // A seed that TOML has no number for.
    let mut seeded = run("smoke", 1, &[]);
    seeded.scenario.seed = u64::MAX;
    let error = record(results.path(), &[seeded], &context("abc"), &[]).unwrap_err();
    assert!(matches!(error, RecordError::Format { .. }), "{error}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let results = tempfile::tempdir().unwrap();
    let file = results.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = record(&file, &[run("smoke", 1, &[])], &context("abc"), &[]).unwrap_err();
    let RecordError::Folder(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), std::io::ErrorKind::NotADirectory);
    assert!(error.to_string().contains("cannot make the folder"), "{error}");

    // A file's name that is too long for the system, as the third file: the two before it go again.
    let parent = results.path().join("parent");
    let files = [("a", 1), ("b", 1), ("c", 300)].map(|(name, times)| (name.repeat(times), b"x".to_vec()));
    let error = folder::write(&parent, "abc", &files).unwrap_err();
    assert!(error.to_string().contains("cannot make the file"), "{error}");
    assert!(names(&parent).is_empty());
}

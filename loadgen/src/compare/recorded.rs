//! Runs that were recorded earlier: read again, checked for likeness, compared without pairs. Good for looking back. A
//! merge is judged by [`super::paired`]: a machine drifts more between two days than most regressions are large.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::statistics::median;
use super::validity;
use crate::outcome::{Run, SCHEMA};

/// Files of a recorded folder that are no runs.
const NO_RUNS: [&str; 2] = ["verdict.json", "trial.json"];
/// Settings that do not make the load another one.
const NO_LOAD: [&str; 7] =
    ["name", "seed", "thresholds", "target.app_key", "target.headers", "target.publish_url", "target.url"];
/// How far a machine's own speed may have changed between two sets.
const DRIFT_MAX: f64 = 0.15;

/// Runs of one side.
#[derive(Clone, Debug)]
pub struct RecordedSet {
    /// Those that may be compared.
    pub runs: Vec<Run>,
    /// Which were left out, and why.
    pub left_out: Vec<String>,
}

/// Why a set cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordedError {
    /// No such file, no permission.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is no run.
    #[error("{path} is no run of loadgen: {source}")]
    Format {
        /// The file.
        path: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// It is a run of another loadgen.
    #[error("{path} has schema {actual}, this loadgen reads {SCHEMA}")]
    Schema {
        /// The file.
        path: String,
        /// What it has.
        actual: u32,
    },
    /// Nothing to compare.
    #[error("{path}: no valid run in it{left_out}")]
    Empty {
        /// The file or folder.
        path: String,
        /// What was left out.
        left_out: String,
    },
}

impl RecordedSet {
    /// Reads a run (`.json`) or all runs of a folder.
    ///
    /// # Errors
    /// If a file is no run, or none of the runs is valid.
    pub fn read(path: &Path) -> Result<Self, RecordedError> {
        let failed = |source| RecordedError::File { path: path.display().to_string(), source };
        let mut files = vec![path.to_owned()];
        if path.is_dir() {
            files = fs::read_dir(path)
                .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
                .map_err(failed)?;
            files.retain(|file| {
                let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                name.ends_with(".json") && !NO_RUNS.contains(&name)
            });
            files.sort();
        }
        let (mut runs, mut left_out) = (Vec::new(), Vec::new());
        for file in &files {
            let run = read_run(file)?;
            let problems = validity::problems(&run);
            if problems.is_empty() && !run.interrupted {
                runs.push(run);
            } else {
                let why = if run.interrupted { "interrupted".to_owned() } else { problems.join("; ") };
                left_out.push(format!("{}: {why}", file.display()));
            }
        }
        if runs.is_empty() {
            let left_out = left_out.iter().map(|line| format!("\n  {line}")).collect();
            return Err(RecordedError::Empty { path: path.display().to_string(), left_out });
        }
        Ok(Self { runs, left_out })
    }
}

fn read_run(path: &Path) -> Result<Run, RecordedError> {
    let name = || path.display().to_string();
    let text = fs::read(path).map_err(|source| RecordedError::File { path: name(), source })?;
    let format = |source| RecordedError::Format { path: name(), source };
    // Another schema may not even parse, so that is looked at first.
    let value: Value = serde_json::from_slice(&text).map_err(format)?;
    match value.get("schema").and_then(Value::as_u64).and_then(|schema| u32::try_from(schema).ok()) {
        Some(actual) if actual != SCHEMA => Err(RecordedError::Schema { path: name(), actual }),
        _ => serde_json::from_value(value).map_err(format),
    }
}

/// How two sets differ in what they must not: scenario and machine, field by field.
#[must_use]
pub fn unlike(base: &RecordedSet, candidate: &RecordedSet) -> Vec<String> {
    let first = &base.runs[0];
    let mut differences = BTreeSet::new();
    for run in base.runs.iter().chain(&candidate.runs).skip(1) {
        let scenario = |run: &Run| serde_json::to_value(&run.scenario).unwrap_or_default();
        differ("scenario", &scenario(first), &scenario(run), &mut differences);
        if first.workers != run.workers {
            differences.insert(format!("workers: {} and {}", first.workers, run.workers));
        }
        let (one, other) = (&first.machine, &run.machine);
        if one.class == other.class {
            continue;
        }
        differences.insert(format!("machine class: {:?} and {:?}", one.class, other.class));
        for name in one.facts.keys().chain(other.facts.keys()) {
            let fact = |facts: &std::collections::BTreeMap<String, String>| {
                facts.get(name).map_or_else(|| "unknown".to_owned(), |fact| format!("{fact:?}"))
            };
            let (one, other) = (fact(&one.facts), fact(&other.facts));
            if one != other {
                differences.insert(format!("machine {name}: {one} and {other}"));
            }
        }
    }
    differences.into_iter().collect()
}

/// What makes a comparison doubtful without forbidding it.
#[must_use]
pub fn doubts(base: &RecordedSet, candidate: &RecordedSet) -> Vec<String> {
    let mut doubts = Vec::new();
    let sets = || base.runs.iter().chain(&candidate.runs);
    if sets().any(|run| run.machine.class.is_empty()) {
        doubts.push("the runs do not say which machine they are of".to_owned());
    }
    let names: BTreeSet<&String> = sets().flat_map(|run| run.machine.calibration.keys()).collect();
    for name in names {
        let of = |set: &RecordedSet| -> Vec<f64> {
            set.runs.iter().filter_map(|run| run.machine.calibration.get(name).copied()).collect()
        };
        let (before, after) = (of(base), of(candidate));
        if before.is_empty() || after.is_empty() {
            continue;
        }
        let drift = median(&after) / median(&before) - 1.0;
        if drift.abs() > DRIFT_MAX {
            doubts.push(format!("the machine itself has changed: {name} by {:+.0} %", drift * 100.0));
        }
    }
    doubts
}

fn differ(path: &str, one: &Value, other: &Value, differences: &mut BTreeSet<String>) {
    if one == other || NO_LOAD.iter().any(|field| path.strip_prefix("scenario.") == Some(field)) {
        return;
    }
    if let (Value::Object(one), Value::Object(other)) = (one, other) {
        for name in one.keys().chain(other.keys()) {
            let field = |object: &serde_json::Map<String, Value>| object.get(name).cloned().unwrap_or_default();
            differ(&format!("{path}.{name}"), &field(one), &field(other), differences);
        }
    } else {
        differences.insert(format!("{path}: {one} and {other}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::bench::{Bench as _, Side};
    use crate::compare::simulated::{Injection, Noise, SimulatedBench};

    fn runs(count: usize) -> Vec<Run> {
        let mut bench = SimulatedBench::new(Noise::default(), Injection::default(), 4);
        (0..count).map(|_| bench.run(Side::Base, 1).unwrap()).collect()
    }

    fn set(runs: Vec<Run>) -> RecordedSet {
        RecordedSet { runs, left_out: Vec::new() }
    }

    #[test]
    fn a_folder_is_all_its_runs() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = runs(4);
        runs[2].audit.corrupt = 1;
        for (number, run) in runs.iter().enumerate() {
            let path = folder.path().join(format!("run-{number}.json"));
            fs::write(path, serde_json::to_string(run).unwrap()).unwrap();
        }
        fs::write(folder.path().join("verdict.json"), "{}").unwrap();
        fs::write(folder.path().join("manifest.toml"), "schema = 1").unwrap();
        let set = RecordedSet::read(folder.path()).unwrap();
        assert_eq!((set.runs.len(), set.left_out.len()), (3, 1));
        assert!(set.left_out[0].contains("run-2.json: 1 corrupt"), "{:?}", set.left_out);
        assert_eq!(set.runs[0].total.latency, runs[0].total.latency);
        let single = RecordedSet::read(&folder.path().join("run-1.json")).unwrap();
        assert_eq!(single.runs.len(), 1);
    }

    #[test]
    fn what_is_no_run_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        let told = |text: &str| {
            fs::write(&path, text).unwrap();
            RecordedSet::read(&path).unwrap_err().to_string()
        };
        assert!(told("{\"schema\": 99}").contains("schema 99"));
        assert!(told("{\"schema\": 1}").contains("no run of loadgen"));
        assert!(told("nonsense").contains("run.json is no run"));
        let mut invalid = runs(1).remove(0);
        invalid.audit.misrouted = 2;
        assert!(told(&serde_json::to_string(&invalid).unwrap()).contains("2 deliveries to the wrong room"));
        fs::remove_file(&path).unwrap();
        assert!(RecordedSet::read(folder.path()).unwrap_err().to_string().contains("no valid run"));
        assert!(matches!(RecordedSet::read(&path), Err(RecordedError::File { .. })));
    }

    #[test]
    fn unlike_sets_are_told_field_by_field() {
        let base = set(runs(2));
        let mut other = runs(2);
        assert_eq!(unlike(&base, &set(other.clone())), [""; 0]);
        other[0].scenario.seed = 77;
        other[0].scenario.target.url = "ws://127.0.0.1:1/".to_owned();
        assert_eq!(unlike(&base, &set(other.clone())), [""; 0]);
        other[1].scenario.rooms.count = 7;
        other[1].workers = 3;
        other[1].machine.class = "another".to_owned();
        other[1].machine.facts.insert("cores".to_owned(), "64".to_owned());
        let expected = [
            "machine class: \"simulated\" and \"another\"",
            "machine cores: unknown and \"64\"",
            "scenario.rooms.count: 1 and 7",
            "workers: 1 and 3",
        ];
        assert_eq!(unlike(&base, &set(other)), expected);
    }

    #[test]
    fn a_machine_that_became_slower_is_doubted() {
        let (mut base, mut candidate) = (set(runs(1)), set(runs(1)));
        base.runs[0].machine.calibration.insert("syscall_ns".to_owned(), 100.0);
        candidate.runs[0].machine.calibration.insert("syscall_ns".to_owned(), 114.0);
        assert_eq!(doubts(&base, &candidate), [""; 0]);
        candidate.runs[0].machine.calibration.insert("syscall_ns".to_owned(), 130.0);
        assert_eq!(doubts(&base, &candidate), ["the machine itself has changed: syscall_ns by +30 %"]);
        base.runs[0].machine.class.clear();
        assert_eq!(doubts(&base, &candidate).len(), 2);
    }
}

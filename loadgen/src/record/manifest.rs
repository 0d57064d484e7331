//! `manifest.toml` and `host.toml`: what people and later tools need in order to read a record.

use serde::Serialize;

use super::source::{Build, GitState, sha256};
use super::{RecordContext, RecordError};
use crate::outcome::{Machine, Run};
use crate::scenario::Scenario;

/// Raised when a field of the manifest changes its meaning or goes.
pub const MANIFEST_SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Manifest<'a> {
    schema: u32,
    loadgen: &'a str,
    started: &'a str,
    command: &'a str,
    scenario_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    git: Option<&'a GitState>,
    build: &'a Build,
    scenario: &'a Scenario,
    run: Vec<RunEntry<'a>>,
}

/// A run, in the order in which they ran.
#[derive(Serialize)]
struct RunEntry<'a> {
    file: String,
    /// What it was in a comparison.
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<&'a str>,
    started: &'a str,
    seed: u64,
    valid: bool,
    /// Only if this run's scenario is not the manifest's.
    #[serde(skip_serializing_if = "Option::is_none")]
    scenario_sha256: Option<String>,
}

#[derive(Serialize)]
struct Host<'a> {
    schema: u32,
    class: &'a str,
    facts: &'a std::collections::BTreeMap<String, String>,
    calibration: &'a std::collections::BTreeMap<String, f64>,
}

/// `run-1.json`, or `run-01.json` if there are ten or more, and so on: sorted by name they are in order.
pub(super) fn run_file(index: usize, count: usize) -> String {
    let digits = count.to_string().len();
    format!("run-{:0digits$}.json", index + 1)
}

/// TOML that can be read again: a whole number above 2^63 is written, but no reader takes it.
fn toml_of(file: &str, value: &impl Serialize) -> Result<String, RecordError> {
    let format = |problem: String| RecordError::Format { file: file.to_owned(), problem };
    let text = toml::to_string(value).map_err(|error| format(error.to_string()))?;
    let _readable: toml::Table = toml::from_str(&text).map_err(|error| format(error.to_string()))?;
    Ok(text)
}

pub(super) fn manifest(runs: &[Run], context: &RecordContext) -> Result<String, RecordError> {
    let first = runs.first().ok_or(RecordError::NoRuns)?;
    let hash = |scenario: &Scenario| toml_of("manifest.toml", scenario).map(|text| sha256(text.as_bytes()));
    let scenario_sha256 = hash(&first.scenario)?;
    let mut entries = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        entries.push(RunEntry {
            file: run_file(index, runs.len()),
            side: context.order.get(index).map(String::as_str),
            started: &run.started,
            seed: run.scenario.seed,
            valid: run.validity.is_valid(),
            scenario_sha256: Some(hash(&run.scenario)?).filter(|hash| *hash != scenario_sha256),
        });
    }
    let manifest = Manifest {
        schema: MANIFEST_SCHEMA,
        loadgen: &first.loadgen,
        started: &first.started,
        command: &context.command,
        scenario_sha256,
        git: context.git.as_ref(),
        build: &context.build,
        scenario: &first.scenario,
        run: entries,
    };
    toml_of("manifest.toml", &manifest)
}

pub(super) fn host(machine: &Machine) -> Result<String, RecordError> {
    let Machine { facts, class, calibration } = machine;
    toml_of("host.toml", &Host { schema: MANIFEST_SCHEMA, class, facts, calibration })
}

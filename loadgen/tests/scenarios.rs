//! The scenarios and CI examples of `configs/loadgen/` are what the program takes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use loadgen::cli::{self, CompareMode, Invocation};
use loadgen::machine::limits::{Limits, Weight};
use loadgen::scenario::load::{load, to_toml};
use loadgen::scenario::overrides::Overrides;
use loadgen::scenario::plan::{Drivers, Plan};
use loadgen::scenario::{Format, Scenario};

const NAMES: &[&str] = &["burst", "many-rooms", "one-room", "prices", "slow-readers", "smoke", "soak", "storm"];

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/loadgen")
}

fn read(name: &str) -> Scenario {
    let path = configs().join(format!("{name}.toml"));
    load(Some(&path), &Overrides::default(), |format| if format == Format::Json { 90 } else { 60 })
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn all_scenarios_are_there() {
    let mut found: Vec<String> = std::fs::read_dir(configs())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    found.sort();
    assert_eq!(found, NAMES);
}

#[test]
fn each_scenario_loads_and_fits_a_small_machine() {
    for &name in NAMES {
        let scenario = read(name);
        assert_eq!(scenario.name, name);
        assert!(!scenario.thresholds.is_empty(), "{name} says what must hold");
        let plan = Plan::new(&scenario, Drivers::default(), &Limits::default());
        let mut text = Vec::new();
        plan.write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(plan.hits.iter().all(|hit| hit.weight != Weight::Prevents), "{name}\n{text}");
        let most = plan.deliveries_per_second_max().unwrap();
        assert!((1_000.0..=150_000.0).contains(&most), "{name}: {most} deliveries/s\n{text}");
        let lines = std::fs::read_to_string(configs().join(format!("{name}.toml"))).unwrap().lines().count();
        assert!(lines <= 40, "{name}: {lines} lines");
    }
    let readme = std::fs::read_to_string(configs().join("README.md")).unwrap();
    assert!(NAMES.iter().all(|name| readme.contains(&format!("[{name}]({name}.toml)"))), "{readme}");
    assert!(Plan::new(&read("smoke"), Drivers::default(), &Limits::default()).total.as_secs() <= 8);
}

#[test]
fn what_is_printed_loads_as_the_same() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for &name in NAMES {
        let scenario = read(name);
        std::fs::write(file.path(), to_toml(&scenario)).unwrap();
        assert_eq!(load(Some(file.path()), &Overrides::default(), |_| 60).unwrap(), scenario, "{name}");
    }
}

/// Runs the gate's script with a loadgen that only writes down what it was asked, and understands that.
fn asked_by_gate(settings: &[(&str, &str)]) -> cli::CompareOptions {
    let folder = tempfile::tempdir().expect("a folder");
    let (program, arguments) = (folder.path().join("loadgen"), folder.path().join("arguments"));
    let script = format!("#!/bin/sh\nprintf '%s\\0' \"$@\" > '{}'\nexit 10\n", arguments.display());
    std::fs::write(&program, script).expect("the program is written");
    let executable = Command::new("chmod").arg("+x").arg(&program).status().expect("chmod is there");
    assert!(executable.success());
    let ended = Command::new("sh")
        .arg(configs().join("ci/gate.sh"))
        .arg("v1.0")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("LOADGEN", &program)
        .envs(settings.iter().copied())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("sh is there");
    assert_eq!(ended.code(), Some(10), "the verdict's exit code is the script's");
    let arguments = std::fs::read_to_string(arguments).expect("it was called");
    let arguments = arguments.split_terminator('\0').map(OsString::from);
    match cli::parse(std::iter::once(OsString::from("loadgen")).chain(arguments)) {
        Ok(Invocation::Compare(options)) => *options,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_shell_gate_asks_for_a_comparison() {
    let usual = asked_by_gate(&[]);
    let CompareMode::Revisions { base_rev, candidate_rev, build, command } = usual.mode else { panic!("no revisions") };
    assert_eq!((base_rev.as_str(), candidate_rev, build.as_deref()), ("v1.0", None, Some("cargo build --release")));
    assert_eq!(command, "exec {dir}/target/release/shardcast serve --listen 127.0.0.1:{port}");
    assert_eq!((usual.pairs, usual.strict), (10, false));
    assert_eq!(usual.source.file.as_deref(), Some(Path::new("configs/loadgen/smoke.toml")));
    assert!(usual.source.overrides.has("target.url"));

    let small = asked_by_gate(&[("K", "2"), ("FLAGS", "--strict --duration 1s"), ("BUILD", "true"), ("SERVER", "x")]);
    assert_eq!((small.pairs, small.strict), (2, true));
    let CompareMode::Revisions { build, command, .. } = small.mode else { panic!("no revisions") };
    assert_eq!(build.as_deref(), Some("true"));
    assert_eq!(command, "exec x");
}

#[test]
fn the_workflow_runs_the_shell_gate() {
    let text = std::fs::read_to_string(configs().join("ci/github-actions.yml")).unwrap();
    assert!(text.contains("BASE: ${{ github.event.pull_request.base.sha }}"));
    assert!(text.contains("configs/loadgen/ci/gate.sh \"$BASE\""));
    // The base revision has to be in the checkout.
    assert!(text.contains("fetch-depth: 0"));
}

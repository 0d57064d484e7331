use std::time::Duration;

use super::*;
use crate::compare::simulated::Injection;
use crate::exit::Exit;

fn parse_line(line: &[&str]) -> Result<Invocation, clap::Error> {
    parse(["loadgen"].iter().chain(line).map(OsString::from))
}

fn run_of(line: &[&str]) -> RunOptions {
    match parse_line(line).unwrap_or_else(|error| panic!("{error}")) {
        Invocation::Run(options) => *options,
        other => panic!("{other:?}"),
    }
}

fn compare_of(line: &[&str]) -> CompareOptions {
    match parse_line(line).unwrap_or_else(|error| panic!("{error}")) {
        Invocation::Compare(options) => *options,
        other => panic!("{other:?}"),
    }
}

#[test]
fn clap_finds_no_fault() {
    command().debug_assert();
}

#[test]
fn run_without_a_file() {
    let options = run_of(&[
        "run",
        "--url",
        "ws://h:1/{room}",
        "--subscribers=1000",
        "--rate",
        "0.5k",
        "--duration",
        "30s",
        "--warm-up",
        "0s",
        "--header",
        "Origin: http://h",
        "--threshold",
        "latency.p99 <= 20ms",
        "--set",
        "rooms.count=3",
        "--publishers-count",
        "4",
        "--server-pid",
        "7",
        "--record",
    ]);
    let scenario = options.source.load(|_| 64).unwrap();
    assert_eq!(scenario.target.url, "ws://h:1/{room}");
    assert_eq!((scenario.subscribers.count, scenario.rooms.count, scenario.publishers.count), (1_000, 3, 4));
    assert_eq!(scenario.phases.len(), 1);
    assert_eq!(scenario.phases[0].duration, Duration::from_secs(30));
    assert_eq!(scenario.thresholds["latency.p99"], "<= 20ms");
    assert_eq!(scenario.target.headers["Origin"], "http://h");
    assert!((scenario.publishers.rate_per_second - 500.0).abs() < 1e-9);
    assert_eq!(options.setup.server_pid, Some(7));
    assert_eq!(options.output.record.as_deref(), Some("results".as_ref()));
    assert_eq!(options.show, Show::LiveOrLines(Duration::from_secs(5)));
}

#[test]
fn run_with_a_file_and_steps() {
    let options = run_of(&[
        "run",
        "--record=kept",
        "x.toml",
        "--phase",
        "warm-up:2s",
        "--phase",
        "measured:5s:50:low",
        "--workers-at",
        "a:1,[::1]:2",
        "--dry-run",
        "--quiet",
    ]);
    assert_eq!(options.source.file.as_deref(), Some("x.toml".as_ref()));
    assert_eq!(options.output.record.as_deref(), Some("kept".as_ref()));
    assert_eq!(options.source.overrides.phases.len(), 2);
    assert_eq!(options.setup.workers, Workers::At(vec!["a:1".to_owned(), "[::1]:2".to_owned()]));
    assert_eq!((options.action, options.show), (Action::DryRun, Show::Nothing));
}

#[test]
fn bad_usage_says_what() {
    for (line, wanted) in [
        (&["run", "--rate", "fast"][..], "--rate <PER_SECOND>"),
        (&["run", "--rat", "5"], "'--rate'"),
        (&["run", "--adapter", "mqtt"], "possible values: raw, shardcast, sse"),
        (&["run", "--duration", "10"], "not a time such as 250ms"),
        (&["run", "--duration", "10s", "--phase", "measured:1s"], "cannot be used with"),
        (&["run", "--set", "publishers.rate=5"], "did you mean \"publishers.rate_per_second\"?"),
        (&["run", "--threshold", "latency.p99"], "METRIC OP BOUND"),
        (&["run", "--workers", "0"], "0 is not in 1..=256"),
        (&["run", "--workers-at", "host"], "HOST:PORT"),
        (&["run", "--server-metrics", "host:80"], "http://HOST:PORT/PATH"),
        (&["run", "--plain-every", "1ms"], "at least 100ms"),
        (&["search"], "--bound <METRIC OP BOUND>"),
        (&["search", "--bound", "latency.p99 <= 1s", "--from", "9", "--to", "5"], "--from 9 must be below --to 5"),
        (&["compare"], "nothing to compare"),
        (&["compare", "a", "b", "--aa", "--command", "x"], "recorded runs, which need no command"),
        (&["compare", "--base", "x"], "--candidate"),
        (&["compare", "--base", "x", "--candidate", "y", "--inject", "cpu=5%"], "--aa"),
        (&["compare", "--aa", "--command", "x", "--inject", "disk=5%"], "is not cpu, latency or memory"),
        (&["compare", "--base-rev", "x"], "--command"),
        (&["compare", "--aa"], "--command"),
        (&["compare", "--base", "x", "--candidate", "y", "--command", "z"], "--command goes with"),
        (&["compare", "a", "b", "--bound", "latency.p98=5%"], "no metric \"latency.p98\""),
        (&["help", "metric"], "nothing is known about \"metric\""),
        (&["rum"], "run"),
        (&["report"], "RUN"),
    ] {
        let error = parse_line(line).expect_err("bad usage");
        assert!(error.use_stderr(), "{line:?}");
        assert_eq!(error.exit_code(), i32::from(Exit::Usage as u8), "{line:?}");
        let said = error.to_string();
        assert!(said.contains(wanted), "{line:?}: {said}");
    }
}

#[test]
fn compare_has_four_modes() {
    let recorded = compare_of(&["compare", "a", "b", "--force"]);
    assert_eq!(recorded.mode, CompareMode::Recorded { base: "a".into(), candidate: "b".into() });
    assert!(recorded.force);
    let commands = compare_of(&["compare", "--base", "x", "--candidate", "y", "s.toml", "-k", "6", "--duration", "3s"]);
    assert_eq!(commands.mode, CompareMode::Commands { base: "x".to_owned(), candidate: "y".to_owned() });
    assert_eq!((commands.pairs, commands.source.file.as_deref()), (6, Some("s.toml".as_ref())));
    assert_eq!(commands.source.overrides.duration, Some(Duration::from_secs(3)));
    let revisions = compare_of(&["compare", "--base-rev", "main", "--build", "make", "--command", "{dir}/x", "s.toml"]);
    let wanted = CompareMode::Revisions {
        base_rev: "main".to_owned(),
        candidate_rev: None,
        build: Some("make".to_owned()),
        command: "{dir}/x".to_owned(),
    };
    assert_eq!((revisions.mode, revisions.pairs), (wanted, 10));
    let same = compare_of(&["compare", "--aa", "--command", "x", "--bound", "latency.p99=20%", "--bound", "lost=0"]);
    assert_eq!(same.mode, CompareMode::Same { command: "x".to_owned() });
    assert_eq!((same.trials, commands.trials), (10, 1));
    let slow = compare_of(&["compare", "--aa", "--command", "x", "--inject", "cpu=20%", "--inject", "latency=0.5"]);
    assert_eq!(slow.injection, Some(Injection { cpu: 1.2, latency: 1.5, memory: 1.0 }));
    assert_eq!(same.bounds.len(), 2);
    assert!((same.bounds[0].1 - 0.2).abs() < 1e-12);
}

#[test]
fn the_small_commands() {
    assert!(matches!(parse_line(&["index", "--check"]).unwrap(), Invocation::Index(IndexOptions { mode, .. })
        if mode == IndexMode::Check));
    assert!(matches!(parse_line(&["worker", "--listen", "10.0.0.2:1"]).unwrap(), Invocation::Worker(_)));
    assert!(
        matches!(parse_line(&["report", "a", "b"]).unwrap(), Invocation::Report(options) if options.runs.len() == 2)
    );
}

fn help_text(line: &[&str]) -> String {
    match parse_line(line) {
        Ok(Invocation::Help(text)) => text,
        Ok(other) => panic!("{other:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn help_is_complete() {
    let long = help_text(&["run", "--help"]);
    for field in crate::scenario::fields::FIELDS {
        assert!(long.contains(&format!("--{}", field.flag)), "{}", field.flag);
    }
    assert!(long.contains("{n} becomes its number") && long.contains("[default: load-{n}]"), "{long}");
    let short = help_text(&["run", "-h"]);
    assert!(short.contains("--rate <") && !short.contains("--subscribers-connecting-max"), "{short}");
    assert!(help_text(&["help", "run"]).contains("Usage: loadgen run"), "{}", help_text(&["help", "run"]));
    assert!(!help_text(&["compare", "--help"]).contains("--subscribers-connecting-max"));
    assert!(help_text(&["help", "metrics"]).contains("server.cpu_per_delivery"));
    assert!(help_text(&["help"]).contains("compare"));
    let codes = help_text(&["help", "exit-codes"]);
    assert!(reference::EXIT_CODES.windows(2).all(|pair| (pair[0].0 as u8) < pair[1].0 as u8));
    assert!(codes.contains("\n 14  A threshold"), "{codes}");
}

#[test]
fn the_scenario_reference_is_a_scenario() {
    let text = help_text(&["help", "scenario"]);
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') && rest.contains('=') => rest,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), uncommented).unwrap();
    let source = ScenarioSource { file: Some(file.path().to_owned()), ..ScenarioSource::default() };
    let mut scenario = source.load(|_| 64).unwrap_or_else(|error| panic!("{error}"));
    scenario.target.headers.clear();
    scenario.thresholds.clear();
    scenario.phases.clear();
    assert_eq!(scenario, crate::scenario::Scenario::default());
}

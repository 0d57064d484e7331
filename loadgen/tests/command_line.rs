//! The `loadgen` command as a shell sees it: exit codes, and what goes to which stream.

use std::process::{Command, Output};

fn loadgen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen")).args(arguments).output().expect("it was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn bad_usage_is_2_and_says_why_on_standard_error() {
    for (arguments, wanted) in [
        (&[][..], "Usage: loadgen <COMMAND>"),
        (&["rnu"], "unrecognized subcommand"),
        (&["run", "--rate", "fast"], "not a number"),
        (&["run", "nowhere.toml"], "cannot read the scenario nowhere.toml: No such file"),
        (&["run", "--bytes", "5", "--dry-run"], "payload.bytes: 5, must be at least"),
        (&["run", "--threshold", "latency.p98 <= 1ms"], "no metric \"latency.p98\""),
        (&["run", "--threshold", "server.cpu <= 50%"], "cannot be measured without --server-pid or --server-metrics"),
        (&["search", "--bound", "server.cpu <= 50%"], "cannot be measured without --server-pid"),
        (&["search", "--bound", "latency.p99 <= 1s", "--window", "4"], "publishers.window makes a closed loop"),
        (&["report", "nowhere"], "nowhere: No such file"),
        (&["compare", "nowhere", "elsewhere"], "nowhere: No such file"),
        (&["compare", "a", "b", "--record"], "--record keeps new runs"),
        (&["compare", "--base-rev", "no-such", "--command", "x"], "the revision \"no-such\" is no commit here"),
        (&["help", "nonsense"], "nothing is known about"),
    ] {
        let output = loadgen(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(wanted), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn what_was_asked_for_goes_to_standard_output() {
    for (arguments, wanted) in [
        (&["--version"][..], "loadgen "),
        (&["run", "--help"], "--rate <PER_SECOND>"),
        (&["help", "metrics"], "latency.*"),
        (&["run", "--print-scenario", "--rate", "7"], "rate_per_second = 7.0"),
        (&["run", "--dry-run", "--rate", "7"], "700"),
        (&["run", "--dry-run", "--format", "json"], "\"members_max\": 100"),
    ] {
        let output = loadgen(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains(wanted), "{arguments:?}: {}", text(&output.stdout));
        assert!(output.stderr.is_empty(), "{arguments:?}");
    }
}

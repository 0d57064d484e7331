//! The configuration and the command line, from outside: what the binary prints and exits with.
#![cfg(feature = "server")]

use std::path::Path;
use std::process::{Command, Output};

const REFERENCE: &str = "configs/shardcast.toml";

/// Runs the binary with `arguments` and no environment but `variables`.
fn shardcast(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shardcast"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the binary has been built and starts")
}

/// Exit code, and what went to standard error as lines.
fn refused(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, Vec<String>) {
    let output = shardcast(arguments, variables);
    assert!(output.stdout.is_empty(), "{arguments:?} prints to standard output");
    let lines = String::from_utf8(output.stderr).expect("problems are UTF-8");
    (output.status.code(), lines.lines().map(str::to_owned).collect())
}

#[test]
fn the_reference_file_is_the_printed_one_byte_for_byte() {
    let printed = shardcast(&["print-config"], &[]);
    let file =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(REFERENCE)).expect("the reference file is there");
    assert!(printed.stdout == file, "{REFERENCE} is old; write it with: cargo run -- print-config > {REFERENCE}");
}

#[test]
fn a_right_configuration_is_ok() {
    for (arguments, variables) in [
        (&["check-config"][..], &[][..]),
        (&["check-config", "--config", REFERENCE], &[]),
        (&["check-config"], &[("SHARDCAST_CONFIG", REFERENCE), ("SHARDCAST_LIMITS_ROOMS_MAX", "10")]),
        (&["check-config", "--set", "room.lag=latest", "--listen", "127.0.0.1:0", "--listen", "[::1]:0"], &[]),
    ] {
        let output = shardcast(arguments, variables);
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"OK\n"[..]), "{arguments:?}: {output:?}");
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn a_wrong_file_or_environment_is_78() {
    for (arguments, variables, expected) in [
        (
            &["check-config", "--config", "/nowhere.toml"][..],
            &[][..],
            &["shardcast: /nowhere.toml: cannot be read: No such file or directory (os error 2)"][..],
        ),
        (
            &["serve", "--shards", "0"],
            &[("SHARDCAST_SHARD", "1"), ("SHARDCAST_DRAIN", "10")],
            &[
                "shardcast: SHARDCAST_DRAIN: drain is \"10\"; allowed: a duration from \"0s\" to \"24h\"; \
                 the unit is missing: \"10s\"?",
                "shardcast: SHARDCAST_SHARD: unknown variable; did you mean \"SHARDCAST_SHARDS\"?",
                "shardcast: --shards: shards is \"0\"; allowed: \"cores\", or a whole number from 1 to 64",
            ],
        ),
        (
            &["--drain", "1s"],
            &[("SHARDCAST_CONFIG", "Cargo.toml/x")],
            &["shardcast: Cargo.toml/x: cannot be read: Not a directory (os error 20)"],
        ),
    ] {
        let (code, lines) = refused(arguments, variables);
        assert_eq!(
            (code, lines.iter().map(String::as_str).collect::<Vec<_>>()),
            (Some(78), expected.to_vec()),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_wrong_command_line_is_64_and_one_line_for_each_problem() {
    for (arguments, expected) in [
        (&["--shards", "x"][..], &["--shards: shards is \"x\""][..]),
        (&["serve", "--set", "limits.room_max=1", "--drain", "1"], &["--drain: drain is", "--set: unknown key"]),
        (&["--lisen", "x"], &["unexpected argument '--lisen' found"]),
        (&["--set", "shards"], &["invalid value 'shards' for '--set <KEY=VALUE>'"]),
        (&["sevre"], &["unrecognized subcommand 'sevre'"]),
        (&["--set", "nope=1"], &["--set: unknown key \"nope\"; `shardcast print-config` lists all"]),
        (
            &["--drain", "5"],
            &[r#"--drain: drain is "5"; allowed: a duration from "0s" to "24h"; the unit is missing: "5s"?"#],
        ),
    ] {
        let (code, lines) = refused(arguments, &[]);
        assert_eq!((code, lines.len()), (Some(64), expected.len()), "{arguments:?}: {lines:?}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(&format!("shardcast: {expected}")), "{arguments:?}: {line}");
        }
    }
}

#[test]
fn a_wrong_argument_names_the_help_of_its_command() {
    for (arguments, help) in [
        (&["subscribe"][..], "see 'shardcast subscribe --help'"),
        (&["subscribe", "room", "--nope"], "see 'shardcast subscribe --help'"),
        (&["check-config", "--nope"], "see 'shardcast check-config --help'"),
        (&["--nope"], "see 'shardcast --help'"),
        (&["sevre"], "see 'shardcast --help'"),
    ] {
        let (code, lines) = refused(arguments, &[]);
        assert_eq!(code, Some(64), "{arguments:?}");
        assert!(lines.len() == 1 && lines[0].ends_with(help), "{arguments:?}: {lines:?}");
    }
}

#[test]
fn help_names_every_command_and_every_exit_code() {
    let output = shardcast(&["--help"], &[]);
    let text = String::from_utf8(output.stdout).expect("help is UTF-8");
    for command in ["serve", "check-config", "publish", "subscribe", "chat", "print-config"] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))), "{command}: {text}");
    }
    let codes = text.lines().skip_while(|line| *line != "Exit codes:").skip(1).take_while(|line| !line.is_empty());
    let codes: Vec<&str> = codes.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(codes, ["0", "3", "64", "78", "130", "143", "1"]);
}

#[test]
fn help_and_version_are_answers_not_errors() {
    for (argument, expected) in [("--help", "check-config"), ("--version", env!("CARGO_PKG_VERSION"))] {
        let output = shardcast(&[argument], &[]);
        let text = String::from_utf8(output.stdout).expect("help is UTF-8");
        assert!(output.status.success() && text.contains(expected), "{argument}: {text}");
    }
}

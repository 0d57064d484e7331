//! Whole runs against shardcast in each dialect that it speaks: every delivery is accounted for, and none is missing.

use std::net::SocketAddr;
use std::process::Stdio;

use loadgen::outcome::{Audit, Run};
use tokio::process::Command;

use crate::connection::within;
use crate::shardcast_server::ShardcastServer;

/// In each run: 300 messages in two rooms …
const MESSAGES: u64 = 300;
/// … to twelve subscribers.
const SUBSCRIBERS: u64 = 12;
/// Of these, the ones that come and go in some runs.
const RECONNECTING: &[&str] = &["--reconnecting", "6", "--reconnect-every", "200ms", "--reconnect-away", "50ms"];

const RAW: &[&str] = &["--url", "ws://ADDRESS/ws/{room}"];
const SHARDCAST: &[&str] = &["--adapter", "shardcast", "--url", "ws://ADDRESS/ws/{room}"];
const EVENT_STREAM: &[&str] = &["--adapter", "sse", "--url", "http://ADDRESS/sse/{room}"];
const CENTRIFUGE: &[&str] = &["--adapter", "centrifuge", "--url", "ws://ADDRESS/connection/websocket"];
const POSTING: &[&str] = &["--publish", "http", "--publish-url", "http://ADDRESS/rooms/{room}"];

/// A run with the flags of `parts` in these rooms: its exit code and what it prints.
async fn run(address: SocketAddr, rooms: &str, parts: &[&[&str]]) -> (i32, Run) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(["run", "--format", "json", "--quiet", "--rooms", "2", "--publishers", "2", "--subscribers", "12"]);
    command.args(["--room-name", rooms, "--rate", "300", "--phase", "measured:1s"]);
    // The machine may be busy: the audit alone decides.
    command.args(["--limits-lateness-p999-max", "1m", "--limits-generator-cpu-max", "1"]);
    command.args(["--limits-arrival-timeout", "2s"]);
    command.args(parts.iter().copied().flatten().map(|flag| flag.replace("ADDRESS", &address.to_string())));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = within("a run", command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let run = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (output.status.code().unwrap(), run)
}

/// A run for each of these, all at once, in rooms of their own.
async fn runs(
    server: &ShardcastServer,
    dialects: &'static [&'static [&'static [&'static str]]],
) -> Vec<(&'static [&'static [&'static str]], i32, Run)> {
    let address = server.address;
    let begin = |(number, parts): (usize, &&'static _)| {
        let parts = *parts;
        tokio::spawn(async move { run(address, &format!("of-{number}-{{n}}"), parts).await })
    };
    let begun: Vec<_> = dialects.iter().enumerate().map(begin).collect();
    let mut ended = Vec::new();
    for (dialect, run) in dialects.iter().zip(begun) {
        let (exit, run) = run.await.unwrap();
        ended.push((*dialect, exit, run));
    }
    ended
}

/// Everything that was owed came, once and in order.
fn whole() -> Audit {
    let owed = MESSAGES * SUBSCRIBERS / 2;
    Audit { expected: owed, received: owed, ..Audit::default() }
}

#[tokio::test]
async fn every_delivery_comes_once_and_in_order() {
    let server = ShardcastServer::start();
    let dialects: &[&[&[&str]]] = &[
        &[RAW],
        &[RAW, &["--payload-format", "binary"]],
        &[RAW, POSTING],
        &[RAW, &["--subscribers-acks", "delayed"]],
        &[SHARDCAST],
        &[EVENT_STREAM, POSTING],
        &[CENTRIFUGE],
        &[CENTRIFUGE, POSTING, &["--payload-format", "json"]],
    ];
    for (dialect, exit, run) in runs(&server, dialects).await {
        assert_eq!((exit, run.audit), (0, whole()), "{dialect:?}: {:?}", run.validity);
        assert!(run.validity.is_valid(), "{dialect:?}: {:?}", run.validity);
        assert_eq!(run.total.published, MESSAGES, "{dialect:?}");
    }
}

/// The server keeps what is published, and all of these dialects have positions: nothing is missed while away.
#[tokio::test]
async fn who_comes_back_gets_what_it_missed() {
    let server = ShardcastServer::start();
    let dialects: &[&[&[&str]]] = &[
        &[RECONNECTING, SHARDCAST],
        &[RECONNECTING, EVENT_STREAM, POSTING],
        &[RECONNECTING, CENTRIFUGE],
        &[RECONNECTING, CENTRIFUGE, POSTING],
    ];
    for (dialect, exit, run) in runs(&server, dialects).await {
        assert_eq!((exit, run.audit), (0, whole()), "{dialect:?}: {:?}", run.validity);
        assert!(run.connections.resumed > 0, "{dialect:?}: nobody came back");
        assert!(run.total.resume.count() > 0, "{dialect:?}: nobody got anything after coming back");
    }
}

/// A raw room has no positions: what was missed is counted apart, and is no loss.
#[tokio::test]
async fn what_a_raw_member_missed_while_it_was_away_is_told() {
    let server = ShardcastServer::start();
    let (exit, run) = run(server.address, "load-{n}", &[RAW, RECONNECTING]).await;
    let Audit { expected, received, missed_while_away, .. } = run.audit;
    assert!(missed_while_away > 0, "{:?}", run.audit);
    assert_eq!(expected + missed_while_away, whole().expected);
    assert_eq!((exit, run.audit), (0, Audit { expected, received: expected, missed_while_away, ..Audit::default() }));
    assert_eq!(received, expected);
}

/// What the server's CPU is divided by are all deliveries that it made, not only those that are audited.
#[tokio::test]
async fn deliveries_to_slow_members_are_the_servers_work_too() {
    let server = ShardcastServer::start();
    let pid = server.process.pid().to_string();
    let flags = ["--slow", "6", "--slow-bytes-per-second", "10000000", "--server-pid", &pid];
    let (exit, run) = run(server.address, "load-{n}", &[RAW, &flags]).await;
    assert_eq!((exit, run.audit.received), (0, whole().received / 2), "{:?}", run.validity);
    let used = run.server.unwrap();
    let divisor = used.cpu_seconds * 1e9 / used.cpu_ns_per_delivery;
    // Half of the members are slow, and each publisher gets its own messages. A few come after the phase's end.
    assert!((1_500.0..=2_100.1).contains(&divisor), "{divisor}: {used:?}");
}

#[tokio::test]
async fn a_refused_publication_is_an_error_with_the_servers_words() {
    let server = ShardcastServer::start();
    let (exit, run) = run(server.address, "quiet-{n}", &[CENTRIFUGE]).await;
    assert_ne!(exit, 0);
    let (words, count) = ("publishing failed: publisher: refused: publish: 103 ", format!(" {MESSAGES}"));
    let says_so = |problem: &String| problem.starts_with(words) && problem.ends_with(&count);
    let problems = &run.validity.problems;
    assert!(matches!(&problems[..], [problem, nothing] if says_so(problem) && nothing.starts_with("nothing was ")));
    // Nobody is owed what nobody took.
    assert_eq!((run.audit, run.total.published), (Audit::default(), 0));
}

/// A raw connection is closed instead: at its first message.
#[tokio::test]
async fn a_room_to_listen_to_has_published_nothing() {
    let server = ShardcastServer::start();
    let (exit, run) = run(server.address, "quiet-{n}", &[RAW]).await;
    assert_ne!(exit, 0);
    let problems = run.validity.problems.join("\n");
    assert!(problems.contains("publishing failed: publisher: close 1008 "), "{problems}");
    assert!(problems.contains("publisher: sent, and not taken by the server before it ended"), "{problems}");
    assert_eq!((run.audit, run.total.published), (Audit::default(), 0), "{problems}");
}

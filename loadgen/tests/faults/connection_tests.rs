//! Connections that fail or end: counted by kind.

use std::collections::BTreeMap;

use crate::plan::{Door, End, Event, Happening, Plan};
use crate::program::run;
use crate::server::Server;

fn kinds(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    counts.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
}

#[tokio::test]
async fn subscribers_that_the_server_throws_out() {
    for (end, kind) in [(End::Reset, "reset"), (End::Close(3008, "slow"), "close 3008")] {
        let lose = Happening::Lose { subscribers: 3, end };
        let server = Server::start(Plan { events: vec![Event { at: 101, what: lose }], ..Plan::default() });
        let ended = run(&server, &["--subscribers", "10", "--rate", "200", "--phase", "measured:1s"]).await;
        let (run, did) = (ended.run(), server.did());
        assert_eq!(run.connections.lost, kinds(&[(kind, 3)]));
        assert_eq!((run.connections.established, run.connections.connected_max), (10, 10));
        // 100 messages to 10 subscribers, then 100 to 7.
        assert_eq!((did.owed, did.missed_by_ended), (1_700, 300));
        assert_eq!((run.audit.expected, run.audit.received, run.audit.missed_while_away), (1_700, 1_700, 300));
        assert_eq!((run.audit.lost_in_gaps, run.audit.lost_at_tail), (0, 0));
        assert_eq!(run.validity.problems, ["3 members lost their connection although they kept reading"]);
        assert_eq!(run.validity.warnings, [format!("connections ended: {kind} 3")]);
        assert_eq!(ended.exit, 12, "{}", ended.said);
    }
}

/// Whoever reads answers: normal members, whose sockets one thread reads, and those with a task of their own.
#[tokio::test]
async fn pings_are_answered_by_everybody() {
    let pings = [50, 100, 150].map(|at| Event { at, what: Happening::Ping });
    let server = Server::start(Plan { events: pings.to_vec(), ..Plan::default() });
    let slow = &["--slow", "3", "--slow-bytes-per-second", "10000000"];
    let further = &["--subscribers", "10", "--rate", "200", "--phase", "measured:1s"];
    let ended = run(&server, &[&slow[..], further].concat()).await;
    // Three times ten subscribers and the publisher.
    assert_eq!((server.did().pongs, server.did().messages), (33, 200));
    assert_eq!((ended.run().audit.received, ended.exit), (1_400, 0), "{}", ended.said);
}

/// Subscribers that come and go by themselves lose nothing: what they are not there for is not owed.
#[tokio::test]
async fn coming_and_going_is_no_loss() {
    let server = Server::start(Plan::default());
    let further = [
        "--subscribers",
        "12",
        "--rate",
        "200",
        "--phase",
        "measured:2s",
        "--churning",
        "4",
        "--churn-stay",
        "200ms",
        "--reconnecting",
        "4",
        "--reconnect-every",
        "200ms",
        "--reconnect-away",
        "50ms",
    ];
    let ended = run(&server, &further).await;
    let run = ended.run();
    let audit = run.audit;
    assert_eq!((audit.lost_in_gaps, audit.lost_at_tail, audit.expected - audit.received), (0, 0, 0), "{audit:?}");
    assert_eq!((audit.duplicated, audit.out_of_order, audit.corrupt, audit.misrouted, audit.foreign), (0, 0, 0, 0, 0));
    assert!(run.connections.resumed > 0 && run.connections.established > 12, "{:?}", run.connections);
    assert!(audit.missed_while_away > 0 && audit.received <= server.did().owed, "{audit:?}");
    assert_eq!((ended.exit, run.validity.problems), (0, Vec::new()), "{}", ended.said);
}

/// Publishing by posts, so that only subscribers shake hands.
async fn at_the_door(door: Door, subscribers: &str, further: &[&str]) -> (crate::program::Ended, crate::plan::Did) {
    let server = Server::start(Plan { door, ..Plan::default() });
    let post_url = server.post_url();
    let mut flags = vec!["--publish", "http", "--publish-url", &post_url, "--rate", "100", "--phase", "measured:500ms"];
    flags.extend(["--subscribers", subscribers]);
    flags.extend(further);
    (run(&server, &flags).await, server.did())
}

#[tokio::test]
async fn refused_handshakes() {
    let (ended, did) = at_the_door(Door::Refuse(4), "10", &["--subscribers-connected-min", "0.5"]).await;
    let run = ended.run();
    assert_eq!((did.refused, did.joined, did.owed), (4, 6, 300));
    assert_eq!((run.connections.wanted, run.connections.established), (10, 6));
    assert_eq!(run.connections.failed, kinds(&[("http 503", 4)]));
    assert_eq!((run.audit.expected, run.audit.received), (300, 300));
    assert_eq!(run.validity.warnings, ["attempts to connect failed: http 503 4"]);
    assert_eq!((ended.exit, run.validity.problems), (0, Vec::new()), "{}", ended.said);
}

#[tokio::test]
async fn a_thousand_refused_handshakes() {
    let (ended, did) = at_the_door(Door::Refuse(1_000), "1000", &[]).await;
    let run = ended.run();
    assert_eq!((did.refused, did.joined), (1_000, 0));
    assert_eq!(run.connections.failed, kinds(&[("http 503", 1_000)]));
    assert_eq!(ended.exit, 12, "{}", ended.said);
    let [problem] = &run.validity.problems[..] else { panic!("{:?}", run.validity) };
    for words in ["0 of 1000 subscribers could connect to ws://127.0.0.1:", "(http 503 1000)"] {
        assert!(problem.contains(words), "{problem}");
    }
}

#[tokio::test]
async fn unanswered_handshakes() {
    let further = &["--subscribers-connected-min", "0.5", "--subscribers-handshake-timeout", "500ms"];
    let (ended, did) = at_the_door(Door::Ignore(3), "10", further).await;
    let run = ended.run();
    assert_eq!((did.ignored, did.joined), (3, 7));
    assert_eq!(run.connections.failed, kinds(&[("timeout", 3)]));
    assert_eq!((run.audit.expected, run.audit.received), (350, 350));
    assert_eq!(run.validity.warnings, ["attempts to connect failed: timeout 3"]);
    assert_eq!((ended.exit, run.validity.problems), (0, Vec::new()), "{}", ended.said);
}

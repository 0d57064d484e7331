//! Faults of deliveries: the audit has exactly what the server did.

use std::ops::Range;
use std::time::Duration;

use loadgen::outcome::{Audit, Run};

use crate::plan::{DeliveryFault, Did, Kind, Plan};
use crate::program::{Ended, run, run_speaking};
use crate::server::Server;

/// 200 messages to 10 subscribers of a room.
const ONE_ROOM: &[&str] = &["--subscribers", "10", "--rate", "200", "--phase", "measured:1s"];
/// 400 messages by 4 publishers in 2 rooms of 10 subscribers each.
const TWO_ROOMS: &[&str] =
    &["--subscribers", "20", "--rooms", "2", "--publishers", "4", "--rate", "400", "--phase", "measured:1s"];
/// Of each publisher in [`ONE_ROOM`].
const MIDDLE: Range<u64> = 20..180;
/// Of each publisher in [`TWO_ROOMS`].
const MIDDLE_OF_FOUR: Range<u64> = 10..90;

fn plan(faults: &[(Kind, u64, Range<u64>)]) -> Plan {
    let fault = |(kind, every, messages): &(_, _, Range<u64>)| DeliveryFault {
        kind: *kind,
        every: *every,
        messages: messages.clone(),
    };
    Plan { deliveries: faults.iter().map(fault).collect(), ..Plan::default() }
}

/// What the audit has to say, from what the server did. A corrupt delivery is that of nobody known: what was owed in
/// its place has not come.
fn audit_of(did: &Did, lost_at_tail: u64) -> Audit {
    let lost = did.dropped + did.corrupted;
    Audit {
        expected: did.owed,
        received: did.owed - lost,
        lost_in_gaps: lost - lost_at_tail,
        lost_at_tail,
        announced_drops: 0,
        duplicated: did.duplicated,
        out_of_order: did.reordered,
        corrupt: did.corrupted,
        misrouted: did.misrouted,
        foreign: did.foreign,
        missed_while_away: did.missed_by_ended,
    }
}

async fn audited(plan: Plan, further: &[&str]) -> (Ended, Run, Did) {
    let server = Server::start(plan);
    let ended = run(&server, further).await;
    let run = ended.run();
    (ended, run, server.did())
}

#[tokio::test]
async fn a_right_server_has_a_clean_audit() {
    for (further, messages, owed) in [(ONE_ROOM, 200, 2_000), (TWO_ROOMS, 400, 4_000)] {
        let (ended, run, did) = audited(Plan::default(), further).await;
        assert_eq!((did.messages, did.owed), (messages, owed));
        assert_eq!(run.audit, Audit { expected: owed, received: owed, ..Audit::default() });
        assert_eq!((run.total.published, ended.exit), (messages, 0));
        said_as(&ended, &run);
        assert!(run.connections.failed.is_empty() && run.connections.lost.is_empty(), "{:?}", run.connections);
    }
}

#[tokio::test]
async fn each_fault_alone() {
    let delay = Kind::Delay(Duration::from_millis(60));
    for (kind, every, messages, hits, lost_at_tail) in [
        (Kind::Drop, 100, MIDDLE, 16, 0),
        (Kind::Drop, 1, 197..200, 30, 30),
        // Of the last message those to subscribers 2, 5 and 8.
        (Kind::Drop, 3, 190..200, 33, 3),
        (Kind::Duplicate, 100, MIDDLE, 16, 0),
        // The next delivery to the same subscriber is not counted: it only ends the wait.
        (Kind::Reorder, 100, MIDDLE, 15, 0),
        (Kind::Corrupt, 100, MIDDLE, 16, 0),
        (Kind::Foreign, 100, MIDDLE, 16, 0),
        (delay, 1, 100..101, 10, 0),
    ] {
        let faults = plan(&[(kind, every, messages)]);
        let (ended, run, did) = audited(faults, ONE_ROOM).await;
        let done =
            did.dropped + did.duplicated + did.reordered + did.corrupted + did.misrouted + did.foreign + did.delayed;
        assert_eq!((did.messages, done), (200, hits), "{kind:?}");
        assert_eq!(run.audit, audit_of(&did, lost_at_tail), "{kind:?}");
        said_as(&ended, &run);
    }
}

#[tokio::test]
async fn misrouted_ones() {
    let (ended, run, did) = audited(plan(&[(Kind::Misroute, 100, MIDDLE_OF_FOUR)]), TWO_ROOMS).await;
    // 80 messages of 4 publishers to 10 subscribers each.
    assert_eq!((did.messages, did.misrouted), (400, 32));
    assert_eq!(run.audit, audit_of(&did, 0));
    said_as(&ended, &run);
}

#[tokio::test]
async fn all_faults_together() {
    let faults = [
        (Kind::Drop, 53, MIDDLE_OF_FOUR),
        (Kind::Duplicate, 59, MIDDLE_OF_FOUR),
        (Kind::Reorder, 61, MIDDLE_OF_FOUR),
        (Kind::Corrupt, 67, MIDDLE_OF_FOUR),
        (Kind::Misroute, 71, MIDDLE_OF_FOUR),
        (Kind::Foreign, 73, MIDDLE_OF_FOUR),
        (Kind::Delay(Duration::from_millis(5)), 79, MIDDLE_OF_FOUR),
        // The last two messages of each publisher.
        (Kind::Drop, 1, 98..100),
    ];
    for format in ["text", "binary", "json"] {
        let further = [TWO_ROOMS, &["--payload-format", format]].concat();
        let (ended, run, did) = audited(plan(&faults), &further).await;
        assert_eq!((did.messages, did.owed), (400, 4_000));
        let each = [did.duplicated, did.reordered, did.corrupted, did.misrouted, did.foreign, did.delayed];
        assert!(each.iter().all(|count| *count >= 30) && did.dropped >= 30 + 80, "{did:?}");
        // 4 publishers, 10 subscribers to each of them.
        assert_eq!(run.audit, audit_of(&did, 80), "{format}: {did:?}");
        said_as(&ended, &run);
    }
}

#[tokio::test]
async fn what_is_published_by_posts_is_audited_as_well() {
    let server = Server::start(plan(&[(Kind::Drop, 100, MIDDLE), (Kind::Duplicate, 70, MIDDLE)]));
    let post_url = server.post_url();
    let ended = run(&server, &[ONE_ROOM, &["--publish", "http", "--publish-url", &post_url]].concat()).await;
    let (run, did) = (ended.run(), server.did());
    assert_eq!((did.messages, did.dropped, did.joined), (200, 16, 10));
    assert_eq!(run.audit, audit_of(&did, 0));
    said_as(&ended, &run);
}

/// What the server did not take is not owed to anybody.
#[tokio::test]
async fn posts_that_the_server_refuses_are_not_lost() {
    let server = Server::start(Plan { refused_posts: 51..61, ..Plan::default() });
    let post_url = server.post_url();
    let ended = run(&server, &[ONE_ROOM, &["--publish", "http", "--publish-url", &post_url]].concat()).await;
    let (run, did) = (ended.run(), server.did());
    assert_eq!((did.refused_posts, did.messages, did.owed), (10, 190, 1_900));
    assert_eq!(run.audit, audit_of(&did, 0));
    assert_eq!((run.total.published, run.total.lost), (190, 0));
    assert_eq!(run.validity.problems, ["publishing failed: publisher: status 503: full 10"]);
    assert_eq!(ended.exit, 12, "{}", ended.said);
}

/// 200 messages by 4 publishers to 10 subscribers of a room.
const REFUSING: &[&str] = &["--subscribers", "10", "--publishers", "4", "--rate", "200", "--phase", "measured:1s"];

/// What the server answers with a refusal is not owed to anybody: with the number of the message or without, in one
/// process or in two, between others or at the end.
#[tokio::test]
async fn refused_publications_are_not_lost() {
    let number = "publishing failed: publisher: refused: publish: 103 no";
    let words = "publishing failed: publisher: refused: Permissions Violation for Publish to \"any\"";
    for (dialect, workers, refused, problem) in [
        ("centrifuge", "1", 51..91, number),
        ("centrifuge", "2", 51..91, number),
        ("centrifuge", "2", 191..201, number),
        ("nats", "1", 51..91, words),
        ("nats", "2", 51..91, words),
        ("nats", "1", 191..201, words),
    ] {
        let count = refused.end - refused.start;
        let server = Server::start(Plan { refused_messages: refused, ..Plan::default() });
        let ended = run_speaking(dialect, &server, &[REFUSING, &["--workers", workers]].concat()).await;
        let (run, did) = (ended.run(), server.did());
        assert_eq!((did.refused_messages, did.messages, did.owed), (count, 200 - count, 10 * (200 - count)));
        assert_eq!(run.audit, audit_of(&did, 0), "{dialect} {workers}");
        assert_eq!((run.total.published, run.total.lost), (200 - count, 0), "{dialect} {workers}");
        assert_eq!(run.total.completion.count(), 200 - count, "{dialect} {workers}");
        assert_eq!(run.validity.problems, [format!("{problem} {count}")], "{dialect} {workers}");
        assert_eq!(ended.exit, 12, "{}", ended.said);
    }
}

/// A refusal hides no loss: what the server took and dropped is lost.
#[tokio::test]
async fn losses_between_refusals_are_told() {
    for dialect in ["centrifuge", "nats"] {
        let drops = plan(&[(Kind::Drop, 7, 10..30)]);
        let server = Server::start(Plan { refused_messages: 51..91, ..drops });
        let ended = run_speaking(dialect, &server, REFUSING).await;
        let (run, did) = (ended.run(), server.did());
        assert!(did.dropped > 20 && did.refused_messages == 40, "{did:?}");
        assert_eq!(run.audit, audit_of(&did, 0), "{dialect}");
        assert_eq!((run.total.published, run.total.lost), (160, did.dropped), "{dialect}");
    }
}

/// A raw room has no words to refuse with: the server ends the connection. What came to it after that reached nobody,
/// and nobody knows that the server took it.
#[tokio::test]
async fn a_publisher_whose_connection_is_ended_has_published_what_was_heard() {
    for workers in ["1", "2"] {
        // One of four publishers; the others go on.
        let server = Server::start(Plan { refused_messages: 101..102, ..Plan::default() });
        let ended = run(&server, &[REFUSING, &["--workers", workers]].concat()).await;
        let (run, did) = (ended.run(), server.did());
        assert_eq!((did.refused_messages, did.owed), (1, 10 * did.messages));
        assert_eq!(run.audit, audit_of(&did, 0), "{workers}");
        assert_eq!((run.total.published, run.total.lost), (did.messages, 0), "{workers}");
        let problems = run.validity.problems.join("\n");
        assert!(problems.contains("publisher: close 1008 1"), "{problems}");
        assert!(
            problems.contains("publisher: sent, and not taken by the server before it ended the connection 1"),
            "{problems}"
        );
        assert_eq!(ended.exit, 12, "{}", ended.said);
    }
}

/// A post that is answered behind the schedule's end is published like any other, and what was dropped of it is lost:
/// also at those workers that did not post it.
#[tokio::test]
async fn posts_that_are_answered_late_are_owed_by_all_workers() {
    let of_publisher = 50;
    for workers in ["1", "2", "3"] {
        // The last message of each publisher reaches nobody.
        let drops = plan(&[(Kind::Drop, 1, 4 * of_publisher - 4..4 * of_publisher)]);
        let server = Server::start(Plan { held_posts: (197..201, Duration::from_millis(300)), ..drops });
        let post_url = server.post_url();
        let posting = ["--publish", "http", "--publish-url", &post_url, "--workers", workers];
        let ended = run(&server, &[REFUSING, &posting].concat()).await;
        let (run, did) = (ended.run(), server.did());
        assert_eq!((did.messages, did.owed, did.dropped), (200, 2_000, 40));
        assert_eq!(run.audit, audit_of(&did, 40), "{workers}");
        assert_eq!((run.total.published, run.total.lost), (200, 40), "{workers}");
        said_as(&ended, &run);
    }
}

#[tokio::test]
async fn announced_drops_are_shown_and_do_not_count_against_the_server() {
    for (announced_max, announced, exit) in [(u64::MAX, 16, 0), (10, 10, 12)] {
        let server = Server::start(Plan { announced_max, ..plan(&[(Kind::Drop, 100, MIDDLE)]) });
        let metrics_url = server.metrics_url();
        let ended = run(&server, &[ONE_ROOM, &["--server-metrics", &metrics_url]].concat()).await;
        let (run, did) = (ended.run(), server.did());
        assert_eq!(did.dropped, 16);
        assert_eq!(run.audit, Audit { announced_drops: announced, ..audit_of(&did, 0) });
        assert_eq!(ended.exit, exit, "{}", ended.said);
        said_as(&ended, &run);
    }
}

/// The arrival timeout is 500 ms.
#[tokio::test]
async fn what_comes_too_late_is_lost() {
    let too_long = Kind::Delay(Duration::from_secs(3));
    let (ended, run, did) = audited(plan(&[(too_long, 1, 199..200)]), ONE_ROOM).await;
    assert_eq!(did.delayed, 10);
    assert_eq!(run.audit, Audit { expected: 2_000, received: 1_990, lost_at_tail: 10, ..Audit::default() });
    said_as(&ended, &run);
}

/// Each kind of fault is a problem of its own, with its number; frames of others are none. Figures of losses agree.
fn said_as(ended: &Ended, run: &Run) {
    let audit = &run.audit;
    let (lost, expected) = (audit.lost_in_gaps + audit.lost_at_tail, audit.expected);
    let mut problems = Vec::new();
    if lost > audit.announced_drops {
        let (gaps, tail) = (audit.lost_in_gaps, audit.lost_at_tail);
        let unannounced = lost - audit.announced_drops;
        problems.push(format!(
            "{unannounced} of {expected} deliveries were lost and nobody said so ({gaps} in gaps, {tail} at the tail), \
             limits.lost_max is 0"
        ));
    }
    let faults = [
        (audit.duplicated, "came twice"),
        (audit.out_of_order, "came out of order"),
        (audit.corrupt, "were corrupt"),
        (audit.misrouted, "belonged to another room"),
    ];
    let faults = faults.iter().filter(|(count, _)| *count > 0);
    problems.extend(faults.map(|(count, what)| format!("{count} deliveries {what}")));
    assert_eq!(run.validity.problems, problems);
    assert_eq!(ended.exit, if problems.is_empty() { 0 } else { 12 }, "{}", ended.said);
    assert_eq!((run.total.lost, run.total.deliveries), (lost, audit.received));
    assert_eq!(run.total.latency.count(), audit.received);
    // A lost one is at the timeout, not absent.
    assert_eq!(run.total.latency_with_losses.count(), expected);
    let timeout = run.scenario.limits.arrival_timeout;
    assert!(lost == 0 || u128::from(run.total.latency_with_losses.max_ns()) >= timeout.as_nanos());
}

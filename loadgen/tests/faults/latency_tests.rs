//! Times that are known from arithmetic.

use std::time::Duration;

use crate::plan::{DeliveryFault, Event, Happening, Kind, Plan};
use crate::program::{run, run_alone};
use crate::server::Server;

const MS: u64 = 1_000_000;

/// 200 messages per second for 5 s, and the server stands still for 500 ms. Of 1,000 messages those 100 that are due
/// meanwhile wait 500, 495, … 5 ms; the others wait for nothing. So the longest wait is 500 ms, 10 messages wait longer
/// than 450 ms (p99), and 50 longer than 250 ms (p95).
///
/// A tool that takes the time from the real send, after a write that blocked, or that sends the next message when the
/// last one has been answered, has one message or none that waited: its p99 would be that of an idle server.
#[tokio::test]
async fn a_pause_of_the_server_is_in_the_latencies_of_all_that_was_due_in_it() {
    let pause = Happening::Pause(Duration::from_millis(500));
    let server = Server::start(Plan { events: vec![Event { at: 400, what: pause }], ..Plan::default() });
    let ended = run_alone(&server, &["--subscribers", "20", "--rate", "200", "--phase", "measured:5s"]).await;
    let run = ended.run();
    assert_eq!((run.total.published, run.total.deliveries), (1_000, 20_000));
    let latency = &run.total.latency;
    for (name, actual_ns, wanted_ns, within_percent) in [
        ("max", latency.max_ns(), 500 * MS, 5),
        ("p99", latency.percentile_ns(99.0), 450 * MS, 5),
        // The same milliseconds are more of it.
        ("p95", latency.percentile_ns(95.0), 250 * MS, 10),
    ] {
        assert!(
            actual_ns.abs_diff(wanted_ns) <= wanted_ns * within_percent / 100,
            "{name}: {actual_ns} ns, {wanted_ns} expected"
        );
    }
    // Half of them were due outside the pause and its consequences.
    assert!(latency.percentile_ns(50.0) < 50 * MS, "p50: {} ns", latency.percentile_ns(50.0));
    // The generator itself was not late: the waits are the server's.
    assert!(run.total.lateness.percentile_ns(99.0) < 50 * MS, "{} ns", run.total.lateness.percentile_ns(99.0));
    assert_eq!((ended.exit, run.validity.problems.is_empty()), (0, true), "{:?}", run.validity);
}

#[tokio::test]
async fn a_held_message_is_as_late_as_it_was_held() {
    let held = DeliveryFault { kind: Kind::Delay(Duration::from_millis(80)), every: 1, messages: 50..51 };
    let server = Server::start(Plan { deliveries: vec![held], ..Plan::default() });
    let ended = run(&server, &["--subscribers", "10", "--rate", "100", "--phase", "measured:1s"]).await;
    let run = ended.run();
    assert!(run.total.latency.max_ns() >= 80 * MS, "{} ns", run.total.latency.max_ns());
    assert_eq!((server.did().delayed, run.audit.received, ended.exit), (10, 1_000, 0));
}

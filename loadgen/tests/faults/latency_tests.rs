//! Times that are known from arithmetic.

use std::time::Duration;

use loadgen::outcome::Run;

use crate::plan::{DeliveryFault, Event, Happening, Kind, Plan};
use crate::program::{run, run_alone};
use crate::server::Server;

const MS: u64 = 1_000_000;
const ATTEMPTS: u32 = 4;

/// 200 messages per second for 5 s, and the server stands still for 500 ms. Of 1,000 messages those 100 that are due
/// meanwhile wait 500, 495, … 5 ms; the others wait for nothing. So the longest wait is 500 ms, 10 messages wait longer
/// than 450 ms (p99), and 50 longer than 250 ms (p95).
///
/// A tool that sends the next message when the last one has been answered has one message that waited: its p99 would be
/// that of an idle server.
///
/// Others at work on the machine can only add to this: the upper bounds have to hold in one of some attempts, the lower
/// ones in each.
#[tokio::test]
async fn a_pause_of_the_server_is_in_the_latencies_of_all_that_was_due_in_it() {
    let mut excesses = Vec::new();
    for _ in 0..ATTEMPTS {
        let run = paused().await;
        let latency = &run.total.latency;
        let mut excess = Vec::new();
        for (name, actual_ns, wanted_ns, slack_ns) in [
            ("max", latency.max_ns(), 500 * MS, 25 * MS),
            ("p99", latency.percentile_ns(99.0), 450 * MS, 450 * MS / 20),
            // The same milliseconds are more of it.
            ("p95", latency.percentile_ns(95.0), 250 * MS, 25 * MS),
        ] {
            assert!(actual_ns >= wanted_ns - slack_ns, "{name}: {actual_ns} ns, {wanted_ns} expected");
            if actual_ns > wanted_ns + slack_ns {
                excess.push(format!("{name}: {actual_ns} ns, {wanted_ns} expected"));
            }
        }
        // All others waited for nothing.
        if latency.percentile_ns(85.0) > 25 * MS {
            excess.push(format!("p85: {} ns", latency.percentile_ns(85.0)));
        }
        // The generator itself was not late: the waits are the server's.
        if run.total.lateness.percentile_ns(99.0) > 25 * MS {
            excess.push(format!("lateness: p99 {} ns", run.total.lateness.percentile_ns(99.0)));
        }
        if excess.is_empty() {
            return;
        }
        excesses.push(excess);
    }
    panic!("in no attempt within 5 %: {excesses:?}");
}

async fn paused() -> Run {
    let events = vec![Event { at: 400, what: Happening::Pause(Duration::from_millis(500)) }];
    let server = Server::start(Plan { events, ..Plan::default() });
    let ended = run_alone(&server, &["--subscribers", "20", "--rate", "200", "--phase", "measured:5s"]).await;
    let (run, did) = (ended.run(), server.did());
    assert_eq!((run.total.published, run.total.deliveries), (1_000, did.owed));
    assert_eq!((ended.exit, run.validity.is_valid()), (0, true), "{:?}", run.validity);
    run
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

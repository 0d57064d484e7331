//! Two runs of this process at once: each has its own deliveries, wholly, and neither waits for one that is over.

use std::time::Duration;

use loadgen::cli::Setup;
use loadgen::outcome::Run;
use loadgen::run::{Beside, Conduct, run};
use loadgen::scenario::{Limits, Phase, PhaseKind, Publishers, Scenario, Subscribers, Target};

use crate::plan::{Door, Plan};
use crate::server::Server;

fn scenario(server: &Server) -> Scenario {
    let minute = Duration::from_secs(60);
    Scenario {
        target: Target { url: server.url(), ..Target::default() },
        subscribers: Subscribers { count: 10, ..Subscribers::default() },
        publishers: Publishers { rate_per_second: 200.0, ..Publishers::default() },
        phases: vec![Phase {
            name: String::new(),
            kind: PhaseKind::Measured,
            duration: Duration::from_secs(1),
            rate_per_second: None,
        }],
        limits: Limits {
            lateness_p999_max: minute,
            generator_cpu_max: 1.0,
            arrival_timeout: Duration::from_millis(500),
            ..Limits::default()
        },
        ..Scenario::default()
    }
}

/// Both runs to their ends. The servers are threads of this process.
async fn both(servers: [&Server; 2]) -> [Run; 2] {
    let places = Beside::two([std::process::id(); 2]);
    let runs = servers.into_iter().zip(places).map(|(server, place)| {
        let scenario = scenario(server);
        tokio::task::spawn_blocking(move || {
            let setup = Setup { server_pid: Some(std::process::id()), ..Setup::default() };
            let ended = run(&scenario, &Conduct { setup, beside: Some(place.clone()), ..Conduct::default() });
            place.leave();
            ended.unwrap()
        })
    });
    let [one, other] = <[_; 2]>::try_from(runs.collect::<Vec<_>>()).unwrap();
    [one.await.unwrap(), other.await.unwrap()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_two_runs_has_what_is_its_own() {
    let servers = [Server::start(Plan::default()), Server::start(Plan::default())];
    for run in both([&servers[0], &servers[1]]).await {
        assert_eq!(run.validity.problems, [""; 0]);
        assert_eq!((run.audit.received, run.total.published, run.audit.misrouted), (2_000, 200, 0));
        let server = run.server.unwrap();
        assert!(server.cpu_ns_per_delivery > 0.0 && run.generator.cpu_ns_per_delivery > 0.0);
        // The kernel's TCP memory is that of both.
        assert_eq!((server.tcp_before_bytes, server.tcp_idle_bytes, server.tcp_end_bytes), (0, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_on_when_the_other_one_is_over() {
    let closed = Plan { door: Door::Refuse(1_000), ..Plan::default() };
    let servers = [Server::start(Plan::default()), Server::start(closed)];
    let [open, closed] = both([&servers[0], &servers[1]]).await;
    assert_eq!((open.audit.received, closed.connections.established), (2_000, 0));
}

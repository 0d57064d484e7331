//! Workers in other processes: that their parts add up to the run, and that every way of losing one is noticed.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a test is to end it; half of these are no test functions")]

mod coordinator;
mod rooms;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use coordinator::{Served, failure, program, ramped, reports, tasks, wait, whole_run};
use loadgen::cli::Workers;
use loadgen::clock::Nanos;
use loadgen::drive::{Part, Report};
use loadgen::outcome::Run;
use loadgen::workers::{Started, start, start_processes};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

fn at(addresses: &[SocketAddr]) -> Workers {
    Workers::At(addresses.iter().map(SocketAddr::to_string).collect())
}

fn audited(sent: u64, parts: &[Part]) {
    assert!((90..=110).contains(&sent), "{sent}");
    let sum = |of: fn(&Part) -> u64| parts.iter().map(of).sum::<u64>();
    assert_eq!(sum(|part| part.account.expected), 11 * sent);
    assert_eq!(sum(|part| part.account.received), 11 * sent);
    assert_eq!(sum(|part| part.phases[0].published), sent);
    assert_eq!(sum(|part| part.phases[0].latency.count()), 11 * sent);
    assert_eq!(sum(|part| part.connections.wanted), 11);
    assert_eq!(sum(|part| part.corrupt + part.foreign + part.misrouted + part.members_lost), 0);
    if parts.len() > 1 {
        let members: u64 = parts.iter().flat_map(|part| &part.partials).map(|partial| u64::from(partial.count)).sum();
        assert_eq!(members, 11 * sent, "each delivery is in one worker's account of its message");
    }
}

#[test]
fn the_parts_add_up_wherever_they_are_driven() {
    let server = rooms::serve();
    let served = [Served::start(&[]), Served::start(&["--pin", "0"]), Served::start(&[])];
    let addresses = served.each_ref().map(|worker| worker.address);
    let (sender, receiver) = reports();
    let ways: [(u32, &dyn Fn(u32) -> Started); 4] = [
        (1, &|_| start(&Workers::Here(1), tasks(server, 1), &sender).unwrap()),
        (2, &|count| start_processes(program(), tasks(server, count), &sender).unwrap()),
        (3, &|count| start(&at(&addresses), tasks(server, count), &sender).unwrap()),
        // Once more: they are free again as soon as the last run's accounts are there.
        (3, &|count| start(&at(&addresses), tasks(server, count), &sender).unwrap()),
    ];
    for (count, start) in ways {
        let (sent, parts) = whole_run(start(count), &receiver);
        assert_eq!(parts.len(), count as usize);
        audited(sent, &parts);
    }
}

#[test]
fn a_worker_that_is_killed_or_stopped_fails_the_run() {
    let server = rooms::serve();
    for (signal, wanted) in [(Signal::KILL, "the connection "), (Signal::STOP, "nothing was heard for 5 s")] {
        let served = [Served::start(&[]), Served::start(&[])];
        let (sender, receiver) = reports();
        let addresses = served.each_ref().map(|worker| worker.address);
        let started = start(&at(&addresses), tasks(server, 2), &sender).unwrap();
        assert_eq!(ramped(&receiver, 2), (11, 3));
        kill_process(Pid::from_child(&served[1].child), signal).unwrap();
        let (index, why) = failure(&receiver);
        assert_eq!(index, 1, "{why}");
        assert!(why.starts_with(&format!("worker 1 at {}: {wanted}", addresses[1])), "{why}");
        drop(started);
    }
}

#[test]
fn what_a_worker_cannot_do_is_the_runs_failure() {
    let server = rooms::serve();
    let (sender, receiver) = reports();
    let mut tasks = tasks(server, 2);
    tasks[1].scenario.payload.file = Some("/nonexistent/messages".into());
    let started = start_processes(program(), tasks, &sender).unwrap();
    let (index, why) = failure(&receiver);
    assert_eq!(index, 1);
    assert!(why.starts_with("worker 1 at 127.0.0.1:") && why.contains("/nonexistent/messages"), "{why}");
    drop(started);
}

#[test]
fn a_worker_process_ends_with_its_coordinator_and_a_waiting_one_is_free_again() {
    // Nobody ever came, and the owner is gone.
    assert_eq!(Served::start(&["--once"]).ended(), Some(130));
    // The connection went first.
    let mut once = Served::start(&["--once"]);
    let stdin = once.child.stdin.take();
    drop(greet(once.address, &hello()));
    assert_eq!(once.ended(), Some(0));
    drop(stdin);
    // In the middle of a run, and only the owner goes.
    let server = rooms::serve();
    let once = Served::start(&["--once"]);
    let (sender, receiver) = reports();
    let started = start(&at(&[once.address]), tasks(server, 1), &sender).unwrap();
    assert_eq!(ramped(&receiver, 1), (11, 3));
    assert_eq!(once.ended(), Some(130));
    assert!(failure(&receiver).1.contains("the connection "));
    drop(started);
    // In the middle of a run, and only the connection goes.
    let served = Served::start(&[]);
    let (sender, receiver) = reports();
    let started = start(&at(&[served.address]), tasks(server, 1), &sender).unwrap();
    assert_eq!(ramped(&receiver, 1), (11, 3));
    drop(started);
    let (sender, receiver) = reports();
    let (sent, parts) = whole_run(start(&at(&[served.address]), tasks(server, 1), &sender).unwrap(), &receiver);
    audited(sent, &parts);
}

/// A proper one.
fn hello() -> String {
    format!("{{\"loadgen_worker_protocol\":2,\"loadgen\":\"{}\"}}", env!("CARGO_PKG_VERSION"))
}

/// Says hello by hand. Returns the connection and the answer.
fn greet(address: SocketAddr, hello: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(coordinator::PATIENCE)).unwrap();
    writeln!(stream, "{hello}").unwrap();
    let mut answer = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut answer).unwrap();
    (stream, answer)
}

#[test]
fn unlike_versions_and_garbage_are_turned_away() {
    let served = Served::start(&[]);
    let (_stream, answer) = greet(served.address, "{\"loadgen_worker_protocol\":9,\"loadgen\":\"7.0.0\",\"more\":1}");
    assert!(answer.contains("the coordinator 7.0.0 (worker protocol 9); install one version"), "{answer}");
    let long = "x".repeat(1_000_000);
    for garbage in ["", "\n", "GET / HTTP/1.1\r\n\r\n", "{\"loadgen\":1}\n", "\u{0}\u{1}\n", &long] {
        let mut stream = TcpStream::connect(served.address).unwrap();
        // It may have hung up before the end.
        drop(stream.write_all(garbage.as_bytes()));
    }
    let silent = TcpStream::connect(served.address).unwrap();
    let (holder, answer) = greet(served.address, &hello());
    assert!(answer.contains("\"refusal\":null"), "{answer}");
    // Now it is busy.
    let (sender, _receiver) = reports();
    let problem = start(&at(&[served.address]), tasks(served.address, 1), &sender).err().unwrap().to_string();
    let wanted = format!("does not take part: it is busy with a run of {}", holder.local_addr().unwrap());
    assert!(problem.ends_with(&wanted), "{problem}");
    drop((holder, silent));
    let (_stream, answer) = greet(served.address, &hello());
    assert!(answer.contains("\"refusal\":null"), "{answer}");
}

/// Answers as a worker on another machine would, whose clock is five seconds ahead. Returns the task it gets.
fn other_machine(hello: String) -> (SocketAddr, std::thread::JoinHandle<serde_json::Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let worker = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut pings = 0;
        for line in lines.map_while(Result::ok) {
            let message: serde_json::Value = serde_json::from_str(&line).unwrap();
            if message == "Ping" {
                pings += 1;
                writeln!(stream, "{{\"Pong\":{}}}", Nanos::now().0 + 5_000_000_000).unwrap();
            } else if let Some(task) = message.get("Task") {
                assert!(pings >= 50, "{pings} exchanges");
                return task.clone();
            } else {
                writeln!(stream, "{hello}").unwrap();
            }
        }
        serde_json::Value::Null
    });
    (address, worker)
}

#[test]
fn the_clock_of_another_machine_is_compared() {
    let (address, worker) = other_machine(hello());
    let (sender, receiver) = reports();
    let began = Nanos::now();
    let started = start(&at(&[address]), tasks(address, 1), &sender).unwrap();
    let task = worker.join().unwrap();
    let offset_ns = task["clock_offset_ns"].as_i64().unwrap();
    // Exact to half of the quickest round trip, which was no longer than all of it.
    assert!(offset_ns.abs_diff(-5_000_000_000) <= Nanos::now().since_ns(began), "{offset_ns}");
    assert_eq!(failure(&receiver).0, 0, "it has closed and reported nothing");
    drop(started);
}

#[test]
fn workers_that_cannot_be_had_are_named() {
    let (sender, _receiver) = reports();
    let (other, _thread) = other_machine("{\"loadgen_worker_protocol\":2,\"loadgen\":\"99.0.0\"}".to_owned());
    let (web, _thread) = other_machine("HTTP/1.1 400 Bad Request".to_owned());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, wanted) in [
        (closed, "cannot be reached: Connection refused (os error 111); is `loadgen worker --listen` running there?"),
        (other, "does not take part: the worker is loadgen 99.0.0 (worker protocol 2), the coordinator"),
        (web, "does not take part: it does not speak as a loadgen of this version does"),
    ] {
        let problem = start(&at(&[address]), tasks(address, 1), &sender).err().unwrap().to_string();
        assert!(problem.starts_with(&format!("worker 0 at {address} {wanted}")), "{problem}");
    }
    for (program, wanted) in [
        ("/nonexistent/loadgen", "/nonexistent/loadgen: No such file"),
        ("/bin/true", "it ended at once"),
        ("/bin/echo", "it said \"worker --listen 127.0.0.1:0 --once\" instead of where it listens"),
    ] {
        let problem = start_processes(Path::new(program), tasks(closed, 2), &sender).err().unwrap().to_string();
        assert!(problem.starts_with("worker 0: its process cannot be started: "), "{problem}");
        assert!(problem.contains(wanted), "{problem}");
    }
    let problem = start(&at(&[closed]), tasks(closed, 2), &sender).err().unwrap().to_string();
    assert_eq!(problem, "2 tasks for 1 workers");
}

/// `loadgen run` of 11 subscribers with two workers.
fn run_of_two(server: SocketAddr, seconds: &str) -> Command {
    let mut run = Command::new(program());
    let url = format!("ws://{server}/ws/{{room}}");
    run.args(["run", "--quiet", "--format", "json", "--workers", "2", "--subscribers", "11", "--rate", "50"]);
    run.args(["--url", &url, "--duration", seconds, "--warm-up", "0s", "--limits-lateness-p999-max", "10s"]);
    run
}

#[test]
fn a_run_of_two_processes_is_one_run() {
    let output = run_of_two(rooms::serve(), "1s").output().unwrap();
    let run: Run = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(run.workers, 2);
    assert_eq!(run.total.published, 50);
    assert_eq!((run.audit.expected, run.audit.received), (550, 550));
    // Known only from both workers' accounts together.
    assert_eq!(run.total.completion.count(), 50);
}

#[test]
fn no_process_outlives_a_coordinator_that_is_killed() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut run = run_of_two(server.local_addr().unwrap(), "60s").stdout(Stdio::null()).spawn().unwrap();
    // The workers are at their tasks.
    let _first = server.accept().unwrap();
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", run.id())).unwrap();
    let workers: Vec<i32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(workers.len(), 2, "{children}");
    let ends: Vec<_> =
        workers.into_iter().map(|pid| pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap()).collect();
    run.kill().unwrap();
    run.wait().unwrap();
    let patience = Timespec { tv_sec: 40, tv_nsec: 0 };
    for end in &ends {
        assert_eq!(poll(&mut [PollFd::new(end, PollFlags::IN)], Some(&patience)), Ok(1), "a worker is still there");
    }
}

#[test]
fn a_worker_that_cannot_listen_says_why() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(program()).args(["worker", "--listen", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, format!("loadgen: --listen {address}: Address already in use (os error 98)\n"));
}

#[test]
fn an_unwilling_worker_keeps_the_others_from_beginning() {
    let served = Served::start(&[]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (sender, receiver) = reports();
    assert!(start(&at(&[served.address, closed]), tasks(closed, 2), &sender).is_err());
    drop(sender);
    assert!(receiver.recv().is_err(), "nobody has reported anything");
    let server = rooms::serve();
    let (sender, receiver) = reports();
    let started = start(&at(&[served.address]), tasks(server, 1), &sender).unwrap();
    wait(&receiver, |_, report| matches!(report, Report::Ramped { .. }).then_some(()));
    drop(started);
}

//! `compare` with real processes: servers that are started and ended for each run, and a runner that does not talk to
//! them but draws what it measured. The server is this test binary itself, told by its environment to listen.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use loadgen::compare::bench::{Bench as _, Side};
use loadgen::compare::simulated::{Injection, Noise, SimulatedBench};
use loadgen::compare::{
    self, CompareOptions, Pairing, Pairs, Place, RunError, Servers, Strictness, Subject, TrialBench, Unlike,
};
use loadgen::exit::Exit;
use loadgen::outcome::Run;
use loadgen::scenario::{Scenario, Target};

const PORT_VARIABLE: &str = "LOADGEN_TEST_SERVER_PORT";

/// Listens if it is told to, else does nothing.
#[test]
fn server() {
    let Ok(port) = std::env::var(PORT_VARIABLE) else { return };
    let port: u16 = port.parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    println!("listening");
    for connection in listener.incoming() {
        drop(connection);
    }
}

/// A shell command that starts [`server`].
fn server_command(prefix: &str) -> String {
    let binary = std::env::current_exe().expect("a test has a file");
    format!("{prefix} {PORT_VARIABLE}={{port}} '{}' --exact server --nocapture", binary.display())
}

fn servers(base: &str, candidate: &str) -> Servers {
    Servers {
        start_timeout: Duration::from_secs(20),
        stop_timeout: Duration::from_secs(10),
        ..Servers::new(base, candidate)
    }
}

fn scenario() -> Box<Scenario> {
    let url = "ws://127.0.0.1:{port}/ws/{room}".to_owned();
    Box::new(Scenario { target: Target { url, ..Target::default() }, ..Scenario::default() })
}

fn options(subject: Subject, pairs: usize) -> CompareOptions {
    CompareOptions { pairs: Pairs::Fixed(pairs), resamples: 1_000, ..CompareOptions::new(subject) }
}

fn quiet() -> Noise {
    Noise { cpu: 0.01, p50: 0.01, p99: 0.01, memory: 0.001, drift: 0.1, disturbed: 0.0 }
}

/// What the candidate's servers are recognised by.
fn environment(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/environ")).expect("the server runs");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a runner saw of a server.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    port: u16,
    pid: u32,
    cores: String,
    /// Whether another run was there at the same time.
    beside: bool,
}

/// Runs the comparison with a runner that connects to the server, looks at its process, and draws figures; a server
/// with `SLOW=1` has a third more CPU per delivery.
fn compare_with(options: &CompareOptions, seen: &mut Vec<Seen>) -> (Result<Exit, compare::CompareError>, String) {
    let injection = Injection { cpu: 1.33, ..Injection::default() };
    let bench = Mutex::new((SimulatedBench::new(quiet(), injection, 9), seen));
    let runner = |scenario: &Scenario, Place { server_pid: pid, beside }: Place| -> Result<Run, RunError> {
        let (_, rest) = scenario.target.url.split_once("127.0.0.1:").expect("the scenario's host");
        let port = rest.split('/').next().unwrap_or_default().parse()?;
        TcpStream::connect(("127.0.0.1", port))?;
        let environment = environment(pid);
        if environment.contains("FAILS=1") {
            return Err("it does not answer".into());
        }
        // Nobody gets past here alone.
        if let Some(beside) = &beside {
            beside.meet();
        }
        let slow = environment.contains("SLOW=1");
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
        let (bench, seen) = &mut *bench.lock().expect("no run has panicked");
        seen.push(Seen { port, pid, cores: cores.trim().to_owned(), beside: beside.is_some() });
        let mut run = bench.run(if slow { Side::Candidate } else { Side::Base }, scenario.seed)?;
        run.scenario = scenario.clone();
        Ok(run)
    };
    let mut out = Vec::new();
    let exit = compare::run(options, &runner, &mut out);
    (exit, String::from_utf8(out).expect("text"))
}

/// Gone, or nothing but an entry that nobody has asked about yet.
fn is_gone(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_err()
}

#[test]
fn a_slower_candidate_is_a_regression_and_all_servers_are_ended() {
    let folder = tempfile::tempdir().unwrap();
    // The candidate's command is a shell that stays: the process that listens has to be found.
    let candidate = format!("{}; true", server_command("SLOW=1"));
    let servers = Servers { cores: vec![0], ..servers(&server_command(""), &candidate) };
    let subject = Subject::Servers { servers: Box::new(servers), scenario: scenario() };
    let options = CompareOptions { out: Some(folder.path().join("out")), ..options(subject, 8) };
    let mut seen = Vec::new();
    let (exit, text) = compare_with(&options, &mut seen);
    assert_eq!(exit.unwrap(), Exit::Regression, "{text}");
    assert!(text.contains("REGRESSION: server.cpu_per_delivery: worse in 8 pairs and in 8 fresh ones"), "{text}");
    assert!(text.contains("confirming pair 8/8 candidate: done"), "{text}");
    assert_eq!(seen.len(), 32);
    for one in &seen {
        assert!(is_gone(one.pid) && one.cores == "0" && one.beside, "{one:?}");
        assert!(TcpStream::connect(("127.0.0.1", one.port)).is_err(), "{one:?}");
    }
    // What was kept can be compared again.
    let out = options.out.unwrap();
    let verdict: serde_json::Value = serde_json::from_slice(&fs::read(out.join("verdict.json")).unwrap()).unwrap();
    assert_eq!((&verdict["outcome"], &verdict["schema"]), (&"regression".into(), &1.into()));
    assert_eq!(verdict["pairing"], "interleaved");
    assert_eq!(verdict["stages"][1]["kind"], "confirmation");
    let (base, candidate) = (out.join("base"), out.join("candidate"));
    let subject = Subject::Recorded { base, candidate, unlike: Unlike::Refuse };
    let (exit, text) = compare_with(&CompareOptions::new(subject), &mut Vec::new());
    assert_eq!(exit.unwrap(), Exit::Regression, "{text}");
    assert!(text.contains("16 and 16 recorded runs"), "{text}");
}

#[test]
fn runs_are_made_one_after_the_other_if_asked_or_if_need_be() {
    let one_port = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).unwrap().port();
    let fixed = server_command("exec env").replace("{port}", &one_port.to_string());
    let url = format!("ws://127.0.0.1:{one_port}/ws/{{room}}");
    let of_fixed = Box::new(Scenario { target: Target { url, ..Target::default() }, ..Scenario::default() });
    let free = server_command("exec env");
    for (command, scenario, pairing, note) in
        [(free, scenario(), Some(Pairing::Sequential), false), (fixed, of_fixed, None, true)]
    {
        let subject = Subject::Servers { servers: Box::new(servers(&command, &command)), scenario };
        let mut seen = Vec::new();
        let (exit, text) = compare_with(&CompareOptions { pairing, ..options(subject, 2) }, &mut seen);
        assert_eq!(exit.unwrap(), Exit::Ok, "{text}");
        assert!(!seen.is_empty() && seen.iter().all(|one| !one.beside), "{seen:?}");
        assert_eq!(text.contains("note: the two runs of a pair are made one after the other"), note, "{text}");
    }
}

#[test]
fn nobody_waits_for_a_run_at_the_same_time_that_cannot_be_made() {
    for (candidate, problem, other) in [
        ("echo no such option {port}; exit 64", "no such option", "the other server did not start"),
        (&server_command("exec env FAILS=1"), "it does not answer", "done"),
    ] {
        let servers = Box::new(servers(&server_command(""), candidate));
        let subject = Subject::Servers { servers, scenario: scenario() };
        let (exit, text) = compare_with(&options(subject, 1), &mut Vec::new());
        assert_eq!(exit.unwrap(), Exit::Invalid, "{text}");
        assert!(text.contains(problem) && text.contains(other), "{text}");
        assert!(text.contains("a pair had an invalid run 4 times"), "{text}");
    }
}

#[test]
fn a_revision_is_built_beside_the_present_one() {
    let repository = tempfile::tempdir().unwrap();
    let git = |line: &str| {
        let mut command = std::process::Command::new("git");
        command.current_dir(repository.path()).args(["-c", "user.name=t", "-c", "user.email=t@example.org"]);
        assert!(command.args(line.split(' ')).status().unwrap().success(), "git {line}");
    };
    git("init --quiet");
    for revision in ["SLOW=0", "SLOW=1"] {
        fs::write(repository.path().join("source"), format!("export {revision}\n")).unwrap();
        git("add source");
        git("commit --quiet -m change");
    }
    let command = format!(". {{dir}}/built; {}", server_command("exec env"));
    let servers = Servers {
        base_revision: Some("HEAD~1".to_owned()),
        build: Some("cp source built".to_owned()),
        repository: repository.path().to_owned(),
        ..servers(&command, &command)
    };
    let subject = Subject::Servers { servers: Box::new(servers), scenario: scenario() };
    let (exit, text) = compare_with(&options(subject, 6), &mut Vec::new());
    assert_eq!(exit.unwrap(), Exit::Regression, "{text}");
    assert_eq!(text.matches("building in").count(), 2, "{text}");
}

#[test]
fn few_pairs_say_nothing_and_strictness_decides() {
    for (strictness, expected) in [(Strictness::Lenient, Exit::Ok), (Strictness::Strict, Exit::Inconclusive)] {
        let servers = servers(&server_command(""), &server_command(""));
        let subject = Subject::Servers { servers: Box::new(servers), scenario: scenario() };
        let options = CompareOptions { strictness, ..options(subject, 1) };
        let (exit, text) = compare_with(&options, &mut Vec::new());
        assert_eq!(exit.unwrap(), expected);
        assert!(text.contains("INCONCLUSIVE: 2 pairs do not suffice to tell"), "{text}");
    }
}

#[test]
fn servers_that_do_not_come_up_are_told() {
    let cases = [
        ("echo no such option; exit 64", "ended before it listened", "no such option"),
        ("echo thinking; exec sleep 60", "did not listen", "thinking"),
        // Neither it nor what it started reacts to SIGTERM.
        ("trap '' TERM; echo stubborn; sleep 60; sleep 60", "did not listen", "stubborn"),
    ];
    for (command, words, output) in cases {
        let limits = (Duration::from_millis(300), Duration::from_millis(300));
        let servers = Servers { start_timeout: limits.0, stop_timeout: limits.1, ..Servers::new(command, command) };
        let subject = Subject::Servers { servers: Box::new(servers), scenario: scenario() };
        let (exit, text) = compare_with(&options(subject, 1), &mut Vec::new());
        assert_eq!(exit.unwrap(), Exit::Invalid, "{text}");
        assert!(text.contains(words) && text.contains(output) && text.contains("invalid 4 times"), "{text}");
    }
}

#[test]
fn a_server_that_is_there_already_is_not_measured() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("ws://{}/ws/{{room}}", taken.local_addr().unwrap());
    let scenario = Scenario { target: Target { url, ..Target::default() }, ..Scenario::default() };
    let servers = Box::new(servers("exec sleep 60", "exec sleep 60"));
    let subject = Subject::Servers { servers, scenario: Box::new(scenario) };
    let (exit, text) = compare_with(&options(subject, 1), &mut Vec::new());
    assert_eq!(exit.unwrap(), Exit::Invalid);
    assert!(text.contains("something listens on 127.0.0.1"), "{text}");
}

#[test]
fn a_server_against_itself_leaves_its_noise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aa.toml");
    let trial = |trials| Subject::Trial { trials, injection: None, bench: TrialBench::Simulated(quiet()) };
    for (trials, all) in [(2, 2), (3, 5)] {
        let options = CompareOptions { noise: Some(path.clone()), ..options(trial(trials), 10) };
        let (exit, text) = compare_with(&options, &mut Vec::new());
        assert_eq!(exit.unwrap(), Exit::Ok);
        assert!(text.contains(&format!("{trials} trials of 10 sequential pairs: {trials} ok")), "{text}");
        assert!(text.contains(&format!("false alarms in the last {all} trials: 0.0 %")), "{text}");
    }
    // The gate reads it, and finds that it is of another machine.
    let servers = Box::new(servers(&server_command(""), &server_command("")));
    let table = fs::read_to_string(&path).unwrap().replace("class = \"simulated\"", "class = \"elsewhere\"");
    fs::write(&path, table).unwrap();
    let subject = Subject::Servers { servers, scenario: scenario() };
    for (pairing, words) in
        [(Pairing::Sequential, "machine class elsewhere"), (Pairing::Interleaved, "sequential pairs")]
    {
        let (noise, subject) = (Some(path.clone()), subject.clone());
        let options = CompareOptions { noise, pairing: Some(pairing), ..options(subject, 1) };
        let error = compare_with(&options, &mut Vec::new()).0.unwrap_err();
        assert_eq!(error.exit(), Exit::Incomparable, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn single_recorded_runs_say_nothing_about_noise() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = SimulatedBench::new(quiet(), Injection { cpu: 3.0, ..Injection::default() }, 9);
    let mut write = |name: &str, side, rooms| {
        let mut run = bench.run(side, 1).unwrap();
        run.scenario.rooms.count = rooms;
        let path = folder.path().join(name);
        fs::File::create(&path).unwrap().write_all(&serde_json::to_vec(&run).unwrap()).unwrap();
        path
    };
    let (base, candidate) = (write("a.json", Side::Base, 1), write("b.json", Side::Candidate, 1));
    let other = write("c.json", Side::Candidate, 5);
    let compare = |candidate: &Path, unlike| {
        let (base, candidate) = (base.clone(), candidate.to_owned());
        let subject = Subject::Recorded { base, candidate, unlike };
        let (exit, text) = compare_with(&CompareOptions::new(subject), &mut Vec::new());
        (exit.unwrap(), text)
    };
    let (exit, text) = compare(&candidate, Unlike::Refuse);
    assert_eq!(exit, Exit::Ok);
    assert!(text.contains("INCONCLUSIVE") && text.contains("1 runs a side say nothing about noise"), "{text}");
    let (exit, text) = compare(&other, Unlike::Refuse);
    assert_eq!(exit, Exit::Incomparable);
    assert!(text.contains("unlike: scenario.rooms.count: 1 and 5"), "{text}");
    assert_eq!(compare(&other, Unlike::Compare).0, Exit::Ok);
}

#[test]
fn mistakes_are_told_before_anything_runs() {
    let subject = || Subject::Servers {
        servers: Box::new(Servers::new("exit 1", "exit 1")),
        scenario: Box::new(Scenario::default()),
    };
    let bound = |name: &str, bound| CompareOptions {
        bounds: BTreeMap::from([(name.to_owned(), bound)]),
        ..CompareOptions::new(subject())
    };
    let gate = CompareOptions { gate: Some(["latency.p98".to_owned()].into()), ..CompareOptions::new(subject()) };
    let auto = CompareOptions { pairs: Pairs::Auto, ..CompareOptions::new(subject()) };
    let at_once = CompareOptions { pairing: Some(Pairing::Interleaved), ..CompareOptions::new(subject()) };
    let missing = CompareOptions { noise: Some("no/such/aa.toml".into()), ..CompareOptions::new(subject()) };
    let cases = [
        (bound("latency.p98", 0.1), Exit::Usage, "no metric \"latency.p98\""),
        (bound("latency.p99", 0.0), Exit::Usage, "the bound of latency.p99"),
        (bound("latency.p99", f64::NAN), Exit::Usage, "the bound of latency.p99"),
        (gate, Exit::Usage, "did you mean"),
        (options(subject(), 0), Exit::Usage, "pairs is 0"),
        (auto, Exit::Usage, "--aa"),
        (at_once, Exit::Usage, "{port} in their commands"),
        (missing, Exit::Usage, "no/such/aa.toml"),
    ];
    for (options, exit, words) in cases {
        let (result, text) = compare_with(&options, &mut Vec::new());
        let error = result.unwrap_err();
        assert!(error.exit() == exit && error.to_string().contains(words), "{words}: {error}");
        assert!(text.is_empty(), "{text}");
    }
}

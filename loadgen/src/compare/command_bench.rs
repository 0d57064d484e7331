//! The bench of real servers: each run gets a server of its own, started by a shell command and ended after it. The two
//! of a pair may be up and run at once, each with a thread that drives it.

use std::net::TcpListener;
use std::path::PathBuf;

use super::bench::{Bench, BenchError, Side};
use super::server_process::{ServerCommand, ServerProcess};
use crate::outcome::Run;
use crate::run::Beside;
use crate::scenario::Scenario;
use crate::scenario::load::PORT;

/// What a runner fails with.
pub type RunError = Box<dyn std::error::Error + Send + Sync>;

/// Runs a scenario against a server that is up. Two runs at once are two calls at once.
pub type Runner<'a> = dyn Fn(&Scenario, Place) -> Result<Run, RunError> + Sync + 'a;

/// Where a run takes place.
#[derive(Clone, Debug)]
pub struct Place {
    /// The process that listens, to look at its CPU and memory.
    pub server_pid: u32,
    /// The run at the same time, if there is one.
    pub beside: Option<Beside>,
}

/// See the module.
pub struct CommandBench<'a> {
    scenario: &'a Scenario,
    base: ServerCommand,
    candidate: ServerCommand,
    /// Folder of what servers write.
    output: PathBuf,
    runner: &'a Runner<'a>,
}

/// Why the scenario's URL is of no use.
#[derive(Debug, thiserror::Error)]
#[error("target.url {0:?} has no host: like ws://127.0.0.1:8080/ws/{{room}} it should be")]
struct NoHost(String);

/// Why a run at the same time as another one was not made.
#[derive(Debug, thiserror::Error)]
#[error("the other server did not start, and both are run at once")]
struct NoPartner;

impl<'a> CommandBench<'a> {
    /// For these servers. What a server writes goes into the folder `output`, run by run, so that an error
    /// can show the end of it.
    pub fn new(
        scenario: &'a Scenario,
        (base, candidate): (ServerCommand, ServerCommand),
        output: PathBuf,
        runner: &'a Runner<'a>,
    ) -> Self {
        Self { scenario, base, candidate, output, runner }
    }
}

impl Bench for CommandBench<'_> {
    fn run(&mut self, side: Side, seed: u64) -> Result<Run, BenchError> {
        let (process, scenario) = self.server(side, seed)?;
        (self.runner)(&scenario, Place { server_pid: process.pid(), beside: None })
    }

    fn run_both(&mut self, first: Side, seed: u64) -> [Result<Run, BenchError>; 2] {
        let (one, other) = match (self.server(first, seed), self.server(first.other(), seed)) {
            (Ok(one), Ok(other)) => (one, other),
            (one, other) => {
                let failed = |server: Result<_, BenchError>| Err(server.err().unwrap_or_else(|| NoPartner.into()));
                return [failed(one), failed(other)];
            }
        };
        let runner = self.runner;
        let run = |(process, scenario): &(ServerProcess, Scenario), beside: Beside| {
            let seat = Seat(beside);
            runner(scenario, Place { server_pid: process.pid(), beside: Some(seat.0.clone()) })
        };
        let [here, there] = Beside::two([one.0.pid(), other.0.pid()]);
        std::thread::scope(|scope| {
            let both = [scope.spawn(|| run(&one, here)), scope.spawn(|| run(&other, there))];
            both.map(|side| side.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }
}

/// A run's place, left however the run ends: the other one would wait for it.
struct Seat(Beside);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl CommandBench<'_> {
    /// A fresh server, and the scenario as it is to be run against it.
    fn server(&self, side: Side, seed: u64) -> Result<(ServerProcess, Scenario), BenchError> {
        let mut server = match side {
            Side::Base => self.base.clone(),
            Side::Candidate => self.candidate.clone(),
        };
        let mut scenario = self.scenario.clone();
        // TOML has no larger whole numbers, and a run's scenario must be one that a file can hold.
        scenario.seed = seed >> 1;
        if server.command.contains(PORT) || scenario.target.url.contains(PORT) {
            let port = free_port()?;
            server.command = server.command.replace(PORT, &port.to_string());
            let target = &mut scenario.target;
            let before = authority(&target.url);
            target.url = with_port(&target.url, port);
            target.publish_url = target.publish_url.take().map(|url| {
                let same_server = url.contains(PORT) || authority(&url) == before;
                if same_server { with_port(&url, port) } else { url }
            });
        }
        let authority = authority(&scenario.target.url).ok_or_else(|| NoHost(scenario.target.url.clone()))?;
        let output = self.output.join(format!("{}.log", side.name()));
        Ok((ServerProcess::start(&server, &authority, &output)?, scenario))
    }
}

/// A port that was free a moment ago: whoever takes it meanwhile makes the server fail, and the run is repeated.
fn free_port() -> std::io::Result<u16> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr().map(|address| address.port())
}

/// Host and port of a URL; none if it has no host.
pub(super) fn authority(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let default = if matches!(scheme, "wss" | "https") { 443 } else { 80 };
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    match (authority, has_port) {
        ("", _) => None,
        (authority, true) => Some(authority.to_owned()),
        (authority, false) => Some(format!("{authority}:{default}")),
    }
}

/// The URL with `port` in it: where `{port}` stands, or instead of the port that it names.
fn with_port(url: &str, port: u16) -> String {
    if url.contains(PORT) {
        return url.replace(PORT, &port.to_string());
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (old, path) = rest.split_at(end);
    let host = match old.rsplit_once(':') {
        Some((host, old_port)) if !old_port.contains(']') => host,
        _ => old,
    };
    format!("{scheme}://{host}:{port}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_hosts_and_ports() {
        for (url, host, moved) in [
            ("ws://127.0.0.1:8080/ws/{room}", Some("127.0.0.1:8080"), "ws://127.0.0.1:9/ws/{room}"),
            ("ws://localhost/ws", Some("localhost:80"), "ws://localhost:9/ws"),
            ("wss://me:secret@[::1]?x=1", Some("[::1]:443"), "wss://me:secret@[::1]:9?x=1"),
            ("http://[::1]:8080", Some("[::1]:8080"), "http://[::1]:9"),
            ("ws://127.0.0.1:{port}/{room}", Some("127.0.0.1:{port}"), "ws://127.0.0.1:9/{room}"),
            ("ws:///nowhere", None, "ws://:9/nowhere"),
            ("nonsense", None, "nonsense"),
        ] {
            assert_eq!(authority(url).as_deref(), host, "{url}");
            assert_eq!(with_port(url, 9), moved, "{url}");
        }
    }
}

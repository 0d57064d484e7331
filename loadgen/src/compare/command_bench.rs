//! The bench of real servers: each run gets a server of its own, started by a shell command and ended after it.

use std::net::TcpListener;
use std::path::PathBuf;

use super::bench::{Bench, BenchError, Side};
use super::server_process::{ServerCommand, ServerProcess};
use crate::outcome::Run;
use crate::scenario::Scenario;
use crate::scenario::load::PORT;

/// What a runner fails with.
pub type RunError = Box<dyn std::error::Error + Send + Sync>;

/// Runs a scenario against a server that is up; told the process that listens, to look at its CPU and memory.
pub type Runner<'a> = dyn FnMut(&Scenario, u32) -> Result<Run, RunError> + 'a;

/// See the module.
pub struct CommandBench<'a> {
    scenario: &'a Scenario,
    base: ServerCommand,
    candidate: ServerCommand,
    output: PathBuf,
    runner: &'a mut Runner<'a>,
}

/// Why the scenario's URL is of no use.
#[derive(Debug, thiserror::Error)]
#[error("target.url {0:?} has no host: like ws://127.0.0.1:8080/ws/{{room}} it should be")]
struct NoHost(String);

impl<'a> CommandBench<'a> {
    /// For these servers. What a server writes goes to `output`, run by run, so that an error can show the end of it.
    pub fn new(
        scenario: &'a Scenario,
        (base, candidate): (ServerCommand, ServerCommand),
        output: PathBuf,
        runner: &'a mut Runner<'a>,
    ) -> Self {
        Self { scenario, base, candidate, output, runner }
    }
}

impl Bench for CommandBench<'_> {
    fn run(&mut self, side: Side, seed: u64) -> Result<Run, BenchError> {
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
        let process = ServerProcess::start(&server, &authority, &self.output)?;
        (self.runner)(&scenario, process.pid())
    }
}

/// A port that was free a moment ago: whoever takes it meanwhile makes the server fail, and the run is repeated.
fn free_port() -> std::io::Result<u16> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr().map(|address| address.port())
}

/// Host and port of a URL; none if it has no host.
fn authority(url: &str) -> Option<String> {
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

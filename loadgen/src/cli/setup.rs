//! How a run is carried out: by which processes, and where the server's own figures come from.

use std::net::SocketAddr;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::scenario::plan::{Drivers, Place};

/// How a run is carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// The server's process on this machine.
    pub server_pid: Option<u32>,
    /// The server's page of Prometheus metrics.
    pub server_metrics: Option<String>,
    /// Who drives it.
    pub workers: Workers,
    /// The core that the generator is pinned to; further workers take the following ones.
    pub pin: Option<u32>,
}

/// Who drives a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workers {
    /// So many processes on this machine; one is this process itself.
    Here(u32),
    /// `loadgen worker`s elsewhere, by address.
    At(Vec<String>),
}

impl Default for Workers {
    fn default() -> Self {
        Self::Here(1)
    }
}

impl Workers {
    /// What the plan has to know of them.
    #[must_use]
    pub fn drivers(&self) -> Drivers {
        match self {
            Self::Here(count) => Drivers { workers: *count, place: Place::SameMachine },
            Self::At(addresses) => {
                let workers = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
                Drivers { workers, place: Place::OwnMachines }
            }
        }
    }
}

const HEADING: &str = "Server and workers";

pub(super) fn add(command: Command) -> Command {
    command.next_help_heading(HEADING).args([
        Arg::new("server-pid")
            .long("server-pid")
            .value_name("PID")
            .value_parser(value_parser!(u32).range(1..))
            .help("The server's process on this machine: CPU per delivery, memory per connection (server.* metrics)"),
        Arg::new("server-metrics")
            .long("server-metrics")
            .value_name("URL")
            .value_parser(metrics_url)
            .help("The server's Prometheus page: its counters, announced drops, CPU if it is on another machine"),
        Arg::new("workers")
            .long("workers")
            .value_name("N")
            .value_parser(value_parser!(u32).range(1..=256))
            .default_value("1")
            .help("Processes on this machine that share the subscribers, each with its own core and open files"),
        Arg::new("workers-at")
            .long("workers-at")
            .value_name("HOST:PORT,…")
            .value_delimiter(',')
            .value_parser(host_and_port)
            .conflicts_with_all(["workers", "pin"])
            .help("Share the subscribers among `loadgen worker`s on these machines"),
        Arg::new("pin")
            .long("pin")
            .value_name("CORE")
            .value_parser(value_parser!(u32))
            .help("Run on this core (from 0), further workers on the following ones: leaves the others to the server"),
    ])
}

fn metrics_url(text: &str) -> Result<String, &'static str> {
    match text.strip_prefix("http://") {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Ok(text.to_owned()),
        _ => Err("not of the form http://HOST:PORT/PATH"),
    }
}

/// A name and port, or an address and port (`[::1]:7000`).
fn host_and_port(text: &str) -> Result<String, &'static str> {
    let named = |text: &str| {
        let (host, port) = text.rsplit_once(':')?;
        (!host.is_empty() && !host.contains([':', '/']) && port.parse::<u16>().is_ok_and(|port| port > 0)).then_some(())
    };
    if text.parse::<SocketAddr>().is_ok() || named(text).is_some() {
        Ok(text.to_owned())
    } else {
        Err("not of the form HOST:PORT")
    }
}

pub(super) fn options(matches: &ArgMatches) -> Setup {
    let at = super::texts(matches, "workers-at");
    let here = matches.get_one::<u32>("workers").copied().unwrap_or(1);
    Setup {
        server_pid: matches.get_one::<u32>("server-pid").copied(),
        server_metrics: super::text(matches, "server-metrics"),
        workers: if at.is_empty() { Workers::Here(here) } else { Workers::At(at) },
        pin: matches.get_one::<u32>("pin").copied(),
    }
}

//! A server that the gate starts for one run and ends after it: a shell command in a process group of its own.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::clock::Nanos;

/// How long a connect may take to be refused or accepted on the way to a server that is up.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
/// How long the server is watched between two attempts to connect to it.
const ATTEMPT_EVERY: Duration = Duration::from_millis(20);
/// What of the server's output an error shows.
const OUTPUT_BYTES_MAX: i64 = 2_000;

/// How a server is started.
#[derive(Clone, Debug)]
pub struct ServerCommand {
    /// For `sh -c`.
    pub command: String,
    /// Where it runs; without it here.
    pub directory: Option<PathBuf>,
    /// Cores that it may use; empty: all.
    pub cores: Vec<usize>,
    /// By then it must accept connections.
    pub start_timeout: Duration,
    /// How long it has to end after SIGTERM, before SIGKILL.
    pub stop_timeout: Duration,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Somebody else has the port: that server would be measured.
    #[error("something listens on {0} already: end it, or write {{port}} in the command for a free one")]
    PortTaken(SocketAddr),
    /// The URL's host has no address.
    #[error("no address for {authority} of target.url: {source}")]
    Address {
        /// Host and port.
        authority: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The shell, a pipe, a core that is not there.
    #[error("cannot start `{command}`: {source}")]
    Spawn {
        /// The command.
        command: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It ended by itself.
    #[error("`{command}` ended before it listened on {address} ({status}); its output ends with:\n{output}")]
    Ended {
        /// The command.
        command: String,
        /// Where it should have listened.
        address: SocketAddr,
        /// How it ended.
        status: String,
        /// What it wrote last.
        output: String,
    },
    /// It runs, but does not listen.
    #[error("`{command}` did not listen on {address} within {timeout:?}; its output ends with:\n{output}")]
    Silent {
        /// The command.
        command: String,
        /// Where it should have listened.
        address: SocketAddr,
        /// How long it had.
        timeout: Duration,
        /// What it wrote last.
        output: String,
    },
}

/// A server that runs. Ended when dropped.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    group: Pid,
    output: File,
    address: SocketAddr,
    stop_timeout: Duration,
}

impl ServerProcess {
    /// Starts it and waits until it accepts connections at host and port of `authority`. Its output goes to `output`.
    ///
    /// # Errors
    /// If the port is taken, or it does not come up in time.
    pub fn start(how: &ServerCommand, authority: &str, output: &Path) -> Result<Self, StartError> {
        let address = resolve(authority)?;
        if TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).is_ok() {
            return Err(StartError::PortTaken(address));
        }
        let failed = |source| StartError::Spawn { command: how.command.clone(), source };
        let (child, output) = spawn(how, output).map_err(failed)?;
        let group = Pid::from_child(&child);
        let mut server = Self { child, group, output, address, stop_timeout: how.stop_timeout };
        server.wait_until_it_listens(how)?;
        Ok(server)
    }

    /// The process that listens: the shell's if no other one of its group does.
    #[must_use]
    pub fn pid(&self) -> u32 {
        let shell = self.child.id();
        super::listener::listening_pid(self.group, self.address.port()).unwrap_or(shell)
    }

    fn wait_until_it_listens(&mut self, how: &ServerCommand) -> Result<(), StartError> {
        let deadline = Nanos::now().after(how.start_timeout);
        loop {
            if TcpStream::connect_timeout(&self.address, CONNECT_TIMEOUT).is_ok() {
                return Ok(());
            }
            let (command, address) = (how.command.clone(), self.address);
            if self.ends_within(ATTEMPT_EVERY) {
                let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                return Err(StartError::Ended { command, address, status, output: self.last_output() });
            }
            if Nanos::now() > deadline {
                let timeout = how.start_timeout;
                return Err(StartError::Silent { command, address, timeout, output: self.last_output() });
            }
        }
    }

    /// Whether the shell ends within that time. Returns as soon as it does.
    fn ends_within(&self, timeout: Duration) -> bool {
        let Ok(watched) = pidfd_open(self.group, PidfdFlags::empty()) else {
            return true;
        };
        let timeout = Timespec::try_from(timeout).expect("a few seconds fit");
        poll(&mut [PollFd::new(&watched.as_fd(), PollFlags::IN)], Some(&timeout)).is_ok_and(|ready| ready > 0)
    }

    fn last_output(&mut self) -> String {
        let mut bytes = Vec::new();
        let length = self.output.seek(SeekFrom::End(0)).unwrap_or(0);
        let back = i64::try_from(length).map_or(OUTPUT_BYTES_MAX, |length| length.min(OUTPUT_BYTES_MAX));
        let read = self.output.seek(SeekFrom::End(-back)).and_then(|_| self.output.read_to_end(&mut bytes));
        match read {
            Ok(_) => String::from_utf8_lossy(&bytes).trim_end().to_owned(),
            Err(error) => format!("(cannot be read: {error})"),
        }
    }

    /// Ends it: SIGTERM to its group, SIGKILL to what is left of it.
    fn stop(&mut self) {
        let _gone_already = kill_process_group(self.group, Signal::TERM);
        self.ends_within(self.stop_timeout);
        // The shell may have gone before what it started, which may not care for SIGTERM.
        let _gone_already = kill_process_group(self.group, Signal::KILL);
        let _status = self.child.wait();
        // Others of the group are not this process's children, so that only their port tells when they are gone.
        let deadline = Nanos::now().after(self.stop_timeout);
        while TcpStream::connect_timeout(&self.address, CONNECT_TIMEOUT).is_ok() && Nanos::now() < deadline {
            let pause = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            let _nothing_to_wait_on = poll(&mut [], Some(&pause));
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.stop();
    }
}

fn resolve(authority: &str) -> Result<SocketAddr, StartError> {
    let failed = |source| StartError::Address { authority: authority.to_owned(), source };
    let mut addresses = authority.to_socket_addrs().map_err(failed)?;
    let none = || failed(std::io::Error::new(std::io::ErrorKind::NotFound, "the name has none"));
    addresses.next().ok_or_else(none)
}

/// Starts the shell. It inherits the cores of the thread that starts it, so this thread has them for a moment.
fn spawn(how: &ServerCommand, output: &Path) -> std::io::Result<(Child, File)> {
    let output = File::options().create(true).truncate(true).read(true).write(true).open(output)?;
    let mut command = Command::new("sh");
    command.arg("-c").arg(&how.command).process_group(0);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
    if let Some(directory) = &how.directory {
        command.current_dir(directory);
    }
    if how.cores.is_empty() {
        return Ok((command.spawn()?, output));
    }
    let before = sched_getaffinity(None)?;
    let mut cores = CpuSet::new();
    for core in &how.cores {
        if *core >= CpuSet::MAX_CPU {
            return Err(std::io::Error::other(format!("there is no core {core}")));
        }
        cores.set(*core);
    }
    sched_setaffinity(None, &cores)?;
    let child = command.spawn();
    sched_setaffinity(None, &before)?;
    Ok((child?, output))
}

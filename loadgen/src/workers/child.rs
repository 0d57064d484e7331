//! A worker process of this machine: started, asked where it listens, ended.

use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What it says first: this, and its address.
pub(super) const LISTENING: &str = "listening on ";
/// Whoever has not said it by then is no worker.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of that line.
const LINE_BYTES_MAX: usize = 256;

/// Ends with its owner: its standard input is a pipe from here, and when that closes it goes, even if this process was
/// killed.
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts `program worker --once`. It is in a process group of its own: Ctrl-C in a terminal is for the
    /// coordinator, whose workers then still drain and report.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(super) fn start(program: &Path) -> io::Result<Self> {
        let child = Command::new(program)
            .args(["worker", "--listen", "127.0.0.1:0", "--once"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        Ok(Self { child })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens. Waits for it to say so.
    ///
    /// # Errors
    /// It ended, said nothing within ten seconds, or something else.
    pub(super) fn address(&mut self) -> Result<SocketAddr, String> {
        let stdout = self.child.stdout.as_mut().expect("it is a pipe");
        let line = first_line(stdout)?;
        let address = line.strip_prefix(LISTENING).and_then(|address| address.parse().ok());
        address.ok_or_else(|| format!("it said {line:?} instead of where it listens"))
    }
}

fn first_line(stdout: &mut ChildStdout) -> Result<String, String> {
    let timeout = Timespec { tv_sec: i64::try_from(START_TIMEOUT.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
    let mut line = Vec::new();
    while line.len() < LINE_BYTES_MAX {
        match poll(&mut [PollFd::new(stdout, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(format!("it said nothing within {} s", START_TIMEOUT.as_secs())),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.to_string()),
        }
        let mut byte = [0];
        match stdout.read(&mut byte) {
            Ok(0) => return Err("it ended at once".to_owned()),
            Ok(_) if byte == *b"\n" => break,
            Ok(_) => line.extend_from_slice(&byte),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

impl Drop for Process {
    /// Ends it at once and reaps it. Whoever wants its accounts has them by now.
    fn drop(&mut self) {
        // It has ended by itself already: then there is nothing to kill.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

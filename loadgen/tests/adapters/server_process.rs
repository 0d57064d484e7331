//! A server that a test starts for itself, from a program that may not be there.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// A running server; dropping it ends it.
pub(crate) struct ServerProcess(Child);

impl ServerProcess {
    /// Starts it and waits for the first line of its log (standard error) for which `ready` says something.
    pub(crate) fn start<T: Send + 'static>(
        command: &mut Command,
        ready: impl FnMut(&str) -> Option<T> + Send + 'static,
    ) -> (Self, T) {
        let mut process = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = process.stderr.take().unwrap();
        (Self(process), said_in(log, ready, command))
    }

    /// The same with a server that says it on standard output.
    pub(crate) fn start_announcing<T: Send + 'static>(
        command: &mut Command,
        ready: impl FnMut(&str) -> Option<T> + Send + 'static,
    ) -> (Self, T) {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let output = process.stdout.take().unwrap();
        (Self(process), said_in(output, ready, command))
    }
}

impl ServerProcess {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Says on standard error why tests did not run. Not `eprintln!`: the harness hides what a test prints that passes.
pub(crate) fn skipped(what: &str, package: &str) {
    let words = format!("SKIPPED: {what} is not here; to enable it: apt-get install {package}\n");
    std::io::stderr().write_all(words.as_bytes()).unwrap();
}

/// Reads the pipe to its end, so that the server never waits for it; what `ready` said of a line.
fn said_in<T: Send + 'static>(
    pipe: impl Read + Send + 'static,
    mut ready: impl FnMut(&str) -> Option<T> + Send + 'static,
    command: &Command,
) -> T {
    let (found, said) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(pipe).lines().map_while(Result::ok);
        if let Some(said) = lines.find_map(|line| ready(&line)) {
            // The test may have given up.
            found.send(said).ok();
        }
        lines.for_each(drop);
    });
    said.recv_timeout(STARTS_WITHIN).unwrap_or_else(|_| panic!("{command:?} is not ready"))
}

//! A server that a test starts for itself, from a program that may not be there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// A running server; dropping it ends it.
pub(crate) struct ServerProcess(Child);

impl ServerProcess {
    /// Starts it and waits for the first line of its log for which `ready` says something.
    pub(crate) fn start<T: Send + 'static>(
        command: &mut Command,
        ready: impl FnMut(&str) -> Option<T> + Send + 'static,
    ) -> (Self, T) {
        let mut process = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = process.stderr.take().unwrap();
        let server = Self(process);
        let said = first_said(log, ready);
        let said = said.recv_timeout(STARTS_WITHIN).unwrap_or_else(|_| panic!("{command:?} is not ready"));
        (server, said)
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

/// Reads the log to its end, so that the server never waits for it.
fn first_said<T: Send + 'static>(
    log: ChildStderr,
    mut ready: impl FnMut(&str) -> Option<T> + Send + 'static,
) -> mpsc::Receiver<T> {
    let (found, said) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        if let Some(said) = lines.find_map(|line| ready(&line)) {
            // The test may have given up.
            found.send(said).ok();
        }
        lines.for_each(drop);
    });
    said
}

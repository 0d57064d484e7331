//! A server process under test, and what the kernel says of it.

use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client;

/// Whatever has not happened by then never will. Not a measure of speed.
pub(crate) const HANG: Duration = Duration::from_secs(30);

/// A server on a free loopback port, killed when it is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
    said: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts the server with `settings` (`KEY=VALUE`) and waits until it says where it listens.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let binary = std::env::var_os("SHARDCAST_BIN").map(PathBuf::from);
        let mut command = Command::new(binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_shardcast").into()));
        command.env_clear().args(["serve", "--listen", "127.0.0.1:0", "--shards", "2", "--drain", "100ms"]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the server starts");
        let mut stdout = BufReader::new(process.stdout.take().expect("its output is piped"));
        let address = announced(&mut stdout);
        let said = Arc::new(Mutex::new(String::new()));
        let listener = std::thread::spawn({
            let (said, stderr) = (Arc::clone(&said), process.stderr.take().expect("its errors are piped"));
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    *said.lock().expect("nobody panics while holding it") += &(line + "\n");
                }
                // Only now may the other pipe go as well.
                drop(stdout);
            }
        });
        let server = Self { process, address, said, listener: Some(listener) };
        eventually("the server is ready", || server.get("/health/ready").0 == 200);
        server
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Open files of the process.
    pub(crate) fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the server is alive").count()
    }

    /// The same when it has been the same for a while: the test's own last request has its file for a moment longer.
    pub(crate) fn settled_files(&self) -> usize {
        let (mut files, mut times) = (self.files(), 0);
        eventually("no file comes or goes", || {
            times = if files == self.files() { times + 1 } else { 0 };
            files = self.files();
            times == 40
        });
        files
    }

    /// Memory that the process has taken, bytes. Not the pages of the binary itself: its share of those grows when
    /// another test's server ends.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).expect("the server is alive");
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).expect("Linux 5.4 or newer tells it");
        let kib: u64 = pss.trim().trim_end_matches("kB").trim().parse().expect("a number of KiB");
        kib << 10
    }

    /// CPU time that the process has used.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("the server is alive");
        let fields = stat.rsplit(')').next().expect("a stat line");
        let ticks = |index: usize| fields.split_whitespace().nth(index)?.parse::<u64>().ok();
        let ticks = ticks(11).expect("user time") + ticks(12).expect("system time");
        // USER_HZ is 100 on every Linux that this runs on.
        Duration::from_millis(10 * ticks)
    }

    /// Status and body of a GET. Status 0: no answer.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let answer =
            client::exchange(self.address, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (client::status(&answer), body.to_owned())
    }

    /// Sum of a metric over its labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200, "metrics are there");
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("shardcast_")?.strip_prefix(name)?;
            let rest = if rest.starts_with('{') { rest.split_once('}')?.1 } else { rest };
            rest.strip_prefix(' ')?.parse::<u64>().ok()
        });
        values.sum()
    }

    /// Connections of WebSocket clients.
    pub(crate) fn members(&self) -> u64 {
        self.metric("shard_connections")
    }

    /// Panics if the server has ended, is not ready, or has said something that it must not.
    pub(crate) fn assert_well(&self) {
        eventually("the server is ready", || self.get("/health/ready").0 == 200);
        let said = self.said.lock().expect("nobody panics while holding it");
        assert!(!said.contains("panic"), "{said}");
    }

    /// Ends the server; it must end in order.
    pub(crate) fn stop(mut self) {
        self.assert_well();
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("the server is alive");
        let status = self.process.wait().expect("it is our child");
        // 3: a client that the test holds did not answer the close.
        assert!(matches!(status.code(), Some(0 | 3)), "the server ended with {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if it has ended.
        self.process.kill().ok();
        self.process.wait().ok();
        if let Some(listener) = self.listener.take() {
            listener.join().ok();
        }
        if std::thread::panicking() {
            let said = self.said.lock().expect("nobody panics while holding it");
            assert!(std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes()).is_ok());
        }
    }
}

/// The address behind `http://` in the server's first lines.
fn announced(stdout: &mut impl BufRead) -> SocketAddr {
    let mut text = String::new();
    while let Ok(1..) = stdout.by_ref().take(4_096).read_line(&mut text) {
        if let Some((_, rest)) = text.split_once("http://")
            && let Some((address, _)) = rest.split_once('/')
        {
            return address.parse().expect("an address is announced");
        }
    }
    panic!("the server ended without saying where it listens: {text}");
}

/// Waits until `condition` holds, which has to be before [`HANG`] is over.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < HANG, "never: {what}");
        // Nothing tells of changes in /proc; the pause bounds only how often it is read.
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

//! A nats-server process with a WebSocket listener.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Debian puts it where only root looks.
const PROGRAMS: &[&str] = &["nats-server", "/usr/sbin/nats-server"];
const LISTENING: &str = "Listening for websocket clients on ws://";
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// A running server; dropping it ends it.
pub(crate) struct NatsServer {
    process: Child,
    pub(crate) address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl NatsServer {
    /// Starts one with `settings` added to its configuration; nothing, with a word on standard error, if there is none
    /// to start.
    pub(crate) fn start(settings: &str) -> Option<Self> {
        let Some(program) = PROGRAMS.iter().find(|program| is_there(program)) else {
            // Not `eprintln!`: the harness hides what a test prints that passes.
            let words = "SKIPPED: NATS: no nats-server here; to enable it: apt-get install nats-server\n";
            std::io::stderr().write_all(words.as_bytes()).unwrap();
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("nats.conf");
        let fixed = "listen: \"127.0.0.1:-1\"\nwebsocket { listen: \"127.0.0.1:-1\", no_tls: true }\n";
        std::fs::write(&file, format!("{fixed}{settings}\n")).unwrap();
        let mut process = Command::new(program)
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = process.stderr.take().unwrap();
        let address = listening_at(log);
        let mut server = Self { process, address: ([0; 4], 0).into(), _directory: directory };
        server.address = address.recv_timeout(STARTS_WITHIN).expect("nats-server listens");
        Some(server)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn is_there(program: &str) -> bool {
    let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Where the log says that the server listens. Reads on to the end, so that the server never waits for its log.
fn listening_at(log: ChildStderr) -> mpsc::Receiver<SocketAddr> {
    let (found, address) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if let Some((_, at)) = line.split_once(LISTENING) {
                // The test may have given up.
                found.send(at.trim().parse().unwrap()).ok();
            }
        }
    });
    address
}

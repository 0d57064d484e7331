//! A nats-server process with a WebSocket listener.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tokio::net::TcpStream;

use crate::server_process::{ServerProcess, skipped};

/// Debian puts it where only root looks.
const PROGRAMS: &[&str] = &["nats-server", "/usr/sbin/nats-server"];
const LISTENING: &str = "Listening for websocket clients on ws://";

/// A running server.
pub(crate) struct NatsServer {
    pub(crate) address: SocketAddr,
    _process: ServerProcess,
    _directory: tempfile::TempDir,
}

impl NatsServer {
    /// Starts one with `settings` added to its configuration; nothing, with a word on standard error, if there is none
    /// to start.
    pub(crate) fn start(settings: &str) -> Option<Self> {
        let Some(program) = PROGRAMS.iter().find(|program| is_there(program)) else {
            skipped("nats-server", "nats-server");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("nats.conf");
        let fixed = "listen: \"127.0.0.1:-1\"\nwebsocket { listen: \"127.0.0.1:-1\", no_tls: true }\n";
        std::fs::write(&file, format!("{fixed}{settings}\n")).unwrap();
        let (process, address) = ServerProcess::start(Command::new(program).arg("--config").arg(&file), |line| {
            line.split_once(LISTENING).map(|(_, address)| address.trim().parse().unwrap())
        });
        Some(Self { address, _process: process, _directory: directory })
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

fn is_there(program: &str) -> bool {
    let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

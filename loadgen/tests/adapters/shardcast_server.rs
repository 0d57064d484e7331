//! A shardcast process: this workspace's own server, built where the tests were.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::server_process::ServerProcess;

/// Rooms that keep what is published, and some that nobody may publish in.
const SETTINGS: &str = "[room]\nhistory_count_max = 10000\n\n[[rooms]]\npattern = \"quiet-*\"\npublish = \"refused\"\n";

/// A running server, on a free port.
pub(crate) struct ShardcastServer {
    pub(crate) address: SocketAddr,
    pub(crate) process: ServerProcess,
    _directory: tempfile::TempDir,
}

impl ShardcastServer {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("shardcast.toml");
        std::fs::write(&file, SETTINGS).unwrap();
        let mut command = Command::new(program());
        command.env_clear().args(["serve", "--listen", "127.0.0.1:0", "--shards", "2", "--config"]).arg(&file);
        let (process, address) = ServerProcess::start_announcing(&mut command, address_in);
        Self { address, process, _directory: directory }
    }
}

/// The program, as it is now: a test of loadgen alone does not build it.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_loadgen")).parent().unwrap();
        let profile = match folder.file_name().and_then(|name| name.to_str()).unwrap() {
            "debug" => "dev",
            other => other,
        };
        // All features of the whole workspace, and a test, with which those of dependencies of tests count as well:
        // what the test command has built is what this asks for, and nothing is compiled again.
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--workspace", "--all-features", "--bin", "shardcast", "--profile", profile]);
        build.args(["--test", "command_line"]);
        build.arg("--target-dir").arg(folder.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(build.status().unwrap().success(), "{build:?}");
        folder.join("shardcast")
    })
}

/// `open http://127.0.0.1:8080/`.
fn address_in(line: &str) -> Option<SocketAddr> {
    line.trim().strip_prefix("open")?.trim().strip_prefix("http://")?.split('/').next()?.parse().ok()
}

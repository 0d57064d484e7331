//! The `loadgen` program as a script runs it: `run --format json --quiet`.

use std::process::{Output, Stdio};
use std::time::Duration;

use loadgen::outcome::Run;
use tokio::process::Command;
use tokio::sync::RwLock;

use crate::server::Server;

/// No run here takes that long: it ends a test that hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// Runs share the machine, except the one whose times are looked at.
static MACHINE: RwLock<()> = RwLock::const_new(());

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: i32,
    /// What it printed.
    pub(crate) printed: String,
    /// What it said on standard error.
    pub(crate) said: String,
}

impl Ended {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (printed, said) = (text(output.stdout), text(output.stderr));
        Self { exit: output.status.code().unwrap_or_else(|| panic!("it was killed: {said}")), printed, said }
    }

    /// The outcome that it printed.
    pub(crate) fn run(&self) -> Run {
        serde_json::from_str(&self.printed).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// What a run is given. Its own lateness and CPU make none of them invalid, so that the audit alone decides; the tests
/// run side by side.
pub(crate) fn arguments(url: &str, further: &[&str]) -> Vec<String> {
    let basic = [
        "run",
        "--url",
        url,
        "--format",
        "json",
        "--quiet",
        "--limits-lateness-p999-max",
        "1m",
        "--limits-generator-cpu-max",
        "1",
        "--limits-arrival-timeout",
        "500ms",
    ];
    basic.iter().chain(further).map(|&argument| argument.to_owned()).collect()
}

/// A run against `server`, to its end.
pub(crate) async fn run(server: &Server, further: &[&str]) -> Ended {
    let _shared = MACHINE.read().await;
    ended(&arguments(&server.url(), further)).await
}

/// The same, of subscribers who speak a dialect.
pub(crate) async fn run_speaking(dialect: &str, server: &Server, further: &[&str]) -> Ended {
    let _shared = MACHINE.read().await;
    ended(&arguments(&server.url_of(dialect), &[&["--adapter", dialect], further].concat())).await
}

/// The same while no other runs.
pub(crate) async fn run_alone(server: &Server, further: &[&str]) -> Ended {
    let _alone = MACHINE.write().await;
    ended(&arguments(&server.url(), further)).await
}

/// A run that `then` interferes with, by process id.
pub(crate) async fn run_and(server: &Server, further: &[&str], then: impl AsyncFnOnce(i32)) -> Ended {
    let _shared = MACHINE.read().await;
    let child = command(&arguments(&server.url(), further)).spawn().unwrap();
    let process = i32::try_from(child.id().unwrap()).unwrap();
    let interfered = async {
        then(process).await;
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(HANGS_AFTER, interfered).await.expect("it hangs");
    Ended::new(output.unwrap())
}

/// The program, to its end, where no file may become longer than so many blocks of 512 bytes: as if the disk were full.
pub(crate) async fn run_with_short_files(blocks: u32, server: &Server, further: &[&str]) -> Ended {
    let _shared = MACHINE.read().await;
    let mut shell = Command::new("sh");
    // The signal would end it; ignored, the write fails.
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
    shell.arg(env!("CARGO_BIN_EXE_loadgen")).args(arguments(&server.url(), further));
    let output = tokio::time::timeout(HANGS_AFTER, quietly(&mut shell).output()).await.expect("it hangs");
    Ended::new(output.unwrap())
}

/// The program with these arguments, to its end.
pub(crate) async fn ended(arguments: &[String]) -> Ended {
    let output = tokio::time::timeout(HANGS_AFTER, command(arguments).output()).await.expect("it hangs");
    Ended::new(output.unwrap())
}

fn command(arguments: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    quietly(command.args(arguments));
    command
}

fn quietly(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true)
}

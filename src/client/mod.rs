//! The console clients: `publish`, `subscribe` and `chat`. They meet a server only over the network, like anybody's
//! client: nothing here imports the server, or of the engine more than the rule for a room's name; `protocol` gives the
//! words of the wire.
//!
//! ```text
//! arguments → target (where the room is) ─┬─ publish:         input (stdin) → publisher (HTTP) → retry
//!                                         └─ subscribe, chat: session (reconnects) → link (WebSocket) → output
//!                                                        subscribe: … → resume (what is new) → …
//! ```
//! Standard output carries messages only; everything about the connection goes to standard error.

mod backoff;
mod chat;
mod console;
mod fragments;
mod handshake;
mod input;
mod link;
mod message;
mod output;
mod pending;
mod position;
mod position_file;
mod printer;
mod publish;
mod publisher;
mod resume;
mod retry;
mod session;
mod subscribe;
mod target;

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

pub(crate) use chat::ChatArgs;
pub(crate) use publish::PublishArgs;
pub(crate) use subscribe::SubscribeArgs;

/// The console clients, as subcommands of the binary.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Publish one text, or every line of standard input, into a room
    Publish(PublishArgs),
    /// Print every message of a room
    Subscribe(SubscribeArgs),
    /// Talk in a room
    Chat(ChatArgs),
}

/// Why a console client gave up; each kind is an exit code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ClientError {
    /// The server said no, or something was not published. Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// What was asked for makes no sense. Exit code 64 (`EX_USAGE`).
    #[error(transparent)]
    Usage(#[from] target::TargetError),
    /// The server cannot be reached and there is to be no further try. Exit code 69 (`EX_UNAVAILABLE`).
    #[error("{0}")]
    Unavailable(String),
    /// Standard input cannot be read, standard output not written, or the system refuses. Exit code 1.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Ctrl-C. Exit code 130, as of a process that the signal ended.
    #[error("interrupted")]
    Interrupted,
    /// SIGTERM. Exit code 143, likewise.
    #[error("terminated")]
    Terminated,
}

impl ClientError {
    /// The exit code that says this.
    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Io(_) => 1,
            Self::Usage(_) => 64,
            Self::Unavailable(_) => 69,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// Runs one client to its end on a runtime of its own (one thread: a line costs no wake-up of another core) and says on
/// standard error why it failed, if it did.
pub(crate) fn run(command: Command) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit(Err(error.into())),
    };
    let result = runtime.block_on(async {
        match command {
            Command::Publish(arguments) => publish::publish(arguments).await,
            Command::Subscribe(arguments) => subscribe::subscribe(arguments).await,
            Command::Chat(arguments) => chat::chat(arguments).await,
        }
    });
    // A name look-up may still hold a thread of the runtime's: nobody waits for it.
    runtime.shutdown_background();
    exit(result)
}

fn exit(result: Result<(), ClientError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, ClientError::Interrupted | ClientError::Terminated) {
                notice(format_args!("{error}"));
            }
            ExitCode::from(error.code())
        }
    }
}

/// One status line on standard error; on a terminal it takes the place of a prompt. If standard error is closed, there
/// is nobody to tell.
fn notice(line: fmt::Arguments<'_>) {
    let mut stderr = std::io::stderr().lock();
    let clear = if stderr.is_terminal() { console::CLEAR_LINE } else { "" };
    drop(writeln!(stderr, "{clear}shardcast: {line}"));
}

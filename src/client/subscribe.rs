//! `shardcast subscribe`: every message of a room, on standard output.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ClientError;
use super::handshake::Dialect;
use super::output::Output;
use super::position::Position;
use super::position_file::PositionFile;
use super::printer::{Form, Over, Prefix, Printer};
use super::resume::{Resume, Start};
use super::session::{Reconnect, Session};
use super::target::Target;

/// How long a subscriber that was told to end writes what it has read.
const LAST_WRITES_TIME_MAX: Duration = Duration::from_secs(2);

/// Arguments of `shardcast subscribe`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(
    after_help = "Every text message is one line (more, if it has line breaks itself). A binary message is a line of \
    base64, or with --raw its bytes as they are, with nothing added. On a terminal, control characters are removed \
    unless --raw. Status goes to standard error.\n\n\
    After a lost connection it connects again. With --follow, --since, --last, --positions or --position-file it then \
    goes on where it was, as far as the room's history reaches: each message is printed once, and what is lost is told \
    in one line, with the position. (What was printed when the process is killed may be printed again with \
    --position-file.)\n\n\
    Exit code: 0 after --count messages, or when the reader of standard output or the server has finished; 1 if the \
    server refuses; 69 if it is unavailable (--no-reconnect)."
)]
pub(crate) struct SubscribeArgs {
    /// The room's name, or its URL (ws://HOST/ws/ROOM)
    room: String,
    /// The server, for a room's name
    #[arg(long, value_name = "URL", env = "SHARDCAST_SERVER", default_value = "ws://127.0.0.1:8080")]
    server: String,
    /// Begin behind this position, as --positions or a publish tells it
    #[arg(long, value_name = "EPOCH:OFFSET", conflicts_with = "last")]
    since: Option<Position>,
    /// Begin with the newest so many messages
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    /// After a lost connection go on where it was, for ever
    #[arg(long, conflicts_with = "no_reconnect")]
    follow: bool,
    /// Keep the position in this file; if it has one, begin there
    #[arg(long, value_name = "FILE")]
    position_file: Option<PathBuf>,
    /// Print each message's position and a tab before it
    #[arg(long, conflicts_with = "raw")]
    positions: bool,
    /// Stop after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Write messages as they are, even binary ones and to a terminal
    #[arg(long)]
    raw: bool,
    /// Exit when the connection fails or ends
    #[arg(long)]
    no_reconnect: bool,
}

impl SubscribeArgs {
    /// Where to begin; `None`: positions are of no interest.
    fn start(&self, file: Option<&PositionFile>) -> std::io::Result<Option<Start>> {
        let kept = file.map(|file| file.load().and_then(|position| file.try_out().and(Ok(position)))).transpose()?;
        if let Some(position) = kept.flatten() {
            return Ok(Some(Start::Since(position)));
        }
        let asked = self.since.map(Start::Since).or_else(|| self.last.map(Start::Last));
        Ok(asked.or_else(|| (self.follow || self.positions || file.is_some()).then_some(Start::Now)))
    }

    fn form(&self) -> Form {
        match (self.raw, std::io::stdout().is_terminal()) {
            (true, _) => Form::Raw,
            (false, true) => Form::Terminal,
            (false, false) => Form::Lines,
        }
    }
}

/// Runs `shardcast subscribe`.
pub(super) async fn subscribe(arguments: SubscribeArgs) -> Result<(), ClientError> {
    let target = Target::new(&arguments.room, &arguments.server)?;
    let form = arguments.form();
    let file = arguments.position_file.clone().map(PositionFile::new);
    let start = arguments.start(file.as_ref())?;
    let dialect = if start.is_some() { Dialect::V1 } else { Dialect::Raw };
    let reconnect = if arguments.no_reconnect { Reconnect::Never } else { Reconnect::Always };
    let mut session = Session::new(target, dialect, reconnect)?;
    let mut resume = start.map(Resume::new);
    let mut stop = Stop::new()?;
    let prefix = if arguments.positions { Prefix::Position } else { Prefix::None };
    let mut printer = Printer::new(Output::start_with(file)?, form, prefix, arguments.count);
    let result = follow(&mut session, &mut printer, resume.as_mut(), &mut stop).await;
    let stopped = matches!(result, Err(ClientError::Interrupted | ClientError::Terminated));
    tokio::select! {
        written = printer.finish() => result.and(Ok(written?)),
        signal = stop.signalled() => Err(signal),
        () = tokio::time::sleep(LAST_WRITES_TIME_MAX), if stopped => result,
    }
}

/// What ends the process.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for either signal. Safe to drop while waiting.
    async fn signalled(&mut self) -> ClientError {
        tokio::select! {
            _ = self.interrupt.recv() => ClientError::Interrupted,
            _ = self.terminate.recv() => ClientError::Terminated,
        }
    }
}

/// Over all connections, until there is no more to print.
async fn follow(
    session: &mut Session,
    printer: &mut Printer,
    mut resume: Option<&mut Resume>,
    stop: &mut Stop,
) -> Result<(), ClientError> {
    loop {
        let start = resume.as_mut().map_or(Start::Now, |resume| resume.connect());
        let mut link = tokio::select! {
            link = session.connect(start) => link?,
            () = printer.gone() => return Ok(()),
            signal = stop.signalled() => return Err(signal),
        };
        let over = tokio::select! {
            over = printer.print(&mut link, resume.as_deref_mut()) => Ok(over),
            signal = stop.signalled() => Err(signal),
        };
        match over {
            Ok(Over::Ended(end)) if session.ended(&end)? => {}
            Ok(Over::Ended(_)) => return Ok(()),
            Ok(Over::Broken(error)) => return Err(ClientError::Failed(format!("the server sent {error}"))),
            Ok(Over::Enough) => {
                drop(link.close(drop).await);
                return Ok(());
            }
            Err(signal) => {
                drop(link.close(drop).await);
                return Err(signal);
            }
        }
    }
}

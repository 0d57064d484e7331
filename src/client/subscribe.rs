//! `shardcast subscribe`: every message of a room, on standard output.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use std::io::IsTerminal as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ClientError;
use super::link::{EVENTS_MAX, End, Event, Link};
use super::message::harmless;
use super::output::{Gone, Output};
use super::session::{Reconnect, Session};
use super::target::Target;

/// Arguments of `shardcast subscribe`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every text message is one line (more, if it has line breaks itself). A binary message is a line of \
    base64, or with --raw its bytes as they are, with nothing added. On a terminal, control characters are removed \
    unless --raw. Status goes to standard error. Exit code: 0 after --count messages, or when the reader of standard \
    output or the server has finished; 1 if the server refuses; 69 if it is unavailable (--no-reconnect)."
)]
pub(crate) struct SubscribeArgs {
    /// The room's name, or its URL (ws://HOST/ws/ROOM)
    room: String,
    /// The server, for a room's name
    #[arg(long, value_name = "URL", env = "SHARDCAST_SERVER", default_value = "ws://127.0.0.1:8080")]
    server: String,
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

/// How messages become output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As they are.
    Raw,
    /// For a program that reads lines.
    Lines,
    /// For a person at a terminal.
    Terminal,
}

/// Runs `shardcast subscribe`.
pub(super) async fn subscribe(arguments: SubscribeArgs) -> Result<(), ClientError> {
    let target = Target::new(&arguments.room, &arguments.server)?;
    let reconnect = if arguments.no_reconnect { Reconnect::Never } else { Reconnect::Always };
    let mut session = Session::new(target, reconnect)?;
    let form = match (arguments.raw, std::io::stdout().is_terminal()) {
        (true, _) => Form::Raw,
        (false, true) => Form::Terminal,
        (false, false) => Form::Lines,
    };
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut printer = Printer { output: Output::start()?, form, remaining: arguments.count };
    follow(&mut session, &mut printer, &mut interrupt).await?;
    tokio::select! {
        written = printer.output.finish() => Ok(written?),
        _ = interrupt.recv() => Err(ClientError::Interrupted),
    }
}

/// Why a connection is over.
enum Over {
    /// Nothing more is to be printed.
    Enough,
    /// Ctrl-C.
    Interrupted,
    /// The other side, or the network.
    Ended(End),
}

/// Over all connections, until there is no more to print.
async fn follow(session: &mut Session, printer: &mut Printer, interrupt: &mut Signal) -> Result<(), ClientError> {
    loop {
        let mut link = tokio::select! {
            link = session.connect() => link?,
            _ = interrupt.recv() => return Err(ClientError::Interrupted),
        };
        let over = tokio::select! {
            over = printer.print(&mut link) => over,
            _ = interrupt.recv() => Over::Interrupted,
        };
        match over {
            Over::Ended(end) if session.ended(&end)? => {}
            Over::Ended(_) => return Ok(()),
            Over::Enough => {
                drop(link.close(drop).await);
                return Ok(());
            }
            Over::Interrupted => {
                drop(link.close(drop).await);
                return Err(ClientError::Interrupted);
            }
        }
    }
}

/// From messages to standard output.
struct Printer {
    output: Output,
    form: Form,
    /// How many messages more; `None`: all.
    remaining: Option<u64>,
}

impl Printer {
    /// Prints what comes over one connection, in batches of what is there, until it ends.
    async fn print(&mut self, link: &mut Link) -> Over {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            if link.events.recv_many(&mut events, EVENTS_MAX).await == 0 {
                return Over::Ended(End::Lost("the connection is gone".to_owned()));
            }
            let mut batch = BytesMut::new();
            let mut over = None;
            for event in events.drain(..) {
                match event {
                    _ if self.remaining == Some(0) => break,
                    Event::End(end) => over = Some(Over::Ended(end)),
                    message => {
                        append(&mut batch, &message, self.form);
                        self.remaining = self.remaining.map(|count| count - 1);
                    }
                }
            }
            if self.output.write(batch.freeze()).await == Err(Gone) || self.remaining == Some(0) {
                return Over::Enough;
            }
            if let Some(over) = over {
                return over;
            }
        }
    }
}

fn append(batch: &mut BytesMut, message: &Event, form: Form) {
    match (message, form) {
        (Event::Binary(payload), Form::Raw) => return batch.extend_from_slice(payload),
        (Event::Binary(payload), _) => batch.extend_from_slice(STANDARD.encode(payload).as_bytes()),
        (Event::Text(text), Form::Terminal) => {
            batch.extend_from_slice(harmless(&String::from_utf8_lossy(text)).as_bytes());
        }
        (Event::Text(text), _) => batch.extend_from_slice(text),
        (Event::End(_), _) => return,
    }
    batch.extend_from_slice(b"\n");
}

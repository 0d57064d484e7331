//! `shardcast chat`: a console in a room.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::console::{Console, Input};
use super::handshake::Dialect;
use super::input;
use super::link::{EVENTS_MAX, End, Event, Link, Outgoing};
use super::message::{self, encode};
use super::output::Gone;
use super::pending::{Pending, UNSENT_MAX};
use super::resume::Start;
use super::session::{Reconnect, Session};
use super::target::Target;
use super::{ClientError, notice};

/// Longest line that can be typed, bytes.
const LINE_BYTES_MAX: usize = 32 << 10;
/// How long the last lines may take to come back before we leave.
const LAST_LINES_TIME_MAX: Duration = Duration::from_secs(1);

/// How long `/quit` waits for a connection to send the last lines over.
const QUIT_TIME_MAX: Duration = Duration::from_secs(2);

/// Arguments of `shardcast chat`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Type a line: everyone in the room sees it with your name. /quit or Ctrl-D leaves. After a lost \
    connection the client reconnects by itself; up to 1,000 lines typed meanwhile are kept and sent then. Input and \
    output may be pipes: input is sent line by line, and its end leaves the room once everything is sent."
)]
pub(crate) struct ChatArgs {
    /// The room's name, or its URL (ws://HOST/ws/ROOM)
    room: String,
    /// The server, for a room's name
    #[arg(long, value_name = "URL", env = "SHARDCAST_SERVER", default_value = "ws://127.0.0.1:8080")]
    server: String,
    /// Your name for the others
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, default_value = "anonymous")]
    name: String,
}

/// Runs `shardcast chat`.
pub(super) async fn chat(arguments: ChatArgs) -> Result<(), ClientError> {
    let target = Target::new(&arguments.room, &arguments.server)?;
    let name = message::name(&arguments.name);
    let mut session = Session::new(target.clone(), Dialect::Raw, Reconnect::Always)?;
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if terminal {
        notice(format_args!("you are {name} in {target}; /quit leaves"));
    }
    let console = Console::start(terminal.then(|| format!("{name}: ")))?;
    let lines = input::lines(LINE_BYTES_MAX)?;
    let (pending, interrupt) = (Pending::default(), signal(SignalKind::interrupt())?);
    let mut chat = Chat { name, lines, input: Input::Open, pending, console, interrupt };
    let result = chat.run(&mut session).await;
    let Chat { console, mut interrupt, .. } = chat;
    tokio::select! {
        written = console.finish() => written?,
        _ = interrupt.recv() => {}
    }
    result
}

struct Chat {
    name: String,
    lines: mpsc::Receiver<io::Result<input::Line>>,
    input: Input,
    pending: Pending,
    console: Console,
    interrupt: Signal,
}

/// Why a conversation over one connection is over.
enum Over {
    /// We leave.
    Left,
    /// Ctrl-C.
    Interrupted,
    /// The other side, or the network.
    Ended(End),
}

impl Chat {
    async fn run(&mut self, session: &mut Session) -> Result<(), ClientError> {
        loop {
            let Some(mut link) = self.connect(session).await? else {
                return self.unsent();
            };
            let again = self.pending.reconnected();
            if again > 0 {
                notice(format_args!("lines that nobody may have seen are sent again: {again}"));
            }
            self.console.prompt().await;
            match self.talk(&mut link).await? {
                Over::Left => return self.leave(link).await,
                Over::Interrupted => {
                    drop(link.close(drop).await);
                    return Err(ClientError::Interrupted);
                }
                Over::Ended(end) => {
                    if matches!(end, End::Closed { code: Some(1009), .. }) {
                        self.pending.drop_biggest_sent();
                        notice(format_args!("the longest of your last lines was too long and is given up"));
                    }
                    if !session.ended(&end)? {
                        return self.unsent();
                    }
                }
            }
        }
    }

    /// Connects, and takes what is typed meanwhile. `None`: left.
    async fn connect(&mut self, session: &mut Session) -> Result<Option<Link>, ClientError> {
        self.console.prompt().await;
        let mut connecting = std::pin::pin!(session.connect(Start::Now));
        loop {
            if self.input.is_over(&self.pending) {
                return Ok(None);
            }
            if self.input == Input::Quit {
                let last_try = tokio::time::timeout(QUIT_TIME_MAX, &mut connecting).await;
                return last_try.map_or(Ok(None), |link| link.map(Some));
            }
            let reads = self.input == Input::Open && !self.pending.is_full();
            tokio::select! {
                link = &mut connecting => return link.map(Some),
                line = self.lines.recv(), if reads => self.take(line).await?,
                _ = self.interrupt.recv() => return Err(ClientError::Interrupted),
            }
        }
    }

    /// Talks over one connection.
    async fn talk(&mut self, link: &mut Link) -> Result<Over, ClientError> {
        loop {
            if self.input.is_over(&self.pending) {
                return Ok(Over::Left);
            }
            let reads = self.input == Input::Open && !self.pending.is_full();
            let writable = tokio::select! {
                permit = link.outgoing.reserve(), if self.pending.has_unsent() => match permit {
                    Ok(permit) => {
                        if let Some(line) = self.pending.next() {
                            permit.send(Outgoing::Text(line));
                        }
                        true
                    }
                    Err(_) => false,
                },
                event = link.events.recv() => {
                    let lost = || Event::End(End::Lost("the connection is gone".to_owned()));
                    match event.unwrap_or_else(lost) {
                        Event::End(end) => return Ok(Over::Ended(end)),
                        message if self.show(&message).await == Err(Gone) => return Ok(Over::Left),
                        _ => true,
                    }
                }
                line = self.lines.recv(), if reads => {
                    self.take(line).await?;
                    true
                }
                _ = self.interrupt.recv() => return Ok(Over::Interrupted),
            };
            if !writable {
                // Why is among what was read.
                return Ok(self.last_words(link).await);
            }
        }
    }

    /// What still comes over a connection that cannot be written to.
    async fn last_words(&mut self, link: &mut Link) -> Over {
        let reading = async {
            loop {
                match link.next().await {
                    Event::End(end) => return end,
                    message => drop(self.show(&message).await),
                }
            }
        };
        let end = tokio::time::timeout(LAST_LINES_TIME_MAX, reading).await;
        Over::Ended(end.unwrap_or_else(|_| End::Lost("the connection cannot be written to".to_owned())))
    }

    /// Takes a line of input, or its end.
    async fn take(&mut self, line: Option<io::Result<input::Line>>) -> Result<(), ClientError> {
        let Some(line) = line.transpose()? else {
            self.input = self.console.at_end_of_input();
            return Ok(());
        };
        match line.bytes.map(|bytes| message::one_line(&String::from_utf8_lossy(&bytes))) {
            None => notice(format_args!("line {} has more than {LINE_BYTES_MAX} bytes: not sent", line.number)),
            Some(text) if text == "/quit" => self.input = Input::Quit,
            Some(text) if text.is_empty() => {}
            Some(text) => {
                self.pending.push(encode(&self.name, &text));
                if self.pending.is_full() {
                    notice(format_args!("{UNSENT_MAX} lines wait to be sent; no more are read until then"));
                }
            }
        }
        if self.input == Input::Open {
            self.console.prompt().await;
        }
        Ok(())
    }

    /// Shows a message, unless it is an own line that stands there already, as it was typed.
    async fn show(&mut self, message: &Event) -> Result<(), Gone> {
        match message {
            Event::Text(text) if self.pending.is_own(text) && self.console.shows_typed_lines() => Ok(()),
            Event::Text(text) => self.console.line(&message::shown(&String::from_utf8_lossy(text))).await,
            Event::Binary(payload) => self.console.line(&format!("(binary, {} bytes)", payload.len())).await,
            Event::End(_) => Ok(()),
        }
    }

    /// Leaves politely: waits for the last lines to come back, then for the server's close frame, which it sends after
    /// having read all of ours.
    async fn leave(&mut self, mut link: Link) -> Result<(), ClientError> {
        let last_lines = async {
            while self.pending.unseen() > 0 {
                match link.next().await {
                    Event::End(_) => return,
                    message if self.show(&message).await == Err(Gone) => return,
                    _ => {}
                }
            }
        };
        let seen = tokio::time::timeout(LAST_LINES_TIME_MAX, last_lines).await.is_ok();
        let mut late = Vec::new();
        let closed = link.close(|message| {
            if late.len() < EVENTS_MAX {
                late.push(message);
            }
        });
        let closed = closed.await.is_ok();
        for message in late {
            drop(self.show(&message).await);
        }
        match self.pending.unseen() {
            lines if lines > 0 && !seen && !closed => {
                Err(ClientError::Failed(format!("lines sent, but not confirmed by the server: {lines}")))
            }
            _ => self.unsent(),
        }
    }

    /// The end, with lines unsent or without.
    fn unsent(&self) -> Result<(), ClientError> {
        match self.pending.unsent() {
            0 => Ok(()),
            lines => Err(ClientError::Failed(format!("lines not sent: {lines}"))),
        }
    }
}

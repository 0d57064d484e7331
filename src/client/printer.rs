//! From the messages of a room to standard output.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;

use super::link::{EVENTS_MAX, End, Event, Link};
use super::message::harmless;
use super::notice;
use super::output::{Gone, Output};
use super::position::Position;
use super::resume::{Heard, Resume, ResumeError};

/// How messages become output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Raw,
    /// For a program that reads lines.
    Lines,
    /// For a person at a terminal.
    Terminal,
}

/// What stands in front of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    /// Nothing.
    None,
    /// Its position and a tab.
    Position,
}

/// Why nothing more is printed of a connection.
#[derive(Debug)]
pub(super) enum Over {
    /// Nothing more is to be printed at all.
    Enough,
    /// It ended.
    Ended(End),
    /// The server broke the protocol.
    Broken(ResumeError),
}

/// Prints the messages of one connection after the other.
pub(super) struct Printer {
    output: Output,
    form: Form,
    prefix: Prefix,
    /// How many messages more; `None`: all.
    remaining: Option<u64>,
}

/// What is printed together.
#[derive(Default)]
struct Batch {
    bytes: BytesMut,
    /// Where one is with all of it printed.
    position: Option<Position>,
}

/// Whether the loss of messages to slowness has been told for this connection.
enum Skips {
    Untold,
    Told,
}

impl Printer {
    /// Stops after `count` messages if there is such a number.
    pub(super) fn new(output: Output, form: Form, prefix: Prefix, count: Option<u64>) -> Self {
        Self { output, form, prefix, remaining: count }
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// Standard output or the position file cannot be written.
    pub(super) async fn finish(self) -> std::io::Result<()> {
        self.output.finish().await
    }

    /// Waits until nobody reads what is printed. Safe to drop while waiting.
    pub(super) async fn gone(&self) {
        self.output.gone().await;
    }

    /// Prints what comes over one connection, in batches of what is there, until it ends. With `resume`, its messages
    /// are those of `shardcast.v1`.
    pub(super) async fn print(&mut self, link: &mut Link, mut resume: Option<&mut Resume>) -> Over {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut skips = Skips::Untold;
        loop {
            let received = tokio::select! {
                received = link.events.recv_many(&mut events, EVENTS_MAX) => received,
                () = self.gone() => return Over::Enough,
            };
            if received == 0 {
                return Over::Ended(End::Lost("the connection is gone".to_owned()));
            }
            let mut batch = Batch::default();
            let mut over = None;
            for event in events.drain(..) {
                let printed = match event {
                    _ if self.remaining == Some(0) || over.is_some() => break,
                    Event::End(end) => {
                        over = Some(Over::Ended(end));
                        continue;
                    }
                    message => match &mut resume {
                        None => {
                            self.add(&mut batch, &message, None);
                            Ok(())
                        }
                        Some(resume) => resume.hear(message).map(|heard| self.take(&mut batch, heard, &mut skips)),
                    },
                };
                over = printed.err().map(Over::Broken);
            }
            let written = self.output.write_to(batch.bytes.freeze(), batch.position).await;
            if written == Err(Gone) || self.remaining == Some(0) {
                return Over::Enough;
            }
            if let Some(over) = over {
                return over;
            }
        }
    }

    fn take(&mut self, batch: &mut Batch, heard: Heard, skips: &mut Skips) {
        match heard {
            Heard::Known => {}
            Heard::Joined(position) => batch.position = Some(position),
            Heard::Lost { before, now } => {
                let before = before.map(|before| format!(" after {before}")).unwrap_or_default();
                notice(format_args!("lost: what was published{before} cannot be replayed; going on at {now}"));
                batch.position = Some(now);
            }
            Heard::Publication { position, payload, skipped } => {
                if skipped > 0 && matches!(skips, Skips::Untold) {
                    notice(format_args!(
                        "too slow: the server left out {skipped} messages before {position}; further gaps of this \
                        connection are not told (--positions shows them)"
                    ));
                    *skips = Skips::Told;
                }
                self.add(batch, &payload, Some(position));
                batch.position = Some(position);
            }
        }
    }

    fn add(&mut self, batch: &mut Batch, message: &Event, position: Option<Position>) {
        if let (Prefix::Position, Some(position)) = (self.prefix, position) {
            write!(batch.bytes, "{position}\t").expect("memory takes what is written");
        }
        append(&mut batch.bytes, message, self.form);
        self.remaining = self.remaining.map(|count| count - 1);
    }
}

fn append(bytes: &mut BytesMut, message: &Event, form: Form) {
    match (message, form) {
        (Event::Binary(payload), Form::Raw) => return bytes.extend_from_slice(payload),
        (Event::Binary(payload), _) => bytes.extend_from_slice(STANDARD.encode(payload).as_bytes()),
        (Event::Text(text), Form::Terminal) => {
            bytes.extend_from_slice(harmless(&String::from_utf8_lossy(text)).as_bytes());
        }
        (Event::Text(text), _) => bytes.extend_from_slice(text),
        (Event::End(_), _) => return,
    }
    bytes.extend_from_slice(b"\n");
}

//! What clients send: commands, one per line.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::envelope;
use super::error::{CommandError, Verdict};
use super::filter::Filter;

/// One command.
#[derive(Debug)]
pub struct Command<'a> {
    /// What the reply repeats; 0: none, no reply.
    pub id: u32,
    /// The method and its fields.
    pub body: Body<'a>,
}

/// A method and its fields. A missing text is empty, a missing number 0.
#[derive(Debug)]
pub enum Body<'a> {
    /// The first command of a connection.
    Connect(Connect<'a>),
    /// A subscription.
    Subscribe(Subscribe<'a>),
    /// The end of a subscription.
    Unsubscribe {
        /// The channel, not empty.
        channel: Cow<'a, str>,
    },
    /// A publication.
    Publish {
        /// The channel, not empty.
        channel: Cow<'a, str>,
        /// The payload; may be `null`.
        data: &'a RawValue,
    },
    /// Who is in a channel.
    Presence {
        /// The channel, not empty.
        channel: Cow<'a, str>,
    },
    /// How many are in a channel.
    PresenceStats {
        /// The channel, not empty.
        channel: Cow<'a, str>,
    },
    /// What was published.
    History(History<'a>),
    /// A call of the application.
    Rpc {
        /// The application's method; may be empty.
        method: Cow<'a, str>,
        /// Its argument.
        data: Option<&'a RawValue>,
    },
    /// A message to the application, without a reply.
    Send {
        /// The message.
        data: Option<&'a RawValue>,
    },
    /// A new token for the connection.
    Refresh {
        /// The token, not empty.
        token: Cow<'a, str>,
    },
    /// A new token for a subscription.
    SubRefresh {
        /// The channel, not empty.
        channel: Cow<'a, str>,
        /// The token, not empty.
        token: Cow<'a, str>,
    },
    /// The ping of old clients; answered by error 108.
    Ping,
    /// `{}`, the answer to `{}`.
    Pong,
    /// A method that is not known; answered by error 104.
    Unknown,
}

/// A position in a channel's stream, as a client says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPosition<'a> {
    /// The stream's life; empty: whichever. Any text: what is not an epoch of ours is an unknown one.
    pub epoch: Cow<'a, str>,
    /// The last publication that the client has; 0: none.
    pub offset: u64,
}

/// Fields of `connect`.
#[derive(Debug)]
pub struct Connect<'a> {
    /// A token; empty: anonymous.
    pub token: Cow<'a, str>,
    /// Data for the application.
    pub data: Option<&'a RawValue>,
    /// The client's name, such as `js`.
    pub name: Cow<'a, str>,
    /// The client's version.
    pub version: Cow<'a, str>,
    /// Server-side subscriptions to recover. A channel that comes twice is in it twice.
    pub subs: Vec<ConnectSub<'a>>,
}

/// A server-side subscription that a client had.
#[derive(Debug, PartialEq, Eq)]
pub struct ConnectSub<'a> {
    /// The channel, not empty.
    pub channel: Cow<'a, str>,
    /// What the client has, if it wants to recover.
    pub recover: Option<StreamPosition<'a>>,
}

/// Fields of `subscribe`.
#[derive(Debug)]
pub struct Subscribe<'a> {
    /// The channel, not empty.
    pub channel: Cow<'a, str>,
    /// A token; empty: none.
    pub token: Cow<'a, str>,
    /// Data for the application.
    pub data: Option<&'a RawValue>,
    /// What the client has, if it wants what came after.
    pub recover: Option<StreamPosition<'a>>,
    /// What the client asks for; the server decides.
    pub asked: Asked,
    /// The delta format that the client can read; formats that are not known are none.
    pub delta: Option<DeltaKind>,
    /// Which publications the client wants, by their tags.
    pub filter: Option<Filter>,
    /// Bits: 1, numbers may stand for channels; 2, an error is preferred to a subscription that is not recovered.
    pub flags: u64,
    /// The kind of subscription: 0 is a stream; others are answered by error 108.
    pub kind: u32,
}

/// What a subscriber asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Publications have offsets, and none is left out unnoticed.
    pub positioned: bool,
    /// The subscription can be recovered after a reconnect.
    pub recoverable: bool,
    /// Joins and leaves are pushed.
    pub join_leave: bool,
}

/// How publications are made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaKind {
    /// [`super::delta`].
    Fossil,
}

/// Fields of `history`.
#[derive(Debug, PartialEq, Eq)]
pub struct History<'a> {
    /// The channel, not empty.
    pub channel: Cow<'a, str>,
    /// Most publications: 0 is none (only the position), below 0 is as many as the server gives.
    pub limit: i32,
    /// Begin after this (in reverse: before).
    pub since: Option<StreamPosition<'a>>,
    /// Newest first.
    pub reverse: bool,
}

/// The commands of one message, from [`commands`].
#[derive(Debug)]
pub struct Commands<'a> {
    /// What is not read yet; `None`: nothing is left.
    rest: Option<&'a [u8]>,
    line: &'a [u8],
    read: usize,
    commands_max: usize,
}

/// Reads one message: commands in lines, in order. One line end at the message's end is ignored.
///
/// Each is read when it is asked for. After an error that closes the connection, and after `commands_max` commands,
/// nothing more is read. Linear in the message's length; memory is bounded by it.
#[must_use]
pub const fn commands(text: &[u8], commands_max: usize) -> Commands<'_> {
    let text = match text {
        [before @ .., b'\n'] => before,
        text => text,
    };
    Commands { rest: Some(text), line: &[], read: 0, commands_max }
}

impl<'a> Commands<'a> {
    /// The text of the command that was read last.
    #[must_use]
    pub const fn line(&self) -> &'a [u8] {
        self.line
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Result<Command<'a>, CommandError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        if self.read == self.commands_max {
            return Some(Err(CommandError::TooMany { limit: self.commands_max }));
        }
        self.read += 1;
        let end = rest.iter().position(|byte| *byte == b'\n');
        self.line = &rest[..end.unwrap_or(rest.len())];
        let result = envelope::read(self.line);
        let closes = result.as_ref().is_err_and(|error| matches!(error.verdict(), Verdict::Close(_)));
        self.rest = end.filter(|_| !closes).map(|end| &rest[end + 1..]);
        Some(result)
    }
}

impl std::iter::FusedIterator for Commands<'_> {}

//! Why a line is not a command, and what its client gets for it.

use super::code::{Disconnect, Error};

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The message is empty, or has a blank line.
    #[error("empty command")]
    Blank,
    /// Not UTF-8.
    #[error("command is not UTF-8")]
    NotUtf8,
    /// Arrays and objects are nested too deep.
    #[error("command is nested deeper than {limit}")]
    TooDeep {
        /// [`crate::protocol::json::DEPTH_MAX`].
        limit: usize,
    },
    /// Not JSON, or not of a command's shape.
    #[error("command is malformed: {0}")]
    Malformed(#[source] serde_json::Error),
    /// More commands in one message than `commands_max`.
    #[error("message has more commands than {limit}")]
    TooMany {
        /// `commands_max` of [`super::commands`].
        limit: usize,
    },
    /// More than one method.
    #[error("command has {actual} methods")]
    Methods {
        /// How many.
        actual: usize,
    },
    /// A method that is replied to, without an id to reply to.
    #[error("{method} without an id")]
    MissingId {
        /// The method.
        method: &'static str,
    },
    /// A field is missing that the method cannot do without.
    #[error("{method} without {field}")]
    MissingField {
        /// The method.
        method: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A string is too long.
    #[error("{field} has {actual} bytes, it may have {limit}")]
    TooLong {
        /// The command's id, 0 if it has none.
        id: u32,
        /// The field.
        field: &'static str,
        /// Its length, bytes.
        actual: usize,
        /// The bound, bytes.
        limit: usize,
    },
    /// More server-side subscriptions to recover than [`super::CONNECT_SUBS_MAX`].
    #[error("connect has {actual} subs, it may have {limit}")]
    TooManySubs {
        /// The command's id.
        id: u32,
        /// How many.
        actual: usize,
        /// The bound.
        limit: usize,
    },
    /// The tag filter cannot be evaluated.
    #[error("tag filter: {reason}")]
    Filter {
        /// The command's id.
        id: u32,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What a client gets for a bad line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An error in reply; the connection goes on.
    Reply {
        /// The command's id.
        id: u32,
        /// The error.
        error: Error,
    },
    /// The end of the connection.
    Close(Disconnect),
}

impl CommandError {
    /// What the client gets: an error in reply if the line was understood and has an id, else close code 3501.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::TooLong { id, .. } | Self::TooManySubs { id, .. } | Self::Filter { id, .. } if *id != 0 => {
                Verdict::Reply { id: *id, error: Error::BAD_REQUEST.because(self.to_string()) }
            }
            _ => Verdict::Close(Disconnect::BAD_REQUEST),
        }
    }
}

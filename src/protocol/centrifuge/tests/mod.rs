//! Tests of the JSON protocol.

mod commands;
pub(crate) mod delta;
mod filter;
mod replies;
mod streams;

use super::{Body, Command, CommandError, commands};

/// What one line says.
pub(super) fn command(line: &str) -> Result<Command<'_>, CommandError> {
    let mut commands = commands(line.as_bytes(), 2);
    let command = commands.next().expect("a message has a first command, if a bad one");
    assert!(commands.next().is_none(), "one line is one command");
    command
}

/// What one good line says.
pub(super) fn body(line: &str) -> Body<'_> {
    command(line).unwrap_or_else(|error| panic!("{line}: {error}")).body
}

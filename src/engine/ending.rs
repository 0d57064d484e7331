//! The end of a member that published: what it sent before its last frame reaches it, like everybody, before its close.
//!
//! Its publications may still be on their way to their room's home and back. A [`Mark`] is sent after them, on the same
//! queues; when it has come back, everything of this connection's is in the window, and the connection closes as soon
//! as it has been offered that. Until then it is a member whose socket nobody reads. All of it has `close_time_max`.

use std::ops::ControlFlow;

use super::connection::{Connection, Flags, State};
use super::membership::Close;
use super::metrics::Counter;
use super::shard::Shard;
use super::socket::Socket;
use crate::protocol::frame::{self, DecodeLimits, Extension, MessageKind, ProtocolError, Sink};

/// Goes from a connection's shard to its room's home and back, behind what was published before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) room_id: u64,
    /// The connection's shard, its number there, and its serial.
    pub(crate) shard: usize,
    pub(crate) number: u32,
    pub(crate) serial: u32,
}

impl<S: Socket> Shard<S> {
    /// Closes a connection by its own doing: it broke a rule, or said goodbye.
    pub(crate) fn end(&mut self, number: u32, close: Close) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        if connection.flags.has_any(Flags::SESSION) {
            return self.close(number, &close);
        }
        let Some(room) = self.rooms.get(connection.room).map(|room| &room.room) else { return };
        if connection.state != State::Open || !connection.flags.has(Flags::PUBLISHED) {
            return self.close(number, &close);
        }
        let mark = Mark { room_id: room.id, shard: self.own_number, number, serial: connection.serial };
        let home = room.home;
        connection.extra().ending = Some(Box::new(close));
        self.send_mark(home, mark);
        self.schedule_abort(number);
    }

    /// Sends a mark to its room's home, behind what this shard's connections have published.
    pub(crate) fn send_mark(&mut self, home: usize, mark: Mark) {
        if home == self.own_number {
            self.homes.mark(mark, &mut self.outbox);
        } else {
            self.outbox.mark(home, mark);
        }
    }

    /// The mark has come back. A newcomer becomes a member; a member's connection closes when it has been offered
    /// everything up to now.
    pub(crate) fn marked(&mut self, mark: Mark) {
        let own = |it: &&mut Connection<S>| it.serial == mark.serial && it.state == State::Open;
        let Some(connection) = self.connections.get_mut(mark.number).filter(own) else { return self.waited(mark) };
        connection.flags.set(Flags::LEAVING);
        if !connection.flags.has(Flags::BLOCKED) {
            self.serve(mark.number);
        }
    }

    /// A leaving connection has everything: closes it, for its own reason or for the drain's.
    pub(crate) fn close_leaving(&mut self, number: u32) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        match connection.extra.as_mut().and_then(|extra| extra.ending.take()) {
            Some(close) => self.close(number, &close),
            None => self.close_for_drain(number),
        }
    }

    /// A closing connection has sent `len` bytes, which are in the read buffer: if its close frame is among them, both
    /// have said goodbye, and the stream ends when ours is out (RFC 6455 §7.1.1).
    pub(crate) fn listen_for_goodbye(&mut self, number: u32, len: usize) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        if connection.flags.has_any(Flags::UNINTELLIGIBLE) {
            return self.queue_reading(number);
        }
        let limits = &self.settings.limits;
        let limits = DecodeLimits {
            message_bytes_max: limits.message_bytes_max,
            message_fragments_max: limits.message_fragments_max,
        };
        let mut goodbye = Goodbye { extension: connection.extension(), said: false };
        let extra = connection.extra.get_or_insert_default();
        let input = &mut self.read_buffer[..len];
        let left = &mut self.unfinished_left;
        let decoded = frame::decode(&mut extra.unfinished, input, &limits, left, &mut goodbye);
        connection.settle();
        if decoded.is_err() {
            connection.flags.set(Flags::UNINTELLIGIBLE);
        }
        if goodbye.said {
            connection.flags.set(Flags::SAID_GOODBYE);
            connection.flags.set(Flags::UNINTELLIGIBLE);
            if !connection.has_direct() {
                return self.gone(number, Counter::ClosedLost);
            }
        }
        self.queue_reading(number);
    }
}

/// Hears nothing but a close frame.
struct Goodbye {
    extension: Extension,
    said: bool,
}

impl Sink for Goodbye {
    fn message(&mut self, _kind: MessageKind, _payload: &[u8]) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn extension(&self) -> Extension {
        self.extension
    }

    fn compressed_message(&mut self, _kind: MessageKind, _payload: &[u8]) -> Result<ControlFlow<()>, ProtocolError> {
        Ok(ControlFlow::Continue(()))
    }

    fn ping(&mut self, _payload: &[u8]) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn pong(&mut self, _payload: &[u8]) {
        // It is about to end anyway.
    }

    fn close(&mut self, _code: Option<u16>, _reason: &str) {
        self.said = true;
    }
}

//! From a session's bytes to its commands.

use std::ops::ControlFlow;

use super::super::connection::Flags;
use super::super::inbound::MESSAGE_OVERHEAD_BYTES;
use super::super::membership::Close;
use super::super::metrics::Counter;
use super::super::shard::Shard;
#[cfg(test)]
use super::super::simulation::Planted;
use super::super::socket::Socket;
use crate::protocol::centrifuge::code::Disconnect;
use crate::protocol::centrifuge::{self, Verdict, reply};
use crate::protocol::deflate::Inflater;
use crate::protocol::frame::{self, DecodeLimits, Extension, MessageKind, ProtocolError, Sink};

/// Commands of one message.
const COMMANDS_MAX: usize = 1_024;

/// What one step of the decoder found.
struct Heard<'s> {
    extension: Extension,
    inflater: &'s mut Option<Box<Inflater>>,
    message_bytes_max: usize,
    message: Option<Vec<u8>>,
    ping: Option<Vec<u8>>,
    closed: Option<Option<u16>>,
}

impl Sink for Heard<'_> {
    fn extension(&self) -> Extension {
        self.extension
    }

    fn compressed_message(&mut self, kind: MessageKind, payload: &[u8]) -> Result<ControlFlow<()>, ProtocolError> {
        let inflater = self.inflater.get_or_insert_default();
        self.message = Some(inflater.message(kind, payload, self.message_bytes_max)?.to_vec());
        Ok(ControlFlow::Break(()))
    }

    fn message(&mut self, _kind: MessageKind, payload: &[u8]) -> ControlFlow<()> {
        self.message = Some(payload.to_vec());
        ControlFlow::Break(())
    }

    fn ping(&mut self, payload: &[u8]) -> ControlFlow<()> {
        // The newest is the one to be answered (RFC 6455 §5.5.3).
        self.ping = Some(payload.to_vec());
        ControlFlow::Continue(())
    }

    fn pong(&mut self, _payload: &[u8]) {
        // That something came is all that counts.
    }

    fn close(&mut self, code: Option<u16>, _reason: &str) {
        self.closed = Some(code);
    }
}

impl<S: Socket> Shard<S> {
    /// Decodes what one session sent and does what it says. Returns how much was used up.
    pub(in crate::engine) fn decode_session(&mut self, number: u32, input: &mut [u8], bytes_left: &mut usize) -> usize {
        let limits = &self.settings.limits;
        let limits = DecodeLimits {
            message_bytes_max: limits.message_bytes_max,
            message_fragments_max: limits.message_fragments_max,
        };
        let mut consumed = 0;
        while consumed < input.len() && *bytes_left > 0 {
            // The message before may have ended the session: what stands behind it is for nobody.
            let open = self.connections.get_mut(number).filter(|connection| !connection.is_ending());
            let Some(connection) = open else { return input.len() };
            let mut heard = Heard {
                extension: connection.extension(),
                inflater: &mut self.inflater,
                message_bytes_max: limits.message_bytes_max,
                message: None,
                ping: None,
                closed: None,
            };
            let extra = connection.extra.get_or_insert_default();
            let left = &mut self.unfinished_left;
            let decoded = frame::decode(&mut extra.unfinished, &mut input[consumed..], &limits, left, &mut heard);
            let Heard { message, ping, closed, .. } = heard;
            if let Some(ping) = ping {
                extra.pong = Some(ping);
                if !connection.flags.has(Flags::BLOCKED) {
                    self.serve(number);
                }
            }
            match decoded {
                Ok(taken) => consumed += taken,
                Err(error) => {
                    let close =
                        Close { code: error.close_code(), reason: error.to_string(), counter: Counter::ClosedProtocol };
                    self.close(number, &close);
                    return input.len();
                }
            }
            if let Some(message) = message {
                self.counts.add(Counter::MessagesReceived, 1);
                *bytes_left = bytes_left.saturating_sub(message.len() + MESSAGE_OVERHEAD_BYTES);
                self.hear(number, &message);
            }
            if let Some(code) = closed {
                // RFC 6455 §5.5.1: the answer carries the same code; a frame without one is answered with 1000.
                let code = code.unwrap_or(1000);
                self.close(number, &Close { code, reason: String::new(), counter: Counter::ClosedByClient });
                return input.len();
            }
        }
        if self.connections.get(number).is_none_or(|connection| connection.is_ending()) {
            input.len()
        } else {
            consumed
        }
    }

    /// Does what a message of a session's client says.
    pub(in crate::engine) fn hear(&mut self, number: u32, message: &[u8]) {
        let mut commands = centrifuge::commands(message, COMMANDS_MAX);
        while let Some(command) = commands.next() {
            if self.connections.get(number).is_none_or(|connection| connection.is_ending()) {
                return;
            }
            match command {
                Ok(command) => {
                    if let Err(why) = self.command(number, command, commands.line()) {
                        return self.disconnect(number, why);
                    }
                }
                Err(error) => match error.verdict() {
                    Verdict::Reply { id, error } => self.say(number, |out| reply::error(out, id, &error)),
                    Verdict::Close(why) => return self.disconnect(number, why),
                },
            }
        }
        self.send_replies(number);
    }

    /// Adds an object to what a session's client is told next. One that is ending has been told its last.
    pub(in crate::engine) fn say(&mut self, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
        if self.connections.get(number).is_none_or(|connection| connection.is_ending()) {
            return;
        }
        if let Some(session) = self.session(number) {
            session.say(write);
        }
    }

    /// Sends a session's client what waits for it.
    pub(in crate::engine) fn send_replies(&mut self, number: u32) {
        let direct_bytes_max = self.settings.sessions.unsent_bytes_max;
        let open = self.connections.get_mut(number).filter(|connection| !connection.is_ending());
        let Some(connection) = open else { return };
        let blocked = connection.flags.has(Flags::BLOCKED);
        let Some(extra) = connection.extra.as_mut() else { return };
        let Some(session) = extra.session.as_mut() else { return };
        #[cfg(test)]
        if self.planted == Planted::ReplyLost && blocked {
            return session.forget_replies();
        }
        session.frame_replies(&mut extra.direct);
        if blocked && extra.direct.len() - extra.direct_sent > direct_bytes_max {
            self.counts.add(Counter::DroppedReplies, 1);
            return self.disconnect(number, Disconnect::SLOW);
        }
        if !blocked {
            self.serve(number);
        }
    }

    /// Ends a session for a reason of the protocol.
    pub(in crate::engine) fn disconnect(&mut self, number: u32, why: Disconnect) {
        let counter = match why.code {
            3008 => Counter::ClosedSlow,
            3012 | 3502 => Counter::ClosedSilent,
            3501 | 3509 => Counter::ClosedProtocol,
            _ => Counter::ClosedByServer,
        };
        // What was said before goes out in front of the end.
        if let Some(extra) = self.connections.get_mut(number).and_then(|connection| connection.extra.as_mut())
            && let Some(session) = extra.session.as_mut()
        {
            session.frame_replies(&mut extra.direct);
        }
        let (code, reason) = super::code_of(why);
        self.close(number, &Close { code, reason: reason.to_owned(), counter });
    }

    /// The session of a connection, if it is one.
    pub(in crate::engine) fn session(&mut self, number: u32) -> Option<&mut super::Session> {
        self.connections.get_mut(number)?.extra.as_mut()?.session.as_deref_mut()
    }
}

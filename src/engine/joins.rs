//! Connections handed over in batches: a door's way into the engine.

use std::net::TcpStream;

use super::admission::Permit;
use super::adoption::Adoption;
use super::command::{Command, Join};
use super::handle::{Engine, JoinError};

/// Hands connections over without waiting. The shards concerned are woken once per batch, by [`Joins::flush`]: a shard
/// on the door's own core would otherwise be switched to and from for each connection of a storm.
///
/// The sockets must be non-blocking and come from a listener that was prepared with [`Engine::prepare_listener`].
pub struct Joins {
    engine: Engine,
    /// By shard: whether it was given something since the last flush.
    given: Vec<bool>,
}

/// Why a connection was not handed over.
#[derive(Debug)]
pub enum NotJoined {
    /// The shard's inbox is full now: [`Engine::join`] waits until it is not.
    Busy(Box<Adoption>, Permit),
    /// It cannot become a member; with the stream, unless that is gone, so that the client can be told.
    Refused(JoinError, Option<TcpStream>),
}

impl Joins {
    pub(super) fn new(engine: Engine) -> Self {
        let given = vec![false; engine.shared.shards.len()];
        Self { engine, given }
    }

    /// Hands one over. The shard learns of it by [`Joins::flush`].
    ///
    /// # Errors
    /// The shard's inbox is full, there are too many rooms, or the engine has ended.
    pub fn join(&mut self, adoption: Adoption, permit: Permit) -> Result<(), NotJoined> {
        let shared = &self.engine.shared;
        let number = shared.shard_for_next();
        let shard = &shared.shards[number];
        let Some(slot) = shard.sender.try_reserve(adoption.unread.len()) else {
            return Err(NotJoined::Busy(Box::new(adoption), permit));
        };
        let Adoption { stream, unread, greeting, deflate, purpose } = adoption;
        let role = match shared.role(purpose) {
            Ok(role) => role,
            Err(full) => return Err(NotJoined::Refused(full.into(), Some(stream))),
        };
        let permit = permit.on_shard(&shard.load);
        let socket = mio::net::TcpStream::from_std(stream);
        let join = Join { socket, role, permit, greeting, unread, deflate, joined: None };
        self.given[number] = true;
        slot.send_silently(Command::Join(Box::new(join))).map_err(|refused| {
            shared.not_joined(refused);
            NotJoined::Refused(JoinError::Ended, None)
        })
    }

    /// Wakes the shards that were given something.
    pub fn flush(&mut self) {
        for (number, given) in self.given.iter_mut().enumerate() {
            if std::mem::take(given) {
                self.engine.shared.shards[number].sender.ring();
            }
        }
    }
}

impl Drop for Joins {
    fn drop(&mut self) {
        self.flush();
    }
}

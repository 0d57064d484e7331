//! What an HTTP client without a stream asks: what came after a position, or the next thing that comes.

use std::time::Duration;

use tokio::sync::oneshot;

use super::command::Command;
use super::handle::{Engine, JoinError};
use super::history::History;
use super::position::Start;
use super::room::RoomName;

/// What to read of a room, and how long to wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newer {
    /// Where the asker stands.
    pub start: Start,
    /// At most so many publications, at least 1.
    pub limit: usize,
    /// How long to wait if there are none.
    pub wait: Duration,
}

impl Engine {
    /// Reads what came after a position in `room`; waits for the next publication if there is nothing, and comes back
    /// with nothing when the time is over or the engine begins to drain.
    ///
    /// [`History::complete`] is false if what came after the position is not there. That is said at once, unless
    /// nothing has been published in the room's present epoch: nobody could tell a new position from the old one then,
    /// so the answer waits like any other. A room without history has what is published while somebody waits.
    ///
    /// # Errors
    /// There are too many rooms, or the engine has ended.
    pub async fn newer(&self, room: &RoomName, newer: Newer) -> Result<History, JoinError> {
        // Its home lets go of it, with the answer.
        let room = self.shared.directory.hold(room)?;
        let slot = self.shared.shards[room.home].sender.reserve(0).await.ok_or(JoinError::Ended)?;
        let (reply, history) = oneshot::channel();
        slot.send(Command::Newer { room, newer: Box::new(newer), reply }).map_err(|_| JoinError::Ended)?;
        history.await.map_err(|_| JoinError::Ended)
    }
}

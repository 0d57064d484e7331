//! What the engine's user asks of rooms and of sessions: history, presence, and what an API does to a connection.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::asking::{Answer, Ask};
use super::command::Command;
use super::handle::{Ended, Engine, JoinError};
use super::history::{History, HistoryQuery};
use super::position::Start;
use super::presence::{PresenceStats, Present};
use super::room::RoomName;
use super::session::{Act, SessionKey, Target};

impl Engine {
    /// Reads a part of what `room` has kept; `None` if it keeps nothing or is not there.
    ///
    /// # Errors
    /// The engine has ended.
    pub async fn history(&self, room: &RoomName, query: HistoryQuery) -> Result<Option<History>, Ended> {
        match self.ask(room, Ask::History(query)).await? {
            Some(Answer::History(history)) => Ok(history),
            _ => Ok(None),
        }
    }

    /// Lets go of everything that `room` has kept. Its offsets go on.
    ///
    /// # Errors
    /// The engine has ended.
    pub async fn forget_history(&self, room: &RoomName) -> Result<(), Ended> {
        self.ask(room, Ask::Forget).await.map(drop)
    }

    /// What the home of `room` says; `None` if there is no such room.
    async fn ask(&self, room: &RoomName, ask: Ask) -> Result<Option<Answer>, Ended> {
        let Some(room) = self.shared.directory.get(room) else { return Ok(None) };
        let slot = self.shared.shards[room.home].sender.reserve(0).await.ok_or(Ended)?;
        let (reply, answer) = oneshot::channel();
        slot.send(Command::Ask { room, ask, reply }).map_err(|_| Ended)?;
        answer.await.map(Some).map_err(|_| Ended)
    }

    /// Does what a session's client says by a request beside its stream. Whether there is such a session.
    ///
    /// # Errors
    /// The engine has ended.
    pub async fn emulate(&self, session: &str, message: Bytes) -> Result<bool, Ended> {
        let Some(session) = SessionKey::read(session) else { return Ok(false) };
        let Some(shard) = self.shared.shards.get(session.shard) else { return Ok(false) };
        let slot = shard.sender.reserve(message.len()).await.ok_or(Ended)?;
        let (reply, heard) = oneshot::channel();
        slot.send(Command::Emulate { session: Box::new(session), message, reply }).map_err(|_| Ended)?;
        heard.await.map_err(|_| Ended)
    }

    /// Ends sessions with a close code of the protocol; how many. Looks at every connection.
    ///
    /// # Errors
    /// The engine has ended.
    pub async fn disconnect(&self, target: Target, code: u16, reason: &str) -> Result<usize, Ended> {
        self.act(target, Act::Disconnect { code, reason: reason.to_owned() }).await
    }

    /// Takes sessions out of a room; how many were meant. Looks at every connection.
    ///
    /// # Errors
    /// The engine has ended.
    pub async fn unsubscribe(&self, target: Target, room: &RoomName) -> Result<usize, Ended> {
        let Some(room) = self.shared.directory.get(room) else { return Ok(0) };
        self.act(target, Act::Unsubscribe { room }).await
    }

    /// Puts sessions into a room; how many were meant. Looks at every connection.
    ///
    /// # Errors
    /// The engine has ended, or there are too many rooms.
    pub async fn subscribe(&self, target: Target, room: &RoomName, start: Start) -> Result<usize, JoinError> {
        let room = self.shared.directory.hold(room)?;
        let meant = self.act(target, Act::Subscribe { room: Arc::clone(&room), start }).await;
        self.shared.directory.release(&room);
        meant.map_err(|_| JoinError::Ended)
    }

    async fn act(&self, target: Target, act: Act) -> Result<usize, Ended> {
        let target = Arc::new(target);
        let mut waiting = Vec::new();
        for shard in &self.shared.shards {
            let slot = shard.sender.reserve(0).await.ok_or(Ended)?;
            let (reply, meant) = oneshot::channel();
            let command = Command::Act { target: Arc::clone(&target), act: act.clone(), reply };
            slot.send(command).map_err(|_| Ended)?;
            waiting.push(meant);
        }
        let mut count = 0;
        for meant in waiting {
            count += meant.await.map_err(|_| Ended)?;
        }
        Ok(count)
    }

    /// Who is in `room`, as far as they are listed; `None` if it keeps no presence.
    ///
    /// # Errors
    /// The engine has ended.
    pub async fn presence(&self, room: &RoomName) -> Result<Option<Vec<Present>>, Ended> {
        match self.ask(room, Ask::Presence).await? {
            Some(Answer::Presence(Some(members))) => Ok(Some(members)),
            _ => Ok(self.shared.settings.for_room(room.as_str()).has_presence().then(Vec::new)),
        }
    }

    /// How many are in `room`, on all shards. Users are known where presence is kept; elsewhere there are 0 of them.
    ///
    /// # Errors
    /// The engine has ended.
    pub async fn presence_stats(&self, room: &RoomName) -> Result<PresenceStats, Ended> {
        match self.ask(room, Ask::PresenceStats).await? {
            Some(Answer::PresenceStats(stats)) => Ok(stats),
            _ => Ok(PresenceStats::default()),
        }
    }
}

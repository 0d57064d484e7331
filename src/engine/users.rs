//! How many users there are: asked by the API, and counted then.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::command::Command;
use super::handle::{Ended, Engine};
use super::shard::Shard;
use super::socket::Socket;

/// Users by the hash of their id: one may have connections on many shards, and is to count once.
pub(crate) type UserHashes = Vec<u64>;

impl Engine {
    /// Users of all sessions: several connections of one count once, anonymous ones together as one. Looks at every
    /// connection. Two users whose ids have the same hash, of 64 bits, count as one.
    ///
    /// # Errors
    /// The engine has ended.
    pub async fn users(&self) -> Result<usize, Ended> {
        let state = Arc::new(RandomState::new());
        let mut waiting = Vec::new();
        for shard in &self.shared.shards {
            let slot = shard.sender.reserve(0).await.ok_or(Ended)?;
            let (reply, users) = oneshot::channel();
            slot.send(Command::Users(Arc::clone(&state), reply)).map_err(|_| Ended)?;
            waiting.push(users);
        }
        let mut all = UserHashes::new();
        for users in waiting {
            all.extend(users.await.map_err(|_| Ended)?);
        }
        Ok(distinct(all).len())
    }
}

impl<S: Socket> Shard<S> {
    /// The users of this shard's sessions. O(connections of the shard).
    pub(in crate::engine) fn users(&self, state: &RandomState) -> UserHashes {
        let connections = (0..self.connections.numbers_end()).filter_map(|number| self.connections.get(number));
        let sessions = connections.filter_map(|it| it.extra.as_ref()?.session.as_deref());
        distinct(sessions.map(|session| state.hash_one(&*session.identity.user)).collect())
    }
}

fn distinct(mut hashes: UserHashes) -> UserHashes {
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

//! Who is in a room.

use std::sync::Arc;

use crate::protocol::centrifuge::publication::ClientInfo;

/// A member of a room, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// The connection's id.
    pub client: Arc<str>,
    /// The user's id; empty: anonymous.
    pub user: Arc<str>,
    /// What is said about the connection, as JSON.
    pub info: Option<Arc<str>>,
}

/// How many are in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresenceStats {
    /// Connections.
    pub clients: u32,
    /// Users of theirs: several connections of one user count once.
    pub users: u32,
}

impl Present {
    pub(crate) fn view(&self) -> ClientInfo<'_> {
        ClientInfo { user: &self.user, client: &self.client, conn_info: self.info.as_deref(), chan_info: None }
    }
}

//! Who is in a room.

use std::sync::Arc;

use uuid::Uuid;

use super::session::Identity;
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
    /// Users of theirs: several connections of one user count once, and all that are anonymous are one user together.
    /// 0: not known, the room keeps no presence.
    pub users: u32,
}

impl Present {
    pub(crate) fn view(&self) -> ClientInfo<'_> {
        ClientInfo { user: &self.user, client: &self.client, conn_info: self.info.as_deref(), chan_info: None }
    }

    /// Memory, bytes.
    pub(crate) fn len_bytes(&self) -> usize {
        size_of::<Self>() + self.client.len() + self.user.len() + self.info.as_ref().map_or(0, |info| info.len())
    }
}

/// A connection that others may know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attendee {
    pub(crate) client: Uuid,
    pub(crate) identity: Identity,
}

impl Attendee {
    /// As others see it.
    pub(crate) fn present(&self) -> Present {
        let mut buffer = Uuid::encode_buffer();
        let client = (&*self.client.as_hyphenated().encode_lower(&mut buffer)).into();
        let Identity { user, info } = self.identity.clone();
        Present { client, user, info }
    }
}

/// A connection came into a room, or left it: what its shard tells the room's home.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) room_id: u64,
    pub(crate) way: Way,
    pub(crate) attendee: Attendee,
}

/// Which way somebody moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A member from now on.
    In,
    /// A member until now.
    Out,
}

/// What members are told of those who come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// In: a join. Out: a leave.
    pub(crate) way: Way,
    pub(crate) attendee: Attendee,
}

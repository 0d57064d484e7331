//! What a room's home is asked, and what it answers: the way there and back is that of publications, so that an answer
//! stands behind everything that was published before the question.

use super::history::{History, HistoryQuery};
use super::presence::{PresenceStats, Present};

/// A question of a connection to the home of a room that it is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) room_id: u64,
    pub(crate) asker: Asker,
    pub(crate) ask: Ask,
}

/// Where an answer goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    /// The connection's shard, its number there, and its serial.
    pub(crate) shard: usize,
    pub(crate) number: u32,
    pub(crate) serial: u32,
    /// The client's number of its command.
    pub(crate) command: u32,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    /// Say when what was published before has its place in the room's order.
    Published,
    /// Read the room's log.
    History(HistoryQuery),
    /// Who is in the room.
    Presence,
    /// How many are in the room.
    PresenceStats,
    /// Let go of everything that the room has kept.
    Forget,
}

/// What the home says.
#[derive(Debug)]
pub(crate) enum Answer {
    Published,
    /// `None`: the room has no history, or is not there.
    History(Option<History>),
    /// `None`: the room keeps no presence, or is not there.
    Presence(Option<Vec<Present>>),
    PresenceStats(PresenceStats),
    Forgotten,
}

/// An answer on its way.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) asker: Asker,
    pub(crate) answer: Answer,
}

impl Answered {
    pub(crate) fn len_bytes(&self) -> usize {
        let records = match &self.answer {
            Answer::History(Some(history)) => history.records.iter().map(|record| record.payload.len() + 128).sum(),
            Answer::Presence(Some(members)) => members.iter().map(Present::len_bytes).sum(),
            _ => 0,
        };
        size_of::<Self>() + records
    }
}

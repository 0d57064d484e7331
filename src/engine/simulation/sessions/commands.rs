//! What sessions' clients ask for, and which answers are due.

use super::super::reader::Id;
use crate::engine::history::{HistoryQuery, Order};
use crate::engine::position::Position;

/// A command that is not answered yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// The room, by the number of its name; of commands without a room: 0.
    pub(super) room: usize,
    pub(super) wish: Wish,
    /// Whether it had asked to be in the room, and not to be out of it since.
    pub(super) was_in: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    Connect,
    Subscribe(Subscribing),
    Unsubscribe,
    Publish(Id),
    History(HistoryQuery),
    Presence,
    PresenceStats,
    /// Something that this server does not do.
    Rpc,
}

/// How a client wants to be in a room.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Subscribing {
    pub(super) since: Option<Since>,
    pub(super) rejects_lost: bool,
    pub(super) hears_moves: bool,
    /// Whether it asks for what has changed since the publication before.
    pub(super) asks_changes: bool,
}

/// What a client says it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    pub(super) position: Position,
    pub(super) forged: bool,
    /// Whether it leaves open of which epoch that is.
    pub(super) any_epoch: bool,
}

impl Since {
    pub(super) fn fields(&self) -> String {
        let Position { epoch, offset } = self.position;
        let epoch = if self.any_epoch { String::new() } else { epoch.to_string() };
        format!("\"recover\":true,\"epoch\":\"{epoch}\",\"offset\":{offset}")
    }
}

impl Wish {
    /// What the answer is called.
    pub(super) const fn method(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Publish(_) => "publish",
            Self::History(_) => "history",
            Self::Presence => "presence",
            Self::PresenceStats => "presence_stats",
            Self::Rpc => "rpc",
        }
    }

    /// The command, for a room of this name; `connect` is given the fields of `subs`.
    pub(super) fn text(&self, id: u32, name: &str, subs: &str) -> String {
        let method = self.method();
        let fields = match self {
            Self::Connect => format!("\"subs\":{{{subs}}}"),
            Self::Rpc => "\"method\":\"what\"".to_owned(),
            Self::Unsubscribe | Self::Presence | Self::PresenceStats => format!("\"channel\":\"{name}\""),
            Self::Publish(id) => {
                let payload = String::from_utf8(id.payload()).expect("a payload is ASCII");
                format!("\"channel\":\"{name}\",\"data\":{payload}")
            }
            Self::Subscribe(Subscribing { since, rejects_lost, hears_moves, asks_changes }) => {
                let since = since.map_or(String::new(), |since| format!(",{}", since.fields()));
                let flag = if *rejects_lost { 3 } else { 1 };
                let delta = if *asks_changes { ",\"delta\":\"fossil\"" } else { "" };
                format!("\"channel\":\"{name}\"{since}{delta},\"join_leave\":{hears_moves},\"flag\":{flag}")
            }
            Self::History(HistoryQuery { since, limit, order }) => {
                let since = since.map_or(String::new(), |Position { epoch, offset }| {
                    format!(",\"since\":{{\"epoch\":\"{epoch}\",\"offset\":{offset}}}")
                });
                let limit = i32::try_from(*limit).unwrap_or(-1);
                let reverse = *order == Order::Backward;
                format!("\"channel\":\"{name}\",\"limit\":{limit},\"reverse\":{reverse}{since}")
            }
        };
        format!("{{\"id\":{id},\"{method}\":{{{fields}}}}}")
    }
}

//! What a server does wrong, in numbers that are known before.

use std::ops::Range;
use std::time::Duration;

/// A server's faults. Without any it is a correct one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Faults of single deliveries. A delivery has at most one: of the first that hits it.
    pub(crate) deliveries: Vec<DeliveryFault>,
    /// What happens when the server has received so many messages.
    pub(crate) events: Vec<Event>,
    /// What becomes of handshakes.
    pub(crate) door: Door,
    /// Posts, by number from 1, that are answered with HTTP 503 and passed on to nobody.
    pub(crate) refused_posts: Range<u64>,
    /// Posts, by number from 1, that are passed on and answered only after so long.
    pub(crate) held_posts: (Range<u64>, Duration),
    /// Publications over WebSocket, by number from 1, that are refused and passed on to nobody: as the dialect does it.
    pub(crate) refused_messages: Range<u64>,
    /// Of its drops the server counts so many on `/metrics`.
    pub(crate) announced_max: u64,
}

/// Hits each `every`-th delivery to a subscriber, of messages whose number among its publisher's is in `messages`.
#[derive(Clone, Debug)]
pub(crate) struct DeliveryFault {
    pub(crate) kind: Kind,
    pub(crate) every: u64,
    pub(crate) messages: Range<u64>,
}

/// What is done to a delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// It is not sent.
    Drop,
    /// It is sent twice.
    Duplicate,
    /// It is sent after the next message of the same publisher.
    Reorder,
    /// A byte behind the stamp is another one.
    Corrupt,
    /// It is sent to a subscriber of another room as well.
    Misroute,
    /// It is held that long, and with it what follows on the connection.
    Delay(Duration),
    /// A text that nobody published is sent before it.
    Foreign,
}

/// Happens when the server has read its `at`-th message (from 1) and has not passed it on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) at: u64,
    pub(crate) what: Happening,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happening {
    /// The whole server stands still: it neither reads nor writes.
    Pause(Duration),
    /// Members of the message's room that have published nothing lose their connection, the first ones first.
    Lose { subscribers: usize, end: End },
    /// All members of the message's room are pinged, in the middle of what they get.
    Ping,
    /// The server ends, with its listener and all connections.
    Die,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// TCP reset, nothing before it.
    Reset,
    /// A close frame with this code and reason.
    Close(u16, &'static str),
}

/// What becomes of handshakes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Door {
    /// They succeed.
    #[default]
    Open,
    /// The first ones are answered with HTTP 503.
    Refuse(u64),
    /// The first ones are never answered.
    Ignore(u64),
}

/// What a server did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Did {
    /// Messages that publishers sent.
    pub(crate) messages: u64,
    /// Deliveries owed: each message to each member of its room that has published nothing.
    pub(crate) owed: u64,
    pub(crate) dropped: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) corrupted: u64,
    pub(crate) misrouted: u64,
    pub(crate) delayed: u64,
    pub(crate) foreign: u64,
    /// Connections that it ended itself.
    pub(crate) ended: u64,
    /// Messages to each room after these ends, for each of them.
    pub(crate) missed_by_ended: u64,
    /// Handshakes that succeeded.
    pub(crate) joined: u64,
    pub(crate) refused: u64,
    pub(crate) ignored: u64,
    pub(crate) refused_posts: u64,
    pub(crate) refused_messages: u64,
    /// Pings that were answered with what they held.
    pub(crate) pongs: u64,
}

//! What an operator may decide about the engine, and every bound that it keeps.
//!
//! Plain data: nothing here reads a file or the environment. Defaults are those of [`Settings::default`].

use std::num::NonZeroUsize;
use std::time::Duration;

use super::room::RoomName;
use crate::protocol::deflate::{Compression, Level, WindowBits};

/// Everything that the engine is started with.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Number of shards (threads); `None`: one per core that the process may run on. At most [`SHARDS_MAX`].
    pub shards: Option<NonZeroUsize>,
    /// Whether shard threads are pinned to cores.
    pub pinning: Pinning,
    /// Bounds.
    pub limits: Limits,
    /// Pings, and how long to wait for an answer.
    pub heartbeat: Heartbeat,
    /// Connections that are in many rooms at once.
    pub sessions: SessionSettings,
    /// Compression.
    pub deflate: Deflate,
    /// Settings of every room that no pattern names.
    pub room: RoomSettings,
    /// Settings by room name; the first pattern that matches a name decides.
    pub rooms: Vec<RoomClass>,
}

/// Shards are counted in one machine word where a room's home remembers who has members.
pub const SHARDS_MAX: usize = 64;

/// Where shard threads run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pinning {
    /// Shard `i` on the `i`-th core of the process, round robin.
    #[default]
    Cores,
    /// Wherever the kernel puts them.
    Off,
}

/// Every bound of the engine, named once. Fullness has a policy and a counter; see each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest message from a client or the API, bytes. Longer: close 1009, HTTP 413.
    pub message_bytes_max: usize,
    /// Most frames of one fragmented message. More: close 1008.
    pub message_fragments_max: u32,
    /// How long a connection may take to finish a message that it has begun (looked at with the heartbeat, so up to
    /// `heartbeat.ping_interval` longer). Longer: close 1008.
    pub message_time_max: Duration,
    /// Bytes of unfinished frames and messages that the process holds, all connections together. More: close 1013.
    pub unfinished_bytes_max: usize,
    /// Connections of the process. More: HTTP 503.
    pub connections_max: usize,
    /// Connections from one address (IPv6: one /64), loopback excepted. More: HTTP 429.
    pub connections_per_address_max: usize,
    /// Rooms that exist at a time. More: HTTP 503.
    pub rooms_max: usize,
    /// Messages per second that one connection may publish; faster ones are read later, not lost. `None`: no bound.
    pub publish_per_second_max: Option<u32>,
    /// Entries in a shard's inbox. Full: publishers wait (a socket is not read, HTTP waits).
    pub inbox_entries_max: usize,
    /// Bytes of one room that a shard has accepted and not yet offered to every member, with what is noted of each
    /// publication (24 bytes). Full: publishers wait.
    pub backlog_bytes_max: usize,
    /// Bytes of publications that all rooms together keep for those who come back. Full: the room that publishes keeps
    /// less.
    pub history_bytes_max: usize,
    /// What the kernel may hold unsent for one connection (`TCP_NOTSENT_LOWAT`), bytes.
    pub unsent_bytes_max: u32,
    /// How long sent data may stay unacknowledged before the kernel gives the peer up (`TCP_USER_TIMEOUT`).
    pub unacknowledged_time_max: Duration,
    /// How long a closing connection may take to finish. The heartbeat looks no further ahead than a minute.
    pub close_time_max: Duration,
}

/// Pings keep proxies from closing a quiet connection and find peers that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// A connection that has been silent for so long is pinged (jittered by up to a fifth, earlier).
    pub ping_interval: Duration,
    /// A connection that has been silent for so long is gone.
    pub silence_max: Duration,
}

/// Connections that speak the centrifuge protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// Rooms that one connection may be in. More: error 106.
    pub subscriptions_max: usize,
    /// How long a connection may take to say `connect`. Longer: close 3502.
    pub connect_time_max: Duration,
    /// Bytes of answers that a connection may leave unread. More: close 3008.
    pub unsent_bytes_max: usize,
    /// Rooms that every connection is in from the beginning, by the server's will.
    pub rooms: Vec<RoomName>,
}

/// Compression of WebSocket messages (permessage-deflate, RFC 7692). A publication is compressed once, for all members
/// that agreed on it; nobody's context is taken over from message to message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// Whether it is agreed to where a client offers it.
    pub mode: DeflateMode,
    /// How much work is put into compressing: 1 is the least, 9 the most.
    pub level: Level,
    /// The window that messages are compressed with, as a power of two. A client that wants a smaller one is sent plain
    /// messages.
    pub window_bits: WindowBits,
    /// Messages shorter than this are sent as they are, bytes.
    pub threshold_bytes: usize,
}

/// Whether compression is agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DeflateMode {
    /// Never.
    #[default]
    Off,
    /// With each client that offers it.
    On,
}

/// How one room behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSettings {
    /// Publications that a member may lag behind.
    pub window_count_max: u32,
    /// Bytes that a member may lag behind.
    pub window_bytes_max: usize,
    /// Age of the oldest publication that a lagging member still gets.
    pub window_age_max: Duration,
    /// What happens to a member that lags behind the window.
    pub lag: LagPolicy,
    /// Time to gather publications for one send; the first after a pause goes out at once.
    pub coalesce: Duration,
    /// Whether a client's message comes back to itself.
    pub echo: Echo,
    /// Whether clients may publish.
    pub publish: ClientPublish,
    /// Publications that the room keeps for those who come back; 0: none. A room that keeps some lives on without
    /// members until they have expired.
    pub history_count_max: u32,
    /// Bytes of publications that the room keeps.
    pub history_bytes_max: usize,
    /// How long the room keeps a publication.
    pub history_age_max: Duration,
    /// What a session that comes back gets of a room that keeps publications.
    pub recovery: Recovery,
    /// Whether sessions that ask for it get what has changed since the publication before, where that is shorter than
    /// the whole one. Not with `lag = "latest"`: who leaves publications out has nothing that a change applies to.
    pub delta: Delta,
    /// Whether others may ask who is in the room. How many there are is known in any case.
    pub presence: Presence,
    /// Whether members that ask for it are told who comes and goes: users, not their connections.
    pub presence_events: PresenceEvents,
    /// Connections that are listed, with their users. More are counted only.
    pub presence_members_max: u32,
    /// Joins and leaves per second that a room tells its members. More are counted and not told: a member that wants
    /// to know asks.
    pub presence_events_per_second_max: u32,
    /// A user who comes back within this time has not been away: neither the leave nor the join is told.
    pub presence_leave_grace: Duration,
}

/// Settings for all rooms whose name matches a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomClass {
    /// A room name in which each `*` stands for any number of bytes, none included.
    pub pattern: String,
    /// The settings of these rooms.
    pub settings: RoomSettings,
}

/// What a session that comes back gets of a room that keeps publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Recovery {
    /// Everything that it missed.
    #[default]
    Stream,
    /// The newest publication, if it has not seen that (prices); whoever comes for the first time gets it as well.
    Cache,
}

/// Whether sessions that ask for changes get them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Delta {
    /// They get whole publications, like everybody.
    #[default]
    Off,
    /// In Fossil's delta format, made once per publication. With `lag = "skip"`, a session that lags is put out of the
    /// room; its client comes back by itself, and begins with a whole publication.
    Fossil,
}

/// Whether others may ask who is in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Presence {
    /// Nobody is told who, error 108; how many there are is told.
    #[default]
    Off,
    /// Sessions, and raw members that have a name, are listed.
    Members,
}

/// Whether members that ask for it are told who comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PresenceEvents {
    /// They are not.
    #[default]
    Off,
    /// A join when a user's first connection comes, a leave when the last has gone.
    On,
}

/// What happens to a member whose cursor falls behind the room's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LagPolicy {
    /// The connection is closed with code 3008, "slow".
    #[default]
    Disconnect,
    /// The cursor jumps to the newest publication; what it missed is counted.
    Skip,
    /// A member that cannot be served at once gets only the newest publication (prices).
    Latest,
}

/// Whether a client's message comes back to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Echo {
    /// The sender is a member like any other.
    #[default]
    On,
    /// The sender does not get its own messages.
    Off,
}

/// Whether clients may publish into the room over their connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClientPublish {
    /// Each message of a member is published.
    #[default]
    Allowed,
    /// Listen-only: a message of a member closes its connection with 1008.
    Refused,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shards: None,
            pinning: Pinning::Cores,
            limits: Limits::default(),
            heartbeat: Heartbeat::default(),
            sessions: SessionSettings::default(),
            deflate: Deflate::default(),
            room: RoomSettings::default(),
            rooms: Vec::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 64 << 10,
            message_fragments_max: 128,
            message_time_max: Duration::from_secs(60),
            unfinished_bytes_max: 64 << 20,
            connections_max: 1_000_000,
            connections_per_address_max: 2_000,
            rooms_max: 1_000_000,
            publish_per_second_max: None,
            inbox_entries_max: 4_096,
            backlog_bytes_max: 4 << 20,
            history_bytes_max: 1 << 30,
            unsent_bytes_max: 16 << 10,
            unacknowledged_time_max: Duration::from_secs(30),
            close_time_max: Duration::from_secs(5),
        }
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { ping_interval: Duration::from_secs(25), silence_max: Duration::from_secs(60) }
    }
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            subscriptions_max: 128,
            connect_time_max: Duration::from_secs(10),
            unsent_bytes_max: 1 << 20,
            rooms: Vec::new(),
        }
    }
}

impl Default for Deflate {
    fn default() -> Self {
        let Compression { level, window_bits, threshold_bytes } = Compression::default();
        Self { mode: DeflateMode::Off, level, window_bits, threshold_bytes }
    }
}

impl Deflate {
    /// The window to negotiate with; `None`: it is off.
    #[must_use]
    pub const fn negotiable(&self) -> Option<WindowBits> {
        match self.mode {
            DeflateMode::Off => None,
            DeflateMode::On => Some(self.window_bits),
        }
    }

    pub(crate) const fn compression(&self) -> Compression {
        let Self { level, window_bits, threshold_bytes, .. } = *self;
        Compression { level, window_bits, threshold_bytes }
    }
}

impl Default for RoomSettings {
    fn default() -> Self {
        Self {
            window_count_max: 4_096,
            window_bytes_max: 1 << 20,
            window_age_max: Duration::from_secs(30),
            lag: LagPolicy::Disconnect,
            coalesce: Duration::ZERO,
            echo: Echo::On,
            publish: ClientPublish::Allowed,
            history_count_max: 0,
            history_bytes_max: 1 << 20,
            history_age_max: Duration::from_secs(5 * 60),
            recovery: Recovery::Stream,
            delta: Delta::Off,
            presence: Presence::Off,
            presence_events: PresenceEvents::Off,
            presence_members_max: 1_000,
            presence_events_per_second_max: 50,
            presence_leave_grace: Duration::from_secs(2),
        }
    }
}

impl RoomSettings {
    /// Whether the room keeps publications for those who come back.
    #[must_use]
    pub const fn has_history(&self) -> bool {
        self.history_count_max > 0
    }

    /// Whether sessions that ask for changes get them.
    #[must_use]
    pub const fn has_deltas(&self) -> bool {
        matches!(self.delta, Delta::Fossil) && !matches!(self.lag, LagPolicy::Latest)
    }

    /// Whether the room knows who is in it.
    #[must_use]
    pub const fn has_presence(&self) -> bool {
        matches!(self.presence, Presence::Members)
    }

    /// Whether members can be told who comes and goes.
    #[must_use]
    pub const fn has_presence_events(&self) -> bool {
        self.has_presence() && matches!(self.presence_events, PresenceEvents::On)
    }
}

impl Settings {
    /// The index of the first class whose pattern matches `name`, if any does. O(classes).
    pub(crate) fn class_of(&self, name: &str) -> Option<usize> {
        self.rooms.iter().position(|class| matches(&class.pattern, name))
    }

    /// The settings of the room called `name`. O(classes).
    #[must_use]
    pub fn for_room(&self, name: &str) -> &RoomSettings {
        self.class_of(name).map_or(&self.room, |class| &self.rooms[class].settings)
    }
}

/// Whether `name` matches `pattern`, in which each `*` stands for any number of bytes. Linear for one `*`, never worse
/// than quadratic: after a mismatch only the last `*` is extended.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(byte) if *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                Some((after_star, taken)) => {
                    retry = Some((after_star, taken + 1));
                    p = after_star;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("chat", "chat", true),
            ("chat", "chats", false),
            ("*", "anything", true),
            ("prices.*", "prices.btc", true),
            ("prices.*", "prices.", true),
            ("prices.*", "price.btc", false),
            ("*.log", "a.log.log", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-", false),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} ~ {name}");
        }
    }
}

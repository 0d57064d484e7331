//! Codes that clients act upon, with the texts that centrifuge gives them.
//!
//! A client ends for good at a close code of 3500 to 3999 or 4500 to 4999, and reconnects at any other; it comes back
//! to a channel by itself if an unsubscribe code is 2500 or more.

use std::borrow::Cow;

/// Why a command failed; goes into a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What clients act upon.
    pub code: u32,
    /// For people.
    pub message: Cow<'static, str>,
    /// The client tries again by itself.
    pub temporary: bool,
}

impl Error {
    /// 100: the server failed; the client tries again.
    pub const INTERNAL: Self = Self::temporary(100, "internal server error");
    /// 101: no identity.
    pub const UNAUTHORIZED: Self = Self::lasting(101, "unauthorized");
    /// 102: there is no such channel.
    pub const UNKNOWN_CHANNEL: Self = Self::lasting(102, "unknown channel");
    /// 103: this client may not.
    pub const PERMISSION_DENIED: Self = Self::lasting(103, "permission denied");
    /// 104: there is no such method.
    pub const METHOD_NOT_FOUND: Self = Self::lasting(104, "method not found");
    /// 105: a second subscribe.
    pub const ALREADY_SUBSCRIBED: Self = Self::lasting(105, "already subscribed");
    /// 106: a bound of the server.
    pub const LIMIT_EXCEEDED: Self = Self::lasting(106, "limit exceeded");
    /// 107: a field is not as it must be.
    pub const BAD_REQUEST: Self = Self::lasting(107, "bad request");
    /// 108: the server does not do this here.
    pub const NOT_AVAILABLE: Self = Self::lasting(108, "not available");
    /// 109: the client gets a new token and tries again.
    pub const TOKEN_EXPIRED: Self = Self::lasting(109, "token expired");
    /// 110: what the command is about has expired.
    pub const EXPIRED: Self = Self::lasting(110, "expired");
    /// 111: too fast; the client tries again.
    pub const TOO_MANY_REQUESTS: Self = Self::temporary(111, "too many requests");
    /// 112: the position cannot be recovered.
    pub const UNRECOVERABLE_POSITION: Self = Self::lasting(112, "unrecoverable position");

    const fn lasting(code: u32, message: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message), temporary: false }
    }

    const fn temporary(code: u32, message: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message), temporary: true }
    }

    /// The same code with a text that says more.
    #[must_use]
    pub fn because(self, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..self }
    }
}

/// Why a connection ends: a WebSocket close code, or a disconnect push in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// What clients act upon.
    pub code: u16,
    /// For people; at most [`crate::protocol::frame::CLOSE_REASON_BYTES_MAX`] bytes reach a WebSocket.
    pub reason: &'static str,
}

impl Disconnect {
    /// 3000: the connection is gone; never on the wire.
    pub const CONNECTION_CLOSED: Self = Self::new(3000, "connection closed");
    /// 3001: the server stops; the client comes back.
    pub const SHUTDOWN: Self = Self::new(3001, "shutdown");
    /// 3004: the server failed.
    pub const SERVER_ERROR: Self = Self::new(3004, "internal server error");
    /// 3005: the connection's token has expired.
    pub const EXPIRED: Self = Self::new(3005, "connection expired");
    /// 3006: a subscription's token has expired.
    pub const SUBSCRIPTION_EXPIRED: Self = Self::new(3006, "subscription expired");
    /// 3008: the client takes less than is published.
    pub const SLOW: Self = Self::new(3008, "slow");
    /// 3009: the stream takes nothing any more.
    pub const WRITE_ERROR: Self = Self::new(3009, "write error");
    /// 3010: the client has missed something.
    pub const INSUFFICIENT_STATE: Self = Self::new(3010, "insufficient state");
    /// 3011: come again.
    pub const FORCE_RECONNECT: Self = Self::new(3011, "force reconnect");
    /// 3012: a ping was not answered.
    pub const NO_PONG: Self = Self::new(3012, "no pong");
    /// 3013: too fast.
    pub const TOO_MANY_REQUESTS: Self = Self::new(3013, "too many requests");
    /// 3500: the token is not valid; terminal, as all that follow.
    pub const INVALID_TOKEN: Self = Self::new(3500, "invalid token");
    /// 3501: the client broke the protocol.
    pub const BAD_REQUEST: Self = Self::new(3501, "bad request");
    /// 3502: no connect came in time.
    pub const STALE: Self = Self::new(3502, "stale");
    /// 3503: the application ends the connection.
    pub const FORCE_NO_RECONNECT: Self = Self::new(3503, "force disconnect");
    /// 3504: too many connections.
    pub const CONNECTION_LIMIT: Self = Self::new(3504, "connection limit");
    /// 3505: too many subscriptions.
    pub const CHANNEL_LIMIT: Self = Self::new(3505, "channel limit");
    /// 3506: the transport cannot carry this protocol.
    pub const INAPPROPRIATE_PROTOCOL: Self = Self::new(3506, "inappropriate protocol");
    /// 3507: this client may not.
    pub const PERMISSION_DENIED: Self = Self::new(3507, "permission denied");
    /// 3508: the server does not do this.
    pub const NOT_AVAILABLE: Self = Self::new(3508, "not available");
    /// 3509: too many commands have failed.
    pub const TOO_MANY_ERRORS: Self = Self::new(3509, "too many errors");

    /// A code of the application: 4000 to 4499 (the client comes back) or 4500 to 4999 (it does not).
    #[must_use]
    pub const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason }
    }

    /// Whether the client stays away.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self.code, 3500..=3999 | 4500..=4999)
    }
}

/// Why a subscription ends that its client has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// What clients act upon.
    pub code: u32,
    /// For people.
    pub reason: &'static str,
}

impl Unsubscribe {
    /// 2000: the server ends it; the client stays away.
    pub const SERVER: Self = Self { code: 2000, reason: "server unsubscribe" };
    /// 2500: the client has missed something and comes back with its position, as at all that follow.
    pub const INSUFFICIENT_STATE: Self = Self { code: 2500, reason: "insufficient state" };
    /// 2501: the subscription's token has expired.
    pub const EXPIRED: Self = Self { code: 2501, reason: "subscription expired" };
    /// 2502: the client forgets its token and position.
    pub const STATE_INVALIDATED: Self = Self { code: 2502, reason: "state invalidated" };
}

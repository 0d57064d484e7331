//! The settings of the binary: from a file, the environment and the command line, the later the stronger.
//!
//! A setting is a field: of [`Config`] or of what it holds. Its documentation is the field's, its default that of the
//! struct, and one line in `table` gives it a kind and bounds. Key, variable, reference file and problems follow from
//! these.

mod docs;
mod file;
mod kinds;
mod load;
mod nearest;
mod origins;
mod problem;
mod raw;
mod reference;
mod relations;
mod rooms;
mod secret;
mod table;
#[cfg(test)]
mod tests;
mod texts;
mod units;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use shardcast::engine::settings::Settings;

pub(crate) use load::{FILE_VARIABLE, Flag, Sources, load};
pub(crate) use origins::AllowedOrigins;
pub(crate) use problem::{EXIT_USAGE, Problems};
pub(crate) use reference::reference;
pub(crate) use secret::Secret;
pub(crate) use units::{duration, duration_text};

/// Everything that the binary is started with.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Addresses to accept connections on.
    pub(crate) listen: Vec<SocketAddr>,
    /// How long connections have to leave after SIGTERM or SIGINT. Their closes are spread over it, but each shard
    /// makes at least one in 10 ms: few connections need less. At its end, who does not read is cut off; who does not
    /// answer its close has `limits.close_time_max` more (looked at once a second).
    pub(crate) drain: Duration,
    /// Web pages that may connect, by the `Origin` that their browser sends, beside those of the server's own host.
    /// Exact: scheme, host and port. "*" stands for every page. Clients that send no `Origin` are not browsers and may
    /// connect.
    pub(crate) allowed_origins: AllowedOrigins,
    /// What a client that publishes over HTTP has to present, on listeners that others than this machine reach. Without
    /// it,
    /// such listeners publish for nobody. Loopback listeners publish for everybody, except for who presents a wrong
    /// key.
    pub(crate) api_key: Option<Secret>,
    /// Open files of the process that connections may not use: kept for listeners, logs, the API.
    pub(crate) files_reserved: usize,
    /// The server API, at /api.
    pub(crate) api: ApiSettings,
    /// What is logged, and how.
    pub(crate) log: LogSettings,
    /// Bounds of a request that wants to become a connection.
    pub(crate) handshake: Handshake,
    /// What the engine is started with.
    pub(crate) engine: Settings,
}

/// The server API, at /api: bounds of a request, and how long answers are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ApiSettings {
    /// Longest body of a request, bytes. Longer: HTTP 413.
    pub(crate) request_bytes_max: usize,
    /// Channels that one `broadcast` may name. More: error 107.
    pub(crate) channels_max: usize,
    /// Commands that one `batch` may have. More: error 107.
    pub(crate) commands_max: usize,
    /// How long a publication with an idempotency key is not made again, but answered with the first answer: by the API
    /// and by POST /rooms/ROOM. Another message with the same key: error 107, HTTP 422.
    pub(crate) idempotency_time_max: Duration,
    /// Answers that are remembered for that. More: the oldest are forgotten.
    pub(crate) idempotency_keys_max: usize,
}

/// What is logged, to standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogSettings {
    /// Least level of events, for all or by target.
    pub(crate) level: String,
    /// How an event is written.
    pub(crate) format: LogFormat,
}

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// A line for people, with colours on a terminal.
    Human,
    /// A JSON object per line.
    Json,
}

/// Bounds of requests, before one is a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// Time from accept to the end of the request's head. Longer: closed.
    pub(crate) timeout: Duration,
    /// Longest request head, bytes. Longer: HTTP 431.
    pub(crate) header_bytes_max: usize,
    /// Most header fields of a request. More: HTTP 431.
    pub(crate) header_fields_max: usize,
    /// Time that a request's body may take. Longer: HTTP 408.
    pub(crate) body_timeout: Duration,
    /// Time from an answer to the end of the next request's head, on a connection that is kept. Longer: closed.
    pub(crate) keep_alive: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![(Ipv4Addr::LOCALHOST, 8080).into(), (Ipv6Addr::LOCALHOST, 8080).into()],
            drain: Duration::from_secs(10),
            allowed_origins: AllowedOrigins::Listed(Vec::new()),
            api_key: None,
            files_reserved: 32,
            api: ApiSettings::default(),
            log: LogSettings { level: "info".to_owned(), format: LogFormat::Human },
            handshake: Handshake::default(),
            engine: Settings::default(),
        }
    }
}

impl Default for Handshake {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            header_bytes_max: 8 << 10,
            header_fields_max: 64,
            body_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
        }
    }
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            request_bytes_max: 1 << 20,
            channels_max: 1_000,
            commands_max: 1_000,
            idempotency_time_max: Duration::from_secs(5 * 60),
            idempotency_keys_max: 100_000,
        }
    }
}

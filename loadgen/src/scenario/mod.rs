//! What is to be run: the scenario, as its TOML file says it. Every field is also a flag of `loadgen run`.
//!
//! The doc comment of a field is its help: [`fields`] holds the same sentence for the command line, and a test compares
//! the two sets of names.

pub mod check;
pub mod fields;
pub mod load;
pub mod overrides;
pub mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact::{optional, required};
use serde::{Deserialize, Serialize};

/// A whole scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// Names the scenario in reports and in `results/`.
    pub name: String,
    /// Decides everything random: sizes, arrivals, who sits in which room, who leaves when.
    pub seed: u64,
    /// The server.
    pub target: Target,
    /// Rooms, and how subscribers spread over them.
    pub rooms: Rooms,
    /// Who listens.
    pub subscribers: Subscribers,
    /// Which of the subscribers are not well-behaved.
    pub mix: Mix,
    /// Who publishes, and when.
    pub publishers: Publishers,
    /// What is published.
    pub payload: Payload,
    /// The run in time, in order; without any: 2 s of warm-up, 10 s measured.
    #[serde(rename = "phase")]
    pub phases: Vec<Phase>,
    /// Bounds of the run itself.
    pub limits: Limits,
    /// What must hold, as `"latency.p99" = "<= 20ms"`; a run that does not meet one ends with exit code 14.
    pub thresholds: BTreeMap<String, String>,
}

/// The server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// Where subscribers connect; `{room}` becomes the room's name.
    pub url: String,
    /// How rooms are joined and published to.
    pub adapter: AdapterKind,
    /// How publishers reach the server.
    pub publish: PublishVia,
    /// Where publishers connect or post, if not at `url`; `{room}` becomes the room's name.
    pub publish_url: Option<String>,
    /// Request headers of every handshake and post.
    pub headers: BTreeMap<String, String>,
    /// The handshake's `Sec-WebSocket-Protocol`.
    pub subprotocol: Option<String>,
    /// Adapter `template`: a text frame sent first by each connection; `{room}` becomes the room's name.
    pub hello: Option<String>,
    /// Adapter `template`: text frames that the server sends before the connection is a member.
    pub hello_answers: u32,
    /// Adapter `template`: a publication; `{room}` and `{payload}` (JSON-escaped) are replaced.
    pub publish_template: Option<String>,
    /// Adapter `template`: a delivery, where it differs from a publication; `{any}` stands for whatever is there.
    /// Frames of another shape are then no deliveries.
    pub delivery_template: Option<String>,
    /// Adapter `pusher`: the application's key, part of the path `/app/KEY`.
    pub app_key: Option<String>,
    /// Adapter `pusher`: the application's secret. It signs private channels and posts to `…/events`.
    pub app_secret: Option<String>,
}

/// How rooms are joined and published to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterKind {
    /// The URL names the room; each message is a publication.
    #[default]
    Raw,
    /// The same with the subprotocol `shardcast.v1`: who comes back says where it was.
    Shardcast,
    /// Server-sent events (`EventSource`); publishing over HTTP.
    Sse,
    /// The centrifuge JSON protocol.
    Centrifuge,
    /// The Pusher protocol, version 7.
    Pusher,
    /// NATS over WebSocket: the room is a subject.
    Nats,
    /// A hello frame, then frames by a template.
    Template,
}

/// How publishers reach the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublishVia {
    /// Over a connection of the adapter's protocol.
    #[default]
    Connection,
    /// `POST` to `publish_url`, the body is the payload; one request outstanding per publisher.
    Http,
}

/// Rooms, and how subscribers spread over them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rooms {
    /// How many.
    pub count: u32,
    /// A room's name; `{n}` becomes its number, from 0.
    pub name: String,
    /// Which room a subscriber joins.
    pub spread: Spread,
    /// Spread `zipf`: the exponent, above 0; 1 makes the first room twice as large as the second.
    pub zipf_exponent: f64,
}

/// Which room a subscriber joins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// In turn.
    #[default]
    Even,
    /// By Zipf's law: few large rooms, many small ones. Largest remainders, not drawn.
    Zipf,
}

/// Who listens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Subscribers {
    /// How many connections, those of `mix` included.
    pub count: u32,
    /// New connections per second; without it all at once (see `connecting_max`).
    pub connects_per_second: Option<f64>,
    /// Connections in their handshake at once, per worker.
    pub connecting_max: u32,
    /// A connection that is no member by then has failed.
    #[serde(with = "required")]
    pub handshake_timeout: Duration,
    /// Local addresses, in turn: each has about 28,000 ports. Loopback targets get 127.0.0.x by themselves.
    pub source_addresses: Vec<std::net::IpAddr>,
    /// When what was read is acknowledged (Linux).
    pub acks: Acks,
    /// Connections that must be there for the run to begin; fewer make it invalid. A share of `count`.
    pub connected_min: f64,
}

/// When a subscriber's kernel acknowledges what was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acks {
    /// As it likes: each short message that is read at once by itself.
    #[default]
    Prompt,
    /// Several together, or after 40 ms, as far as it lets itself be asked. Over loopback the acknowledgements' way
    /// through the server's sockets is work of the generator's core: this saves some of it. The server's CPU per
    /// delivery is another one then, and grew where it was measured: figures of the two do not compare.
    Delayed,
}

/// Which of the subscribers are not well-behaved: how many, the rest is normal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// Read no faster than `slow_bytes_per_second`.
    pub slow: u32,
    /// Bytes per second that a slow subscriber reads.
    pub slow_bytes_per_second: u64,
    /// Do not read at all.
    pub stalled: u32,
    /// Receive buffer (`SO_RCVBUF`) of slow and stalled ones, bytes; without it the system's.
    pub receive_buffer_bytes: Option<u32>,
    /// Leave after a while and come back as somebody new.
    pub churning: u32,
    /// How long a churning one stays, on average (exponential).
    #[serde(with = "required")]
    pub churn_stay: Duration,
    /// Lose their connection now and then, and come back; those that can resume do.
    pub reconnecting: u32,
    /// How long a reconnecting one stays connected, on average (exponential).
    #[serde(with = "required")]
    pub reconnect_every: Duration,
    /// How long it stays away.
    #[serde(with = "required")]
    pub reconnect_away: Duration,
}

/// Who publishes, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Publishers {
    /// How many, over the rooms in turn.
    pub count: u32,
    /// Messages per second, of all publishers together: an open loop. A phase may say otherwise.
    pub rate_per_second: f64,
    /// When messages are due.
    pub arrival: Arrival,
    /// Arrival `bursts`: messages that are due together.
    pub burst_messages: u32,
    /// A closed loop instead of a rate: so many messages are outstanding, of all publishers together; the next is
    /// published when all of a room's subscribers have one. Its latencies are not the server's.
    pub window: Option<u32>,
}

/// When messages are due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrival {
    /// Equal distances.
    #[default]
    Constant,
    /// A Poisson process: distances are exponential, as of independent people.
    Poisson,
    /// Bursts at equal distances, the rate on average as asked.
    Bursts,
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Payload {
    /// Bytes of a message, the stamp included (see `stamp`).
    pub bytes: u32,
    /// Sizes are drawn evenly from `bytes` to this.
    pub bytes_max: Option<u32>,
    /// Real messages, one per line, in turn: what they say is kept behind the stamp.
    pub file: Option<std::path::PathBuf>,
    /// What a message is.
    pub format: Format,
}

/// What a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A text frame.
    #[default]
    Text,
    /// A binary frame.
    Binary,
    /// A text frame that is a JSON object.
    Json,
}

/// A part of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Names it in the report; by default its kind and number.
    #[serde(default)]
    pub name: String,
    /// Whether it counts.
    #[serde(default)]
    pub kind: PhaseKind,
    /// How long.
    #[serde(with = "required")]
    pub duration: Duration,
    /// Messages per second in it, if not `publishers.rate_per_second`.
    #[serde(default)]
    pub rate_per_second: Option<f64>,
}

/// Whether a phase counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseKind {
    /// Audited, not in the totals.
    WarmUp,
    /// In the totals.
    #[default]
    Measured,
    /// Audited, not in the totals.
    CoolDown,
}

/// Bounds of the run itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How long after the last one was due a message may arrive: later ones are lost.
    #[serde(with = "required")]
    pub arrival_timeout: Duration,
    /// 99.9 % of publications must have been sent no later than this after they were due, or the run is invalid.
    #[serde(with = "required")]
    pub lateness_p999_max: Duration,
    /// Part of a core that the generator's busiest thread may use, or the run is invalid.
    pub generator_cpu_max: f64,
    /// Loss up to this does not make the run invalid (it is reported all the same).
    pub lost_max: u64,
    /// Ends the run however it stands.
    #[serde(with = "optional")]
    pub run_time_max: Option<Duration>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "run".to_owned(),
            seed: 1,
            target: Target::default(),
            rooms: Rooms::default(),
            subscribers: Subscribers::default(),
            mix: Mix::default(),
            publishers: Publishers::default(),
            payload: Payload::default(),
            phases: Vec::new(),
            limits: Limits::default(),
            thresholds: BTreeMap::new(),
        }
    }
}

impl Default for Target {
    fn default() -> Self {
        Self {
            url: "ws://127.0.0.1:8080/ws/{room}".to_owned(),
            adapter: AdapterKind::Raw,
            publish: PublishVia::Connection,
            publish_url: None,
            headers: BTreeMap::new(),
            subprotocol: None,
            hello: None,
            hello_answers: 0,
            publish_template: None,
            delivery_template: None,
            app_key: None,
            app_secret: None,
        }
    }
}

impl Default for Rooms {
    fn default() -> Self {
        Self { count: 1, name: "load-{n}".to_owned(), spread: Spread::Even, zipf_exponent: 1.0 }
    }
}

impl Default for Subscribers {
    fn default() -> Self {
        Self {
            count: 100,
            connects_per_second: None,
            connecting_max: 128,
            handshake_timeout: Duration::from_secs(10),
            source_addresses: Vec::new(),
            acks: Acks::Prompt,
            connected_min: 1.0,
        }
    }
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            slow: 0,
            slow_bytes_per_second: 4_096,
            stalled: 0,
            receive_buffer_bytes: None,
            churning: 0,
            churn_stay: Duration::from_secs(5),
            reconnecting: 0,
            reconnect_every: Duration::from_secs(5),
            reconnect_away: Duration::from_millis(500),
        }
    }
}

impl Default for Publishers {
    fn default() -> Self {
        Self { count: 1, rate_per_second: 10.0, arrival: Arrival::Constant, burst_messages: 10, window: None }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self { bytes: 128, bytes_max: None, file: None, format: Format::Text }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            arrival_timeout: Duration::from_secs(2),
            lateness_p999_max: Duration::from_millis(5),
            generator_cpu_max: 0.9,
            lost_max: 0,
            run_time_max: None,
        }
    }
}

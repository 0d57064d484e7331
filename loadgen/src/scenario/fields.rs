//! Every field of a scenario, once: its path in the file, its flag, what it takes, what it means.
//!
//! The command line, its help, the check for unknown keys and the printed reference are made from this table. A test
//! compares it with the serialised [`super::Scenario`] and with the doc comments there.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use crate::nearest::nearest;

/// One leaf of the scenario.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Where it stands in the file: `publishers.rate_per_second`.
    pub path: &'static str,
    /// Its flag without the dashes; those of phases share `phase`.
    pub flag: &'static str,
    /// What stands for its value in the help.
    pub value_name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it means, a sentence.
    pub help: &'static str,
    /// Whether `-h` shows it, or only `--help`.
    pub shown: Shown,
}

/// What a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A file's path.
    File,
    /// A whole number up to this.
    Whole(u64),
    /// A number of bytes up to this; a flag takes `4KiB` as well.
    Bytes(u64),
    /// A number.
    Number,
    /// A time such as `250ms`.
    Duration,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// IP addresses.
    Addresses,
    /// A table of texts.
    Table,
}

/// Which help shows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Both.
    Always,
    /// Only the long one.
    Long,
}

/// The sections of the file, in order, with their headings; the first holds the fields outside any table.
pub const SECTIONS: &[(&str, &str)] = &[
    ("", "Run"),
    ("target", "Target"),
    ("rooms", "Rooms"),
    ("subscribers", "Subscribers"),
    ("mix", "Mix: subscribers that are not well-behaved"),
    ("publishers", "Publishers"),
    ("payload", "Payload"),
    ("phase", "Phases"),
    ("limits", "Limits of the run"),
];

const U32: u64 = u32::MAX as u64;
/// TOML's integers are signed.
const U64: u64 = i64::MAX as u64;

const fn field(
    path: &'static str,
    flag: &'static str,
    value_name: &'static str,
    kind: Kind,
    help: &'static str,
) -> Field {
    Field { path, flag, value_name, kind, help, shown: Shown::Long }
}

const fn common(
    path: &'static str,
    flag: &'static str,
    value_name: &'static str,
    kind: Kind,
    help: &'static str,
) -> Field {
    Field { path, flag, value_name, kind, help, shown: Shown::Always }
}

/// All fields, in the order of the file.
pub const FIELDS: &[Field] = &[
    common("name", "name", "NAME", Kind::Text, "Names the scenario in reports and in results/."),
    common(
        "seed",
        "seed",
        "N",
        Kind::Whole(U64),
        "Decides everything random: sizes, arrivals, who sits in which room, who leaves when.",
    ),
    field(
        "thresholds",
        "threshold",
        "METRIC OP BOUND",
        Kind::Table,
        "What must hold, as \"latency.p99\" = \"<= 20ms\"; a run that does not meet one ends with exit code 14.",
    ),
    common("target.url", "url", "URL", Kind::Text, "Where subscribers connect; {room} becomes the room's name."),
    common("target.adapter", "adapter", "NAME", Kind::Choice(ADAPTERS), "How rooms are joined and published to."),
    field(
        "target.publish",
        "publish",
        "VIA",
        Kind::Choice(&["connection", "http"]),
        "How publishers reach the server.",
    ),
    field(
        "target.publish_url",
        "publish-url",
        "URL",
        Kind::Text,
        "Where publishers connect or post, if not at url; {room} becomes the room's name.",
    ),
    field("target.headers", "header", "NAME: VALUE", Kind::Table, "Request headers of every handshake and post."),
    field("target.subprotocol", "subprotocol", "NAME", Kind::Text, "The handshake's Sec-WebSocket-Protocol."),
    field(
        "target.hello",
        "hello",
        "TEXT",
        Kind::Text,
        "Adapter template: a text frame sent first by each connection; {room} becomes the room's name.",
    ),
    field(
        "target.hello_answers",
        "hello-answers",
        "N",
        Kind::Whole(U32),
        "Adapter template: text frames that the server sends before the connection is a member.",
    ),
    field(
        "target.publish_template",
        "publish-template",
        "TEXT",
        Kind::Text,
        "Adapter template: a publication; {room} and {payload} (JSON-escaped) are replaced.",
    ),
    field(
        "target.delivery_template",
        "delivery-template",
        "TEXT",
        Kind::Text,
        "Adapter template: a delivery, where it differs from a publication; {any} stands for whatever is there. \
         Frames of another shape are then no deliveries.",
    ),
    field(
        "target.app_key",
        "app-key",
        "KEY",
        Kind::Text,
        "Adapter pusher: the application's key, part of the path /app/KEY.",
    ),
    field(
        "target.app_secret",
        "app-secret",
        "SECRET",
        Kind::Text,
        "Adapter pusher: the application's secret. It signs private channels and posts to …/events.",
    ),
    common("rooms.count", "rooms", "N", Kind::Whole(U32), "How many."),
    field("rooms.name", "room-name", "TEMPLATE", Kind::Text, "A room's name; {n} becomes its number, from 0."),
    common("rooms.spread", "spread", "HOW", Kind::Choice(&["even", "zipf"]), "Which room a subscriber joins."),
    field(
        "rooms.zipf_exponent",
        "zipf-exponent",
        "X",
        Kind::Number,
        "Spread zipf: the exponent, above 0; 1 makes the first room twice as large as the second.",
    ),
    common("subscribers.count", "subscribers", "N", Kind::Whole(U32), "How many connections, those of mix included."),
    common(
        "subscribers.connects_per_second",
        "connects-per-second",
        "N",
        Kind::Number,
        "New connections per second; without it all at once (see connecting_max).",
    ),
    field(
        "subscribers.connecting_max",
        "subscribers-connecting-max",
        "N",
        Kind::Whole(U32),
        "Connections in their handshake at once, per worker.",
    ),
    field(
        "subscribers.handshake_timeout",
        "subscribers-handshake-timeout",
        "TIME",
        Kind::Duration,
        "A connection that is no member by then has failed.",
    ),
    field(
        "subscribers.source_addresses",
        "subscribers-source-addresses",
        "IP,…",
        Kind::Addresses,
        "Local addresses, in turn: each has about 28,000 ports. Loopback targets get 127.0.0.x by themselves.",
    ),
    field(
        "subscribers.acks",
        "subscribers-acks",
        "WHEN",
        Kind::Choice(&["prompt", "delayed"]),
        "When what was read is acknowledged (Linux).",
    ),
    field(
        "subscribers.connected_min",
        "subscribers-connected-min",
        "SHARE",
        Kind::Number,
        "Connections that must be there for the run to begin; fewer make it invalid. A share of count.",
    ),
    common("mix.slow", "slow", "N", Kind::Whole(U32), "Read no faster than slow_bytes_per_second."),
    field(
        "mix.slow_bytes_per_second",
        "slow-bytes-per-second",
        "BYTES",
        Kind::Bytes(U64),
        "Bytes per second that a slow subscriber reads.",
    ),
    common("mix.stalled", "stalled", "N", Kind::Whole(U32), "Do not read at all."),
    field(
        "mix.receive_buffer_bytes",
        "mix-receive-buffer-bytes",
        "BYTES",
        Kind::Bytes(U32),
        "Receive buffer (SO_RCVBUF) of slow and stalled ones, bytes; without it the system's.",
    ),
    common("mix.churning", "churning", "N", Kind::Whole(U32), "Leave after a while and come back as somebody new."),
    field(
        "mix.churn_stay",
        "churn-stay",
        "TIME",
        Kind::Duration,
        "How long a churning one stays, on average (exponential).",
    ),
    common(
        "mix.reconnecting",
        "reconnecting",
        "N",
        Kind::Whole(U32),
        "Lose their connection now and then, and come back; those that can resume do.",
    ),
    field(
        "mix.reconnect_every",
        "reconnect-every",
        "TIME",
        Kind::Duration,
        "How long a reconnecting one stays connected, on average (exponential).",
    ),
    field("mix.reconnect_away", "reconnect-away", "TIME", Kind::Duration, "How long it stays away."),
    common("publishers.count", "publishers", "N", Kind::Whole(U32), "How many, over the rooms in turn."),
    common(
        "publishers.rate_per_second",
        "rate",
        "PER_SECOND",
        Kind::Number,
        "Messages per second, of all publishers together: an open loop. A phase may say otherwise.",
    ),
    common(
        "publishers.arrival",
        "arrival",
        "HOW",
        Kind::Choice(&["constant", "poisson", "bursts"]),
        "When messages are due.",
    ),
    field(
        "publishers.burst_messages",
        "burst-messages",
        "N",
        Kind::Whole(U32),
        "Arrival bursts: messages that are due together.",
    ),
    common(
        "publishers.window",
        "window",
        "N",
        Kind::Whole(U32),
        "A closed loop instead of a rate: so many messages are outstanding, of all publishers together; the next is \
         published when all of a room's subscribers have one. Its latencies are not the server's.",
    ),
    common("payload.bytes", "bytes", "BYTES", Kind::Bytes(U32), "Bytes of a message, the stamp included (see stamp)."),
    field("payload.bytes_max", "bytes-max", "BYTES", Kind::Bytes(U32), "Sizes are drawn evenly from bytes to this."),
    field(
        "payload.file",
        "payload-file",
        "FILE",
        Kind::File,
        "Real messages, one per line, in turn: what they say is kept behind the stamp.",
    ),
    field("payload.format", "payload-format", "WHAT", Kind::Choice(&["text", "binary", "json"]), "What a message is."),
    field("phase.name", "phase", "NAME", Kind::Text, "Names it in the report; by default its kind and number."),
    field("phase.kind", "phase", "KIND", Kind::Choice(PHASE_KINDS), "Whether it counts."),
    field("phase.duration", "phase", "TIME", Kind::Duration, "How long."),
    field(
        "phase.rate_per_second",
        "phase",
        "PER_SECOND",
        Kind::Number,
        "Messages per second in it, if not publishers.rate_per_second.",
    ),
    field(
        "limits.arrival_timeout",
        "limits-arrival-timeout",
        "TIME",
        Kind::Duration,
        "How long after the last one was due a message may arrive: later ones are lost.",
    ),
    field(
        "limits.lateness_p999_max",
        "limits-lateness-p999-max",
        "TIME",
        Kind::Duration,
        "99.9 % of publications must have been sent no later than this after they were due, or the run is invalid.",
    ),
    field(
        "limits.generator_cpu_max",
        "limits-generator-cpu-max",
        "SHARE",
        Kind::Number,
        "Part of a core that the generator's busiest thread may use, or the run is invalid.",
    ),
    field(
        "limits.lost_max",
        "lost-max",
        "N",
        Kind::Whole(U64),
        "Loss up to this does not make the run invalid (it is reported all the same).",
    ),
    field("limits.run_time_max", "run-time-max", "TIME", Kind::Duration, "Ends the run however it stands."),
];

const ADAPTERS: &[&str] = &["raw", "shardcast", "sse", "centrifuge", "pusher", "nats", "template"];
const PHASE_KINDS: &[&str] = &["warm-up", "measured", "cool-down"];

/// By path.
static LONG_FLAGS: LazyLock<BTreeMap<&'static str, String>> =
    LazyLock::new(|| FIELDS.iter().map(|field| (field.path, field.path.replace(['.', '_'], "-"))).collect());

impl Field {
    /// The table of the file that it stands in; empty for those outside any.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(section, _)| section)
    }

    /// Its path as a flag: `subscribers-connecting-max`.
    #[must_use]
    pub fn long_flag(&self) -> &'static str {
        LONG_FLAGS.get(self.path).map_or(self.flag, String::as_str)
    }
}

/// The field of that path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.path == path)
}

/// The path that a mistyped one probably means.
#[must_use]
pub fn nearest_path(path: &str) -> Option<&'static str> {
    let last = path.rsplit('.').next().unwrap_or(path);
    // A right name in the wrong table, or the name of a flag.
    let same = |field: &&Field| field.path.rsplit('.').next() == Some(last) || field.flag == last.replace('_', "-");
    let elsewhere = || FIELDS.iter().find(same).map(|field| field.path);
    let alike = || nearest(path, FIELDS.iter().map(|field| field.path));
    if path == last { elsewhere().or_else(alike) } else { alike().or_else(elsewhere) }
}

/// Makes the value of a field from a flag's text.
///
/// # Errors
/// A sentence: what the text is not.
pub fn parse_value(kind: Kind, text: &str) -> Result<toml::Value, String> {
    match kind {
        Kind::Text | Kind::File | Kind::Table => Ok(text.into()),
        Kind::Whole(max) => whole(&text.replace('_', ""), max).map(toml::Value::Integer),
        Kind::Bytes(max) => bytes(text, max).map(toml::Value::Integer),
        Kind::Number => number(text).map(toml::Value::Float),
        Kind::Duration => duration(text).map(|_| text.into()),
        Kind::Choice(words) if words.contains(&text) => Ok(text.into()),
        Kind::Choice(words) => Err(format!("not one of {}", words.join(", "))),
        Kind::Addresses => {
            let each = text.split(',').map(str::trim).filter(|address| !address.is_empty());
            each.map(|address| match address.parse::<std::net::IpAddr>() {
                Ok(address) => Ok(address.to_string().into()),
                Err(_) => Err(format!("\"{address}\" is no IP address")),
            })
            .collect::<Result<Vec<toml::Value>, _>>()
            .map(toml::Value::Array)
        }
    }
}

/// A time such as `250ms` or `1m30s`.
///
/// # Errors
/// A sentence: why it is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|_| "not a time such as 250ms, 10s or 1m30s".to_owned())?;
    Duration::try_from(span).map_err(|_| "a time cannot be negative".to_owned())
}

fn whole(text: &str, max: u64) -> Result<i64, String> {
    let value: u64 = text.parse().map_err(|_| "not a whole number".to_owned())?;
    if value > max {
        return Err(format!("{max} is the most"));
    }
    i64::try_from(value).map_err(|_| format!("{} is the most", i64::MAX))
}

fn bytes(text: &str, max: u64) -> Result<i64, String> {
    let text = text.replace('_', "");
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => return Err(format!("\"{other}\" is no unit of bytes: B, KiB, MiB, GiB")),
    };
    let value: u64 = digits.parse().map_err(|_| "not a whole number of bytes".to_owned())?;
    whole(&value.saturating_mul(factor).to_string(), max)
}

fn number(text: &str) -> Result<f64, String> {
    let plain = text.replace('_', "");
    let (digits, factor) = match plain.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1e3),
        None => plain.strip_suffix('M').map_or((plain.as_str(), 1.0), |digits| (digits, 1e6)),
    };
    match digits.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value * factor),
        _ => Err("not a number such as 50, 0.5 or 20k".to_owned()),
    }
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;

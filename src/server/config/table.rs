//! One line per setting: where its field is, and the kind and bounds of its value. All else about a setting follows.

use std::time::Duration;

use shardcast::engine::settings::{
    ClientPublish, Deflate, DeflateMode, Delta, Echo, Heartbeat, LagPolicy, Limits, Pinning, Presence, PresenceEvents,
    Recovery, RoomSettings, SHARDS_MAX, SessionSettings, Settings,
};

use super::kinds::{Bytes, Choice, Count, Describe, Kind, OrWord, Time, words};
use super::raw::{Raw, Refused};
use super::texts::{Addresses, Key, LogFilter, Origins, RoomNames};
use super::{ApiSettings, Config, Handshake, LogFormat, LogSettings, docs};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const U32_MAX: u64 = u32::MAX as u64;

/// One setting: a field that the operator may set.
pub(super) struct Setting {
    /// Name of the table in the file; empty at the top level.
    pub(super) section: &'static str,
    /// Name of the struct that has the field.
    pub(super) owner: &'static str,
    /// Name of the field, and of the setting in its section.
    pub(super) field: &'static str,
    /// Sets the field.
    pub(super) set: fn(&mut Config, &Raw) -> Result<(), Refused>,
    /// Shows the field as TOML; `None`: the key is left out.
    pub(super) show: fn(&Config) -> Option<String>,
    /// What may be set.
    pub(super) describe: fn() -> Box<dyn Describe>,
}

impl Setting {
    /// `section.field`, or `field` at the top level.
    pub(super) fn key(&self) -> String {
        match self.section {
            "" => self.field.to_owned(),
            section => format!("{section}.{}", self.field),
        }
    }

    /// The environment variable.
    pub(super) fn variable(&self) -> String {
        format!("SHARDCAST_{}", self.key().replace('.', "_").to_ascii_uppercase())
    }

    /// What the setting is, in the words of its field's documentation.
    pub(super) fn doc(&self) -> String {
        docs::of_operators(&docs::member(self.owner, self.field), (self.describe)().none_word())
    }

    /// The setting called `key`.
    pub(super) fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key() == key)
    }
}

macro_rules! place {
    ($config:ident ($($part:ident).*)) => { $config$(.$part)* };
}

macro_rules! settings {
    ($($section:literal $owner:ident $place:tt $(besides [$($part:ident),*])? {
        $($field:ident: $kind:expr,)*
    })*) => {
        // A field without a line below? Add it.
        $(const _: fn(&$owner) = |$owner { $($field: _,)* $($($part: _,)*)? }| ();)*

        /// Every setting, in the order of the file.
        pub(super) static SETTINGS: &[Setting] = &[$($(Setting {
            section: $section,
            owner: stringify!($owner),
            field: stringify!($field),
            set: |config, raw| {
                place!(config $place).$field = $kind.read(raw)?;
                Ok(())
            },
            show: |config| $kind.show(&place!(config $place).$field),
            describe: || Box::new($kind),
        },)*)*];
    };
}

const fn count(min: u64, max: u64) -> Count {
    Count { min, max }
}

const fn bytes(min: u64, max: u64) -> Bytes {
    Bytes { min, max }
}

const fn time(min: Duration, max: Duration) -> Time {
    Time { min, max }
}

const fn word_or<K>(word: &'static str, kind: K) -> OrWord<K> {
    OrWord { word, kind }
}

// section  struct  place in Config { field: kind and bounds }
settings! {
    "" Config () besides [api, log, handshake, engine] {
        listen: Addresses,
        drain: time(Duration::ZERO, DAY),
        allowed_origins: Origins,
        api_key: Key,
        files_reserved: count(0, 1 << 20),
    }
    "" Settings (engine) besides [limits, heartbeat, sessions, deflate, room, rooms] {
        shards: word_or("cores", count(1, SHARDS_MAX as u64)),
        pinning: words!(Pinning { "cores" => Cores, "off" => Off }),
    }
    "api" ApiSettings (api) {
        request_bytes_max: bytes(KIB, GIB),
        channels_max: count(1, 1 << 20),
        commands_max: count(1, 1 << 20),
        idempotency_time_max: time(SECOND, DAY),
        idempotency_keys_max: count(1, 1 << 24),
    }
    "log" LogSettings (log) {
        level: LogFilter,
        format: words!(LogFormat { "human" => Human, "json" => Json }),
    }
    "handshake" Handshake (handshake) {
        timeout: time(MS * 10, HOUR),
        header_bytes_max: bytes(256, MIB),
        header_fields_max: count(8, 1_024),
        body_timeout: time(MS * 10, HOUR),
        keep_alive: time(MS * 10, HOUR),
    }
    "limits" Limits (engine.limits) {
        message_bytes_max: bytes(1, GIB),
        message_fragments_max: count(1, 1 << 20),
        message_time_max: time(SECOND, DAY),
        unfinished_bytes_max: bytes(KIB, TIB),
        connections_max: count(1, 100_000_000),
        connections_per_address_max: count(1, 100_000_000),
        rooms_max: count(1, 100_000_000),
        publish_per_second_max: word_or("unlimited", count(1, U32_MAX)),
        inbox_entries_max: count(1, 1 << 24),
        backlog_bytes_max: bytes(KIB, TIB),
        history_bytes_max: bytes(KIB, TIB),
        unsent_bytes_max: bytes(1, GIB),
        unacknowledged_time_max: time(MS * 100, DAY),
        close_time_max: time(MS * 10, SECOND * 60),
    }
    "heartbeat" Heartbeat (engine.heartbeat) {
        ping_interval: time(MS * 10, DAY),
        silence_max: time(MS * 10, DAY),
    }
    "sessions" SessionSettings (engine.sessions) {
        subscriptions_max: count(1, 4_096),
        connect_time_max: time(SECOND, HOUR),
        unsent_bytes_max: bytes(KIB, GIB),
        rooms: RoomNames,
    }
    "deflate" Deflate (engine.deflate) {
        mode: words!(DeflateMode { "off" => Off, "on" => On }),
        level: count(1, 9),
        window_bits: count(9, 15),
        threshold_bytes: bytes(0, GIB),
    }
    "room" RoomSettings (engine.room) {
        window_count_max: count(1, 1 << 24),
        window_bytes_max: bytes(1, GIB * 64),
        window_age_max: time(MS * 10, DAY),
        lag: words!(LagPolicy { "disconnect" => Disconnect, "skip" => Skip, "latest" => Latest }),
        coalesce: time(Duration::ZERO, SECOND),
        echo: words!(Echo { "on" => On, "off" => Off }),
        publish: words!(ClientPublish { "allowed" => Allowed, "refused" => Refused }),
        history_count_max: count(0, 1 << 24),
        history_bytes_max: bytes(1, GIB * 64),
        history_age_max: time(SECOND, DAY * 365),
        recovery: words!(Recovery { "stream" => Stream, "cache" => Cache }),
        delta: words!(Delta { "off" => Off, "fossil" => Fossil }),
        presence: words!(Presence { "off" => Off, "members" => Members }),
        presence_events: words!(PresenceEvents { "off" => Off, "on" => On }),
        presence_members_max: count(1, 100_000),
        presence_events_per_second_max: count(1, 10_000),
        presence_leave_grace: time(Duration::ZERO, HOUR),
    }
}

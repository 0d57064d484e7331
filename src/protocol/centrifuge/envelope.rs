//! One line of JSON to one [`Command`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::command::{Asked, Body, Command, Connect, ConnectSub, DeltaKind, History, StreamPosition, Subscribe};
use super::error::CommandError;
use super::{CHANNEL_BYTES_MAX, CONNECT_SUBS_MAX, EPOCH_BYTES_MAX, NAME_BYTES_MAX, TOKEN_BYTES_MAX};
use crate::protocol::json::{DEPTH_MAX, is_shallow};

/// A string that is borrowed unless it has escapes; `null` is the empty one.
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// A value, or its zero value for `null`.
fn zero<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// JSON of any kind, `null` too.
fn raw<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope<'a> {
    #[serde(deserialize_with = "zero")]
    id: u32,
    #[serde(borrow)]
    connect: Option<ConnectFields<'a>>,
    #[serde(borrow)]
    subscribe: Option<SubscribeFields<'a>>,
    #[serde(borrow)]
    unsubscribe: Option<ChannelFields<'a>>,
    #[serde(borrow)]
    publish: Option<PublishFields<'a>>,
    #[serde(borrow)]
    presence: Option<ChannelFields<'a>>,
    #[serde(borrow)]
    presence_stats: Option<ChannelFields<'a>>,
    #[serde(borrow)]
    history: Option<HistoryFields<'a>>,
    #[serde(borrow)]
    rpc: Option<RpcFields<'a>>,
    #[serde(borrow)]
    send: Option<RpcFields<'a>>,
    #[serde(borrow)]
    refresh: Option<ChannelFields<'a>>,
    #[serde(borrow)]
    sub_refresh: Option<ChannelFields<'a>>,
    #[serde(borrow)]
    ping: Option<ChannelFields<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConnectFields<'a> {
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    subs: Option<Subs<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "the wire's fields; `Asked` and `recover` are made of them")]
struct SubscribeFields<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    #[serde(deserialize_with = "zero")]
    recover: bool,
    #[serde(borrow)]
    epoch: Text<'a>,
    #[serde(deserialize_with = "zero")]
    offset: u64,
    #[serde(deserialize_with = "zero")]
    positioned: bool,
    #[serde(deserialize_with = "zero")]
    recoverable: bool,
    #[serde(deserialize_with = "zero")]
    join_leave: bool,
    #[serde(borrow)]
    delta: Text<'a>,
    #[serde(borrow)]
    tf: Option<&'a RawValue>,
    #[serde(deserialize_with = "zero")]
    flag: u64,
    #[serde(rename = "type", deserialize_with = "zero")]
    kind: u32,
}

/// The fields of every method that has no more than a channel and a token.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ChannelFields<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow)]
    token: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PublishFields<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HistoryFields<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(deserialize_with = "zero")]
    limit: i32,
    #[serde(borrow)]
    since: Option<PositionFields<'a>>,
    #[serde(deserialize_with = "zero")]
    reverse: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RpcFields<'a> {
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PositionFields<'a> {
    #[serde(deserialize_with = "zero")]
    recover: bool,
    #[serde(borrow)]
    epoch: Text<'a>,
    #[serde(deserialize_with = "zero")]
    offset: u64,
}

/// A map from channel to position. Beyond the bound, entries are counted and not kept.
#[derive(Default)]
struct Subs<'a> {
    kept: Vec<(Text<'a>, PositionFields<'a>)>,
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Subs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Subs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from channel to position")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut subs = Subs::default();
                while let Some((channel, position)) = map.next_entry::<Text<'de>, Option<PositionFields<'de>>>()? {
                    subs.count += 1;
                    if subs.count <= CONNECT_SUBS_MAX {
                        subs.kept.push((channel, position.unwrap_or_default()));
                    }
                }
                Ok(subs)
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// Reads one line without its line end.
pub(super) fn read(line: &[u8]) -> Result<Command<'_>, CommandError> {
    let line = simdutf8::basic::from_utf8(line).map_err(|_| CommandError::NotUtf8)?;
    let line = line.trim_matches([' ', '\t', '\r']);
    if line.is_empty() {
        return Err(CommandError::Blank);
    }
    if !line.starts_with('{') {
        // Serde would take an array for an object: its values in the order of the fields.
        return Err(CommandError::Malformed(serde_json::Error::custom("not an object")));
    }
    if !is_shallow(line.as_bytes()) {
        return Err(CommandError::TooDeep { limit: DEPTH_MAX });
    }
    let envelope: Envelope<'_> = serde_json::from_str(line).map_err(CommandError::Malformed)?;
    let methods = envelope.methods();
    if methods > 1 {
        return Err(CommandError::Methods { actual: methods });
    }
    let id = envelope.id;
    Ok(Command { id, body: envelope.into_body()? })
}

impl<'a> Envelope<'a> {
    fn methods(&self) -> usize {
        [
            self.connect.is_some(),
            self.subscribe.is_some(),
            self.unsubscribe.is_some(),
            self.publish.is_some(),
            self.presence.is_some(),
            self.presence_stats.is_some(),
            self.history.is_some(),
            self.rpc.is_some(),
            self.send.is_some(),
            self.refresh.is_some(),
            self.sub_refresh.is_some(),
            self.ping.is_some(),
        ]
        .into_iter()
        .filter(|is_there| *is_there)
        .count()
    }

    fn into_body(self) -> Result<Body<'a>, CommandError> {
        let id = self.id;
        let fields = |method| Fields { id, method };
        if let Some(connect) = self.connect {
            return connect.into_body(fields("connect"));
        }
        if let Some(subscribe) = self.subscribe {
            return subscribe.into_body(fields("subscribe"));
        }
        if let Some(history) = self.history {
            return history.into_body(fields("history"));
        }
        if let Some(publish) = self.publish {
            let fields = fields("publish").replied()?;
            let data = publish.data.ok_or_else(|| fields.missing("data"))?;
            return Ok(Body::Publish { channel: fields.channel(publish.channel)?, data });
        }
        if let Some(rpc) = self.rpc {
            let fields = fields("rpc").replied()?;
            return Ok(Body::Rpc { method: fields.text("method", rpc.method, NAME_BYTES_MAX)?, data: rpc.data });
        }
        if let Some(send) = self.send {
            return Ok(Body::Send { data: send.data });
        }
        if let Some(it) = self.unsubscribe {
            return Ok(Body::Unsubscribe { channel: fields("unsubscribe").replied()?.channel(it.channel)? });
        }
        if let Some(it) = self.presence {
            return Ok(Body::Presence { channel: fields("presence").replied()?.channel(it.channel)? });
        }
        if let Some(it) = self.presence_stats {
            return Ok(Body::PresenceStats { channel: fields("presence_stats").replied()?.channel(it.channel)? });
        }
        if let Some(refresh) = self.refresh {
            return Ok(Body::Refresh { token: fields("refresh").replied()?.token(refresh.token)? });
        }
        if let Some(refresh) = self.sub_refresh {
            let fields = fields("sub_refresh").replied()?;
            return Ok(Body::SubRefresh {
                channel: fields.channel(refresh.channel)?,
                token: fields.token(refresh.token)?,
            });
        }
        Ok(match (self.ping, id) {
            (Some(_), _) => Body::Ping,
            (None, 0) => Body::Pong,
            (None, _) => Body::Unknown,
        })
    }
}

impl<'a> ConnectFields<'a> {
    fn into_body(self, fields: Fields) -> Result<Body<'a>, CommandError> {
        let fields = fields.replied()?;
        let subs = self.subs.unwrap_or_default();
        if subs.count > CONNECT_SUBS_MAX {
            return Err(CommandError::TooManySubs { id: fields.id, actual: subs.count, limit: CONNECT_SUBS_MAX });
        }
        let sub = |(channel, position): (Text<'a>, PositionFields<'a>)| {
            let recovers = position.recover;
            let position = fields.position(position.epoch, position.offset)?;
            Ok(ConnectSub { channel: fields.channel(channel)?, recover: recovers.then_some(position) })
        };
        Ok(Body::Connect(Connect {
            token: fields.text("token", self.token, TOKEN_BYTES_MAX)?,
            data: self.data,
            name: fields.text("name", self.name, NAME_BYTES_MAX)?,
            version: fields.text("version", self.version, NAME_BYTES_MAX)?,
            subs: subs.kept.into_iter().map(sub).collect::<Result<_, _>>()?,
        }))
    }
}

impl<'a> SubscribeFields<'a> {
    fn into_body(self, fields: Fields) -> Result<Body<'a>, CommandError> {
        let fields = fields.replied()?;
        let position = fields.position(self.epoch, self.offset)?;
        Ok(Body::Subscribe(Subscribe {
            channel: fields.channel(self.channel)?,
            token: fields.text("token", self.token, TOKEN_BYTES_MAX)?,
            data: self.data,
            recover: self.recover.then_some(position),
            asked: Asked { positioned: self.positioned, recoverable: self.recoverable, join_leave: self.join_leave },
            delta: (self.delta.0 == "fossil").then_some(DeltaKind::Fossil),
            filter: self.tf,
            flags: self.flag,
            kind: self.kind,
        }))
    }
}

impl<'a> HistoryFields<'a> {
    fn into_body(self, fields: Fields) -> Result<Body<'a>, CommandError> {
        let fields = fields.replied()?;
        let since = self.since.map(|since| fields.position(since.epoch, since.offset)).transpose()?;
        let channel = fields.channel(self.channel)?;
        Ok(Body::History(History { channel, limit: self.limit, since, reverse: self.reverse }))
    }
}

/// Checks fields of one command.
#[derive(Clone, Copy)]
struct Fields {
    id: u32,
    method: &'static str,
}

impl Fields {
    const fn replied(self) -> Result<Self, CommandError> {
        if self.id == 0 { Err(CommandError::MissingId { method: self.method }) } else { Ok(self) }
    }

    const fn missing(self, field: &'static str) -> CommandError {
        CommandError::MissingField { method: self.method, field }
    }

    fn text<'a>(self, field: &'static str, text: Text<'a>, limit: usize) -> Result<Cow<'a, str>, CommandError> {
        let actual = text.0.len();
        if actual > limit { Err(CommandError::TooLong { id: self.id, field, actual, limit }) } else { Ok(text.0) }
    }

    fn present<'a>(self, field: &'static str, text: Text<'a>, limit: usize) -> Result<Cow<'a, str>, CommandError> {
        if text.0.is_empty() { Err(self.missing(field)) } else { self.text(field, text, limit) }
    }

    fn channel(self, channel: Text<'_>) -> Result<Cow<'_, str>, CommandError> {
        self.present("channel", channel, CHANNEL_BYTES_MAX)
    }

    fn token(self, token: Text<'_>) -> Result<Cow<'_, str>, CommandError> {
        self.present("token", token, TOKEN_BYTES_MAX)
    }

    fn position(self, epoch: Text<'_>, offset: u64) -> Result<StreamPosition<'_>, CommandError> {
        Ok(StreamPosition { epoch: self.text("epoch", epoch, EPOCH_BYTES_MAX)?, offset })
    }
}

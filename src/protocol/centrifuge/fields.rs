//! The fields of commands as they are on the wire: unknown ones ignored, missing ones and `null` are the zero value.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{CONNECT_SUBS_MAX, filter};

/// A string that is borrowed unless it has escapes; `null` is the empty one.
#[derive(Default)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

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

/// One command: an id, and at most one method that is known.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Envelope<'a> {
    #[serde(deserialize_with = "zero")]
    pub(super) id: u32,
    #[serde(borrow)]
    pub(super) connect: Option<ConnectFields<'a>>,
    #[serde(borrow)]
    pub(super) subscribe: Option<SubscribeFields<'a>>,
    #[serde(borrow)]
    pub(super) unsubscribe: Option<ChannelFields<'a>>,
    #[serde(borrow)]
    pub(super) publish: Option<PublishFields<'a>>,
    #[serde(borrow)]
    pub(super) presence: Option<ChannelFields<'a>>,
    #[serde(borrow)]
    pub(super) presence_stats: Option<ChannelFields<'a>>,
    #[serde(borrow)]
    pub(super) history: Option<HistoryFields<'a>>,
    #[serde(borrow)]
    pub(super) rpc: Option<RpcFields<'a>>,
    #[serde(borrow)]
    pub(super) send: Option<RpcFields<'a>>,
    #[serde(borrow)]
    pub(super) refresh: Option<ChannelFields<'a>>,
    #[serde(borrow)]
    pub(super) sub_refresh: Option<ChannelFields<'a>>,
    #[serde(borrow)]
    pub(super) ping: Option<ChannelFields<'a>>,
}

impl Envelope<'_> {
    /// How many methods the command has.
    pub(super) fn methods(&self) -> usize {
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
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ConnectFields<'a> {
    #[serde(borrow)]
    pub(super) token: Text<'a>,
    #[serde(borrow, deserialize_with = "raw")]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) version: Text<'a>,
    #[serde(borrow)]
    pub(super) subs: Option<Subs<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "the wire's fields; `Asked` and `recover` are made of them")]
pub(super) struct SubscribeFields<'a> {
    #[serde(borrow)]
    pub(super) channel: Text<'a>,
    #[serde(borrow)]
    pub(super) token: Text<'a>,
    #[serde(borrow, deserialize_with = "raw")]
    pub(super) data: Option<&'a RawValue>,
    #[serde(deserialize_with = "zero")]
    pub(super) recover: bool,
    #[serde(borrow)]
    pub(super) epoch: Text<'a>,
    #[serde(deserialize_with = "zero")]
    pub(super) offset: u64,
    #[serde(deserialize_with = "zero")]
    pub(super) positioned: bool,
    #[serde(deserialize_with = "zero")]
    pub(super) recoverable: bool,
    #[serde(deserialize_with = "zero")]
    pub(super) join_leave: bool,
    #[serde(borrow)]
    pub(super) delta: Text<'a>,
    #[serde(borrow)]
    pub(super) tf: Option<filter::Node<'a>>,
    #[serde(deserialize_with = "zero")]
    pub(super) flag: u64,
    #[serde(rename = "type", deserialize_with = "zero")]
    pub(super) kind: u32,
}

/// The fields of every method that has no more than a channel and a token.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ChannelFields<'a> {
    #[serde(borrow)]
    pub(super) channel: Text<'a>,
    #[serde(borrow)]
    pub(super) token: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct PublishFields<'a> {
    #[serde(borrow)]
    pub(super) channel: Text<'a>,
    #[serde(borrow, deserialize_with = "raw")]
    pub(super) data: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct HistoryFields<'a> {
    #[serde(borrow)]
    pub(super) channel: Text<'a>,
    #[serde(deserialize_with = "zero")]
    pub(super) limit: i32,
    #[serde(borrow)]
    pub(super) since: Option<PositionFields<'a>>,
    #[serde(deserialize_with = "zero")]
    pub(super) reverse: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RpcFields<'a> {
    #[serde(borrow)]
    pub(super) method: Text<'a>,
    #[serde(borrow, deserialize_with = "raw")]
    pub(super) data: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct PositionFields<'a> {
    #[serde(deserialize_with = "zero")]
    pub(super) recover: bool,
    #[serde(borrow)]
    pub(super) epoch: Text<'a>,
    #[serde(deserialize_with = "zero")]
    pub(super) offset: u64,
}

/// A map from channel to position. Beyond the bound, entries are counted and not kept.
#[derive(Default)]
pub(super) struct Subs<'a> {
    pub(super) kept: Vec<(Text<'a>, PositionFields<'a>)>,
    pub(super) count: usize,
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

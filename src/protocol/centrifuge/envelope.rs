//! One line of JSON to one [`Command`].

use std::borrow::Cow;

use serde::de::Error as _;

use super::command::{Asked, Body, Command, Connect, ConnectSub, DeltaKind, History, StreamPosition, Subscribe};
use super::error::CommandError;
use super::fields::{ConnectFields, Envelope, HistoryFields, PositionFields, SubscribeFields, Text};
use super::filter;
use super::{CHANNEL_BYTES_MAX, CONNECT_SUBS_MAX, EPOCH_BYTES_MAX, NAME_BYTES_MAX, TOKEN_BYTES_MAX};
use crate::protocol::json::{DEPTH_MAX, is_shallow};

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
        if self.ping.is_some() {
            // Its answer is an error, which without an id would belong to nothing.
            return fields("ping").replied().map(|_| Body::Ping);
        }
        Ok(if id == 0 { Body::Pong } else { Body::Unknown })
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
        let filter = self.tf.map(filter::Node::into_filter).transpose();
        let filter = filter.map_err(|reason| CommandError::Filter { id: fields.id, reason })?;
        Ok(Body::Subscribe(Subscribe {
            channel: fields.channel(self.channel)?,
            token: fields.text("token", self.token, TOKEN_BYTES_MAX)?,
            data: self.data,
            recover: self.recover.then_some(position),
            asked: Asked { positioned: self.positioned, recoverable: self.recoverable, join_leave: self.join_leave },
            delta: (self.delta.0 == "fossil").then_some(DeltaKind::Fossil),
            filter,
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

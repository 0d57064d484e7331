//! Answers to commands: one object each, without a line end.

use super::code::Error;
use super::publication::{self, ClientInfo, PublicationView};
use crate::protocol::json::Object;

/// The server's ping; a client that was told to answers with the same.
pub const PING: &[u8] = b"{}";

/// The answer to `connect`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectResult<'a> {
    /// The connection's id.
    pub client: &'a str,
    /// The server's version.
    pub version: &'a str,
    /// Data of the application, as JSON.
    pub data: Option<&'a str>,
    /// After how many seconds the client sends `refresh`; `None`: the connection does not expire.
    pub ttl_s: Option<u32>,
    /// Server-side subscriptions by channel.
    pub subs: &'a [(&'a str, SubscribeResult<'a>)],
    /// How often the server pings, seconds; 0: never.
    pub ping_s: u32,
    /// The client shall answer pings.
    pub pong: bool,
    /// The secret by which a stream's other requests find the connection; empty on a WebSocket.
    pub session: &'a str,
    /// The node that has the connection.
    pub node: &'a str,
    /// The server's time, milliseconds since 1970; 0: not said.
    pub time_ms: u64,
}

/// The answer to `subscribe`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SubscribeResult<'a> {
    /// The client may come back with its position.
    pub recoverable: bool,
    /// Publications have offsets, and none is left out unnoticed.
    pub positioned: bool,
    /// The room's life.
    pub epoch: &'a str,
    /// The position that `publications` follow: if recovered, the client's own; else the newest.
    pub offset: u64,
    /// What became of the client's position.
    pub recovery: Recovery,
    /// The publications that were missed: objects joined by commas, see [`publication::object`].
    pub publications: &'a [u8],
    /// Publications come as [`publication::object_with`] writes them.
    pub delta: bool,
    /// After how many seconds the client sends `sub_refresh`; `None`: the subscription does not expire.
    pub ttl_s: Option<u32>,
    /// Data of the application, as JSON.
    pub data: Option<&'a str>,
}

/// What became of the position that a client came with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recovery {
    /// It came with none.
    #[default]
    NotAsked,
    /// Everything that it has missed is in the answer.
    Recovered,
    /// What it has missed cannot be replayed.
    Failed,
}

/// The answer to `refresh`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RefreshResult<'a> {
    /// The connection's id.
    pub client: &'a str,
    /// The server's version.
    pub version: &'a str,
    /// After how many seconds the client refreshes again; `None`: the connection does not expire any more.
    pub ttl_s: Option<u32>,
}

/// Appends the answer to `connect`.
pub fn connect(out: &mut Vec<u8>, id: u32, result: &ConnectResult<'_>) {
    reply(out, id, "connect", |object| {
        object.text("client", result.client);
        object.text("version", result.version);
        object.raw_if("data", result.data);
        expiry(object, result.ttl_s);
        if !result.subs.is_empty() {
            let mut subs = Object::open(object.key("subs"));
            for (channel, sub) in result.subs {
                let mut fields = Object::open(subs.any_key(channel));
                subscription(&mut fields, sub);
                fields.close();
            }
            subs.close();
        }
        object.number("ping", result.ping_s);
        if result.pong {
            object.truth("pong");
        }
        object.text("session", result.session);
        object.text("node", result.node);
        object.number("time", result.time_ms);
    });
}

/// Appends the answer to `subscribe`.
pub fn subscribe(out: &mut Vec<u8>, id: u32, result: &SubscribeResult<'_>) {
    reply(out, id, "subscribe", |object| subscription(object, result));
}

/// Appends an empty answer to `method`: `publish`, `unsubscribe`, and others that have nothing to say.
pub fn empty(out: &mut Vec<u8>, id: u32, method: &str) {
    reply(out, id, method, |_| {});
}

/// Appends the answer to `publish`.
pub fn publish(out: &mut Vec<u8>, id: u32) {
    empty(out, id, "publish");
}

/// Appends the answer to `unsubscribe`.
pub fn unsubscribe(out: &mut Vec<u8>, id: u32) {
    empty(out, id, "unsubscribe");
}

/// Appends the answer to `history`: publications, and the position of the newest.
pub fn history<'a, P>(out: &mut Vec<u8>, id: u32, publications: P, epoch: &str, offset: u64)
where
    P: IntoIterator<Item = PublicationView<'a>>,
{
    reply(out, id, "history", |object| {
        let mut publications = publications.into_iter().peekable();
        if publications.peek().is_some() {
            let out = object.key("publications");
            for (index, view) in publications.enumerate() {
                out.push(if index == 0 { b'[' } else { b',' });
                publication::object(out, &view);
            }
            out.push(b']');
        }
        object.text("epoch", epoch);
        object.number("offset", offset);
    });
}

/// Appends the answer to `presence`. A client's id is its key.
pub fn presence<'a>(out: &mut Vec<u8>, id: u32, clients: impl IntoIterator<Item = ClientInfo<'a>>) {
    reply(out, id, "presence", |object| {
        let mut presence = Object::open(object.key("presence"));
        for info in clients {
            publication::client_info(presence.any_key(info.client), &info);
        }
        presence.close();
    });
}

/// Appends the answer to `presence_stats`: how many connections, and how many users of theirs.
pub fn presence_stats(out: &mut Vec<u8>, id: u32, clients: u32, users: u32) {
    reply(out, id, "presence_stats", |object| {
        object.number("num_clients", clients);
        object.number("num_users", users);
    });
}

/// Appends the answer to `rpc`; `data` is JSON.
pub fn rpc(out: &mut Vec<u8>, id: u32, data: Option<&str>) {
    reply(out, id, "rpc", |object| object.raw_if("data", data));
}

/// Appends the answer to `refresh`.
pub fn refresh(out: &mut Vec<u8>, id: u32, result: &RefreshResult<'_>) {
    reply(out, id, "refresh", |object| {
        object.text("client", result.client);
        object.text("version", result.version);
        expiry(object, result.ttl_s);
    });
}

/// Appends the answer to `sub_refresh`: the subscription expires in `ttl_s` seconds, or `None`: not at all.
pub fn sub_refresh(out: &mut Vec<u8>, id: u32, ttl_s: Option<u32>) {
    reply(out, id, "sub_refresh", |object| expiry(object, ttl_s));
}

/// Appends that a command has failed.
pub fn error(out: &mut Vec<u8>, id: u32, error: &Error) {
    reply(out, id, "error", |object| {
        object.number("code", error.code);
        object.text("message", &error.message);
        if error.temporary {
            object.truth("temporary");
        }
    });
}

fn reply(out: &mut Vec<u8>, id: u32, method: &str, write: impl FnOnce(&mut Object<'_>)) {
    let mut reply = Object::open(out);
    reply.number("id", id);
    reply.object(method, write);
    reply.close();
}

fn expiry(object: &mut Object<'_>, ttl_s: Option<u32>) {
    if let Some(ttl_s) = ttl_s {
        object.truth("expires");
        object.number("ttl", ttl_s);
    }
}

fn subscription(object: &mut Object<'_>, result: &SubscribeResult<'_>) {
    expiry(object, result.ttl_s);
    if result.recoverable {
        object.truth("recoverable");
    }
    if result.positioned {
        object.truth("positioned");
    }
    object.text("epoch", result.epoch);
    object.number("offset", result.offset);
    if !result.publications.is_empty() {
        let out = object.key("publications");
        out.push(b'[');
        out.extend_from_slice(result.publications);
        out.push(b']');
    }
    if result.recovery != Recovery::NotAsked {
        object.truth("was_recovering");
    }
    if result.recovery == Recovery::Recovered {
        object.truth("recovered");
    }
    if result.delta {
        object.truth("delta");
    }
    object.raw_if("data", result.data);
}

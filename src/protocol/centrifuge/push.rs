//! What the server says unasked: one object each, without a line end.

use super::code::{Disconnect, Unsubscribe};
use super::publication::{self, ClientInfo, Data, PublicationView};
use crate::protocol::json::{Object, string};

/// What follows a publication's object in its push.
pub const PUBLICATION_SUFFIX: &[u8] = b"}}";

/// Appends what comes before a publication's object in its push; [`PUBLICATION_SUFFIX`] comes after it.
pub fn publication_prefix(out: &mut Vec<u8>, channel: &str) {
    out.extend_from_slice(b"{\"push\":{\"channel\":");
    string(out, channel);
    out.extend_from_slice(b",\"pub\":");
}

/// The publication's object in a push that begins with `prefix` of its channel.
#[must_use]
pub fn publication_in<'a>(push: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    push.strip_prefix(prefix)?.strip_suffix(PUBLICATION_SUFFIX)
}

/// Appends a publication.
pub fn publication(out: &mut Vec<u8>, channel: &str, view: &PublicationView<'_>) {
    publication_prefix(out, channel);
    publication::object(out, view);
    out.extend_from_slice(PUBLICATION_SUFFIX);
}

/// Appends a publication for a subscription with deltas.
pub fn publication_with(out: &mut Vec<u8>, channel: &str, view: &PublicationView<'_>, data: Data<'_>) {
    publication_prefix(out, channel);
    publication::object_with(out, view, data);
    out.extend_from_slice(PUBLICATION_SUFFIX);
}

/// Appends that somebody has subscribed.
pub fn join(out: &mut Vec<u8>, channel: &str, info: &ClientInfo<'_>) {
    push(out, channel, |push| push.object("join", |join| publication::client_info(join.key("info"), info)));
}

/// Appends that somebody has gone.
pub fn leave(out: &mut Vec<u8>, channel: &str, info: &ClientInfo<'_>) {
    push(out, channel, |push| push.object("leave", |leave| publication::client_info(leave.key("info"), info)));
}

/// Appends that the server has ended a subscription.
pub fn unsubscribe(out: &mut Vec<u8>, channel: &str, why: Unsubscribe) {
    push(out, channel, |push| {
        push.object("unsubscribe", |unsubscribe| {
            unsubscribe.number("code", why.code);
            unsubscribe.text("reason", why.reason);
        });
    });
}

/// Appends that the server has subscribed the client. `position` (epoch, offset): the subscription can be recovered.
pub fn subscribe(out: &mut Vec<u8>, channel: &str, position: Option<(&str, u64)>, data: Option<&str>) {
    push(out, channel, |push| {
        push.object("subscribe", |subscribe| {
            if let Some((epoch, offset)) = position {
                subscribe.truth("recoverable");
                subscribe.truth("positioned");
                subscribe.text("epoch", epoch);
                subscribe.number("offset", offset);
            }
            subscribe.raw_if("data", data);
        });
    });
}

/// Appends a message of the application to this client; `data` is JSON.
pub fn message(out: &mut Vec<u8>, data: &str) {
    push(out, "", |push| push.object("message", |message| message.raw("data", data)));
}

/// Appends the end of a stream of SSE or HTTP; a WebSocket has a close frame for it.
pub fn disconnect(out: &mut Vec<u8>, why: Disconnect) {
    disconnect_with(out, why.code, why.reason);
}

/// As [`disconnect`], with a reason of the application's.
pub fn disconnect_with(out: &mut Vec<u8>, code: u16, reason: &str) {
    push(out, "", |push| {
        push.object("disconnect", |disconnect| {
            disconnect.number("code", code);
            disconnect.text("reason", reason);
        });
    });
}

/// Appends that the server has prolonged the connection: it expires in `ttl_s` seconds, or `None`: not at all.
pub fn refresh(out: &mut Vec<u8>, ttl_s: Option<u32>) {
    push(out, "", |push| {
        push.object("refresh", |refresh| {
            if let Some(ttl_s) = ttl_s {
                refresh.truth("expires");
                refresh.number("ttl", ttl_s);
            }
        });
    });
}

fn push(out: &mut Vec<u8>, channel: &str, write: impl FnOnce(&mut Object<'_>)) {
    let mut reply = Object::open(out);
    reply.object("push", |push| {
        push.text("channel", channel);
        write(push);
    });
    reply.close();
}

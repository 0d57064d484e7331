//! One publication as an object, wherever it stands: in a push, a subscribe reply, a history.

use crate::protocol::frame::MessageKind;
use crate::protocol::json::{self, BASE64_TAG, Object, string};

/// One publication as the encoders see it.
#[derive(Clone, Copy, Debug)]
pub struct PublicationView<'a> {
    /// Its number in the room; 0: not said.
    pub offset: u64,
    /// What the payload is.
    pub kind: MessageKind,
    /// The payload as it was published.
    pub payload: &'a [u8],
    /// When it was published, milliseconds since 1970; 0: not said.
    pub time_ms: u64,
    /// Its tags as a JSON object.
    pub tags: Option<&'a str>,
    /// Who published it: a [`ClientInfo`] as a JSON object.
    pub info: Option<&'a str>,
}

/// Who somebody is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo<'a> {
    /// The user; empty: anonymous.
    pub user: &'a str,
    /// The connection's id.
    pub client: &'a str,
    /// What the application says of the connection, as JSON.
    pub conn_info: Option<&'a str>,
    /// What the application says of the subscription, as JSON.
    pub chan_info: Option<&'a str>,
}

/// Appends a publication with its payload as a JSON value (see [`json::payload`]).
pub fn object(out: &mut Vec<u8>, publication: &PublicationView<'_>) {
    let mut object = Object::open(out);
    json::payload(object.key("data"), publication.kind, publication.payload);
    rest(object, publication);
}

/// The payload of a publication for a subscription with deltas: a JSON string, see [`Texts`](super::texts::Texts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// The payload's text.
    Whole(&'a [u8]),
    /// What makes it out of that of the publication before.
    Delta(&'a [u8]),
}

/// Appends a publication for a subscription with deltas: its `data` is a string.
pub fn object_with(out: &mut Vec<u8>, publication: &PublicationView<'_>, data: Data<'_>) {
    let mut object = Object::open(out);
    let (Data::Whole(text) | Data::Delta(text)) = data;
    object.key("data").extend_from_slice(text);
    if matches!(data, Data::Delta(_)) {
        object.truth("delta");
    }
    rest(object, publication);
}

/// Appends who somebody is, as an object.
pub fn client_info(out: &mut Vec<u8>, info: &ClientInfo<'_>) {
    let mut object = Object::open(out);
    object.text("user", info.user);
    object.text("client", info.client);
    object.raw_if("conn_info", info.conn_info);
    object.raw_if("chan_info", info.chan_info);
    object.close();
}

/// Everything but the payload.
fn rest(mut object: Object<'_>, publication: &PublicationView<'_>) {
    object.raw_if("info", publication.info);
    object.number("offset", publication.offset);
    match publication.kind {
        MessageKind::Text => object.raw_if("tags", publication.tags),
        MessageKind::Binary => tags_of_bytes(object.key("tags"), publication.tags),
    }
    object.number("time", publication.time_ms);
    object.close();
}

/// Appends `tags` and that the payload is in base64. Of two tags of one name, clients take the last.
fn tags_of_bytes(out: &mut Vec<u8>, tags: Option<&str>) {
    let start = out.len();
    json::one_line(out, tags.unwrap_or("{}").trim().as_bytes());
    let has_tags = out[start..].contains(&b'"');
    out.pop();
    if has_tags {
        out.push(b',');
    }
    let (name, value) = BASE64_TAG;
    string(out, name);
    out.push(b':');
    string(out, value);
    out.push(b'}');
}

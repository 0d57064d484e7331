//! Answers without end, which shards write: rooms as server-sent events, and sessions whose client cannot have a
//! WebSocket.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode, Version};
use percent_encoding::percent_decode_str;
use shardcast::engine::settings::Echo;
use shardcast::engine::{Encoding, Epoch, Membership, Position, SESSION_NODE, SessionTerms, Start, Transport};
use shardcast::protocol::centrifuge::stream::{self, StreamKind};
use shardcast::protocol::centrifuge::{self, Body, emulation};
use shardcast::protocol::chunk;
use shardcast::protocol::event_stream::{self, CONTENT_TYPE};

use super::cross_origin::{Page, preflight};
use super::front_door::{Door, Reach};
use super::handshake::{Refusal, identity, room_name};
use super::http::{Answer, answer, body};
use super::query;
use super::takeover::Stream;

/// What a path of a room as server-sent events begins with.
pub(crate) const ROOM_PREFIX: &str = "/sse/";

/// Where sessions connect by server-sent events, and by lines.
pub(crate) const SESSION_EVENTS: &str = "/connection/sse";
pub(crate) const SESSION_LINES: &str = "/connection/http_stream";

/// Where the clients of such sessions send what they have to say.
pub(crate) const EMULATION: &str = "/emulation";

/// The longest request of a session's client, bytes.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// What a request for a stream comes to.
pub(crate) enum Outcome {
    /// The socket is a shard's from here on.
    Stream(Stream),
    /// An ordinary answer.
    Answer(Answer),
}

/// Whether requests for `path` are for [`respond`].
pub(crate) fn is_stream(path: &str) -> bool {
    path.starts_with(ROOM_PREFIX) || [SESSION_EVENTS, SESSION_LINES, EMULATION].contains(&path)
}

/// Answers a request for a path of [`is_stream`].
pub(crate) async fn respond(
    request: Request<Incoming>,
    page: &Page,
    reach: Reach,
    door: &Door,
) -> Result<Outcome, Refusal> {
    let methods = match request.uri().path() {
        SESSION_EVENTS => "GET, POST, OPTIONS",
        SESSION_LINES | EMULATION => "POST, OPTIONS",
        _ => "GET, OPTIONS",
    };
    if request.method() == Method::OPTIONS {
        return Ok(Outcome::Answer(preflight(&request, methods)));
    }
    if !methods.split(", ").any(|method| method == request.method().as_str()) {
        let mut refused = answer(StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", Bytes::new());
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
        return Ok(Outcome::Answer(refused));
    }
    let path = request.uri().path().to_owned();
    if path == EMULATION {
        return emulate(request, door).await.map(Outcome::Answer);
    }
    if request.version() != Version::HTTP_11 {
        let reason = "a stream is HTTP/1.1 (behind nginx: proxy_http_version 1.1)";
        return Err(Refusal::new(505, reason));
    }
    match path.strip_prefix(ROOM_PREFIX) {
        Some(room) => room_events(&request, room, page, reach, door),
        None => session(request, page, reach, door).await,
    }
}

/// `GET /sse/ROOM`.
fn room_events(
    request: &Request<Incoming>,
    room: &str,
    page: &Page,
    reach: Reach,
    door: &Door,
) -> Result<Outcome, Refusal> {
    let room = room_name(room)?;
    let query = request.uri().query().unwrap_or_default();
    let start = match request.headers().get("last-event-id") {
        // A browser comes back with the address that it had at first: where it is now counts.
        Some(id) => Start::After(position(id)),
        None => query::start(query)?,
    };
    let identity = identity(query, reach)?;
    if door.is_draining() {
        // Anything but a stream would end the browser's efforts: after this one it comes back.
        let retry = chunk::body(event_stream::RETRY).unwrap_or_default();
        return Ok(Outcome::Answer(answer(StatusCode::OK, CONTENT_TYPE, Bytes::from_static(retry))));
    }
    let mut head = Vec::new();
    chunk::response_head(&mut head, CONTENT_TYPE, page.origin());
    let membership = Membership { room, encoding: Encoding::EventStream, start, echo: Echo::On, identity };
    Ok(Outcome::Stream(Stream { purpose: membership.into(), head }))
}

/// Where a browser says that it is. An id that no room has given is of no room's epoch: its owner is told that it has
/// missed something, for an answer with an error would end the browser's efforts.
fn position(id: &HeaderValue) -> Position {
    let known = std::str::from_utf8(id.as_bytes()).ok().and_then(|id| id.trim().parse().ok());
    known.unwrap_or_else(|| Position { epoch: Epoch::parse("0").expect("a digit"), offset: 0 })
}

/// `/connection/sse` and `/connection/http_stream`: a session, which begins with what the request says.
async fn session(request: Request<Incoming>, page: &Page, reach: Reach, door: &Door) -> Result<Outcome, Refusal> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let is_binary = [header::CONTENT_TYPE, header::ACCEPT].iter().any(|name| {
        request.headers().get(name).is_some_and(|value| value.as_bytes().starts_with(b"application/octet-stream"))
    });
    if is_binary || ["format", "cf_protocol"].iter().any(|name| query::value(&query, name) == Some("protobuf")) {
        return Err(Refusal::new(400, "sessions speak JSON only"));
    }
    let (transport, kind) = match request.uri().path() {
        SESSION_EVENTS => (Transport::Events, StreamKind::Events),
        _ => (Transport::Lines, StreamKind::Lines),
    };
    let identity = identity(&query, reach)?;
    let commands = if request.method() == Method::GET {
        let connect = query::value(&query, "cf_connect").unwrap_or_default();
        // As forms are encoded, which is how browsers' `URLSearchParams` write it.
        percent_decode_str(&connect.replace('+', "%20")).collect()
    } else {
        body(request, door, REQUEST_BYTES_MAX, "the bound of a session's request").await?.to_vec()
    };
    match centrifuge::commands(&commands, 1).next() {
        Some(Ok(centrifuge::Command { body: Body::Connect(_), .. })) => {}
        Some(Err(error)) => return Err(Refusal::new(400, error.to_string())),
        _ => return Err(Refusal::new(400, "the first command is connect")),
    }
    if door.is_draining() {
        return Err(Refusal::new(503, "the server is restarting"));
    }
    let mut head = Vec::new();
    stream::response_head(&mut head, kind, page.origin());
    if kind == StreamKind::Events {
        head.extend_from_slice(stream::EVENTS_BEGIN);
    }
    Ok(Outcome::Stream(Stream { purpose: SessionTerms { transport, identity, commands }.into(), head }))
}

/// `POST /emulation`: what the client of a session has to say. The answers come on its stream.
async fn emulate(request: Request<Incoming>, door: &Door) -> Result<Answer, Refusal> {
    let body = body(request, door, REQUEST_BYTES_MAX, "the bound of a session's request").await?;
    let said = emulation::parse(&body).map_err(|error| Refusal::new(400, error.to_string()))?;
    match door.engine.emulate(&said.session, Bytes::copy_from_slice(said.data.as_bytes())).await {
        // A session that is gone is not an error: with one, a stock client would drop its stream before it has read
        // there why it ended.
        Ok(_) if said.node == SESSION_NODE || said.node.is_empty() => {
            let mut heard = answer(StatusCode::NO_CONTENT, "text/plain; charset=utf-8", Bytes::new());
            heard.headers_mut().remove(header::CONTENT_TYPE);
            Ok(heard)
        }
        Ok(_) => Err(Refusal::new(404, "there is no such node")),
        Err(error) => Err(Refusal::new(503, error.to_string())),
    }
}

//! HTTP: publishing, streams, the server API, health, metrics, the page. hyper does the protocol, this file the routes.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use shardcast::engine::{Adoption, Permit, Publication, PublishError};
use shardcast::protocol::frame::MessageKind;
use tokio::net::TcpStream;

use super::cross_origin::Page;
use super::front_door::{Door, Reach, join};
use super::handshake::{Refusal, WS_PREFIX, room_name};
use super::idempotency::{KEY_BYTES_MAX, Refused};
use super::streams::{self, Outcome};
use super::takeover::{Rewound, Stream, WayOut, drive};
use super::{api, long_poll, metrics, page};

/// What the path of a room begins with, for requests that do not stay.
const ROOMS_PREFIX: &str = "/rooms/";

/// How long a health or metrics request waits for the shards.
const SHARDS_TIME_MAX: Duration = Duration::from_secs(1);

pub(crate) type Answer = Response<Full<Bytes>>;

/// Serves a connection whose first bytes were read already, until it ends or the server does.
pub(crate) async fn serve(stream: TcpStream, read: Vec<u8>, permit: Permit, reach: Reach, door: Door) {
    // Small answers: waiting to fill a segment would only delay them.
    stream.set_nodelay(true).ok();
    // Whoever asks and never reads is given up like a member; refused by the kernel, the heartbeat of TCP has to do.
    let patience = door.config.engine.limits.unacknowledged_time_max;
    socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(patience)).ok();
    let rewound = Rewound::new(read, stream);
    let (is_blocked, way_out) = (rewound.is_blocked(), WayOut::default());
    let service = {
        let (door, way_out) = (door.clone(), way_out.clone());
        service_fn(move |request| {
            let (door, way_out) = (door.clone(), way_out.clone());
            let answer = async move { Ok::<_, Infallible>(respond(request, reach, &door, &way_out).await) };
            Box::pin(answer) as Pin<Box<dyn Future<Output = _> + Send>>
        })
    };
    let handshake = door.config.handshake;
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        // A client that has sent its request may say so (`nc -N`) and still wants its answer.
        .half_close(true)
        .header_read_timeout(handshake.keep_alive)
        .max_headers(handshake.header_fields_max)
        .max_buf_size(handshake.header_bytes_max.max(8 << 10))
        .serve_connection(TokioIo::new(rewound), service);
    let Some((stream, Stream { purpose, head })) = drive(connection, &is_blocked, &way_out).await else { return };
    let Ok(stream) = stream.into_std() else { return };
    join(&door, Adoption { stream, unread: Vec::new(), greeting: head, deflate: None, purpose }, permit).await;
}

async fn respond(request: Request<Incoming>, reach: Reach, door: &Door, way_out: &WayOut) -> Answer {
    let mut answer = if streams::is_stream(request.uri().path()) || polled_room(&request).is_some() {
        for_pages(request, reach, door, way_out).await
    } else {
        route(request, reach, door).await.unwrap_or_else(|refusal| refused(&refusal))
    };
    if door.is_draining() {
        // A kept connection ends with its next answer, not at once: it is how a load balancer learns of the drain.
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// What pages of other origins may ask for as well.
async fn for_pages(request: Request<Incoming>, reach: Reach, door: &Door, way_out: &WayOut) -> Answer {
    let page = match Page::of(&request, door) {
        Ok(page) => page,
        Err(refusal) => return refused(&refusal),
    };
    let answered = match polled_room(&request) {
        Some(room) => long_poll::respond(&request, room, door).await.map(|(answer, polling)| {
            if door.is_draining() {
                way_out.keep(polling);
            }
            answer
        }),
        None => match streams::respond(request, &page, reach, door).await {
            Ok(Outcome::Stream(stream)) => match way_out.leave(stream).await {},
            Ok(Outcome::Answer(answer)) => Ok(answer),
            Err(refusal) => Err(refusal),
        },
    };
    let mut answer = answered.unwrap_or_else(|refusal| refused(&refusal));
    page.may_read(&mut answer);
    answer
}

/// The room whose messages a request asks for.
fn polled_room(request: &Request<Incoming>) -> Option<&str> {
    let room = request.uri().path().strip_prefix(ROOMS_PREFIX)?.strip_suffix(long_poll::SUFFIX)?;
    (request.method() == Method::GET).then_some(room)
}

async fn route(request: Request<Incoming>, reach: Reach, door: &Door) -> Result<Answer, Refusal> {
    let path = request.uri().path().to_owned();
    let read = matches!(*request.method(), Method::GET | Method::HEAD);
    match path.as_str() {
        "/health/live" if read => Ok(text(StatusCode::OK, "live\n")),
        "/health/ready" if read => ready(door).await,
        "/metrics" if read => Ok(metrics(door).await),
        api::DESCRIPTION_PATH if read => Ok(api::description()),
        _ if api::is_method(&path) => Box::pin(api::serve(request, reach, door)).await,
        _ if path.starts_with(WS_PREFIX) => {
            Err(Refusal::new(426, "a WebSocket handshake is the first request of its connection"))
        }
        _ => match path.strip_prefix(ROOMS_PREFIX) {
            Some(room) if request.method() == Method::POST => publish(request, room, reach, door).await,
            Some(_) => Err(Refusal::new(405, "a room is published into with POST, joined at /ws/ROOM")),
            None if read => page::file(&path).ok_or_else(not_found),
            None => Err(not_found()),
        },
    }
}

fn not_found() -> Refusal {
    Refusal::new(
        404,
        "there are /, /ws/ROOM, /sse/ROOM, POST /rooms/ROOM, /rooms/ROOM/messages, /connection/websocket, \
         /connection/sse, /connection/http_stream, POST /emulation, POST /api/METHOD, /api/openapi.json, \
         /health/live, /health/ready, /metrics",
    )
}

/// `POST /rooms/ROOM`: the body is the payload.
async fn publish(request: Request<Incoming>, room: &str, reach: Reach, door: &Door) -> Result<Answer, Refusal> {
    permitted(&request, reach, door)?;
    let room = room_name(room)?;
    let kind = message_kind(request.headers().get(header::CONTENT_TYPE))?;
    let key = idempotency_key(&request)?;
    let limit = door.config.engine.limits.message_bytes_max;
    let payload = body(request, door, limit, "limits.message_bytes_max").await?;
    let publication = Publication::of(kind, payload);
    let _publishing = door.let_publish()?;
    match door.idempotency.publish(&door.engine, room, key.as_deref(), publication).await {
        Ok(published) => {
            let epoch = published.epoch.map(|epoch| format!(",\"epoch\":\"{epoch}\"")).unwrap_or_default();
            let body = format!("{{\"offset\":{},\"members\":{}{epoch}}}\n", published.offset, published.members);
            Ok(answer(StatusCode::OK, "application/json", body.into()))
        }
        Err(error @ Refused::OtherMessage) => Err(Refusal::new(422, error.to_string())),
        Err(Refused::Engine(error @ PublishError::TooLong { .. })) => Err(Refusal::new(413, error.to_string())),
        Err(Refused::Engine(error @ PublishError::NotUtf8 { .. })) => Err(Refusal::new(400, error.to_string())),
        Err(error) => Err(Refusal::new(503, error.to_string())),
    }
}

/// A request's body, whose length is bounded by the setting (or the constant) called `named`.
pub(crate) async fn body(request: Request<Incoming>, door: &Door, limit: usize, named: &str) -> Result<Bytes, Refusal> {
    let timeout = door.config.handshake.body_timeout;
    let body = tokio::time::timeout(timeout, Limited::new(request.into_body(), limit).collect()).await;
    match body {
        Err(_) => Err(Refusal::new(408, "the body did not come in time, see handshake.body_timeout")),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Refusal::new(413, format!("body too long, {named} is {limit}")))
        }
        Ok(Err(_)) => Err(Refusal::new(400, "the body ended early")),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

/// What a publisher says so that it may repeat a request whose answer it does not get.
fn idempotency_key(request: &Request<Incoming>) -> Result<Option<String>, Refusal> {
    let Some(key) = request.headers().get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()));
    let key = key.ok_or_else(|| {
        Refusal::new(400, format!("Idempotency-Key has 1 to {KEY_BYTES_MAX} visible characters of ASCII"))
    })?;
    Ok(Some(key.to_owned()))
}

/// Whether a request may publish: on loopback listeners every one that does not show a wrong key; elsewhere those that
/// show the right one. A web page of another origin may not, wherever it runs.
fn permitted(request: &Request<Incoming>, reach: Reach, door: &Door) -> Result<(), Refusal> {
    from_own_page(request, door)?;
    let field = |name: header::HeaderName| request.headers().get(name).map(HeaderValue::as_bytes);
    let shown = field(header::HeaderName::from_static("x-api-key"))
        .or_else(|| field(header::AUTHORIZATION)?.strip_prefix(b"Bearer "));
    key_permits(shown, reach, door).map_err(|reason| Refusal::new(403, reason))
}

/// Whether a request comes from no web page, or from one that may publish.
pub(super) fn from_own_page(request: &Request<Incoming>, door: &Door) -> Result<(), Refusal> {
    let field = |name: header::HeaderName| request.headers().get(name).map(HeaderValue::as_bytes);
    let origin = field(header::ORIGIN).map(String::from_utf8_lossy);
    let host = field(header::HOST).map(String::from_utf8_lossy);
    if door.config.allowed_origins.allows(origin.as_deref(), host.as_deref()) {
        return Ok(());
    }
    let refusal = Refusal::page(origin.as_deref().unwrap_or_default(), "publish");
    door.counts.refused(&refusal);
    Err(refusal)
}

/// Whether who shows this key may publish; the reason if not.
pub(super) fn key_permits(shown: Option<&[u8]>, reach: Reach, door: &Door) -> Result<(), &'static str> {
    match (&door.config.api_key, shown, reach) {
        (Some(key), Some(shown), _) if key.matches(shown) => Ok(()),
        (Some(_), Some(_), _) => Err("this is not the api_key"),
        (_, _, Reach::Loopback) => Ok(()),
        (Some(_), None, Reach::Network) => Err("publishing here needs the api_key (X-API-Key)"),
        (None, _, Reach::Network) => Err("publishing here needs an api_key, and none is set"),
    }
}

/// Text for text and JSON, binary for bytes; `curl -d` says `application/x-www-form-urlencoded` and means text.
fn message_kind(content_type: Option<&HeaderValue>) -> Result<MessageKind, Refusal> {
    let Some(content_type) = content_type else { return Ok(MessageKind::Text) };
    let value = String::from_utf8_lossy(content_type.as_bytes()).to_ascii_lowercase();
    let essence = value.split(';').next().unwrap_or_default().trim();
    match essence {
        "application/octet-stream" => Ok(MessageKind::Binary),
        "application/json" | "application/x-www-form-urlencoded" => Ok(MessageKind::Text),
        _ if essence.starts_with("text/") || essence.ends_with("+json") => Ok(MessageKind::Text),
        _ => Err(Refusal::new(415, "Content-Type is text/*, JSON or application/octet-stream")),
    }
}

/// Whether a publication goes through every shard and back.
async fn ready(door: &Door) -> Result<Answer, Refusal> {
    if door.is_draining() {
        return Err(Refusal::new(503, "draining"));
    }
    match tokio::time::timeout(SHARDS_TIME_MAX, door.engine.probe()).await {
        Ok(Ok(())) => Ok(text(StatusCode::OK, "ready\n")),
        Ok(Err(error)) => Err(Refusal::new(503, error.to_string())),
        Err(_) => Err(Refusal::new(503, "a shard did not answer within a second")),
    }
}

async fn metrics(door: &Door) -> Answer {
    let snapshots = tokio::time::timeout(SHARDS_TIME_MAX, door.engine.snapshots()).await.unwrap_or_default();
    answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics::text(door, &snapshots).into())
}

pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn text(status: StatusCode, body: &'static str) -> Answer {
    answer(status, "text/plain; charset=utf-8", Bytes::from_static(body.as_bytes()))
}

fn refused(refusal: &Refusal) -> Answer {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = answer(status, "text/plain; charset=utf-8", format!("{}\n", refusal.reason).into());
    let headers = answer.headers_mut();
    match refusal.status {
        426 => {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        401 => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("apikey"));
        }
        405 => {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        429 | 503 => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        _ => {}
    }
    answer
}

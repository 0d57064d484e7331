//! The server API, compatible with Centrifugo's: what an application's backend asks of this server.
//!
//! `POST /api/METHOD` with the parameters as a JSON object, or `POST /api` with lines of
//! `{"method":"…","params":{…}}`. The answer is `{"result":{…}}` or `{"error":{"code":…,"message":"…"}}` with status
//! 200; a request that is no call at all (no key, no JSON, too long) gets a status of its own. `openapi.json`
//! describes it.

mod batch;
mod call;
mod glob;
mod node;
mod publish;
mod rooms;
mod sessions;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode, header};
use percent_encoding::percent_decode_str;
use shardcast::protocol::centrifuge::Error;
use shardcast::protocol::json;

use self::call::Failure;
pub(crate) use self::node::Node;
use super::front_door::{Door, Reach};
use super::handshake::Refusal;
use super::http::{self, Answer, answer};
use super::query;

/// Where the API describes itself.
pub(crate) const DESCRIPTION_PATH: &str = "/api/openapi.json";

const DESCRIPTION: &str = include_str!("openapi.json");

const JSON: &str = "application/json";

/// Whether a path is the API's.
pub(crate) fn is_method(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// The description of the API, OpenAPI 3.1.
pub(crate) fn description() -> Answer {
    answer(StatusCode::OK, JSON, Bytes::from_static(DESCRIPTION.as_bytes()))
}

/// How a caller wants to be told of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorMode {
    /// In an answer with status 200.
    Envelope,
    /// By the answer's status.
    Status,
}

/// Answers one call.
pub(crate) async fn serve(request: Request<Incoming>, reach: Reach, door: &Door) -> Result<Answer, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::new(405, "the API is called with POST; GET /api/openapi.json describes it"));
    }
    http::from_own_page(&request, door)?;
    let permitted = http::key_permits(shown_key(&request)?.as_deref(), reach, door);
    permitted.map_err(|reason| Refusal::new(401, reason))?;
    let method = request.uri().path().strip_prefix("/api/").map(str::to_owned);
    let errors = error_mode(&request);
    let body = http::body(request, door, door.config.api.request_bytes_max, "api.request_bytes_max").await?;
    let _publishing = door.let_publish()?;
    respond(method.as_deref(), &body, errors, door).await
}

/// Answers a call whose body is there. Without a method, the body's lines name theirs.
async fn respond(method: Option<&str>, body: &[u8], errors: ErrorMode, door: &Door) -> Result<Answer, Refusal> {
    let body = std::str::from_utf8(body).map_err(|error| Refusal::new(400, format!("the body: {error}")))?;
    if !json::is_shallow(body.as_bytes()) {
        return Err(Refusal::new(400, format!("the body is nested deeper than {}", json::DEPTH_MAX)));
    }
    let Some(method) = method else {
        let replies = batch::lines(door, body).await.map_err(|failure| refusal(&failure))?;
        return Ok(answer(StatusCode::OK, JSON, replies.into()));
    };
    match call::perform(door, method, body).await {
        // Alone among the methods, it has no envelope.
        Ok(replies) if method == "batch" => Ok(answer(StatusCode::OK, JSON, replies.into())),
        Ok(result) => Ok(answer(StatusCode::OK, JSON, wrapped("result", &result).into())),
        Err(Failure::Error(error)) if errors == ErrorMode::Status => {
            Ok(answer(status_of(&error), JSON, call::error_json(&error).into()))
        }
        Err(Failure::Error(error)) => {
            Ok(answer(StatusCode::OK, JSON, wrapped("error", &call::error_json(&error)).into()))
        }
        Err(failure @ Failure::Malformed(_)) => Err(refusal(&failure)),
    }
}

/// For the fuzz targets.
#[cfg(fuzzing)]
pub(super) async fn call(method: Option<&str>, body: &[u8], door: &Door) -> Result<Answer, Refusal> {
    respond(method, body, ErrorMode::Envelope, door).await
}

fn refusal(failure: &Failure) -> Refusal {
    Refusal::new(400, failure.to_string())
}

/// The key that a request shows: `X-API-Key`, else `Authorization`, else in its query.
fn shown_key(request: &Request<Incoming>) -> Result<Option<Vec<u8>>, Refusal> {
    let field = |name: &str| request.headers().get(name).map(header::HeaderValue::as_bytes);
    if let Some(key) = field("x-api-key") {
        return Ok(Some(key.to_vec()));
    }
    if let Some(value) = field("authorization") {
        let (scheme, key) = value.split_at(value.iter().position(|byte| *byte == b' ').map_or(0, |blank| blank + 1));
        let known = [&b"apikey "[..], b"bearer "].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        // Whatever else stands there was meant as a key, and is a wrong one.
        return Ok(Some(if known { key.to_vec() } else { Vec::new() }));
    }
    let Some(key) = query::value(request.uri().query().unwrap_or_default(), "api_key") else { return Ok(None) };
    Ok(Some(percent_decode_str(key).collect()))
}

fn error_mode(request: &Request<Incoming>) -> ErrorMode {
    let asked = request.headers().get("x-centrifugo-error-mode").is_some_and(|mode| mode == "transport");
    if asked { ErrorMode::Status } else { ErrorMode::Envelope }
}

fn status_of(error: &Error) -> StatusCode {
    match error.code {
        100 => StatusCode::INTERNAL_SERVER_ERROR,
        102 | 104 => StatusCode::NOT_FOUND,
        112 => StatusCode::RANGE_NOT_SATISFIABLE,
        113 => StatusCode::CONFLICT,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// `{"key":value}`; `key` needs no escapes.
fn wrapped(key: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + key.len() + 5);
    let mut object = json::Object::open(&mut out);
    object.key(key).extend_from_slice(value);
    object.close();
    out
}

//! From a target to an open WebSocket: connect, ask for the upgrade, check the answer.
//!
//! Frames are fastwebsockets' business; the handshake is not, because its own neither checks `Sec-WebSocket-Accept` nor
//! says what the server answered instead.

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sha1::{Digest as _, Sha1};
use shardcast::protocol::v1;
use std::time::Duration;

use super::target::Target;

/// How long a server may take from the connection to the answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);
/// How much of an explanation is read, bytes.
const EXPLANATION_BYTES_MAX: usize = 4 << 10;
/// What every client and server appends to the key (RFC 6455 §1.3).
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum HandshakeError {
    /// Nobody answers there, or the connection broke: it may work later.
    #[error("{0}")]
    Unreachable(String),
    /// The server is there and cannot just now (429, 5xx): it may work later.
    #[error("the server answered {0}")]
    Busy(String),
    /// The server refuses, or is no WebSocket server: the same again will not help.
    #[error("the server answered {0}")]
    Refused(String),
}

/// What the messages of a connection look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Payloads, and nothing else.
    Raw,
    /// The subprotocol `shardcast.v1`: each message tells its position.
    V1,
}

impl Dialect {
    /// The name that client and server agree on.
    fn subprotocol(self) -> Option<&'static str> {
        match self {
            Self::Raw => None,
            Self::V1 => Some(v1::SUBPROTOCOL),
        }
    }
}

/// Opens the room's WebSocket.
pub(super) async fn open(target: &Target, path: &str, dialect: Dialect) -> Result<TokioIo<Upgraded>, HandshakeError> {
    let stream = target.dial().await.map_err(unreachable)?;
    tokio::time::timeout(ANSWER_TIME_MAX, upgrade(target, path, dialect, stream))
        .await
        .map_err(|_| HandshakeError::Unreachable("no answer to the handshake in 15 s".to_owned()))?
}

async fn upgrade(
    target: &Target,
    path: &str,
    dialect: Dialect,
    stream: tokio::net::TcpStream,
) -> Result<TokioIo<Upgraded>, HandshakeError> {
    let (mut requests, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
    // It ends by itself: with the upgrade, or when `requests` is dropped. Its error is the request's error too.
    tokio::spawn(async move { drop(connection.with_upgrades().await) });
    let key = fastwebsockets::handshake::generate_key();
    let mut request = Request::get(path)
        .header(header::HOST, &target.authority)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key);
    if let Some(subprotocol) = dialect.subprotocol() {
        request = request.header(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| HandshakeError::Refused(error.to_string()))?;
    let mut response = requests.send_request(request).await.map_err(unreachable)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refusal(response).await);
    }
    if !is_upgrade(&response, &key) {
        return Err(HandshakeError::Refused("101 without a correct WebSocket handshake".to_owned()));
    }
    let chosen = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
    if let Some(wanted) = dialect.subprotocol().filter(|wanted| chosen.is_none_or(|chosen| chosen != wanted)) {
        let why = format!("101 without the subprotocol {wanted}: it cannot tell positions");
        return Err(HandshakeError::Refused(why));
    }
    let upgraded = hyper::upgrade::on(&mut response).await.map_err(unreachable)?;
    Ok(TokioIo::new(upgraded))
}

/// How this client calls itself.
pub(super) const USER_AGENT: &str = concat!("shardcast/", env!("CARGO_PKG_VERSION"));

fn unreachable(error: impl Into<anyhow::Error>) -> HandshakeError {
    HandshakeError::Unreachable(format!("{:#}", error.into()))
}

async fn refusal(response: Response<Incoming>) -> HandshakeError {
    let status = response.status();
    let explained = explained(response).await;
    match status.as_u16() {
        408 | 425 | 429 | 500..=599 => HandshakeError::Busy(explained),
        _ => HandshakeError::Refused(explained),
    }
}

/// The status and what the body says about it, on one line fit for a terminal.
pub(super) async fn explained(response: Response<Incoming>) -> String {
    let status = response.status();
    let body = Limited::new(response.into_body(), EXPLANATION_BYTES_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    match super::message::one_line(&String::from_utf8_lossy(&body)) {
        reason if reason.is_empty() => status.to_string(),
        reason => format!("{status}: {reason}"),
    }
}

fn is_upgrade(response: &Response<Incoming>, key: &str) -> bool {
    let has = |name: HeaderName, token: &str| {
        let values = response.headers().get_all(name);
        let mut tokens = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        tokens.any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
    has(header::UPGRADE, "websocket")
        && has(header::CONNECTION, "upgrade")
        && accept.is_some_and(|accept| accept.as_bytes() == accept_of(key).as_bytes())
}

fn accept_of(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
    base64::engine::general_purpose::STANDARD.encode(digest)
}

#[cfg(test)]
mod tests {
    #[test]
    fn accept_of_the_rfc() {
        assert_eq!(super::accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}

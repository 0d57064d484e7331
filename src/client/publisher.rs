//! Publications over HTTP: one request after the other on a connection that is kept.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::handshake::{USER_AGENT, explained};
use super::target::{Target, TargetError};

/// How long the server may take to answer for one publication.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);
/// How much of a positive answer is read, bytes.
const RECEIPT_BYTES_MAX: usize = 4 << 10;

/// Two requests with the same value are one publication, to a server that knows the field.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What the server, or the lack of one, says to a publication.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is in the room; the server's words.
    Accepted(String),
    /// Not this one: too big, or not acceptable in itself.
    Refused(String),
    /// Not this one and no other: no permission, no such room.
    RefusedAll(String),
    /// No answer, or "not now".
    Unavailable {
        /// Why.
        why: String,
        /// How long the server asks to wait.
        wait: Option<Duration>,
    },
}

/// Which frame members get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text.
    Text,
    /// Binary.
    Binary,
}

/// Publishes into one room.
pub(super) struct Publisher {
    target: Target,
    path: String,
    content_type: &'static str,
    authorization: Option<HeaderValue>,
    connection: Option<Connection>,
}

/// A kept connection; dropped, it is closed.
struct Connection {
    requests: SendRequest<Full<Bytes>>,
    _task: JoinSet<()>,
}

impl Publisher {
    /// Into the room at `target`; does not connect yet. `api_key` has to be fit for a header.
    pub(super) fn new(target: Target, kind: Kind, api_key: Option<HeaderValue>) -> Result<Self, TargetError> {
        let path = target.publish_path()?.to_owned();
        let content_type = match kind {
            Kind::Text => "text/plain; charset=utf-8",
            Kind::Binary => "application/octet-stream",
        };
        Ok(Self { target, path, content_type, authorization: api_key, connection: None })
    }

    /// One try; every try of one publication has the same `key`, which has to be fit for a header.
    pub(super) async fn publish(&mut self, key: &str, payload: Bytes) -> Answer {
        match tokio::time::timeout(ANSWER_TIME_MAX, self.exchange(key, payload)).await {
            Ok(Ok(answer)) => answer,
            failed => {
                self.connection = None;
                let why = match failed {
                    Ok(Err(error)) => format!("{error:#}"),
                    _ => "no answer in 15 s".to_owned(),
                };
                Answer::Unavailable { why, wait: None }
            }
        }
    }

    async fn exchange(&mut self, key: &str, payload: Bytes) -> anyhow::Result<Answer> {
        loop {
            let kept = self.connection.take();
            let reused = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            // The server may have closed an idle connection, which is no failure worth a word: nothing was sent.
            if connection.requests.ready().await.is_err() && reused {
                continue;
            }
            let request = self.request(key, payload.clone())?;
            let response = match connection.requests.try_send_request(request).await {
                Ok(response) => response,
                Err(mut error) => {
                    if error.take_message().is_some() && reused {
                        continue;
                    }
                    return Err(error.into_error().into());
                }
            };
            let answer = answer(response).await?;
            self.connection = Some(connection);
            return Ok(answer);
        }
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = self.target.dial().await?;
        let (requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut task = JoinSet::new();
        // Its error is the request's error too.
        task.spawn(async move { drop(connection.await) });
        Ok(Connection { requests, _task: task })
    }

    fn request(&self, key: &str, payload: Bytes) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut request = Request::post(&self.path)
            .header(header::HOST, &self.target.authority)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONTENT_TYPE, self.content_type)
            .header(IDEMPOTENCY_KEY, key);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        request.body(Full::new(payload))
    }
}

async fn answer(response: Response<Incoming>) -> anyhow::Result<Answer> {
    let status = response.status();
    if status.is_success() {
        let body = Limited::new(response.into_body(), RECEIPT_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?.to_bytes();
        return Ok(Answer::Accepted(super::message::one_line(&String::from_utf8_lossy(&body))));
    }
    let wait = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let why = explained(response).await;
    Ok(match status.as_u16() {
        400 | 413 | 415 | 422 => Answer::Refused(why),
        408 | 425 | 429 | 500..=599 => Answer::Unavailable { why, wait: wait.map(Duration::from_secs) },
        _ => Answer::RefusedAll(why),
    })
}

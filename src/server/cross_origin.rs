//! Web pages of other origins (the Fetch standard, §3.2): which may ask, and what their browser has to be told.

use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};

use super::front_door::Door;
use super::handshake::Refusal;
use super::http::{Answer, answer};

/// How long a browser may remember what it may ask, seconds.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("300");

/// The page that asks, if it is one: of an origin that may.
#[derive(Clone, Debug)]
pub(crate) struct Page(Option<HeaderValue>);

impl Page {
    /// Who asks. Refused: a page that `allowed_origins` does not list, or more than one.
    pub(crate) fn of<B>(request: &Request<B>, door: &Door) -> Result<Self, Refusal> {
        let mut origins = request.headers().get_all(header::ORIGIN).iter();
        let origin = origins.next();
        if origins.next().is_some() {
            return Err(Refusal::new(400, "Origin stands more than once"));
        }
        let shown = origin.map(|origin| String::from_utf8_lossy(origin.as_bytes()));
        if !door.config.allowed_origins.allows(shown.as_deref(), host(request).as_deref()) {
            let refusal = Refusal::page(shown.as_deref().unwrap_or_default(), "connect");
            door.counts.refused(&refusal);
            return Err(refusal);
        }
        Ok(Self(origin.cloned()))
    }

    /// The origin as text.
    pub(crate) fn origin(&self) -> Option<&str> {
        self.0.as_ref().and_then(|origin| origin.to_str().ok())
    }

    /// Lets the page read an answer.
    pub(crate) fn may_read(self, answer: &mut Answer) {
        let Some(origin) = self.0 else { return };
        let headers = answer.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
    }
}

/// The answer to a browser that asks whether a page may send its request.
pub(crate) fn preflight<B>(request: &Request<B>, methods: &'static str) -> Answer {
    let mut answer = answer(StatusCode::NO_CONTENT, "text/plain; charset=utf-8", Bytes::new());
    let headers = answer.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.insert(header::ALLOW, HeaderValue::from_static(methods));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
    if let Some(fields) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, fields.clone());
    }
    answer
}

/// The authority that a request is for: its target's, else the `Host` field (RFC 9112 §3.2.2).
fn host<B>(request: &Request<B>) -> Option<String> {
    let text = |name: HeaderName| request.headers().get(name).map(|it| String::from_utf8_lossy(it.as_bytes()).into());
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    authority.or_else(|| text(header::HOST))
}

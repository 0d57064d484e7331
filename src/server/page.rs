//! The console at `/`: a page and its modules, built in. `page/page.js` is where to begin to read them.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};

use super::http::{Answer, answer};

/// The page loads nothing from elsewhere and talks to its own server only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The file at `path`, if the page has one there.
pub(crate) fn file(path: &str) -> Option<Answer> {
    let (content_type, body) = match path {
        "/" => (HTML, include_str!("page/index.html")),
        "/page.css" => (CSS, include_str!("page/page.css")),
        "/page.js" => (SCRIPT, include_str!("page/page.js")),
        "/backoff.js" => (SCRIPT, include_str!("page/backoff.js")),
        "/centrifuge.js" => (SCRIPT, include_str!("page/centrifuge.js")),
        "/messages.js" => (SCRIPT, include_str!("page/messages.js")),
        "/room.js" => (SCRIPT, include_str!("page/room.js")),
        "/ways.js" => (SCRIPT, include_str!("page/ways.js")),
        _ => return None,
    };
    let mut answer = answer(StatusCode::OK, content_type, Bytes::from_static(body.as_bytes()));
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Some(answer)
}

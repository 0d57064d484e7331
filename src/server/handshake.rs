//! The opening handshake of RFC 6455 §4.2, server side: from a request's head to a room, or to a refusal.
//!
//! Pure: bytes in, verdict out. Stricter than fastwebsockets' upgrade, which neither checks the version list, the key's
//! length nor repeated fields, and cheaper: no HTTP connection is built for a socket that leaves HTTP at once.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::percent_decode_str;
use sha1::{Digest as _, Sha1};
use shardcast::engine::room::RoomName;
use shardcast::engine::settings::Echo;
use shardcast::engine::{Encoding, Identity, Membership, Purpose, SessionTerms, Transport};
use shardcast::protocol::deflate::{Agreed, WindowBits, negotiate};
use shardcast::protocol::v1;

use super::front_door::Reach;
use super::query;
use super::refused::Why;
use crate::server::config::AllowedOrigins;

/// What a path of raw rooms begins with.
pub(crate) const WS_PREFIX: &str = "/ws/";

/// Where sessions connect by WebSocket.
pub(crate) const SESSION_PATH: &str = "/connection/websocket";

/// What a request's head turned out to be.
#[derive(Debug)]
pub(crate) enum Head {
    /// More bytes are needed.
    Partial,
    /// Not for a room: the HTTP server's.
    Http,
    /// A client that becomes a member once it has the answer.
    Accepted(Accepted),
    /// To be answered with this, and closed.
    Refused(Refusal),
}

/// A good handshake.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) purpose: Purpose,
    pub(crate) deflate: Option<Agreed>,
    pub(crate) answer: Vec<u8>,
    /// Where the head ends.
    pub(crate) len_bytes: usize,
}

/// Why a request is refused: a status, fields that belong to it, and a line that says what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) reason: Cow<'static, str>,
    /// What it counts as.
    pub(crate) why: Why,
}

impl Refusal {
    pub(crate) fn new(status: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { status, reason: reason.into(), why: Why::Handshake }
    }

    /// A page that may not do that.
    pub(crate) fn page(origin: &str, what: &str) -> Self {
        let reason = format!("Origin {origin} may not {what}: allowed_origins does not list it");
        Self { why: Why::Origin, ..Self::new(403, reason) }
    }

    /// The whole answer; the connection ends with it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let phrase = hyper::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        let fields = match self.status {
            426 => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            405 => "Allow: GET\r\n",
            503 | 429 => "Retry-After: 2\r\n",
            _ => "",
        };
        format!(
            "HTTP/1.1 {} {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\
             {fields}\r\n{}\n",
            self.status,
            phrase.unwrap_or_default(),
            self.reason.len() + 1,
            self.reason
        )
        .into_bytes()
    }
}

/// The bounds of a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    pub(crate) bytes_max: usize,
    pub(crate) fields_max: usize,
}

/// What a handshake is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'t> {
    pub(crate) limits: HeadLimits,
    pub(crate) origins: &'t AllowedOrigins,
    /// The window that frames are compressed with; `None`: compression is not agreed to.
    pub(crate) deflate: Option<WindowBits>,
    pub(crate) reach: Reach,
}

/// Fields that a head may have in any case: more are refused by `httparse`'s own bound.
const FIELDS_ON_STACK: usize = 256;

/// Judges what has arrived of a request's head.
pub(crate) fn judge(bytes: &[u8], terms: Terms<'_>) -> Head {
    let limits = terms.limits;
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_ON_STACK];
    let fields_max = limits.fields_max.min(FIELDS_ON_STACK);
    let mut request = httparse::Request::new(&mut fields[..fields_max]);
    let len_bytes = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len_bytes)) if len_bytes <= limits.bytes_max => len_bytes,
        Ok(httparse::Status::Partial) if bytes.len() < limits.bytes_max => return Head::Partial,
        Ok(_) => {
            let limit = limits.bytes_max;
            return Head::Refused(Refusal::new(431, format!("head too long, handshake.header_bytes_max is {limit}")));
        }
        Err(httparse::Error::TooManyHeaders) => {
            let reason = format!("too many header fields, handshake.header_fields_max is {fields_max}");
            return Head::Refused(Refusal::new(431, reason));
        }
        Err(error) => return Head::Refused(Refusal::new(400, format!("not an HTTP request: {error}"))),
    };
    let (authority, target) = split_target(request.path.unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    if !path.starts_with(WS_PREFIX) && path != SESSION_PATH {
        return Head::Http;
    }
    match accept(&request, (authority, target), terms) {
        Ok((purpose, deflate, answer)) => Head::Accepted(Accepted { purpose, deflate, answer, len_bytes }),
        Err(refusal) => Head::Refused(refusal),
    }
}

/// Authority, if it names one, and path with query of a request's target (RFC 9112 §3.2: origin-form or absolute-form).
fn split_target(target: &str) -> (Option<&str>, &str) {
    for scheme in ["http://", "https://"] {
        if let Some((start, rest)) = target.split_at_checked(scheme.len())
            && start.eq_ignore_ascii_case(scheme)
        {
            let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            return (Some(authority), target);
        }
    }
    (None, target)
}

fn accept(
    request: &httparse::Request<'_, '_>,
    (authority, target): (Option<&str>, &str),
    terms: Terms<'_>,
) -> Result<(Purpose, Option<Agreed>, Vec<u8>), Refusal> {
    if request.method != Some("GET") {
        return Err(Refusal::new(405, "a room is joined with GET and published into with POST /rooms/ROOM"));
    }
    if request.version != Some(1) {
        return Err(Refusal::new(400, "a WebSocket handshake is HTTP/1.1"));
    }
    let fields = Fields(request.headers);
    let host = fields.only("Host")?.ok_or_else(|| Refusal::new(400, "Host is missing"))?;
    // An authority in the target takes the field's place (RFC 9112 §3.2.2).
    let host = authority.unwrap_or(host);
    if host.is_empty() {
        return Err(Refusal::new(400, "Host is empty"));
    }
    if fields.only("Content-Length")?.is_some_and(|length| length != "0") || fields.has("Transfer-Encoding") {
        return Err(Refusal::new(400, "a WebSocket handshake has no body"));
    }
    if !fields.has_token("Upgrade", "websocket")? {
        return Err(Refusal::new(426, "this is a room: connect with a WebSocket client"));
    }
    if !fields.has_token("Connection", "upgrade")? {
        return Err(Refusal::new(400, "Connection does not say upgrade (a proxy may have removed it)"));
    }
    if fields.only("Sec-WebSocket-Version")? != Some("13") {
        return Err(Refusal::new(426, "Sec-WebSocket-Version is not 13"));
    }
    let key = fields.only("Sec-WebSocket-Key")?.ok_or_else(|| Refusal::new(400, "Sec-WebSocket-Key is missing"))?;
    if BASE64.decode(key).map_or(true, |nonce| nonce.len() != 16) {
        return Err(Refusal::new(400, "Sec-WebSocket-Key is not 16 bytes in base64"));
    }
    let origin = fields.only("Origin")?;
    if !terms.origins.allows(origin, Some(host)) {
        return Err(Refusal::page(origin.unwrap_or_default(), "connect"));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (purpose, protocol) = match path.strip_prefix(WS_PREFIX) {
        Some(room) => member(room, query, &fields, terms.reach)?,
        None => session(query, &fields, terms.reach)?,
    };
    let deflate = terms.deflate.and_then(|window| negotiate(fields.texts("Sec-WebSocket-Extensions"), window));
    Ok((purpose, deflate, answer(key, protocol, deflate)))
}

/// A member of one room, and the subprotocol that it speaks.
fn member(
    room: &str,
    query: &str,
    fields: &Fields<'_>,
    reach: Reach,
) -> Result<(Purpose, Option<&'static str>), Refusal> {
    let room = room_name(room)?;
    let speaks_v1 = fields.has_token("Sec-WebSocket-Protocol", v1::SUBPROTOCOL)?;
    let (encoding, protocol) = if speaks_v1 { (Encoding::V1, Some(v1::SUBPROTOCOL)) } else { (Encoding::Raw, None) };
    let (start, echo, identity) = (query::start(query)?, echo(query)?, identity(query, reach)?);
    let membership = Membership { room, encoding, start, echo, identity };
    Ok((membership.into(), protocol))
}

/// A session, and the subprotocol that it speaks. Stock clients ask for none when they speak JSON.
fn session(query: &str, fields: &Fields<'_>, reach: Reach) -> Result<(Purpose, Option<&'static str>), Refusal> {
    const JSON: &str = "centrifuge-json";
    let protocol = fields.has_token("Sec-WebSocket-Protocol", JSON)?.then_some(JSON);
    let offers_others = fields.has("Sec-WebSocket-Protocol") && protocol.is_none();
    let asks_protobuf = ["format", "cf_protocol"].iter().any(|name| query::value(query, name) == Some("protobuf"));
    if offers_others || asks_protobuf {
        return Err(Refusal::new(400, "sessions speak centrifuge-json only"));
    }
    let (transport, identity) = (Transport::WebSocket, identity(query, reach)?);
    Ok((SessionTerms { transport, identity, commands: Vec::new() }.into(), protocol))
}

/// Who a client is. Until it has to prove it, it may call itself something on loopback listeners only: `name=NAME`.
pub(crate) fn identity(query: &str, reach: Reach) -> Result<Identity, Refusal> {
    const NAME_BYTES_MAX: usize = 64;
    let Some(name) = query::decoded(query, "name")?.filter(|_| reach == Reach::Loopback) else {
        return Ok(Identity::default());
    };
    if RoomName::new(&name).is_err() || name.len() > NAME_BYTES_MAX {
        let reason = format!("name has 1 to {NAME_BYTES_MAX} bytes of a room name's alphabet");
        return Err(Refusal::new(400, reason));
    }
    Ok(Identity { user: name.into(), info: None })
}

/// The room that a path segment names.
pub(crate) fn room_name(segment: &str) -> Result<RoomName, Refusal> {
    let decoded = percent_decode_str(segment).decode_utf8();
    let decoded = decoded.map_err(|_| Refusal::new(400, "the room's name is not UTF-8"))?;
    RoomName::new(&decoded).map_err(|error| Refusal::new(400, error.to_string()))
}

/// `echo=0`: the client's own messages do not come back to it. Unknown parameters are a client's own business.
fn echo(query: &str) -> Result<Echo, Refusal> {
    match query::value(query, "echo") {
        None | Some("1" | "true") => Ok(Echo::On),
        Some("0" | "false") => Ok(Echo::Off),
        Some(_) => Err(Refusal::new(400, "echo is 0 or 1")),
    }
}

fn answer(key: &str, protocol: Option<&str>, deflate: Option<Agreed>) -> Vec<u8> {
    /// RFC 6455 §1.3.
    const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest = Sha1::new_with_prefix(key.as_bytes()).chain_update(GUID.as_bytes()).finalize();
    let mut answer = Vec::with_capacity(129);
    answer.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    answer.extend_from_slice(BASE64.encode(digest).as_bytes());
    if let Some(protocol) = protocol {
        answer.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        answer.extend_from_slice(protocol.as_bytes());
    }
    if let Some(agreed) = deflate {
        answer.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
        answer.extend_from_slice(agreed.answer().as_bytes());
    }
    answer.extend_from_slice(b"\r\n\r\n");
    answer
}

/// A request's header fields.
struct Fields<'f>(&'f [httparse::Header<'f>]);

impl<'f> Fields<'f> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'f [u8]> {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// The values of a list field, line by line, those that are text.
    fn texts(&self, name: &'static str) -> impl Iterator<Item = &'f str> {
        self.all(name).filter_map(|value| std::str::from_utf8(value).ok())
    }

    fn has(&self, name: &'static str) -> bool {
        self.all(name).next().is_some()
    }

    /// The value of a field that may stand once.
    fn only(&self, name: &'static str) -> Result<Option<&'f str>, Refusal> {
        let mut values = self.all(name);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Refusal::new(400, format!("{name} stands more than once")));
        }
        text(name, value).map(Some)
    }

    /// Whether a list field contains `token`, in any of its lines.
    fn has_token(&self, name: &'static str, token: &str) -> Result<bool, Refusal> {
        for value in self.all(name) {
            if text(name, value)?.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn text<'v>(name: &str, value: &'v [u8]) -> Result<&'v str, Refusal> {
    let text = std::str::from_utf8(value).map_err(|_| Refusal::new(400, format!("{name} is not text")))?;
    Ok(text.trim_matches([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes_max: 8 << 10, fields_max: 64 };
    const GOOD: &str = "GET /ws/chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn judged(request: &str) -> Head {
        let origins = AllowedOrigins::Listed(Vec::new());
        judge(request.as_bytes(), Terms { limits: LIMITS, origins: &origins, deflate: None, reach: Reach::Loopback })
    }

    fn status(request: &str) -> u16 {
        match judged(request) {
            Head::Refused(refusal) => refusal.status,
            Head::Accepted(_) => 101,
            Head::Http => 0,
            Head::Partial => 1,
        }
    }

    #[test]
    fn the_example_of_the_rfc() {
        let Head::Accepted(Accepted { purpose, deflate: None, answer, len_bytes }) = judged(&format!("{GOOD}rest"))
        else {
            panic!("refused")
        };
        let Purpose::Member(membership) = purpose else { panic!("not a member") };
        assert_eq!((membership.room.as_str(), membership.echo, len_bytes), ("chat", Echo::On, GOOD.len()));
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"), "{answer}");
    }

    #[test]
    fn every_bad_handshake_has_its_status() {
        let with = |from: &str, to: &str| status(&GOOD.replace(from, to));
        assert_eq!(with("GET", "POST"), 405);
        assert_eq!(with("HTTP/1.1", "HTTP/1.0"), 400);
        assert_eq!(with("Host: example.com\r\n", ""), 400);
        assert_eq!(with("Host: example.com", "Host:"), 400);
        assert_eq!(with("Host: example.com", "Host: a\r\nHost: b"), 400);
        assert_eq!(with("Upgrade: websocket\r\n", ""), 426);
        assert_eq!(with("Upgrade: websocket", "Upgrade: h2c"), 426);
        assert_eq!(with("Upgrade: websocket", "Upgrade: h2c, WebSocket"), 101);
        assert_eq!(with("Connection: Upgrade", "Connection: keep-alive"), 400);
        assert_eq!(with("Connection: Upgrade", "Connection: keep-alive, upgrade"), 101);
        assert_eq!(with("Version: 13", "Version: 8"), 426);
        assert_eq!(with("Sec-WebSocket-Version: 13\r\n", ""), 426);
        assert_eq!(with("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 13"), 400);
        assert_eq!(with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"), 400);
        assert_eq!(with("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400);
        assert_eq!(with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400);
        assert_eq!(with("Host:", "Content-Length: 5\r\nHost:"), 400);
        assert_eq!(with("Host:", "Content-Length: 0\r\nHost:"), 101);
        assert_eq!(with("Host:", "Transfer-Encoding: chunked\r\nHost:"), 400);
        assert_eq!(with("/ws/chat", "/ws/"), 400);
        assert_eq!(with("/ws/chat", "/ws/a/b"), 400);
        assert_eq!(with("/ws/chat", "/ws/a%2Fb"), 400);
        assert_eq!(with("/ws/chat", "/ws/%ff"), 400);
        assert_eq!(with("/ws/chat", "/ws/a%3Ab"), 101);
        assert_eq!(with("/ws/chat", "/ws/chat?echo=2"), 400);
        assert_eq!(with("/ws/chat", "/ws/chat?x=1&echo=0"), 101);
        assert_eq!(with("/ws/chat", "/ws/chat?since=1f:7"), 101);
        assert_eq!(with("/ws/chat", "/ws/chat?since=1f%3A7"), 101);
        assert_eq!(with("/ws/chat", "/ws/chat?last=7"), 101);
        assert_eq!(with("/ws/chat", "/ws/chat?since=7"), 400);
        assert_eq!(with("/ws/chat", "/ws/chat?last=-1"), 400);
        assert_eq!(with("/ws/chat", "/ws/chat?since=1f:7&last=7"), 400);
        assert_eq!(with("/ws/chat", "/rooms/chat"), 0);
        assert_eq!(with("/ws/chat", "http://example.com/ws/chat"), 101);
        assert_eq!(with("/ws/chat", "HTTPS://example.com:443/ws/chat?echo=0"), 101);
        assert_eq!(with("/ws/chat", "http:///ws/chat"), 400);
        assert_eq!(with("/ws/chat", "http://example.com"), 0);
        assert_eq!(with("/ws/chat", "ftp://example.com/ws/chat"), 0);
        assert_eq!(with("Host:", "Bad Field: x\r\nHost:"), 400);
        assert_eq!(status("\x16\x03\x01"), 400);
        assert_eq!(status("GET /ws/chat HTTP/1.1\r\nHost: x\r\n"), 1);
    }

    #[test]
    fn compression_is_agreed_to_where_it_is_on_and_offered() {
        let agreed = |field: &str, deflate: Option<WindowBits>| {
            let request = GOOD.replace("Host:", &format!("{field}Host:"));
            let origins = AllowedOrigins::Listed(Vec::new());
            match judge(
                request.as_bytes(),
                Terms { limits: LIMITS, origins: &origins, deflate, reach: Reach::Loopback },
            ) {
                Head::Accepted(Accepted { answer, deflate, .. }) => {
                    let answer = String::from_utf8(answer).unwrap();
                    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
                    let line = answer.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
                    assert_eq!(line.map(str::to_owned), deflate.map(|agreed| agreed.answer()));
                    deflate.is_some()
                }
                other => panic!("{other:?}"),
            }
        };
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
        let on = Some(WindowBits::MAX);
        assert!(agreed(offer, on));
        assert!(agreed(&format!("Sec-WebSocket-Extensions: x-other\r\nsec-websocket-extensions{}", &offer[24..]), on));
        assert!(!agreed(offer, None));
        assert!(!agreed("", on));
        assert!(!agreed("Sec-WebSocket-Extensions: permessage-deflate; unknown\r\n", on));
    }

    #[test]
    fn origins() {
        let with = |origin: &str| status(&GOOD.replace("Host:", &format!("{origin}\r\nHost:")));
        assert_eq!(with("Origin: http://example.com"), 101);
        assert_eq!(with("Origin: https://example.com"), 101, "a proxy may end TLS");
        for origin in ["http://evil.com", "null", "http://example.com.evil.com", "http://example.com:8081", ""] {
            assert_eq!(with(&format!("Origin: {origin}")), 403, "{origin}");
        }
        assert_eq!(with("Origin: http://example.com\r\nOrigin: http://example.com"), 400);
        let absolute = GOOD.replace("/ws/chat", "http://other.com/ws/chat");
        let with = |origin: &str| status(&absolute.replace("Host:", &format!("Origin: {origin}\r\nHost:")));
        assert_eq!(with("http://other.com"), 101, "the target's authority counts");
        assert_eq!(with("http://example.com"), 403, "the Host field does not");
    }

    #[test]
    fn bounds() {
        let fields = |count: usize| GOOD.replace("Host:", &format!("{}Host:", "A: b\r\n".repeat(count)));
        assert_eq!(status(&fields(59)), 101);
        assert_eq!(status(&fields(60)), 431);
        let long = GOOD.replace("Host:", &format!("A: {}\r\nHost:", "b".repeat(8 << 10)));
        assert_eq!(status(&long), 431);
        assert_eq!(status(&long[..8 << 10]), 431, "judged before the end has come");
        assert_eq!(status(&long[..(8 << 10) - 1]), 1);
    }

    #[test]
    fn refusals_are_whole_answers() {
        let bytes = Refusal::new(426, "x").to_bytes();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{text}");
        assert!(text.contains("\r\nSec-WebSocket-Version: 13\r\n") && text.contains("Content-Length: 2\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\nx\n"), "{text}");
    }
}

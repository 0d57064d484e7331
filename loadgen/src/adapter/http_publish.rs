//! Publishing over HTTP: one `POST` per publication, its body by dialect.

use std::borrow::Cow;

use serde::Deserialize;

use super::dialect::Language;
use super::envelope::Envelope;
use super::signature::{hmac_sha256_hex, md5_hex};
use super::{excerpt, json};
use crate::scenario::Format;

/// How the publications of one room are posted.
#[derive(Clone, Debug)]
pub struct HttpPublish {
    url: String,
    headers: Vec<(String, String)>,
    room: Box<str>,
    format: Format,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    Payload,
    Template(Envelope),
    /// `POST …/api/publish` of centrifugo.
    Centrifuge,
    /// `POST …/events` of the Pusher API.
    Pusher(Option<Signer>),
}

#[derive(Clone, Debug)]
struct Signer {
    key: String,
    secret: String,
}

/// Of centrifugo, which answers 200 whatever happened.
#[derive(Deserialize)]
struct Answer {
    error: Option<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    message: String,
}

impl HttpPublish {
    /// The method of every publication.
    pub const METHOD: &'static str = "POST";

    pub(super) fn new(
        (url, headers): (String, &[(String, String)]),
        language: &Language,
        room: &str,
        format: Format,
    ) -> Self {
        let path = url.split('?').next().unwrap_or(&url);
        let body = match language {
            Language::Centrifuge if path.ends_with("/api/publish") => Body::Centrifuge,
            Language::Pusher(settings) if path.ends_with("/events") => {
                let secret = settings.secret.clone();
                Body::Pusher(secret.map(|secret| Signer { key: settings.key.clone(), secret }))
            }
            Language::Template(templates) => templates.envelope(room).map_or(Body::Payload, Body::Template),
            _ => Body::Payload,
        };
        let content_type = match (&body, format) {
            (Body::Centrifuge | Body::Pusher(_), _) | (_, Format::Json) => "application/json",
            (_, Format::Text) => "text/plain; charset=utf-8",
            (_, Format::Binary) => "application/octet-stream",
        };
        let mut headers = headers.to_vec();
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("Content-Type".to_owned(), content_type.to_owned()));
        }
        Self { url, headers, room: room.into(), format, body }
    }

    /// Where `body` goes: the same for all, unless the body is signed in the query.
    #[must_use]
    pub fn url(&self, body: &[u8]) -> Cow<'_, str> {
        match &self.body {
            Body::Pusher(Some(signer)) => {
                Cow::Owned(signer.signed(&self.url, body, jiff::Timestamp::now().as_second()))
            }
            _ => Cow::Borrowed(&self.url),
        }
    }

    /// Headers of every publication, its content type among them, its length not.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Encodes a publication's body into `out` (cleared first).
    pub fn body(&self, payload: &[u8], out: &mut Vec<u8>) {
        out.clear();
        match &self.body {
            Body::Payload => out.extend_from_slice(payload),
            Body::Template(envelope) => envelope.wrap(payload, out),
            Body::Centrifuge => {
                out.extend_from_slice(b"{\"channel\":");
                json::push_string(out, self.room.as_bytes());
                out.extend_from_slice(b",\"data\":");
                json::push_payload(out, self.format, payload);
                out.push(b'}');
            }
            Body::Pusher(_) => {
                out.extend_from_slice(b"{\"name\":\"loadgen\",\"channel\":");
                json::push_string(out, self.room.as_bytes());
                out.extend_from_slice(b",\"data\":");
                json::push_string(out, payload);
                out.push(b'}');
            }
        }
    }

    /// Why the server did not take a publication, from its answer; nothing if it did.
    #[must_use]
    pub fn refusal(&self, status: u16, answer: &[u8]) -> Option<String> {
        if !(200..300).contains(&status) {
            return Some(format!("status {status}: {}", excerpt(answer).trim()));
        }
        if !matches!(self.body, Body::Centrifuge) {
            return None;
        }
        let error = serde_json::from_slice::<Answer>(answer).ok()?.error?;
        Some(format!("{} {}", error.code, error.message))
    }
}

impl Signer {
    /// The URL with the query that the API wants, its keys in alphabetical order.
    fn signed(&self, url: &str, body: &[u8], at_seconds: i64) -> String {
        let digest = md5_hex(body);
        let query = format!("auth_key={}&auth_timestamp={at_seconds}&auth_version=1.0&body_md5={digest}", self.key);
        let behind_scheme = url.find("://").map_or(0, |at| at + 3);
        let path = url[behind_scheme..].find('/').map_or("/", |at| &url[behind_scheme + at..]);
        let signature = hmac_sha256_hex(self.secret.as_bytes(), format!("POST\n{path}\n{query}").as_bytes());
        format!("{url}?{query}&auth_signature={signature}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::Dialect;
    use crate::scenario::{AdapterKind, PublishVia, Target};

    fn target(adapter: AdapterKind, publish_url: &str) -> Target {
        let url = match adapter {
            AdapterKind::Sse => "http://h/{room}",
            AdapterKind::Raw | AdapterKind::Template => "ws://h/{room}",
            _ => "ws://h/app/key",
        };
        Target {
            url: url.to_owned(),
            adapter,
            publish: PublishVia::Http,
            publish_url: Some(publish_url.to_owned()),
            ..Target::default()
        }
    }

    fn posted(target: &Target, room: &str, format: Format, payload: &str) -> (HttpPublish, String, String) {
        let publish = Dialect::new(target).unwrap().http_publish(room, format).unwrap();
        let mut body = b"old".to_vec();
        publish.body(payload.as_bytes(), &mut body);
        let content_type =
            publish.headers().iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type")).unwrap().1.clone();
        (publish, String::from_utf8(body).unwrap(), content_type)
    }

    #[test]
    fn bodies() {
        use AdapterKind::{Centrifuge, Pusher, Raw, Sse, Template};
        use Format::{Binary, Json, Text};
        let json = "application/json";
        let text = "text/plain; charset=utf-8";
        for (adapter, url, format, payload, body, content_type) in [
            (Raw, "http://h/rooms/{room}", Text, "hi", "hi", text),
            (Raw, "http://h/rooms/{room}", Json, "{}", "{}", json),
            (Raw, "http://h/rooms/{room}", Binary, "hi", "hi", "application/octet-stream"),
            (Sse, "http://h/{room}", Text, "hi", "hi", text),
            (Centrifuge, "http://h/api/publish", Text, "a\"b", r#"{"channel":"a b","data":"a\"b"}"#, json),
            (Centrifuge, "http://h/api/publish", Json, "{\"x\":1}", r#"{"channel":"a b","data":{"x":1}}"#, json),
            (Centrifuge, "http://h/rooms/{room}", Text, "hi", "hi", text),
            (
                Pusher,
                "http://h/apps/3/events",
                Json,
                "{\"x\":1}",
                r#"{"name":"loadgen","channel":"a b","data":"{\"x\":1}"}"#,
                json,
            ),
            (Template, "http://h/{room}", Text, "hi", "hi", text),
        ] {
            let (_, said, kind) = posted(&target(adapter, url), "a b", format, payload);
            assert_eq!((said.as_str(), kind.as_str()), (body, content_type), "{adapter:?} {url}");
        }
        let mut target = target(Template, "http://h/{room}");
        target.publish_template = Some(r#"{"say":"{payload}"}"#.to_owned());
        target.headers.insert("content-type".to_owned(), "application/x-own".to_owned());
        let (publish, said, kind) = posted(&target, "a b", Text, "\"");
        assert_eq!((said.as_str(), kind.as_str()), (r#"{"say":"\""}"#, "application/x-own"));
        assert_eq!(publish.url(b""), "http://h/a%20b");
    }

    #[test]
    fn a_pusher_post_is_signed_as_the_documentation_says() {
        let signer = Signer { key: "278d425bdf160c739803".to_owned(), secret: "7ad3773142a6692b25b8".to_owned() };
        let body = br#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
        assert_eq!(
            signer.signed("http://h:8000/apps/3/events", body, 1_353_088_179),
            "http://h:8000/apps/3/events?auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0\
             &body_md5=ec365a775a4cd0599faeb73354201b6f\
             &auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
        );
        let mut target = target(AdapterKind::Pusher, "http://h/apps/3/events");
        assert_eq!(posted(&target, "a", Format::Text, "x").0.url(b"x"), "http://h/apps/3/events", "without a secret");
        target.app_secret = Some("secret".to_owned());
        let (publish, body, _) = posted(&target, "a", Format::Text, "x");
        assert!(publish.url(body.as_bytes()).contains("?auth_key=key&auth_timestamp="));
    }

    #[test]
    fn answers() {
        let centrifuge = posted(&target(AdapterKind::Centrifuge, "http://h/api/publish"), "a", Format::Text, "").0;
        let raw = posted(&target(AdapterKind::Raw, "http://h/{room}"), "a", Format::Text, "").0;
        let error = br#"{"error":{"code":102,"message":"unknown channel"}}"#;
        assert_eq!(centrifuge.refusal(200, error).unwrap(), "102 unknown channel");
        assert_eq!(centrifuge.refusal(200, br#"{"result":{}}"#), None);
        assert_eq!(centrifuge.refusal(401, b"").unwrap(), "status 401: ");
        assert_eq!(raw.refusal(200, error), None);
        assert_eq!(raw.refusal(204, b""), None);
        assert_eq!(raw.refusal(503, b"full\n").unwrap(), "status 503: full");
    }
}

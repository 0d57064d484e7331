//! Adapter `pusher`: the Pusher protocol, version 7, as Pusher, soketi, sockudo and Reverb speak it. The room is a
//! channel.
//!
//! Who listens needs nothing but the application's key. Publishing over HTTP (`publish_url` ends in `/events`) is the
//! usual way; the posts are signed if `app_secret` is set. Publishing over a connection makes client events, which
//! servers allow on private channels only: rooms are named `private-…`, and the secret signs the membership.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::signature::hmac_sha256_hex;
use super::target::TargetError;
use super::{DialectError, Event, Kind, Outgoing, excerpt, json};
use crate::scenario::{Format, PublishVia, Target};

/// Channels of this kind need a signature, and allow client events.
const PRIVATE: &str = "private-";
/// Kinds that need more than a signature of the name.
const NOT_SPOKEN: &[&str] = &["private-encrypted-", "presence-"];
const APP_PATH: &str = "/app/";
const CHANNEL_BYTES_MAX: usize = 200;

/// What all connections share.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) key: String,
    pub(super) secret: Option<String>,
    publish: PublishVia,
}

/// What one connection keeps.
#[derive(Debug, Default)]
pub(super) struct State {
    is_joined: bool,
    /// It has published: an error may be about that.
    has_published: bool,
}

/// Of a `pusher:error`.
#[derive(Deserialize)]
struct Code {
    code: Option<u32>,
}

/// Errors of the connection, after which the server closes it.
const CONNECTION_ERRORS: std::ops::Range<u32> = 4_000..4_300;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Established<'a> {
    #[serde(borrow)]
    socket_id: Cow<'a, str>,
}

impl Settings {
    pub(super) fn new(target: &Target) -> Self {
        let key = target.app_key.clone().or_else(|| key_in(&target.url).map(str::to_owned)).unwrap_or_default();
        Self { key, secret: target.app_secret.clone(), publish: target.publish }
    }

    /// Why a room's name is no channel, or none that can be used this way.
    pub(super) fn channel_problem(&self, room: &str) -> Option<String> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=@,.;".contains(&byte);
        if room.len() > CHANNEL_BYTES_MAX || room.is_empty() || !room.bytes().all(is_allowed) {
            return Some(format!("a Pusher channel has 1 to {CHANNEL_BYTES_MAX} characters A-Z a-z 0-9 -_=@,.;"));
        }
        if let Some(kind) = NOT_SPOKEN.iter().find(|kind| room.starts_with(**kind)) {
            return Some(format!("channels named {kind}… are not spoken"));
        }
        let is_private = room.starts_with(PRIVATE);
        if is_private && self.secret.is_none() {
            return Some("a private channel needs target.app_secret".to_owned());
        }
        (self.publish == PublishVia::Connection && !is_private)
            .then(|| format!("client events need a private channel: name rooms {PRIVATE}…, or publish over HTTP"))
    }
}

/// The mistakes that only this dialect can make.
pub(super) fn problems(target: &Target, problems: &mut Vec<TargetError>) {
    match (&target.app_key, key_in(&target.url)) {
        (None, None) => {
            let because = "the URL has no /app/KEY";
            problems.push(TargetError::Missing { field: "target.app_key", because });
        }
        (Some(_), Some(_)) => {
            let because = "target.url has a key in /app/KEY";
            problems.push(TargetError::Idle { field: "target.app_key", because });
        }
        (Some(_), None) if target.url.contains('?') => {
            let reason = "with target.app_key the path and the query are added".to_owned();
            problems.push(TargetError::Url { field: "target.url", url: target.url.clone(), reason });
        }
        _ => {}
    }
    if target.publish == PublishVia::Connection && target.app_secret.is_none() {
        let because = "client events need a private channel, and that a signature; or set target.publish = \"http\"";
        problems.push(TargetError::Missing { field: "target.app_secret", because });
    }
    let signs = target.app_secret.is_some() && target.publish == PublishVia::Http;
    if let Some(url) = target.publish_url.as_ref().filter(|url| signs && url.contains('?')) {
        let reason = "the query is made of the signature".to_owned();
        problems.push(TargetError::Url { field: "target.publish_url", url: url.clone(), reason });
    }
}

fn key_in(url: &str) -> Option<&str> {
    let (_, behind) = url.split_once(APP_PATH)?;
    behind.split(['/', '?']).next().filter(|key| !key.is_empty())
}

/// The URL with the path and the query that stock clients send.
pub(super) fn full_url(url: &str, settings: &Settings) -> String {
    let mut full = url.to_owned();
    if key_in(url).is_none() {
        full.truncate(url.trim_end_matches('/').len());
        full += APP_PATH;
        full += &settings.key;
    }
    if !full.contains('?') {
        full += concat!("?protocol=7&client=loadgen&version=", env!("CARGO_PKG_VERSION"), "&flash=false");
    }
    full
}

fn publication(room: &str, format: Format, payload: &[u8], out: &mut Vec<u8>) -> Kind {
    out.extend_from_slice(b"{\"event\":\"client-loadgen\",\"channel\":");
    json::push_string(out, room.as_bytes());
    out.extend_from_slice(b",\"data\":");
    json::push_payload(out, format, payload);
    out.push(b'}');
    Kind::Text
}

impl State {
    pub(super) const fn is_joined(&self) -> bool {
        self.is_joined
    }

    pub(super) fn publication(&mut self, room: &str, format: Format, payload: &[u8], out: &mut Vec<u8>) -> Kind {
        self.has_published = true;
        publication(room, format, payload, out)
    }

    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        (settings, room): (&Settings, &str),
        events: &mut impl FnMut(Event<'_>),
    ) -> Result<(), DialectError> {
        let wrong = |source| DialectError::Json { adapter: "pusher", excerpt: excerpt(bytes), source };
        let message: Message<'_> = serde_json::from_slice(bytes).map_err(wrong)?;
        let data = message.data.map_or(Cow::Borrowed(&b""[..]), |data| json::payload(data.get().as_bytes()));
        match message.event.as_ref() {
            "pusher:connection_established" => {
                let established: Established<'_> = serde_json::from_slice(&data).map_err(wrong)?;
                events(Event::Answer(subscribe(settings, room, &established.socket_id)));
            }
            "pusher_internal:subscription_succeeded" => {
                if !std::mem::replace(&mut self.is_joined, true) {
                    events(Event::Joined);
                }
            }
            "pusher:ping" => events(Event::Answer(Outgoing::text(&br#"{"event":"pusher:pong","data":{}}"#[..]))),
            "pusher:error" | "pusher:subscription_error" => {
                let words = format!("{}: {}", message.event, String::from_utf8_lossy(&data));
                let code = serde_json::from_slice::<Code>(&data).ok().and_then(|data| data.code);
                let of_connection = code.is_some_and(|code| CONNECTION_ERRORS.contains(&code));
                // Of which publication, the protocol does not say.
                events(if self.has_published && message.event == "pusher:error" && !of_connection {
                    Event::PublicationRefused { number: None, words }
                } else {
                    Event::Refused(words)
                });
            }
            // Pongs, counts of members, and whatever else is not an application's.
            event if event.starts_with("pusher:") || event.starts_with("pusher_internal:") => {}
            _ => events(Event::Publication(&data)),
        }
        Ok(())
    }
}

fn subscribe(settings: &Settings, room: &str, socket_id: &str) -> Outgoing {
    let auth = match &settings.secret {
        Some(secret) if room.starts_with(PRIVATE) => {
            let signature = hmac_sha256_hex(secret.as_bytes(), format!("{socket_id}:{room}").as_bytes());
            format!("{}:{signature}", settings.key)
        }
        _ => String::new(),
    };
    let data = serde_json::json!({ "channel": room, "auth": auth });
    Outgoing::text(serde_json::json!({ "event": "pusher:subscribe", "data": data }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::testing::any_bytes;

    fn settings(secret: Option<&str>, publish: PublishVia) -> Settings {
        Settings { key: "278d425bdf160c739803".to_owned(), secret: secret.map(str::to_owned), publish }
    }

    fn seen(state: &mut State, room: &str, frame: &str) -> Vec<String> {
        let settings = settings(Some("7ad3773142a6692b25b8"), PublishVia::Connection);
        let mut seen = Vec::new();
        state
            .receive(frame.as_bytes(), (&settings, room), &mut |event| {
                seen.push(match event {
                    Event::Publication(payload) => format!("got {}", String::from_utf8_lossy(payload)),
                    Event::Answer(answer) => format!("answer {}", String::from_utf8_lossy(&answer.bytes)),
                    other => format!("{other:?}"),
                });
            })
            .unwrap();
        seen
    }

    #[test]
    fn a_connection_from_beginning_to_end() {
        let mut state = State::default();
        let established = r#"{"event":"pusher:connection_established",
            "data":"{\"socket_id\":\"123.456\",\"activity_timeout\":30}"}"#;
        assert_eq!(
            seen(&mut state, "lobby", established),
            [r#"answer {"data":{"auth":"","channel":"lobby"},"event":"pusher:subscribe"}"#]
        );
        assert!(!state.is_joined());
        let succeeded = r#"{"event":"pusher_internal:subscription_succeeded","channel":"lobby","data":"{}"}"#;
        assert_eq!(seen(&mut state, "lobby", succeeded), ["Joined"]);
        assert!(state.is_joined());
        for (frame, event) in [
            (r#"{"event":"news","channel":"lobby","data":"{\"lg\":\"x\"}"}"#, r#"got {"lg":"x"}"#),
            (r#"{"event":"client-loadgen","channel":"lobby","data":{"lg":"x"}}"#, r#"got {"lg":"x"}"#),
            (r#"{"event":"news","channel":"lobby","data":"plain"}"#, "got plain"),
            (r#"{"event":"news","channel":"lobby"}"#, "got "),
            (r#"{"event":"pusher:ping","data":{}}"#, r#"answer {"event":"pusher:pong","data":{}}"#),
            (
                r#"{"event":"pusher:error","data":{"code":4301,"message":"no"}}"#,
                r#"Refused("pusher:error: {\"code\":4301,\"message\":\"no\"}")"#,
            ),
            (
                r#"{"event":"pusher:subscription_error","channel":"lobby","data":{"type":"AuthError","status":401}}"#,
                r#"Refused("pusher:subscription_error: {\"type\":\"AuthError\",\"status\":401}")"#,
            ),
        ] {
            assert_eq!(seen(&mut state, "lobby", frame), [event]);
        }
        for ignored in [
            r#"{"event":"pusher:pong","data":"{}"}"#,
            r#"{"event":"pusher_internal:subscription_count","channel":"lobby","data":"{\"subscription_count\":1}"}"#,
            r#"{"event":"pusher:cache_miss","channel":"lobby"}"#,
        ] {
            assert_eq!(seen(&mut state, "lobby", ignored), [""; 0]);
        }
    }

    #[test]
    fn a_private_channel_is_signed_as_the_documentation_says() {
        let established = r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1234.1234\"}"}"#;
        let answer = seen(&mut State::default(), "private-foobar", established).remove(0);
        let auth = "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4";
        assert!(answer.contains(auth), "{answer}");
    }

    #[test]
    fn what_is_sent() {
        for (format, payload, frame) in [
            (Format::Text, "a\"b", r#"{"event":"client-loadgen","channel":"private-a","data":"a\"b"}"#),
            (Format::Json, "{\"b\":1}", r#"{"event":"client-loadgen","channel":"private-a","data":{"b":1}}"#),
        ] {
            let mut out = Vec::new();
            assert_eq!(publication("private-a", format, payload.as_bytes(), &mut out), Kind::Text);
            assert_eq!(String::from_utf8(out).unwrap(), frame);
        }
    }

    #[test]
    fn urls() {
        let settings = settings(None, PublishVia::Http);
        let query = format!("?protocol=7&client=loadgen&version={}&flash=false", env!("CARGO_PKG_VERSION"));
        for (url, full) in [
            ("ws://h:6001", format!("ws://h:6001/app/278d425bdf160c739803{query}")),
            ("ws://h:6001/", format!("ws://h:6001/app/278d425bdf160c739803{query}")),
            ("ws://h/base/", format!("ws://h/base/app/278d425bdf160c739803{query}")),
            ("ws://h/app/other", format!("ws://h/app/other{query}")),
            ("ws://h/app/other?protocol=7", "ws://h/app/other?protocol=7".to_owned()),
        ] {
            assert_eq!(full_url(url, &settings), full);
        }
        assert_eq!(key_in("ws://h/app/KEY?x"), Some("KEY"));
        assert_eq!(key_in("ws://h/app/"), None);
    }

    #[test]
    fn channels() {
        use PublishVia::{Connection, Http};
        for (room, secret, publish, is_channel) in [
            ("lobby", None, Http, true),
            ("lobby", Some("s"), Connection, false),
            ("private-lobby", Some("s"), Connection, true),
            ("private-lobby", None, Http, false),
            ("presence-lobby", Some("s"), Http, false),
            ("private-encrypted-lobby", Some("s"), Http, false),
            ("a b", None, Http, false),
            ("a/b", None, Http, false),
            ("", None, Http, false),
        ] {
            let problem = settings(secret, publish).channel_problem(room);
            assert_eq!(problem.is_none(), is_channel, "{room} {publish:?}: {problem:?}");
        }
    }

    #[test]
    fn what_is_not_pusher_is_refused() {
        let settings = settings(None, PublishVia::Http);
        for frame in ["hi", "{}", "[]", r#"{"event":1}"#, r#"{"event":"pusher:connection_established"}"#] {
            let error = State::default().receive(frame.as_bytes(), (&settings, "a"), &mut |_| ()).unwrap_err();
            assert!(error.to_string().contains("target.adapter = \"pusher\""), "{error}");
        }
        any_bytes(b"{}[]\":,\\eventdatapusher:", |pieces| {
            for piece in pieces {
                drop(State::default().receive(piece, (&settings, "a"), &mut |_| ()));
            }
        });
    }
}

//! What is wrong with `[target]`, said before anything is opened.

use hyper::http::{HeaderName, HeaderValue};

use super::envelope::{ANY, PAYLOAD};
use super::pusher;
use super::url::{ROOM, UrlTemplate};
use crate::scenario::{AdapterKind, PublishVia, Target};

/// A mistake in `[target]`. Each names the field to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// TLS is not offered.
    #[error("{field} = \"{url}\": loadgen speaks no TLS; take the server's plain port (ws:// or http://)")]
    Tls {
        /// Which.
        field: &'static str,
        /// What it says.
        url: String,
    },
    /// Another scheme than the adapter needs.
    #[error("{field} = \"{url}\": must begin with {expected}")]
    Scheme {
        /// Which.
        field: &'static str,
        /// What it says.
        url: String,
        /// What would do.
        expected: String,
    },
    /// Not a URL.
    #[error("{field} = \"{url}\": {reason}")]
    Url {
        /// Which.
        field: &'static str,
        /// What it says.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A field that the others make necessary.
    #[error("{field} is missing: {because}")]
    Missing {
        /// Which.
        field: &'static str,
        /// What makes it necessary.
        because: &'static str,
    },
    /// A field that would have no effect.
    #[error("{field} has no effect: {because}")]
    Idle {
        /// Which.
        field: &'static str,
        /// Why.
        because: &'static str,
    },
    /// A value that cannot be.
    #[error("{field} = {value:?}: {reason}")]
    Value {
        /// Which.
        field: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Headers that the handshake or the body decides.
const RESERVED_HEADERS: &[(&str, &str)] = &[
    ("connection", "the handshake sets it"),
    ("upgrade", "the handshake sets it"),
    ("sec-websocket-key", "the handshake sets it"),
    ("sec-websocket-version", "the handshake sets it"),
    ("sec-websocket-protocol", "set target.subprotocol instead"),
    ("sec-websocket-extensions", "no extension is spoken"),
    ("content-length", "the payload decides it"),
    ("transfer-encoding", "the payload decides it"),
    ("accept-encoding", "compressed answers are not read"),
];

const ONLY_TEMPLATE: &str = "only target.adapter = \"template\" uses it";

/// Everything that is wrong with `target`.
pub(super) fn problems(target: &Target) -> Vec<TargetError> {
    let mut problems = Vec::new();
    check_urls(target, &mut problems);
    check_headers(target, &mut problems);
    check_fields(target, &mut problems);
    problems
}

/// The schemes of `target.url`.
pub(super) const fn schemes(adapter: AdapterKind) -> &'static [&'static str] {
    match adapter {
        AdapterKind::Sse => &["http"],
        _ => &["ws"],
    }
}

/// The schemes of `target.publish_url`.
pub(super) const fn publish_schemes(publish: PublishVia) -> &'static [&'static str] {
    match publish {
        PublishVia::Http => &["http"],
        PublishVia::Connection => &["ws"],
    }
}

fn check_urls(target: &Target, problems: &mut Vec<TargetError>) {
    problems.extend(UrlTemplate::parse("target.url", &target.url, schemes(target.adapter)).err());
    if let Some(url) = &target.publish_url {
        problems.extend(UrlTemplate::parse("target.publish_url", url, publish_schemes(target.publish)).err());
    }
    let in_frames = matches!(target.adapter, AdapterKind::Centrifuge | AdapterKind::Pusher | AdapterKind::Nats);
    if in_frames && target.url.contains(ROOM) {
        let reason = "this adapter names the room in its frames, the URL has no {room}".to_owned();
        problems.push(TargetError::Url { field: "target.url", url: target.url.clone(), reason });
    }
    if target.publish == PublishVia::Http && target.publish_url.is_none() {
        problems.push(TargetError::Missing { field: "target.publish_url", because: "target.publish = \"http\"" });
    }
    if target.adapter == AdapterKind::Sse && target.publish == PublishVia::Connection {
        let reason = "an event stream has no way back: set \"http\", and target.publish_url".to_owned();
        problems.push(TargetError::Value { field: "target.publish", value: "connection".to_owned(), reason });
    }
}

fn check_headers(target: &Target, problems: &mut Vec<TargetError>) {
    let field = "target.headers";
    for (name, value) in &target.headers {
        let bad = |reason: &str| TargetError::Value { field, value: format!("{name}: {value}"), reason: reason.into() };
        let reserved = RESERVED_HEADERS.iter().find(|(reserved, _)| reserved.eq_ignore_ascii_case(name));
        if let Some((_, reason)) = reserved {
            problems.push(bad(reason));
        } else if HeaderName::from_bytes(name.as_bytes()).is_err() {
            problems.push(bad("not a header's name"));
        } else if HeaderValue::from_str(value).is_err() {
            problems.push(bad("not a header's value"));
        }
    }
    if let Some(subprotocol) = &target.subprotocol {
        if target.adapter == AdapterKind::Shardcast {
            let because = "target.adapter = \"shardcast\" speaks shardcast.v1";
            problems.push(TargetError::Idle { field: "target.subprotocol", because });
        } else if target.adapter == AdapterKind::Sse {
            let because = "an event stream has no subprotocol";
            problems.push(TargetError::Idle { field: "target.subprotocol", because });
        } else if HeaderName::from_bytes(subprotocol.as_bytes()).is_err() {
            let (value, reason) = (subprotocol.clone(), "one name, without spaces or commas".to_owned());
            problems.push(TargetError::Value { field: "target.subprotocol", value, reason });
        }
    }
}

fn check_fields(target: &Target, problems: &mut Vec<TargetError>) {
    let template = target.adapter == AdapterKind::Template;
    let mut only_template = |is_set: Option<()>, field: &'static str| {
        if is_set.is_some() && !template {
            problems.push(TargetError::Idle { field, because: ONLY_TEMPLATE });
        }
    };
    only_template(target.hello.as_ref().map(drop), "target.hello");
    only_template((target.hello_answers > 0).then_some(()), "target.hello_answers");
    only_template(target.publish_template.as_ref().map(drop), "target.publish_template");
    only_template(target.delivery_template.as_ref().map(drop), "target.delivery_template");
    if target.adapter == AdapterKind::Pusher {
        pusher::problems(target, problems);
    } else {
        for (value, field) in [(&target.app_key, "target.app_key"), (&target.app_secret, "target.app_secret")] {
            if value.is_some() {
                problems.push(TargetError::Idle { field, because: "only target.adapter = \"pusher\" uses it" });
            }
        }
    }
    if template && target.publish == PublishVia::Connection && target.publish_template.is_none() {
        let because = "target.adapter = \"template\" publishes over its connection by it";
        problems.push(TargetError::Missing { field: "target.publish_template", because });
    }
    if let Some(value) = target.publish_template.as_ref().filter(|value| value.contains(ANY)) {
        let reason = "{any} is for target.delivery_template".to_owned();
        problems.push(TargetError::Value { field: "target.publish_template", value: value.clone(), reason });
    }
    let with_payload = [
        (&target.publish_template, "target.publish_template"),
        (&target.delivery_template, "target.delivery_template"),
    ];
    for (value, field) in with_payload {
        if let Some(value) = value.as_ref().filter(|value| value.matches(PAYLOAD).count() != 1) {
            let reason = "it must have {payload} once".to_owned();
            problems.push(TargetError::Value { field, value: value.clone(), reason });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(change: impl FnOnce(&mut Target)) -> Vec<String> {
        let mut target = Target::default();
        change(&mut target);
        problems(&target).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_default_is_right() {
        assert_eq!(said(|_| ()), [""; 0]);
    }

    #[test]
    fn each_mistake_names_its_field() {
        type Change = fn(&mut Target);
        let cases: &[(Change, &[&str])] = &[
            (|target| target.url = "wss://host/".into(), &["target.url", "TLS"]),
            (|target| target.url = "http://host/".into(), &["target.url", "ws://"]),
            (|target| target.publish = PublishVia::Http, &["target.publish_url is missing"]),
            (|target| target.publish_url = Some("http://host/".into()), &["target.publish_url", "ws://"]),
            (|target| target.hello = Some("hi".into()), &["target.hello has no effect"]),
            (|target| target.hello_answers = 1, &["target.hello_answers has no effect"]),
            (|target| target.app_key = Some("key".into()), &["target.app_key has no effect"]),
            (|target| target.adapter = AdapterKind::Template, &["target.publish_template is missing"]),
            (|target| target.adapter = AdapterKind::Nats, &["target.url", "{room}"]),
            (|target| target.app_secret = Some("s".into()), &["target.app_secret has no effect"]),
            (|target| target.delivery_template = Some("{payload}".into()), &["target.delivery_template has no effect"]),
            (
                |target| {
                    target.adapter = AdapterKind::Pusher;
                    target.url = "ws://host/app/key".into();
                },
                &["target.app_secret is missing", "target.publish = \"http\""],
            ),
            (
                |target| {
                    target.adapter = AdapterKind::Pusher;
                    target.url = "ws://host/".into();
                    target.app_secret = Some("s".into());
                },
                &["target.app_key is missing"],
            ),
            (|target| target.subprotocol = Some("a, b".into()), &["target.subprotocol", "one name"]),
            (
                |target| {
                    target.adapter = AdapterKind::Template;
                    target.publish_template = Some("{room}".into());
                },
                &["target.publish_template", "{payload} once"],
            ),
            (
                |target| {
                    target.adapter = AdapterKind::Template;
                    target.publish_template = Some("{any}{payload}".into());
                },
                &["target.publish_template", "{any}"],
            ),
            (
                |target| {
                    target.adapter = AdapterKind::Sse;
                    target.url = "http://host/{room}".into();
                },
                &["target.publish", "\"http\""],
            ),
            (
                |target| drop(target.headers.insert("Sec-WebSocket-Protocol".into(), "x".into())),
                &["target.headers", "target.subprotocol"],
            ),
            (|target| drop(target.headers.insert("a b".into(), "x".into())), &["target.headers", "name"]),
            (|target| drop(target.headers.insert("a".into(), "x\ny".into())), &["target.headers", "value"]),
        ];
        for (change, parts) in cases {
            let problems = said(change);
            assert_eq!(problems.len(), 1, "{problems:?}");
            for part in *parts {
                assert!(problems[0].contains(part), "{part}: {problems:?}");
            }
        }
    }

    #[test]
    fn all_mistakes_are_said_at_once() {
        let problems = said(|target| {
            target.url = "wss://host/".into();
            target.publish = PublishVia::Http;
            target.hello_answers = 1;
        });
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}

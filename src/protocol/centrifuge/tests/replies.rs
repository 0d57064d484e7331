//! What the server sends, against the examples that stock clients have taken.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::delta::decode;
use crate::protocol::centrifuge::publication::Data;
use crate::protocol::centrifuge::texts::Texts;
use crate::protocol::centrifuge::{
    ClientInfo, ConnectResult, Disconnect, Error, PublicationView, Recovery, RefreshResult, SubscribeResult,
    Unsubscribe, delta, publication, push, reply,
};
use crate::protocol::frame::MessageKind;
use crate::protocol::tests::written;

const NEWS: PublicationView<'static> =
    PublicationView { offset: 0, kind: MessageKind::Text, payload: b"{}", time_ms: 0, tags: None, info: None };

#[test]
fn connect() {
    let subs = [(
        "srv",
        SubscribeResult { recoverable: true, positioned: true, epoch: "se", offset: 7, ..Default::default() },
    )];
    let full = ConnectResult {
        client: "c1",
        version: "x",
        ping_s: 25,
        pong: true,
        subs: &subs,
        data: Some("{\n}"),
        ttl_s: Some(60),
        session: "s",
        node: "n",
        time_ms: 5,
    };
    assert_eq!(
        written(|out| reply::connect(out, 1, &full)),
        "{\"id\":1,\"connect\":{\"client\":\"c1\",\"version\":\"x\",\"data\":{},\"expires\":true,\"ttl\":60,\"subs\":{\
         \"srv\":{\"recoverable\":true,\"positioned\":true,\"epoch\":\"se\",\"offset\":7}},\"ping\":25,\"pong\":true,\
         \"session\":\"s\",\
         \"node\":\"n\",\"time\":5}}"
    );
    assert_eq!(written(|out| reply::connect(out, 1, &ConnectResult::default())), r#"{"id":1,"connect":{}}"#);
}

#[test]
fn subscribe() {
    let recovered = SubscribeResult {
        recoverable: true,
        positioned: true,
        epoch: "8f",
        offset: 3,
        recovery: Recovery::Recovered,
        publications: br#"{"data":1,"offset":4},{"data":2,"offset":5}"#,
        delta: true,
        ttl_s: Some(9),
        data: Some("1"),
    };
    assert_eq!(
        written(|out| reply::subscribe(out, 2, &recovered)),
        "{\"id\":2,\"subscribe\":{\"expires\":true,\"ttl\":9,\"recoverable\":true,\"positioned\":true,\"epoch\":\"8f\",\
         \"offset\":3,\"publications\":[{\"data\":1,\"offset\":4},{\"data\":2,\"offset\":5}],\"was_recovering\":true,\
         \"recovered\":true,\"delta\":true,\"data\":1}}"
    );
    let failed = SubscribeResult { recovery: Recovery::Failed, ..Default::default() };
    assert_eq!(written(|out| reply::subscribe(out, 2, &failed)), r#"{"id":2,"subscribe":{"was_recovering":true}}"#);
    assert_eq!(written(|out| reply::subscribe(out, 2, &SubscribeResult::default())), r#"{"id":2,"subscribe":{}}"#);
}

#[test]
fn other_replies() {
    let info = ClientInfo { user: "u", client: "c\"1", conn_info: Some("{}"), chan_info: Some("[1]") };
    let two = [PublicationView { offset: 1, ..NEWS }, PublicationView { offset: 2, payload: b"x", ..NEWS }];
    for (text, expected) in [
        (written(|out| reply::publish(out, 3)), r#"{"id":3,"publish":{}}"#),
        (written(|out| reply::unsubscribe(out, 3)), r#"{"id":3,"unsubscribe":{}}"#),
        (written(|out| reply::empty(out, u32::MAX, "rpc")), r#"{"id":4294967295,"rpc":{}}"#),
        (written(|out| reply::rpc(out, 3, Some("null"))), r#"{"id":3,"rpc":{"data":null}}"#),
        (
            written(|out| reply::history(out, 3, two, "8f", 2)),
            "{\"id\":3,\"history\":{\"publications\":[{\"data\":{},\"offset\":1},{\"data\":\"x\",\"offset\":2}],\
             \"epoch\":\"8f\",\"offset\":2}}",
        ),
        (written(|out| reply::history(out, 3, [], "8f", 0)), r#"{"id":3,"history":{"epoch":"8f"}}"#),
        (
            written(|out| reply::presence(out, 3, [info])),
            r#"{"id":3,"presence":{"presence":{"c\"1":{"user":"u","client":"c\"1","conn_info":{},"chan_info":[1]}}}}"#,
        ),
        (written(|out| reply::presence(out, 3, [])), r#"{"id":3,"presence":{"presence":{}}}"#),
        (
            written(|out| reply::presence_stats(out, 3, 5, 2)),
            r#"{"id":3,"presence_stats":{"num_clients":5,"num_users":2}}"#,
        ),
        (
            written(|out| reply::refresh(out, 3, &RefreshResult { client: "c", version: "v", ttl_s: Some(1) })),
            r#"{"id":3,"refresh":{"client":"c","version":"v","expires":true,"ttl":1}}"#,
        ),
        (written(|out| reply::sub_refresh(out, 3, None)), r#"{"id":3,"sub_refresh":{}}"#),
        (
            written(|out| reply::error(out, 3, &Error::TOKEN_EXPIRED)),
            r#"{"id":3,"error":{"code":109,"message":"token expired"}}"#,
        ),
        (
            written(|out| reply::error(out, 3, &Error::INTERNAL)),
            r#"{"id":3,"error":{"code":100,"message":"internal server error","temporary":true}}"#,
        ),
    ] {
        assert_eq!(text, expected);
    }
}

#[test]
fn pushes() {
    let info = ClientInfo { user: "u", client: "c", ..Default::default() };
    for (text, expected) in [
        (
            written(|out| push::publication(out, "a\"b", &PublicationView { offset: 7, time_ms: 9, ..NEWS })),
            r#"{"push":{"channel":"a\"b","pub":{"data":{},"offset":7,"time":9}}}"#,
        ),
        (
            written(|out| push::join(out, "a", &info)),
            r#"{"push":{"channel":"a","join":{"info":{"user":"u","client":"c"}}}}"#,
        ),
        (
            written(|out| push::leave(out, "a", &info)),
            r#"{"push":{"channel":"a","leave":{"info":{"user":"u","client":"c"}}}}"#,
        ),
        (
            written(|out| push::unsubscribe(out, "a", Unsubscribe::INSUFFICIENT_STATE)),
            r#"{"push":{"channel":"a","unsubscribe":{"code":2500,"reason":"insufficient state"}}}"#,
        ),
        (
            written(|out| push::subscribe(out, "a", Some(("8f", 3)), Some("1"))),
            "{\"push\":{\"channel\":\"a\",\"subscribe\":{\"recoverable\":true,\"positioned\":true,\"epoch\":\"8f\",\
             \"offset\":3,\"data\":1}}}",
        ),
        (written(|out| push::subscribe(out, "a", None, None)), r#"{"push":{"channel":"a","subscribe":{}}}"#),
        (written(|out| push::message(out, "[\n1]")), r#"{"push":{"message":{"data":[1]}}}"#),
        (
            written(|out| push::disconnect(out, Disconnect::SHUTDOWN)),
            r#"{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}"#,
        ),
        (written(|out| push::refresh(out, Some(5))), r#"{"push":{"refresh":{"expires":true,"ttl":5}}}"#),
        (written(|out| push::refresh(out, None)), r#"{"push":{"refresh":{}}}"#),
    ] {
        assert_eq!(text, expected);
    }
}

#[test]
fn publications() {
    let view = PublicationView { offset: 7, tags: Some(r#"{"a":"b"}"#), info: Some(r#"{"user":"u"}"#), ..NEWS };
    let object = |view: PublicationView<'_>| written(|out| publication::object(out, &view));
    assert_eq!(object(view), r#"{"data":{},"info":{"user":"u"},"offset":7,"tags":{"a":"b"}}"#);
    let binary = PublicationView { kind: MessageKind::Binary, payload: b"\xff", ..NEWS };
    for (tags, expected) in [
        (None, r#"{"data":"/w==","tags":{"encoding":"base64"}}"#),
        (Some("{}"), r#"{"data":"/w==","tags":{"encoding":"base64"}}"#),
        (Some(" { }\n"), r#"{"data":"/w==","tags":{ "encoding":"base64"}}"#),
        (Some(r#"{"a":"b"}"#), r#"{"data":"/w==","tags":{"a":"b","encoding":"base64"}}"#),
    ] {
        assert_eq!(object(PublicationView { tags, ..binary }), expected);
    }
}

/// A publication's object can be cut out of its push and put into a subscribe reply.
#[test]
fn publications_can_be_cut_out() {
    let prefix = written(|out| push::publication_prefix(out, "a\"b"));
    let pushes: Vec<_> = (1..4)
        .map(|offset| written(|out| push::publication(out, "a\"b", &PublicationView { offset, ..NEWS })))
        .collect();
    let cut = |push: &String| push::publication_in(push.as_bytes(), prefix.as_bytes()).unwrap().to_vec();
    let publications = pushes.iter().map(cut).collect::<Vec<_>>().join(&b',');
    let result = SubscribeResult { publications: &publications, ..Default::default() };
    let reply: Value = serde_json::from_str(&written(|out| reply::subscribe(out, 1, &result))).unwrap();
    let expected: Vec<_> = (1..4).map(|offset| json!({ "data": {}, "offset": offset })).collect();
    assert_eq!(reply["subscribe"]["publications"], Value::from(expected));
    assert_eq!(push::publication_in(b"{}", prefix.as_bytes()), None);
}

/// The publication's object for a subscription with deltas, which has the text `base` if any, and the payload's text.
fn change(kind: MessageKind, payload: &[u8], base: Option<&str>) -> (Value, String) {
    let mut texts = Texts::default();
    texts.set(MessageKind::Text, &[b'x'; 1_000], Some(b"something else, of another time"));
    texts.set(kind, payload, base.map(str::as_bytes));
    let view = PublicationView { offset: 2, kind, payload, ..NEWS };
    let object = written(|out| publication::object_with(out, &view, texts.changed()));
    let text = String::from_utf8(texts.text().to_vec()).unwrap();
    (serde_json::from_str(&object).unwrap(), text)
}

#[test]
fn deltas() {
    let text = |words: &str| format!("{{\"text\":\"{words} and so on for a while, until it is long enough\"}}");
    let (before, now) = (text("first"), text("second"));
    let object = |base: Option<&str>| change(MessageKind::Text, now.as_bytes(), base).0;
    assert_eq!(object(None), json!({ "data": &now, "offset": 2 }));
    assert_eq!(object(Some("1")), json!({ "data": &now, "offset": 2 }), "a delta that is no shorter is not sent");
    let mut patch = Vec::new();
    delta::encode(before.as_bytes(), now.as_bytes(), &mut patch);
    let patch = String::from_utf8(patch).unwrap();
    assert_eq!(object(Some(&before)), json!({ "data": patch, "delta": true, "offset": 2 }));
    let mut texts = Texts::default();
    texts.set(MessageKind::Text, now.as_bytes(), Some(before.as_bytes()));
    assert_eq!(texts.whole(), Data::Whole(serde_json::to_string(&now).unwrap().as_bytes()));
}

/// Whatever was published is one JSON value, which is what others get as the data.
#[test]
fn the_text_of_a_payload() {
    for (kind, payload, expected) in [
        (MessageKind::Text, &b"{\"a\" :\n[1]}"[..], "{\"a\" :[1]}"),
        (MessageKind::Text, b"not \"JSON\"", r#""not \"JSON\"""#),
        (MessageKind::Text, b"\xff", "\"/w==\""),
        (MessageKind::Binary, b"{}", "\"e30=\""),
    ] {
        let (object, text) = change(kind, payload, None);
        assert_eq!((object["data"].as_str().unwrap(), &*text), (expected, expected));
        let view = PublicationView { kind, payload, ..NEWS };
        let plain: Value = serde_json::from_str(&written(|out| publication::object(out, &view))).unwrap();
        assert_eq!(plain["data"], serde_json::from_str::<Value>(&text).unwrap());
        assert_eq!(plain["tags"], object["tags"]);
    }
}

/// The client's rule for ending for good.
#[test]
fn terminal_codes() {
    for (code, terminal) in [
        (Disconnect::SHUTDOWN, false),
        (Disconnect::NO_PONG, false),
        (Disconnect::INVALID_TOKEN, true),
        (Disconnect::TOO_MANY_ERRORS, true),
        (Disconnect::new(4000, ""), false),
        (Disconnect::new(4410, ""), false),
        (Disconnect::new(4500, ""), true),
    ] {
        assert_eq!(code.is_terminal(), terminal, "{code:?}");
    }
}

proptest! {
    /// Whatever is published: one line of JSON with the payload in it.
    #[test]
    fn any_publication(channel in ".{1,40}", payload: String, offset: u64, time_ms: u64) {
        let view = PublicationView { offset, payload: payload.as_bytes(), time_ms, ..NEWS };
        let push = written(|out| push::publication(out, &channel, &view));
        prop_assert!(!push.contains(['\n', '\r']));
        let push: Value = serde_json::from_str(&push).unwrap();
        prop_assert_eq!(push["push"]["channel"].as_str(), Some(&*channel));
        let publication = &push["push"]["pub"];
        let expected = serde_json::from_str(&payload).unwrap_or_else(|_| Value::from(payload.as_str()));
        prop_assert_eq!(&publication["data"], &expected);
        prop_assert_eq!(publication["offset"].as_u64().unwrap_or(0), offset);
        prop_assert_eq!(publication["time"].as_u64().unwrap_or(0), time_ms);
    }

    /// Deltas of any payloads are JSON, whatever the kind.
    #[test]
    fn any_delta(before: String, now: String) {
        let (_, base) = change(MessageKind::Text, before.as_bytes(), None);
        let (object, text) = change(MessageKind::Text, now.as_bytes(), Some(&base));
        let data = object["data"].as_str().unwrap();
        if object.get("delta").is_none() {
            prop_assert_eq!(data, text);
        } else {
            prop_assert_eq!(decode(base.as_bytes(), data.as_bytes()), text.as_bytes());
        }
    }
}

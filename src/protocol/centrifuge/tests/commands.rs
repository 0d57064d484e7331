//! What clients send, right and wrong.

use std::borrow::Cow;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{body, command};
use crate::protocol::centrifuge::{
    Asked, Body, CONNECT_SUBS_MAX, CommandError, ConnectSub, DeltaKind, Disconnect, History, StreamPosition, Verdict,
    commands,
};

fn position(epoch: &str, offset: u64) -> StreamPosition<'_> {
    StreamPosition { epoch: epoch.into(), offset }
}

#[test]
fn connect() {
    let line = r#"{"connect":{"token":"t","data":{"d":1},"name":"js","version":"5","flag":1,"headers":{"a":"b"},
        "subs":{"srv":{"recover":true,"epoch":"se","offset":7},"new":{},"null":null}},"id":1}"#
        .replace('\n', "");
    let command = command(&line).unwrap();
    let (1, Body::Connect(connect)) = (command.id, command.body) else { panic!("connect") };
    assert_eq!((&*connect.token, &*connect.name, &*connect.version), ("t", "js", "5"));
    assert_eq!(connect.data.unwrap().get(), r#"{"d":1}"#);
    let sub = |channel, recover| ConnectSub { channel: Cow::Borrowed(channel), recover };
    assert_eq!(connect.subs, [sub("srv", Some(position("se", 7))), sub("new", None), sub("null", None)]);
    assert!(matches!(connect.token, Cow::Borrowed(_)), "what has no escapes is not copied");

    let Body::Connect(least) = body(r#"{"id":1,"connect":{}}"#) else { panic!("connect") };
    assert_eq!((&*least.token, least.data.is_none(), least.subs.len()), ("", true, 0));
}

#[test]
fn subscribe() {
    let line = r#"{"subscribe":{"channel":"news","token":"t","data":null,"recover":true,"epoch":"_","offset":5,
        "positioned":true,"recoverable":true,"join_leave":true,"delta":"fossil","flag":3,
        "tf":{"key":"a","cmp":"eq","val":"b"}},"id":2}"#
        .replace('\n', "");
    let Body::Subscribe(subscribe) = body(&line) else { panic!("subscribe") };
    assert_eq!((&*subscribe.channel, &*subscribe.token), ("news", "t"));
    assert_eq!(subscribe.data.unwrap().get(), "null", "null is data");
    assert_eq!(subscribe.recover, Some(position("_", 5)));
    assert_eq!(subscribe.asked, Asked { positioned: true, recoverable: true, join_leave: true });
    assert_eq!((subscribe.delta, subscribe.flags, subscribe.kind), (Some(DeltaKind::Fossil), 3, 0));
    assert!(subscribe.filter.is_some());

    // As stock clients send it.
    let Body::Subscribe(least) = body(r#"{"subscribe":{"channel":"news","flag":1},"id":2}"#) else { panic!("least") };
    assert_eq!((least.recover, least.asked, least.delta, least.filter), (None, Asked::default(), None, None));
    let Body::Subscribe(other) = body(r#"{"subscribe":{"channel":"a","delta":"x","type":1,"offset":null},"id":2}"#)
    else {
        panic!("unknown delta")
    };
    assert_eq!((other.delta, other.kind), (None, 1));
}

#[test]
fn others() {
    let channel = |body: Body<'_>| match body {
        Body::Unsubscribe { channel } | Body::Presence { channel } | Body::PresenceStats { channel } => {
            channel.into_owned()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(channel(body(r#"{"unsubscribe":{"channel":"a"},"id":1}"#)), "a");
    assert_eq!(channel(body(r#"{"presence":{"channel":"a"},"id":1}"#)), "a");
    assert_eq!(channel(body(r#"{"presence_stats":{"channel":"a"},"id":1}"#)), "a");

    for data in ["null", "1", r#""\ud800""#, "{ }", "1e999999", r#"{"a":{"a":[1,2,{}]}}"#] {
        let line = format!(r#"{{"publish":{{"channel":"a","data":{data}}},"id":1}}"#);
        let Body::Publish { channel, data: read } = body(&line) else { panic!("{data}") };
        assert_eq!((&*channel, read.get()), ("a", data));
    }

    let Body::History(history) = body(r#"{"history":{"channel":"a"},"id":1}"#) else { panic!("history") };
    assert_eq!(history, History { channel: "a".into(), limit: 0, since: None, reverse: false });
    let line = r#"{"history":{"channel":"a","limit":-1,"since":{"offset":3,"epoch":"e"},"reverse":true},"id":1}"#;
    let Body::History(history) = body(line) else { panic!("history") };
    assert_eq!(history, History { channel: "a".into(), limit: -1, since: Some(position("e", 3)), reverse: true });

    let Body::Rpc { method, data } = body(r#"{"rpc":{"method":"m","data":[]},"id":1}"#) else { panic!("rpc") };
    assert_eq!((&*method, data.unwrap().get()), ("m", "[]"));
    let Body::Send { data } = body(r#"{"send":{"data":"x"}}"#) else { panic!("send") };
    assert_eq!(data.unwrap().get(), "\"x\"");
    let Body::Refresh { token } = body(r#"{"refresh":{"token":"t"},"id":1}"#) else { panic!("refresh") };
    assert_eq!(token, "t");
    let Body::SubRefresh { channel, token } = body(r#"{"sub_refresh":{"channel":"a","token":"t"},"id":1}"#) else {
        panic!("sub_refresh")
    };
    assert_eq!((&*channel, &*token), ("a", "t"));
    assert!(matches!(body(r#"{"ping":{},"id":1}"#), Body::Ping));
    assert!(matches!(body("{}"), Body::Pong));
    assert!(matches!(body(" {} \r"), Body::Pong));
    assert!(matches!(body(r#"{"id":1}"#), Body::Unknown));
    assert!(matches!(body(r#"{"id":1,"frobnicate":{"a":[1]}}"#), Body::Unknown));
}

#[test]
fn channels_with_escapes() {
    for (channel, expected) in
        [(r"\ud83d\ude00", "😀"), (r"a\u0000b", "a\0b"), (r#"\"\\\/\n"#, "\"\\/\n"), ("日本", "日本")]
    {
        let line = format!(r#"{{"unsubscribe":{{"channel":"{channel}"}},"id":1}}"#);
        let Body::Unsubscribe { channel } = body(&line) else { panic!("unsubscribe") };
        assert_eq!(channel, expected);
    }
}

/// Lines at which the connection ends: 3501.
#[test]
fn closes() {
    let nested = format!(r#"{{"id":1,"x":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    let deep = format!(r#"{{"id":1,"publish":{{"channel":"a","data":{}"#, "[".repeat(60_000));
    for line in [
        "",
        " ",
        "\r",
        "null",
        "1",
        "[]",
        "[1]",
        "{",
        "{}{}",
        "{} x",
        r#"{"id":1,"connect":[]"#,
        r#"{"id":-1,"connect":{}}"#,
        r#"{"id":1.0,"connect":{}}"#,
        r#"{"id":4294967296,"connect":{}}"#,
        r#"{"id":"1","connect":{}}"#,
        r#"{"id":1e99,"connect":{}}"#,
        r#"{"id":1,"id":2,"connect":{}}"#,
        r#"{"id":1,"connect":{},"connect":{}}"#,
        r#"{"id":1,"connect":{},"ping":{}}"#,
        r#"{"id":1,"connect":"x"}"#,
        r#"{"id":1,"connect":{"token":1}}"#,
        r#"{"id":1,"connect":{"subs":{"":{}}}}"#,
        r#"{"id":1,"connect":{"subs":[]}}"#,
        r#"{"connect":{}}"#,
        r#"{"ping":{}}"#,
        r#"{"subscribe":{"channel":"a"}}"#,
        r#"{"id":0,"publish":{"channel":"a","data":1}}"#,
        r#"{"id":1,"subscribe":{}}"#,
        r#"{"id":1,"subscribe":{"channel":null}}"#,
        r#"{"id":1,"subscribe":{"channel":"a","offset":-1}}"#,
        r#"{"id":1,"subscribe":{"channel":"a","offset":18446744073709551616}}"#,
        r#"{"id":1,"subscribe":{"channel":"\ud83d"}}"#,
        r#"{"id":1,"publish":{"channel":"a"}}"#,
        r#"{"id":1,"publish":{"data":1}}"#,
        r#"{"id":1,"publish":{"channel":"a","data":}}"#,
        "{\"id\":1,\"publish\":{\"channel\":\"a\",\"data\":\"\t\"}}",
        r#"{"id":1,"history":{"channel":"a","limit":2147483648}}"#,
        r#"{"id":1,"refresh":{}}"#,
        r#"{"id":1,"sub_refresh":{"channel":"a"}}"#,
        &nested,
        &deep,
    ] {
        let error = command(line).expect_err(line);
        assert_eq!(error.verdict(), Verdict::Close(Disconnect::BAD_REQUEST), "{line}: {error}");
    }
    let error = commands(b"{\"id\":1,\xff}", 1).next().unwrap().unwrap_err();
    assert!(matches!(error, CommandError::NotUtf8), "{error}");
}

/// Lines that are answered by error 107; the connection goes on.
#[test]
fn refusals() {
    let long = |bytes: usize| "x".repeat(bytes);
    let subs = |count: usize| {
        let subs: Vec<_> = (0..count).map(|index| format!("\"{index}\":{{}}")).collect();
        format!(r#"{{"id":7,"connect":{{"subs":{{{}}}}}}}"#, subs.join(","))
    };
    let subscribe = |field: &str, value: String| {
        let channel = if field == "channel" { "" } else { "\"channel\":\"a\"," };
        format!(r#"{{"id":7,"subscribe":{{{channel}"{field}":{value}}}}}"#)
    };
    let text = |bytes: usize| format!("\"{}\"", long(bytes));
    for (good, bad) in [
        (subscribe("channel", text(255)), subscribe("channel", text(256))),
        (subscribe("token", text(8192)), subscribe("token", text(8193))),
        (subscribe("epoch", text(64)), subscribe("epoch", text(65))),
        (subs(CONNECT_SUBS_MAX), subs(CONNECT_SUBS_MAX + 1)),
        (subscribe("tf", r#"{"key":"a","cmp":"eq"}"#.into()), subscribe("tf", r#"{"key":"a","cmp":"like"}"#.into())),
    ] {
        body(&good);
        let error = command(&bad).expect_err(&bad);
        let Verdict::Reply { id: 7, error: reply } = error.verdict() else { panic!("{error}") };
        assert_eq!((reply.code, reply.temporary), (107, false));
    }
}

#[test]
fn lines_of_a_message() {
    let read = |text: &str, commands_max| -> Vec<Result<u32, bool>> {
        let closes = |error: CommandError| matches!(error.verdict(), Verdict::Close(_));
        commands(text.as_bytes(), commands_max).map(|it| it.map(|it| it.id).map_err(closes)).collect()
    };
    let two = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}";
    assert_eq!(read(two, 9), [Ok(1), Ok(2)]);
    assert_eq!(read(&format!("{two}\n"), 9), [Ok(1), Ok(2)], "one line end at the end is none");
    assert_eq!(read(&format!("{two}\n\n"), 9), [Ok(1), Ok(2), Err(true)]);
    assert_eq!(read(&format!("\n{two}"), 9), [Err(true)], "nothing is read behind an error that closes");
    assert_eq!(read(&format!("{two}\n{{\n{{}}"), 9), [Ok(1), Ok(2), Err(true)]);
    assert_eq!(read("", 9), [Err(true)]);
    assert_eq!(read("\n", 9), [Err(true)]);
    assert_eq!(read("{}", 0), [Err(true)]);
    assert_eq!(read("{}\n{}", 2), [Ok(0), Ok(0)]);
    let long = format!("{{\"id\":3,\"unsubscribe\":{{\"channel\":\"{}\"}}}}\n{{}}", "x".repeat(300));
    assert_eq!(read(&long, 9), [Err(false), Ok(0)], "what is refused does not end the message");

    let thousand = vec!["{}"; 1_000].join("\n");
    assert_eq!(read(&thousand, 1_000).iter().filter(|it| it.is_ok()).count(), 1_000);
    let bounded = read(&thousand, 64);
    assert_eq!((bounded.len(), bounded[64]), (65, Err(true)));
}

/// JSON of any shape, not too deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((any::<String>(), inner), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes(message in vec(any::<u8>(), 0..200), commands_max in 0_usize..4) {
        prop_assert!((1..=commands_max + 1).contains(&commands(&message, commands_max).count()));
    }

    /// Words of the protocol in any order get past the first checks.
    #[test]
    fn nearly_commands(words in vec(proptest::sample::select(vec![
        "{", "}", "[", "]", ":", ",", "\"", "\n", "\\", " ", "null", "true", "-", "1", "0.5e3", "\"id\":1",
        "\"connect\"", "\"subscribe\":{", "\"channel\":\"a\"", "\"subs\"",
        "\"publish\":{", "\"data\":", "\"since\":{", "\"tf\":{",
        "\"nodes\":[", "\"op\":\"and\"", "\\ud83d", "é",
    ]), 0..40)) {
        for result in commands(words.concat().as_bytes(), 8) {
            drop(result.map_err(|error| (error.verdict(), error.to_string())));
        }
    }

    /// What a client publishes is what is read, byte for byte; unknown fields do not matter.
    #[test]
    fn publish(id in 1_u32.., channel in ".{1,60}", data in any_json(), unknown in any_json()) {
        let line = json!({ "publish": { "channel": &channel, "data": &data, "new": &unknown }, "id": id }).to_string();
        let command = command(&line).unwrap();
        prop_assert_eq!(command.id, id);
        let Body::Publish { channel: read, data: raw } = command.body else { panic!("publish") };
        prop_assert_eq!(read, channel);
        prop_assert_eq!(raw.get(), data.to_string());
    }
}

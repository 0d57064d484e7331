//! The server API over HTTP: every method, what is refused and why, and that its own description tells the truth.
#![cfg(feature = "server")]

mod skip_history;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::{Value, json};
use support::{Answer, Client, Event, Joining, Server, at_once};

const KEY: &str = "0123456789abcdef-key";

/// Rooms called `h-…` keep a history, and so do those called `latest-…`, whose members get only ever the newest, and
/// `cache-…`, where only the newest is recovered.
fn server() -> Server {
    start(&[])
}

fn start(arguments: &[&str]) -> Server {
    // Written once: another test's server may be reading it.
    static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
        let file = std::env::temp_dir().join(format!("shardcast-api-{}.toml", std::process::id()));
        let class = |pattern: &str, more: &str| {
            format!("[[rooms]]\npattern = \"{pattern}\"\nhistory_count_max = 100\n{more}\n")
        };
        let settings =
            class("h-*", "") + &class("latest-*", "lag = \"latest\"") + &class("cache-*", "recovery = \"cache\"");
        std::fs::write(&file, settings).expect("the directory for temporary files can be written to");
        file
    });
    let path = FILE.to_str().expect("the path is text");
    Server::start(&[&["--config", path], arguments].concat())
}

/// The answer to one call.
fn call(server: &Server, method: &str, params: &Value) -> Value {
    let answer = server.request("POST", &format!("/api/{method}"), &[], params.to_string().as_bytes());
    assert_eq!(answer.header("content-type"), Some("application/json"), "{method}: {answer:?}");
    assert_eq!(answer.status, 200, "{method}: {answer:?}");
    body(&answer)
}

fn body(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

fn result(server: &Server, method: &str, params: &Value) -> Value {
    let answer = call(server, method, params);
    answer.get("result").unwrap_or_else(|| panic!("{method} {params}: {answer}")).clone()
}

fn error(server: &Server, method: &str, params: &Value) -> (u64, String) {
    let answer = call(server, method, params);
    let error = answer.get("error").unwrap_or_else(|| panic!("{method} {params}: {answer}"));
    (error["code"].as_u64().expect("a number"), error["message"].as_str().expect("a text").to_owned())
}

/// A session of the centrifuge protocol, its client's id, and whether it has a user.
fn session(server: &Server, name: &str) -> (Client, String) {
    let mut client = Joining::new(server.address(), &format!("/connection/websocket?name={name}")).join();
    client.text(r#"{"id":1,"connect":{}}"#);
    let connected: Value = serde_json::from_str(&client.text_of()).expect("JSON");
    let id = connected["connect"]["client"].as_str().expect("an id").to_owned();
    (client, id)
}

fn next(client: &mut Client) -> Value {
    serde_json::from_str(&client.text_of()).expect("JSON")
}

#[test]
fn what_is_published_reaches_members() {
    let server = server();
    let (mut plain, mut kept) = (server.join("plain"), server.join("h-kept"));
    let published = result(&server, "publish", &json!({"channel": "plain", "data": {"a": [1, null]}}));
    assert_eq!(published, json!({}), "no history, no position");
    assert_eq!(plain.text_of(), r#"{"a":[1,null]}"#);
    result(&server, "publish", &json!({"channel": "plain", "data": "a text", "delta": true, "unknown": 1}));
    assert_eq!(plain.text_of(), r#""a text""#);
    let bytes = json!({"channel": "h-kept", "b64data": "AAH/", "tags": {"of": "bytes"}});
    let published = result(&server, "publish", &bytes);
    assert_eq!(published["offset"], 1);
    assert!(published["epoch"].as_str().is_some_and(|epoch| !epoch.is_empty()), "{published}");
    assert_eq!(kept.next(), Event::Binary(vec![0, 1, 255]));
    let history = result(&server, "history", &json!({"channel": "h-kept", "limit": 1}));
    let publication = &history["publications"][0];
    assert_eq!(publication["data"], "AAH/");
    assert_eq!(publication["tags"], json!({"of": "bytes", "encoding": "base64"}));
    assert_eq!((&history["offset"], &history["epoch"]), (&json!(1), &published["epoch"]));
}

#[test]
fn a_broadcast_answers_for_each_channel_in_their_order() {
    let server = start(&["--set", "api.channels_max=3"]);
    let mut members = [server.join("a"), server.join("h-b")];
    let answer = result(&server, "broadcast", &json!({"channels": ["a", "no room", "h-b"], "data": 7}));
    let responses = answer["responses"].as_array().expect("a list");
    assert_eq!(responses.len(), 3);
    assert_eq!(responses[0], json!({"result": {}}));
    assert_eq!(responses[1]["error"]["code"], 107);
    assert_eq!(responses[2]["result"]["offset"], 1);
    for member in &mut members {
        assert_eq!(member.text_of(), "7");
    }
    let (code, message) = error(&server, "broadcast", &json!({"channels": ["a", "b", "c", "d"], "data": 7}));
    assert_eq!(code, 107);
    assert!(message.contains("api.channels_max is 3"), "{message}");
    assert_eq!(error(&server, "broadcast", &json!({"channels": [], "data": 7})).0, 107);
}

#[test]
fn the_same_key_publishes_once_into_a_room() {
    let server = server();
    let mut member = server.join("room");
    let publish = |key: &str, text: &str| {
        let headers = [("Content-Type", "text/plain"), ("Idempotency-Key", key)];
        server.request("POST", "/rooms/room", &headers, text.as_bytes())
    };
    let first = publish("k", "one");
    assert_eq!(publish("k", "one").body, first.body, "the first answer");
    // The key is the room's, however it is said.
    result(&server, "broadcast", &json!({"channels": ["room"], "data": 3, "idempotency_key": "l"}));
    result(&server, "publish", &json!({"channel": "room", "data": 3, "idempotency_key": "l"}));
    assert_eq!(publish("l", "3").status, 200);
    result(&server, "publish", &json!({"channel": "other", "data": 5, "idempotency_key": "k"}));
    assert_eq!(member.texts(2), ["one", "3"]);
    assert_eq!(publish(&"x".repeat(256), "no").status, 400);
    assert_eq!(publish("", "no").status, 400);
    let long = json!({"channel": "room", "data": 1, "idempotency_key": "x".repeat(256)});
    assert_eq!(error(&server, "publish", &long).0, 107);
    // Refused, so not remembered.
    let refused = [("Content-Type", "text/plain"), ("Idempotency-Key", "m")];
    assert_eq!(server.request("POST", "/rooms/room", &refused, b"\xff").status, 400);
    assert_eq!(publish("m", "now").status, 200);
    assert_eq!(member.text_of(), "now");

    let answers = at_once((0..16).collect(), |_: u32| publish("many", "once").body);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(member.text_of(), "once");
    assert_eq!(member.before_pong(), []);
}

#[test]
fn the_same_key_with_another_message_is_refused() {
    let server = server();
    let mut member = server.join("room");
    let publish = |kind: &str, text: &str| {
        let headers = [("Content-Type", kind), ("Idempotency-Key", "k")];
        server.request("POST", "/rooms/room", &headers, text.as_bytes())
    };
    assert_eq!(publish("text/plain", "1").status, 200);
    for (kind, text) in [("text/plain", "2"), ("text/plain", ""), ("application/octet-stream", "1")] {
        let answer = publish(kind, text);
        assert_eq!(answer.status, 422, "{kind}, {text:?}");
        assert!(answer.body.contains("this idempotency key came with another message"), "{answer:?}");
    }
    for params in [
        json!({"channel": "room", "data": 2, "idempotency_key": "k"}),
        json!({"channel": "room", "b64data": "MQ==", "idempotency_key": "k"}),
        json!({"channel": "room", "data": 1, "tags": {"a": "b"}, "idempotency_key": "k"}),
        json!({"channel": "room", "data": 1, "skip_history": true, "idempotency_key": "k"}),
    ] {
        let (code, message) = error(&server, "publish", &params);
        assert_eq!(code, 107, "{params}");
        assert!(message.contains("a new message needs a new key"), "{message}");
    }
    let both = json!({"channels": ["room", "other"], "data": 2, "idempotency_key": "k"});
    let responses = result(&server, "broadcast", &both)["responses"].clone();
    assert_eq!(responses[0]["error"]["code"], 107, "{responses}");
    assert_eq!(responses[1], json!({"result": {}}), "the key is a room's");
    assert_eq!(member.text_of(), "1");
    assert_eq!(member.before_pong(), []);
}

#[test]
fn keys_are_forgotten_by_number() {
    let server = start(&["--set", "api.idempotency_keys_max=2"]);
    let mut member = server.join("room");
    for key in ["a", "b", "c", "c", "a"] {
        result(&server, "publish", &json!({"channel": "room", "data": key, "idempotency_key": key}));
    }
    assert_eq!(member.texts(4), [r#""a""#, r#""b""#, r#""c""#, r#""a""#]);
    assert_eq!(member.before_pong(), []);
}

#[test]
fn history_is_read_in_pages_and_removed() {
    let server = server();
    let mut epoch = Value::Null;
    for n in 1..=5 {
        epoch = result(&server, "publish", &json!({"channel": "h-a", "data": n}))["epoch"].clone();
    }
    let since = |offset: u64| json!({"offset": offset, "epoch": epoch});
    for (params, expected) in [
        (json!({}), vec![]),
        (json!({"limit": 0}), vec![]),
        (json!({"limit": -1}), vec![1, 2, 3, 4, 5]),
        (json!({"limit": 2}), vec![1, 2]),
        (json!({"limit": 2, "since": since(2)}), vec![3, 4]),
        (json!({"limit": 2, "since": {"offset": 2}}), vec![3, 4]),
        (json!({"limit": 2, "reverse": true}), vec![5, 4]),
        (json!({"limit": -1, "since": since(3), "reverse": true}), vec![2, 1]),
        (json!({"limit": -1, "since": since(9)}), vec![]),
    ] {
        let mut all = params.clone();
        all["channel"] = json!("h-a");
        let page = result(&server, "history", &all);
        let data: Vec<_> =
            page["publications"].as_array().expect("a list").iter().map(|it| it["data"].clone()).collect();
        assert_eq!(data, expected, "{params}");
        assert_eq!((&page["offset"], &page["epoch"]), (&json!(5), &epoch), "{params}");
    }
    for bad in ["forged", "0"] {
        let params = json!({"channel": "h-a", "limit": 1, "since": {"offset": 1, "epoch": bad}});
        assert_eq!(error(&server, "history", &params).0, 112, "{bad}");
    }
    let nowhere = json!({"channel": "h-nowhere", "limit": -1});
    assert_eq!(result(&server, "history", &nowhere), json!({"publications": [], "offset": 0, "epoch": ""}));
    for method in ["history", "history_remove"] {
        assert_eq!(error(&server, method, &json!({"channel": "plain"})).0, 108, "{method}");
    }
    assert_eq!(result(&server, "history_remove", &json!({"channel": "h-a"})), json!({}));
    let page = result(&server, "history", &json!({"channel": "h-a", "limit": -1}));
    assert_eq!(page["publications"], json!([]));
}

#[test]
fn sessions_are_put_into_rooms_taken_out_and_ended() {
    let server = server();
    let ((mut one, first), (mut two, second)) = (session(&server, "ann"), session(&server, "ann"));
    let (mut three, third) = session(&server, "bob");
    result(&server, "subscribe", &json!({"user": "ann", "client": first, "channel": "h-x"}));
    assert_eq!(next(&mut one)["push"]["channel"], "h-x");
    result(&server, "subscribe", &json!({"client": third, "channel": "h-x"}));
    assert_eq!(next(&mut three)["push"]["channel"], "h-x");
    result(&server, "publish", &json!({"channel": "h-x", "data": 1}));
    for member in [&mut one, &mut three] {
        assert_eq!(next(member)["push"]["pub"]["data"], 1);
    }
    result(&server, "unsubscribe", &json!({"user": "ann", "channel": "h-x"}));
    assert_eq!(next(&mut one)["push"]["unsubscribe"]["code"], 2000);
    result(
        &server,
        "disconnect",
        &json!({"user": "ann", "whitelist": [second], "disconnect": {"code": 4500, "reason": "x"}}),
    );
    assert_eq!(one.next(), Event::Close(Some(4500), "x".to_owned()));
    assert_eq!(two.before_pong(), [], "the client that was spared");
    assert_eq!(result(&server, "refresh", &json!({"user": "ann", "expire_at": 1})), json!({}));
    assert_eq!(two.before_pong(), []);
    result(&server, "refresh", &json!({"client": second, "expired": true}));
    assert_eq!(two.next(), Event::Close(Some(3005), "connection expired".to_owned()));
    result(&server, "disconnect", &json!({"user": "bob"}));
    assert_eq!(three.next(), Event::Close(Some(3503), "force disconnect".to_owned()));
    for (method, params, code) in [
        ("disconnect", json!({}), 107),
        ("disconnect", json!({"user": ""}), 107),
        ("disconnect", json!({"user": "x", "disconnect": {"code": 1000}}), 107),
        ("disconnect", json!({"user": "x", "disconnect": {"reason": "r".repeat(124)}}), 107),
        ("unsubscribe", json!({"channel": "a"}), 107),
        ("subscribe", json!({"user": "x"}), 107),
        ("subscribe", json!({"user": "x", "channel": "a", "expire_at": 5}), 108),
        ("subscribe", json!({"user": "x", "channel": "a", "data": {}}), 108),
        ("subscribe", json!({"user": "x", "channel": "a", "recover_since": {"epoch": "!"}}), 112),
        ("refresh", json!({}), 107),
    ] {
        assert_eq!(error(&server, method, &params).0, code, "{method} {params}");
    }
}

#[test]
fn channels_and_the_node() {
    let server = server();
    let _members = [server.join("a.1"), server.join("a.1"), server.join("a.2"), server.join("b.1")];
    result(&server, "publish", &json!({"channel": "h-nobody", "data": 1}));
    let one = json!({"num_clients": 1});
    let all = json!({"a.1": {"num_clients": 2}, "a.2": one, "b.1": one});
    for (pattern, expected) in [
        (json!({}), all.clone()),
        (json!({"pattern": ""}), all.clone()),
        (json!({"pattern": "*.1"}), json!({"a.1": {"num_clients": 2}, "b.1": one})),
        (json!({"pattern": "[!a].?"}), json!({"b.1": one})),
        (json!({"pattern": "x*"}), json!({})),
    ] {
        assert_eq!(result(&server, "channels", &pattern)["channels"], expected, "{pattern}");
    }
    assert_eq!(error(&server, "channels", &json!({"pattern": "{a,b}"})).0, 107);
    let _sessions = [session(&server, "ann"), session(&server, "ann"), session(&server, "bob")];
    let node = result(&server, "info", &json!({}))["nodes"][0].clone();
    let counts =
        ["num_clients", "num_users", "num_channels", "num_subs"].map(|key| node[key].as_u64().expect("a count"));
    assert_eq!(counts, [7, 2, 3, 4], "{node}");
    assert!(node["process"]["rss"].as_u64().is_some_and(|rss| rss > 1 << 20), "{node}");
    assert_eq!(result(&server, "info", &json!({}))["nodes"][0]["uid"], node["uid"]);
}

#[test]
fn what_this_server_does_not_do() {
    let server = server();
    for (method, params, code) in [
        ("rpc", json!({"method": "m", "params": {}}), 108),
        ("presence", json!({"channel": "plain"}), 108),
        ("publish", json!({"channel": "a", "data": 1, "version": 2}), 108),
        ("block_user", json!({"user": "x"}), 104),
        ("", json!({}), 104),
        ("publish", json!({"channel": "a"}), 107),
        ("publish", json!({"channel": "a", "data": null}), 107),
        ("publish", json!({"channel": "a", "b64data": "?"}), 107),
        ("publish", json!({"channel": "a", "data": "x".repeat(64 << 10)}), 107),
        ("publish", json!({"channel": "a", "data": 1, "tags": {"t": "x".repeat(64 << 10)}}), 107),
        ("publish", json!({"data": 1}), 107),
        ("history", json!({}), 107),
    ] {
        assert_eq!(error(&server, method, &params).0, code, "{method}");
    }
    let mode = [("X-Centrifugo-Error-Mode", "transport")];
    for (method, status, code) in [("rpc", 400, 108), ("nothing", 404, 104), ("history", 400, 107)] {
        let answer = server.request("POST", &format!("/api/{method}"), &mode, b"{}");
        assert_eq!((answer.status, &body(&answer)["code"]), (status, &json!(code)), "{answer:?}");
    }
}

#[test]
fn batches_and_lines() {
    let server = start(&["--set", "api.commands_max=4"]);
    let mut member = server.join("h-a");
    for parallel in [false, true] {
        let commands = json!([
            {"publish": {"channel": "h-a", "data": 1}},
            {"nothing": {}},
            {"publish": {"channel": 5}},
            {"channels": {}},
        ]);
        let answer = call(&server, "batch", &json!({"commands": commands, "parallel": parallel}));
        let replies = answer["replies"].as_array().expect("a list");
        assert!(replies[0]["publish"]["offset"].is_u64(), "{answer}");
        assert_eq!((&replies[1]["error"]["code"], &replies[2]["error"]["code"]), (&json!(104), &json!(107)));
        assert_eq!(replies[3]["channels"]["channels"], json!({"h-a": {"num_clients": 1}}));
        assert_eq!(member.text_of(), "1");
    }
    assert_eq!(call(&server, "batch", &json!({"commands": []})), json!({"replies": []}));
    assert_eq!(error(&server, "batch", &json!({"commands": [{}, {}, {}, {}, {}]})).0, 107);
    let nested = call(&server, "batch", &json!({"commands": [{"batch": {"commands": []}}, {}]}));
    assert_eq!(
        (&nested["replies"][0]["error"]["code"], &nested["replies"][1]["error"]["code"]),
        (&json!(107), &json!(107))
    );

    let line = r#"{"id":3,"method":"publish","params":{"channel":"h-a","data":2}}"#;
    let answer = server.request("POST", "/api", &[], format!("{line}\n{{\"method\":\"x\"}}").as_bytes());
    let replies: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(replies.len(), 2, "{answer:?}");
    assert_eq!((&replies[0]["id"], &replies[0]["result"]["offset"]), (&json!(3), &json!(3)));
    assert_eq!(replies[1]["error"]["code"], 104);
    assert_eq!(member.text_of(), "2");
}

#[test]
fn what_is_no_call_has_a_status_of_its_own() {
    let server = start(&["--set", "api.request_bytes_max=70000"]);
    let deep = format!("{{\"channel\":\"a\",\"data\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let long = format!("{{\"channel\":\"a\",\"data\":\"{}\"}}", "x".repeat(70_000));
    for (path, body, status) in [
        ("/api/publish", &b""[..], 400),
        ("/api/publish", b"{", 400),
        ("/api/publish", b"[]x", 400),
        ("/api/publish", b"{\"channel\":\"a\",\"data\":\"\xff\"}", 400),
        ("/api/publish", br#"{"channel":7,"data":1}"#, 400),
        ("/api/publish", br#"{"channel":"a","data":1} {}"#, 400),
        ("/api/publish", deep.as_bytes(), 400),
        ("/api/publish", long.as_bytes(), 413),
        ("/api", b"{", 400),
        ("/api", b"", 400),
    ] {
        let answer = server.request("POST", path, &[], body);
        assert_eq!(answer.status, status, "{path} {}: {answer:?}", String::from_utf8_lossy(body));
    }
    for method in ["GET", "PUT", "DELETE"] {
        let answer = server.request(method, "/api/publish", &[], b"");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    }
    // As long as a message may be, and then some for the call around it.
    let body = json!({"channel": "a", "data": "x".repeat((64 << 10) - 2)});
    assert_eq!(result(&server, "publish", &body), json!({}));
    let answer = server.request("POST", "/api/info", &[("Origin", "https://evil.example")], b"{}");
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[test]
fn the_network_needs_the_key() {
    let call = |server: &Server, path: &str, headers: &[(&str, &str)]| {
        let answer = server.request("POST", path, headers, b"{}");
        assert!(!answer.body.contains(KEY), "the key is told: {answer:?}");
        answer.status
    };
    let set = format!("api_key={KEY}");
    let without = Server::listening("0.0.0.0:0", &[]);
    assert_eq!(call(&without, "/api/info", &[]), 401);
    assert_eq!(call(&without, "/api/info", &[("X-API-Key", KEY)]), 401, "no key is set, so none is right");
    assert_eq!(without.request("GET", "/api/openapi.json", &[], b"").status, 200);
    let (network, loopback) = (Server::listening("0.0.0.0:0", &["--set", &set]), Server::start(&["--set", &set]));
    let (apikey, bearer) = (format!("apikey {KEY}"), format!("Bearer {KEY}"));
    let query = format!("/api/info?api_key={KEY}");
    for (path, headers, status) in [
        ("/api/info", &[("X-API-Key", KEY)][..], 200),
        ("/api/info", &[("Authorization", &apikey)], 200),
        ("/api/info", &[("Authorization", &bearer)], 200),
        (&query, &[], 200),
        ("/api/info", &[("X-API-Key", "0123456789abcdef-kez")], 401),
        ("/api/info", &[("Authorization", KEY)], 401),
        ("/api/info", &[("X-API-Key", "wrong"), ("Authorization", &apikey)], 401),
        ("/api/info?api_key=wrong", &[], 401),
        (&query, &[("X-API-Key", "")], 401),
    ] {
        assert_eq!(call(&network, path, headers), status, "{path} {headers:?}");
        assert_eq!(call(&loopback, path, headers), status, "on loopback: {path} {headers:?}");
    }
    assert_eq!((call(&network, "/api/info", &[]), call(&loopback, "/api/info", &[])), (401, 200));
    assert_eq!((call(&network, "/api", &[]), call(&network, "/api/nothing", &[])), (401, 401));
}

/// Checks that a value is as a schema of the description says.
fn check(description: &Value, schema: &Value, value: &Value, what: &str) {
    let mut whole = schema.clone();
    // The schema refers to others by their place in the description.
    whole["components"] = description["components"].clone();
    let validator = jsonschema::draft202012::new(&whole).unwrap_or_else(|error| panic!("{what}: {error}"));
    if let Err(error) = validator.validate(value) {
        panic!("{what}: {error} at {}, in {value}", error.instance_path());
    }
}

#[test]
fn the_description_tells_the_truth() {
    let server = server();
    let answer = server.request("GET", "/api/openapi.json", &[], b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let description = body(&answer);
    let _member = server.join("scores");
    result(&server, "publish", &json!({"channel": "h-scores", "data": 1, "tags": {"a": "b"}}));
    let mut checked = 0;
    for (path, operations) in description["paths"].as_object().expect("paths") {
        let Some(operation) = operations.get("post") else {
            let ok = &operations["get"]["responses"]["200"]["content"]["application/json"]["schema"];
            check(&description, ok, &body(&server.request("GET", path, &[], b"")), path);
            continue;
        };
        let request = &operation["requestBody"]["content"]["application/json"];
        let answers = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let mut examples = vec![request["example"].clone()];
        if let Some(channel) = request["example"]["channel"].as_str() {
            // The same where there is a history.
            let mut example = request["example"].clone();
            example["channel"] = json!(format!("h-{channel}"));
            examples.push(example);
        }
        for example in examples {
            check(&description, &request["schema"], &example, path);
            let answer = server.request("POST", path, &[], example.to_string().as_bytes());
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            check(&description, answers, &body(&answer), path);
            checked += 1;
        }
        // No channel, no sessions, no commands: an error, or the answer to a call without parameters.
        let answer = server.request("POST", path, &[], b"{}");
        check(&description, answers, &body(&answer), path);
    }
    assert!(checked > 20, "{checked} examples");
}

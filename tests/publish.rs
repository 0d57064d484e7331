//! Publishing from outside, over HTTP: what is taken, what is refused and why, and who may.
#![cfg(feature = "server")]

mod support;

use std::io::Read as _;

use support::{Event, Http, Server};

const KEY: &str = "0123456789abcdef-key";

#[test]
fn the_content_type_decides_what_members_get() {
    let server = Server::start(&[]);
    let mut member = server.join("room");
    let mut http = server.http();
    let text = Event::Text("{\"a\":1}".to_owned());
    let binary = Event::Binary(b"{\"a\":1}".to_vec());
    let mut offset = 0;
    for (content_type, expected) in [
        (None, &text),
        (Some("text/plain"), &text),
        (Some("TEXT/HTML; charset=utf-8"), &text),
        (Some("application/json"), &text),
        (Some("application/json; charset=utf-8"), &text),
        (Some("application/problem+json"), &text),
        (Some("application/x-www-form-urlencoded"), &text),
        (Some("application/octet-stream"), &binary),
    ] {
        let headers: Vec<_> = content_type.map(|value| ("Content-Type", value)).into_iter().collect();
        let answer = http.request("POST", "/rooms/room", &headers, b"{\"a\":1}");
        offset += 1;
        assert_eq!(answer.published(), (offset, 1), "{content_type:?}");
        assert_eq!(member.next(), *expected, "{content_type:?}");
    }
    for content_type in ["image/png", "multipart/form-data", "json"] {
        let answer = http.request("POST", "/rooms/room", &[("Content-Type", content_type)], b"x");
        assert_eq!(answer.status, 415, "{answer:?}");
    }
    assert_eq!(http.publish("room", "").published(), (offset + 1, 1));
    assert_eq!(member.next(), Event::Text(String::new()));
    assert_eq!(http.publish("other", "x").published(), (1, 0));
    assert_eq!(member.before_pong(), []);
}

#[test]
fn what_is_too_long_or_not_text_is_refused() {
    let server = Server::start(&["--set", "limits.message_bytes_max=1000"]);
    let mut member = server.join("room");
    let publish =
        |content_type, body: &[u8]| server.request("POST", "/rooms/room", &[("Content-Type", content_type)], body);
    assert_eq!(publish("text/plain", &[b'x'; 1_000]).published(), (1, 1));
    let answer = publish("text/plain", &[b'x'; 1_001]);
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("limits.message_bytes_max is 1000"), "{answer:?}");
    let chunked = "Transfer-Encoding: chunked\r\n\r\n3e8\r\n";
    let mut http = server.http();
    let head = format!("POST /rooms/room HTTP/1.1\r\nHost: x\r\n{chunked}{}\r\n1\r\nx\r\n0\r\n\r\n", "x".repeat(1_000));
    http.send_raw(head.as_bytes()).expect("the server reads");
    assert_eq!(http.answer("POST").expect("an answer").status, 413);
    let answer = publish("text/plain", b"ab\xff");
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("UTF-8 at byte 2"), "{answer:?}");
    assert_eq!(publish("application/octet-stream", b"ab\xff").published(), (2, 1));
    assert_eq!(member.next(), Event::Text("x".repeat(1_000)));
    assert_eq!(member.next(), Event::Binary(b"ab\xff".to_vec()));
    assert_eq!(member.before_pong(), []);
}

#[test]
fn chunks_and_pipelines_and_split_heads_are_taken() {
    let server = Server::start(&[]);
    let mut member = server.join("room");
    let mut http = server.http();
    for part in [
        "POST /rooms/ro",
        "om HTTP/1.1\r\nHost: x\r\nTransfer-Enc",
        "oding: chunked\r\n\r\n5\r\nhel",
        "lo\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n",
    ] {
        http.send_raw(part.as_bytes()).expect("the server reads");
    }
    assert_eq!(http.answer("POST").expect("an answer").published(), (1, 1));
    assert_eq!(member.text_of(), "hello world");
    let one = "POST /rooms/room HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n";
    let three: String = ["a", "b", "c"].map(|body| format!("{one}{body}")).concat();
    http.send_raw(three.as_bytes()).expect("the server reads");
    for (offset, text) in [(2, "a"), (3, "b"), (4, "c")] {
        assert_eq!(http.answer("POST").expect("an answer").published(), (offset, 1));
        assert_eq!(member.text_of(), text);
    }
}

#[test]
fn the_methods_and_paths_that_there_are() {
    let server = Server::start(&[]);
    let mut http = server.http();
    for (method, path, status) in [
        ("GET", "/rooms/room", 405),
        ("PUT", "/rooms/room", 405),
        ("HEAD", "/rooms/room", 405),
        ("GET", "/nowhere", 404),
        ("POST", "/nowhere", 404),
        ("DELETE", "/health/live", 404),
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("HEAD", "/health/live", 200),
        ("HEAD", "/metrics", 200),
        ("POST", "/rooms/a%20b", 400),
    ] {
        let answer = http.request(method, path, &[], b"");
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(answer.header("content-length").is_some_and(|length| length != "0"), "{answer:?}");
        if status == 405 {
            assert_eq!(answer.header("allow"), Some("POST"));
        }
    }
    assert_eq!(http.publish("room", "the connection is still good").published(), (1, 0));
}

#[test]
fn what_there_is_is_named_where_there_is_nothing() {
    let server = Server::start(&[]);
    let answer = server.request("GET", "/nowhere", &[], b"");
    let named = answer.body.trim_end().strip_prefix("there are ").expect("a list");
    let named: Vec<(&str, &str)> =
        named.split(", ").map(|route| route.split_once(' ').unwrap_or(("GET", route))).collect();
    for (method, path) in [
        ("GET", "/ws/ROOM"),
        ("GET", "/sse/ROOM"),
        ("POST", "/rooms/ROOM"),
        ("GET", "/rooms/ROOM/messages"),
        ("GET", "/connection/websocket"),
        ("GET", "/connection/sse"),
        ("GET", "/connection/http_stream"),
        ("POST", "/emulation"),
        ("POST", "/api/METHOD"),
        ("GET", "/api/openapi.json"),
        ("GET", "/metrics"),
    ] {
        assert!(named.contains(&(method, path)), "{method} {path}: {named:?}");
    }
    for (method, path) in named {
        let path = path.replace("ROOM", "room").replace("METHOD", "info");
        // Of a stream, the rest does not end.
        let mut http = server.http();
        http.send_raw(format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").as_bytes())
            .expect("the server reads");
        let mut status = [0; 12];
        http.stream.read_exact(&mut status).expect("an answer");
        assert!(!status.ends_with(b"404"), "{method} {path} is not there");
    }
}

#[test]
fn other_sites_may_not_publish() {
    let server = Server::start(&[]);
    let publish = |origin: &str| server.request("POST", "/rooms/room", &[("Origin", origin)], b"x");
    assert_eq!(publish(&format!("http://{}", server.address())).status, 200);
    for origin in ["https://evil.example", "null"] {
        let answer = publish(origin);
        assert_eq!(answer.status, 403);
        assert!(answer.body.contains("allowed_origins"), "{answer:?}");
    }
    let server = Server::start(&["--set", "allowed_origins=https://good.example"]);
    assert_eq!(server.request("POST", "/rooms/r", &[("Origin", "https://good.example")], b"x").status, 200);
}

#[test]
fn the_network_needs_the_key() {
    let server = Server::listening("0.0.0.0:0", &[]);
    let mut member = server.join("room");
    let answer = server.publish("room", "x");
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("api_key"), "{answer:?}");
    let shown = server.request("POST", "/rooms/room", &[("X-API-Key", KEY)], b"x");
    assert_eq!(shown.status, 403, "no key is set, so none is right: {shown:?}");
    // Members may talk all the same.
    member.text("hello");
    assert_eq!(member.text_of(), "hello");

    let server = Server::listening("0.0.0.0:0", &["--set", &format!("api_key={KEY}")]);
    let mut member = server.join("room");
    let bearer = format!("Bearer {KEY}");
    for (headers, status) in [
        (&[][..], 403),
        (&[("X-API-Key", "0123456789abcdef-kez")], 403),
        (&[("X-API-Key", "")], 403),
        (&[("Authorization", "Bearer 0123456789abcdef")], 403),
        (&[("Authorization", KEY)], 403),
        (&[("X-API-Key", KEY)], 200),
        (&[("Authorization", &bearer)], 200),
    ] {
        let answer = server.request("POST", "/rooms/room", headers, b"x");
        assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
        assert_eq!(status == 403, answer.body.contains("api_key"), "{answer:?}");
        assert!(!answer.body.contains(KEY), "the key is told: {answer:?}");
    }
    assert_eq!(member.texts(2), ["x", "x"]);
    assert_eq!(member.before_pong(), []);
}

#[test]
fn on_loopback_the_key_may_be_missing_but_not_wrong() {
    let server = Server::start(&["--set", &format!("api_key={KEY}")]);
    for (headers, status) in
        [(&[][..], 200), (&[("X-API-Key", KEY)], 200), (&[("X-API-Key", "wrong"), ("Content-Type", "text/plain")], 403)]
    {
        assert_eq!(server.request("POST", "/rooms/room", headers, b"x").status, status, "{headers:?}");
    }
}

#[test]
fn broken_requests_cost_nobody_else_anything() {
    let server = Server::start(&[]);
    let mut member = server.join("room");
    for broken in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "POST /rooms/room HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        "POST /rooms/room HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let mut http: Http = server.http();
        http.send_raw(broken.as_bytes()).expect("the server reads");
        let answer = http.answer("POST").expect("an answer");
        assert!((400..500).contains(&answer.status), "{broken:?}: {answer:?}");
        assert!(http.ends(), "{broken:?}: the connection goes on");
    }
    let mut cut = server.http();
    cut.send_raw(b"POST /rooms/room HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf").expect("the server reads");
    drop(cut);
    assert_eq!(server.publish("room", "fine").published(), (1, 1));
    assert_eq!(member.text_of(), "fine");
}

//! Answers without end: rooms as server-sent events, and sessions of stock clients over HTTP.
#![cfg(feature = "server")]

mod support;

use std::net::Shutdown;

use serde_json::{Value, json};
use socket2::SockRef;
use support::{Event, Http, SentEvent, Server, Signal, Stream, eventually};

const KEEPS: [&str; 2] = ["--set", "room.history_count_max=5"];

fn sse(server: &Server, path: &str, fields: &[(&str, &str)]) -> Stream {
    let mut stream = Stream::open(server.http(), "GET", path, fields, b"");
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    assert_eq!(stream.block().as_deref(), Some("retry: 2000"));
    stream
}

/// Epoch and offset that an event which tells the position has, in its id and in its data.
fn position(event: &SentEvent) -> (String, u64) {
    let data: Value = serde_json::from_str(&event.data).expect("the data is JSON");
    let (epoch, offset) = (data["epoch"].as_str().expect("a text"), data["offset"].as_u64().expect("a number"));
    assert_eq!(event.id, format!("{epoch}:{offset}"));
    (epoch.to_owned(), offset)
}

fn published(server: &Server, room: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(server.publish(room, text).status, 200);
    }
}

/// A session over a stream.
struct Session {
    stream: Stream,
    id: String,
}

impl Session {
    fn connect(server: &Server, path: &str) -> Self {
        let is_events = path.starts_with("/connection/sse");
        let connect = br#"{"connect":{},"id":1}"#;
        let mut stream = Stream::open(server.http(), "POST", path, &[], connect);
        if is_events {
            assert_eq!(stream.header("content-type"), Some("text/event-stream"));
            assert_eq!(stream.piece("\r\n").as_deref(), Some(""));
        } else {
            assert_eq!(stream.header("content-type"), Some("application/json"));
        }
        let mut session = Self { stream, id: String::new() };
        let reply = session.object();
        session.id = reply["connect"]["session"].as_str().expect("a session").to_owned();
        session
    }

    fn object(&mut self) -> Value {
        let text = match self.stream.header("content-type") {
            Some("text/event-stream") => self.stream.text(),
            _ => self.stream.line().expect("a line comes"),
        };
        serde_json::from_str(&text).expect("an object")
    }

    fn says(&self, server: &Server, data: &str) -> u16 {
        let body = json!({ "session": self.id, "node": "", "data": data }).to_string();
        server.request("POST", "/emulation", &[("Content-Type", "application/json")], body.as_bytes()).status
    }
}

/// Until its stream ends, a session is heard during a drain as ever, on connections of its client's own; nobody else
/// is.
#[test]
fn a_session_is_heard_during_a_drain() {
    let arguments = ["--drain", "10m", "--shards", "1", "--set", "room.history_count_max=5"];
    for path in ["/connection/sse", "/connection/http_stream"] {
        let mut server = Server::start(&arguments);
        // One is told to go in 10 ms: the session, which comes last, in 15 s.
        let members: Vec<_> = (0..1_500).map(|_| server.join("crowd")).collect();
        let mut session = Session::connect(&server, path);
        server.signal(Signal::TERM);
        eventually("the drain", || (server.request("GET", "/health/ready", &[], b"").status == 503).then_some(()));
        for id in 2..6 {
            assert_eq!(session.says(&server, &format!(r#"{{"id":{id},"subscribe":{{"channel":"room-{id}"}}}}"#)), 204);
            let reply = session.object();
            assert!(reply["id"] == id && reply["subscribe"].is_object(), "{reply}");
        }
        assert_eq!(server.publish("crowd", "too late").status, 503);
        let refused = server.request("POST", "/connection/http_stream", &[], br#"{"connect":{},"id":1}"#);
        assert_eq!(refused.status, 503, "{refused:?}");
        assert_eq!(server.joining("crowd").refused().status, 503);
        drop(members);
        let end = session.object();
        assert_eq!(end["push"]["disconnect"]["code"], 3001, "{end}");
        drop(session);
        assert_eq!(server.exit_code(), Some(0), "{}", server.process().errors());
    }
}

#[test]
fn a_room_as_events() {
    let server = Server::start(&[]);
    let mut stream = sse(&server, "/sse/room", &[]);
    let (epoch, offset) = position(&stream.event().expect("it says where it is"));
    assert_eq!(offset, 0);
    let raw = server.join("room");
    published(&server, "room", &["one", "two\nlines\r\nand a third\n", "{\"a\": 1}", ""]);
    let bytes = server.request("POST", "/rooms/room", &[("Content-Type", "application/octet-stream")], b"\x00\xff");
    assert_eq!(bytes.status, 200);
    raw.text("from a raw member");
    let expected = [
        ("", "one"),
        ("", "two\nlines\nand a third\n"),
        ("", "{\"a\": 1}"),
        ("", ""),
        ("binary", "AP8="),
        ("", "from a raw member"),
    ];
    for (offset, (name, data)) in (1..).zip(expected) {
        let (name, data, id) = (name.to_owned(), data.to_owned(), format!("{epoch}:{offset}"));
        assert_eq!(stream.event(), Some(SentEvent { name, id, data }));
    }
    // What it says means nothing, that it goes does.
    stream.http.send_raw(b"GET /sse/room HTTP/1.1\r\n\r\n").expect("the server reads");
    published(&server, "room", &["more"]);
    assert_eq!(stream.text(), "more");
    drop(stream);
    server.until("one member", |metrics| metrics.get("connections") == 2);
    assert_eq!(server.join("other").before_pong(), Vec::new());
}

#[test]
fn a_room_is_resumed() {
    let server = Server::start(&KEEPS);
    published(&server, "room", &["1", "2", "3", "4", "5", "6", "7"]);
    let mut stream = sse(&server, "/sse/room", &[]);
    let (epoch, offset) = position(&stream.event().expect("it says where it is"));
    assert_eq!(offset, 7);
    let at = |offset: u64| format!("{epoch}:{offset}");
    let texts = |stream: &mut Stream, count: usize| (0..count).map(|_| stream.text()).collect::<Vec<_>>();
    for (path, id, expected) in [
        ("/sse/room".to_owned(), Some(at(4)), vec!["5", "6", "7"]),
        ("/sse/room?last=1".to_owned(), Some(at(5)), vec!["6", "7"]),
        (format!("/sse/room?since={}", at(2)), None, vec!["3", "4", "5", "6", "7"]),
        (format!("/sse/room?since={}", at(7)), None, vec![]),
        ("/sse/room?last=2&name=ann".to_owned(), None, vec!["6", "7"]),
        ("/sse/room?last=100".to_owned(), None, vec!["3", "4", "5", "6", "7"]),
    ] {
        let id: Vec<_> = id.iter().map(|id| ("Last-Event-ID", id.as_str())).collect();
        let mut resumed = sse(&server, &path, &id);
        assert_eq!(texts(&mut resumed, expected.len()), expected, "{path} {id:?}");
        published(&server, "other", &["nobody hears this"]);
    }
    for id in [at(1), at(8), "0:7".to_owned(), "42".to_owned(), "not of this server".to_owned()] {
        let mut lost = sse(&server, "/sse/room", &[("Last-Event-ID", &id)]);
        let event = lost.event().expect("it says that something is lost");
        assert_eq!((event.name.as_str(), position(&event)), ("lost", (epoch.clone(), 7)), "{id}");
        drop(lost);
    }
    let mut resumed = sse(&server, "/sse/room", &[("Last-Event-ID", &at(6))]);
    published(&server, "room", &["8"]);
    assert_eq!((texts(&mut resumed, 2), stream.text()), (vec!["7".to_owned(), "8".to_owned()], "8".to_owned()));
}

#[test]
fn bad_requests() {
    let server = Server::start(&["--set", "allowed_origins=https://good.example"]);
    let connect = br#"{"connect":{},"id":1}"#;
    let long = vec![b' '; (64 << 10) + 1];
    for (method, path, fields, body, status) in [
        ("GET", "/sse/", &[][..], &b""[..], 400),
        ("GET", "/sse/a/b", &[], b"", 400),
        ("GET", "/sse/%ff", &[], b"", 400),
        ("GET", "/sse/a?since=1:1&last=1", &[], b"", 400),
        ("GET", "/sse/a?since=x", &[], b"", 400),
        ("GET", "/sse/a?last=x", &[], b"", 400),
        ("GET", "/sse/a?name=%20", &[], b"", 400),
        ("POST", "/sse/a", &[], b"", 405),
        ("HEAD", "/sse/a", &[], b"", 405),
        ("GET", "/connection/http_stream", &[], b"", 405),
        ("PUT", "/connection/sse", &[], connect, 405),
        ("GET", "/connection/sse", &[], b"", 400),
        ("GET", "/connection/sse?cf_connect=", &[], b"", 400),
        ("GET", "/connection/sse?cf_connect=%7B%7D", &[], b"", 400),
        ("GET", "/connection/sse?cf_connect=%ff", &[], b"", 400),
        ("POST", "/connection/http_stream", &[], b"", 400),
        ("POST", "/connection/http_stream", &[], b"{", 400),
        ("POST", "/connection/http_stream", &[], b"\n", 400),
        ("POST", "/connection/http_stream", &[], br#"{"subscribe":{"channel":"a"},"id":1}"#, 400),
        ("POST", "/connection/http_stream?cf_protocol=protobuf", &[], connect, 400),
        ("POST", "/connection/http_stream", &[("Content-Type", "application/octet-stream")], connect, 400),
        ("POST", "/connection/http_stream", &[], &long, 413),
        ("POST", "/connection/sse", &[("Origin", "https://evil.example")], connect, 403),
        ("GET", "/sse/a", &[("Origin", "null")], b"", 403),
        ("GET", "/emulation", &[], b"", 405),
        ("POST", "/emulation", &[], b"", 400),
        ("POST", "/emulation", &[], b"[]", 400),
        ("POST", "/emulation", &[], br#"{"session":1,"data":""}"#, 400),
        ("POST", "/emulation", &[], br#"{"session":"x","node":"y","data":"{}"}"#, 404),
        ("POST", "/emulation", &[], br#"{"session":"0-0-0-x","data":"{}"}"#, 204),
        ("POST", "/emulation", &[], &long, 413),
        ("POST", "/emulation", &[("Origin", "https://evil.example")], b"{}", 403),
        ("OPTIONS", "/emulation", &[("Origin", "https://evil.example")], b"", 403),
        ("GET", "/connection/other", &[], b"", 404),
    ] {
        let answer = server.request(method, path, fields, body);
        assert_eq!(answer.status, status, "{method} {path} {fields:?}: {answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{method} {path}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{method} {path}");
    }
    let mut old = server.http();
    old.send_raw(b"GET /sse/a HTTP/1.0\r\nHost: a\r\n\r\n").expect("the server reads");
    eventually("the answer to HTTP/1.0", || {
        let bytes = &mut [0; 12];
        std::io::Read::read_exact(&mut &old.stream, bytes).ok()?;
        assert_eq!(bytes, b"HTTP/1.0 505");
        Some(())
    });
    drop(old);
    server.until("nobody left behind", |metrics| metrics.get("connections") == 1 && metrics.get("rooms") == 0);
}

#[test]
fn pages_of_other_origins() {
    let server = Server::start(&["--set", "allowed_origins=https://good.example"]);
    let good = ("Origin", "https://good.example");
    let fields = [good, ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "content-type")];
    for path in ["/emulation", "/connection/http_stream", "/connection/sse", "/sse/room"] {
        let answer = server.request("OPTIONS", path, &fields, b"");
        assert_eq!(answer.status, 204, "{path}");
        for (name, value) in [
            ("access-control-allow-origin", "https://good.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-headers", "content-type"),
            ("access-control-max-age", "300"),
            ("vary", "origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path} {name}");
        }
    }
    let unknown = server.request("POST", "/emulation", &[good], br#"{"session":"x","data":"{}"}"#);
    assert_eq!((unknown.status, unknown.header("access-control-allow-origin")), (204, Some("https://good.example")));
    let stream = sse(&server, "/sse/room", &[good]);
    assert_eq!(stream.header("access-control-allow-origin"), Some("https://good.example"));
    assert_eq!(stream.header("access-control-allow-credentials"), Some("true"));
}

#[test]
fn sessions_speak_by_requests_of_their_own() {
    let server = Server::start(&KEEPS);
    for path in ["/connection/http_stream?name=ann", "/connection/sse?name=ann"] {
        let mut session = Session::connect(&server, path);
        let commands = "{\"subscribe\":{\"channel\":\"room\"},\"id\":2}\n{\"presence\":{\"channel\":\"x\"},\"id\":3}";
        assert_eq!(session.says(&server, commands), 204);
        let mut ids = [session.object(), session.object()].map(|reply| reply["id"].as_u64());
        ids.sort_unstable();
        assert_eq!(ids, [Some(2), Some(3)]);
        published(&server, "room", &["text"]);
        assert_eq!(session.object()["push"]["pub"]["data"], "text");
        let mut raw = server.join("room");
        assert_eq!(session.says(&server, "{\"publish\":{\"channel\":\"room\",\"data\":{\"a\":1}},\"id\":4}"), 204);
        assert_eq!(raw.text_of(), "{\"a\":1}");
        let push_or_reply = [session.object(), session.object()];
        assert!(push_or_reply.iter().any(|object| object["id"] == 4), "{push_or_reply:?}");
        assert!(push_or_reply.iter().any(|object| object["push"]["pub"]["info"]["user"] == "ann"), "{push_or_reply:?}");
        // A command that is none ends the session, and says why before the stream ends.
        assert_eq!(session.says(&server, "{"), 204);
        assert_eq!(session.object()["push"]["disconnect"]["code"], 3501);
        // It is gone, which its stream tells; an error here would have a stock client drop that unread.
        assert_eq!(session.says(&server, "{}"), 204);
        assert_eq!(session.stream.block(), None);
        assert!(session.stream.ends(), "the stream goes on");
    }
    let query = "/connection/sse?cf_connect=%7B%22connect%22%3A%7B%22data%22%3A%22a+b%22%7D%2C%22id%22%3A1%7D";
    let mut stream = Stream::open(server.http(), "GET", query, &[], b"");
    assert_eq!(stream.piece("\r\n").as_deref(), Some(""));
    assert!(stream.text().contains("\"id\":1"));
}

#[test]
fn a_later_request_of_a_kept_connection_is_taken_over() {
    let server = Server::start(&[]);
    let mut http = server.http();
    for _ in 0..3 {
        assert_eq!(http.request("GET", "/health/live", &[], b"").status, 200);
    }
    let mut stream = Stream::open(http, "GET", "/sse/room", &[], b"");
    assert_eq!(stream.block().as_deref(), Some("retry: 2000"));
    assert_eq!(stream.event().expect("it begins").name, "live");
    published(&server, "room", &["text"]);
    assert_eq!(stream.text(), "text");
}

#[test]
fn answers_that_wait_to_be_written_come_before_the_stream() {
    let server = Server::start(&[]);
    let http = server.http();
    SockRef::from(&http.stream).set_recv_buffer_size(32 << 10).expect("the stream is open");
    // More than all buffers hold: when the stream is asked for, answers are still on the server's side.
    let count = 100;
    let mut requests = http.head("GET", "/page.js", &[]).repeat(count);
    requests += &http.head("GET", "/sse/room", &[]);
    let mut sending = Http::over(http.stream.try_clone().expect("there is a file left"), server.address());
    let mut http = http;
    std::thread::scope(|scope| {
        scope.spawn(move || sending.send_raw(requests.as_bytes()).expect("the server reads"));
        let page = server.request("GET", "/page.js", &[], b"").body;
        for _ in 0..count {
            let answer = http.answer("GET").expect("every request is answered");
            assert!(answer.status == 200 && answer.body == page, "damaged");
        }
        let mut stream = Stream::answered(http);
        assert_eq!(stream.block().as_deref(), Some("retry: 2000"));
        assert_eq!(stream.event().expect("it begins").name, "live");
    });
}

#[test]
fn bodies_that_come_in_pieces_or_not_at_all() {
    let server = Server::start(&[]);
    let connect = "{\"connect\":{},\"id\":1}";
    let fields = [("Transfer-Encoding", "chunked"), ("Expect", "100-continue")];
    let mut http = server.http();
    let head = http.head("POST", "/connection/http_stream", &fields);
    http.send_raw(head.as_bytes()).expect("the server reads");
    assert_eq!(http.answer("POST").expect("it says to go on").status, 100);
    for piece in connect.as_bytes() {
        http.send_raw(&[b'1', b'\r', b'\n', *piece, b'\r', b'\n']).expect("the server reads");
    }
    http.send_raw(b"0\r\n\r\n").expect("the server reads");
    let mut whole = Stream::answered(http);
    assert!(whole.line().expect("a reply").contains("\"connect\""));
    for (length, body) in [("100", connect), ("21", "{\"connect"), ("1", "")] {
        let mut http = server.http();
        let head = http.head("POST", "/connection/http_stream", &[("Content-Length", length)]);
        http.send_raw((head + body).as_bytes()).expect("the server reads");
        http.stream.shutdown(Shutdown::Write).expect("the stream is open");
        // Whether it is told so or merely closed: it does not become a stream.
        let answered = http.answer("POST").map(|answer| answer.status);
        assert!(matches!(answered, Ok(400) | Err(_)), "{answered:?}");
    }
    server.until("one connection beside this", |metrics| metrics.get("connections") == 2);
}

#[test]
fn whoever_does_not_read_is_closed_and_nobody_else() {
    let settings = ["--set", "room.window_bytes_max=512KiB", "--set", "room.window_age_max=1h"];
    let server = Server::start(&settings);
    let http = server.http();
    SockRef::from(&http.stream).set_recv_buffer_size(4_096).expect("the stream is open");
    let mut stalled = Stream::open(http, "GET", "/sse/room", &[], b"");
    let mut reader = sse(&server, "/sse/room", &[]);
    assert_eq!(reader.event().expect("it begins").name, "live");
    let body = "x".repeat(8_000);
    let mut published = 0_usize;
    while server.metrics().disconnects("slow") == 0 {
        for _ in 0..16 {
            assert_eq!(server.publish("room", &format!("{published} {body}")).status, 200);
            published += 1;
            assert!(reader.text().starts_with(&format!("{} ", published - 1)), "somebody who reads missed something");
        }
        assert!(published < 10_000, "nobody is slow");
    }
    // What it got is whole, in order, and ends as an answer ends.
    assert_eq!(stalled.block().as_deref(), Some("retry: 2000"));
    assert_eq!(stalled.event().expect("it begins").name, "live");
    let mut count = 0;
    while let Some(event) = stalled.event() {
        assert_eq!(event.data, format!("{count} {body}"));
        count += 1;
    }
    assert!(count < published && stalled.ends(), "{count} of {published}");
}

#[test]
fn comments_keep_a_quiet_stream_awake() {
    let server = Server::start(&["--set", "heartbeat.ping_interval=1s", "--set", "heartbeat.silence_max=2s"]);
    let mut stream = sse(&server, "/sse/room", &[]);
    assert!(stream.block().expect("it begins").starts_with("event: live"));
    for _ in 0..4 {
        // Longer than anybody may be silent who could answer.
        assert_eq!(stream.block().as_deref(), Some(":"));
    }
    published(&server, "room", &["text"]);
    assert_eq!(stream.text(), "text");
}

#[test]
fn a_drain_ends_streams_in_order() {
    let mut server = Server::start(&["--drain", "300ms"]);
    let mut events = sse(&server, "/sse/room", &[]);
    let mut sessions = ["/connection/http_stream", "/connection/sse"].map(|path| Session::connect(&server, path));
    for session in &mut sessions {
        assert_eq!(session.says(&server, "{\"subscribe\":{\"channel\":\"room\"},\"id\":2}"), 204);
        assert_eq!(session.object()["id"], 2);
    }
    published(&server, "room", &["last"]);
    server.signal(Signal::TERM);
    assert_eq!(events.event().expect("it begins").name, "live");
    assert_eq!(events.text(), "last");
    assert_eq!(events.event(), None);
    assert!(events.ends(), "the stream goes on");
    for mut session in sessions {
        assert_eq!(session.object()["push"]["pub"]["data"], "last");
        assert_eq!(session.object()["push"]["disconnect"]["code"], 3001);
        assert_eq!(session.stream.line(), None);
        assert!(session.stream.ends(), "the stream goes on");
    }
    assert_eq!(server.exit_code(), Some(0), "{}", server.process().errors());
}

#[test]
fn who_comes_during_a_drain_comes_back() {
    let mut server = Server::start(&["--drain", "10m", "--set", "limits.close_time_max=60s"]);
    let (mut member, mut events, mut session) = (server.join("room"), server.http(), server.http());
    for http in [&mut events, &mut session] {
        assert_eq!(http.request("GET", "/health/live", &[], b"").status, 200);
    }
    server.signal(Signal::TERM);
    server.until_nobody_listens();
    // A browser gives up for good if it is told of an error; after the end of a stream it comes back.
    let answer = events.request("GET", "/sse/room", &[("Last-Event-ID", "1:1")], b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!((answer.body.as_str(), answer.header("connection")), ("retry: 2000\n\n", Some("close")));
    let answer = session.request("POST", "/connection/http_stream", &[], br#"{"connect":{},"id":1}"#);
    assert_eq!((answer.status, answer.header("connection")), (503, Some("close")));
    // Whose close is not answered is what the drain waited for.
    assert!(matches!(member.next(), Event::Close(Some(1012), _)));
    member.close(1000);
    assert_eq!(server.exit_code(), Some(0));
}

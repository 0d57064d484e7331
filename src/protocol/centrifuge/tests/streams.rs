//! Replies over HTTP.

use crate::protocol::centrifuge::emulation::{self, Emulation};
use crate::protocol::centrifuge::stream::{EVENTS_BEGIN, StreamKind, object_chunk, object_in, response_head};
use crate::protocol::tests::written;

#[test]
fn chunks() {
    let chunk = |kind, json: &[u8]| written(|out| object_chunk(out, kind, json));
    assert_eq!(chunk(StreamKind::Lines, b"{}"), "3\r\n{}\n\r\n");
    assert_eq!(chunk(StreamKind::Events, b"{}"), "a\r\ndata: {}\n\n\r\n");
    assert_eq!(EVENTS_BEGIN, b"2\r\n\r\n\r\n");
    for kind in [StreamKind::Lines, StreamKind::Events] {
        let json = br#"{"push":{"channel":"a","pub":{"data":1}}}"#;
        assert_eq!(object_in(chunk(kind, json).as_bytes(), kind), Some(&json[..]));
        assert_eq!(object_in(b"", kind), None);
        assert_eq!(object_in(b"0\r\n\r\n", kind), None);
    }
}

#[test]
fn heads() {
    for (kind, content_type) in [(StreamKind::Lines, "application/json"), (StreamKind::Events, "text/event-stream")] {
        let head = written(|out| response_head(out, kind, None));
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-type: {content_type}\r\n")), "{head}");
        assert!(head.contains("\r\ntransfer-encoding: chunked\r\n") && !head.contains("access-control"), "{head}");
        assert!(!head.contains("\r\n "), "a folded field: {head}");
    }
    let head = |origin| written(|out| response_head(out, StreamKind::Lines, Some(origin)));
    assert!(head("https://a.example").contains("\r\naccess-control-allow-origin: https://a.example\r\n"));
    assert!(!head("https://a.example\r\nset-cookie: a=b").contains("cookie"));
}

#[test]
fn emulation_bodies() {
    let body = br#"{"session":"s","node":"n","data":"{\"id\":2}\n{}","new":[1]}"#;
    let expected = Emulation { session: "s".into(), node: "n".into(), data: "{\"id\":2}\n{}".into() };
    assert_eq!(emulation::parse(body).unwrap(), expected);
    assert_eq!(emulation::parse(br#"{"session":"s","data":""}"#).unwrap().node, "");
    for bad in [&b""[..], b"{}", b"x", br#"{"session":"s"}"#, br#"{"session":1,"data":""}"#, b"{\"session\":\"\xff\"}"]
    {
        assert!(emulation::parse(bad).is_err(), "{bad:?}");
    }
}

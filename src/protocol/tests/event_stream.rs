//! Event streams of rooms, and HTTP chunks: what an `EventSource` makes of them.

use proptest::prelude::*;

use super::written;
use crate::protocol::chunk;
use crate::protocol::event_stream::{self, Begin, COMMENT, RETRY};
use crate::protocol::frame::MessageKind;

/// The body of a chunked message; the last chunk must not have come.
fn body(mut chunks: &str) -> String {
    let mut body = String::new();
    while !chunks.is_empty() {
        let (length, rest) = chunks.split_once("\r\n").expect("a chunk begins with its length");
        let length = usize::from_str_radix(length, 16).unwrap();
        assert_ne!(length, 0, "the last chunk");
        body.push_str(&rest[..length]);
        chunks = rest[length..].strip_prefix("\r\n").expect("a chunk ends with a line end");
    }
    body
}

/// One event as an `EventSource` dispatches it.
#[derive(Debug, Default, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: Vec<String>,
}

/// Reads a stream as the HTML standard says, with the three line ends.
fn events(stream: &str) -> Vec<Event> {
    let stream = stream.replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut event) = (Vec::new(), Event::default());
    for line in stream.split('\n') {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match (line, field) {
            ("", _) => {
                let event = std::mem::take(&mut event);
                events.extend(Some(event).filter(|event| !event.data.is_empty()));
            }
            (_, "event") => event.name = value,
            (_, "id") => event.id = value,
            (_, "data") => event.data.push(value),
            (_, "" | "retry") => {}
            other => panic!("no field: {other:?}"),
        }
    }
    events
}

#[test]
fn chunks() {
    let written = |body: &[u8]| written(|out| chunk::chunk(out, |out| out.extend_from_slice(body)));
    assert_eq!(written(b"a"), "1\r\na\r\n");
    assert_eq!(written(b"0123456789\r\n3456"), "10\r\n0123456789\r\n3456\r\n");
    assert_eq!(written(b""), "", "an empty chunk would be the last");
    assert!(written(&[b'x'; 70_000]).starts_with("11170\r\nxx"));
    assert_eq!(chunk::body(b"1\r\na\r\n"), Some(&b"a"[..]));
    assert_eq!(chunk::body(b"1"), None);
    assert_eq!(body(std::str::from_utf8(RETRY).unwrap()), "retry: 2000\n\n");
    assert_eq!(body(std::str::from_utf8(COMMENT).unwrap()), ":\n\n");
}

#[test]
fn publications() {
    let chunk = |kind, payload: &[u8]| body(&written(|out| event_stream::publication(out, "8f:3", kind, payload)));
    for (payload, expected) in [
        ("hello", "id: 8f:3\ndata: hello\n\n"),
        ("", "id: 8f:3\ndata: \n\n"),
        ("a\nb", "id: 8f:3\ndata: a\ndata: b\n\n"),
        ("a\r\nb\rc\n", "id: 8f:3\ndata: a\ndata: b\ndata: c\ndata: \n\n"),
        (" id: 9", "id: 8f:3\ndata:  id: 9\n\n"),
    ] {
        assert_eq!(chunk(MessageKind::Text, payload.as_bytes()), expected, "{payload:?}");
    }
    assert_eq!(chunk(MessageKind::Binary, b"\xff\n"), "id: 8f:3\nevent: binary\ndata: /wo=\n\n");
    assert_eq!(chunk(MessageKind::Binary, b""), "id: 8f:3\nevent: binary\ndata: \n\n");
    let begin = |begin| body(&written(|out| event_stream::begin(out, begin, "8f", 0)));
    assert_eq!(begin(Begin::Live), "event: live\nid: 8f:0\ndata: {\"epoch\":\"8f\",\"offset\":0}\n\n");
    assert_eq!(begin(Begin::Lost), "event: lost\nid: 8f:0\ndata: {\"epoch\":\"8f\",\"offset\":0}\n\n");
}

proptest! {
    /// Whatever text is published arrives as one event with that text, line ends aside.
    #[test]
    fn any_text(payloads in proptest::collection::vec("(.|[\r\n:]){0,40}", 0..5)) {
        let stream = written(|out| {
            out.extend_from_slice(RETRY);
            for payload in &payloads {
                event_stream::publication(out, "8f:3", MessageKind::Text, payload.as_bytes());
                out.extend_from_slice(COMMENT);
            }
        });
        let read = events(&body(&stream));
        prop_assert_eq!(read.len(), payloads.len());
        for (event, payload) in read.iter().zip(&payloads) {
            let expected = payload.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(event.data.join("\n"), expected);
            prop_assert_eq!((&*event.id, &*event.name), ("8f:3", ""));
        }
    }
}

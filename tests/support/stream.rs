//! A client of an HTTP answer without end. It panics on everything that is not an HTTP/1.1 answer in chunks.

use std::io::{self, Read as _};

use super::Http;

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SentEvent {
    pub(crate) name: String,
    pub(crate) id: String,
    /// The lines of its data.
    pub(crate) data: String,
}

/// The answer's body as it comes.
pub(crate) struct Stream {
    pub(crate) http: Http,
    pub(crate) head: String,
    /// The body so far that has not been read.
    body: Vec<u8>,
    /// The last chunk has come.
    ended: bool,
}

impl Stream {
    /// Sends a request and reads the answer's head, which is a stream's.
    pub(crate) fn open(http: Http, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Self {
        Self::answered(Self::sent(http, method, path, fields, body))
    }

    /// The same through a proxy, which writes a head of its own.
    pub(crate) fn open_through_proxy(http: Http, method: &str, path: &str, body: &[u8]) -> Self {
        Self::answer(Self::sent(http, method, path, &[], body))
    }

    fn sent(mut http: Http, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Http {
        let length = body.len().to_string();
        let mut fields = fields.to_vec();
        if method == "POST" {
            fields.push(("Content-Length", &length));
        }
        let mut request = http.head(method, path, &fields).into_bytes();
        request.extend_from_slice(body);
        http.send_raw(&request).expect("the server reads");
        http
    }

    /// Reads the head of an answer to a request that was sent.
    pub(crate) fn answered(http: Http) -> Self {
        let stream = Self::answer(http);
        assert_eq!(stream.header("connection"), Some("close"));
        assert_eq!(stream.header("x-accel-buffering"), Some("no"));
        stream
    }

    fn answer(mut http: Http) -> Self {
        let end = loop {
            if let Some(at) = http.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(receive(&mut http).expect("an answer comes") > 0, "the stream ended in the head");
        };
        let head = String::from_utf8(http.received.drain(..end).collect()).expect("a head is text");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let stream = Self { http, head, body: Vec::new(), ended: false };
        assert_eq!(stream.header("transfer-encoding"), Some("chunked"));
        stream
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values =
            self.head.lines().filter_map(|line| line.split_once(": ")).filter(|(it, _)| it.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value);
        assert!(values.next().is_none(), "{name} stands more than once");
        value
    }

    /// The next piece of the body that ends with `end`, without it; `None`: the body has ended.
    pub(crate) fn piece(&mut self, end: &str) -> Option<String> {
        loop {
            if let Some(at) = self.body.windows(end.len()).position(|bytes| bytes == end.as_bytes()) {
                let piece = self.body.drain(..at + end.len()).take(at).collect();
                return Some(String::from_utf8(piece).expect("the body is text"));
            }
            if self.ended {
                assert!(self.body.is_empty(), "cut off: {:?}", self.body);
                return None;
            }
            self.chunk();
        }
    }

    /// The next line.
    pub(crate) fn line(&mut self) -> Option<String> {
        self.piece("\n")
    }

    /// The next event; comments, and what has no data, are left out as browsers do.
    pub(crate) fn event(&mut self) -> Option<SentEvent> {
        loop {
            let block = self.block()?;
            let mut event = SentEvent::default();
            let mut data = Vec::new();
            for line in block.lines() {
                let (field, value) = line.split_once(':').unwrap_or((line, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                match field {
                    "event" => value.clone_into(&mut event.name),
                    "id" => value.clone_into(&mut event.id),
                    "data" => data.push(value),
                    "" | "retry" => {}
                    other => panic!("field {other:?}"),
                }
            }
            event.data = data.join("\n");
            if !data.is_empty() {
                return Some(event);
            }
        }
    }

    /// The next block of an event stream: an event, a comment, a retry.
    pub(crate) fn block(&mut self) -> Option<String> {
        self.piece("\n\n")
    }

    /// The text of the next event, which has no name.
    pub(crate) fn text(&mut self) -> String {
        let event = self.event().expect("an event comes");
        assert_eq!(event.name, "", "{event:?}");
        event.data
    }

    /// Whether the server has ended the connection, after the last chunk.
    pub(crate) fn ends(mut self) -> bool {
        self.ended && self.http.ends()
    }

    /// Reads one chunk.
    fn chunk(&mut self) {
        let size_end = self.until(|bytes| bytes.windows(2).position(|two| two == b"\r\n"));
        let size = std::str::from_utf8(&self.http.received[..size_end]).expect("a size is text");
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("not a size: {size:?}"));
        let len = size_end + 2 + size + 2;
        self.until(|bytes| (bytes.len() >= len).then_some(0));
        let chunk: Vec<u8> = self.http.received.drain(..len).collect();
        assert!(chunk.ends_with(b"\r\n"), "a chunk is longer than it says");
        self.body.extend_from_slice(&chunk[size_end + 2..len - 2]);
        self.ended = size == 0;
    }

    fn until(&mut self, found: impl Fn(&[u8]) -> Option<usize>) -> usize {
        loop {
            if let Some(at) = found(&self.http.received) {
                return at;
            }
            assert!(receive(&mut self.http).expect("more comes") > 0, "the stream ended without a last chunk");
        }
    }
}

fn receive(http: &mut Http) -> io::Result<usize> {
    let mut bytes = [0; 16 << 10];
    let len = http.stream.read(&mut bytes)?;
    http.received.extend_from_slice(&bytes[..len]);
    Ok(len)
}

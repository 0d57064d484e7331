//! HTTP/1.1 answers without an end: the head, and the body in chunks (RFC 9112 §7.1).

use std::io::Write as _;

/// The last chunk: the body ends here.
pub const LAST: &[u8] = b"0\r\n\r\n";

/// Appends the head of a stream, for a page of `origin` if there is one. The stream ends with the connection's end.
pub fn response_head(out: &mut Vec<u8>, content_type: &str, origin: Option<&str>) {
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: ");
    out.extend_from_slice(content_type.as_bytes());
    out.extend_from_slice(
        b"\r\ncache-control: private, no-cache, no-store, must-revalidate, max-age=0\r\npragma: no-cache\r\n\
          expires: 0\r\nx-accel-buffering: no\r\ntransfer-encoding: chunked\r\nconnection: close\r\n",
    );
    // A head has one line per field: an origin that could end its line is none.
    if let Some(origin) = origin.filter(|origin| origin.bytes().all(|byte| byte.is_ascii_graphic())) {
        out.extend_from_slice(b"access-control-allow-origin: ");
        out.extend_from_slice(origin.as_bytes());
        out.extend_from_slice(b"\r\naccess-control-allow-credentials: true\r\nvary: origin\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends one chunk with the body that `write` appends; nothing if that is empty (an empty chunk would be the last).
///
/// # Panics
/// Never: a length always fits.
pub fn chunk(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    let length = out.len() - start;
    if length == 0 {
        return;
    }
    let mut head = [0; 2 * size_of::<usize>() + 2];
    let mut rest = &mut head[..];
    write!(rest, "{length:x}\r\n").expect("a length has at most two digits per byte");
    let unused = rest.len();
    let head_bytes = head.len() - unused;
    out.splice(start..start, head[..head_bytes].iter().copied());
    out.extend_from_slice(b"\r\n");
}

/// The body of a chunk that [`chunk`] has written and that is all of `bytes`.
#[must_use]
pub fn body(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == b'\n')? + 1;
    bytes[end..].strip_suffix(b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::response_head;

    #[test]
    fn a_stream_says_in_http_s_words_that_nobody_may_keep_it() {
        let mut head = Vec::new();
        response_head(&mut head, "text/event-stream", None);
        let head = String::from_utf8(head).unwrap();
        let fields: Vec<&str> = head.split("\r\n").collect();
        assert_eq!(fields[0], "HTTP/1.1 200 OK");
        assert!(fields.contains(&"expires: 0") && fields.contains(&"pragma: no-cache"), "{head}");
        assert!(head.ends_with("\r\n\r\n"), "{head}");
    }
}

//! HTTP/1.1 chunked coding (RFC 9112 §7.1), for bodies without an end in sight.

use std::io::Write as _;

/// The last chunk: the body ends here.
pub const LAST: &[u8] = b"0\r\n\r\n";

/// Appends one chunk with the body that `write` appends; nothing if it appends nothing (an empty chunk would be the last).
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

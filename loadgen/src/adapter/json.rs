//! JSON strings: escaping what goes out, unescaping what comes in, without allocation where nothing is escaped.

use std::borrow::Cow;

use crate::scenario::Format;

/// Appends `text` as the inside of a JSON string, without the quotes.
pub(super) fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(control >> 4)], HEX[usize::from(control & 15)]]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// `text` as a JSON string, with the quotes.
pub(super) fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// `payload` as a JSON value: an object as it stands, anything else as a string.
pub(super) fn push_payload(out: &mut Vec<u8>, format: Format, payload: &[u8]) {
    match format {
        Format::Json => out.extend_from_slice(payload),
        Format::Text | Format::Binary => push_string(out, payload),
    }
}

/// The payload that a JSON value is: what a string says, anything else as it stands.
pub(super) fn payload(value: &[u8]) -> Cow<'_, [u8]> {
    let inside = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    inside.and_then(unescape).unwrap_or(Cow::Borrowed(value))
}

/// What the inside of a JSON string says; nothing if it is not one.
pub(super) fn unescape(inside: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !inside.contains(&b'\\') {
        return Some(Cow::Borrowed(inside));
    }
    let mut quoted = Vec::with_capacity(inside.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(inside);
    quoted.push(b'"');
    let text: String = serde_json::from_slice(&quoted).ok()?;
    Some(Cow::Owned(text.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_reads_the_same_with_another_parser_and_with_this_one() {
        let every: String = (0..=0x2ff).filter_map(char::from_u32).collect();
        for text in ["", "plain", "\"", "\\", "a\"b\\c\nd\re\tf\u{1}", "žluťoučký 😀", every.as_str()] {
            let mut out = Vec::new();
            push_string(&mut out, text.as_bytes());
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
            assert_eq!(unescape(&out[1..out.len() - 1]).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn what_is_no_string_is_refused() {
        for inside in ["\\", "\\x", "a\\u12", "\\ud800"] {
            assert_eq!(unescape(inside.as_bytes()), None, "{inside}");
        }
    }
}

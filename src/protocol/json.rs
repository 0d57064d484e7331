//! JSON, appended to bytes: objects without zero values, payloads as JSON values, and how deep a text is nested.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::IgnoredAny;

use super::frame::MessageKind;

/// Deepest nesting of arrays and objects that is read, and that a payload may have to go out as JSON.
///
/// Clients' parsers recurse: text that is nested deeper could end a client that another client writes to.
pub const DEPTH_MAX: usize = 128;

/// Name and value of the tag that says that a payload is bytes in base64.
pub const BASE64_TAG: (&str, &str) = ("encoding", "base64");

/// Writes one object. Protocol rule: a zero value is not written.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    separator: Option<u8>,
}

impl<'a> Object<'a> {
    /// Opens an object at the end of `out`.
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, separator: None }
    }

    /// Ends the object.
    pub fn close(self) {
        self.out.push(b'}');
    }

    /// Writes the key of a value that the caller appends next. `key` is written as it is: it must need no escapes.
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        debug_assert!(!key.contains(['"', '\\']), "a key of the protocol needs no escapes");
        self.out.extend(self.separator.replace(b','));
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// Writes a key that may need escapes; the caller appends its value next.
    pub fn any_key(&mut self, key: &str) -> &mut Vec<u8> {
        self.out.extend(self.separator.replace(b','));
        string(self.out, key);
        self.out.push(b':');
        self.out
    }

    /// Writes a value that is JSON already, without its raw line ends.
    pub fn raw(&mut self, key: &str, json: &str) {
        one_line(self.key(key), json.as_bytes());
    }

    /// Writes a value that is JSON already, if there is one.
    pub fn raw_if(&mut self, key: &str, json: Option<&str>) {
        if let Some(json) = json {
            self.raw(key, json);
        }
    }

    /// Writes a string unless it is empty.
    pub fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            string(self.key(key), text);
        }
    }

    /// Writes a number unless it is 0.
    pub fn number(&mut self, key: &str, number: impl Into<u64>) {
        let number = number.into();
        if number != 0 {
            decimal(self.key(key), number);
        }
    }

    /// Writes `true`; a caller that has `false` writes nothing.
    pub fn truth(&mut self, key: &str) {
        self.key(key).extend_from_slice(b"true");
    }

    /// Writes an object that `write` fills.
    pub fn object(&mut self, key: &str, write: impl FnOnce(&mut Object<'_>)) {
        let mut object = Object::open(self.key(key));
        write(&mut object);
        object.close();
    }
}

/// Appends `text` as a JSON string.
///
/// # Panics
/// Never: a `Vec` takes everything.
pub fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a Vec takes everything");
}

/// Appends `number` in decimal.
///
/// # Panics
/// Never: a `Vec` takes everything.
pub fn decimal(out: &mut Vec<u8>, number: u64) {
    serde_json::to_writer(out, &number).expect("a Vec takes everything");
}

/// Appends `bytes` in base64, without quotes.
///
/// # Panics
/// Never: the room is reserved before.
pub fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = BASE64.encode_slice(bytes, &mut out[start..]).expect("base64 takes 4 bytes for 3");
    debug_assert_eq!(start + written, out.len(), "with padding, the length is exact");
}

/// Appends JSON without its raw line ends: in valid JSON they stand between tokens only.
pub fn one_line(out: &mut Vec<u8>, json: &[u8]) {
    if !has_line_end(json) {
        out.extend_from_slice(json);
        return;
    }
    for piece in json.split(|byte| matches!(byte, b'\n' | b'\r')) {
        out.extend_from_slice(piece);
    }
}

/// Whether there is a raw line end. Looks at every byte, several at once: that is quicker than to stop at the first.
#[must_use]
pub(super) fn has_line_end(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, byte| found | (*byte == b'\n') | (*byte == b'\r'))
}

/// Appends a payload as one JSON value in one line.
///
/// Text that is JSON, nested at most [`DEPTH_MAX`] deep, goes out as it is without raw line ends; other text as a
/// string; bytes, and "text" that is not UTF-8, as a string of base64.
pub fn payload(out: &mut Vec<u8>, kind: MessageKind, payload: &[u8]) {
    match (kind, simdutf8::basic::from_utf8(payload)) {
        (MessageKind::Text, Ok(text)) if is_value(text) => one_line(out, payload),
        (MessageKind::Text, Ok(text)) => string(out, text),
        _ => {
            out.push(b'"');
            base64(out, payload);
            out.push(b'"');
        }
    }
}

/// Whether `text` is one JSON value, nested at most [`DEPTH_MAX`] deep. Linear, without recursion.
#[must_use]
pub fn is_value(text: &str) -> bool {
    let first = text.bytes().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    let begins =
        first.is_some_and(|first| matches!(first, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'));
    begins && is_shallow(text.as_bytes()) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Whether arrays and objects are nested at most [`DEPTH_MAX`] deep; judges JSON only, other text anyhow.
#[must_use]
pub fn is_shallow(json: &[u8]) -> bool {
    // Most texts have fewer brackets than may be nested, and counting them takes no look at strings.
    if json.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() <= DEPTH_MAX {
        return true;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return false;
        }
    }
    true
}

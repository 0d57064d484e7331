//! A template around a payload, with the room's name put in: what is published, and what a delivery is unwrapped from.
//!
//! Within a JSON string of the template (an odd number of quotes before it) `{room}` and `{payload}` are JSON-escaped,
//! elsewhere they stand as they are.

use std::borrow::Cow;

use super::json;
use super::url::ROOM;

/// Where the payload goes.
pub(super) const PAYLOAD: &str = "{payload}";
/// Whatever is there, in deliveries.
pub(super) const ANY: &str = "{any}";

/// Whether what is put in stands within a JSON string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    String,
    Plain,
}

/// A template around a payload: what stands before and after it, in pieces between which there may be anything.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    before: Vec<Vec<u8>>,
    after: Vec<Vec<u8>>,
    quoting: Quoting,
}

impl Envelope {
    pub(super) fn new(template: &str, room: &str) -> Self {
        let (before, after) = template.split_once(PAYLOAD).unwrap_or((template, ""));
        let mut quotes_before = 0;
        let before = pieces(before, room, &mut quotes_before);
        let quoting = quoting(quotes_before);
        Self { before, after: pieces(after, room, &mut quotes_before), quoting }
    }

    /// Appends `payload`, wrapped.
    pub(super) fn wrap(&self, payload: &[u8], out: &mut Vec<u8>) {
        self.before.iter().for_each(|piece| out.extend_from_slice(piece));
        match self.quoting {
            Quoting::String => json::push_escaped(out, payload),
            Quoting::Plain => out.extend_from_slice(payload),
        }
        self.after.iter().for_each(|piece| out.extend_from_slice(piece));
    }

    /// The payload in `frame`, if the frame has this shape.
    pub(super) fn unwrap<'a>(&self, frame: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let (first, others) = self.before.split_first()?;
        let mut inside = frame.strip_prefix(first.as_slice())?;
        for piece in others {
            inside = &inside[find(inside, piece)? + piece.len()..];
        }
        match self.quoting {
            Quoting::String => self.string(inside).and_then(json::unescape),
            Quoting::Plain => self.plain(inside).map(Cow::Borrowed),
        }
    }

    /// The payload at the beginning of `text`: the first quote that is not escaped ends the JSON string it is in.
    fn string<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let (first, others) = self.after.split_first()?;
        let payload_end = quotes(text).next()?.checked_sub(quotes(first).next()?)?;
        let (payload, behind) = text.split_at(payload_end);
        let mut behind = behind.strip_prefix(first.as_slice())?;
        let Some((last, others)) = others.split_last() else {
            return behind.is_empty().then_some(payload);
        };
        for piece in others {
            behind = &behind[find(behind, piece)? + piece.len()..];
        }
        behind.ends_with(last).then_some(payload)
    }

    /// The payload at the beginning of `text`: the last occurrence of what follows it ends it.
    fn plain<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let (last, others) = self.after.split_last()?;
        let mut payload = text.strip_suffix(last.as_slice())?;
        for piece in others.iter().rev() {
            payload = &payload[..find_last(payload, piece)?];
        }
        Some(payload)
    }
}

fn find(text: &[u8], piece: &[u8]) -> Option<usize> {
    (0..=text.len().checked_sub(piece.len())?).find(|&at| text[at..].starts_with(piece))
}

fn find_last(text: &[u8], piece: &[u8]) -> Option<usize> {
    (0..=text.len().checked_sub(piece.len())?).rfind(|&at| text[at..].starts_with(piece))
}

/// `template`, with the room's name put in.
pub(super) fn with_room(template: &str, room: &str) -> Vec<u8> {
    filled(template, room, &mut 0)
}

fn pieces(template: &str, room: &str, quotes_before: &mut usize) -> Vec<Vec<u8>> {
    template.split(ANY).map(|piece| filled(piece, room, quotes_before)).collect()
}

/// `template`, before which stand `quotes_before` quotes, with the room's name put in; adds its own quotes.
fn filled(template: &str, room: &str, quotes_before: &mut usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(template.len() + room.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once(ROOM) {
        out.extend_from_slice(before.as_bytes());
        *quotes_before += quotes(before.as_bytes()).count();
        match quoting(*quotes_before) {
            Quoting::String => json::push_escaped(&mut out, room.as_bytes()),
            Quoting::Plain => out.extend_from_slice(room.as_bytes()),
        }
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    *quotes_before += quotes(rest.as_bytes()).count();
    out
}

/// Where quotes are that begin or end a JSON string.
fn quotes(text: &[u8]) -> impl Iterator<Item = usize> {
    let mut is_escaped = false;
    text.iter().enumerate().filter_map(move |(at, &byte)| {
        let is_quote = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_quote.then_some(at)
    })
}

const fn quoting(quotes_before: usize) -> Quoting {
    if quotes_before.is_multiple_of(2) { Quoting::Plain } else { Quoting::String }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_escaped_within_strings_only() {
        for (template, payload, frame) in [
            (r#"{"to":"{room}","say":"{payload}"}"#, r#"a"b\c"#, r#"{"to":"lob\"by","say":"a\"b\\c"}"#),
            (r#"{"say":{payload},"to":"{room}"}"#, r#"{"a":1}"#, r#"{"say":{"a":1},"to":"lob\"by"}"#),
            (r#"{"a\"":"> {payload}"}"#, "\n", r#"{"a\"":"> \n"}"#),
            ("PUB {room} {payload}", "a\"b", "PUB lob\"by a\"b"),
            ("{payload}", "a\"b", "a\"b"),
        ] {
            let envelope = Envelope::new(template, "lob\"by");
            let mut out = Vec::new();
            envelope.wrap(payload.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out.clone()).unwrap(), frame);
            assert_eq!(envelope.unwrap(&out).unwrap(), payload.as_bytes(), "{template}");
        }
    }

    #[test]
    fn what_varies_is_any() {
        for (template, frame, payload) in [
            (
                r#"{"id":{any},"say":"{payload}","at":{any}}"#,
                r#"{"id":7,"say":"x\",\"at\":1","at":9}"#,
                Some(r#"x","at":1"#),
            ),
            (r#"{"id":{any},"say":"{payload}","at":{any}}"#, r#"{"id":7,"said":"x","at":9}"#, None),
            (r#"{any}"say":{payload}}"#, r#"{"id":7,"say":{"a":1}}"#, Some(r#"{"a":1}"#)),
            (r#"{any}{payload}"#, "x", Some("x")),
            (r#"42["{payload}"{any}"#, r#"42["x",{"a":"b"}]"#, Some("x")),
            (r#"["{payload}"{any}]"#, r#"["x",["y"]"#, Some("x")),
            (r#"["{payload}"{any},{any}]"#, r#"["x","y",1]"#, Some("x")),
            (r#"["> {payload} <"{any}]"#, r#"["> x <",1]"#, Some("x")),
            (r#"["> {payload} <"{any}]"#, r#"["> x",1]"#, None),
            (r#"["> {payload} <"]"#, r#"["> x <"]]"#, None),
            (r#"["{payload}"{any}]"#, r#"["x",1]"#, Some("x")),
            (r#"<{payload}>"#, "<", None),
        ] {
            let unwrapped = Envelope::new(template, "lobby").unwrap(frame.as_bytes());
            assert_eq!(unwrapped.as_deref(), payload.map(str::as_bytes), "{template} {frame}");
        }
    }
}

//! What people see: the chat's message format, and text made fit for a terminal.
//!
//! A chat message is a JSON text `{"name":…,"text":…}`; the demo page speaks the same. Whatever else comes is text as
//! it is. Messages are strangers' input: nothing in them may reach a terminal as a command or pass for another line.

use bytes::Bytes;
use serde_json::Value;

/// Longest name that is shown or used, characters.
const NAME_CHARACTERS_MAX: usize = 64;

/// The wire form of a chat message.
pub(super) fn encode(name: &str, text: &str) -> Bytes {
    Bytes::from(serde_json::json!({ "name": name, "text": text }).to_string())
}

/// A text message as one line for people: `NAME: text` for a chat message, else the text as it is; safe to print.
pub(super) fn shown(text: &str) -> String {
    let parsed: Option<Value> = text.starts_with('{').then(|| serde_json::from_str(text).ok()).flatten();
    let field = |key: &str| parsed.as_ref().and_then(|value| value.get(key)).and_then(Value::as_str);
    match (field("name"), field("text")) {
        (Some(name), Some(text)) => format!("{}: {}", self::name(name), one_line(text)),
        _ => one_line(text),
    }
}

/// A name made fit for people: on one line, not too long, not empty.
pub(super) fn name(name: &str) -> String {
    let name: String = one_line(name).chars().take(NAME_CHARACTERS_MAX).collect();
    if name.is_empty() { "anonymous".to_owned() } else { name }
}

/// `text` on one line, without what a terminal would obey: control characters (C0, DEL, C1) go, what breaks lines and
/// tabs become spaces, and the marks that turn the direction of writing go.
pub(super) fn one_line(text: &str) -> String {
    text.trim_end().chars().filter_map(on_one_line).collect()
}

/// `text` for a terminal, line breaks and tabs kept.
pub(super) fn harmless(text: &str) -> String {
    let kept = |c: char| {
        if matches!(c, '\n' | '\t') { Some(c) } else { on_one_line(c) }
    };
    text.chars().filter_map(kept).collect()
}

fn on_one_line(c: char) -> Option<char> {
    match c {
        '\n' | '\t' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(' '),
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
        c if c.is_control() => None,
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chat_messages_and_others() {
        for (message, expected) in [
            (r#"{"name":"ann","text":"hi"}"#, "ann: hi"),
            (r#"{"text":"hi","name":"ann","more":1}"#, "ann: hi"),
            (r#"{"name":"","text":"hi"}"#, "anonymous: hi"),
            (r#"{"name":1,"text":"hi"}"#, r#"{"name":1,"text":"hi"}"#),
            (r#"{"name":"ann"}"#, r#"{"name":"ann"}"#),
            (r#"{"name":"ann","text":"a\n\u001b[2Jbob: b"}"#, "ann: a [2Jbob: b"),
            ("plain\u{1b}]0;title\u{7}\r\n", "plain]0;title"),
            ("\u{9b}31mred", "31mred"),
            ("a\u{202e}b", "ab"),
            ("{", "{"),
            ("", ""),
        ] {
            assert_eq!(shown(message), expected, "{message:?}");
        }
        assert_eq!(shown(std::str::from_utf8(&encode("ann", "\"quoted\" äöü")).unwrap()), "ann: \"quoted\" äöü");
        assert_eq!(harmless("a\r\nb\u{1b}[1m\tc"), "a\nb[1m\tc");
        assert_eq!(name(&"x".repeat(100)).len(), NAME_CHARACTERS_MAX);
    }
}

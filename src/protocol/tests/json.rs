//! JSON: payloads as values, nesting, strings.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::written;
use crate::protocol::frame::MessageKind;
use crate::protocol::json::{self, DEPTH_MAX};

fn payload(text: &str) -> String {
    written(|out| json::payload(out, MessageKind::Text, text.as_bytes()))
}

#[test]
fn payloads() {
    for (text, expected) in [
        ("1", "1"),
        ("null", "null"),
        (r#"{"a": [1, 2]}"#, r#"{"a": [1, 2]}"#),
        ("{\n  \"a\":\r\n1\n}\n", "{  \"a\":1}"),
        ("\"\\ud83d\\ude00\"", "\"\\ud83d\\ude00\""),
        // A lone surrogate is JSON all the same: browsers take it.
        ("\"\\ud83d\"", "\"\\ud83d\""),
        ("1e999999", "1e999999"),
        ("123456789012345678901234567890.5e-7", "123456789012345678901234567890.5e-7"),
        // What is not JSON is a string.
        ("", "\"\""),
        (" \n", "\" \\n\""),
        ("hello", "\"hello\""),
        ("1 2", "\"1 2\""),
        ("1\n2", "\"1\\n2\""),
        ("01", "\"01\""),
        ("NaN", "\"NaN\""),
        ("tru", "\"tru\""),
        ("{\"a\":1", "\"{\\\"a\\\":1\""),
        ("\"a\nb\"", "\"\\\"a\\nb\\\"\""),
        ("{'a':1}", "\"{'a':1}\""),
        ("\u{feff}1", "\"\u{feff}1\""),
        ("\u{0}\u{1f}\u{7f}\\\"/", "\"\\u0000\\u001f\u{7f}\\\\\\\"/\""),
        ("\u{2028}😀", "\"\u{2028}😀\""),
    ] {
        assert_eq!(payload(text), expected, "{text:?}");
    }
    let bytes = |payload: &[u8]| written(|out| json::payload(out, MessageKind::Binary, payload));
    assert_eq!(bytes(b""), "\"\"");
    assert_eq!(bytes(b"1"), "\"MQ==\"");
    assert_eq!(bytes(&[0xff, 0xfe, 0xfd]), "\"//79\"");
    let broken = written(|out| json::payload(out, MessageKind::Text, &[b'1', 0xff]));
    assert_eq!(broken, "\"Mf8=\"", "a caller's mistake does not break the frame");
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(json::is_value(&nested(DEPTH_MAX)));
    assert!(!json::is_value(&nested(DEPTH_MAX + 1)));
    assert!(!json::is_value(&"{\"a\":".repeat(1_000_000)), "no stack is needed to find out");
    assert!(payload(&nested(DEPTH_MAX + 1)).starts_with("\"[["));
    assert!(json::is_value(&format!("\"{}\"", "[".repeat(1_000))), "brackets in strings are none");
    assert!(json::is_value(&format!("[\"\\\"\",\"{}\"]", "[".repeat(1_000))), "nor behind a quote in a string");
    assert!(json::is_value(&format!("[{}]", ["[]"; 1_000].join(","))), "side by side is not deep");
}

#[test]
fn objects_leave_zeros_out() {
    let text = written(|out| {
        let mut object = json::Object::open(out);
        object.text("a", "");
        object.number("b", 0_u32);
        object.raw_if("c", None);
        object.text("d", "\"");
        object.number("e", u64::MAX);
        object.raw("f", "[\n]");
        object.truth("g");
        object.object("h", |_| {});
        json::decimal(object.any_key("i\n"), 0);
        object.close();
    });
    assert_eq!(text, r#"{"d":"\"","e":18446744073709551615,"f":[],"g":true,"h":{},"i\n":0}"#);
}

proptest! {
    #[test]
    fn any_text_is_one_line_of_json(text in prop_oneof![any::<String>(), "[\\[\\]{}\",:0-9a-z\\\\ \n\r]{0,40}"]) {
        let json = payload(&text);
        prop_assert!(!json.contains(['\n', '\r']));
        let value: Value = serde_json::from_str(&json).unwrap();
        // Either it is the same JSON, or a string that holds it.
        prop_assert_eq!(value, serde_json::from_str(&text).unwrap_or(Value::String(text)));
    }

    #[test]
    fn any_bytes_are_one_line_of_json(bytes in vec(any::<u8>(), 0..100)) {
        for kind in [MessageKind::Text, MessageKind::Binary] {
            let json = written(|out| json::payload(out, kind, &bytes));
            prop_assert!(!json.contains(['\n', '\r']));
            prop_assert!(serde_json::from_str::<Value>(&json).is_ok());
        }
    }
}

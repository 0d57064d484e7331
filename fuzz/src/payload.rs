//! What strangers publish, in every encoding that others get it in: each says the same.

#![no_main]

use serde_json::Value;
use shardcast::MessageKind;
use shardcast::protocol::centrifuge::delta;
use shardcast::protocol::centrifuge::publication::Data;
use shardcast::protocol::centrifuge::texts::Texts;
use shardcast::protocol::{event_stream, json, v1};
use shardcast_fuzz::{apply_delta, bounded, fuzz_target, one_value, take_u16};

/// The lines of the one event in the one chunk.
fn event(chunk: &[u8]) -> Vec<&str> {
    let text = std::str::from_utf8(chunk).expect("an event is UTF-8");
    let (length, rest) = text.split_once("\r\n").expect("a chunk's length");
    let length = usize::from_str_radix(length, 16).expect("a length in hexadecimal");
    assert_eq!(&rest[length..], "\r\n", "the length is right");
    let (event, end) = rest[..length].split_once("\n\n").expect("an event ends with an empty line");
    assert_eq!(end, "", "one event");
    event.split('\n').collect()
}

fn text(text: &str) {
    let mut value = Vec::new();
    json::payload(&mut value, MessageKind::Text, text.as_bytes());
    let value = one_value(&value);
    if json::is_value(text) {
        assert_eq!(value, serde_json::from_str(text).ok());
    } else {
        assert_eq!(value, Some(Value::from(text)));
    }

    let mut chunk = Vec::new();
    event_stream::publication(&mut chunk, "1f:7", MessageKind::Text, text.as_bytes());
    let lines = event(&chunk);
    assert_eq!(lines[0], "id: 1f:7");
    let data: Vec<_> = lines[1..].iter().map(|line| line.strip_prefix("data: ").expect("data")).collect();
    assert_eq!(data.join("\n"), text.replace("\r\n", "\n").replace('\r', "\n"));
}

fn bytes(bytes: &[u8]) {
    let mut value = Vec::new();
    json::payload(&mut value, MessageKind::Binary, bytes);
    let value: Value = serde_json::from_slice(&value).expect("a payload is JSON");
    let base64 = value.as_str().expect("bytes are a string");
    assert_eq!(base64.len(), bytes.len().div_ceil(3) * 4);
    let mut chunk = Vec::new();
    event_stream::publication(&mut chunk, "1f:7", MessageKind::Binary, bytes);
    assert_eq!(event(&chunk)[2].strip_prefix("data: "), Some(base64));

    let mut frame = Vec::new();
    v1::publication_frame(&mut frame, "1f", 7, MessageKind::Binary, bytes);
    let message = &frame[match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    }..];
    let (header, payload) = v1::parse(message).expect("our own header");
    assert_eq!((header.epoch, header.offset, header.state, payload), ("1f", 7, None, bytes));
}

/// The second of two publications, for who has the first: what comes out is what others get.
fn change(kind: MessageKind, before: &[u8], now: &[u8]) {
    let mut texts = Texts::default();
    texts.set(kind, before, None);
    let base = texts.text().to_vec();
    texts.set(kind, now, Some(&base));
    let string = |text: &[u8]| serde_json::from_slice::<String>(text).expect("a JSON string").into_bytes();
    let (Data::Whole(whole) | Data::Delta(whole)) = texts.whole();
    assert_eq!(string(whole), texts.text());
    match texts.changed() {
        Data::Whole(text) => assert_eq!(text, whole),
        Data::Delta(delta) => {
            assert!(delta.len() < whole.len(), "a delta is shorter");
            assert_eq!(apply_delta(&base, &string(delta)), texts.text());
        }
    }
    let mut value = Vec::new();
    json::payload(&mut value, kind, now);
    assert_eq!(texts.text(), value);
}

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let cut = usize::from(take_u16(&mut rest));
    let (base, target) = rest.split_at(cut % (rest.len() + 1));
    bounded(128 * data.len() + (256 << 10), || {
        bytes(rest);
        change(MessageKind::Text, base, target);
        change(MessageKind::Binary, base, target);
        let mut out = Vec::new();
        delta::encode(base, target, &mut out);
        assert_eq!(apply_delta(base, &out), target);
        if let Ok(all) = std::str::from_utf8(rest) {
            text(all);
            if std::str::from_utf8(base).is_ok() {
                assert!(std::str::from_utf8(&out).is_ok(), "a delta of texts is text");
            }
        }
    });
});

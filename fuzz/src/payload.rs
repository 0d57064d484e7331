//! What strangers publish, in every encoding that others get it in: each says the same.

#![no_main]

use serde_json::Value;
use shardcast::MessageKind;
use shardcast::protocol::centrifuge::delta;
use shardcast::protocol::{event_stream, json, v1};
use shardcast_fuzz::{bounded, fuzz_target, one_value, take_u16};

/// A number in base 64 at the start of a fossil delta.
fn number(delta: &mut &[u8]) -> usize {
    const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
    let mut number = 0;
    while let [first, rest @ ..] = delta
        && let Some(digit) = DIGITS.iter().position(|digit| digit == first)
    {
        (number, *delta) = (number * 64 + digit, rest);
    }
    number
}

/// What `delta` makes of `base`.
fn apply(base: &[u8], delta: &[u8]) -> Vec<u8> {
    let delta = &mut &*delta;
    let size = number(delta);
    *delta = delta.strip_prefix(b"\n").expect("a line end behind the size");
    let mut target = Vec::new();
    loop {
        let length = number(delta);
        let (operator, rest) = delta.split_first().expect("a delta ends with a semicolon");
        *delta = rest;
        match operator {
            b'@' => {
                let start = number(delta);
                *delta = delta.strip_prefix(b",").expect("a comma behind a copy");
                target.extend_from_slice(&base[start..start + length]);
            }
            b':' => {
                let (inserted, rest) = delta.split_at(length);
                target.extend_from_slice(inserted);
                *delta = rest;
            }
            b';' => {
                assert_eq!(length, delta::checksum(&target) as usize);
                assert_eq!(target.len(), size);
                return target;
            }
            other => panic!("operator {other}"),
        }
    }
}

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

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let cut = usize::from(take_u16(&mut rest));
    let (base, target) = rest.split_at(cut % (rest.len() + 1));
    bounded(128 * data.len() + (256 << 10), || {
        bytes(rest);
        let mut out = Vec::new();
        delta::encode(base, target, &mut out);
        assert_eq!(apply(base, &out), target);
        if let Ok(all) = std::str::from_utf8(rest) {
            text(all);
            if std::str::from_utf8(base).is_ok() {
                assert!(std::str::from_utf8(&out).is_ok(), "a delta of texts is text");
            }
        }
    });
});

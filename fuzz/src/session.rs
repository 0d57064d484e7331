//! Sessions on a shard: two clients say what they like; what they get is frames of JSON, and the shard stays.
//!
//! An input is steps, divided by the byte 0xff. A step begins with who acts: `a` or `b` (a client sends a text
//! message), `A` or `B` (a client sends these bytes as they are), `o` (a publication from outside: ROOM=TEXT), `t`
//! (time passes: one byte, seconds). The second client's socket takes little at a time.

#![no_main]

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use shardcast::engine::fuzzed::Sessions;
use shardcast_fuzz::{PROTOCOL, apply_delta, bounded, fuzz_mutator, fuzz_target, mutate_text, one_value};

/// A text message as clients send it.
fn message(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()) {
        Ok(length @ 0..126) => frame.push(0x80 | length as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((text.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text);
    frame
}

/// What one client has got and not yet understood.
#[derive(Default)]
struct Client {
    got: Vec<u8>,
    closed: bool,
    /// By room, the last publication that came, if it was a string: what a delta applies to.
    texts: HashMap<String, String>,
}

impl Client {
    fn take(&mut self, bytes: Vec<u8>) {
        self.got.extend(bytes);
        let Self { got, closed, texts } = self;
        while let Some((first, payload, length)) = parse(got) {
            assert!(!*closed, "a frame behind the close frame");
            match first {
                0x81 => lines(payload, texts),
                0x88 => {
                    assert!(payload.len() >= 2 && std::str::from_utf8(&payload[2..]).is_ok(), "a close frame");
                    *closed = true;
                }
                0x89 | 0x8a => assert!(payload.len() <= 125, "a control frame"),
                other => panic!("a frame that begins with {other:#x}"),
            }
            got.drain(..length);
        }
    }
}

/// First byte, payload and length of a server's frame.
fn parse(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (header, length) = match second {
        0..126 => (2, usize::from(second)),
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        _ => panic!("a server's frame is not masked"),
    };
    Some((first, bytes.get(header..header + length)?, header + length))
}

/// Remembers the text of a publication, for the next: whatever a delta is made against, it has come.
fn publication(push: &Value, texts: &mut HashMap<String, String>) {
    let Some(channel) = push["channel"].as_str() else { return };
    let Some(object) = push.get("pub") else { return };
    let text = match (object["data"].as_str(), &object["delta"]) {
        (Some(delta), Value::Bool(true)) => {
            let base = texts.get(channel).expect("a delta behind a whole publication");
            Some(String::from_utf8(apply_delta(base.as_bytes(), delta.as_bytes())).expect("a text"))
        }
        (data, _) => data.map(str::to_owned),
    };
    texts.remove(channel);
    texts.extend(text.map(|text| (channel.to_owned(), text)));
}

fn lines(payload: &[u8], texts: &mut HashMap<String, String>) {
    let text = std::str::from_utf8(payload).expect("a text is UTF-8");
    for line in text.split('\n') {
        let Some(value) = one_value(line.as_bytes()) else { continue };
        let object = value.as_object().expect("a reply or a push is an object");
        assert!(object.is_empty() || object.contains_key("id") || object.contains_key("push"), "{line}");
        publication(&value["push"], texts);
    }
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate_text(PROTOCOL, data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    // A shard's own buffers, windows and histories, and what each command leaves behind.
    bounded(1_024 * data.len() + (8 << 20), || {
        let mut sessions = Sessions::new(&[1 << 30, 600]);
        let mut clients = [Client::default(), Client::default()];
        for step in data.split(|byte| *byte == 0xff).take(64) {
            let Some((who, what)) = step.split_first() else { continue };
            match who {
                b'a' => sessions.send(0, &message(what)),
                b'b' => sessions.send(1, &message(what)),
                b'A' => sessions.send(0, what),
                b'B' => sessions.send(1, what),
                b'o' => {
                    let text = String::from_utf8_lossy(what);
                    let (room, text) = text.split_once('=').unwrap_or((&text, ""));
                    sessions.publish(room, text);
                }
                b't' => sessions.pass(Duration::from_secs(what.first().map_or(1, |byte| u64::from(*byte)))),
                // The second client reads.
                _ => clients[1].take(sessions.receive(1)),
            }
            clients[0].take(sessions.receive(0));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            client.take(sessions.receive(number));
            assert!(client.got.is_empty() || sessions.is_over(number), "a frame ends");
        }
    });
});

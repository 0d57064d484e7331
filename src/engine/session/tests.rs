//! Sessions on a shard without threads, byte by byte.

mod changes;

use super::super::fuzzed::Sessions;

/// A client's frame, masked with zeros.
fn frame(first: u8, payload: &str) -> Vec<u8> {
    let length = u8::try_from(payload.len()).ok().filter(|length| *length < 126).expect("a short frame");
    [&[first, 0x80 | length, 0, 0, 0, 0], payload.as_bytes()].concat()
}

fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload)
}

fn long_text(payload: &str) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("not that long").to_be_bytes();
    [&[0x81, 0xfe, length[0], length[1], 0, 0, 0, 0], payload.as_bytes()].concat()
}

/// What stands behind the message that ends a session, in the same segment, is for nobody: the socket panics if
/// something is sent after the end.
#[test]
fn nothing_follows_the_end_of_a_session() {
    let ping = || frame(0x89, "are you there");
    let behind = [ping(), [ping(), ping()].concat(), [text(r#"{"id":2,"connect":{}}"#), ping()].concat()];
    let endings = [
        text(""),
        text("{"),
        text(r#"{"id":1,"subscribe":{"channel":"room"}}"#),
        text("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"connect\":{}}"),
    ];
    for ending in &endings {
        for behind in &behind {
            let mut sessions = Sessions::new(&[1 << 20]);
            sessions.send(0, &[&ending[..], behind].concat());
            let received = sessions.receive(0);
            let close = received.windows(4).position(|bytes| bytes[0] == 0x88 && bytes[2..] == 3501u16.to_be_bytes());
            let close = close.expect("a close frame with 3501");
            assert_eq!(received.len(), close + 2 + usize::from(received[close + 1]), "nothing behind the close frame");
            assert!(sessions.is_over(0));
        }
    }
}

/// The texts of a server's short frames.
fn texts(received: &[u8]) -> String {
    let mut texts = String::new();
    let mut rest = received;
    while let [0x81, length, behind @ ..] = rest {
        let (length, behind): (usize, &[u8]) = match length {
            126 => (usize::from(u16::from_be_bytes([behind[0], behind[1]])), &behind[2..]),
            length => (usize::from(*length), behind),
        };
        texts.push_str(std::str::from_utf8(&behind[..length]).unwrap());
        texts.push('\n');
        rest = &behind[length..];
    }
    assert!(rest.is_empty(), "texts only");
    texts
}

/// What a client says about a room in the breath in which it enters it is done in that order, although the first of a
/// shard has to wait for the room's home.
#[test]
fn what_is_said_in_one_breath_is_done_in_order() {
    let mut sessions = Sessions::new(&[1 << 20]);
    sessions.send(0, &text(r#"{"id":1,"connect":{}}"#));
    sessions.receive(0);
    let lines = [
        r#"{"id":2,"subscribe":{"channel":"h"}}"#,
        r#"{"id":3,"publish":{"channel":"h","data":7}}"#,
        r#"{"id":4,"history":{"channel":"h","limit":9}}"#,
        r#"{"id":5,"unsubscribe":{"channel":"h"}}"#,
        r#"{"id":6,"publish":{"channel":"h","data":8}}"#,
    ];
    sessions.send(0, &long_text(&lines.join("\n")));
    let got = texts(&sessions.receive(0));
    let at = |what: &str| got.find(what).unwrap_or_else(|| panic!("no {what} in {got}"));
    assert!(at(r#""id":2,"subscribe""#) < at(r#""id":5,"unsubscribe""#), "{got}");
    assert!(at(r#""id":5,"unsubscribe""#) < at(r#""id":6,"error":{"code":103"#), "{got}");
    let history = at(r#""id":4,"history":{"publications":[{"data":7,"#);
    assert!(at(r#""id":3,"publish""#) < history && got[history..].contains(r#""offset":1"#), "{got}");
}

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

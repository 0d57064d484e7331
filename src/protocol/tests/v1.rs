//! Positions as text, and `shardcast.v1`.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::protocol::frame::{MessageKind, encode_message};
use crate::protocol::position::{self, PositionError};
use crate::protocol::v1::{self, HEADER_BYTES_MAX, Header, HeaderError, State};

#[test]
fn positions() {
    for (text, expected) in [
        ("0:0", Ok(("0", 0))),
        ("8f3a:17", Ok(("8f3a", 17))),
        ("0123456789abcdef:18446744073709551615", Ok(("0123456789abcdef", u64::MAX))),
        ("", Err(PositionError::Shape)),
        ("17", Err(PositionError::Shape)),
        (":17", Err(PositionError::Epoch)),
        ("8F3A:17", Err(PositionError::Epoch)),
        ("g:17", Err(PositionError::Epoch)),
        ("0123456789abcdef0:1", Err(PositionError::Epoch)),
        ("a:", Err(PositionError::Offset)),
        ("a:+1", Err(PositionError::Offset)),
        ("a:-1", Err(PositionError::Offset)),
        ("a: 1", Err(PositionError::Offset)),
        ("a:1:2", Err(PositionError::Offset)),
        ("a:18446744073709551616", Err(PositionError::Offset)),
        ("é:1", Err(PositionError::Epoch)),
    ] {
        assert_eq!(position::parse(text), expected, "{text:?}");
    }
}

#[test]
fn frames() {
    let mut out = Vec::new();
    v1::publication_frame(&mut out, "8f3a", 17, MessageKind::Text, b"hello\nyou");
    assert_eq!(out, b"\x81\x118f3a:17\nhello\nyou");
    out.clear();
    v1::publication_frame(&mut out, "8f3a", 18, MessageKind::Binary, &[0xff]);
    assert_eq!(out, b"\x82\x098f3a:18\n\xff");
    for (state, expected) in [
        (State::Live, &b"\x81\x0c8f3a:0 live\n"[..]),
        (State::Recovered, b"\x81\x118f3a:0 recovered\n"),
        (State::Lost, b"\x81\x0c8f3a:0 lost\n"),
    ] {
        out.clear();
        v1::state_frame(&mut out, "8f3a", 0, state);
        assert_eq!(out, expected, "{state:?}");
    }
}

#[test]
fn headers() {
    let header = |epoch, offset, state| Header { epoch, offset, state };
    for (message, expected) in [
        (&b"a:1\n"[..], Ok((header("a", 1, None), &b""[..]))),
        (b"a:1\n\nx", Ok((header("a", 1, None), b"\nx"))),
        (b"a:1 live\n", Ok((header("a", 1, Some(State::Live)), b""))),
        (b"a:1 recovered\n", Ok((header("a", 1, Some(State::Recovered)), b""))),
        (b"a:1 lost\n", Ok((header("a", 1, Some(State::Lost)), b""))),
        (b"", Err(HeaderError::NoLine)),
        (b"a:1", Err(HeaderError::NoLine)),
        (b"a:1 dead\n", Err(HeaderError::State)),
        (b"a:1 \n", Err(HeaderError::State)),
        (b"a:\xff\n", Err(HeaderError::NotAscii)),
        (b"hello\n", Err(HeaderError::Position(PositionError::Shape))),
    ] {
        assert_eq!(v1::parse(message), expected, "{message:?}");
    }
    let mut longest = b"0123456789abcdef:18446744073709551615 recovered\n".to_vec();
    assert_eq!(longest.len(), HEADER_BYTES_MAX);
    assert!(v1::parse(&longest).is_ok());
    longest.insert(0, b'0');
    assert_eq!(v1::parse(&longest), Err(HeaderError::NoLine));
}

proptest! {
    /// The frame is that of header and payload in one, and a client gets both back.
    #[test]
    fn round_trip(epoch in 0_u64.., offset: u64, seed in vec(any::<u8>(), 1..50), length in 0_usize..70_000) {
        let payload: Vec<u8> = seed.into_iter().cycle().take(length).collect();
        let epoch = format!("{epoch:x}");
        let mut out = b"before".to_vec();
        v1::publication_frame(&mut out, &epoch, offset, MessageKind::Binary, &payload);
        let message = [format!("{epoch}:{offset}\n").as_bytes(), &payload].concat();
        let mut whole = b"before".to_vec();
        encode_message(&mut whole, MessageKind::Binary, &message);
        prop_assert!(out == whole);
        prop_assert_eq!(v1::parse(&message), Ok((Header { epoch: &epoch, offset, state: None }, &payload[..])));
    }

    #[test]
    fn any_bytes(message in vec(any::<u8>(), 0..80)) {
        if let Ok((header, payload)) = v1::parse(&message) {
            prop_assert!(!header.epoch.is_empty());
            prop_assert!(message.ends_with(payload));
        }
    }
}

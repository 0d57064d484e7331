//! Bombs, cut messages, broken bytes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Compression, Inflater, Level, compressed, inflated, json};
use crate::protocol::frame::{CloseCode, MessageKind, ProtocolError};

const SMALLEST: Compression = {
    let Some(level) = Level::new(9) else { unreachable!() };
    Compression { level, window_bits: super::WindowBits::MAX, threshold_bytes: 0 }
};

#[test]
fn a_bomb_stops_at_the_limit() {
    let bomb = compressed(SMALLEST, &vec![0; 1 << 20]);
    assert!(bomb.len() <= 1_100, "{} bytes inflate to 1 MiB", bomb.len());
    for limit in [0, 1, 1_000, 64 << 10, (1 << 20) - 1] {
        let mut inflater = Inflater::default();
        let error = inflater.message(MessageKind::Binary, &bomb, limit).unwrap_err();
        assert_eq!(error, ProtocolError::InflatedTooLong { limit });
        assert_eq!(error.close_code(), CloseCode::TOO_BIG.0);
        assert!(inflater.held_bytes() <= limit + 1, "{} bytes for a limit of {limit}", inflater.held_bytes());
    }
    assert_eq!(inflated(&bomb, 1 << 20).map(|message| message.len()), Ok(1 << 20), "the limit is allowed");
}

/// Bombs one behind the other, in blocks that each say that they are the last.
#[test]
fn a_bomb_in_parts_stops_at_the_limit() {
    let mut part = Vec::with_capacity(1_000);
    let mut compress = flate2::Compress::new(flate2::Compression::new(9), false);
    compress.compress_vec(&[0; 10_000], &mut part, flate2::FlushCompress::Finish).unwrap();
    let bomb = part.repeat(1_000);
    let mut inflater = Inflater::default();
    let result = inflater.message(MessageKind::Binary, &bomb, 50_000);
    assert_eq!(result, Err(ProtocolError::InflatedTooLong { limit: 50_000 }));
    assert!(inflater.held_bytes() <= 50_001);
}

#[test]
fn memory_for_a_long_message_is_given_back() {
    let mut inflater = Inflater::default();
    let long = compressed(SMALLEST, &vec![0; 1 << 20]);
    assert!(inflater.message(MessageKind::Binary, &long, 1 << 20).is_ok());
    assert!(inflater.held_bytes() >= 1 << 20);
    assert!(inflater.message(MessageKind::Binary, &[0x00], 1 << 20).is_ok());
    assert!(inflater.held_bytes() <= 64 << 10);
}

#[test]
fn a_cut_message_is_an_error() {
    for payload in [json(2), json(40), b"Hello".to_vec()] {
        for level in [1, 6, 9] {
            let level = Level::new(level).unwrap();
            let made = compressed(Compression { level, ..SMALLEST }, &payload);
            for end in 0..made.len() {
                assert_eq!(inflated(&made[..end], 1 << 20), Err(ProtocolError::InvalidDeflate), "cut at {end}");
            }
        }
    }
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_eq!(inflated(&stored[..1], 0), Ok(vec![]), "what is left is the empty message");
    for end in [0].into_iter().chain(2..stored.len()) {
        assert_eq!(inflated(&stored[..end], 1 << 20), Err(ProtocolError::InvalidDeflate), "cut at {end}");
    }
}

#[test]
fn broken_bytes_are_1007() {
    let last_without_padding = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let with_flush_tail = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff];
    for broken in
        [b"".as_slice(), b"\x06", b"\xff\xff", b"Hello", b"\x02\x00\x00\x00", &last_without_padding, &with_flush_tail]
    {
        let error = inflated(broken, 1 << 20).unwrap_err();
        assert_eq!((error, error.close_code()), (ProtocolError::InvalidDeflate, 1007), "{broken:02x?}");
    }
}

#[test]
fn text_is_checked_when_it_is_inflated() {
    let mut inflater = Inflater::default();
    let made = compressed(SMALLEST, b"ab\xff");
    assert_eq!(inflater.message(MessageKind::Text, &made, 3), Err(ProtocolError::InvalidUtf8 { position: 2 }));
    assert_eq!(inflater.message(MessageKind::Binary, &made, 3), Ok(b"ab\xff".as_slice()));
    let made = compressed(SMALLEST, "κόσμε".as_bytes());
    assert_eq!(inflater.message(MessageKind::Text, &made, 64), Ok("κόσμε".as_bytes()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Random bytes, and messages with a changed byte: no panic, the limit holds, and the next message is as ever.
    #[test]
    fn any_bytes(
        random in vec(any::<u8>(), 0..300),
        records in 0_usize..20,
        change in any::<(prop::sample::Index, u8)>(),
        limit in 0_usize..3_000,
    ) {
        let mut changed = compressed(SMALLEST, &json(records));
        let at = change.0.index(changed.len());
        changed[at] = change.1;
        let mut inflater = Inflater::default();
        for bytes in [random, changed] {
            if let Ok(message) = inflater.message(MessageKind::Binary, &bytes, limit) {
                prop_assert!(message.len() <= limit);
            }
            prop_assert!(inflater.held_bytes() <= limit.max(5) + 1);
            let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
            prop_assert_eq!(inflater.message(MessageKind::Text, &hello, 5), Ok(b"Hello".as_slice()));
        }
    }
}

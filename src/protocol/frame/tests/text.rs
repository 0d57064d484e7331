//! UTF-8, as it arrives.

use proptest::prelude::*;

use super::{BUDGET, Client, LIMITS, frame, read_all, text};
use crate::protocol::frame::ProtocolError;

/// Index of the first byte of `bytes` with which no text can begin, by the standard library's word.
fn first_impossible(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len()).find(|&end| std::str::from_utf8(&bytes[..=end]).is_err_and(|error| error.error_len().is_some()))
}

/// Index of the byte at which a client that sends one byte at a time is refused.
fn refused_at(wire: &[u8]) -> Option<usize> {
    let mut client = Client::new(LIMITS, BUDGET);
    (0..wire.len()).find(|&at| client.read(&wire[at..=at]).is_err())
}

/// Autobahn 6.4.1 to 6.4.4: κόσμε, then a code point beyond the last, then a tail that never comes.
#[test]
fn an_impossible_byte_is_refused_at_once() {
    let payload = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80\x65\x64\x69\x74\x65\x64";
    assert_eq!(first_impossible(payload), Some(12));
    assert_eq!(refused_at(&frame(0x81, payload)), Some(6 + 12));

    let fragments = [frame(0x01, &payload[..11]), frame(0x00, &payload[11..15]), frame(0x80, &payload[15..])];
    assert_eq!(refused_at(&fragments.concat()), Some(6 + 11 + 6 + 1));
    let mut client = Client::new(LIMITS, BUDGET);
    assert!(client.read(&fragments[0]).is_ok());
    assert!(client.read(&fragments[1][..7]).is_ok(), "0xf4 may begin a character");
    let error = client.read(&fragments[1][7..8]).unwrap_err();
    assert_eq!(error, ProtocolError::InvalidUtf8 { position: 11 });
    assert_eq!(error.close_code(), 1007);
}

#[test]
fn a_character_may_be_parted_anywhere() {
    let word = "κ🦀é";
    for first in 0..=word.len() {
        for second in first..=word.len() {
            let bytes = word.as_bytes();
            let parts =
                [frame(0x01, &bytes[..first]), frame(0x00, &bytes[first..second]), frame(0x80, &bytes[second..])];
            assert_eq!(read_all(parts.iter().map(Vec::as_slice)), (vec![text(word)], None));
        }
    }
}

#[test]
fn a_message_ends_with_a_whole_character() {
    for wire in [frame(0x81, b"ab\xe2\x82"), [frame(0x01, b"ab\xe2"), frame(0x80, b"\x82")].concat()] {
        for chunk in [1, 7, wire.len()] {
            let (events, error) = read_all(wire.chunks(chunk));
            assert_eq!((events, error), (vec![], Some(ProtocolError::InvalidUtf8 { position: 2 })));
        }
    }
    let (events, error) = read_all([[frame(0x01, b"\xe2"), frame(0x80, b"")].concat().as_slice()]);
    assert_eq!((events, error), (vec![], Some(ProtocolError::InvalidUtf8 { position: 0 })));
}

/// Bytes near to UTF-8: pieces of text, of which some are cut or changed.
fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "\\PC{0,40}".prop_map(String::into_bytes),
        2 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
        1 => proptest::sample::select(vec![0x80, 0xbf, 0xc0, 0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0xf5, 0xff])
            .prop_map(|b| vec![b]),
        1 => any::<char>().prop_map(|c| {
            let mut bytes = c.to_string().into_bytes();
            bytes.pop();
            bytes
        }),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// The verdict on a text in fragments, in reads of any size, is the standard library's; the refusal comes with the
    /// first byte that is impossible.
    #[test]
    fn the_verdict_is_the_standard_librarys(
        payload in nearly_text(),
        cut in any::<prop::sample::Index>(),
        chunk in 1_usize..40,
    ) {
        let cut = cut.index(payload.len() + 1);
        let wire = [frame(0x01, &payload[..cut]), frame(0x80, &payload[cut..])].concat();
        let header = |length: usize| if length < 126 { 6 } else { 8 };
        let place = |at: usize| {
            let first = header(cut) + at;
            if at < cut { first } else { first + header(payload.len() - cut) }
        };
        let (events, error) = read_all(wire.chunks(chunk));
        match std::str::from_utf8(&payload) {
            Ok(valid) => {
                prop_assert_eq!((events, error), (vec![text(valid)], None));
                prop_assert_eq!(refused_at(&wire), None);
            }
            Err(std_error) => {
                let position = std_error.valid_up_to();
                prop_assert_eq!((events, error), (vec![], Some(ProtocolError::InvalidUtf8 { position })));
                // Text that only lacks its end is refused where its frame ends: at an empty one's header.
                let expected = first_impossible(&payload).map_or(wire.len() - 1, place);
                prop_assert_eq!(refused_at(&wire), Some(expected));
            }
        }
    }
}

//! What the server sends.

use crate::protocol::frame::{
    CloseCode, HEADER_BYTES_MAX, MessageKind, encode_close, encode_deflated, encode_message, encode_ping, encode_pong,
    encoded_len,
};

#[test]
fn headers_are_minimal() {
    for (length, header) in [
        (0, vec![0x82, 0]),
        (125, vec![0x82, 125]),
        (126, vec![0x82, 126, 0, 126]),
        (65_535, vec![0x82, 126, 255, 255]),
        (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let mut out = b"before".to_vec();
        encode_message(&mut out, MessageKind::Binary, &vec![7; length]);
        assert_eq!(out[6..6 + header.len()], header, "{length}");
        assert_eq!(out[6 + header.len()..], vec![7; length], "{length}");
        assert_eq!(out.len() - 6, encoded_len(length));
        assert!(header.len() <= HEADER_BYTES_MAX);
    }
}

#[test]
fn each_kind_has_its_opcode() {
    let mut out = Vec::new();
    encode_message(&mut out, MessageKind::Text, b"hi");
    encode_deflated(&mut out, MessageKind::Text, b"\x00");
    encode_deflated(&mut out, MessageKind::Binary, &[7; 126]);
    assert_eq!(out.split_off(7), [&[0xc2, 126, 0, 126], [7; 126].as_slice()].concat());
    encode_ping(&mut out, b"1");
    encode_pong(&mut out, b"");
    encode_close(&mut out, CloseCode(3008), "slow");
    assert_eq!(out, b"\x81\x02hi\xc1\x01\x00\x89\x011\x8a\x00\x88\x06\x0b\xc0slow");
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let mut out = Vec::new();
    encode_close(&mut out, CloseCode::NORMAL, &"é".repeat(100));
    assert_eq!(out[..4], [0x88, 124, 0x03, 0xe8]);
    assert_eq!(out[4..], *"é".repeat(61).as_bytes());
    out.clear();
    encode_close(&mut out, CloseCode::NORMAL, &"x".repeat(124));
    assert_eq!(out[1], 125);
}

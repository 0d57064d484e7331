//! What was compressed is inflated to what it was.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Compression, Deflater, Inflater, WindowBits, compressed, compressions, inflated, json};
use crate::protocol::frame::MessageKind;

#[test]
fn every_level_and_window() {
    for compression in compressions() {
        for payload in [b"".as_slice(), b"a", &[b'a'; 100_000], &json(3), &json(5_000)] {
            let made = compressed(compression, payload);
            assert_eq!(inflated(&made, payload.len()).as_deref(), Ok(payload), "{compression:?}");
        }
    }
}

/// RFC 7692 §7.2.3: each says "Hello", the last alone with a block that says it is the last one.
#[test]
fn the_examples_of_the_rfc() {
    let one_block = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let two_blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    for example in [one_block.as_slice(), &stored, &last, &two_blocks] {
        assert_eq!(inflated(example, 5).as_deref(), Ok(b"Hello".as_slice()), "{example:02x?}");
    }
    let three = [last[..7].repeat(3), vec![0x00]].concat();
    assert_eq!(inflated(&three, 15).as_deref(), Ok(b"HelloHelloHello".as_slice()));
    assert_eq!(inflated(&[0x00], 0).as_deref(), Ok(b"".as_slice()), "an empty message");
    let default = Compression::default();
    assert_eq!(compressed(default, b"Hello"), one_block);
    assert_eq!(compressed(default, b""), [0x00]);
}

/// A message must not depend on the ones before: it is another member's first.
#[test]
fn no_context_is_taken_over() {
    let payload = json(20);
    for compression in compressions() {
        let alone = compressed(compression, &payload);
        let (mut deflater, mut inflater) = (Deflater::new(compression), Inflater::default());
        for before in [payload.as_slice(), &json(3_000), b"", &[0; 70_000]] {
            deflater.compress(&mut Vec::new(), before);
            let mut behind = b"before".to_vec();
            deflater.compress(&mut behind, &payload);
            assert_eq!(behind[6..], alone, "{compression:?}");
            assert_eq!(inflater.message(MessageKind::Text, &alone, 1 << 20), Ok(payload.as_slice()));
        }
    }
    // A repetition of what only an earlier message said.
    let mut context = flate2::Compress::new(flate2::Compression::new(6), false);
    let mut continued = Vec::with_capacity(10_000);
    context.compress_vec(&payload, &mut continued, flate2::FlushCompress::Sync).unwrap();
    continued.clear();
    context.compress_vec(&payload, &mut continued, flate2::FlushCompress::Sync).unwrap();
    assert!(inflated(&continued[..continued.len() - 4], 1 << 20).is_err(), "its first distance leads out of it");
}

/// A member whose inflater has the agreed window, and no more, can follow.
#[test]
fn the_window_is_kept() {
    // Repetitions at any distance, so that a larger window would be used if it were allowed.
    let payload: Vec<u8> = (0..64).flat_map(|part| json(1 + part * 7 % 50)).collect();
    for compression in compressions() {
        let window_bits = compression.window_bits.get();
        let made = [compressed(compression, &payload), vec![0, 0, 0xff, 0xff]].concat();
        let mut member = flate2::Decompress::new_with_window_bits(false, window_bits);
        let mut out = Vec::with_capacity(payload.len());
        // Small pieces: only the window remembers what was before.
        let (mut taken, mut piece) = (0, Vec::with_capacity(100));
        while out.len() < payload.len() {
            piece.clear();
            let before = member.total_in();
            member.decompress_vec(&made[taken..], &mut piece, flate2::FlushDecompress::None).unwrap();
            taken += usize::try_from(member.total_in() - before).unwrap();
            out.extend_from_slice(&piece);
        }
        assert!(out == payload, "{window_bits} bits");
    }
    let narrow = Compression { window_bits: WindowBits::MIN, ..Compression::default() };
    let apart = [b"0123456789abcdef".as_slice(), &[0; 600], b"0123456789abcdef"].concat();
    let lengths = [narrow, Compression::default()].map(|compression| compressed(compression, &apart).len());
    assert!(lengths[0] > lengths[1], "600 bytes apart is out of a window of 512: {lengths:?}");
}

#[test]
fn frames_are_compressed_where_that_helps() {
    let compression = Compression { threshold_bytes: 100, ..Compression::default() };
    let mut deflater = Deflater::new(compression);
    let mut first_byte = |kind, payload: &[u8]| {
        let mut out = Vec::new();
        deflater.encode_message(&mut out, kind, payload);
        out[0]
    };
    assert_eq!(first_byte(MessageKind::Text, &[b'a'; 99]), 0x81, "below the threshold");
    assert_eq!(first_byte(MessageKind::Text, &[b'a'; 100]), 0xc1);
    assert_eq!(first_byte(MessageKind::Binary, &[b'a'; 100]), 0xc2);
    let mut state = 1_u64;
    let mut noisy = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    let noise: Vec<u8> = (0..1_000).map(|_| noisy()).collect();
    assert_eq!(first_byte(MessageKind::Binary, &noise), 0x82, "what does not get shorter is sent as it is");

    let (mut out, payload) = (b"before".to_vec(), json(100));
    deflater.encode_message(&mut out, MessageKind::Text, &payload);
    let made = compressed(compression, &payload);
    let length = u16::try_from(made.len()).unwrap().to_be_bytes();
    assert_eq!(out, [b"before\xc1\x7e", length.as_slice(), &made].concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_messages(
        payloads in vec(vec(prop_oneof![Just(b'a'), Just(b'b'), any::<u8>()], 0..1_000), 1..4),
        index in 0_usize..9,
    ) {
        let compression = compressions().nth(index).unwrap();
        let (mut deflater, mut inflater) = (Deflater::new(compression), Inflater::default());
        for payload in &payloads {
            let mut made = Vec::new();
            deflater.compress(&mut made, payload);
            prop_assert_eq!(inflater.message(MessageKind::Binary, &made, payload.len()), Ok(payload.as_slice()));
            if let Some(less) = payload.len().checked_sub(1) {
                prop_assert!(inflater.message(MessageKind::Binary, &made, less).is_err(), "one byte too long");
            }
        }
    }
}

//! Every class of header: 16 opcodes × RSV × FIN × MASK × 5 encodings of the length, in two states.

use super::{BUDGET, Client, Event, LIMITS, MASK, binary, frame};
use crate::protocol::frame::{Extension, MessageKind, ProtocolError};

/// The 7-bit field, the bytes behind it, the length they say.
const LENGTHS: [(u8, &[u8], u64); 5] = [
    (5, &[], 5),
    (126, &[0x01, 0x00], 256),
    (126, &[0x00, 0x7d], 125),
    (127, &[0, 0, 0, 0, 0, 1, 0, 0], 65_536),
    (127, &[0, 0, 0, 0, 0, 0, 0xff, 0xff], 65_535),
];

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Idle,
    /// One fragment of 1 byte has come.
    InMessage,
}

/// The second byte without the length.
const UNMASKED: u8 = 0;
const MASKED: u8 = 0x80;

/// What RFC 6455 §5 says, rule by rule in the order of the bytes.
fn expected(
    (state, extension): (State, Extension),
    first: u8,
    mask_bit: u8,
    length: (u8, &[u8], u64),
) -> Option<ProtocolError> {
    let (fin, reserved, opcode) = (first & 0x80 != 0, (first >> 4) & 7, first & 0x0f);
    let (field, extended, bytes) = length;
    let control = matches!(opcode, 8..=10);
    let compressed = reserved == 0b100 && matches!(opcode, 1 | 2) && extension == Extension::Deflate;
    let rules = [
        (reserved != 0 && !compressed, ProtocolError::ReservedBits { bits: reserved }),
        (matches!(opcode, 3..=7 | 11..=15), ProtocolError::ReservedOpcode { opcode }),
        (control && !fin, ProtocolError::ControlFragmented),
        (mask_bit == UNMASKED, ProtocolError::Unmasked),
        (control && field > 125, ProtocolError::ControlTooLong),
        (extended.len() == 2 && bytes < 126, ProtocolError::NonMinimalLength { length: bytes, encoded_bytes: 2 }),
        (extended.len() == 8 && bytes < 65_536, ProtocolError::NonMinimalLength { length: bytes, encoded_bytes: 8 }),
        (opcode == 0 && state == State::Idle, ProtocolError::ContinuationWithoutStart),
        (matches!(opcode, 1 | 2) && state == State::InMessage, ProtocolError::DataInsideFragmented),
        (
            opcode == 0 && bytes == 65_536,
            ProtocolError::MessageTooLong { actual: 65_537, limit: LIMITS.message_bytes_max },
        ),
    ];
    rules.into_iter().find_map(|(broken, error)| broken.then_some(error))
}

/// What an allowed frame of zeros tells the sink.
fn told(state: (State, Extension), first: u8, bytes: u64) -> Vec<Event> {
    let payload = vec![0; usize::try_from(bytes).unwrap()];
    match first {
        0x80 => vec![binary(&[&[9], payload.as_slice()].concat())],
        0x81 => vec![Event::Message(MessageKind::Text, payload)],
        0x82 => vec![binary(&payload)],
        0xc1 => vec![Event::Compressed(MessageKind::Text, payload)],
        0xc2 => vec![Event::Compressed(MessageKind::Binary, payload)],
        0x89 => vec![Event::Ping(payload)],
        0x8a => vec![Event::Pong(payload)],
        0x00..=0x02 | 0x41..=0x42 => vec![],
        _ => unreachable!("{first:x} in {state:?} is not allowed"),
    }
}

fn check(state: (State, Extension), first: u8, mask_bit: u8, length: (u8, &[u8], u64), chunk: usize) -> Option<u16> {
    let (field, extended, bytes) = length;
    let mut wire = vec![first, field | mask_bit];
    wire.extend(extended);
    wire.extend(if mask_bit == MASKED { MASK.as_slice() } else { &[] });
    wire.extend(MASK.iter().cycle().take(usize::try_from(bytes).unwrap()));
    let mut client = Client::new(LIMITS, BUDGET);
    client.recorder.extension = state.1;
    if state.0 == State::InMessage {
        assert!(client.read(&frame(0x02, &[9])).is_ok());
    }
    let error = wire.chunks(chunk).find_map(|piece| client.read(piece).err());
    // A close frame of five zeros has code 0.
    let of_body = (first == 0x88).then_some(ProtocolError::InvalidCloseCode { code: 0 });
    let expected = expected(state, first, mask_bit, length).or(of_body);
    assert_eq!(error, expected, "{state:?} {wire:x?}", wire = &wire[..wire.len().min(14)]);
    let events = if error.is_none() { told(state, first, bytes) } else { vec![] };
    assert!(client.recorder.events == events, "{state:?} {first:x} tells the right thing");
    error.map(|error| error.close_code())
}

#[test]
fn every_class_of_header() {
    for (state, allowed_expected) in [
        ((State::Idle, Extension::None), 2 * 2 * 3 + 2),
        ((State::InMessage, Extension::None), 2 * 2 + 2),
        // RSV1 on text and binary, whole or first, and nowhere else.
        ((State::Idle, Extension::Deflate), 2 * (2 * 2 * 3) + 2),
        ((State::InMessage, Extension::Deflate), 2 * 2 + 2),
    ] {
        let (mut classes, mut allowed) = (0, 0);
        for first in 0..=u8::MAX {
            for mask_bit in [UNMASKED, MASKED] {
                for length in LENGTHS {
                    let codes = [usize::MAX, 1, 3].map(|chunk| check(state, first, mask_bit, length, chunk));
                    assert!(codes.iter().all(|code| matches!(code, None | Some(1002 | 1009))), "{codes:?}");
                    classes += 1;
                    allowed += usize::from(codes[0].is_none());
                }
            }
        }
        assert_eq!((classes, allowed), (2_560, allowed_expected), "{state:?}");
    }
}

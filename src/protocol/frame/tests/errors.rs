//! Close frames, and what an error says.

use super::{Event, frame, read_all};
use crate::protocol::frame::{CLOSE_REASON_BYTES_MAX, CloseCode, ProtocolError};

#[test]
fn codes_of_close_frames() {
    for code in 0..=u16::MAX {
        let allowed = [1000..=1003, 1007..=1014, 3000..=4999].iter().any(|range| range.contains(&code));
        assert_eq!(CloseCode(code).is_allowed(), allowed, "{code}");
        let wire = frame(0x88, &code.to_be_bytes());
        let expected = if allowed {
            (vec![Event::Close(Some(code), String::new())], None)
        } else {
            (vec![], Some(ProtocolError::InvalidCloseCode { code }))
        };
        assert_eq!(read_all([wire.as_slice()]), expected);
    }
}

#[test]
fn bodies_of_close_frames() {
    let longest = [b"\x03\xe8".as_slice(), &[b'x'; CLOSE_REASON_BYTES_MAX]].concat();
    for (body, expected) in [
        (b"".as_slice(), Ok(Event::Close(None, String::new()))),
        (b"\x03\xe9going", Ok(Event::Close(Some(1001), "going".to_owned()))),
        (&longest, Ok(Event::Close(Some(1000), "x".repeat(123)))),
        (b"\x03", Err((ProtocolError::CloseBodyOfOne, 1002))),
        (b"\x03\xec", Err((ProtocolError::InvalidCloseCode { code: 1004 }, 1002))),
        (b"\x03\xe8\xce\xba\xf4", Err((ProtocolError::InvalidCloseReason, 1007))),
    ] {
        let wire = frame(0x88, body);
        for chunk in [1, 3, wire.len()] {
            let (events, error) = read_all(wire.chunks(chunk));
            match &expected {
                Ok(event) => assert_eq!((events, error), (vec![event.clone()], None)),
                Err((kind, code)) => {
                    assert_eq!((events, error), (vec![], Some(*kind)));
                    assert_eq!(kind.close_code(), *code);
                }
            }
        }
    }
}

#[test]
fn errors_fit_into_a_reason() {
    for error in [
        ProtocolError::NonMinimalLength { length: u64::MAX, encoded_bytes: 8 },
        ProtocolError::LengthTopBit { length: u64::MAX },
        ProtocolError::InvalidUtf8 { position: usize::MAX },
        ProtocolError::MessageTooLong { actual: u64::MAX, limit: usize::MAX },
        ProtocolError::TooManyFragments { actual: u32::MAX, limit: u32::MAX },
        ProtocolError::UnfinishedBytes { actual: usize::MAX, limit: usize::MAX },
        ProtocolError::ReservedBits { bits: 7 },
        ProtocolError::InvalidDeflate,
        ProtocolError::InflatedTooLong { limit: usize::MAX },
        ProtocolError::InvalidCloseCode { code: u16::MAX },
    ] {
        assert!(error.to_string().len() <= CLOSE_REASON_BYTES_MAX, "{error}");
        assert!(CloseCode(error.close_code()).is_allowed());
    }
    assert_eq!(ProtocolError::ReservedBits { bits: 1 }.to_string(), "reserved bits 0b001 are set");
}

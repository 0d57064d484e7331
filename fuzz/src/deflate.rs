//! permessage-deflate: payloads that somebody compressed, and offers in a handshake.

#![no_main]

use std::cell::RefCell;

use shardcast::MessageKind;
use shardcast::protocol::deflate::{Compression, Deflater, Inflater, WindowBits, negotiate};
use shardcast_fuzz::{bounded, fuzz_target, take_u16};

thread_local! {
    /// As a shard has them: for all messages.
    static CODECS: RefCell<(Inflater, Deflater)> =
        RefCell::new((Inflater::default(), Deflater::new(Compression::default())));
}

/// What is kept from message to message, by either codec.
const KEPT_BYTES_MAX: usize = 64 << 10;

fn messages(payload: &[u8], bytes_max: usize) {
    CODECS.with_borrow_mut(|(inflater, deflater)| {
        for kind in [MessageKind::Binary, MessageKind::Text] {
            if let Ok(message) = inflater.message(kind, payload, bytes_max) {
                assert!(message.len() <= bytes_max, "{} bytes", message.len());
                assert!(
                    kind == MessageKind::Binary || std::str::from_utf8(message).is_ok(),
                    "a text that is not UTF-8"
                );
            }
            assert!(inflater.held_bytes() <= bytes_max.max(KEPT_BYTES_MAX) + 1);
            // Nothing of a message that was broken is left for the next one.
            assert_eq!(inflater.message(MessageKind::Text, b"\xf2\x48\xcd\xc9\xc9\x07\x00", 5), Ok(&b"Hello"[..]));
        }
        let mut compressed = Vec::new();
        deflater.compress(&mut compressed, payload);
        let again = inflater.message(MessageKind::Binary, &compressed, payload.len());
        assert_eq!(again, Ok(payload), "what is compressed is inflated");
        if let Some(less) = payload.len().checked_sub(1) {
            assert!(inflater.message(MessageKind::Binary, &compressed, less).is_err(), "longer than it may be");
        }
    });
}

fn offers(text: &str) {
    for bits in [9, 12, 15] {
        let shared = WindowBits::new(bits).expect("within 9 to 15");
        if let Some(agreed) = negotiate(text.lines(), shared) {
            let answer = agreed.answer();
            assert!(answer.is_ascii() && !answer.contains(['\r', '\n', ',']), "{answer}");
            // A client that offered what the answer says would be answered the same.
            let again = negotiate([answer.as_str()], shared).expect("an answer is an offer");
            assert_eq!(again.answer(), answer);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut payload = data;
    let bytes_max = 4 * usize::from(take_u16(&mut payload));
    bounded(16 * data.len() + 3 * bytes_max + (1 << 20), || {
        messages(payload, bytes_max);
        if let Ok(text) = std::str::from_utf8(payload) {
            offers(text);
        }
    });
});

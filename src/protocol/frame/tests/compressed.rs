//! Frames of permessage-deflate: where RSV1 may stand, and what the sink is handed.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{BUDGET, Client, Event, LIMITS, binary, frame, pieces, read_all, read_all_of, text};
use crate::protocol::deflate::{Compression, Deflater, Inflater};
use crate::protocol::frame::{DecodeLimits, MessageKind, ProtocolError, Unfinished};

fn compressed(payload: &[u8]) -> Event {
    Event::Compressed(MessageKind::Text, payload.to_vec())
}

#[test]
fn compressed_messages_are_handed_out_as_they_came() {
    // No UTF-8, and nothing that could become it.
    let payload = b"\xff\x80\x00\xc0";
    let wire = [
        frame(0xc1, payload),
        frame(0x81, b"plain"),
        frame(0x41, &payload[..1]),
        frame(0x89, b"ping"),
        frame(0x00, &payload[1..3]),
        frame(0x80, &payload[3..]),
        frame(0x02, b"plain "),
        frame(0x80, b"again"),
        frame(0xc1, b""),
    ]
    .concat();
    let expected = [
        compressed(payload),
        text("plain"),
        Event::Ping(b"ping".to_vec()),
        compressed(payload),
        binary(b"plain again"),
        compressed(b""),
    ];
    for cut in 0..wire.len() {
        let client = Client::compressing(LIMITS, BUDGET);
        let (events, error) = read_all_of(client, pieces(&wire, &[cut]));
        assert_eq!((events.as_slice(), error), (expected.as_slice(), None), "cut at {cut}");
    }
    assert_eq!(read_all_of(Client::compressing(LIMITS, BUDGET), wire.chunks(1)).0, expected);
}

#[test]
fn a_whole_compressed_message_holds_nothing() {
    let mut client = Client::compressing(LIMITS, 0);
    assert!(client.read(&frame(0xc1, &[7; 1_000])).is_ok());
    assert!(client.unfinished.is_none());
}

#[test]
fn rsv1_stands_on_the_first_frame_of_a_message_only() {
    let reserved = |bits| Some(ProtocolError::ReservedBits { bits });
    for (before, first, bits) in [
        (0x41, 0xc0, 4),
        (0x41, 0x40, 4),
        (0x01, 0xc0, 4),
        (0x01, 0xc9, 4),
        (0x41, 0xca, 4),
        (0x41, 0xc8, 4),
        (0x41, 0xa0, 2),
        (0x41, 0x90, 1),
        (0x01, 0xe0, 6),
    ] {
        let wire = [frame(before, b"a"), frame(first, b"b")].concat();
        for chunk in [1, wire.len()] {
            let (events, error) = read_all_of(Client::compressing(LIMITS, BUDGET), wire.chunks(chunk));
            assert_eq!((events, error), (vec![], reserved(bits)), "{first:x} behind {before:x}");
        }
    }
    assert_eq!(read_all([frame(0xc1, b"a").as_slice()]), (vec![], reserved(4)), "nothing was agreed");
    assert_eq!(ProtocolError::ReservedBits { bits: 4 }.close_code(), 1002);
}

#[test]
fn an_error_of_the_sink_ends_decoding() {
    for wire in [frame(0xc2, b"broken"), [frame(0x42, b"bro"), frame(0x80, b"ken")].concat()] {
        for chunk in [1, 9, wire.len()] {
            // `Client` checks that nothing is held any more.
            let (events, error) = read_all_of(Client::compressing(LIMITS, BUDGET), wire.chunks(chunk));
            assert_eq!((events, error), (vec![], Some(ProtocolError::InvalidDeflate)));
        }
    }
}

/// What cannot be compressed grows: a message of the greatest length must still come through.
#[test]
fn a_compressed_message_may_be_somewhat_longer() {
    let limits = DecodeLimits { message_bytes_max: 800, ..LIMITS };
    for (bytes, error) in
        [(800 + 100 + 64, None), (800 + 100 + 65, Some(ProtocolError::MessageTooLong { actual: 965, limit: 800 }))]
    {
        let payload = vec![7; bytes];
        let whole = frame(0xc1, &payload);
        let parts = [frame(0x41, &payload[..500]), frame(0x80, &payload[500..])].concat();
        for wire in [whole, parts] {
            for chunk in [100, wire.len()] {
                assert_eq!(read_all_of(Client::compressing(limits, BUDGET), wire.chunks(chunk)).1, error, "{bytes}");
            }
        }
    }
    let plain = read_all_of(Client::compressing(limits, BUDGET), [frame(0x81, &[b'a'; 801]).as_slice()]);
    assert_eq!(plain.1, Some(ProtocolError::MessageTooLong { actual: 801, limit: 800 }), "no other message");
}

#[test]
fn memory_grows_with_what_arrived() {
    let mut client = Client::compressing(LIMITS, BUDGET);
    let wire = frame(0x42, &[7; 60_000]);
    assert!(client.read(&wire[..1_008]).is_ok());
    assert_eq!(client.held(), size_of::<Unfinished>() + 1_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// A client's messages, of which some are compressed, come out the same however frames and reads cut them.
    #[test]
    fn from_a_client_to_a_message(
        messages in vec(("[a-zé ]{0,300}", any::<bool>(), any::<usize>()), 0..4),
        cuts in vec(any::<usize>(), 0..10),
    ) {
        let (mut deflater, mut wire) = (Deflater::new(Compression::default()), Vec::new());
        for (message, is_compressed, cut) in &messages {
            let (mut payload, mut first) = (message.clone().into_bytes(), 0x01);
            if *is_compressed {
                payload.clear();
                deflater.compress(&mut payload, message.as_bytes());
                first |= 0x40;
            }
            let (one, other) = payload.split_at(cut % (payload.len() + 1));
            wire.extend([frame(first, one), frame(0x80, other)].concat());
        }
        let (events, error) = read_all_of(Client::compressing(LIMITS, BUDGET), pieces(&wire, &cuts));
        prop_assert_eq!(error, None);
        let mut inflater = Inflater::default();
        let mut came = Vec::new();
        for event in events {
            came.push(match event {
                Event::Message(MessageKind::Text, payload) => payload,
                Event::Compressed(kind, payload) => inflater.message(kind, &payload, 1_000).unwrap().to_vec(),
                other => panic!("{other:?}"),
            });
        }
        let sent: Vec<Vec<u8>> = messages.into_iter().map(|(message, ..)| message.into_bytes()).collect();
        prop_assert_eq!(came, sent);
    }
}

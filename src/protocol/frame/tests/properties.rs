//! What holds for any frames, any bytes, any cuts.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{BUDGET, Client, Event, LIMITS, binary, frame_masked, pieces, read_all, text};
use crate::protocol::frame::{DecodeLimits, MessageKind, encode_message};

/// A message of a client, and control frames that come within it.
#[derive(Clone, Debug)]
struct Sent {
    kind: MessageKind,
    payload: Vec<u8>,
    /// Where its fragments end.
    cuts: Vec<usize>,
    /// The control frame before each fragment but the first.
    controls: Vec<Option<(Ping, Vec<u8>)>>,
    mask: [u8; 4],
}

#[derive(Clone, Copy, Debug)]
enum Ping {
    Ping,
    Pong,
}

impl Sent {
    /// Appends its frames to `wire`, and to `events` what they shall say.
    fn write(&self, wire: &mut Vec<u8>, events: &mut Vec<Event>) {
        let fragments = pieces(&self.payload, &self.cuts);
        for (index, fragment) in fragments.iter().enumerate() {
            if let (1.., Some(Some((ping, payload)))) = (index, self.controls.get(index)) {
                let (first, event) = match ping {
                    Ping::Ping => (0x89, Event::Ping(payload.clone())),
                    Ping::Pong => (0x8a, Event::Pong(payload.clone())),
                };
                wire.extend(frame_masked(first, self.mask, payload));
                events.push(event);
            }
            let opcode = match (index, self.kind) {
                (0, MessageKind::Text) => 1,
                (0, MessageKind::Binary) => 2,
                _ => 0,
            };
            let fin = if index + 1 == fragments.len() { 0x80 } else { 0 };
            wire.extend(frame_masked(fin | opcode, self.mask, fragment));
        }
        events.push(Event::Message(self.kind, self.payload.clone()));
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let payload = prop_oneof![
        ".{0,200}".prop_map(|text| (MessageKind::Text, text.into_bytes())),
        vec(any::<u8>(), 0..300).prop_map(|bytes| (MessageKind::Binary, bytes)),
        (65_000_usize..=LIMITS.message_bytes_max).prop_map(|length| (MessageKind::Binary, vec![7; length])),
    ];
    let ping = prop_oneof![Just(Ping::Ping), Just(Ping::Pong)];
    let controls = vec(proptest::option::of((ping, vec(any::<u8>(), 0..=125))), 0..6);
    let cuts = prop_oneof![Just(vec![]), vec(any::<usize>(), 0..6)];
    (payload, cuts, controls, any::<[u8; 4]>()).prop_map(|((kind, payload), cuts, controls, mask)| Sent {
        kind,
        payload,
        cuts,
        controls,
        mask,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Valid frames say the same however reads cut them, and leave nothing behind.
    #[test]
    fn cuts_do_not_matter(messages in vec(sent(), 0..5), cuts in vec(any::<usize>(), 0..30), chunk in 1_usize..5_000) {
        let (mut wire, mut expected) = (Vec::new(), Vec::new());
        for message in &messages {
            message.write(&mut wire, &mut expected);
        }
        for pieces in [vec![wire.as_slice()], pieces(&wire, &cuts), wire.chunks(chunk).collect()] {
            let mut client = Client::new(LIMITS, BUDGET);
            for piece in pieces {
                prop_assert_eq!(client.read(piece), Ok(piece.len()));
            }
            prop_assert!(client.recorder.events == expected);
            prop_assert!(client.unfinished.is_none());
            prop_assert_eq!(client.budget, BUDGET);
        }
    }

    /// A sink that stops after each message gets the same in the end.
    #[test]
    fn stops_do_not_matter(messages in vec(sent(), 0..5), chunk in 1_usize..5_000) {
        let (mut wire, mut expected) = (Vec::new(), Vec::new());
        for message in &messages {
            message.write(&mut wire, &mut expected);
        }
        let mut client = Client::new(LIMITS, BUDGET);
        client.recorder.stops = true;
        for mut piece in wire.chunks(chunk) {
            while !piece.is_empty() {
                let consumed = client.read(piece).unwrap();
                prop_assert_ne!(consumed, 0);
                piece = &piece[consumed..];
            }
        }
        prop_assert!(client.recorder.events == expected);
    }

    /// What a server sends is, masked, what a client sends.
    #[test]
    fn encoding_and_decoding_agree(seed in vec(any::<u8>(), 1..100), length in 0_usize..70_000) {
        let payload: Vec<u8> = seed.into_iter().cycle().take(length).collect();
        let mut wire = Vec::new();
        encode_message(&mut wire, MessageKind::Binary, &payload);
        let header_bytes = wire.len() - payload.len();
        wire[1] |= 0x80;
        wire.splice(header_bytes..header_bytes, [0; 4]);
        let limits = DecodeLimits { message_bytes_max: 70_000, ..LIMITS };
        let mut client = Client::new(limits, 0);
        prop_assert_eq!(client.read(&wire), Ok(wire.len()));
        prop_assert!(client.recorder.events == [binary(&payload)]);
    }
}

/// Bytes that get past the first checks more often than random ones: frames, some with a changed byte.
fn nearly_frames() -> impl Strategy<Value = Vec<u8>> {
    let first = proptest::sample::select(vec![0x00, 0x80, 0x01, 0x81, 0x02, 0x82, 0x88, 0x89, 0x8a]);
    let payload = prop_oneof![
        vec(any::<u8>(), 0..140),
        "[a-zé]{0,140}".prop_map(String::into_bytes),
        Just(b"\x03\xe8".to_vec()),
    ];
    let frame =
        (first, any::<[u8; 4]>(), payload).prop_map(|(first, mask, payload)| frame_masked(first, mask, &payload));
    let change = proptest::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    (vec(frame, 1..12), change).prop_map(|(frames, change)| {
        let mut wire = frames.concat();
        if let Some((at, byte)) = change {
            let at = at.index(wire.len());
            wire[at] = byte;
        }
        wire
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// Random bytes neither panic nor hold more than the limits; `Client` checks the latter after each read.
    #[test]
    fn any_bytes(wire in vec(any::<u8>(), 0..400), cuts in vec(any::<usize>(), 0..10)) {
        prop_assert_eq!(read_all(pieces(&wire, &cuts)), read_all([wire.as_slice()]));
    }

    /// Events and verdict do not depend on cuts, for wrong input neither.
    #[test]
    fn nearly_right_bytes(wire in nearly_frames(), cuts in vec(any::<usize>(), 0..10)) {
        let whole = read_all([wire.as_slice()]);
        prop_assert_eq!(&read_all(pieces(&wire, &cuts)), &whole);
        prop_assert_eq!(&read_all(wire.chunks(1)), &whole);
    }

    /// Narrow limits and a budget that runs out.
    #[test]
    fn narrow_limits(
        wire in nearly_frames(),
        cuts in vec(any::<usize>(), 0..10),
        bytes in 0_usize..200,
        fragments in 0_u32..4,
        budget in 0_usize..600,
    ) {
        let limits = DecodeLimits { message_bytes_max: bytes, message_fragments_max: fragments };
        let mut client = Client::new(limits, budget);
        for piece in pieces(&wire, &cuts) {
            if client.read(piece).is_err() || matches!(client.recorder.events.last(), Some(Event::Close(..))) {
                prop_assert_eq!(client.budget, budget);
                break;
            }
        }
        for event in &client.recorder.events {
            if let Event::Message(_, payload) = event {
                prop_assert!(payload.len() <= bytes);
            }
        }
    }
}

#[test]
fn texts_compare_as_text() {
    let wire = frame_masked(0x81, [0; 4], b"hello");
    assert_eq!(read_all([wire.as_slice()]), (vec![text("hello")], None));
}

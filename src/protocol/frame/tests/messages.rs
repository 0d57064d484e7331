//! Messages and control frames, whole and in parts.

use super::{BUDGET, Client, Event, LIMITS, binary, frame, frame_masked, pieces, read_all, text};
use crate::protocol::frame::{DecodeLimits, ProtocolError, Unfinished};

#[test]
fn whole_messages_hold_nothing() {
    let mut client = Client::new(LIMITS, 0);
    let input = [frame(0x81, "grüß".as_bytes()), frame(0x82, &[0xff; 300]), frame(0x81, b"")].concat();
    assert_eq!(client.read(&input), Ok(input.len()));
    assert_eq!(client.recorder.events, [text("grüß"), binary(&[0xff; 300]), text("")]);
    assert!(client.unfinished.is_none());
}

#[test]
fn a_message_comes_byte_by_byte() {
    for length in [0, 1, 4, 125, 126, 200, 65_535, 65_536] {
        let input = frame(0x82, &vec![b'x'; length]);
        let (events, error) = read_all(input.chunks(1));
        assert_eq!((events, error), (vec![binary(&vec![b'x'; length])], None), "{length}");
    }
}

#[test]
fn a_control_frame_comes_byte_by_byte() {
    let mut client = Client::new(LIMITS, BUDGET);
    for piece in [frame(0x89, &[1; 125]), frame(0x8a, b"")].concat().chunks(1) {
        assert_eq!(client.read(piece), Ok(1));
    }
    assert_eq!(client.recorder.events, [Event::Ping(vec![1; 125]), Event::Pong(vec![])]);
    assert!(client.unfinished.is_none());
}

#[test]
fn fragments_with_control_frames_between() {
    let input = [
        frame_masked(0x01, [1, 2, 3, 4], b"one "),
        frame(0x89, b"ping"),
        frame_masked(0x00, [9, 0, 9, 0], b""),
        frame(0x8a, &[0; 125]),
        frame_masked(0x80, [5, 6, 7, 8], b"two"),
        frame(0x88, b"\x03\xe8bye"),
    ]
    .concat();
    let expected = [
        Event::Ping(b"ping".to_vec()),
        Event::Pong(vec![0; 125]),
        text("one two"),
        Event::Close(Some(1000), "bye".to_owned()),
    ];
    for cut in 0..input.len() {
        let (events, error) = read_all(pieces(&input, &[cut]));
        assert_eq!((events.as_slice(), error), (expected.as_slice(), None), "cut at {cut}");
    }
    assert_eq!(read_all(input.chunks(1)).0, expected);
}

#[test]
fn a_stop_leaves_the_rest_alone() {
    let frames = [frame(0x81, b"a"), frame(0x02, b"b"), frame(0x89, b"c"), frame(0x80, b"d"), frame(0x8a, b"e")];
    let input = frames.concat();
    let mut client = Client::new(LIMITS, BUDGET);
    client.recorder.stops = true;
    let mut at = 0;
    let mut stops = Vec::new();
    while at < input.len() {
        at += client.read(&input[at..]).unwrap();
        stops.push(at);
    }
    assert_eq!(stops, [7, 21, 28, 35], "after each message and ping");
    let expected = [text("a"), Event::Ping(b"c".to_vec()), binary(b"bd"), Event::Pong(b"e".to_vec())];
    assert_eq!(client.recorder.events, expected);
    assert!(client.unfinished.is_none());
}

#[test]
fn what_follows_a_close_frame_is_ignored() {
    let close = frame(0x88, b"");
    let mut client = Client::new(LIMITS, BUDGET);
    assert!(client.read(&frame(0x01, b"never finished")).is_ok());
    assert_ne!(client.held(), 0);
    assert_eq!(client.read(&[close.clone(), vec![0xff; 10]].concat()), Ok(close.len()));
    assert_eq!(client.recorder.events, [Event::Close(None, String::new())]);
    assert_eq!(client.held(), 0, "the message that was open is dropped");
}

#[test]
fn memory_grows_with_what_arrived() {
    let mut client = Client::new(LIMITS, BUDGET);
    let input = frame(0x82, &vec![0; 60_000]);
    assert!(client.read(&input[..8]).is_ok());
    assert_eq!(client.held(), size_of::<Unfinished>(), "a header alone takes no payload memory");
    assert!(client.read(&input[8..1_008]).is_ok());
    assert_eq!(client.held(), size_of::<Unfinished>() + 1_000);
    assert!(client.read(&input[1_008..1_009]).is_ok());
    assert_eq!(client.held(), size_of::<Unfinished>() + 2_000);
    assert!(client.read(&input[1_009..40_008]).is_ok());
    assert!(client.read(&input[40_008..50_008]).is_ok());
    assert_eq!(client.held(), size_of::<Unfinished>() + 60_000, "no more than the frame declares");
}

#[test]
fn the_budget_bounds_what_is_held() {
    let own = size_of::<Unfinished>();
    let input = frame(0x82, &[0; 1_000]);
    let error = Client::new(LIMITS, own - 1).read(&input[..1]).unwrap_err();
    assert_eq!(error, ProtocolError::UnfinishedBytes { actual: own, limit: own - 1 });
    assert_eq!(error.close_code(), 1013);

    let mut client = Client::new(LIMITS, own + 999);
    assert!(client.read(&input[..808]).is_ok());
    assert!(client.read(&input[808..1_007]).is_ok(), "doubling is cut to what is granted");
    assert_eq!(client.budget, 0);
    assert_eq!(client.read(&input[1_007..]), Err(ProtocolError::UnfinishedBytes { actual: 1, limit: 0 }));

    let mut client = Client::new(LIMITS, own + 1_000);
    for piece in input.chunks(1) {
        assert!(client.read(piece).is_ok());
    }
    assert_eq!(client.budget, own + 1_000);
}

#[test]
fn length_is_judged_by_the_header() {
    let limits = DecodeLimits { message_bytes_max: 1_000, ..LIMITS };
    for length in [1_001, 65_535] {
        let mut client = Client::new(limits, 0);
        let error = client.read(&frame(0x82, &vec![0; length])[..8]).unwrap_err();
        assert_eq!(error, ProtocolError::MessageTooLong { actual: length as u64, limit: 1_000 });
        assert_eq!(error.close_code(), 1009);
    }
    for length in [(1 << 31) - 1, 1 << 31, (1 << 31) + 1, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, u64::MAX >> 1] {
        let header = [&[0x82, 0xff], length.to_be_bytes().as_slice(), &[0; 4]].concat();
        let error = Client::new(limits, 0).read(&header).unwrap_err();
        assert_eq!(error, ProtocolError::MessageTooLong { actual: length, limit: 1_000 });
    }
    for length in [1 << 63, u64::MAX] {
        let header = [&[0x82, 0xff], length.to_be_bytes().as_slice()].concat();
        assert_eq!(Client::new(limits, BUDGET).read(&header), Err(ProtocolError::LengthTopBit { length }));
    }
    let mut client = Client::new(limits, BUDGET);
    assert!(client.read(&[frame(0x02, &[0; 600]), frame(0x00, &[0; 400])].concat()).is_ok(), "the limit is allowed");
    let error = client.read(&frame(0x80, &[0])[..6]).unwrap_err();
    assert_eq!(error, ProtocolError::MessageTooLong { actual: 1_001, limit: 1_000 });
}

#[test]
fn empty_fragments_are_counted() {
    let limits = DecodeLimits { message_fragments_max: 3, ..LIMITS };
    let mut client = Client::new(limits, BUDGET);
    let three = [frame(0x01, b""), frame(0x00, b""), frame(0x80, b"")].concat();
    assert!(client.read(&three.repeat(2)).is_ok(), "each message has a count of its own");
    let four = [frame(0x01, b""), frame(0x00, b""), frame(0x00, b""), frame(0x80, b"")].concat();
    let error = client.read(&four).unwrap_err();
    assert_eq!(error, ProtocolError::TooManyFragments { actual: 4, limit: 3 });
    assert_eq!(error.close_code(), 1008);

    let mut client = Client::new(DecodeLimits { message_fragments_max: 0, ..LIMITS }, BUDGET);
    for piece in frame(0x82, b"whole").chunks(3) {
        assert!(client.read(piece).is_ok(), "a message in one frame is not fragmented");
    }
    assert_eq!(client.read(&frame(0x02, b"")), Err(ProtocolError::TooManyFragments { actual: 1, limit: 0 }));
}

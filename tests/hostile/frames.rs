//! Every class of frame header, in two states of the connection, is accepted or answered with the right close code.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::client::{CLOSE, Event, FIN, MASKED, Member, PING, PONG, TEXT, frame, header_in, masked};
use crate::pair::Pair;
use crate::server::Server;

/// The 7-bit length, and what it or the bytes behind it declare.
const LENGTHS: [(u8, u64); 13] = [
    (0, 0),
    (1, 1),
    (2, 2),
    (125, 125),
    (126, 126),
    (126, 65_535),
    (127, 65_536),
    // Longer than message_bytes_max.
    (127, 65_537),
    (127, i64::MAX as u64),
    // Not the shortest encoding.
    (126, 125),
    (127, 65_535),
    (127, 0),
    // Not a length.
    (127, u64::MAX),
];

/// A connection's state before the frame.
#[derive(Clone, Copy, Debug)]
enum State {
    Fresh,
    /// A text "in " has begun.
    InMessage,
}

/// What a frame class is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Close(u16),
    /// A message with the opcode.
    Message(u8),
    /// The message has more to come.
    More(u8),
    Pong,
    Nothing,
}

/// RFC 6455 §5.2, §5.4, §5.5 and the limits, in the order in which a header's bytes come. Not the server's code.
fn expected(state: State, first: u8, mask: u8, (code, len): (u8, u64)) -> Expected {
    let (reserved, opcode, fin) = (first & 0x70, first & 0x0f, first & FIN != 0);
    let control = opcode >= 8;
    let minimal = match code {
        126 => len >= 126,
        127 => len > 65_535 && len >> 63 == 0,
        _ => true,
    };
    if reserved != 0
        || !matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10)
        || (control && (!fin || code > 125))
        || mask == 0
        || !minimal
    {
        return Expected::Close(1002);
    }
    let in_message = matches!(state, State::InMessage);
    let held = if in_message { 3 } else { 0 };
    match opcode {
        8 if len == 0 => Expected::Close(1000),
        8 if len == 1 => Expected::Close(1002),
        8 => Expected::Close(1000),
        9 => Expected::Pong,
        10 => Expected::Nothing,
        0 if !in_message => Expected::Close(1002),
        1 | 2 if in_message => Expected::Close(1002),
        _ if len + held > 65_536 => Expected::Close(1009),
        0 if fin => Expected::Message(TEXT),
        0 => Expected::More(TEXT),
        _ if fin => Expected::Message(opcode),
        _ => Expected::More(opcode),
    }
}

/// What the frame carries: of a close frame code 1000 and a reason, else text.
fn payload(first: u8, len: u64) -> Vec<u8> {
    // What was refused by its header need not come.
    let len = usize::try_from(len.min(65_536)).expect("it was just bounded");
    let mut payload = vec![b'p'; len];
    if first & 0x0f == CLOSE && len >= 2 {
        payload[..2].copy_from_slice(&1_000u16.to_be_bytes());
    }
    payload
}

fn try_class(server: &Server, room: &str, state: State, first: u8, mask: u8, length: (u8, u64)) {
    let what = format!("{state:?}, first byte {first:#04x}, mask {mask:#04x}, length {length:?}");
    let expected = expected(state, first, mask, length);
    let mut member = Member::join(server.address, room);
    let mut before = Vec::new();
    if let State::InMessage = state {
        member.send(&frame(TEXT, b"in "));
        before = b"in ".to_vec();
    }
    let payload = payload(first, length.1);
    let mut bytes = header_in(first, mask, length.0, length.1);
    match expected {
        // A server that waits for the payload before it judges the header would hang.
        Expected::Close(1002 | 1009) if first & 0x0f != CLOSE => {}
        _ if mask != 0 => bytes.extend(masked(&payload)),
        _ => bytes.extend_from_slice(&payload),
    }
    member.send(&bytes);
    let message = [before.clone(), payload.clone()].concat();
    match expected {
        Expected::Close(code) => return assert_eq!(member.closed(), code, "{what}"),
        Expected::Message(opcode) => assert_eq!(member.next(), Event::Frame(FIN | opcode, message), "{what}"),
        Expected::More(opcode) => {
            member.send(&frame(FIN, b""));
            assert_eq!(member.next(), Event::Frame(FIN | opcode, message), "{what}");
        }
        Expected::Pong => assert_eq!(member.next(), Event::Frame(FIN | PONG, payload), "{what}"),
        Expected::Nothing => {}
    }
    if matches!((state, expected), (State::InMessage, Expected::Pong | Expected::Nothing)) {
        member.send(&frame(FIN, b"end"));
        assert_eq!(member.next(), Event::Frame(FIN | TEXT, b"in end".to_vec()), "{what}");
    }
    // It is as good as new.
    member.say("after");
    assert_eq!(member.hear(), "after", "{what}");
    member.send(&frame(FIN | CLOSE, &1_001u16.to_be_bytes()));
    assert_eq!(member.closed(), 1_001, "{what}");
}

#[test]
fn every_class_of_frame_has_its_answer() {
    let server = Server::start(&[]);
    let pair = Pair::start(server.address);
    let next = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                // A class is a first byte, a mask bit and a state; it is tried with all lengths.
                while let number @ 0..1_024 = next.fetch_add(1, Ordering::Relaxed) {
                    let first = u8::try_from(number & 0xff).expect("a byte");
                    let mask = if number & 0x100 != 0 { MASKED } else { 0 };
                    let state = if number & 0x200 != 0 { State::InMessage } else { State::Fresh };
                    for length in LENGTHS {
                        try_class(&server, &format!("class{number}"), state, first, mask, length);
                    }
                }
            });
        }
    });
    pair.stop();
    server.stop();
}

#[test]
fn every_close_code_has_its_answer() {
    let server = Server::start(&[]);
    for code in (0..5_100u16).filter(|code| *code < 100 || *code > 990).step_by(7).chain(1_000..1_020).chain([u16::MAX])
    {
        let mut member = Member::join(server.address, "codes");
        member.send(&frame(FIN | CLOSE, &code.to_be_bytes()));
        let allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        assert_eq!(member.closed(), if allowed { code } else { 1002 }, "{code}");
    }
    let mut member = Member::join(server.address, "codes");
    member.send(&frame(FIN | CLOSE, b"\x03\xe8\xff"));
    assert_eq!(member.closed(), 1007, "a reason that is not UTF-8");
    server.stop();
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    let server = Server::start(&[]);
    let mut member = Member::join(server.address, "slow");
    let text = "sl\u{f6}w ".repeat(60);
    for bytes in [frame(TEXT, text.as_bytes()), frame(FIN | PING, b"alive?"), frame(FIN, b"end")] {
        for byte in bytes {
            member.send(&[byte]);
        }
    }
    assert_eq!(member.next(), Event::Frame(FIN | PONG, b"alive?".to_vec()));
    assert_eq!(member.hear(), text + "end");
    server.stop();
}

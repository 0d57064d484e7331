//! WebSocket frames: whatever comes, cut anywhere, under any limits, says the same and is held within the bounds.

#![no_main]

use std::ops::ControlFlow;

use shardcast::MessageKind;
use shardcast::protocol::frame::{DecodeLimits, ProtocolError, Sink, Unfinished, decode};
use shardcast_fuzz::{bounded, fuzz_target, pieces, take_u16};

#[derive(Debug, PartialEq)]
enum Event {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

#[derive(Default)]
struct Recorder {
    events: Vec<Event>,
    stops: bool,
    message_bytes_max: usize,
}

impl Recorder {
    fn flow(&self) -> ControlFlow<()> {
        if self.stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Sink for Recorder {
    fn message(&mut self, kind: MessageKind, payload: &[u8]) -> ControlFlow<()> {
        assert!(payload.len() <= self.message_bytes_max, "a message of {} bytes", payload.len());
        assert!(kind == MessageKind::Binary || std::str::from_utf8(payload).is_ok(), "a text that is not UTF-8");
        self.events.push(Event::Message(kind, payload.to_vec()));
        self.flow()
    }

    fn ping(&mut self, payload: &[u8]) -> ControlFlow<()> {
        self.events.push(Event::Ping(payload.to_vec()));
        self.flow()
    }

    fn pong(&mut self, payload: &[u8]) {
        self.events.push(Event::Pong(payload.to_vec()));
    }

    fn close(&mut self, code: Option<u16>, reason: &str) {
        self.events.push(Event::Close(code, reason.to_owned()));
    }
}

/// Reads `pieces` to the first error or close frame.
fn read(pieces: &[&[u8]], limits: DecodeLimits, budget: usize, stops: bool) -> (Vec<Event>, Option<ProtocolError>) {
    let (mut unfinished, mut left): (Option<Box<Unfinished>>, usize) = (None, budget);
    let mut sink = Recorder { stops, message_bytes_max: limits.message_bytes_max, ..Recorder::default() };
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let mut input = rest.to_vec();
            let result = decode(&mut unfinished, &mut input, &limits, &mut left, &mut sink);
            let held = unfinished.as_ref().map_or(0, |unfinished| unfinished.held_bytes());
            assert_eq!(left + held, budget, "the budget and what is held stay the same together");
            match result {
                Err(error) => {
                    assert_eq!(held, 0, "an error lets go of everything");
                    assert!(error.to_string().len() <= 123, "the reason fits into a close frame: {error}");
                    return (sink.events, Some(error));
                }
                Ok(_) if matches!(sink.events.last(), Some(Event::Close(..))) => return (sink.events, None),
                Ok(consumed) => {
                    assert!(consumed > 0 && (stops || consumed == rest.len()), "{consumed} of {}", rest.len());
                    assert_eq!(input[consumed..], rest[consumed..], "what was not consumed is untouched");
                    rest = &rest[consumed..];
                }
            }
        }
    }
    (sink.events, None)
}

fuzz_target!(|data: &[u8]| {
    let mut wire = data;
    let (cuts, narrow) = (take_u16(&mut wire), take_u16(&mut wire));
    let wide = DecodeLimits { message_bytes_max: 64 << 10, message_fragments_max: 128 };
    let cut = pieces(wire, cuts);
    // The copies of the input, the events, and what is unfinished; whatever the headers declare.
    bounded(16 * wire.len() + (64 << 10), || {
        let whole = read(&[wire], wide, 1 << 20, false);
        assert_eq!(read(&cut, wide, 1 << 20, false), whole, "cuts do not matter");
        assert_eq!(read(&cut, wide, 1 << 20, true), whole, "stops do not matter");
    });
    if narrow > 0 {
        let limits = DecodeLimits {
            message_bytes_max: usize::from(narrow & 0xff),
            message_fragments_max: u32::from(narrow >> 8 & 7),
        };
        let budget = usize::from(narrow >> 11) * 32;
        bounded(16 * wire.len() + (64 << 10), || read(&cut, limits, budget, narrow & 1 == 0));
    }
});

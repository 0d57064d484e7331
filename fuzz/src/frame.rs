//! WebSocket frames: whatever comes, cut anywhere, under any limits, says the same and is held within the bounds.

#![no_main]

use std::cell::RefCell;
use std::ops::ControlFlow;

use shardcast::MessageKind;
use shardcast::protocol::deflate::Inflater;
use shardcast::protocol::frame::{DecodeLimits, Extension, ProtocolError, Sink, Unfinished, decode};
use shardcast_fuzz::{bounded, fuzz_target, pieces, take_u16};

#[derive(Debug, PartialEq)]
enum Event {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

struct Recorder {
    events: Vec<Event>,
    stops: bool,
    extension: Extension,
    message_bytes_max: usize,
}

thread_local! {
    static INFLATER: RefCell<Inflater> = RefCell::new(Inflater::default());
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

    fn extension(&self) -> Extension {
        self.extension
    }

    fn compressed_message(&mut self, kind: MessageKind, payload: &[u8]) -> Result<ControlFlow<()>, ProtocolError> {
        assert_eq!(self.extension, Extension::Deflate);
        INFLATER.with_borrow_mut(|inflater| {
            let message = inflater.message(kind, payload, self.message_bytes_max)?;
            Ok(self.message(kind, message))
        })
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
fn read(
    pieces: &[&[u8]],
    limits: DecodeLimits,
    budget: usize,
    (extension, stops): (Extension, bool),
) -> (Vec<Event>, Option<ProtocolError>) {
    let (mut unfinished, mut left): (Option<Box<Unfinished>>, usize) = (None, budget);
    let mut sink = Recorder { stops, extension, message_bytes_max: limits.message_bytes_max, events: Vec::new() };
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
    let extension = if cuts & 0x8000 == 0 { Extension::None } else { Extension::Deflate };
    let wide = DecodeLimits { message_bytes_max: 64 << 10, message_fragments_max: 128 };
    let cut = pieces(wire, cuts & 0x7fff);
    // The copies of the input, the events, and what is unfinished; whatever the headers declare. What is compressed may
    // grow to a message for each frame.
    let grown = if extension == Extension::Deflate { 2_048 * wire.len() + (256 << 10) } else { 0 };
    let bound = 16 * wire.len() + (64 << 10) + grown;
    bounded(bound, || {
        let whole = read(&[wire], wide, 1 << 20, (extension, false));
        assert_eq!(read(&cut, wide, 1 << 20, (extension, false)), whole, "cuts do not matter");
        assert_eq!(read(&cut, wide, 1 << 20, (extension, true)), whole, "stops do not matter");
    });
    if narrow > 0 {
        let limits = DecodeLimits {
            message_bytes_max: usize::from(narrow & 0xff),
            message_fragments_max: u32::from(narrow >> 8 & 7),
        };
        let budget = usize::from(narrow >> 11) * 32;
        bounded(bound, || read(&cut, limits, budget, (extension, narrow & 1 == 0)));
    }
});

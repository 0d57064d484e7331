//! Tests of the codec: a client's encoder, and a sink that writes down what it is told.

mod compressed;
mod encoding;
mod errors;
mod headers;
mod messages;
mod properties;
mod text;

use std::ops::ControlFlow;

use super::{DecodeLimits, Extension, MessageKind, ProtocolError, Sink, Unfinished, decode};

pub(super) const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
pub(super) const LIMITS: DecodeLimits = DecodeLimits { message_bytes_max: 64 << 10, message_fragments_max: 128 };
pub(super) const BUDGET: usize = 1 << 20;

/// What a sink was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Message(MessageKind, Vec<u8>),
    Compressed(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

/// Writes down what it is told, and breaks after each message and ping if asked to.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) events: Vec<Event>,
    pub(super) stops: bool,
    pub(super) extension: Extension,
}

impl Recorder {
    fn flow(&self) -> ControlFlow<()> {
        if self.stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Sink for Recorder {
    fn message(&mut self, kind: MessageKind, payload: &[u8]) -> ControlFlow<()> {
        if kind == MessageKind::Text {
            assert!(std::str::from_utf8(payload).is_ok(), "a sink gets UTF-8");
        }
        self.events.push(Event::Message(kind, payload.to_vec()));
        self.flow()
    }

    fn extension(&self) -> Extension {
        self.extension
    }

    /// Refuses what stands for broken DEFLATE here.
    fn compressed_message(&mut self, kind: MessageKind, payload: &[u8]) -> Result<ControlFlow<()>, ProtocolError> {
        if payload == b"broken" {
            return Err(ProtocolError::InvalidDeflate);
        }
        self.events.push(Event::Compressed(kind, payload.to_vec()));
        Ok(self.flow())
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

/// One client's connection, and checks that hold after each read.
pub(super) struct Client {
    pub(super) unfinished: Option<Box<Unfinished>>,
    pub(super) limits: DecodeLimits,
    pub(super) budget: usize,
    budget_at_start: usize,
    pub(super) recorder: Recorder,
}

impl Client {
    pub(super) fn new(limits: DecodeLimits, budget: usize) -> Self {
        Self { unfinished: None, limits, budget, budget_at_start: budget, recorder: Recorder::default() }
    }

    /// One read; returns how much of it was consumed.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<usize, ProtocolError> {
        let mut input = bytes.to_vec();
        let result = decode(&mut self.unfinished, &mut input, &self.limits, &mut self.budget, &mut self.recorder);
        let held = self.held();
        let idle = self.unfinished.as_ref().is_some_and(|unfinished| unfinished.is_empty());
        assert!(!idle, "nothing is kept while nothing is unfinished");
        assert_eq!(self.budget + held, self.budget_at_start, "the budget and what is held stay the same together");
        let message_bytes_max = match self.recorder.extension {
            Extension::None => self.limits.message_bytes_max,
            Extension::Deflate => self.limits.message_bytes_max / 8 * 9 + 71,
        };
        assert!(held <= size_of::<Unfinished>() + message_bytes_max, "{held} bytes are held");
        match result {
            Ok(consumed) => assert_eq!(input[consumed..], bytes[consumed..], "what was not consumed is untouched"),
            Err(_) => assert_eq!(held, 0, "an error lets go of everything"),
        }
        result
    }

    /// Of a client that agreed on compression.
    pub(super) fn compressing(limits: DecodeLimits, budget: usize) -> Self {
        let mut client = Self::new(limits, budget);
        client.recorder.extension = Extension::Deflate;
        client
    }

    pub(super) fn held(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |unfinished| unfinished.held_bytes())
    }
}

/// Reads `pieces` until an error or a close frame; the events, and the error.
pub(super) fn read_all<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Option<ProtocolError>) {
    read_all_of(Client::new(LIMITS, BUDGET), pieces)
}

/// The same of a client with settings of its own.
pub(super) fn read_all_of<'a>(
    mut client: Client,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Event>, Option<ProtocolError>) {
    for piece in pieces {
        match client.read(piece) {
            Ok(_) if matches!(client.recorder.events.last(), Some(Event::Close(..))) => break,
            Ok(consumed) => assert_eq!(consumed, piece.len(), "all is consumed unless the sink stops it"),
            Err(error) => return (client.recorder.events, Some(error)),
        }
    }
    (client.recorder.events, None)
}

/// `bytes` in pieces that end at `cuts`, in any order and number.
pub(super) fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
    ends.sort_unstable();
    let mut start = 0;
    ends.into_iter().map(|end| &bytes[std::mem::replace(&mut start, end)..end]).collect()
}

/// A client's frame: `first` is FIN, RSV and opcode.
pub(super) fn frame_masked(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A client's frame with the usual mask.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame_masked(first, MASK, payload)
}

pub(super) fn text(payload: &str) -> Event {
    Event::Message(MessageKind::Text, payload.as_bytes().to_vec())
}

pub(super) fn binary(payload: &[u8]) -> Event {
    Event::Message(MessageKind::Binary, payload.to_vec())
}

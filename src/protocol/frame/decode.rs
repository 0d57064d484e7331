//! Bytes of a client to messages and control frames.

use std::ops::ControlFlow;

use super::close::parse_body;
use super::error::ProtocolError;
use super::header::{Control, FrameKind, Header, Parsed, parse};
use super::mask::unmask;
use super::unfinished::{Led, Message, Unfinished, bytes_max, control_bytes};
use super::{Coding, DecodeLimits, Extension, MessageKind, Sink, utf8};

/// Decodes what is in `input`, unmasking in place. Returns how many bytes were consumed: all of them, unless a call of
/// the sink returned `Break` or a close frame came. Bytes that were not consumed are untouched, so that decoding can go
/// on with them after a `Break`; what follows a close frame is to be ignored.
///
/// `unfinished` is the connection's from call to call, `None` at first and whenever nothing is unfinished. `budget` is
/// what unfinished data may still occupy: `budget` and [`Unfinished::held_bytes`] together stay the same. A message
/// that lies in `input` in one frame is neither copied nor charged.
///
/// O(input), besides the copies of a growing message, which are amortised.
///
/// # Errors
/// The client broke the protocol or a limit. What was unfinished is dropped and given back; the connection must be
/// closed, and nothing more be decoded for it.
pub fn decode(
    unfinished: &mut Option<Box<Unfinished>>,
    input: &mut [u8],
    limits: &DecodeLimits,
    budget: &mut usize,
    sink: &mut impl Sink,
) -> Result<usize, ProtocolError> {
    let extension = sink.extension();
    let mut decoder = Decoder { unfinished, limits, extension, budget, sink };
    let mut consumed = 0;
    while consumed < input.len() {
        let step = decoder.step(&mut input[consumed..]).inspect_err(|_| {
            *decoder.budget += release(decoder.unfinished);
        })?;
        consumed += step.taken;
        match step.next {
            Next::Continue => {}
            Next::Stop => break,
            Next::Closed => {
                *decoder.budget += release(decoder.unfinished);
                break;
            }
        }
    }
    Ok(consumed)
}

/// Drops what is unfinished; returns what it held, bytes.
fn release(unfinished: &mut Option<Box<Unfinished>>) -> usize {
    unfinished.take().map_or(0, |unfinished| unfinished.held_bytes())
}

/// One call of [`decode`].
struct Decoder<'a, S> {
    unfinished: &'a mut Option<Box<Unfinished>>,
    limits: &'a DecodeLimits,
    extension: Extension,
    budget: &'a mut usize,
    sink: &'a mut S,
}

/// What one step did.
struct Step {
    taken: usize,
    next: Next,
}

enum Next {
    Continue,
    Stop,
    Closed,
}

impl From<ControlFlow<()>> for Next {
    fn from(flow: ControlFlow<()>) -> Self {
        match flow {
            ControlFlow::Continue(()) => Self::Continue,
            ControlFlow::Break(()) => Self::Stop,
        }
    }
}

impl<S: Sink> Decoder<'_, S> {
    /// Takes a frame or a part of one from the start of `input`, which is not empty.
    #[inline]
    fn step(&mut self, input: &mut [u8]) -> Result<Step, ProtocolError> {
        if let Some(unfinished) = self.unfinished.as_deref_mut() {
            if !unfinished.lead.is_empty() {
                return self.lead(input);
            }
            if let Some(message) = unfinished.message.as_mut().filter(|message| message.is_receiving()) {
                let taken = message.receive(input, self.limits, self.budget)?;
                return Ok(Step { taken, next: self.end_frame()? });
            }
        }
        let Parsed::Whole(header) = parse(input, self.extension)? else {
            return self.lead(input);
        };
        match header.kind {
            FrameKind::Control(control) => {
                let end = control_bytes(&header);
                let Some(payload) = input.get_mut(header.header_bytes..end) else {
                    return self.lead(input);
                };
                unmask(payload, header.mask);
                Ok(Step { taken: end, next: self.control(control, payload)? })
            }
            FrameKind::Start(kind) => self.start(kind, &header, input),
            FrameKind::Continuation => {
                let next = self.open_frame(&header)?;
                Ok(Step { taken: header.header_bytes, next })
            }
        }
    }

    /// A message that is whole goes to the sink from where it lies.
    #[inline]
    fn start(&mut self, kind: MessageKind, header: &Header, input: &mut [u8]) -> Result<Step, ProtocolError> {
        let payload_bytes = self.admit(header)?;
        let whole = input[header.header_bytes..].get_mut(..payload_bytes).filter(|_| header.fin);
        let Some(payload) = whole else {
            let next = self.open_frame(header)?;
            return Ok(Step { taken: header.header_bytes, next });
        };
        unmask(payload, header.mask);
        let next = match header.coding {
            Coding::Plain => {
                if kind == MessageKind::Text {
                    utf8::check_whole(payload)?;
                }
                self.sink.message(kind, payload).into()
            }
            Coding::Deflated => self.sink.compressed_message(kind, payload)?.into(),
        };
        Ok(Step { taken: header.header_bytes + payload_bytes, next })
    }

    /// Collects a header, or a control frame, that does not lie wholly in one input.
    #[cold]
    fn lead(&mut self, input: &[u8]) -> Result<Step, ProtocolError> {
        let extension = self.extension;
        let (taken, led) = self.hold()?.lead.fill(input, extension)?;
        let next = match led {
            Led::Not => Next::Continue,
            Led::Data(header) => self.open_frame(&header)?,
            Led::Control(control, lead, header) => {
                self.settle();
                self.control(control, lead.payload(&header))?
            }
        };
        Ok(Step { taken, next })
    }

    fn control(&mut self, control: Control, payload: &[u8]) -> Result<Next, ProtocolError> {
        match control {
            Control::Ping => Ok(self.sink.ping(payload).into()),
            Control::Pong => {
                self.sink.pong(payload);
                Ok(Next::Continue)
            }
            Control::Close => {
                let (code, reason) = parse_body(payload)?;
                self.sink.close(code, reason);
                Ok(Next::Closed)
            }
        }
    }

    /// Whether the data frame may follow what came before, and is within the limits. Returns its payload's length.
    #[inline]
    fn admit(&self, header: &Header) -> Result<usize, ProtocolError> {
        let open = self.unfinished.as_ref().and_then(|unfinished| unfinished.message.as_ref());
        let (held_bytes, fragments, coding) = match (header.kind, open) {
            (FrameKind::Continuation, None) => return Err(ProtocolError::ContinuationWithoutStart),
            (FrameKind::Start(_), Some(_)) => return Err(ProtocolError::DataInsideFragmented),
            (_, None) => (0, 1, header.coding),
            (_, Some(open)) => (open.payload.len(), open.fragments.saturating_add(1), open.coding),
        };
        let limit = self.limits.message_bytes_max;
        let too_long = |actual| ProtocolError::MessageTooLong { actual, limit };
        let actual = header.payload_bytes.saturating_add(held_bytes as u64);
        let payload_bytes = usize::try_from(header.payload_bytes).map_err(|_| too_long(actual))?;
        if held_bytes.saturating_add(payload_bytes) > bytes_max(self.limits, coding) {
            return Err(too_long(actual));
        }
        let limit = self.limits.message_fragments_max;
        let whole = header.fin && open.is_none();
        if fragments > limit && !whole {
            return Err(ProtocolError::TooManyFragments { actual: fragments, limit });
        }
        Ok(payload_bytes)
    }

    /// Begins to receive a data frame; ends it at once if it is empty.
    fn open_frame(&mut self, header: &Header) -> Result<Next, ProtocolError> {
        let payload_bytes = self.admit(header)?;
        let unfinished = self.hold()?;
        let message = match header.kind {
            FrameKind::Start(kind) => unfinished.message.insert(Message::new(kind, header.coding)),
            _ => unfinished.message.as_mut().ok_or(ProtocolError::ContinuationWithoutStart)?,
        };
        message.open_frame(header, payload_bytes);
        self.end_frame()
    }

    /// If the open frame has all its payload, ends it; if that ends the message, hands it out.
    fn end_frame(&mut self) -> Result<Next, ProtocolError> {
        let Some(unfinished) = self.unfinished.as_deref_mut() else {
            return Ok(Next::Continue);
        };
        let Some(message) = &mut unfinished.message else {
            return Ok(Next::Continue);
        };
        if !message.end_frame()? {
            return Ok(Next::Continue);
        }
        let next = match message.coding {
            Coding::Plain => self.sink.message(message.kind, &message.payload),
            Coding::Deflated => self.sink.compressed_message(message.kind, &message.payload)?,
        }
        .into();
        *self.budget += message.payload.capacity();
        unfinished.message = None;
        self.settle();
        Ok(next)
    }

    /// What is unfinished; begins to be held, at the budget's cost, if it was not.
    fn hold(&mut self) -> Result<&mut Unfinished, ProtocolError> {
        if self.unfinished.is_none() {
            let (actual, limit) = (size_of::<Unfinished>(), *self.budget);
            if actual > limit {
                return Err(ProtocolError::UnfinishedBytes { actual, limit });
            }
            *self.budget -= actual;
        }
        Ok(self.unfinished.get_or_insert_default())
    }

    /// Lets go of what is no longer unfinished.
    fn settle(&mut self) {
        if self.unfinished.as_ref().is_some_and(|unfinished| unfinished.is_empty()) {
            *self.budget += release(self.unfinished);
        }
    }
}

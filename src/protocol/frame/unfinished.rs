//! What is kept of frames and messages that a read has cut.

use super::error::ProtocolError;
use super::header::{CLIENT_HEADER_BYTES_MAX, Control, FrameKind, Header, Parsed, parse};
use super::mask::unmask;
use super::{CONTROL_BYTES_MAX, Coding, DecodeLimits, Extension, MessageKind, utf8};

/// An extended length is an error for a control frame, so that 2 bytes and the mask are its whole header.
const CONTROL_FRAME_BYTES_MAX: usize = 2 + 4 + CONTROL_BYTES_MAX;

const _: () = assert!(CLIENT_HEADER_BYTES_MAX <= CONTROL_FRAME_BYTES_MAX, "a lead holds every header");

/// What is kept of an unfinished frame or message; exists only while there is one.
///
/// Whoever drops it gives [`held_bytes`](Self::held_bytes) back to the budget it was decoded with.
#[derive(Debug, Default)]
pub struct Unfinished {
    pub(super) lead: Lead,
    pub(super) message: Option<Message>,
    /// For its owner, who has a clock: since when it has known of it (seconds; 0: not noted). Another message's is
    /// another one.
    pub since_s: u32,
}

impl Unfinished {
    /// Memory that it occupies, itself included, bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.message.as_ref().map_or(0, |message| message.payload.capacity())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lead.length == 0 && self.message.is_none()
    }
}

/// The first bytes of a frame, masked as they came: of any frame its header until that is complete, of a control frame
/// also the payload. Apart from the message, for a control frame may stand between that one's frames.
#[derive(Clone, Debug)]
pub(super) struct Lead {
    bytes: [u8; CONTROL_FRAME_BYTES_MAX],
    length: usize,
}

impl Default for Lead {
    fn default() -> Self {
        Self { bytes: [0; CONTROL_FRAME_BYTES_MAX], length: 0 }
    }
}

/// A header, or a whole control frame, that came in more than one read.
pub(super) enum Led {
    /// More bytes are needed.
    Not,
    /// A data frame begins; its payload follows in the input.
    Data(Header),
    /// A control frame, unmasked: `lead.payload(header)` is its payload.
    Control(Control, Lead, Header),
}

impl Lead {
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes from `input` what a header, or a control frame, still needs. Returns how many bytes that were.
    pub(super) fn fill(&mut self, input: &[u8], extension: Extension) -> Result<(usize, Led), ProtocolError> {
        let mut taken = 0;
        loop {
            let parsed = parse(&self.bytes[..self.length], extension)?;
            let needed = match &parsed {
                Parsed::Partial { needed_bytes } => *needed_bytes,
                Parsed::Whole(header) if matches!(header.kind, FrameKind::Control(_)) => control_bytes(header),
                Parsed::Whole(header) => header.header_bytes,
            };
            debug_assert!(needed <= CONTROL_FRAME_BYTES_MAX, "the bytes of a lead have room for what it collects");
            if needed == self.length
                && let Parsed::Whole(header) = parsed
            {
                return Ok((taken, self.finish(header)));
            }
            let more = (needed - self.length).min(input.len() - taken);
            if more == 0 {
                return Ok((taken, Led::Not));
            }
            self.bytes[self.length..self.length + more].copy_from_slice(&input[taken..taken + more]);
            self.length += more;
            taken += more;
        }
    }

    fn finish(&mut self, header: Header) -> Led {
        let led = match header.kind {
            FrameKind::Control(control) => {
                let mut lead = self.clone();
                unmask(&mut lead.bytes[header.header_bytes..self.length], header.mask);
                Led::Control(control, lead, header)
            }
            FrameKind::Start(_) | FrameKind::Continuation => Led::Data(header),
        };
        self.length = 0;
        led
    }

    pub(super) fn payload(&self, header: &Header) -> &[u8] {
        &self.bytes[header.header_bytes..self.length]
    }
}

/// Length of a control frame, bytes.
pub(super) fn control_bytes(header: &Header) -> usize {
    debug_assert!(matches!(header.kind, FrameKind::Control(_)), "only a control frame's length was checked");
    header.header_bytes + usize::try_from(header.payload_bytes).map_or(CONTROL_BYTES_MAX, |n| n.min(CONTROL_BYTES_MAX))
}

/// Most payload of a message, bytes, as it comes. The dearest that DEFLATE's codes get is 9 bits for 8, and blocks of
/// plain bytes cost less: so a compressed message within this may be one that is within the limit.
pub(super) const fn bytes_max(limits: &DecodeLimits, coding: Coding) -> usize {
    let limit = limits.message_bytes_max;
    match coding {
        Coding::Plain => limit,
        Coding::Deflated => limit.saturating_add(limit / 8 + 64),
    }
}

/// A message that has begun and not ended.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: MessageKind,
    pub(super) coding: Coding,
    pub(super) payload: Vec<u8>,
    /// Frames so far, the open one included.
    pub(super) fragments: u32,
    /// Bytes of a text that are known to be UTF-8; ends at a character's boundary.
    checked_bytes: usize,
    frame: Option<OpenFrame>,
}

/// The data frame whose payload is being received.
#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    fin: bool,
    /// Turned so that its first byte is for the next byte of the payload.
    mask: [u8; 4],
    remaining_bytes: usize,
}

impl Message {
    pub(super) fn new(kind: MessageKind, coding: Coding) -> Self {
        Self { kind, coding, payload: Vec::new(), fragments: 0, checked_bytes: 0, frame: None }
    }

    /// Whether its payload must be UTF-8: a compressed text is checked when it is inflated.
    fn is_checked(&self) -> bool {
        self.kind == MessageKind::Text && self.coding == Coding::Plain
    }

    /// Whether payload is awaited, not a header.
    pub(super) fn is_receiving(&self) -> bool {
        self.frame.is_some()
    }

    /// Goes on with a frame of `payload_bytes`, which the limits admit.
    pub(super) fn open_frame(&mut self, header: &Header, payload_bytes: usize) {
        debug_assert!(self.frame.is_none(), "a frame ends before the next begins");
        self.fragments = self.fragments.saturating_add(1);
        self.frame = Some(OpenFrame { fin: header.fin, mask: header.mask, remaining_bytes: payload_bytes });
    }

    /// Takes the open frame's payload from `input`, unmasking it there. Returns how many bytes that were.
    pub(super) fn receive(
        &mut self,
        input: &mut [u8],
        limits: &DecodeLimits,
        budget: &mut usize,
    ) -> Result<usize, ProtocolError> {
        let Some(mut frame) = self.frame else { return Ok(0) };
        let taken = frame.remaining_bytes.min(input.len());
        let bytes_max =
            if frame.fin { self.payload.len() + frame.remaining_bytes } else { bytes_max(limits, self.coding) };
        self.grow(taken, bytes_max, budget)?;
        let arrived = &mut input[..taken];
        unmask(arrived, frame.mask);
        self.payload.extend_from_slice(arrived);
        frame.mask.rotate_left(taken % 4);
        frame.remaining_bytes -= taken;
        self.frame = Some(frame);
        if self.is_checked() {
            self.checked_bytes = utf8::check_prefix(&self.payload, self.checked_bytes)?;
        }
        Ok(taken)
    }

    /// Makes room for bytes that have arrived: twice as much as there was, up to `bytes_max` and to what the budget
    /// grants. Never by what a header declares.
    fn grow(&mut self, arrived: usize, bytes_max: usize, budget: &mut usize) -> Result<(), ProtocolError> {
        let capacity = self.payload.capacity();
        let needed = self.payload.len() + arrived;
        if needed <= capacity {
            return Ok(());
        }
        let doubled = (2 * capacity).min(bytes_max).min(capacity.saturating_add(*budget));
        let target = needed.max(doubled);
        if target - capacity > *budget {
            return Err(ProtocolError::UnfinishedBytes { actual: target - capacity, limit: *budget });
        }
        self.payload.reserve_exact(target - self.payload.len());
        *budget -= (self.payload.capacity() - capacity).min(*budget);
        Ok(())
    }

    /// Closes the open frame if it has all its payload; whether the message is complete then.
    pub(super) fn end_frame(&mut self) -> Result<bool, ProtocolError> {
        let Some(frame) = self.frame.take_if(|frame| frame.remaining_bytes == 0) else {
            return Ok(false);
        };
        if frame.fin && self.is_checked() && self.checked_bytes < self.payload.len() {
            return Err(ProtocolError::InvalidUtf8 { position: self.checked_bytes });
        }
        Ok(frame.fin)
    }
}

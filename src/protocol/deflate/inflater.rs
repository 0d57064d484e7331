//! Compressed messages to messages, each for itself.

use flate2::{Decompress, FlushDecompress, Status};

use super::{FLUSH_TAIL, KEPT_BYTES_MAX};
use crate::protocol::frame::{MessageKind, ProtocolError, check_text};

/// The bytes that a message was sent without, and an empty last block: where that one ends, and only there, a message
/// was complete.
const END: [u8; 6] = {
    let [a, b, c, d] = FLUSH_TAIL;
    [a, b, c, d, 0x03, 0x00]
};

/// The smallest buffer, bytes.
const ROOM_BYTES_MIN: usize = 1 << 10;

/// Inflates one message after another, each without a memory of those before. Takes any window, so one per thread.
#[derive(Debug)]
pub struct Inflater {
    decompress: Decompress,
    /// The message that is being made; used again.
    inflated: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { decompress: Decompress::new(false), inflated: Vec::new() }
    }
}

impl Inflater {
    /// Inflates a message's payload, and checks that a text is UTF-8. The buffer grows with what comes out, to no more
    /// than `bytes_max` and one byte (but is not made smaller than 64 KiB once it is larger).
    ///
    /// # Errors
    /// The payload is not DEFLATE or not complete, the message is longer than `bytes_max`, or the text is not UTF-8.
    pub fn message(&mut self, kind: MessageKind, payload: &[u8], bytes_max: usize) -> Result<&[u8], ProtocolError> {
        self.inflated.clear();
        self.inflated.shrink_to(KEPT_BYTES_MAX);
        self.inflate(payload, bytes_max)?;
        if kind == MessageKind::Text {
            check_text(&self.inflated)?;
        }
        Ok(&self.inflated)
    }

    /// Memory that it holds for messages, bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.inflated.capacity()
    }

    /// O(payload + what comes out, at most `bytes_max` or the buffer).
    fn inflate(&mut self, payload: &[u8], bytes_max: usize) -> Result<(), ProtocolError> {
        self.decompress.reset(false);
        self.feed(payload, bytes_max)?;
        let message_bytes = self.inflated.len();
        let end = self.feed(&END, bytes_max)?;
        // Where a message was cut, `END` may be part of a block and end by chance; but then something comes out.
        let complete = end == Fed::EndOfBlocks && self.inflated.len() == message_bytes;
        if complete { Ok(()) } else { Err(ProtocolError::InvalidDeflate) }
    }

    /// Inflates all of `bytes`, as far as they go.
    fn feed(&mut self, bytes: &[u8], bytes_max: usize) -> Result<Fed, ProtocolError> {
        let mut rest = bytes;
        loop {
            let out = &mut self.inflated;
            if out.len() == out.capacity() {
                let target = (2 * out.len()).max(ROOM_BYTES_MIN).min(bytes_max.saturating_add(1));
                out.reserve_exact(target.saturating_sub(out.len()));
            }
            let before = self.decompress.total_in();
            let status = self.decompress.decompress_vec(rest, out, FlushDecompress::None);
            let status = status.map_err(|_| ProtocolError::InvalidDeflate)?;
            let taken = usize::try_from(self.decompress.total_in() - before).unwrap_or(rest.len());
            rest = rest.get(taken..).unwrap_or_default();
            if out.len() > bytes_max {
                return Err(ProtocolError::InflatedTooLong { limit: bytes_max });
            }
            match status {
                Status::StreamEnd => {
                    // A block that says it is the last one may be followed by others all the same (§7.2.3.4).
                    self.decompress.reset(false);
                    if rest.is_empty() {
                        return Ok(Fed::EndOfBlocks);
                    }
                }
                // More may be ready to come out.
                Status::Ok | Status::BufError if out.len() == out.capacity() => {}
                Status::Ok | Status::BufError if rest.is_empty() => return Ok(Fed::More),
                Status::Ok | Status::BufError => return Err(ProtocolError::InvalidDeflate),
            }
        }
    }
}

/// Where the bytes that were fed ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fed {
    /// Behind a last block.
    EndOfBlocks,
    /// Before more that could come.
    More,
}

//! Plain frames to compressed ones, for feeds whose members agreed on that.

use crate::protocol::deflate::{Compression, Deflater};
use crate::protocol::frame;

/// Memory for a plain frame that is kept from one to the next, bytes.
const PLAIN_BYTES_KEPT_MAX: usize = 64 << 10;

/// Takes its memory (about 300 KiB) when the first frame is compressed: one per shard.
#[derive(Debug)]
pub(crate) struct Compressor {
    compression: Compression,
    deflater: Option<Box<Deflater>>,
    /// The frame that is being compressed; used again.
    plain: Vec<u8>,
}

impl Compressor {
    pub(crate) const fn new(compression: Compression) -> Self {
        Self { compression, deflater: None, plain: Vec::new() }
    }

    /// Appends, compressed, the one frame that `encode` appends.
    pub(crate) fn encode(&mut self, out: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
        let deflater = self.deflater.get_or_insert_with(|| Box::new(Deflater::new(self.compression)));
        self.plain.clear();
        encode(&mut self.plain);
        let (kind, payload) = frame::parts(&self.plain);
        deflater.encode_message(out, kind, payload);
        self.plain.shrink_to(PLAIN_BYTES_KEPT_MAX);
    }
}

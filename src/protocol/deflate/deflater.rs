//! Messages to compressed messages, each for itself.

use flate2::{Compress, FlushCompress};

use super::{FLUSH_TAIL, KEPT_BYTES_MAX, WindowBits};
use crate::protocol::frame::{MessageKind, encode_deflated, encode_message};

/// How much work is put into compressing: 1 (the least) to 9.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Level(u8);

impl Level {
    /// The quickest.
    pub const MIN: Self = Self(1);
    /// The smallest.
    pub const MAX: Self = Self(9);

    /// `None`: not within 1 to 9.
    #[must_use]
    pub const fn new(level: u8) -> Option<Self> {
        if level < Self::MIN.0 || level > Self::MAX.0 { None } else { Some(Self(level)) }
    }

    /// 1 to 9.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Level {
    /// 3: JSON of 1 KiB becomes a third smaller than at 1, and hardly smaller at 6 (`benches/deflate.rs`).
    fn default() -> Self {
        Self(3)
    }
}

/// How messages are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compression {
    /// How much work is put into it.
    pub level: Level,
    /// The window of all compressed messages. They are shared: nobody is served with another one.
    pub window_bits: WindowBits,
    /// Messages shorter than this are sent as they are, bytes.
    pub threshold_bytes: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self { level: Level::default(), window_bits: WindowBits::default(), threshold_bytes: 128 }
    }
}

/// Compresses one message after another, each without a memory of those before. About 300 KiB, so one per thread.
#[derive(Debug)]
pub struct Deflater {
    compress: Compress,
    threshold_bytes: usize,
    /// The payload that is being made; used again.
    compressed: Vec<u8>,
}

impl Deflater {
    /// Takes its memory at once.
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        let Compression { level, window_bits, threshold_bytes } = compression;
        let level = flate2::Compression::new(u32::from(level.get()));
        let compress = Compress::new_with_window_bits(level, false, window_bits.get());
        Self { compress, threshold_bytes, compressed: Vec::new() }
    }

    /// Appends a message as one frame for members that agreed on compression: compressed, or as it is if it is shorter
    /// than the threshold or would not get shorter. O(payload), besides the 128 KiB of the compressor's memory that
    /// each message clears.
    pub fn encode_message(&mut self, out: &mut Vec<u8>, kind: MessageKind, payload: &[u8]) {
        if payload.len() < self.threshold_bytes {
            return encode_message(out, kind, payload);
        }
        let mut compressed = std::mem::take(&mut self.compressed);
        compressed.clear();
        self.compress(&mut compressed, payload);
        if compressed.len() < payload.len() {
            encode_deflated(out, kind, &compressed);
        } else {
            encode_message(out, kind, payload);
        }
        compressed.shrink_to(KEPT_BYTES_MAX);
        self.compressed = compressed;
    }

    /// Appends what `payload` is compressed to, as the payload of a frame: without the last four bytes of the flush.
    ///
    /// # Panics
    /// Never, unless the library breaks its word: a compressor that was reset takes any bytes.
    pub fn compress(&mut self, out: &mut Vec<u8>, payload: &[u8]) {
        self.compress.reset();
        let mut rest = payload;
        out.reserve(payload.len() / 2 + 64);
        loop {
            let before = self.compress.total_in();
            let done = self.compress.compress_vec(rest, out, FlushCompress::Sync);
            done.expect("a compressor that was reset takes any bytes");
            let taken = usize::try_from(self.compress.total_in() - before).expect("no more than there was");
            rest = &rest[taken..];
            if out.len() < out.capacity() {
                // What is full may have been too small; what has room left was enough, for the flush too.
                break;
            }
            out.reserve(rest.len() + 64);
        }
        debug_assert!(rest.is_empty(), "a flush takes all that there is");
        debug_assert!(out.ends_with(&FLUSH_TAIL), "a sync flush ends with an empty stored block");
        out.truncate(out.len() - FLUSH_TAIL.len());
    }
}

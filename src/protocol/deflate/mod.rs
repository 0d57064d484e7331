//! permessage-deflate (RFC 7692), the server's side, without I/O.
//!
//! [`negotiate`] chooses from what a client's handshake offers; a [`Deflater`] compresses what goes out, an
//! [`Inflater`] reads what comes in. Nobody's context is taken over from message to message, in either direction: a
//! compressed frame is the same for every member, and one deflater and one inflater serve all connections of a thread.
//! Frames are [`frame`](super::frame)'s business.

mod deflater;
mod inflater;
mod offers;

#[cfg(test)]
mod tests;

pub use deflater::{Compression, Deflater, Level};
pub use inflater::Inflater;
pub use offers::{Agreed, negotiate};

/// What a compressed message is without, and is inflated with: the end of an empty stored block, with which a sync
/// flush ends (RFC 7692 §7.2.1).
const FLUSH_TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Buffers that are used again keep at most this much memory from message to message, bytes.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// Size of the window in which a compressor looks for repetitions, as the exponent of a power of two: 9 to 15. RFC 7692
/// knows 8 too; zlib compresses with no window as small.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct WindowBits(u8);

impl WindowBits {
    /// 512 bytes.
    pub const MIN: Self = Self(9);
    /// 32 KiB: what is meant where nothing is said.
    pub const MAX: Self = Self(15);

    /// `None`: not within 9 to 15.
    #[must_use]
    pub const fn new(bits: u8) -> Option<Self> {
        if bits < Self::MIN.0 || bits > Self::MAX.0 { None } else { Some(Self(bits)) }
    }

    /// 9 to 15.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for WindowBits {
    fn default() -> Self {
        Self::MAX
    }
}

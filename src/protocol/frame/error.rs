//! Why a client's bytes are not what RFC 6455 or the settings allow.

use super::CONTROL_BYTES_MAX;
use super::close::CloseCode;

/// What a client did wrong. Its `Display` fits into a close frame's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A client's frames are masked (§5.1).
    #[error("unmasked frame")]
    Unmasked,
    /// No extension was agreed that would give a reserved bit a meaning on this frame (§5.2, RFC 7692 §6).
    #[error("reserved bits 0b{bits:03b} are set")]
    ReservedBits {
        /// RSV1 to RSV3, RSV1 the highest.
        bits: u8,
    },
    /// An opcode that RFC 6455 does not define (§5.2).
    #[error("opcode 0x{opcode:x} is reserved")]
    ReservedOpcode {
        /// The opcode.
        opcode: u8,
    },
    /// A length that fits into fewer bytes (§5.2).
    #[error("length {length} is encoded in {encoded_bytes} bytes, it fits into fewer")]
    NonMinimalLength {
        /// The length, bytes.
        length: u64,
        /// Bytes of its encoding behind the 7-bit field.
        encoded_bytes: u8,
    },
    /// The most significant bit of a 64-bit length is set (§5.2).
    #[error("length {length} has the top bit set")]
    LengthTopBit {
        /// The length, bytes.
        length: u64,
    },
    /// A control frame with an extended length (§5.5).
    #[error("control frame of more than {CONTROL_BYTES_MAX} bytes")]
    ControlTooLong,
    /// A control frame without FIN (§5.5).
    #[error("fragmented control frame")]
    ControlFragmented,
    /// A continuation without a message to continue (§5.4).
    #[error("continuation without a message")]
    ContinuationWithoutStart,
    /// A text or binary frame before the fragmented message ended (§5.4).
    #[error("new message within a fragmented one")]
    DataInsideFragmented,
    /// A text message's payload is not UTF-8 (§8.1).
    #[error("text is not UTF-8 at byte {position}")]
    InvalidUtf8 {
        /// Where the first character that is none starts, bytes from the message's start.
        position: usize,
    },
    /// The message is longer than `message_bytes_max`.
    #[error("message of {actual} bytes or more, message_bytes_max is {limit}")]
    MessageTooLong {
        /// Bytes that its headers have declared so far.
        actual: u64,
        /// The setting.
        limit: usize,
    },
    /// The message has more frames than `message_fragments_max`.
    #[error("message of {actual} frames or more, message_fragments_max is {limit}")]
    TooManyFragments {
        /// Frames so far.
        actual: u32,
        /// The setting.
        limit: u32,
    },
    /// All connections together hold `unfinished_bytes_max`; not this client's fault.
    #[error("{actual} bytes more to hold, unfinished_bytes_max leaves {limit}")]
    UnfinishedBytes {
        /// Bytes to be held in addition.
        actual: usize,
        /// Bytes that were left.
        limit: usize,
    },
    /// A compressed message's payload is not DEFLATE (RFC 1951), or not all of it (RFC 7692 §7.2.2).
    #[error("compressed message is not DEFLATE, or ends early")]
    InvalidDeflate,
    /// A compressed message is longer than `message_bytes_max` when it is inflated.
    #[error("message inflates to more than {limit} bytes, message_bytes_max")]
    InflatedTooLong {
        /// The setting.
        limit: usize,
    },
    /// A close frame's body is empty or starts with two bytes of code (§5.5.1).
    #[error("close frame with a body of 1 byte")]
    CloseBodyOfOne,
    /// A code that must not stand in a close frame (§7.4).
    #[error("close code {code} is not allowed")]
    InvalidCloseCode {
        /// The code.
        code: u16,
    },
    /// A close frame's reason is not UTF-8 (§5.5.1).
    #[error("close reason is not UTF-8")]
    InvalidCloseReason,
}

impl ProtocolError {
    /// The code to close the connection with.
    #[must_use]
    pub const fn close_code(&self) -> u16 {
        match self {
            Self::InvalidUtf8 { .. } | Self::InvalidDeflate | Self::InvalidCloseReason => CloseCode::INVALID_PAYLOAD,
            Self::MessageTooLong { .. } | Self::InflatedTooLong { .. } => CloseCode::TOO_BIG,
            Self::TooManyFragments { .. } => CloseCode::POLICY,
            Self::UnfinishedBytes { .. } => CloseCode::TRY_AGAIN_LATER,
            Self::Unmasked
            | Self::ReservedBits { .. }
            | Self::ReservedOpcode { .. }
            | Self::NonMinimalLength { .. }
            | Self::LengthTopBit { .. }
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::ContinuationWithoutStart
            | Self::DataInsideFragmented
            | Self::CloseBodyOfOne
            | Self::InvalidCloseCode { .. } => CloseCode::PROTOCOL_ERROR,
        }
        .0
    }
}

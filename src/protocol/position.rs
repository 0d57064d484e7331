//! A position in a room as text: `EPOCH:OFFSET`.
//!
//! The epoch says which life of the room it is: 1 to 16 lower-case hexadecimal digits, opaque for clients. The offset
//! is decimal; 0 is the position before the first publication.

use super::json::decimal;

/// Longest epoch that a room gives out, bytes.
pub const EPOCH_BYTES_MAX: usize = 16;
/// Longest position as text, bytes.
pub const POSITION_BYTES_MAX: usize = EPOCH_BYTES_MAX + 1 + 20;

/// Why a text is not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PositionError {
    /// No colon in it.
    #[error("a position is EPOCH:OFFSET")]
    Shape,
    /// The epoch is empty, too long or not of lower-case hexadecimal digits.
    #[error("an epoch has 1 to {EPOCH_BYTES_MAX} of the digits 0-9 and a-f")]
    Epoch,
    /// The offset is not a decimal number below 2^64.
    #[error("an offset is a decimal number below 2^64")]
    Offset,
}

/// Appends a position.
pub fn write(out: &mut Vec<u8>, epoch: &str, offset: u64) {
    out.extend_from_slice(epoch.as_bytes());
    out.push(b':');
    decimal(out, offset);
}

/// Reads a position: epoch and offset.
///
/// # Errors
/// It is none.
pub fn parse(text: &str) -> Result<(&str, u64), PositionError> {
    let (epoch, offset) = text.split_once(':').ok_or(PositionError::Shape)?;
    let digits = epoch.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !digits || epoch.is_empty() || epoch.len() > EPOCH_BYTES_MAX {
        return Err(PositionError::Epoch);
    }
    Ok((epoch, parse_offset(offset)?))
}

/// Reads an offset: digits only.
///
/// # Errors
/// It is none.
pub fn parse_offset(text: &str) -> Result<u64, PositionError> {
    // `parse` of a number would take a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(PositionError::Offset)
}

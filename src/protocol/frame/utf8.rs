//! Whether text is UTF-8, judged as it arrives.

use super::error::ProtocolError;

/// Texts shorter than this gain from a look whether they are ASCII before they are validated: simdutf8 takes those of
/// less than a vector's block byte by byte.
const SHORT_BYTES: usize = 64;

/// Checks a message that is complete.
pub(crate) fn check_whole(text: &[u8]) -> Result<(), ProtocolError> {
    if text.len() < SHORT_BYTES && text.is_ascii() {
        return Ok(());
    }
    match simdutf8::basic::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(ProtocolError::InvalidUtf8 { position: valid_up_to(text) }),
    }
}

/// Checks a message's text so far, of which `checked` bytes (a character's boundary) are known to be good. Returns how
/// many are good now: all, or all but the up to 3 bytes of a last character that may still become one. The first byte
/// that no continuation could mend is an error at once. O(bytes behind `checked`).
pub(super) fn check_prefix(text: &[u8], checked: usize) -> Result<usize, ProtocolError> {
    debug_assert!(checked <= text.len(), "no more was checked than arrived");
    match simdutf8::compat::from_utf8(&text[checked..]) {
        Ok(_) => Ok(text.len()),
        Err(error) if error.error_len().is_none() => Ok(checked + error.valid_up_to()),
        Err(error) => Err(ProtocolError::InvalidUtf8 { position: checked + error.valid_up_to() }),
    }
}

#[cold]
fn valid_up_to(text: &[u8]) -> usize {
    std::str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len)
}

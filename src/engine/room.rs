//! What a room is called.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Longest room name, bytes.
pub const ROOM_NAME_BYTES_MAX: usize = 255;

/// The name of a room: 1 to 255 bytes of `A-Z a-z 0-9` and `- _ . ~ : @ # $ & ! ' ( ) + , ; =`.
///
/// That is a path segment of RFC 3986 §3.3 with `#`, without `*` (patterns use it). Shared, cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Arc<str>);

/// Why a name is not a room's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoomNameError {
    /// No name at all.
    #[error("a room name has 1 to {ROOM_NAME_BYTES_MAX} bytes, this one is empty")]
    Empty,
    /// Longer than [`ROOM_NAME_BYTES_MAX`].
    #[error("a room name has 1 to {ROOM_NAME_BYTES_MAX} bytes, this one has {actual}")]
    TooLong {
        /// Its length, bytes.
        actual: usize,
    },
    /// A byte outside the alphabet.
    #[error("byte 0x{byte:02x} at {position} is not of a room name's alphabet: A-Z a-z 0-9 -_.~:@#$&!'()+,;=")]
    Alphabet {
        /// The byte.
        byte: u8,
        /// Where it stands, from 0.
        position: usize,
    },
}

impl RoomName {
    /// Checks `name`.
    ///
    /// # Errors
    /// Its length or a byte of it is not allowed.
    pub fn new(name: &str) -> Result<Self, RoomNameError> {
        check(name.as_bytes())?;
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(name: &[u8]) -> Result<(), RoomNameError> {
    if name.is_empty() {
        return Err(RoomNameError::Empty);
    }
    if name.len() > ROOM_NAME_BYTES_MAX {
        return Err(RoomNameError::TooLong { actual: name.len() });
    }
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~:@#$&!'()+,;=".contains(byte);
    match name.iter().position(|byte| !allowed(byte)) {
        Some(position) => Err(RoomNameError::Alphabet { byte: name[position], position }),
        None => Ok(()),
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Borrow<str> for RoomName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "chat:index", "dialog#alice,bob", "$private", "user@host", "A-1_b.c~d", &"x".repeat(255)] {
            assert!(RoomName::new(good).is_ok(), "{good}");
        }
        assert_eq!(RoomName::new(""), Err(RoomNameError::Empty));
        assert_eq!(RoomName::new(&"x".repeat(256)), Err(RoomNameError::TooLong { actual: 256 }));
        for bad in ["a/b", "a b", "a?b", "a%20b", "a*", "ä", "a\0", "a\"b"] {
            assert!(matches!(RoomName::new(bad), Err(RoomNameError::Alphabet { .. })), "{bad}");
        }
    }
}

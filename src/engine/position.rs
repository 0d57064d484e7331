//! Where somebody stands in a room: epoch and offset.

use std::fmt;
use std::str::FromStr;

use crate::protocol::position;
pub use crate::protocol::position::PositionError;
use crate::protocol::v1::State;

/// Tells one numbering of a room from another: it changes when the offsets begin anew, because the room was empty, kept
/// nothing, and was forgotten, or because the server was started again. Opaque to clients; shown as hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub(crate) u64);

/// A place in a room's order: behind the publication with this offset. Offset 0 is in front of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which numbering.
    pub epoch: Epoch,
    /// Offset of the newest publication that was seen.
    pub offset: u64,
}

/// Where a member begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Start {
    /// With what is published from now on.
    #[default]
    Live,
    /// With what came after a position, if the room has kept all of it.
    After(Position),
    /// The same, of whichever epoch is the present one.
    AfterOffset(u64),
    /// With so many of the newest publications, or as many as the room has kept.
    Last(u32),
}

/// How a member began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Began {
    /// With what comes next; nothing was asked for.
    Live,
    /// With everything that it asked for.
    Recovered,
    /// With what comes next, for what it asked for is not there any more (or not of this epoch, or yet to come).
    Lost,
}

/// An epoch as text, on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EpochText {
    digits: [u8; 16],
    start: usize,
}

impl EpochText {
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[self.start..]).expect("hexadecimal digits are ASCII")
    }
}

impl Epoch {
    /// No room's.
    pub(crate) const NONE: Self = Self(0);

    /// Reads 1 to 16 digits `0-9a-f`.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self, PositionError> {
        let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if !text.bytes().all(digits) {
            return Err(PositionError::Epoch);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| PositionError::Epoch)
    }

    pub(crate) fn text(self) -> EpochText {
        let (mut digits, mut start, mut rest) = ([b'0'; 16], 16, self.0);
        while rest != 0 || start == 16 {
            start -= 1;
            digits[start] = b"0123456789abcdef"[usize::try_from(rest & 15).expect("four bits")];
            rest >>= 4;
        }
        EpochText { digits, start }
    }
}

impl From<Began> for State {
    fn from(began: Began) -> Self {
        match began {
            Began::Live => Self::Live,
            Began::Recovered => Self::Recovered,
            Began::Lost => Self::Lost,
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.offset)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (epoch, offset) = position::parse(text)?;
        Ok(Self { epoch: Epoch::parse(epoch)?, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_are_shown() {
        for text in ["0:0", "1f:7", "ffffffffffffffff:18446744073709551615"] {
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
        assert_eq!("1".parse::<Position>(), Err(PositionError::Shape));
        for bad in [":1", "g:1", "F:1", "11112222333344445:1", "+1:1"] {
            assert_eq!(bad.parse::<Position>(), Err(PositionError::Epoch), "{bad}");
        }
        for bad in ["1:", "1:+1", "1:-1", "1:x", "1:18446744073709551616", "1:1:1"] {
            assert_eq!(bad.parse::<Position>(), Err(PositionError::Offset), "{bad}");
        }
    }
}

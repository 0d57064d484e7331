//! Where one is in a room's history: `EPOCH:OFFSET`, as `shardcast.v1` and the command line write it.

use std::fmt;
use std::str::FromStr;

/// Most digits of an epoch.
const EPOCH_DIGITS_MAX: usize = 16;

/// One life of a room's numbering. Only to be compared and handed back: `0a` and `a` are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch {
    value: u64,
    digits: usize,
}

/// Behind the publication with this offset; offset 0 is in front of the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(super) epoch: Epoch,
    pub(super) offset: u64,
}

/// Not a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a position is EPOCH:OFFSET, 1 to 16 digits 0-9a-f and a decimal number, such as 5f3a:17")]
pub(crate) struct PositionError;

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (epoch, offset) = text.split_once(':').ok_or(PositionError)?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let fits = (1..=EPOCH_DIGITS_MAX).contains(&epoch.len()) && epoch.bytes().all(is_hex);
        // A sign is no digit, though the standard library's reader would take one.
        if !fits || !offset.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PositionError);
        }
        let value = u64::from_str_radix(epoch, 16).map_err(|_| PositionError)?;
        let offset = offset.parse().map_err(|_| PositionError)?;
        Ok(Self { epoch: Epoch { value, digits: epoch.len() }, offset })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Epoch { value, digits } = self.epoch;
        write!(f, "{value:0digits$x}:{}", self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back_as_they_were() {
        for text in ["0:0", "a:1", "0a:1", "00000000000000ff:7", "ffffffffffffffff:18446744073709551615"] {
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
        assert_ne!("a:1".parse::<Position>(), "0a:1".parse());
    }

    #[test]
    fn what_is_no_position() {
        for text in [
            "",
            ":",
            "a",
            "a:",
            ":1",
            "A:1",
            "g:1",
            "a:+1",
            "a:-1",
            "a:1 ",
            " a:1",
            "a:b",
            "a:1:2",
            "fffffffffffffffff:1",
        ] {
            assert_eq!(text.parse::<Position>(), Err(PositionError), "{text:?}");
        }
        assert_eq!("a:18446744073709551616".parse::<Position>(), Err(PositionError));
    }
}

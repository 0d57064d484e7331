//! Where one is in a room's history: `EPOCH:OFFSET`, as `shardcast.v1` and the command line write it.

use std::fmt;
use std::str::FromStr;

use shardcast::protocol::position::{self, PositionError};

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

impl Position {
    /// From what the wire says.
    ///
    /// # Errors
    /// The epoch is none.
    pub(super) fn new(epoch: &str, offset: u64) -> Result<Self, PositionError> {
        let value = u64::from_str_radix(epoch, 16).map_err(|_| PositionError::Epoch)?;
        Ok(Self { epoch: Epoch { value, digits: epoch.len() }, offset })
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (epoch, offset) = position::parse(text)?;
        Self::new(epoch, offset)
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
        for text in ["", "a", ":1", "A:1", "a:+1", "a:1 ", "fffffffffffffffff:1", "a:18446744073709551616"] {
            assert!(text.parse::<Position>().is_err(), "{text:?}");
        }
    }
}

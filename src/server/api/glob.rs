//! Patterns of channels: `*` stands for any bytes, `?` for one, `[a-z_]` for one of these, `[!a-z_]` for one of the
//! others. Room names are ASCII.

/// Longest pattern, bytes: matching takes at most its length times that of a room's name.
const PATTERN_BYTES_MAX: usize = 255;

/// A pattern, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Glob(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Any,
    One(Class),
}

#[derive(Debug, PartialEq, Eq)]
enum Class {
    All,
    Byte(u8),
    /// Ranges, ends included.
    Of(Vec<(u8, u8)>),
    But(Vec<(u8, u8)>),
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum GlobError {
    #[error("has {actual} bytes, it may have {PATTERN_BYTES_MAX}")]
    TooLong { actual: usize },
    #[error("a [ without its ], or with nothing in it")]
    Open,
    #[error("{{a,b}} is not known here, only * ? [a-z] [!a-z]")]
    Braces,
}

impl Glob {
    pub(super) fn new(pattern: &str) -> Result<Self, GlobError> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(GlobError::TooLong { actual: pattern.len() });
        }
        let (mut pieces, mut rest) = (Vec::new(), pattern.as_bytes());
        while let [byte, behind @ ..] = rest {
            rest = behind;
            match byte {
                b'*' => pieces.push(Piece::Any),
                b'?' => pieces.push(Piece::One(Class::All)),
                b'{' | b'}' => return Err(GlobError::Braces),
                b'[' => {
                    // A ] that comes first is one of the bytes.
                    let negated = usize::from(rest.first() == Some(&b'!'));
                    let end = rest.iter().skip(negated + 1).position(|byte| *byte == b']');
                    let end = end.ok_or(GlobError::Open)? + negated + 1;
                    let ranges = ranges(&rest[negated..end]);
                    pieces.push(Piece::One(if negated == 1 { Class::But(ranges) } else { Class::Of(ranges) }));
                    rest = &rest[end + 1..];
                }
                byte => pieces.push(Piece::One(Class::Byte(*byte))),
            }
        }
        Ok(Self(pieces))
    }

    /// After a mismatch only the last `*` is extended: never worse than the product of the lengths.
    pub(super) fn matches(&self, name: &str) -> bool {
        let (pieces, name) = (&self.0, name.as_bytes());
        let (mut p, mut n) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while n < name.len() {
            match (pieces.get(p), retry) {
                (Some(Piece::Any), _) => {
                    retry = Some((p + 1, n));
                    p += 1;
                }
                (Some(Piece::One(class)), _) if class.has(name[n]) => {
                    p += 1;
                    n += 1;
                }
                (_, Some((behind, taken))) => {
                    retry = Some((behind, taken + 1));
                    p = behind;
                    n = taken + 1;
                }
                (_, None) => return false,
            }
        }
        pieces[p..].iter().all(|piece| *piece == Piece::Any)
    }
}

fn ranges(mut bytes: &[u8]) -> Vec<(u8, u8)> {
    let mut ranges = Vec::new();
    while let [first, behind @ ..] = bytes {
        (bytes, ranges) = match behind {
            [b'-', last, behind @ ..] => (behind, with(ranges, (*first, *last))),
            _ => (behind, with(ranges, (*first, *first))),
        };
    }
    ranges
}

fn with(mut ranges: Vec<(u8, u8)>, range: (u8, u8)) -> Vec<(u8, u8)> {
    ranges.push(range);
    ranges
}

impl Class {
    fn has(&self, byte: u8) -> bool {
        let within = |ranges: &[(u8, u8)]| ranges.iter().any(|(first, last)| (*first..=*last).contains(&byte));
        match self {
            Self::All => true,
            Self::Byte(own) => *own == byte,
            Self::Of(ranges) => within(ranges),
            Self::But(ranges) => !within(ranges),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("chat", "chat", true),
            ("chat", "chats", false),
            ("*", "anything", true),
            ("chat:*", "chat:", true),
            ("chat:?", "chat:", false),
            ("chat:?", "chat:1", true),
            ("*.log", "a.log.log", true),
            ("a*b?c", "a-b-b-c", true),
            ("a*b?c", "a-b-bc", false),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[!a-c]x", "dx", true),
            ("[!a-c]x", "bx", false),
            ("[a-]", "-", true),
            ("[xyz_]*[0-9]", "_room7", true),
            ("**", "x", true),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(name), expected, "{pattern} ~ {name}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for (pattern, expected) in [
            ("[", GlobError::Open),
            ("[]", GlobError::Open),
            ("[!]", GlobError::Open),
            ("a[b", GlobError::Open),
            ("{a,b}", GlobError::Braces),
            (&"x".repeat(256), GlobError::TooLong { actual: 256 }),
        ] {
            assert_eq!(Glob::new(pattern), Err(expected), "{pattern}");
        }
    }
}

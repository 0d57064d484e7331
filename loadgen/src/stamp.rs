//! The stamp that begins each payload: who sent it, its number, when it was due, and a checksum over all of it.
//!
//! It is 60 ASCII characters that need no escape in JSON, the same for every format:
//!
//! ```text
//! lg1.  checksum  run (11 digits) room publisher sequence due length
//!  4       8      48 base64url digits, 36 bytes, big-endian
//! ```
//!
//! The checksum (CRC-32) covers everything behind it; what is before it is compared literally. So every byte of a
//! payload is checked, in one pass. In a JSON payload the stamp is the value of the first key, `lg`.

use std::fmt;

use crate::clock::Nanos;

/// Bytes of a stamp.
pub const STAMP_BYTES: usize = MAGIC.len() + CHECKSUM_DIGITS + FIELD_DIGITS;
/// Bytes of the smallest payload of format text or binary: the stamp alone.
pub const PAYLOAD_BYTES_MIN: usize = STAMP_BYTES;
/// What precedes the stamp in a JSON payload.
pub const JSON_PREFIX: &[u8; 7] = b"{\"lg\":\"";

const MAGIC: &[u8; 4] = b"lg1.";
const CHECKSUM_DIGITS: usize = 8;
const FIELD_DIGITS: usize = 48;
/// Eight digits are a word of 48 bits.
const WORD_DIGITS: usize = 8;
const WORDS: usize = FIELD_DIGITS / WORD_DIGITS;
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// What [`digit_value`] says of a character that is no digit.
const NO_DIGIT: u8 = 0x80;

const _: () = assert!(STAMP_BYTES == 60);

/// What a stamp says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Tells this run's messages from any other's.
    pub run_id: u64,
    /// Number of the room it was published to.
    pub room: u32,
    /// Number of its publisher.
    pub publisher: u32,
    /// Its number among the publisher's messages: from 0, without gaps.
    pub sequence: u64,
    /// When it was due.
    pub due: Nanos,
}

/// Where in a payload the stamp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the beginning.
    Front,
    /// Behind [`JSON_PREFIX`].
    Json,
}

impl Place {
    /// Bytes before the stamp.
    #[must_use]
    pub const fn offset(self) -> usize {
        match self {
            Self::Front => 0,
            Self::Json => JSON_PREFIX.len(),
        }
    }
}

/// What a received payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// A whole payload of a loadgen; of this run if its run id is this run's.
    Stamped(Stamp),
    /// It begins like a loadgen's payload but is not what was sent. Nothing in it can be trusted.
    Corrupt(Corrupt),
    /// Somebody else's.
    Foreign,
}

/// How a payload differs from what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrupt {
    /// It ends within the stamp.
    Truncated,
    /// A character of the stamp is no digit.
    Digit,
    /// It was sent with another length, bytes.
    Length(u32),
    /// The checksum is that of another payload.
    Checksum,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => formatter.write_str("it ends within the stamp"),
            Self::Digit => formatter.write_str("the stamp is not base64url"),
            Self::Length(sent) => write!(formatter, "it was sent with {sent} bytes"),
            Self::Checksum => formatter.write_str("wrong checksum"),
        }
    }
}

/// Writes `stamp` into its place in a payload that is complete otherwise. O(length), for the checksum.
///
/// # Panics
/// The payload has no room for a stamp there, or 4 GiB or more.
pub fn write(payload: &mut [u8], place: Place, stamp: &Stamp) {
    let length = u64::from(u32::try_from(payload.len()).expect("a payload is smaller than 4 GiB"));
    let words = [
        stamp.run_id >> 16,
        (stamp.run_id & 0xFFFF) << 32 | u64::from(stamp.room),
        u64::from(stamp.publisher) << 16 | stamp.sequence >> 48,
        stamp.sequence & 0xFFFF_FFFF_FFFF,
        stamp.due.0 >> 16,
        (stamp.due.0 & 0xFFFF) << 32 | length,
    ];
    let place = &mut payload[place.offset()..];
    let (magic, place) = place.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    let (checksum, rest) = place.split_at_mut(CHECKSUM_DIGITS);
    for (digits, word) in rest[..FIELD_DIGITS].chunks_exact_mut(WORD_DIGITS).zip(words) {
        digits.copy_from_slice(&word_digits(word));
    }
    checksum.copy_from_slice(&word_digits(u64::from(crc32fast::hash(rest))));
}

/// Reads a payload and checks all of it. O(length), for the checksum; does not allocate.
#[inline]
#[must_use]
pub fn read(payload: &[u8]) -> Read {
    let place = payload.strip_prefix(JSON_PREFIX).unwrap_or(payload);
    let Some(place) = place.strip_prefix(MAGIC) else { return Read::Foreign };
    let Some((digits, _)) = place.split_first_chunk::<{ CHECKSUM_DIGITS + FIELD_DIGITS }>() else {
        return Read::Corrupt(Corrupt::Truncated);
    };
    let mut values = [0; CHECKSUM_DIGITS + FIELD_DIGITS];
    let mut seen = 0;
    for (value, digit) in values.iter_mut().zip(digits) {
        *value = digit_value(*digit);
        seen |= *value;
    }
    if seen & NO_DIGIT != 0 {
        return Read::Corrupt(Corrupt::Digit);
    }
    let mut words = [0; 1 + WORDS];
    for (word, values) in words.iter_mut().zip(values.as_chunks::<WORD_DIGITS>().0) {
        *word = word_of(*values);
    }
    let [checksum, run_and, room_and, publisher_and, sequence_low, due_high, due_and_length] = words;
    let length = due_and_length & 0xFFFF_FFFF;
    if length != payload.len() as u64 {
        return Read::Corrupt(Corrupt::Length(low_32(length)));
    }
    if u64::from(crc32fast::hash(&place[CHECKSUM_DIGITS..])) != checksum {
        return Read::Corrupt(Corrupt::Checksum);
    }
    Read::Stamped(Stamp {
        run_id: run_and << 16 | room_and >> 32,
        room: low_32(room_and),
        publisher: low_32(publisher_and >> 16),
        sequence: (publisher_and & 0xFFFF) << 48 | sequence_low,
        due: Nanos(due_high << 16 | due_and_length >> 32),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
const fn low_32(word: u64) -> u32 {
    word as u32
}

fn word_digits(word: u64) -> [u8; WORD_DIGITS] {
    std::array::from_fn(|index| DIGITS[(word >> (42 - 6 * index) & 0x3F) as usize])
}

/// Comparisons instead of a table: the compiler makes them vector instructions over the whole stamp.
const fn digit_value(digit: u8) -> u8 {
    let letter = digit | 0x20;
    let case = if digit == letter { 26 } else { 0 };
    if letter.wrapping_sub(b'a') < 26 {
        letter - b'a' + case
    } else if digit.wrapping_sub(b'0') < 10 {
        digit - b'0' + 52
    } else if digit == b'-' {
        62
    } else if digit == b'_' {
        63
    } else {
        NO_DIGIT
    }
}

/// Eight values of 6 bits to a word of 48, the first one highest: neighbours are joined three times.
const fn word_of(values: [u8; WORD_DIGITS]) -> u64 {
    let sixes = u64::from_be_bytes(values);
    let twelves = sixes >> 2 & 0x0FC0_0FC0_0FC0_0FC0 | sixes & 0x003F_003F_003F_003F;
    let twenty_fours = twelves >> 4 & 0x00FF_F000_00FF_F000 | twelves & 0x0000_0FFF_0000_0FFF;
    twenty_fours >> 8 & 0xFFFF_FF00_0000 | twenty_fours & 0xFF_FFFF
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        run_id: 0x0123_4567_89AB_CDEF,
        room: 7,
        publisher: 0xFFFF_FFFE,
        sequence: 1 << 50,
        due: Nanos(1 << 63),
    };

    fn stamped(stamp: &Stamp, place: Place, payload_bytes: usize) -> Vec<u8> {
        let mut payload = vec![b'x'; payload_bytes];
        payload[..place.offset()].copy_from_slice(&JSON_PREFIX[..place.offset()]);
        write(&mut payload, place, stamp);
        payload
    }

    #[test]
    fn what_was_written_is_read() {
        let highest =
            Stamp { run_id: u64::MAX, room: u32::MAX, publisher: u32::MAX, sequence: u64::MAX, due: Nanos(u64::MAX) };
        let lowest = Stamp { run_id: 0, room: 0, publisher: 0, sequence: 0, due: Nanos(0) };
        for stamp in [lowest, STAMP, highest] {
            for payload_bytes in [67, 68, 75, 76, 128, 200, 10_000] {
                for place in [Place::Front, Place::Json] {
                    assert_eq!(read(&stamped(&stamp, place, payload_bytes)), Read::Stamped(stamp));
                }
            }
        }
        assert_eq!(read(&stamped(&STAMP, Place::Front, PAYLOAD_BYTES_MIN)), Read::Stamped(STAMP));
    }

    #[test]
    fn a_stamp_needs_no_escape_in_json() {
        let mut payload = b"{\"lg\":\"".to_vec();
        payload.resize(JSON_PREFIX.len() + STAMP_BYTES, b'.');
        payload.extend_from_slice(b"\"}");
        write(&mut payload, Place::Json, &STAMP);
        let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(value["lg"].as_str().unwrap().as_bytes(), &payload[7..67]);
        assert!(payload[7..67].iter().all(|byte| DIGITS.contains(byte) || *byte == b'.'));
    }

    #[test]
    fn every_digit_has_its_value_and_nothing_else_has() {
        for byte in 0..=u8::MAX {
            let wanted = DIGITS.iter().position(|digit| *digit == byte);
            let actual = digit_value(byte);
            assert_eq!(wanted, (actual != NO_DIGIT).then_some(usize::from(actual)), "{byte}");
        }
    }

    #[test]
    fn any_changed_byte_is_found() {
        for place in [Place::Front, Place::Json] {
            let payload = stamped(&STAMP, place, 150);
            for at in 0..payload.len() {
                for bit in 0..8 {
                    let mut changed = payload.clone();
                    changed[at] ^= 1 << bit;
                    let read = read(&changed);
                    let in_magic = at < place.offset() + MAGIC.len();
                    assert_eq!(matches!(read, Read::Foreign), in_magic, "byte {at}, bit {bit}: {read:?}");
                    assert_eq!(matches!(read, Read::Corrupt(_)), !in_magic, "byte {at}, bit {bit}: {read:?}");
                }
            }
        }
    }

    #[test]
    fn another_length_is_found() {
        let payload = stamped(&STAMP, Place::Front, 100);
        for length in 0..payload.len() {
            let wanted = match length {
                0..4 => Read::Foreign,
                4..60 => Read::Corrupt(Corrupt::Truncated),
                _ => Read::Corrupt(Corrupt::Length(100)),
            };
            assert_eq!(read(&payload[..length]), wanted, "{length} bytes");
        }
        let mut longer = payload;
        longer.push(0);
        assert_eq!(read(&longer), Read::Corrupt(Corrupt::Length(100)));
    }

    #[test]
    fn other_messages_are_foreign() {
        for other in ["", "{}", "{\"lg\":\"", "{\"lg\":1}", "hello", "lg2.AAAA"] {
            assert_eq!(read(other.as_bytes()), Read::Foreign, "{other}");
        }
    }
}

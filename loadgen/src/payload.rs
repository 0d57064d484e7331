//! Payloads: a stamp, and behind it filler or a line of a file.
//!
//! What a message contains depends on the seed, its publisher and its sequence alone, so that it is the same whichever
//! process publishes it. As bytes, with 60 of stamp each:
//!
//! ```text
//! text, binary   STAMP filler                             with a file   STAMP line
//! json           {"lg":"STAMP","text":"filler"}           with a file   {"lg":"STAMP","message":line}
//! ```
//!
//! A line that is no JSON becomes a JSON string, as `text`.

use std::path::{Path, PathBuf};

use rand::Rng as _;
use serde::de::IgnoredAny;

use crate::scenario::{self, Format};
use crate::seed::{Purpose, rng};
use crate::stamp::{self, JSON_PREFIX, PAYLOAD_BYTES_MIN, Place, STAMP_BYTES, Stamp};

/// Bytes of a payload at most.
pub const PAYLOAD_BYTES_MAX: u32 = 16 << 20;
/// Bytes of a file of messages at most: it is kept in memory.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// Filler is taken from a pool, each message's from another place in it.
const POOL_BYTES: usize = 64 << 10;
const JSON_TEXT: &[u8] = b"\",\"text\":\"";
const JSON_TEXT_END: &[u8] = b"\"}";
/// Filler of text: all that JSON takes as it is.
const TEXT: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789";

/// Why payloads cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The stamp does not fit.
    #[error("payload.bytes is {actual}; a message of format {format:?} has at least {minimum}, for the stamp")]
    TooSmall {
        /// Bytes asked for.
        actual: u32,
        /// Bytes needed.
        minimum: u32,
        /// The format.
        format: Format,
    },
    /// The upper size is below the lower one.
    #[error("payload.bytes_max is {actual}; it cannot be below payload.bytes, {minimum}")]
    RangeReversed {
        /// `bytes_max`.
        actual: u32,
        /// `bytes`.
        minimum: u32,
    },
    /// A message would be too large.
    #[error("{field} is {actual}; a message has at most {PAYLOAD_BYTES_MAX} bytes")]
    TooLarge {
        /// What to change.
        field: &'static str,
        /// Bytes asked for.
        actual: u32,
    },
    /// The file cannot be read.
    #[error("payload.file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is too large.
    #[error("payload.file {} has {actual} bytes; at most {FILE_BYTES_MAX} are read", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        actual: u64,
    },
    /// The file has no line with something in it.
    #[error("payload.file {} has no messages: every line is empty", path.display())]
    FileEmpty {
        /// The file.
        path: PathBuf,
    },
    /// A line would make a message too large.
    #[error(
        "payload.file {}, line {line}: a message of {actual} bytes with its stamp; at most {PAYLOAD_BYTES_MAX}",
        path.display()
    )]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// Bytes of the message.
        actual: usize,
    },
    /// A line cannot be sent as text.
    #[error("payload.file {}, line {line}: not UTF-8, which payload.format {format:?} has to be", path.display())]
    LineNotText {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// The format.
        format: Format,
    },
}

/// Bytes of the smallest payload of a format.
#[must_use]
pub const fn bytes_min(format: Format) -> u32 {
    let bytes = match format {
        Format::Text | Format::Binary => PAYLOAD_BYTES_MIN,
        Format::Json => JSON_PREFIX.len() + STAMP_BYTES + JSON_TEXT.len() + JSON_TEXT_END.len(),
    };
    #[expect(clippy::cast_possible_truncation, reason = "it is below 100")]
    let bytes = bytes as u32;
    bytes
}

/// What is behind the stamp.
#[derive(Clone, Debug)]
enum Content {
    Filler {
        pool: Box<[u8]>,
        bytes: u32,
        bytes_max: u32,
    },
    /// Everything behind the stamp, ready; ends of it for each message, in one buffer.
    Lines {
        text: Box<[u8]>,
        ends: Box<[usize]>,
    },
}

/// Makes payloads.
#[derive(Clone, Debug)]
pub struct Payloads {
    content: Content,
    format: Format,
    seed: u64,
}

impl Payloads {
    /// Prepares what the scenario asks for, and reads its file. With a file the messages have the sizes of its lines,
    /// and `bytes` and `bytes_max` mean nothing. Empty lines are skipped.
    ///
    /// # Errors
    /// An impossible size, or a file that cannot be used: see [`PayloadError`].
    pub fn new(payload: &scenario::Payload, seed: u64) -> Result<Self, PayloadError> {
        let format = payload.format;
        let content = match &payload.file {
            None => filler(payload, seed)?,
            Some(path) => lines(path, format)?,
        };
        Ok(Self { content, format, seed })
    }

    /// Makes the payload of one message in `out`, whatever was in it. O(bytes); allocates only while `out` grows.
    ///
    /// # Panics
    /// Never: sizes were checked.
    pub fn fill(&self, stamp: &Stamp, out: &mut Vec<u8>) {
        out.clear();
        let place = match self.format {
            Format::Text | Format::Binary => Place::Front,
            Format::Json => Place::Json,
        };
        out.extend_from_slice(&JSON_PREFIX[..place.offset()]);
        out.resize(place.offset() + STAMP_BYTES, 0);
        match &self.content {
            Content::Filler { pool, bytes, bytes_max } => {
                let random = mix(mix(self.seed ^ u64::from(stamp.publisher)) ^ stamp.sequence);
                let end: &[u8] = if place == Place::Json {
                    out.extend_from_slice(JSON_TEXT);
                    JSON_TEXT_END
                } else {
                    &[]
                };
                let bytes = size_in(*bytes, *bytes_max, random) as usize - end.len();
                let mut at = usize::try_from(mix(random) % POOL_BYTES as u64).expect("the pool is small");
                while out.len() < bytes {
                    let part = &pool[at..pool.len().min(at + bytes - out.len())];
                    out.extend_from_slice(part);
                    at = 0;
                }
                out.extend_from_slice(end);
            }
            Content::Lines { text, ends } => {
                let turn = (u64::from(stamp.publisher) + stamp.sequence) % ends.len() as u64;
                let line = usize::try_from(turn).expect("less than the number of lines");
                let start = line.checked_sub(1).map_or(0, |before| ends[before]);
                out.extend_from_slice(&text[start..ends[line]]);
            }
        }
        stamp::write(out, place, stamp);
    }

    /// Bytes of a message, on average.
    #[must_use]
    pub fn bytes_mean(&self) -> f64 {
        match &self.content {
            Content::Filler { bytes, bytes_max, .. } => f64::midpoint(f64::from(*bytes), f64::from(*bytes_max)),
            Content::Lines { text, ends } => self.before_line() as f64 + text.len() as f64 / ends.len() as f64,
        }
    }

    /// Bytes of the largest message.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        match &self.content {
            Content::Filler { bytes_max, .. } => *bytes_max as usize,
            Content::Lines { ends, .. } => {
                let starts = std::iter::once(&0).chain(ends);
                self.before_line() + starts.zip(ends).map(|(start, end)| end - start).max().unwrap_or(0)
            }
        }
    }

    const fn before_line(&self) -> usize {
        match self.format {
            Format::Text | Format::Binary => STAMP_BYTES,
            Format::Json => Place::Json.offset() + STAMP_BYTES,
        }
    }
}

fn filler(payload: &scenario::Payload, seed: u64) -> Result<Content, PayloadError> {
    let &scenario::Payload { bytes, format, .. } = payload;
    let (bytes_max, field) = payload.bytes_max.map_or((bytes, "payload.bytes"), |max| (max, "payload.bytes_max"));
    let minimum = bytes_min(format);
    if bytes < minimum {
        return Err(PayloadError::TooSmall { actual: bytes, minimum, format });
    }
    if bytes_max < bytes {
        return Err(PayloadError::RangeReversed { actual: bytes_max, minimum: bytes });
    }
    if bytes_max > PAYLOAD_BYTES_MAX {
        return Err(PayloadError::TooLarge { field, actual: bytes_max });
    }
    let mut pool = vec![0; POOL_BYTES].into_boxed_slice();
    rng(seed, Purpose::Payload, 0).fill_bytes(&mut pool);
    if format != Format::Binary {
        for byte in &mut pool {
            *byte = TEXT[usize::from(*byte) % TEXT.len()];
        }
    }
    Ok(Content::Filler { pool, bytes, bytes_max })
}

fn lines(path: &Path, format: Format) -> Result<Content, PayloadError> {
    let failed = |source| PayloadError::File { path: path.to_owned(), source };
    let actual = std::fs::metadata(path).map_err(failed)?.len();
    if actual > FILE_BYTES_MAX {
        return Err(PayloadError::FileTooLarge { path: path.to_owned(), actual });
    }
    let file = std::fs::read(path).map_err(failed)?;
    let (mut text, mut ends) = (Vec::with_capacity(file.len()), Vec::new());
    for (index, line) in file.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let start = text.len();
        let number = index + 1;
        let not_text = || PayloadError::LineNotText { path: path.to_owned(), line: number, format };
        match format {
            Format::Binary => text.extend_from_slice(&[b" ", line].concat()),
            Format::Text => {
                let line = std::str::from_utf8(line).map_err(|_| not_text())?;
                text.extend_from_slice(format!(" {line}").as_bytes());
            }
            Format::Json => {
                let line = std::str::from_utf8(line).map_err(|_| not_text())?;
                text.extend_from_slice(json_behind_stamp(line).as_bytes());
            }
        }
        let actual = JSON_PREFIX.len() + STAMP_BYTES + text.len() - start;
        if actual > PAYLOAD_BYTES_MAX as usize {
            return Err(PayloadError::LineTooLong { path: path.to_owned(), line: number, actual });
        }
        ends.push(text.len());
    }
    if ends.is_empty() {
        return Err(PayloadError::FileEmpty { path: path.to_owned() });
    }
    Ok(Content::Lines { text: text.into_boxed_slice(), ends: ends.into_boxed_slice() })
}

fn json_behind_stamp(line: &str) -> String {
    if serde_json::from_str::<IgnoredAny>(line).is_ok() {
        format!("\",\"message\":{line}}}")
    } else {
        format!("\",\"text\":{}}}", serde_json::Value::from(line))
    }
}

/// One of the sizes from `bytes` to `bytes_max`, each as likely.
fn size_in(bytes: u32, bytes_max: u32, random: u64) -> u32 {
    let sizes = u64::from(bytes_max - bytes) + 1;
    bytes + u32::try_from((u128::from(random) * u128::from(sizes)) >> 64).expect("less than the number of sizes")
}

/// The finalizer of SplitMix64: spreads every bit over all.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::clock::Nanos;
    use crate::stamp::{Read, read};

    const FORMATS: [Format; 3] = [Format::Text, Format::Binary, Format::Json];

    fn stamp(sequence: u64) -> Stamp {
        Stamp { run_id: 1, room: 2, publisher: 3, sequence, due: Nanos(4) }
    }

    fn asked(format: Format, bytes: u32, bytes_max: Option<u32>) -> scenario::Payload {
        scenario::Payload { bytes, bytes_max, file: None, format }
    }

    fn made(payloads: &Payloads, sequence: u64) -> Vec<u8> {
        let mut out = b"old".to_vec();
        payloads.fill(&stamp(sequence), &mut out);
        assert_eq!(read(&out), Read::Stamped(stamp(sequence)));
        out
    }

    fn from_file(content: &[u8], format: Format) -> Result<Payloads, PayloadError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        Payloads::new(&scenario::Payload { file: Some(file.path().to_owned()), ..asked(format, 128, None) }, 1)
    }

    #[test]
    fn filler_has_the_size_asked_for() {
        for format in FORMATS {
            for bytes in [bytes_min(format), 128, 200_000] {
                let payloads = Payloads::new(&asked(format, bytes, None), 1).unwrap();
                let payload = made(&payloads, 0);
                assert_eq!(payload.len(), bytes as usize, "{format:?}");
                assert_eq!((payloads.bytes_max(), payloads.bytes_mean()), (payload.len(), f64::from(bytes)));
                match format {
                    Format::Binary => {}
                    Format::Text => assert!(payload.iter().all(|byte| (b' '..=b'~').contains(byte))),
                    Format::Json => {
                        let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                        assert_eq!(value["text"].as_str().unwrap().len(), (bytes - bytes_min(format)) as usize);
                    }
                }
            }
        }
    }

    #[test]
    fn contents_replay_by_seed_and_differ_by_message() {
        for format in FORMATS {
            let made_by = |seed, sequence| made(&Payloads::new(&asked(format, 300, None), seed).unwrap(), sequence);
            assert_eq!(made_by(1, 5), made_by(1, 5));
            assert_ne!(made_by(1, 5)[80..], made_by(2, 5)[80..]);
            assert_ne!(made_by(1, 5)[80..], made_by(1, 6)[80..]);
        }
    }

    #[test]
    fn sizes_are_even_over_the_range() {
        let payloads = Payloads::new(&asked(Format::Text, 100, Some(199)), 1).unwrap();
        let mut counts = [0_u32; 100];
        for sequence in 0..20_000 {
            counts[made(&payloads, sequence).len() - 100] += 1;
        }
        assert!(counts.iter().all(|count| (130..270).contains(count)), "200 each, deviation 14: {counts:?}");
        assert_eq!(payloads.bytes_mean(), 149.5);
    }

    #[test]
    fn lines_come_in_turn_behind_the_stamp() {
        let file = b"{\"price\": 1}\r\n\nplain \"words\"\n[1,2]";
        for format in FORMATS {
            let payloads = from_file(file, format).unwrap();
            let all: Vec<_> = (0..6).map(|sequence| made(&payloads, sequence)).collect();
            for (before, again) in all[..3].iter().zip(&all[3..]) {
                assert_eq!(before.len(), again.len());
            }
            let largest = all.iter().map(Vec::len).max().unwrap();
            let mean = all.iter().map(Vec::len).sum::<usize>() as f64 / 6.0;
            assert_eq!((payloads.bytes_max(), payloads.bytes_mean()), (largest, mean), "{format:?}");
            if format == Format::Json {
                let value = |at: usize| serde_json::from_slice::<serde_json::Value>(&all[at]).unwrap();
                assert_eq!(value(0)["message"]["price"], 1);
                assert_eq!(value(1)["text"], "plain \"words\"");
                assert_eq!(value(2)["message"][1], 2);
            } else {
                assert_eq!(&all[0][STAMP_BYTES..], b" {\"price\": 1}");
                assert_eq!(&all[1][STAMP_BYTES..], b" plain \"words\"");
            }
        }
    }

    #[test]
    fn impossible_wishes_say_what_to_change() {
        let sizes = [
            (asked(Format::Text, 59, None), "payload.bytes is 59; a message of format Text has at least 60"),
            (asked(Format::Json, 78, None), "payload.bytes is 78; a message of format Json has at least 79"),
            (asked(Format::Text, 200, Some(100)), "payload.bytes_max is 100; it cannot be below payload.bytes, 200"),
            (asked(Format::Text, 1 << 30, None), "payload.bytes is 1073741824; a message has at most 16777216"),
            (asked(Format::Text, 100, Some(1 << 30)), "payload.bytes_max is 1073741824"),
        ];
        for (asked, wanted) in sizes {
            let error = Payloads::new(&asked, 1).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
        let missing = scenario::Payload { file: Some("no/such/file".into()), ..asked(Format::Text, 128, None) };
        assert!(matches!(Payloads::new(&missing, 1), Err(PayloadError::File { .. })));
        let long = vec![b'x'; PAYLOAD_BYTES_MAX as usize];
        assert!(matches!(from_file(&long, Format::Binary), Err(PayloadError::LineTooLong { line: 1, .. })));
        assert!(matches!(from_file(b"\n\r\n", Format::Text), Err(PayloadError::FileEmpty { .. })));
        assert!(matches!(from_file(b"a\n\xFF\n", Format::Json), Err(PayloadError::LineNotText { line: 2, .. })));
        assert!(from_file(b"\xFF", Format::Binary).is_ok());
    }
}

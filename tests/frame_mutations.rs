//! The frame decoder under bytes that are nearly right: a small corpus, mutated by a seeded generator.
//!
//! Whatever comes, in whatever pieces: no panic, no message beyond a limit, texts are UTF-8, the budget comes out even,
//! and the verdict does not depend on where reads have cut.

use std::ops::ControlFlow;

use shardcast::protocol::frame::{
    CONTROL_BYTES_MAX, DecodeLimits, Extension, MessageKind, ProtocolError, Sink, Unfinished, decode,
};

const LIMITS: DecodeLimits = DecodeLimits { message_bytes_max: 300, message_fragments_max: 4 };
const BUDGET: usize = 16 << 10;

/// Two seconds or so with assertions on.
const RUNS: u64 = 150_000;

/// Frames of clients, unmasked by a mask of zeroes where that does not matter, as hex: what decoding has to tell apart.
const CORPUS: [&str; 16] = [
    "c187 00000000 f248cdc9c90700",
    "4183 00000000 f248cd 8980 00000000 8084 00000000 c9c90700",
    "8185000000006865 6c6c6f",
    "8282 01020304 0102",
    "0183 00000000 616263 0083 00000000 646566 8080 00000000",
    "0182 00000000 c3a9 8981 00000000 70 8081 00000000 61",
    "8184 00000000 f09f9880",
    "0182 00000000 f09f 8082 00000000 9880",
    "8183 00000000 eda080",
    "8880 00000000",
    "8882 00000000 03e8",
    "8885 00000000 03e8 627965",
    "89fd 00000000",
    "8a80 00000000",
    "82fe 0080 00000000",
    "82ff 0000000000010000 00000000",
];

/// What was decoded, in order.
#[derive(Debug, PartialEq, Eq)]
struct Decoded(Vec<(&'static str, Vec<u8>)>, Extension);

impl Sink for Decoded {
    fn message(&mut self, kind: MessageKind, payload: &[u8]) -> ControlFlow<()> {
        assert!(payload.len() <= LIMITS.message_bytes_max, "a message of {} bytes", payload.len());
        assert!(kind == MessageKind::Binary || std::str::from_utf8(payload).is_ok(), "a text is UTF-8");
        self.0.push((if kind == MessageKind::Text { "text" } else { "binary" }, payload.to_vec()));
        ControlFlow::Continue(())
    }

    fn extension(&self) -> Extension {
        self.1
    }

    fn compressed_message(&mut self, _: MessageKind, payload: &[u8]) -> Result<ControlFlow<()>, ProtocolError> {
        assert!(self.1 == Extension::Deflate, "it was not agreed on");
        assert!(payload.len() <= LIMITS.message_bytes_max / 8 * 9 + 71, "a message of {} bytes", payload.len());
        self.0.push(("compressed", payload.to_vec()));
        let error = (payload.first() == Some(&0xff)).then_some(ProtocolError::InvalidDeflate);
        error.map_or(Ok(ControlFlow::Continue(())), Err)
    }

    fn ping(&mut self, payload: &[u8]) -> ControlFlow<()> {
        assert!(payload.len() <= CONTROL_BYTES_MAX, "a ping of {} bytes", payload.len());
        self.0.push(("ping", payload.to_vec()));
        ControlFlow::Continue(())
    }

    fn pong(&mut self, payload: &[u8]) {
        self.0.push(("pong", payload.to_vec()));
    }

    fn close(&mut self, code: Option<u16>, reason: &str) {
        self.0.push(("close", format!("{code:?} {reason}").into_bytes()));
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).expect("48 bits") % end.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.next() & 0xff).expect("a byte")
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let bytes = |entry: &&str| {
        let digits: Vec<u32> = entry.chars().filter_map(|digit| digit.to_digit(16)).collect();
        let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits");
        digits.chunks_exact(2).map(byte).collect()
    };
    CORPUS.iter().map(bytes).collect()
}

fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=random.below(4) {
        bytes.extend_from_slice(&corpus[random.below(corpus.len())]);
    }
    for _ in 0..random.below(5) {
        let at = random.below(bytes.len());
        let Some(byte) = bytes.get_mut(at) else { break };
        match random.below(6) {
            0 => *byte = random.byte(),
            1 => *byte ^= 1 << random.below(8),
            2 => bytes.insert(at, random.byte()),
            3 => drop(bytes.remove(at)),
            4 => bytes.truncate(at + 1),
            _ => {
                let repeated = bytes[at..(at + random.below(40)).min(bytes.len())].repeat(random.below(9));
                bytes.splice(at..at, repeated);
            }
        }
    }
    bytes
}

/// Decodes `bytes`, cut into pieces of `piece()` bytes.
fn decoded(
    bytes: &[u8],
    extension: Extension,
    mut piece: impl FnMut() -> usize,
) -> (Decoded, Result<(), ProtocolError>) {
    let (mut unfinished, mut budget, mut sink): (Option<Box<Unfinished>>, _, _) =
        (None, BUDGET, Decoded(Vec::new(), extension));
    let mut rest = bytes;
    let mut result = Ok(());
    while !rest.is_empty() && result.is_ok() {
        let (now, later) = rest.split_at(piece().clamp(1, rest.len()));
        let consumed = decode(&mut unfinished, &mut now.to_vec(), &LIMITS, &mut budget, &mut sink);
        let held = unfinished.as_ref().map_or(0, |unfinished| unfinished.held_bytes());
        assert_eq!(budget + held, BUDGET, "the budget is even");
        match consumed {
            // What follows a close frame is nobody's business any more.
            Ok(_) if sink.0.last().is_some_and(|(what, _)| *what == "close") => break,
            Ok(consumed) => {
                assert_eq!(consumed, now.len(), "only a close stops decoding");
                rest = later;
            }
            Err(error) => {
                assert!(unfinished.is_none(), "nothing is kept of a connection that ends");
                result = Err(error);
            }
        }
    }
    (sink, result)
}

#[test]
fn nearly_right_bytes() {
    let corpus = corpus();
    let seed = std::env::var("FRAME_SEED").ok().map_or(1, |seed| seed.parse().expect("FRAME_SEED is a number"));
    let (mut random, mut good, mut bad) = (Random(seed), 0, 0);
    for run in 0..RUNS {
        let bytes = mutated(&corpus, &mut random);
        let extension = if run % 2 == 0 { Extension::None } else { Extension::Deflate };
        let whole = decoded(&bytes, extension, || usize::MAX);
        let single = decoded(&bytes, extension, || 1);
        let pieces = decoded(&bytes, extension, || 1 + random.below(20));
        for other in [single, pieces] {
            assert_eq!(other.0, whole.0, "seed {seed}, run {run}: {bytes:02x?}");
            let code = |result: &Result<(), ProtocolError>| result.err().map(|error| error.close_code());
            assert_eq!(code(&other.1), code(&whole.1), "seed {seed}, run {run}: {bytes:02x?}");
        }
        *(if whole.1.is_ok() { &mut good } else { &mut bad }) += 1;
    }
    assert!(good > RUNS / 20 && bad > RUNS / 20, "{good} good and {bad} bad inputs: the generator is lopsided");
}

//! A client's frames to messages: unmasking and, of texts, the UTF-8 check.
//!
//! Decoding unmasks in place, so the same input is decoded masked and unmasked in turn. That is no other work: the mask
//! is such that either is valid text. Nothing but the decoder is in the time.

use std::hint::black_box;
use std::ops::ControlFlow;

use criterion::{BenchmarkId, Criterion, Throughput};
use shardcast::MessageKind;
use shardcast::protocol::frame::{DecodeLimits, Sink, decode};

const LIMITS: DecodeLimits = DecodeLimits { message_bytes_max: 64 << 10, message_fragments_max: 128 };

/// Flips no bit but the lowest, which leaves ASCII ASCII, and the sequences of [`JAPANESE`] sequences.
const MASK: [u8; 4] = [1, 0, 1, 1];

const JAPANESE: &str = "日本語テキスト";

/// What is decoded at once: as much as a shard reads at once, at most.
const READ_BYTES: usize = 64 << 10;

/// Counts what the decoder hands out.
#[derive(Default)]
struct Counted {
    messages: usize,
    bytes: usize,
}

impl Sink for Counted {
    fn message(&mut self, _: MessageKind, payload: &[u8]) -> ControlFlow<()> {
        self.messages += 1;
        self.bytes += black_box(payload).len();
        ControlFlow::Continue(())
    }

    fn ping(&mut self, _: &[u8]) -> ControlFlow<()> {
        unreachable!("there is none in the input")
    }

    fn pong(&mut self, _: &[u8]) {
        unreachable!("there is none in the input")
    }

    fn close(&mut self, _: Option<u16>, _: &str) {
        unreachable!("there is none in the input")
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("decode");
    for payload_bytes in [128, 1 << 10, LIMITS.message_bytes_max] {
        let ascii = "a".repeat(payload_bytes);
        let japanese = JAPANESE.repeat(payload_bytes / JAPANESE.len());
        for (name, kind, payload) in [
            ("ascii", MessageKind::Text, ascii.as_bytes()),
            ("japanese", MessageKind::Text, japanese.as_bytes()),
            ("binary", MessageKind::Binary, ascii.as_bytes()),
        ] {
            let messages = (READ_BYTES / payload_bytes).max(1);
            let mut input = masked(kind, payload).repeat(messages);
            let expected = messages * payload.len();
            group.throughput(Throughput::Bytes(expected as u64));
            group.bench_function(BenchmarkId::new(name, format!("{payload_bytes}_bytes")), |bencher| {
                bencher.iter(|| {
                    let (mut unfinished, mut budget, mut counted) = (None, 0, Counted::default());
                    let consumed = decode(&mut unfinished, &mut input, &LIMITS, &mut budget, &mut counted);
                    assert_eq!(consumed, Ok(input.len()), "the input is valid");
                    assert_eq!((counted.messages, counted.bytes), (messages, expected), "all of it is handed out");
                });
            });
        }
    }
    group.finish();
    criterion.final_summary();
}

/// One message of 126 bytes or more in one frame.
fn masked(kind: MessageKind, payload: &[u8]) -> Vec<u8> {
    let first = match kind {
        MessageKind::Text => 0x81,
        MessageKind::Binary => 0x82,
    };
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

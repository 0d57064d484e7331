//! Messages to frames, as a home does it: appended to one buffer that is used again.

use criterion::{BenchmarkId, Criterion, Throughput};
use shardcast::MessageKind;
use shardcast::protocol::frame::{encode_message, encoded_len};
use std::hint::black_box;

/// Bytes of a payload: one for each length of header, and what is usual.
const PAYLOADS: [usize; 4] = [16, 128, 1 << 10, 64 << 10];

/// Frames that are written behind each other, as in a burst.
const FRAMES: usize = 64;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group(format!("encode/{FRAMES}_frames"));
    for payload_bytes in PAYLOADS {
        let payload = vec![b'a'; payload_bytes];
        let mut out = Vec::new();
        group.throughput(Throughput::Bytes((FRAMES * payload_bytes) as u64));
        group.bench_function(BenchmarkId::from_parameter(format_args!("{payload_bytes}_bytes")), |bencher| {
            bencher.iter(|| {
                out.clear();
                for _ in 0..FRAMES {
                    encode_message(&mut out, MessageKind::Text, black_box(&payload));
                }
                assert_eq!(out.len(), FRAMES * encoded_len(payload_bytes), "all frames are there");
                black_box(&mut out);
            });
        });
        for frame in out.chunks(encoded_len(payload_bytes)) {
            assert!(frame.starts_with(&[0x81]) && frame.ends_with(&payload), "each is a text frame of the payload");
        }
    }
    group.finish();
    criterion.final_summary();
}

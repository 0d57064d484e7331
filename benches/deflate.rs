//! What compressing a publication costs its room's home, once for all members, and what it saves each of them; and what
//! inflating costs. Criterion has the time, the table at the end the bytes.
#![expect(clippy::print_stdout, reason = "the ratio of bytes is a result too, and criterion measures time")]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use shardcast::MessageKind;
use shardcast::protocol::deflate::{Compression, Deflater, Inflater, Level, WindowBits};

/// Lengths of payloads, bytes: a chat message, what is usual for a feed, a snapshot.
const PAYLOADS: [usize; 3] = [200, 1 << 10, 16 << 10];
const LEVELS: [u8; 3] = [1, 3, 6];
/// Different payloads that are compressed in turn: always the same would flatter the branch predictor.
const VARIANTS: u64 = 16;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut table = String::from("payload bytes, level, window bits: bytes, of the payload's\n");
    for payload_bytes in PAYLOADS {
        let payloads: Vec<String> = (0..VARIANTS).map(|seed| trades(payload_bytes, seed)).collect();
        let total: usize = payloads.iter().map(String::len).sum();
        let mut group = criterion.benchmark_group(format!("deflate/{payload_bytes}_bytes"));
        group.throughput(Throughput::Bytes(total as u64 / VARIANTS));
        for level in LEVELS {
            for window_bits in [WindowBits::MAX, WindowBits::MIN] {
                let level = Level::new(level).expect("a level is 1 to 9");
                let mut deflater = Deflater::new(Compression { level, window_bits, threshold_bytes: 0 });
                let name = format!("level_{}_window_{}", level.get(), window_bits.get());
                let (mut out, mut turn) = (Vec::new(), payloads.iter().cycle());
                group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                    bencher.iter(|| {
                        let payload = turn.next().expect("it goes round");
                        out.clear();
                        deflater.compress(&mut out, black_box(payload.as_bytes()));
                        black_box(&out);
                    });
                });
                let made = inflate_all(&mut deflater, &payloads);
                let percent = 100 * made / total;
                let bytes = made / payloads.len();
                writeln!(
                    table,
                    "{payload_bytes}, {level}, {w}: {bytes}, {percent} %",
                    level = level.get(),
                    w = window_bits.get()
                )
                .expect("a string takes text");
            }
        }
        let mut deflater = Deflater::new(Compression { threshold_bytes: 0, ..Compression::default() });
        let (mut inflater, mut compressed) = (Inflater::default(), Vec::new());
        deflater.compress(&mut compressed, payloads[0].as_bytes());
        group.bench_function("inflate", |bencher| {
            bencher.iter(|| {
                let message = inflater.message(MessageKind::Text, black_box(&compressed), 64 << 10);
                assert_eq!(message.map(<[u8]>::len), Ok(payloads[0].len()), "it is whole");
            });
        });
        group.finish();
    }
    criterion.final_summary();
    println!("{table}");
}

/// Compresses all, checks each, and returns their length together, bytes.
fn inflate_all(deflater: &mut Deflater, payloads: &[String]) -> usize {
    let (mut inflater, mut compressed, mut total) = (Inflater::default(), Vec::new(), 0);
    for payload in payloads {
        compressed.clear();
        deflater.compress(&mut compressed, payload.as_bytes());
        total += compressed.len();
        let message = inflater.message(MessageKind::Text, &compressed, payload.len());
        assert_eq!(message, Ok(payload.as_bytes()), "what was compressed is inflated to what it was");
    }
    total
}

/// About `bytes` bytes of JSON, as a market's feed sends them.
fn trades(bytes: usize, seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut json =
        format!(r#"{{"channel":"trades","market":"BTC-EUR","sequence":{},"trades":["#, 10_000_000 + next(1_000_000));
    while json.len() < bytes {
        let comma = if json.ends_with('[') { "" } else { "," };
        let (id, price, size) = (next(u64::MAX), 60_000 + next(500), next(100_000));
        let (cents, side) = (next(100), ["buy", "sell"][usize::from(next(2) == 0)]);
        write!(json, r#"{comma}{{"id":{id},"price":"{price}.{cents:02}","size":"0.{size:05}","side":"{side}"}}"#)
            .expect("a string takes text");
    }
    json.push_str("]}");
    json
}

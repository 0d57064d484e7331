//! What deltas cost a room's home, once per publication for all who get them: the payload's text as a string, alone and
//! with the delta against the one before. Criterion has the time, the table at the end the bytes.
#![expect(clippy::print_stdout, reason = "the bytes are a result too, and criterion measures time")]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use shardcast::MessageKind;
use shardcast::protocol::centrifuge::publication::Data;
use shardcast::protocol::centrifuge::texts::Texts;

/// Lengths of payloads, bytes: a short state, what is usual for a feed, a snapshot.
const PAYLOADS: [usize; 3] = [200, 1 << 10, 16 << 10];
/// One field in so many changes from one payload to the next.
const CHANGES_ONE_IN: usize = 10;
/// Payloads that come in turn, each compared with the one before.
const VARIANTS: usize = 64;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut table = String::from("payload bytes: whole string, delta\n");
    for payload_bytes in PAYLOADS {
        let payloads: Vec<String> = (0..VARIANTS).map(|number| scores(payload_bytes, number)).collect();
        let mut group = criterion.benchmark_group(format!("delta/{payload_bytes}_bytes"));
        group.throughput(Throughput::Bytes(payloads[0].len() as u64));
        let mut texts = Texts::default();
        let mut turn = 0;
        group.bench_function("whole", |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % VARIANTS;
                texts.set(MessageKind::Text, black_box(payloads[turn].as_bytes()), None);
            });
        });
        group.bench_function("whole_and_delta", |bencher| {
            bencher.iter(|| {
                let before = payloads[turn].as_bytes();
                turn = (turn + 1) % VARIANTS;
                texts.set(MessageKind::Text, black_box(payloads[turn].as_bytes()), Some(black_box(before)));
            });
        });
        group.finish();
        texts.set(MessageKind::Text, payloads[1].as_bytes(), Some(payloads[0].as_bytes()));
        let (Data::Whole(whole), Data::Delta(delta)) = (texts.whole(), texts.changed()) else {
            panic!("a delta is made where a tenth has changed");
        };
        writeln!(table, "{payload_bytes}: {}, {}", whole.len(), delta.len()).expect("a string takes text");
    }
    criterion.final_summary();
    println!("{table}");
}

/// About `bytes` bytes of JSON, in which one field in [`CHANGES_ONE_IN`] has changed since the number before.
fn scores(bytes: usize, number: usize) -> String {
    let mut json = format!(r#"{{"number":{number}"#);
    for field in 0.. {
        if json.len() >= bytes {
            break;
        }
        // The last number, up to this one, at which this field changed.
        let changed_at = (number + field) / CHANGES_ONE_IN;
        write!(json, r#","player-{field:03}":"points {}, lap {}""#, changed_at * 7, changed_at % 9)
            .expect("a string takes text");
    }
    json.push('}');
    json
}

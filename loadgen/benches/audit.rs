//! What the generator does with each delivery besides receiving it: reading the stamp, accounting, spread.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use loadgen::clock::Nanos;
use loadgen::fan_out::{FanOut, Keep};
use loadgen::ledger::{Expectation, Ledger, Seen};
use loadgen::payload::Payloads;
use loadgen::scenario::{Format, Payload};
use loadgen::stamp::{Read, Stamp, read};

/// Members of the room, each with a ledger.
const MEMBERS: u32 = 1_000;

/// Deliveries of one message to its whole room, as one after the other they come off the sockets.
fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group(format!("audit/{MEMBERS}_members"));
    group.throughput(Throughput::Elements(u64::from(MEMBERS)));
    for bytes in [128, 1_024] {
        let payloads = Payloads::new(&Payload { bytes, bytes_max: None, file: None, format: Format::Text }, 1)
            .expect("the size is possible");
        let message = |sequence| {
            let mut payload = Vec::new();
            payloads.fill(&Stamp { run_id: 1, room: 0, publisher: 0, sequence, due: Nanos(1_000) }, &mut payload);
            payload
        };
        let payload = message(0);
        group.bench_function(BenchmarkId::new("stamp", bytes), |bencher| {
            bencher.iter(|| {
                for _ in 0..MEMBERS {
                    assert!(matches!(read(black_box(&payload)), Read::Stamped(_)));
                }
            });
        });
        let mut ledgers = vec![Ledger::new(1, Expectation::From(0)); MEMBERS as usize];
        let mut fan_out = FanOut::new(1, 64, Keep::Nothing);
        let mut sequence = 0;
        group.bench_function(BenchmarkId::new("stamp, ledger, spread", bytes), |bencher| {
            bencher.iter_batched(
                || {
                    sequence += 1;
                    message(sequence - 1)
                },
                |payload| deliver(&payload, &mut ledgers, &mut fan_out),
                criterion::BatchSize::NumIterations(1),
            );
        });
        for ledger in &ledgers {
            let account = ledger.close(&[sequence]);
            assert_eq!((account.expected, account.received), (sequence, sequence), "each got everything");
        }
        assert_eq!(fan_out.finish().incomplete, 0, "everything is complete");
    }
    group.finish();
    criterion.final_summary();
}

fn deliver(payload: &[u8], ledgers: &mut [Ledger], fan_out: &mut FanOut) {
    let mut complete = None;
    for (ledger, now) in ledgers.iter_mut().zip(2_000..) {
        let Read::Stamped(stamp) = read(black_box(payload)) else { panic!("it is stamped") };
        assert_eq!(ledger.observe(0, stamp.sequence), Seen::InOrder);
        complete = fan_out.delivered(stamp.publisher, stamp.sequence, stamp.due, Nanos(now), MEMBERS).or(complete);
    }
    let complete = complete.expect("the last delivery completes it");
    assert_eq!((complete.spread_ns, complete.completion_ns), (999, 1_999));
}

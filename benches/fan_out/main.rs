//! One room's fan-out, and beside it the floor: bare sockets, no engine, the same bytes in the same sends.
//!
//! A round is a burst of `K` messages that everybody gets; it ends when the last byte has been read. The time of a
//! round is the wall's; the table at the end is the senders' CPU per delivery, which is what the engine is judged by.
//! Every round's bytes are counted for every member; a subject's first and last round are compared byte for byte.
#![expect(
    clippy::print_stdout,
    reason = "the CPU per delivery is a result too, and criterion measures the wall's time"
)]

mod audience;
mod cpu;
mod engine;
mod floor;
mod messages;

use std::time::{Duration, Instant};

use audience::Audience;
use criterion::{BenchmarkId, Criterion, Throughput};
use engine::Sharded;
use floor::Floor;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Messages in a burst: what one `send` carries to each member.
const BURSTS: [usize; 3] = [1, 8, 64];
const SHARDS: [usize; 3] = [1, 2, 4];
/// Each has an audience of its own, all the time, so that they are measured in turn.
const SUBJECTS: usize = 1 + SHARDS.len();

/// Files that are not sockets of an audience.
const FILES_SPARE: usize = 100;

/// Whatever fans out.
trait Subject {
    fn name(&self) -> String;
    fn audience(&mut self) -> &mut Audience;
    /// Has `messages` of [`messages::frames`] sent to everybody, and need not wait for it.
    fn burst(&mut self, messages: usize);
    /// Sends made until now, if it counts them.
    fn sends(&self) -> Option<u64>;
}

/// What some rounds cost.
#[derive(Clone, Copy, Default)]
struct Cost {
    cpu: Duration,
    deliveries: u64,
    sends: u64,
}

fn main() {
    // `cargo bench` says so; `cargo test` runs each case once.
    let measuring = std::env::args().any(|argument| argument == "--bench");
    let members = members(if measuring { 1_000 } else { 100 });
    let mut subjects: Vec<Box<dyn Subject>> = vec![Box::new(Floor::start(members))];
    for shards in SHARDS {
        subjects.push(Box::new(Sharded::start(shards, members)));
    }
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let _pinned = cpu::OnLastCore::pin();
    let mut costs = Vec::new();
    for messages in BURSTS {
        let mut group = criterion.benchmark_group(format!("fan_out/{members}_members"));
        group.throughput(Throughput::Elements((members * messages) as u64));
        for subject in &mut subjects {
            let mut cost = Cost::default();
            let name = BenchmarkId::new(subject.name(), format!("{messages}_per_send"));
            compare(subject.as_mut(), messages);
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|count| rounds(subject.as_mut(), messages, count, &mut cost));
            });
            compare(subject.as_mut(), messages);
            costs.push(cost);
        }
        group.finish();
    }
    criterion.final_summary();
    if measuring {
        print(&subjects, &costs);
    }
}

/// One round in which every byte is looked at.
fn compare(subject: &mut dyn Subject, messages: usize) {
    subject.burst(messages);
    subject.audience().receive(&messages::frames(messages));
}

/// `count` rounds, each of which begins when everybody has got the one before.
fn rounds(subject: &mut dyn Subject, messages: usize, count: u64, cost: &mut Cost) -> Duration {
    let bytes_each = messages::frames(messages).len();
    let sends = subject.sends();
    let (began, cpu) = (Instant::now(), cpu::others());
    for _ in 0..count {
        subject.burst(messages);
        subject.audience().count(bytes_each);
    }
    let elapsed = began.elapsed();
    cost.cpu += cpu::others() - cpu;
    let members = subject.audience().members() as u64;
    cost.deliveries += count * members * messages as u64;
    cost.sends += match (sends, subject.sends()) {
        (Some(before), Some(after)) => after - before,
        _ => count * members,
    };
    elapsed
}

/// As many as `wanted`, or as many as the limit of open files allows, which is raised as far as it may be.
fn members(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    // Refused: then it stays as it is.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).ok();
    let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
    let fitting = files.saturating_sub(FILES_SPARE) / (2 * SUBJECTS);
    if fitting < wanted {
        println!("{fitting} members, not {wanted}: no more than {files} files may be open (ulimit -n)");
    }
    wanted.min(fitting)
}

fn print(subjects: &[Box<dyn Subject>], costs: &[Cost]) {
    println!("\nCPU of the senders, µs per delivery (messages per send)");
    print!("{:>14}", "per send");
    for subject in subjects {
        print!("{:>18}", subject.name());
    }
    for (messages, costs) in BURSTS.iter().zip(costs.chunks(subjects.len())) {
        print!("\n{messages:>14}");
        // A filter on the command line may have left some out.
        for cost in costs {
            if cost.deliveries == 0 {
                print!("{:>18}", "-");
                continue;
            }
            let deliveries = cost.deliveries as f64;
            let micros = cost.cpu.as_secs_f64() * 1e6 / deliveries;
            print!("{:>18}", format!("{micros:.3} ({:.1})", deliveries / cost.sends as f64));
        }
    }
    println!();
}

//! A room by its name: what every publication from outside and every join begins with.
//!
//! Measured through [`Engine::members`] and a publication into a room that is not there, which are the lookup and
//! little else: the hash of the name, a part of the map, the counter of a reference.

use std::hint::black_box;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use shardcast::{Adoption, Engine, Heartbeat, Membership, MessageKind, Published, RoomName, Settings};
use tokio::runtime::Builder;

fn main() {
    let measuring = std::env::args().any(|argument| argument == "--bench");
    let count = if measuring { 400 } else { 40 };
    // Members neither answer pings nor expect them; nobody is silent for so long.
    let heartbeat =
        Heartbeat { ping_interval: Duration::from_secs(86_400), silence_max: Duration::from_secs(2 * 86_400) };
    let settings = Settings { shards: NonZeroUsize::new(1), heartbeat, ..Settings::default() };
    let engine = Engine::start(settings).expect("the engine starts");
    let present: Vec<RoomName> = (0..count).map(|number| name("present", number)).collect();
    let absent: Vec<RoomName> = (0..count).map(|number| name("absent", number)).collect();
    let _clients: Vec<TcpStream> = present.iter().map(|room| join(&engine, room)).collect();
    assert_eq!(engine.totals().rooms, count, "a room for each name");

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group(format!("directory/{count}_rooms"));
    group.throughput(Throughput::Elements(count as u64));
    for (case, rooms, members) in [("present", &present, 1), ("absent", &absent, 0)] {
        group.bench_function(case, |bencher| bencher.iter(|| look_up(&engine, rooms, members)));
    }
    for threads in [2, 4] {
        group.bench_function(format!("present/{threads}_threads"), |bencher| {
            bencher.iter_custom(|rounds| beside_each_other(threads, rounds, || look_up(&engine, &present, 1)));
        });
    }
    group.bench_function("publish_into_absent", |bencher| {
        bencher.iter(|| {
            for room in &absent {
                assert_eq!(publish(&engine, room), Published { offset: 1, members: 0, epoch: None }, "nobody is there");
            }
        });
    });
    group.finish();
    criterion.final_summary();
    engine.stop();
    engine.wait().expect("the poller works");
}

fn name(kind: &str, number: usize) -> RoomName {
    RoomName::new(&format!("{kind}:{number}")).expect("it is a room's name")
}

/// Makes `room` exist, for as long as what is returned does.
fn join(engine: &Engine, room: &RoomName) -> TcpStream {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let client = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("somebody listens");
    let (stream, _) = listener.accept().expect("somebody connected");
    let adoption = Adoption::new(stream, Membership::raw(room.clone()));
    let permit = engine.admit(None).expect("there may be so many");
    let runtime = Builder::new_current_thread().build().expect("a runtime without timers and I/O needs nothing");
    runtime.block_on(engine.adopt(adoption, permit)).expect("the engine runs");
    client
}

fn look_up(engine: &Engine, rooms: &[RoomName], members: u32) {
    for room in rooms {
        assert_eq!(engine.members(black_box(room)), members, "each room is as it was made");
    }
}

/// Does it `rounds` times in each of some threads at once. The time per round of all of them together.
fn beside_each_other(threads: u32, rounds: u64, work: impl Fn() + Sync) -> Duration {
    let barrier = Barrier::new(threads as usize);
    let (work, barrier) = (&work, &barrier);
    let run = move || {
        barrier.wait();
        let began = Instant::now();
        (0..rounds).for_each(|_| work());
        began.elapsed()
    };
    let times = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(|thread| thread.join().expect("looking up does not panic")).max()
    });
    times.unwrap_or_default() / threads
}

/// Publishes into a room that is not there, which need not wait for anybody.
fn publish(engine: &Engine, room: &RoomName) -> Published {
    let publishing = pin!(engine.publish(room, MessageKind::Binary, Bytes::new()));
    match publishing.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(published) => published.expect("the message is short"),
        Poll::Pending => panic!("it waits for somebody"),
    }
}

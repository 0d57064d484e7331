//! From the engine's user through a shard's inbox and back: how long one publication takes, how many go through.
//!
//! The inbox is not to be seen from outside. A round trip is a command through it, the wake-up of a shard that sleeps,
//! the home's numbering, and the wake-up of the caller; many at once share the wake-ups, and what is left is the queue,
//! the numbering, and a room of one member, who gets everything and counts it.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use shardcast::protocol::frame::encoded_len;
use shardcast::{Adoption, Drain, Engine, Heartbeat, Membership, MessageKind, RoomName, RoomSettings, Settings};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

const PAYLOAD: [u8; 128] = [b'a'; 128];

/// Publications that wait for their place at the same time.
const AT_ONCE: [usize; 2] = [64, 1_024];

/// An engine, and a room with one member.
struct Publishing {
    engine: Engine,
    room: RoomName,
    runtime: Runtime,
    /// The offset of the newest publication.
    offset: u64,
    /// Reads until the end; the bytes that came.
    member: JoinHandle<usize>,
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("publish_round_trip");
    for shards in [1, 2, 4] {
        let mut publishing = Publishing::start(shards);
        let of_shards = |name: &str| BenchmarkId::new(name, format!("{shards}_shards"));
        group.throughput(Throughput::Elements(1));
        group.bench_function(of_shards("one"), |bencher| bencher.iter(|| publishing.one()));
        group.bench_function(of_shards("probe"), |bencher| bencher.iter(|| publishing.probe()));
        for count in AT_ONCE {
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(of_shards(&format!("{count}_at_once")), |bencher| {
                bencher.iter(|| publishing.at_once(count));
            });
        }
        publishing.end();
    }
    group.finish();
    criterion.final_summary();
}

impl Publishing {
    fn start(shards: usize) -> Self {
        // However late the member's thread gets its turn, it is not to be thrown out.
        let room = RoomSettings {
            window_count_max: u32::MAX,
            window_bytes_max: 1 << 30,
            window_age_max: Duration::from_secs(3_600),
            ..RoomSettings::default()
        };
        // Members neither answer pings nor expect them; nobody is silent for so long.
        let heartbeat =
            Heartbeat { ping_interval: Duration::from_secs(86_400), silence_max: Duration::from_secs(2 * 86_400) };
        let settings = Settings { shards: NonZeroUsize::new(shards), room, heartbeat, ..Settings::default() };
        let engine = Engine::start(settings).expect("the engine starts");
        let runtime = Builder::new_current_thread().build().expect("a runtime without timers and I/O needs nothing");
        let room = RoomName::new("bench").expect("it is a room's name");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let client = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("somebody listens");
        let (stream, _) = listener.accept().expect("somebody connected");
        let adoption = Adoption::new(stream, Membership::raw(room.clone()));
        let permit = engine.admit(None).expect("there may be one");
        runtime.block_on(engine.adopt(adoption, permit)).expect("the engine runs");
        let member = std::thread::spawn(|| bytes_until_end(client));
        Self { engine, room, runtime, offset: 0, member }
    }

    fn one(&mut self) {
        let publishing = self.engine.publish(&self.room, MessageKind::Text, Bytes::from_static(&PAYLOAD));
        let published = self.runtime.block_on(publishing);
        self.offset += 1;
        let published = published.expect("the engine runs");
        assert_eq!((published.offset, published.members), (self.offset, 1), "offsets are dense");
    }

    fn at_once(&mut self, count: usize) {
        let (engine, room) = (&self.engine, &self.room);
        let newest = self.runtime.block_on(async {
            let mut publishing = JoinSet::new();
            for _ in 0..count {
                let (engine, room) = (engine.clone(), room.clone());
                publishing
                    .spawn(async move { engine.publish(&room, MessageKind::Text, Bytes::from_static(&PAYLOAD)).await });
            }
            let published = publishing.join_all().await;
            published.into_iter().map(|published| published.expect("the engine runs").offset).max()
        });
        self.offset += count as u64;
        assert_eq!(newest, Some(self.offset), "offsets are dense");
    }

    fn probe(&self) {
        self.runtime.block_on(self.engine.probe()).expect("the engine runs");
    }

    /// Checks that the member got everything.
    fn end(self) {
        /// A close frame without a mask, of a code and the engine's reason.
        const CLOSE_BYTES_MAX: usize = 2 + 125;
        let drain = Drain { spread: Duration::ZERO, code: 1001 };
        let drained = self.runtime.block_on(self.engine.shutdown(drain));
        assert_eq!((drained.closed, drained.aborted), (1, 0), "the member takes everything and ends");
        self.engine.wait().expect("the pollers work");
        let received = self.member.join().expect("the member does not panic");
        let published = usize::try_from(self.offset).expect("they were counted") * encoded_len(PAYLOAD.len());
        let rest = received.checked_sub(published).expect("the member got every publication");
        assert!((2..=CLOSE_BYTES_MAX).contains(&rest), "behind the publications is a close frame, not {rest} bytes");
    }
}

fn bytes_until_end(mut stream: TcpStream) -> usize {
    let (mut buffer, mut received) = (vec![0; 1 << 20], 0);
    loop {
        match stream.read(&mut buffer).expect("the engine ends the stream in order") {
            0 => return received,
            length => received += length,
        }
    }
}

//! Very many bad connections, one after the other: they leave files and memory where they were.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::client::{CLOSE, FIN, Member, TEXT, connect, frame, handshake, head, reset};
use crate::pair::Pair;
use crate::server::{Server, eventually};

/// Connections of one storm, unless `HOSTILE_CONNECTIONS` says how many.
const CONNECTIONS: usize = 10_000;

const THREADS: usize = 4;

/// Connections of one thread that are kept open in silence.
const SILENT_MAX: usize = 64;

/// What a storm may leave behind, bytes.
const MEMORY_MAX: u64 = 5 << 20;

/// xorshift64*: a seed says everything about a storm.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).expect("48 bits") % end
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.next() & 0xff).expect("a byte")
    }

    fn bytes(&mut self, end: usize) -> Vec<u8> {
        (0..self.below(end)).map(|_| self.byte()).collect()
    }

    /// `bytes` with some of them replaced, doubled or cut away.
    fn mutated(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[at] = self.byte(),
                1 => bytes.truncate(at + 1),
                2 => bytes.insert(at, self.byte()),
                _ => bytes[at] ^= 1 << self.below(8),
            }
        }
        bytes
    }
}

/// One bad connection; some are kept in silence for later.
fn misbehave(server: SocketAddr, random: &mut Random) -> Option<TcpStream> {
    let mut stream = connect(server);
    let choice = random.below(12);
    if choice < 4 {
        let request = match choice {
            0 => random.bytes(2_000),
            1 => random.mutated(handshake("storm").into_bytes()),
            2 => handshake("storm").as_bytes()[..random.below(150)].to_vec(),
            _ => Vec::new(),
        };
        stream.write_all(&request).ok();
        return leave(stream, random);
    }
    // One room in four is the healthy pair's: its fan-out goes on while its members break.
    let room = random.below(4);
    stream.write_all(handshake(&format!("storm{room}")).as_bytes()).ok();
    if choice == 4 {
        return leave(stream, random);
    }
    head(&mut stream);
    let message = frame(FIN | TEXT, &vec![b's'; random.below(300)]);
    let bytes = match choice {
        5 => random.bytes(500),
        6 => random.mutated(message),
        7 => [message, frame(FIN | CLOSE, &1_000u16.to_be_bytes())].concat(),
        8 => frame(TEXT, b"unfinished"),
        9 => message.repeat(random.below(20)),
        10 => message[..message.len() - 1].to_vec(),
        _ => Vec::new(),
    };
    stream.write_all(&bytes).ok();
    leave(stream, random)
}

fn leave(mut stream: TcpStream, random: &mut Random) -> Option<TcpStream> {
    match random.below(5) {
        0 => reset(stream),
        1 => {
            stream.shutdown(Shutdown::Write).ok();
            if random.below(2) == 0 {
                // The answer to whatever it was, if one comes in time: a member that half-closes gets none.
                std::io::Read::read(&mut stream, &mut [0; 512]).ok();
            }
        }
        2 => return Some(stream),
        _ => drop(stream),
    }
    None
}

fn storm(server: SocketAddr, connections: usize, seed: u64) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let next = &next;
            threads.spawn(move || {
                let mut random = Random(seed + thread as u64);
                let mut silent = VecDeque::new();
                while next.fetch_add(1, Ordering::Relaxed) < connections {
                    silent.extend(misbehave(server, &mut random));
                    if silent.len() > SILENT_MAX {
                        silent.pop_front();
                    }
                }
            });
        }
    });
}

#[test]
fn a_storm_leaves_nothing_behind() {
    let connections = std::env::var("HOSTILE_CONNECTIONS")
        .ok()
        .map_or(CONNECTIONS, |count| count.parse().expect("HOSTILE_CONNECTIONS is a number"));
    let seed = std::env::var("HOSTILE_SEED").ok().map_or(1, |seed| seed.parse().expect("HOSTILE_SEED is a number"));
    let server = Server::start(&["handshake.timeout=2s", "limits.close_time_max=1s"]);
    let pair = Pair::start(server.address);
    // What a process takes once and keeps: threads' heaps, buffers of the runtime.
    storm(server.address, connections / 20, seed + 1_000);
    eventually("the warm-up is over", || server.members() == 2 && server.metric("connections") == 3);
    let mut files = 0;
    eventually("files are as few as ever", || files == std::mem::replace(&mut files, server.files()));
    let (files, memory, begun) = (server.files(), server.memory_bytes(), Instant::now());

    storm(server.address, connections, seed);
    let seconds = begun.elapsed().as_secs_f64();
    eventually("all are gone", || server.members() == 2 && server.metric("connections") == 3);
    assert_eq!(server.metric("rooms"), 1, "the healthy pair's");
    assert_eq!(server.metric("unfinished_bytes"), 0);
    eventually("all files are closed", || server.files() == files);
    let after = server.memory_bytes();
    println!(
        "storm: seed {seed}, {connections} connections in {seconds:.1} s; files {files} before and after; \
         PSS {} KiB before, {} KiB after; {} messages of the healthy pair",
        memory >> 10,
        after >> 10,
        pair.stop(),
    );
    assert!(after < memory + MEMORY_MAX, "{memory} bytes before, {after} after, seed {seed}");
    server.stop();
}

#[test]
fn closes_of_every_kind_are_done_in_time() {
    let server = Server::start(&["limits.close_time_max=1s"]);
    let pair = Pair::start(server.address);
    let files = server.files();
    let mut kept = Vec::new();
    for number in 0..600 {
        let mut member = Member::join(server.address, "closes");
        // Somebody is always in the middle of a fan-out.
        member.say(&"x".repeat(1_000));
        match number % 6 {
            // A close frame, then silence; reading or not.
            0 => {
                member.send(&frame(FIN | CLOSE, b""));
                kept.push(member);
            }
            1 => {
                member.send(&frame(FIN | 7, b""));
                kept.push(member);
            }
            2 => reset(member.stream),
            3 => {
                member.stream.shutdown(Shutdown::Write).ok();
                kept.push(member);
            }
            4 => {
                // Never done with sending.
                member.send(&frame(FIN | CLOSE, b""));
                member.send(&frame(FIN | TEXT, b"still there").repeat(1_000));
                kept.push(member);
            }
            _ => drop(member),
        }
    }
    eventually("only the healthy pair is there", || server.members() == 2);
    eventually("all files are closed", || server.files() == files);
    drop(kept);
    pair.stop();
    server.stop();
}

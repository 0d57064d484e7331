//! Very many rooms, each for a moment: whoever thinks of new names for ever leaves no memory behind.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::client::{Event, Member, connect, handshake, reset};
use crate::server::{Server, eventually};

/// Rooms of the test, unless `HOSTILE_ROOMS` says how many.
const ROOMS: usize = 40_000;

const THREADS: usize = 2;

/// Rooms that one client is in at the same time, or publishes into in one go.
const BATCH: usize = 100;

/// What the later half of them may leave behind, bytes.
const MEMORY_MAX: u64 = 5 << 20;

/// A session of the centrifuge protocol.
const SESSION: &str = "GET /connection/websocket HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
                       Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                       Sec-WebSocket-Version: 13\r\n\r\n";

/// One thread's clients: each kind comes into rooms in its own way.
struct Visitor {
    server: SocketAddr,
    session: Member,
    publisher: TcpStream,
}

impl Visitor {
    fn new(server: SocketAddr) -> Self {
        let mut session = Member::join_with(server, SESSION.as_bytes());
        session.say(r#"{"id":1,"connect":{}}"#);
        assert!(session.hear().starts_with(r#"{"id":1,"connect":"#));
        Self { server, session, publisher: connect(server) }
    }

    /// Of eight batches one is of members by URL, one of rooms that have nothing but a publication, which expires, and
    /// six are of subscriptions.
    fn visit(&mut self, batch: usize) {
        match batch % 8 {
            0 => self.join(batch),
            1 => self.publish(batch),
            _ => {
                self.command(batch, "subscribe");
                self.command(batch, "unsubscribe");
            }
        }
    }

    fn join(&self, batch: usize) {
        for room in 0..BATCH {
            let member = Member::join_with(self.server, handshake(&format!("visited-{batch}-{room}")).as_bytes());
            reset(member.stream);
        }
    }

    fn publish(&mut self, batch: usize) {
        let posts = (0..BATCH).map(|room| {
            format!("POST /rooms/kept-{batch}-{room} HTTP/1.1\r\nHost: example.com\r\nContent-Length: 2\r\n\r\nhi")
        });
        self.publisher.write_all(posts.collect::<String>().as_bytes()).expect("the server reads");
        let (mut answers, mut buffer) = (Vec::new(), [0; 16 << 10]);
        // A body is one object, and nothing else in an answer has a brace.
        while answers.iter().filter(|byte| **byte == b'}').count() < BATCH {
            let length = self.publisher.read(&mut buffer).expect("the server answers");
            assert!(length > 0, "the server ends {}", String::from_utf8_lossy(&answers));
            answers.extend_from_slice(&buffer[..length]);
        }
        let accepted = answers.windows(12).filter(|bytes| *bytes == b"HTTP/1.1 200").count();
        assert_eq!(accepted, BATCH, "{}", String::from_utf8_lossy(&answers));
    }

    /// A batch of one command for a room each, in one message, and its answers.
    fn command(&mut self, batch: usize, name: &str) {
        let command = |room| format!("{{\"id\":{},\"{name}\":{{\"channel\":\"visited-{batch}-{room}\"}}}}\n", room + 2);
        self.session.say((0..BATCH).map(command).collect::<String>().trim_end());
        let (mut answers, expected) = (0, format!("\"{name}\":"));
        while answers < BATCH {
            match self.session.next() {
                Event::Frame(_, payload) => {
                    let text = String::from_utf8(payload).expect("a text");
                    // A ping of the protocol is an empty object.
                    let said = text.lines().filter(|line| *line != "{}");
                    said.for_each(|line| assert!(line.contains(&expected), "{line}"));
                    answers += text.lines().filter(|line| *line != "{}").count();
                    if text.lines().any(|line| line == "{}") {
                        self.session.say("{}");
                    }
                }
                event => panic!("the session ended with {event:?}"),
            }
        }
    }
}

fn visit(server: SocketAddr, batches: std::ops::Range<usize>) {
    let next = AtomicUsize::new(batches.start);
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                let mut visitor = Visitor::new(server);
                loop {
                    let batch = next.fetch_add(1, Ordering::Relaxed);
                    if batch >= batches.end {
                        return;
                    }
                    visitor.visit(batch);
                }
            });
        }
    });
}

#[test]
fn rooms_that_come_and_go_leave_nothing_behind() {
    let rooms =
        std::env::var("HOSTILE_ROOMS").ok().map_or(ROOMS, |count| count.parse().expect("HOSTILE_ROOMS is a number"));
    let kept = ["room.history_count_max=10", "room.history_age_max=1s"];
    let server = Server::start(&kept);
    let nothing_left = || {
        eventually("all rooms are gone", || {
            server.metric("rooms") == 0 && server.metric("shard_homes") == 0 && server.metric("history_bytes") == 0
        });
    };
    // What a process takes once and keeps: the memory of as many rooms as there are at the same time. The more there
    // are in all, the longer it takes until that is so.
    let warm_up = (rooms / 10).max(20_000) / BATCH;
    visit(server.address, 0..warm_up);
    nothing_left();
    let (files, memory, begun) = (server.settled_files(), server.memory_bytes(), Instant::now());
    let mut course = Vec::new();
    for tenth in 0..10 {
        let part = |tenth| warm_up + tenth * rooms / BATCH / 10;
        visit(server.address, part(tenth)..part(tenth + 1));
        nothing_left();
        course.push(server.memory_bytes() >> 10);
    }
    let seconds = begun.elapsed().as_secs_f64();
    eventually("all files are closed", || server.files() <= files);
    println!(
        "rooms: {rooms} in {seconds:.1} s; {files} files; PSS {} KiB before, after each tenth {course:?}",
        memory >> 10
    );
    // It goes up and down with how many rooms there are at the same time, and what the allocator keeps of that; what is
    // left behind for good would show in all of the later figures.
    let (earlier, later) = course.split_at(5);
    let smallest = |course: &[u64]| course.iter().min().copied().expect("five figures");
    assert!(smallest(later) < smallest(earlier) + (MEMORY_MAX >> 10), "PSS after each tenth, KiB: {course:?}");
    server.stop();
}

//! Limits of connections and rooms: whoever is one too many is told so, and the place comes back.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::client::{Member, connect, exchange, handshake, rest, status};
use crate::server::{Server, eventually};

/// A member that holds a place. Whoever had it before, such as the question whether the server is ready, may take a
/// moment to leave it.
fn held(server: &Server) -> TcpStream {
    let mut member = None;
    eventually("a place", || {
        let mut stream = connect(server.address);
        let mut answer = [0; 12];
        let asked = stream.write_all(handshake("a").as_ref()).and_then(|()| stream.read_exact(&mut answer));
        member = asked.is_ok().then_some(stream);
        answer == *b"HTTP/1.1 101"
    });
    member.expect("it was admitted")
}

#[test]
fn one_connection_too_many() {
    let server = Server::start(&["limits.connections_max=4"]);
    let held: Vec<TcpStream> = (0..4).map(|_| held(&server)).collect();
    for _ in 0..100 {
        let answer = exchange(server.address, handshake("a"));
        assert_eq!(status(&answer), 503, "{answer:?}");
        assert!(answer.contains("Retry-After: ") && answer.contains("limits.connections_max"), "{answer}");
        // Who sends nothing is told as well.
        assert_eq!(status(&rest(&mut connect(server.address))), 503);
    }
    drop(held);
    eventually("a place is free again", || {
        status(&exchange(server.address, "GET / HTTP/1.0\r\nHost: x\r\n\r\n")) == 200
    });
    server.stop();
}

#[test]
fn a_refusal_at_the_door_is_said_once() {
    let server = Server::start(&["limits.connections_max=1"]);
    let held = held(&server);
    let reason = "connections: 1, limits.connections_max is 1\n";
    let expected = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\nRetry-After: 2\r\n\r\n{reason}",
        reason.len()
    );
    assert_eq!(rest(&mut connect(server.address)), expected);
    drop(held);
    eventually("the place is free again", || {
        status(&exchange(server.address, "GET / HTTP/1.0\r\nHost: x\r\n\r\n")) == 200
    });
    server.stop();
}

#[test]
fn one_room_too_many() {
    let server = Server::start(&["limits.rooms_max=2"]);
    let (one, mut two) = (Member::join(server.address, "one"), Member::join(server.address, "two"));
    let answer = exchange(server.address, handshake("three"));
    assert_eq!(status(&answer), 503, "{answer:?}");
    assert!(answer.contains("Retry-After: ") && answer.contains("limits.rooms_max"), "{answer}");
    let mut again = Member::join(server.address, "two");
    again.say("room for more members");
    assert_eq!(two.hear(), "room for more members");
    drop(one);
    eventually("the room is gone", || server.metric("rooms") == 1);
    Member::join(server.address, "three").stream.flush().ok();
    server.stop();
}

#[test]
fn a_peer_that_reads_no_answers_is_given_up() {
    let server = Server::start(&["limits.unacknowledged_time_max=1s"]);
    let mut stream = connect(server.address);
    socket2::SockRef::from(&stream).set_recv_buffer_size(4_096).ok();
    stream.set_nonblocking(true).expect("a socket");
    eventually("the server stops reading requests", || {
        let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
        (0..100).any(|_| stream.write_all(&request).is_err())
    });
    eventually("the server gives the connection up", || server.metric("connections") == 1);
    server.stop();
}

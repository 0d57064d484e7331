//! Opening handshakes: every malformed one has its answer, whichever way its bytes come.

use std::io::Write as _;
use std::net::Shutdown;

use crate::client::{Event, FIN, Member, TEXT, connect, exchange, frame, handshake, head, rest, status};
use crate::pair::Pair;
use crate::server::Server;

/// The good handshake with `from` replaced.
fn with(from: &str, to: &str) -> String {
    let good = handshake("a");
    assert!(good.contains(from), "the good handshake has {from}");
    good.replacen(from, to, 1)
}

/// Requests, and the status that each is answered with.
fn table() -> Vec<(String, u16)> {
    let field = |field: &str| with("Host:", &format!("{field}\r\nHost:"));
    let mut table = vec![
        (handshake("a"), 101),
        // Not HTTP.
        ("\x16\x03\x01\x02\x00\x01\x00\x01\u{7c}\x03\x03".to_owned(), 400),
        ("\0\0\0\0".to_owned(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400),
        ("GET /ws/a\r\n\r\n".to_owned(), 400),
        (with("HTTP/1.1", "HTTP/3.7"), 400),
        (with("HTTP/1.1", "HTTP/1.0"), 400),
        (with("/ws/a", "/ws/\0"), 400),
        (with("/ws/a", "/ws/a b"), 400),
        // Fields.
        (field("A\0: b"), 400),
        (field("A: \0"), 400),
        (field("A b: c"), 400),
        (field("A : b"), 400),
        (field(": b"), 400),
        (field("A"), 400),
        (field("A: b\r\n c"), 400),
        (field("A: b\rc"), 400),
        (with("Host: example.com\r\n", ""), 400),
        (with("Host: example.com\r\n", "Host:\r\n"), 400),
        (field("Host: other"), 400),
        (field("Content-Length: 5"), 400),
        (field("Content-Length: 0\r\nContent-Length: 0"), 400),
        (field("Transfer-Encoding: chunked"), 400),
        (field("Content-Length: 5\r\nTransfer-Encoding: chunked"), 400),
        // The WebSocket part.
        (with("Upgrade: websocket\r\n", ""), 426),
        (with("Upgrade: websocket", "Upgrade: h2c"), 426),
        (with("Connection: Upgrade", "Connection: close"), 400),
        (with("Sec-WebSocket-Version: 13\r\n", ""), 426),
        (with("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"), 426),
        (with("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13"), 400),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400),
        (with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ"), 400),
        (with("dGhlIHNhbXBsZSBub25jZQ==", "not base64 at all at all"), 400),
        (field("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400),
        (field("Origin: http://evil.example"), 403),
        (field("Origin: null"), 403),
        (field("Origin: http://example.com"), 101),
        // Methods and targets.
        (with("GET", "POST"), 405),
        (with("GET", "HEAD"), 405),
        (with("GET", "BREW"), 405),
        (with("GET", "get"), 405),
        (with("GET /ws/a", "GET /rooms/a"), 405),
        (with("/ws/a", "/ws/"), 400),
        (with("/ws/a", "/ws/a/b"), 400),
        (with("/ws/a", "/ws/%ff"), 400),
        (with("/ws/a", "/ws/%00"), 400),
        (with("/ws/a", "/ws/../../etc/passwd"), 400),
        (with("/ws/a", &format!("/ws/{}", "a".repeat(256))), 400),
        (with("/ws/a", &format!("/ws/{}", "a".repeat(255))), 101),
        (with("/ws/a", "/nothing"), 404),
        (with("/ws/a", "http://example.com/ws/a"), 101),
        (with("/ws/a", "HTTPS://example.com/ws/a"), 101),
        (with("/ws/a", "http:///ws/a"), 400),
        (with("/ws/a", "*"), 404),
        (with("GET /ws/a", "OPTIONS *"), 404),
        (with("GET /ws/a", "CONNECT example.com:443"), 404),
        // Bounds.
        (with("Host:", &format!("{}Host:", "A: b\r\n".repeat(100))), 431),
        (field(&format!("A: {}", "b".repeat(9 << 10))), 431),
        (format!("GET /{} HTTP/1.1\r\n", "a".repeat(9 << 10)), 431),
        (with("/ws/a", &format!("/ws/{}", "a".repeat(9 << 10))), 431),
    ];
    // RFC 9112 §2.2: a recipient may take a bare LF for the end of a line. It is one request, to us and to a proxy.
    table.push((handshake("a").replace("\r\n", "\n"), 101));
    table
}

#[test]
fn every_handshake_has_its_answer() {
    let server = Server::start(&[]);
    let pair = Pair::start(server.address);
    for (request, expected) in table() {
        let mut stream = connect(server.address);
        stream.write_all(request.as_bytes()).expect("the server reads");
        let answer = head(&mut stream);
        assert_eq!(status(&answer), expected, "{request:?} is answered with {answer:?}");
        assert_eq!(answer.contains("Sec-WebSocket-Version: 13"), expected == 426, "{answer}");
        if expected == 101 {
            assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        }
        // No answer but one that keeps the connection (hyper's) leaves it open.
        stream.shutdown(Shutdown::Write).ok();
        rest(&mut stream);
    }
    pair.stop();
    server.stop();
}

#[test]
fn a_byte_at_a_time_makes_no_difference() {
    let server = Server::start(&[]);
    for (request, expected) in table().into_iter().filter(|(request, _)| request.len() < 1_000) {
        let mut stream = connect(server.address);
        for byte in request.as_bytes() {
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
        }
        assert_eq!(status(&head(&mut stream)), expected, "{request:?}");
    }
    server.stop();
}

#[test]
fn eight_megabytes_of_head_end_soon() {
    let server = Server::start(&[]);
    for request in [with("/ws/a", &"a".repeat(8 << 20)), with("Host:", &format!("{}Host:", "A: b\r\n".repeat(1 << 20)))]
    {
        let status = status(&exchange(server.address, request));
        // The rest is not read for ever: then the answer may be lost in a reset.
        assert!(matches!(status, 431 | 400 | 0), "{status}");
    }
    server.stop();
}

#[test]
fn what_follows_the_head_are_frames() {
    let server = Server::start(&[]);
    let mut request = handshake("pipelined").into_bytes();
    for text in ["one", "two", "three"] {
        request.extend(frame(FIN | TEXT, text.as_bytes()));
    }
    let mut member = Member::join_with(server.address, &request);
    assert_eq!([member.hear(), member.hear(), member.hear()], ["one", "two", "three"]);

    let garbage = [handshake("pipelined").as_bytes(), b"GET / HTTP/1.1\r\n\r\n"].concat();
    assert_eq!(Member::join_with(server.address, &garbage).closed(), 1002);
    assert_eq!(member.stream.shutdown(Shutdown::Both).ok(), Some(()));
    server.stop();
}

#[test]
fn a_refusal_reaches_a_client_that_goes_on_sending() {
    let server = Server::start(&[]);
    for _ in 0..50 {
        let mut request = with("Version: 13", "Version: 12").into_bytes();
        request.extend(std::iter::repeat_n(b'x', 30_000));
        assert_eq!(status(&exchange(server.address, request)), 426);
    }
    server.stop();
}

#[test]
fn a_half_closed_request_is_answered() {
    let server = Server::start(&[]);
    for request in [
        "GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /rooms/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let mut stream = connect(server.address);
        stream.write_all(request.as_bytes()).expect("the server reads");
        stream.shutdown(Shutdown::Write).expect("a connected socket");
        assert_eq!(status(&rest(&mut stream)), 200, "{request}");
    }
    server.stop();
}

#[test]
fn later_requests_of_a_connection_have_the_same_bounds() {
    let server = Server::start(&[]);
    let long = format!("GET /health/live HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "b".repeat(20_000));
    let many = format!("GET /health/live HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(100));
    let late = handshake("a");
    for (request, expected) in [(long, 431), (many, 431), ("\x16\x03\x01\r\n\r\n".to_owned(), 400), (late, 426)] {
        let mut stream = connect(server.address);
        stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").expect("the server reads");
        assert_eq!(status(&head(&mut stream)), 200);
        let mut body = [0; 5];
        std::io::Read::read_exact(&mut stream, &mut body).expect("the body follows");
        stream.write_all(request.as_bytes()).expect("the server reads");
        assert_eq!(status(&head(&mut stream)), expected, "{request:.80}");
    }
    server.stop();
}

#[test]
fn a_message_before_a_violation_comes_back_first() {
    let server = Server::start(&[]);
    // Rooms of both shards, from members on both.
    for room in 0..64 {
        let mut member = Member::join(server.address, &format!("room{room}"));
        let bytes = [frame(FIN | TEXT, b"heard"), frame(FIN | 3, b"")].concat();
        member.send(&bytes);
        assert_eq!(member.next(), Event::Frame(FIN | TEXT, b"heard".to_vec()));
        assert_eq!(member.closed(), 1002);
    }
    server.stop();
}

//! Handshakes that do not come to an end are ended, and keep nobody else from coming.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::client::{Member, connect, handshake, rest, status};
use crate::pair::Pair;
use crate::server::{Server, eventually};

#[test]
fn a_request_that_does_not_come_is_given_up() {
    let server = Server::start(&["handshake.timeout=300ms"]);
    for part in ["", "G", "GET /ws/a HTTP/1.1\r\nHost: x\r\n", "GET / HTTP/1.1\r\n"] {
        let mut stream = connect(server.address);
        stream.write_all(part.as_bytes()).expect("the server reads");
        assert_eq!(status(&rest(&mut stream)), 408, "{part:?}");
    }
    server.stop();
}

#[test]
fn a_thousand_half_open_handshakes_are_gone_in_time() {
    let server = Server::start(&["handshake.timeout=1s"]);
    let pair = Pair::start(server.address);
    let files = server.files();
    let mut half_open: Vec<TcpStream> = (0..1_000).map(|_| connect(server.address)).collect();
    let request = handshake("never");
    for (number, stream) in half_open.iter_mut().enumerate() {
        if number % 3 == 1 {
            // It may be too late already.
            stream.write_all(&request.as_bytes()[..request.len() / 2]).ok();
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        // A byte now and then does not buy time.
        let dripping: Vec<TcpStream> =
            half_open.iter().step_by(3).map(|stream| stream.try_clone().expect("a file is free")).collect();
        threads.spawn({
            let (done, request) = (&done, &request);
            move || {
                let mut dripping = dripping;
                for byte in request.as_bytes().iter().take(60) {
                    dripping.retain_mut(|stream| stream.write_all(&[*byte]).is_ok());
                    std::thread::park_timeout(std::time::Duration::from_millis(50));
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                }
            }
        });
        // Meanwhile who is honest comes in.
        for _ in 0..50 {
            let mut member = Member::join(server.address, "honest");
            member.say("in");
            assert_eq!(member.hear(), "in");
        }
        // The server has closed its ends, although this side keeps all of its own.
        eventually("half-open handshakes are gone", || server.files() <= files);
        done.store(true, Ordering::Relaxed);
    });
    for stream in &mut half_open {
        let answer = rest(stream);
        assert!(matches!(status(&answer), 408 | 0), "{answer}");
    }
    pair.stop();
    server.stop();
}

//! The end of a server: in order, spread, and told by the exit code.
#![cfg(feature = "server")]

mod support;

use support::{Client, Event, Http, Server, Signal, at_once, eventually};

/// Long enough that nothing ends by itself while a test looks.
const LONG: &str = "10m";

/// Reads to the end; returns the code of the close frame and how many texts came before.
fn read_to_end(mut client: Client) -> (Option<u16>, usize) {
    let mut texts = 0;
    loop {
        match client.next() {
            Event::Text(text) => {
                assert!(text.starts_with(&format!("{texts} ")), "out of order: {:.20}", text);
                texts += 1;
            }
            Event::Close(code, _) => {
                // A client answers a close frame, and the server ends the stream.
                client.close(1000);
                assert_eq!(client.next(), Event::End);
                return (code, texts);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn until_draining(http: &mut Http) {
    eventually("the drain", || {
        let answer = http.request("GET", "/health/live", &[], b"");
        (answer.header("connection") == Some("close")).then_some(())
    });
}

#[test]
fn everybody_gets_what_was_accepted_then_a_close_frame() {
    for (signal, code) in [(Signal::TERM, 1012), (Signal::INT, 1001)] {
        let mut server = Server::start(&["--drain", "2s", "--shards", "3"]);
        let clients: Vec<Client> =
            (0..9).map(|number| server.join(if number < 6 { "busy" } else { "quiet" })).collect();
        // More than the kernel takes for somebody who does not read.
        let count = 60;
        let mut http = server.http();
        for number in 0..count {
            let text = format!("{number} {}", "x".repeat(8_000));
            assert_eq!(http.publish("busy", &text).published(), (number + 1, 6));
        }
        server.signal(signal);
        let expected: Vec<_> = (0..9).map(|client| (Some(code), if client < 6 { 60 } else { 0 })).collect();
        let read = at_once(clients, read_to_end);
        assert_eq!(read, expected, "{signal:?}");
        assert_eq!(server.exit_code(), Some(0), "{signal:?}: {}", server.process().errors());
    }
}

#[test]
fn a_drain_without_anybody_ends_at_once() {
    let mut server = Server::start(&["--drain", LONG]);
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn few_connections_leave_at_once_however_long_the_drain_is() {
    for (signal, code, told) in
        [(Signal::TERM, 1012, "the server is restarting"), (Signal::INT, 1001, "the server ends")]
    {
        let mut server = Server::start(&["--drain", LONG]);
        let clients: Vec<Client> = (0..5).map(|_| server.join("room")).collect();
        server.signal(signal);
        for mut client in clients {
            assert_eq!(client.next(), Event::Close(Some(code), told.to_owned()));
            client.close(1000);
        }
        assert_eq!(server.exit_code(), Some(0));
    }
}

#[test]
fn nobody_listens_during_a_drain() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start(&["--drain", LONG, "--set", "limits.close_time_max=60s"]);
        let held = server.join("room");
        server.signal(signal);
        server.until_nobody_listens();
        drop(held);
    }
}

#[test]
fn whoever_was_let_in_before_a_drain_is_answered() {
    let mut server = Server::start(&["--drain", LONG, "--set", "limits.close_time_max=60s"]);
    let held = server.join("room");
    // Nothing is sent before the drain; the door lets it in nevertheless.
    let mut silent = server.http();
    let mut http = server.http();
    eventually("the accept", || (server.metrics().get("accepted_total") >= 3).then_some(()));
    server.signal(Signal::TERM);
    server.until_nobody_listens();
    until_draining(&mut http);
    let handshake = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let answer = silent.request("GET", "/ws/room", &handshake, b"");
    assert_eq!((answer.status, answer.body.trim()), (503, "the server is restarting"));
    drop((held, http));
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn closes_are_spread_and_nobody_new_comes_in() {
    let mut server = Server::start(&["--drain", LONG, "--shards", "1"]);
    // One in 10 ms: a shard makes no longer pauses.
    let mut clients: Vec<Client> = (0..2_000).map(|_| server.join("room")).collect();
    server.signal(Signal::TERM);
    server.until_nobody_listens();
    for client in &mut clients[..2] {
        assert!(matches!(client.next(), Event::Close(Some(1012), reason) if !reason.is_empty()));
    }
    let told = clients[2..].iter().filter(|client| client.has_more()).count();
    assert!(told < 1_000, "{told} of 1,998 were told to go together with the first two");
    // Whoever has not been told yet is still a member like any other.
    let last = clients.last_mut().expect("there are many");
    last.text("still here");
    assert_eq!(last.text_of(), "still here");
    assert!(server.process().is_running());
}

#[test]
fn a_second_signal_ends_at_once() {
    for (first, second, code) in
        [(Signal::TERM, Signal::TERM, 143), (Signal::TERM, Signal::INT, 130), (Signal::INT, Signal::TERM, 143)]
    {
        // They do not answer their closes.
        let mut server = Server::start(&["--drain", LONG, "--set", "limits.close_time_max=60s"]);
        let clients: Vec<Client> = (0..4).map(|_| server.join("room")).collect();
        let mut http = server.http();
        // Accepted, that is: what waits in the kernel's queue is reset when listening ends.
        assert_eq!(http.request("GET", "/health/live", &[], b"").status, 200);
        server.signal(first);
        until_draining(&mut http);
        assert!(server.process().is_running());
        server.signal(second);
        assert_eq!(server.exit_code(), Some(code), "{first:?}, {second:?}");
        drop(clients);
    }
}

#[test]
fn a_client_that_never_reads_is_cut_off_and_the_exit_code_says_so() {
    let mut server = Server::start(&["--drain", "300ms", "--set", "limits.close_time_max=1s"]);
    let stalled = server.joining("room").receive_buffer(4_096).join();
    let mut reader = server.join("room");
    let mut http = server.http();
    for number in 0..60 {
        let text = format!("{number} {}", "x".repeat(8_000));
        assert_eq!(http.publish("room", &text).published(), (number + 1, 2));
        assert_eq!(reader.text_of(), text);
    }
    server.signal(Signal::TERM);
    assert_eq!(read_to_end(reader), (Some(1012), 0));
    assert_eq!(server.exit_code(), Some(3), "{}", server.process().errors());
    drop(stalled);
}

#[test]
fn kept_connections_learn_of_the_drain() {
    // It does not answer its close.
    let mut server = Server::start(&["--drain", LONG, "--set", "limits.close_time_max=60s"]);
    let client = server.join("room");
    let ask = |http: &mut Http, path| http.request("GET", path, &[], b"");
    let [mut ready, mut live, mut publisher, mut joiner] = [(); 4].map(|()| {
        let mut http = server.http();
        assert_eq!(ask(&mut http, "/health/ready").status, 200);
        assert_eq!(ask(&mut http, "/health/live").status, 200);
        http
    });
    server.signal(Signal::TERM);
    server.until_nobody_listens();
    let answer = ask(&mut ready, "/health/ready");
    assert_eq!((answer.status, answer.body.as_str()), (503, "draining\n"));
    assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    assert!(ready.ends(), "the connection goes on");
    assert_eq!(ask(&mut live, "/health/live").status, 200);
    let answer = publisher.publish("room", "too late");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    assert_eq!(ask(&mut joiner, "/metrics").status, 200);
    drop(client);
    assert_eq!(server.exit_code(), Some(0));
}

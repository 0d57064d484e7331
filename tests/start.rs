//! Starting: what is said, where it listens, and how it refuses.
#![cfg(feature = "server")]

mod support;

use std::net::TcpListener;

use support::{Http, Metrics, Process, Server, url_address};

/// Exit code and standard error of a server that does not start.
fn refused(arguments: &[&str]) -> (Option<i32>, Vec<String>) {
    let mut process = Process::start(arguments);
    assert_eq!(process.rest(), [""; 0], "{arguments:?} prints to standard output");
    let code = process.exit_code();
    (code, process.errors_to_end().lines().map(str::to_owned).collect())
}

#[test]
fn a_taken_port_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    for arguments in [&["--listen", &address][..], &["serve", "--listen", "127.0.0.1:0", "--listen", &address]] {
        let (code, lines) = refused(arguments);
        assert_eq!((code, lines.len()), (Some(1), 1), "{lines:?}");
        assert!(lines[0].starts_with("shardcast: ") && lines[0].contains(&address), "{lines:?}");
        assert!(lines[0].contains("in use") && lines[0].contains("--listen"), "{lines:?}");
    }
    let server = Server::start(&[]);
    let (code, lines) = refused(&["--listen", &server.address().to_string()]);
    assert_eq!((code, lines.len()), (Some(1), 1), "two servers on one port: {lines:?}");
}

#[test]
fn wrong_flags_are_64_and_wrong_files_78() {
    let path = format!("{}/start-{}.toml", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    std::fs::write(&path, "shards = 2\nlisten = 5\n[room]\nlagg = \"skip\"\n").expect("the folder can be written to");
    for (arguments, code, lines) in [
        (&["--no-such-flag"][..], 64, 1),
        (&["--shards", "many"], 64, 1),
        (&["--listen", "localhost"], 64, 1),
        (&["--config", "/nowhere/shardcast.toml"], 78, 1),
        (&["--config", &path], 78, 2),
        (&["--config", env!("CARGO_TARGET_TMPDIR")], 78, 1),
    ] {
        let (actual, said) = refused(arguments);
        assert_eq!((actual, said.len()), (Some(code), lines), "{arguments:?}: {said:?}");
        assert!(said.iter().all(|line| line.starts_with("shardcast: ")), "{said:?}");
    }
    std::fs::remove_file(&path).expect("it is ours");
}

#[test]
fn it_says_where_it_is_and_what_it_found() {
    let server = Server::start(&["--shards", "3"]);
    let text = server.announced.join("\n");
    let address = server.address();
    for expected in [
        &format!("http://{address}/"),
        &format!("ws://{address}/ws/"),
        &format!("http://{address}/rooms/"),
        "shardcast 0.",
        "shards       3",
        "cores ",
        "open files ",
        "somaxconn ",
        "connections ",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    let page = server.request("GET", "/", &[], b"");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{page:?}");
}

#[test]
fn it_listens_in_both_families_unless_told_otherwise() {
    let help = Process::start(&["--help"]).rest().join("\n");
    assert!(help.contains("127.0.0.1:8080 and [::1]:8080"), "{help}");
    let server = Server::start(&["--listen", "[::1]:0", "--listen", "127.0.0.2:0"]);
    let addresses: Vec<_> = server.announced.iter().filter_map(|line| url_address(line)).collect();
    // A machine without IPv6 serves on the others, and says so.
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    assert_eq!(addresses.len(), if has_ipv6 { 3 } else { 2 }, "{:?}", server.announced);
    let mut member = server.join("room");
    for (offset, address) in (1..).zip(&addresses) {
        let mut http = Http::try_connect(*address).expect("it listens there");
        assert_eq!(http.publish("room", "x").published(), (offset, 1), "{address}");
        assert_eq!(member.text_of(), "x");
    }
}

/// What is printed can be used as it is, or says what is missing.
#[test]
fn a_listener_of_the_network_is_announced_as_what_it_is() {
    let open = |announced: &[String]| announced.join("\n");
    let server = Server::listening("0.0.0.0:0", &[]);
    let text = open(&server.announced);
    assert!(text.contains("open         http://127.0.0.1:") && text.contains("every other address"), "{text}");
    assert!(text.contains("before api_key is set") && !text.contains("curl -d"), "{text}");
    let server = Server::listening("0.0.0.0:0", &["--set", "api_key=0123456789abcdef"]);
    let text = open(&server.announced);
    assert!(text.contains("curl -H \"X-API-Key: $KEY\" -d hello http://127.0.0.1:"), "{text}");
    let server = Server::listening("0.0.0.0:0", &["--listen", "127.0.0.1:0"]);
    let text = open(&server.announced);
    assert!(text.contains("publish      curl -d hello http://127.0.0.1:"), "{text}");
}

#[test]
fn limits_of_connections_rooms_and_handshakes_have_answers() {
    let server = Server::start(&["--set", "limits.connections_max=3", "--set", "limits.rooms_max=2"]);
    let (one, _two) = (server.join("one"), server.join("two"));
    // Whatever asked whether the server is there may hold the third place for a moment yet.
    support::eventually("the limit of rooms", || {
        let answer = server.joining("three").refused();
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
        answer.body.contains("limits.rooms_max is 2").then_some(())
    });
    // The refused one's place is free once it has gone.
    let third = support::eventually("a third connection", || server.joining("one").try_join().ok());
    let answer = server.joining("two").refused();
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("limits.connections_max"), "{answer:?}");
    drop((one, third));
    support::eventually("a free place", || server.joining("two").try_join().ok());
    let answer = support::eventually("another free place", || {
        server.http().try_request("GET", "/metrics", &[], b"").ok().filter(|answer| answer.status == 200)
    });
    let metrics = Metrics::parse(&answer.body);
    for reason in ["rooms", "connections"] {
        assert!(metrics.sum("refused_total", &[("reason", reason)]) > 0, "{reason}");
    }

    let server = Server::start(&["--set", "handshake.timeout=50ms"]);
    for begun in [&b"GET /ws/room HTTP/1.1\r\nHost"[..], b""] {
        let mut half_open = server.http();
        half_open.send_raw(begun).expect("the server reads");
        let answer = half_open.answer("GET").expect("an answer");
        assert_eq!(answer.status, 408);
        assert!(answer.body.contains("handshake.timeout"), "{answer:?}");
        assert!(half_open.ends());
    }
    let metrics = server.metrics();
    assert_eq!(metrics.sum("refused_total", &[("reason", "timeout")]), 2);
}

/// Else the kernel makes everybody who comes wait each time that it has to.
#[test]
fn there_is_room_for_the_files_of_all_connections_from_the_start() {
    let mut server = Server::start(&["--set", "limits.connections_max=900"]);
    assert!(server.process().room_for_files() >= 900);
}

#[test]
fn slow_requests_on_kept_connections_have_an_end() {
    let server = Server::start(&["--set", "handshake.keep_alive=50ms", "--set", "handshake.body_timeout=50ms"]);
    for begun in [&b""[..], b"G"] {
        let mut kept = server.http();
        assert_eq!(kept.request("GET", "/health/live", &[], b"").status, 200);
        kept.send_raw(begun).expect("the server reads");
        assert!(kept.ends(), "{begun:?}");
    }
    let mut http = server.http();
    http.send_raw(b"POST /rooms/room HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab").expect("the server reads");
    let answer = http.answer("POST").expect("an answer");
    assert_eq!(answer.status, 408);
    assert!(answer.body.contains("handshake.body_timeout"), "{answer:?}");
}

//! The console clients, as processes with pipes, against a real server.
#![cfg(feature = "server")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use support::{Client, Process, Server, Signal, eventually};

fn urls(server: &Server) -> (String, String) {
    (format!("ws://{}", server.address()), format!("http://{}", server.address()))
}

/// Waits until so many connections have become members.
fn until_joined(server: &Server, count: u64) {
    server.until("members", |metrics| metrics.get("connections_opened_total") == count);
}

#[test]
fn lines_pushed_arrive_in_order() {
    let server = Server::start(&["--set", "room.window_count_max=1000000"]);
    let (ws, http) = urls(&server);
    let subscriber = Process::start(&["subscribe", "logs", "--server", &ws, "--count", "1000"]);
    until_joined(&server, 1);
    let mut publisher = Process::start(&["publish", "logs", "--server", &http]);
    let lines: Vec<String> = (0..1_000).map(|number| format!("line {number} äöü \"quoted\"")).collect();
    publisher.feed(&(lines.join("\n") + "\n"));
    publisher.end_input();
    assert_eq!(publisher.exit_code(), Some(0), "{}", publisher.errors());
    let mut subscriber = subscriber;
    assert_eq!(subscriber.rest(), lines);
    assert_eq!(subscriber.exit_code(), Some(0), "{}", subscriber.errors());
}

#[test]
fn one_text_is_published_and_the_answer_printed() {
    let server = Server::start(&[]);
    let (_, http) = urls(&server);
    let mut member = server.join("room");
    let mut publisher = Process::start(&["publish", "room", "hello there", "--server", &http]);
    let answer = publisher.rest();
    assert_eq!(answer.len(), 1, "{answer:?}");
    assert!(answer[0].starts_with("{\"offset\":1,\"members\":1,\"epoch\":\""), "{answer:?}");
    assert_eq!(publisher.exit_code(), Some(0));
    assert_eq!(member.text_of(), "hello there");
    // The whole URL, in either form, and the server's answer to what it does not take.
    for room in [format!("{http}/rooms/room"), format!("ws://{}/ws/room", server.address())] {
        let mut publisher = Process::start(&["publish", &room, "again"]);
        assert_eq!(publisher.exit_code(), Some(0), "{}", publisher.errors());
        assert_eq!(member.text_of(), "again");
    }
    let long = "x".repeat(70_000);
    let mut publisher = Process::start(&["publish", "room", &long, "--server", &http]);
    assert_eq!(publisher.exit_code(), Some(1));
    assert!(publisher.errors_to_end().contains("limits.message_bytes_max"), "{}", publisher.errors());
    assert_eq!(member.before_pong(), []);
}

#[test]
fn the_key_is_passed_on_and_never_shown() {
    let key = "0123456789abcdef-key";
    let server = Server::listening("0.0.0.0:0", &["--set", &format!("api_key={key}")]);
    let (_, http) = urls(&server);
    let arguments = ["publish", "room", "x", "--server", &http];
    let mut without = Process::start(&arguments);
    assert_eq!(without.exit_code(), Some(1));
    assert!(without.errors_to_end().contains("api_key"), "{}", without.errors());
    let mut with = Process::start_with(&arguments, &[("SHARDCAST_API_KEY", key)]);
    assert_eq!(with.exit_code(), Some(0), "{}", with.errors());
    let mut with = Process::start(&[&arguments[..], &["--api-key", key]].concat());
    assert_eq!(with.exit_code(), Some(0), "{}", with.errors());
}

#[test]
fn two_people_chat_over_pipes() {
    let server = Server::start(&[]);
    let (ws, _) = urls(&server);
    let chat = |name| Process::start(&["chat", "room", "--server", &ws, "--name", name]);
    let (mut ann, mut bob) = (chat("ann"), chat("bob"));
    until_joined(&server, 2);
    let mut member: Client = server.join("room");
    ann.feed("hello bob\n");
    assert_eq!((ann.line(), bob.line()), ("ann: hello bob".to_owned(), "ann: hello bob".to_owned()));
    assert_eq!(member.text_of(), "{\"name\":\"ann\",\"text\":\"hello bob\"}");
    bob.feed("hello ann\nhow are you?\n");
    assert_eq!([ann.line(), ann.line()], ["bob: hello ann", "bob: how are you?"]);
    member.text("{\"name\":\"page\",\"text\":\"from a page\"}");
    assert_eq!(ann.line(), "page: from a page");
    ann.feed("bye\n/quit\n");
    assert_eq!(ann.exit_code(), Some(0), "{}", ann.errors());
    assert_eq!(ann.rest(), ["ann: bye"]);
    server.until("one less", |metrics| metrics.get("disconnects_total") == 1);
    assert_eq!(server.metrics().disconnects("client"), 1);
    bob.end_input();
    assert_eq!(bob.exit_code(), Some(0), "{}", bob.errors());
    assert_eq!(bob.rest(), ["bob: hello ann", "bob: how are you?", "page: from a page", "ann: bye"]);
}

#[test]
fn lines_survive_a_restart_of_the_server() {
    // An address of its own: nobody's outgoing connection takes the port while the server is away.
    let server = Server::listening("127.0.0.3:0", &[]);
    let address = server.address().to_string();
    let (_, http) = urls(&server);
    let mut member = server.join("logs");
    let mut publisher = Process::start(&["publish", "logs", "--server", &http]);
    let lines = |numbers: std::ops::Range<u32>| numbers.map(|number| format!("line {number}\n")).collect::<String>();
    publisher.feed(&lines(0..100));
    assert_eq!(member.texts(100).join("\n") + "\n", lines(0..100));
    drop(server);
    publisher.feed(&lines(100..200));
    eventually("word of the outage", || publisher.errors().contains("is not acknowledged yet").then_some(()));
    // Stopped until there is somebody in the room again: what is published into an empty room is heard by nobody.
    publisher.signal(Signal::STOP);
    let server = Server::listening(&address, &[]);
    let mut member = server.join("logs");
    publisher.signal(Signal::CONT);
    publisher.feed(&lines(200..300));
    publisher.end_input();
    assert_eq!(publisher.exit_code(), Some(0), "{}", publisher.errors());
    // The server may have ended between publishing line 99 and saying so: then it comes twice, which is documented.
    let mut first = member.text_of();
    if first == "line 99" {
        first = member.text_of();
    }
    assert_eq!(first, "line 100");
    assert_eq!(member.texts(199).join("\n") + "\n", lines(101..300));
    assert_eq!(member.before_pong(), []);
}

#[test]
fn subscribers_come_back_after_a_restart() {
    let mut server = Server::listening("127.0.0.4:0", &["--drain", "0s"]);
    let address = server.address().to_string();
    let (ws, _) = urls(&server);
    let mut subscriber = Process::start(&["subscribe", "news", "--server", &ws, "--count", "2"]);
    let mut once = Process::start(&["subscribe", "news", "--server", &ws, "--no-reconnect"]);
    until_joined(&server, 2);
    assert_eq!(server.publish("news", "before").published(), (1, 2));
    assert_eq!((subscriber.line(), once.line()), ("before".to_owned(), "before".to_owned()));
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0), "{}", server.process().errors());
    assert_eq!(once.exit_code(), Some(69), "{}", once.errors());
    drop(server);
    let server = Server::listening(&address, &[]);
    until_joined(&server, 1);
    assert_eq!(server.publish("news", "after").published(), (1, 1));
    assert_eq!(subscriber.line(), "after");
    assert_eq!(subscriber.exit_code(), Some(0), "{}", subscriber.errors());
}

/// A subscriber whose standard output the test holds, and may let go of.
fn subscriber(ws: &str, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardcast"));
    command.args(["subscribe", "logs", "--server", ws]).args(arguments).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it has been built")
}

/// Waits for the end of a subscriber; kills it if there is none, so that the test's end is not in its way.
fn exit_code(mut child: Child) -> Option<i32> {
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually("the end of a subscriber", || child.try_wait().expect("it is our child"))
    }));
    child.kill().ok();
    ended.ok().and_then(|status| status.code())
}

#[test]
fn a_subscriber_whose_reader_has_gone_ends_though_the_room_is_quiet() {
    let server = Server::start(&["--set", "room.history_count_max=10"]);
    let (ws, _) = urls(&server);
    for text in ["one", "two", "three"] {
        server.publish("logs", text);
    }
    // As `| head -1`: it has read what it wants.
    let mut child = subscriber(&ws, &["--last", "10"]);
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("it prints");
    assert_eq!(line, "one\n");
    assert_eq!(exit_code(child), Some(0));
    // Nothing has been printed at all.
    let mut child = subscriber(&ws, &[]);
    until_joined(&server, 2);
    drop(child.stdout.take());
    assert_eq!(exit_code(child), Some(0));
    // Nor is there a server.
    let mut child = subscriber("ws://127.0.0.1:9", &[]);
    drop(child.stdout.take());
    assert_eq!(exit_code(child), Some(0));
}

#[test]
fn a_position_file_that_cannot_be_written_is_told_before_anything_is_printed() {
    let server = Server::start(&["--set", "room.history_count_max=10"]);
    let (ws, _) = urls(&server);
    server.publish("logs", "one");
    let arguments = ["subscribe", "logs", "--server", &ws, "--last", "1", "--position-file", "/nonexistent/position"];
    let mut process = Process::start(&arguments);
    assert_eq!((process.exit_code(), process.rest()), (Some(1), Vec::new()));
    assert!(process.errors_to_end().contains("the position file /nonexistent/position: "), "{}", process.errors());
    assert_eq!(server.metrics().get("connections_opened_total"), 0, "it has not even connected");
}

#[test]
fn a_line_that_is_sent_again_has_the_same_key() {
    // Takes requests on connections of their own and leaves the first without an answer.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let mut publisher = Process::start(&["publish", "room", "--server", &url]);
    publisher.feed("one\ntwo\n");
    publisher.end_input();
    let mut keys_and_lines = Vec::new();
    for (number, stream) in listener.incoming().take(3).enumerate() {
        let stream = stream.expect("somebody connects");
        let mut reader = BufReader::new(&stream);
        let (mut key, mut length, mut line) = (String::new(), 0, String::new());
        while reader.read_line(&mut line).expect("a head comes") > 2 {
            match line.trim_end().split_once(": ") {
                Some(("idempotency-key", value)) => value.clone_into(&mut key),
                Some(("content-length", value)) => length = value.parse().expect("a number"),
                _ => {}
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body comes");
        keys_and_lines.push((key, String::from_utf8(body).expect("it is text")));
        if number > 0 {
            let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
            (&stream).write_all(answer.as_bytes()).expect("it reads");
        }
    }
    assert_eq!(publisher.exit_code(), Some(0), "{}", publisher.errors());
    let [(key, first), (same, again), (other, second)] = &keys_and_lines[..] else { panic!("{keys_and_lines:?}") };
    assert_eq!((first.as_str(), again.as_str(), second.as_str()), ("one", "one", "two"));
    assert!(!key.is_empty() && key == same && key != other, "{keys_and_lines:?}");
}

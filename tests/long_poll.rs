//! Long polls: what came after a position, or the next thing that comes.
#![cfg(feature = "server")]

mod support;

use serde_json::Value;
use support::{Answer, Http, Server, Signal};

fn read(answer: &Answer) -> Value {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
    serde_json::from_str(&answer.body).expect("JSON")
}

fn poll(http: &mut Http, path: &str) -> Value {
    read(&http.request("GET", path, &[], b""))
}

/// Sends polls for rooms that nobody is in, without reading the answers, and waits until they wait.
fn waiting(server: &Server, paths: &[String]) -> Vec<Http> {
    let mut sent = Vec::new();
    for path in paths {
        let mut http = server.http();
        let head = http.head("GET", path, &[]);
        http.send_raw(head.as_bytes()).expect("the server reads");
        sent.push(http);
    }
    server.until("their rooms", |metrics| metrics.get("shard_homes") == paths.len() as u64);
    sent
}

fn datas(answer: &Value) -> Vec<&Value> {
    answer["publications"].as_array().expect("a list").iter().map(|publication| &publication["data"]).collect()
}

#[test]
fn what_a_room_has_kept() {
    let server = Server::start(&["--set", "room.history_count_max=5"]);
    let mut http = server.http();
    for number in 1..=6 {
        assert_eq!(server.publish("room", &number.to_string()).status, 200);
    }
    let bytes = server.request("POST", "/rooms/room", &[("Content-Type", "application/octet-stream")], b"\x00\xff");
    assert_eq!(bytes.status, 200);
    let newest = poll(&mut http, "/rooms/room/messages");
    let epoch = newest["epoch"].as_str().expect("a text").to_owned();
    assert_eq!((newest["offset"].as_u64(), newest["recovered"].as_bool()), (Some(7), Some(true)));
    assert_eq!(datas(&newest), Vec::<&Value>::new());
    for (after, limit, offset, recovered, offsets) in [
        (format!("{epoch}:4"), 100, 7, true, vec![5, 6, 7]),
        (format!("{epoch}%3A4"), 2, 6, true, vec![5, 6]),
        ("2".to_owned(), 1_000, 7, true, vec![3, 4, 5, 6, 7]),
        ("7".to_owned(), 1, 7, true, vec![]),
        ("1".to_owned(), 100, 7, false, vec![]),
        ("8".to_owned(), 100, 7, false, vec![]),
        ("18446744073709551615".to_owned(), 100, 7, false, vec![]),
        ("0:7".to_owned(), 100, 7, false, vec![]),
    ] {
        // What is lost is said at once, however long the client would wait.
        let wait = if recovered { "0s" } else { "60s" };
        let answer = poll(&mut http, &format!("/rooms/room/messages?after={after}&limit={limit}&wait={wait}"));
        let list = answer["publications"].as_array().expect("a list");
        let found: Vec<u64> = list.iter().filter_map(|publication| publication["offset"].as_u64()).collect();
        assert_eq!(found, offsets, "{after}");
        assert_eq!(answer["offset"].as_u64(), Some(offset), "{after}");
        assert_eq!(answer["recovered"].as_bool(), Some(recovered), "{after}");
        assert_eq!(answer["epoch"].as_str(), Some(epoch.as_str()));
    }
    for (query, offset, offsets) in
        [("last=2", 7, vec![6, 7]), ("last=4&limit=3", 6, vec![4, 5, 6]), ("last=9&wait=60s", 7, vec![3, 4, 5, 6, 7])]
    {
        let answer = poll(&mut http, &format!("/rooms/room/messages?{query}"));
        let list = answer["publications"].as_array().expect("a list");
        let found: Vec<u64> = list.iter().filter_map(|publication| publication["offset"].as_u64()).collect();
        assert_eq!((found, answer["offset"].as_u64()), (offsets, Some(offset)), "{query}");
    }
    let answer = poll(&mut http, "/rooms/room/messages?after=5");
    assert_eq!(answer["publications"][0]["data"], 6);
    assert!(answer["publications"][0]["time"].as_u64() > Some(1_600_000_000_000));
    assert_eq!(answer["publications"][1]["data"], "AP8=");
    assert_eq!(answer["publications"][1]["tags"]["encoding"], "base64");
}

#[test]
fn whoever_waits_is_answered_by_the_next_publication() {
    for settings in [&["--set", "room.history_count_max=5"][..], &[]] {
        let server = Server::start(settings);
        let afters = ["", "&after=0", "&after=abc:7", "&last=3"];
        let path = |(room, after): (usize, &&str)| format!("/rooms/room{room}/messages?wait=60s{after}");
        let paths: Vec<String> = afters.iter().enumerate().map(path).collect();
        for ((room, after), mut http) in afters.iter().enumerate().zip(waiting(&server, &paths)) {
            assert_eq!(server.publish(&format!("room{room}"), "text").status, 200);
            let answer = read(&http.answer("GET").expect("an answer"));
            assert_eq!(datas(&answer), ["text"], "{after} {answer}");
            assert_eq!(answer["offset"].as_u64(), Some(1), "{after}");
            // Of an epoch that is over nobody knows what came after it.
            assert_eq!(answer["recovered"].as_bool(), Some(*after != "&after=abc:7"), "{after}");
        }
        if settings.is_empty() {
            server.until("no room", |metrics| metrics.get("rooms") == 0 && metrics.get("shard_homes") == 0);
        }
    }
}

#[test]
fn many_wait_in_one_room() {
    let server = Server::start(&["--set", "room.history_count_max=5"]);
    let waiters: Vec<Http> = (0..200)
        .map(|_| {
            let mut http = server.http();
            let head = http.head("GET", "/rooms/room/messages?wait=60s&after=0", &[]);
            http.send_raw(head.as_bytes()).expect("the server reads");
            http
        })
        .collect();
    assert_eq!(server.publish("room", "text").status, 200);
    for mut http in waiters {
        assert_eq!(datas(&read(&http.answer("GET").expect("an answer"))), ["text"]);
    }
}

#[test]
fn nothing_comes() {
    let server = Server::start(&[]);
    let mut http = server.http();
    for wait in ["0s", "1ms", "300ms"] {
        let answer = poll(&mut http, &format!("/rooms/room/messages?wait={wait}"));
        assert_eq!((datas(&answer).len(), answer["recovered"].as_bool()), (0, Some(true)));
    }
    server.until("no room", |metrics| metrics.get("rooms") == 0 && metrics.get("shard_homes") == 0);
}

#[test]
fn a_room_with_members_goes_on_between_polls() {
    let server = Server::start(&[]);
    let mut member = server.join("room");
    let mut http = server.http();
    let first = poll(&mut http, "/rooms/room/messages");
    let position = |answer: &Value| format!("{}:{}", answer["epoch"].as_str().expect("a text"), answer["offset"]);
    let mut waiter = server.http();
    let head = waiter.head("GET", &format!("/rooms/room/messages?wait=60s&after={}", position(&first)), &[]);
    waiter.send_raw(head.as_bytes()).expect("the server reads");
    member.text("one");
    assert_eq!(member.text_of(), "one");
    let answer = read(&waiter.answer("GET").expect("an answer"));
    let again = poll(&mut http, &format!("/rooms/room/messages?after={}", position(&first)));
    if datas(&answer).is_empty() {
        // The question came behind the publication: nobody knows any more what that was.
        assert_eq!(answer["recovered"].as_bool(), Some(false));
    } else {
        assert_eq!((datas(&answer), answer["recovered"].as_bool()), (vec![&Value::from("one")], Some(true)));
    }
    assert_eq!((again["recovered"].as_bool(), again["offset"].as_u64()), (Some(false), Some(1)), "it keeps nothing");
    let now = poll(&mut http, &format!("/rooms/room/messages?after={}", position(&again)));
    assert_eq!((now["recovered"].as_bool(), now["offset"].as_u64()), (Some(true), Some(1)));
}

#[test]
fn bad_questions() {
    let server = Server::start(&["--set", "limits.rooms_max=1"]);
    for (path, status) in [
        ("/rooms/a%2Fb/messages", 400),
        ("/rooms/room/messages?wait=61s", 400),
        ("/rooms/room/messages?wait=1", 400),
        ("/rooms/room/messages?limit=0", 400),
        ("/rooms/room/messages?after=1f", 400),
        ("/rooms/room/messages?after=1f:x", 400),
        ("/rooms/room", 405),
    ] {
        assert_eq!(server.request("GET", path, &[], b"").status, status, "{path}");
    }
    assert_eq!(server.request("GET", "/rooms/room/messages", &[("Origin", "https://evil.example")], b"").status, 403);
    let _member = server.join("one");
    assert_eq!(server.request("GET", "/rooms/two/messages", &[], b"").status, 503);
    assert_eq!(server.request("GET", "/rooms/one/messages", &[], b"").status, 200);
}

#[test]
fn a_drain_answers_whoever_waits() {
    let mut server = Server::start(&["--drain", "100ms"]);
    let paths: Vec<String> = (0..20).map(|room| format!("/rooms/room{room}/messages?wait=60s")).collect();
    let mut waiters = waiting(&server, &paths);
    server.signal(Signal::TERM);
    for http in &mut waiters {
        let answer = http.answer("GET").expect("an answer");
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(datas(&read(&answer)).len(), 0);
        assert!(http.ends());
    }
    assert_eq!(server.exit_code(), Some(0), "{}", server.process().errors());
}

#[test]
fn many_wait_and_give_up() {
    let server = Server::start(&["--shards", "1"]);
    let mut member = server.join("room");
    for _ in 0..200 {
        let mut http = server.http();
        let head = http.head("GET", "/rooms/room/messages?wait=1s", &[]);
        http.send_raw(head.as_bytes()).expect("the server reads");
    }
    member.text("text");
    assert_eq!(member.text_of(), "text");
    server.until("everybody gone", |metrics| metrics.get("connections") == 2);
    member.close(1000);
    server.until("no room", |metrics| metrics.get("rooms") == 0 && metrics.get("shard_homes") == 0);
}

//! Rooms by URL: who is in, who gets what, who is refused, and that nothing stays when everybody has gone.
#![cfg(feature = "server")]

mod support;

use support::{Event, Server, at_once};

/// What a member gets for a text.
fn text(text: &str) -> Event {
    Event::Text(text.to_owned())
}

#[test]
fn everybody_gets_every_message_unchanged_the_sender_included() {
    let server = Server::start(&[]);
    let mut members: Vec<_> = (0..5).map(|_| server.join("lobby")).collect();
    let long = "ä".repeat(20_000);
    let binary: Vec<u8> = (0..=255).cycle().take(65_536).collect();
    members[0].text("hello");
    members[0].binary(b"\x00\xff\x80");
    members[0].text("");
    members[0].text(&long);
    members[0].binary(&binary);
    members[0].binary(b"");
    for member in &mut members {
        assert_eq!(member.next(), text("hello"));
        assert_eq!(member.next(), Event::Binary(b"\x00\xff\x80".to_vec()));
        assert_eq!(member.next(), text(""));
        assert_eq!(member.next(), text(&long));
        assert_eq!(member.next(), Event::Binary(binary.clone()));
        assert_eq!(member.next(), Event::Binary(Vec::new()));
    }
    members.into_iter().for_each(support::Client::leave);
}

#[test]
fn fragments_arrive_as_one_message() {
    let server = Server::start(&[]);
    let (sender, mut other) = (server.join("parts"), server.join("parts"));
    // "one two", a ping in between, cut inside a character as well.
    sender.raw(&[0x01, 0x83, 0, 0, 0, 0, b'o', 0xc3, b'n'].map(|byte| if byte == b'n' { 0xa4 } else { byte }));
    sender.ping(b"between");
    sender.raw(&[0x00, 0x81, 0, 0, 0, 0, 0xc3]);
    sender.raw(&[0x80, 0x81, 0, 0, 0, 0, 0xa4]);
    assert_eq!(other.next(), text("oää"));
    let mut sender = sender;
    assert_eq!(sender.next(), Event::Pong(b"between".to_vec()));
    assert_eq!(sender.next(), text("oää"));
}

#[test]
fn echo_can_be_switched_off_by_query_and_by_room() {
    let server = Server::start(&["--set", "room.echo=off"]);
    let mut members: Vec<_> = (0..3).map(|_| server.join("quiet")).collect();
    for (number, member) in members.iter().enumerate() {
        member.text(&number.to_string());
    }
    for (number, member) in members.iter_mut().enumerate() {
        let mut got = member.texts(2);
        got.sort();
        let expected: Vec<_> = (0..3).filter(|other| *other != number).map(|other| other.to_string()).collect();
        assert_eq!(got, expected);
        assert_eq!(member.before_pong(), []);
    }

    let server = Server::start(&[]);
    let (mut silent, mut other) = (server.join("room?echo=0"), server.join("room?echo=1"));
    silent.text("mine");
    other.text("yours");
    let mut got = other.texts(2);
    got.sort();
    assert_eq!(got, ["mine", "yours"]);
    assert_eq!(silent.before_pong(), [text("yours")]);
    assert_eq!(server.joining("room?echo=2").refused().status, 400);
}

#[test]
fn a_listen_only_room_is_published_into_from_outside_only() {
    let server = Server::start(&["--set", "room.publish=refused"]);
    let (mut speaker, mut listener) = (server.join("news"), server.join("news"));
    assert_eq!(server.publish("news", "first").published(), (1, 2));
    for member in [&mut speaker, &mut listener] {
        assert_eq!(member.next(), text("first"));
    }
    speaker.text("me too");
    match speaker.next() {
        Event::Close(Some(1008), reason) => assert!(reason.contains("room.publish"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(speaker.next(), Event::End);
    assert_eq!(server.publish("news", "second").published(), (2, 1));
    assert_eq!(listener.next(), text("second"));
    assert_eq!(server.metrics().disconnects("listen_only"), 1);
}

#[test]
fn names_are_percent_decoded_and_checked() {
    let server = Server::start(&[]);
    let mut member = server.join("chat%3Aindex%23a%2cb");
    let longest = "x".repeat(255);
    let mut long = server.join(&longest);
    assert_eq!(server.publish("chat:index%23a,b", "decoded").published(), (1, 1));
    assert_eq!(member.next(), text("decoded"));
    assert_eq!(server.publish(&longest, "long").published(), (1, 1));
    assert_eq!(long.next(), text("long"));
    let too_long = "x".repeat(256);
    for bad in ["", "a/b", "a%2Fb", "a%20b", "a*", "%ff", "%00", "a%", "ä", "%C3%A4", &too_long] {
        let (joined, published) = (server.joining(bad).refused(), server.publish(bad, "x"));
        assert_eq!((joined.status, published.status), (400, 400), "{bad:?}: {joined:?} {published:?}");
    }
}

#[test]
fn what_is_no_handshake_is_told_so() {
    let server = Server::start(&[]);
    let plain = server.request("GET", "/ws/room", &[], b"");
    assert_eq!((plain.status, plain.header("upgrade")), (426, Some("websocket")));
    assert_eq!(plain.header("sec-websocket-version"), Some("13"));
    let old = server.joining("room").with("Sec-WebSocket-Version", "8").refused();
    assert_eq!((old.status, old.header("sec-websocket-version")), (426, Some("13")));
    for (joining, status) in [
        (server.joining("room").without("Sec-WebSocket-Key"), 400),
        (server.joining("room").with("Sec-WebSocket-Key", "AAAA"), 400),
        (server.joining("room").without("Connection"), 400),
        (server.joining("room").with("Connection", "keep-alive"), 400),
        (server.joining("room").with("Upgrade", "h2c"), 426),
        (server.joining("room").with("Content-Length", "5"), 400),
        (server.joining("room").with("X-Long", &"x".repeat(9_000)), 431),
    ] {
        let answer = joining.refused();
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.body.len() > 5, "no reason: {answer:?}");
    }
    assert_eq!(server.request("POST", "/ws/room", &[], b"x").status, 405);
    // A list of tokens is as good as one, and case does not matter.
    let mut member =
        server.joining("room").with("Connection", "keep-alive, UPGRADE").with("Upgrade", "WebSocket").join();
    assert_eq!(member.before_pong(), []);
}

#[test]
fn pages_of_other_sites_need_the_setting() {
    let server = Server::start(&[]);
    let own = format!("http://{}", server.address());
    server.joining("room").with("Origin", &own).join();
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        let answer = server.joining("room").with("Origin", origin).refused();
        assert_eq!(answer.status, 403);
        assert!(answer.body.contains("allowed_origins"), "{answer:?}");
    }

    let server = Server::start(&["--set", "allowed_origins=https://good.example"]);
    server.joining("room").with("Origin", "https://good.example").join();
    assert_eq!(server.joining("room").with("Origin", "https://good.example:444").refused().status, 403);
    assert_eq!(server.joining("room").with("Origin", "http://good.example").refused().status, 403);
}

#[test]
fn rooms_do_not_hear_each_other() {
    let server = Server::start(&["--shards", "3"]);
    let mut rooms: Vec<Vec<_>> =
        (0..10).map(|room| (0..3).map(|_| server.join(&format!("room-{room}"))).collect()).collect();
    for (room, members) in rooms.iter().enumerate() {
        for (member, client) in members.iter().enumerate() {
            client.text(&format!("{room}/{member}"));
        }
    }
    for (room, members) in rooms.iter_mut().enumerate() {
        for client in members {
            let mut got = client.texts(3);
            got.sort();
            assert_eq!(got, [0, 1, 2].map(|member| format!("{room}/{member}")));
            assert_eq!(client.before_pong(), []);
        }
    }
    assert_eq!(server.metrics().get("rooms"), 10);
}

#[test]
fn a_room_is_gone_with_its_last_member() {
    let server = Server::start(&[]);
    assert_eq!(server.publish("room", "nobody").published(), (1, 0));
    let (mut one, mut two) = (server.join("room"), server.join("room"));
    for offset in 1..=3 {
        assert_eq!(server.publish("room", "x").published(), (offset, 2));
    }
    assert_eq!(server.metrics().get("rooms"), 1);
    one.texts(3);
    two.texts(3);
    one.leave();
    server.until("one member less", |metrics| metrics.disconnects("client") == 1);
    assert_eq!(server.publish("room", "x").published(), (4, 1));
    two.reset();
    server.until("no room", |metrics| metrics.get("rooms") == 0);
    // Somebody new begins a new room.
    let mut three = server.join("room");
    assert_eq!(server.publish("room", "new").published(), (1, 1));
    assert_eq!(three.next(), text("new"));
}

#[test]
fn rooms_that_come_and_go_leave_nothing_behind() {
    let mut server = Server::start(&[]);
    let files = server.process().open_files();
    churn(&server, 0..5_000);
    let warm_kib = server.process().resident_kib();
    churn(&server, 5_000..20_000);
    let grown_kib = server.process().resident_kib().saturating_sub(warm_kib);
    assert!(grown_kib < 8 << 10, "15,000 rooms left {grown_kib} KiB behind; {warm_kib} KiB after the first 5,000");
    let metrics = server.metrics();
    assert_eq!(metrics.get("connections_opened_total"), 20_000);
    assert_eq!(metrics.get("window_bytes"), 0);
    assert!(server.process().open_files() <= files + 4, "{files} files open before");
}

/// Joins rooms one after the other, says something in each, and leaves: mostly by a reset, some by a closing handshake.
fn churn(server: &Server, rooms: std::ops::Range<u32>) {
    let halves = vec![(rooms.start, 0), (rooms.start, 1)];
    at_once(halves, |(first, half)| {
        for room in (first + half..rooms.end).step_by(2) {
            let mut member = server.join(&format!("room-{room}"));
            member.text("anybody here?");
            assert_eq!(member.text_of(), "anybody here?");
            if room % 16 < 2 { member.leave() } else { member.reset() }
        }
    });
    server.until("no room and no connection but ours", |metrics| {
        metrics.get("rooms") == 0
            && metrics.get("shard_rooms") == 0
            && metrics.get("shard_homes") == 0
            && metrics.get("connections") == 1
            && metrics.get("window_bytes") == 0
    });
}

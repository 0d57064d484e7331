//! permessage-deflate from end to end: who gets compressed frames, who plain ones, and what hostile clients are told.
#![cfg(feature = "server")]

mod support;

use std::fmt::Write as _;

use support::{Client, Event, Joining, Server, deflated, frame};

const OFFER: &str = "permessage-deflate; client_max_window_bits";
const ON: [&str; 2] = ["--set", "deflate.mode=on"];

fn join(server: &Server, room: &str, offer: &str) -> Client {
    server.joining(room).with("Sec-WebSocket-Extensions", offer).join()
}

/// JSON of some 1,500 bytes.
fn json(number: usize) -> String {
    let mut json = String::from("[");
    for item in 0..20 {
        write!(json, r#"{{"item":{item},"number":{number},"what":"something of it","price":{}}},"#, item * number)
            .expect("a string takes text");
    }
    json.push_str("null]");
    json
}

#[test]
fn it_is_off_unless_switched_on() {
    let server = Server::start(&[]);
    assert_eq!(join(&server, "room", OFFER).extensions, None);
    let server = Server::start(&ON);
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(join(&server, "room", OFFER).extensions.as_deref(), Some(agreed));
    assert_eq!(server.join("room").extensions, None);
    let narrow = join(&server, "room", "permessage-deflate; server_max_window_bits=10");
    assert_eq!(narrow.extensions, Some(format!("{agreed}; server_max_window_bits=10")));
}

/// Whoever publishes, and however: all see the same, in the same order; only the frames differ.
#[test]
fn all_kinds_of_members_see_the_same() {
    let server = Server::start(&[&ON[..], &["--set", "deflate.threshold_bytes=100"]].concat());
    let mut members = [
        join(&server, "room", OFFER),
        join(&server, "room", OFFER),
        server.join("room"),
        join(&server, "room", "permessage-deflate; server_max_window_bits=9"),
    ];
    for number in 0..40 {
        let text = json(number);
        let payload = deflated(text.as_bytes());
        match number % 4 {
            0 => members[0].raw(&frame(0xc1, &payload)),
            1 => members[1].raw(&[frame(0x41, &payload[..70]), frame(0x80, &payload[70..])].concat()),
            2 => members[2].text(&text),
            _ => assert_eq!(server.publish("room", &text).status, 200),
        }
        // The next one's publication comes behind this one.
        for member in &mut members {
            assert_eq!(member.text_of(), text);
        }
    }
    members[3].raw(&frame(0xc2, &deflated(b"\xff\x00 bytes")));
    for member in &mut members {
        assert_eq!(member.next(), Event::Binary(b"\xff\x00 bytes".to_vec()));
    }
    assert_eq!(members.each_ref().map(|member| member.deflated), [40, 40, 0, 0]);
    members.into_iter().for_each(Client::leave);
}

#[test]
fn what_was_missed_is_replayed_compressed_too() {
    let server = Server::start(&[&ON[..], &["--set", "room.history_count_max=1000"]].concat());
    let texts: Vec<_> = (0..300).map(json).collect();
    let mut http = server.http();
    for text in &texts {
        assert_eq!(http.publish("room", text).status, 200);
    }
    for _ in 0..2 {
        let mut back = join(&server, "room?last=300", OFFER);
        assert_eq!(back.texts(300), texts);
        assert!((10..300).contains(&back.deflated), "{} of 300 were compressed: the newest", back.deflated);
    }
    let mut v1 = server.joining("room?last=2").with("Sec-WebSocket-Protocol", "shardcast.v1");
    v1 = v1.with("Sec-WebSocket-Extensions", OFFER);
    let mut v1 = v1.join();
    assert!(v1.text_of().ends_with(":298 recovered\n"));
    for (text, offset) in texts[298..].iter().zip(299..) {
        let message = v1.text_of();
        let (position, payload) = message.split_once('\n').unwrap();
        assert_eq!((payload, position.ends_with(&format!(":{offset}"))), (text.as_str(), true), "{position}");
    }
    assert_eq!(v1.deflated, 2);
}

#[test]
fn hostile_messages_close_their_own_connection_only() {
    let server = Server::start(&[&ON[..], &["--set", "limits.message_bytes_max=64KiB"]].concat());
    let mut witness = join(&server, "room", OFFER);
    let bomb = deflated(&vec![b'a'; 1 << 20]);
    assert!(bomb.len() < 1_200, "{} bytes inflate to 1 MiB", bomb.len());
    let good = deflated(b"good");
    for (sent, code) in [
        (frame(0xc1, &bomb), 1009),
        (frame(0xc1, b"\xff\xff\xff"), 1007),
        (frame(0xc1, &good[..good.len() - 2]), 1007),
        (frame(0xc1, &deflated(b"\xff\xfe")), 1007),
        (frame(0xc9, b"ping"), 1002),
        ([frame(0x41, &good), frame(0xc0, b"")].concat(), 1002),
        (frame(0xa1, &good), 1002),
    ] {
        let mut hostile = join(&server, "room", OFFER);
        hostile.raw(&sent);
        match hostile.next() {
            Event::Close(closed, _) => assert_eq!(closed, Some(code), "{sent:02x?}"),
            other => panic!("expected a close frame, got {other:?}"),
        }
    }
    let mut plain = server.join("room");
    plain.raw(&frame(0xc1, &good));
    assert!(matches!(plain.next(), Event::Close(Some(1002), _)), "it did not agree on compression");
    // 64 KiB inflated are within the limit.
    let longest = "a".repeat(64 << 10);
    witness.raw(&frame(0xc1, &deflated(longest.as_bytes())));
    assert_eq!(witness.text_of(), longest);
    // A close frame behind a compressed message is heard.
    witness.raw(&frame(0xc1, &good));
    witness.leave();
}

#[test]
fn a_listen_only_room_refuses_compressed_messages_too() {
    let server = Server::start(&[&ON[..], &["--set", "room.publish=refused"]].concat());
    let mut member = join(&server, "news", OFFER);
    member.raw(&frame(0xc1, &deflated(b"me")));
    assert!(matches!(member.next(), Event::Close(Some(1008), _)));
}

/// A connection that is in many rooms: commands may come compressed, publications go out so.
#[test]
fn sessions_are_compressed_too() {
    let server = Server::start(&[&ON[..], &["--set", "room.history_count_max=100"]].concat());
    let session = || {
        let joining = Joining::new(server.address(), "/connection/websocket");
        let mut session = joining.with("Sec-WebSocket-Extensions", OFFER).join();
        session.raw(&frame(0xc1, &deflated(br#"{"id":1,"connect":{}}"#)));
        assert!(session.text_of().starts_with(r#"{"id":1,"connect":"#));
        session
    };
    let data = |message: &str| message[message.find(r#""data":"#).expect("there is data") + 7..].to_owned();
    let mut first = session();
    first.text(r#"{"id":2,"subscribe":{"channel":"room","recoverable":true}}"#);
    let subscribed = first.text_of();
    let epoch = subscribed.split(r#""epoch":""#).nth(1).and_then(|rest| rest.split('"').next()).expect("an epoch");
    for number in 0..5 {
        assert_eq!(server.publish("room", &json(number)).status, 200);
        assert!(data(&first.text_of()).starts_with(&json(number)));
    }
    assert_eq!(first.deflated, 5);
    // What was missed is in the answer, cut out of compressed frames.
    let mut back = session();
    let subscribe =
        format!(r#"{{"id":2,"subscribe":{{"channel":"room","recover":true,"epoch":"{epoch}","offset":2}}}}"#);
    back.raw(&frame(0xc1, &deflated(subscribe.as_bytes())));
    let answer = back.text_of();
    for (number, there) in [(1, false), (2, true), (3, true), (4, true)] {
        assert_eq!(answer.contains(&json(number)), there, "{number} in {answer}");
    }
    back.raw(&frame(0xc1, &deflated(&vec![b' '; 1 << 20])));
    assert!(matches!(back.next(), Event::Close(Some(1009), _)));
}

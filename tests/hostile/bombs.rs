//! What is sent to make the server hold memory: it does not, and says so.

use crate::client::{
    BINARY, CLOSE, Event, FIN, MASKED, Member, PING, TEXT, connect, frame, handshake, head, header, masked,
};
use crate::pair::Pair;
use crate::server::{Server, eventually};

/// More than this no bomb may leave behind or hold.
const MEMORY_MAX: u64 = 5 << 20;

#[test]
fn endless_fragments_come_to_an_end() {
    let server = Server::start(&[]);
    let pair = Pair::start(server.address);
    for (fragment_len, expected) in [(0, 1008), (1, 1008), (64, 1008), (64 << 10, 1009)] {
        for opcode in [TEXT, BINARY] {
            let mut member = Member::join(server.address, "fragments");
            let fragment = vec![b'f'; fragment_len];
            member.send(&frame(opcode, &fragment));
            for _ in 0..1_000 {
                member.send(&frame(0, &fragment));
            }
            // With so much unread the close may be lost in a reset; not before it was sent.
            let code = member.closed();
            assert!(code == expected || code == 0, "{fragment_len} bytes: {code}");
        }
    }
    // 128 fragments are allowed, pings between them are none.
    let mut member = Member::join(server.address, "fragments");
    member.send(&frame(TEXT, b"a"));
    for number in 1..128 {
        member.send(&frame(if number == 127 { FIN } else { 0 }, b"a"));
        member.send(&frame(FIN | 10, b"pong"));
    }
    assert_eq!(member.hear(), "a".repeat(128));
    pair.stop();
    server.stop();
}

#[test]
fn a_message_that_is_not_finished_ends_the_connection() {
    let server = Server::start(&["limits.message_time_max=1s", "heartbeat.ping_interval=1s"]);
    let mut member = Member::join(server.address, "unfinished");
    // One that finishes its messages may take as long as it likes for all of them together.
    let mut other = Member::join(server.address, "other");
    member.send(&frame(TEXT, b"beginning"));
    let mut rounds = 0u64;
    loop {
        // Whoever is heard of is not silent: pings between fragments, and a fragmented message of its own each round.
        member.send(&frame(FIN | PING, b"still here"));
        other.send(&[frame(TEXT, b"a"), frame(FIN, b"b")].concat());
        assert_eq!(other.hear(), "ab");
        match member.next() {
            Event::Frame(..) => rounds += 1,
            Event::Close(code) => break assert_eq!(code, 1008),
            Event::End => panic!("no close frame after {rounds} rounds"),
        }
    }
    assert!(rounds > 0, "it had some time");
    drop(member);
    eventually("nothing is held", || server.metric("unfinished_bytes") == 0);
    server.stop();
}

#[test]
fn declared_lengths_allocate_nothing() {
    let server = Server::start(&[
        "limits.message_bytes_max=16MiB",
        "room.window_bytes_max=16MiB",
        "limits.backlog_bytes_max=16MiB",
    ]);
    let mut warm = Member::join(server.address, "warm");
    warm.say("up");
    warm.hear();
    let before = server.memory_bytes();
    let declared = header(FIN | BINARY, MASKED, 16 << 20);
    let mut members: Vec<Member> = (0..200).map(|_| Member::join(server.address, "declared")).collect();
    for member in &mut members {
        member.send(&declared);
        member.send(b"a few");
    }
    eventually("the beginnings are held", || server.metric("unfinished_bytes") >= 200 * 5);
    let held = server.memory_bytes().saturating_sub(before);
    assert!(held < MEMORY_MAX, "{held} bytes for 200 declarations of 16 MiB");
    for len in [(16 << 20) + 1, 1 << 31, 1 << 32, i64::MAX as u64] {
        let mut member = Member::join(server.address, "declared");
        member.send(&header(FIN | BINARY, MASKED, len));
        assert_eq!(member.closed(), 1009, "{len}");
    }
    drop(members);
    eventually("nothing is held any more", || server.metric("unfinished_bytes") == 0);
    server.stop();
}

#[test]
fn the_budget_of_unfinished_bytes_holds_and_comes_back() {
    // Two shards: 128 KiB each.
    let server = Server::start(&["limits.unfinished_bytes_max=256KiB"]);
    let pair = Pair::start(server.address);
    for round in 0..3 {
        let mut members: Vec<Member> = (0..16).map(|_| Member::join(server.address, "budget")).collect();
        let mut codes = Vec::new();
        for member in &mut members {
            member.send(&header(FIN | TEXT, MASKED, 60_000));
            member.send(&masked(&vec![b'u'; 50_000]).collect::<Vec<u8>>());
        }
        eventually("the budget is used", || server.metric("unfinished_bytes") > 128 << 10);
        assert!(server.metric("unfinished_bytes") <= 256 << 10);
        eventually("those for whom nothing was left are closed", || server.members() <= 2 + 4);
        for member in members.iter_mut().rev() {
            member.stream.set_nonblocking(true).expect("a socket");
            let event = std::io::Read::read(&mut member.stream, &mut [0; 1]);
            member.stream.set_nonblocking(false).expect("a socket");
            codes.push(event.is_ok());
        }
        assert!(codes.iter().filter(|closed| **closed).count() >= 12, "round {round}: {codes:?}");
        drop(members);
        eventually("the budget is whole again", || server.metric("unfinished_bytes") == 0);
        let mut member = Member::join(server.address, "budget");
        member.send(&frame(TEXT, &[b'w'; 60_000]));
        member.send(&frame(FIN, b"whole"));
        assert_eq!(member.hear().len(), 60_005);
    }
    // The code, from the first that is one too many.
    let mut members: Vec<Member> = (0..6).map(|_| Member::join(server.address, "budget")).collect();
    let mut seen = 0;
    for member in &mut members {
        member.send(&header(FIN | TEXT, MASKED, 60_000));
        member.send(&masked(&vec![b'u'; 59_999]).collect::<Vec<u8>>());
    }
    eventually("two of six are closed", || server.members() <= 2 + 4);
    for member in &mut members {
        member.send(&masked(b"\0\0\0u").skip(3).collect::<Vec<u8>>());
        match member.next() {
            Event::Close(code) => {
                assert_eq!(code, 1013);
                seen += 1;
            }
            event => drop(event),
        }
    }
    assert!(seen >= 2, "{seen} were told 1013");
    pair.stop();
    server.stop();
}

#[test]
fn a_flood_of_pings_without_reading_costs_nothing() {
    let server = Server::start(&[]);
    let pair = Pair::start(server.address);
    let mut stream = connect(server.address);
    socket2::SockRef::from(&stream).set_recv_buffer_size(4_096).expect("a socket");
    std::io::Write::write_all(&mut stream, handshake("flood").as_bytes()).expect("the server reads");
    head(&mut stream);
    let mut member = Member { stream };
    let before = server.memory_bytes();
    let pings = frame(FIN | PING, &[b'p'; 125]).repeat(1_000);
    for _ in 0..100 {
        member.send(&pings);
        pair.go_on();
    }
    let held = server.memory_bytes().saturating_sub(before);
    assert!(held < MEMORY_MAX, "{held} bytes held for a peer that only pings");
    assert!(server.metric("dropped_total") > 0, "pongs were dropped");
    // A close that nobody reads either ends by close_time_max.
    member.send(&frame(FIN | CLOSE, b""));
    eventually("the flood is gone", || server.members() == 2);
    pair.stop();
    server.stop();
}

#[test]
fn messages_kept_for_later_are_few() {
    // A read of 64 KiB holds thousands of messages, of which a connection may publish one a second.
    let server = Server::start(&["limits.publish_per_second_max=1", "room.echo=off"]);
    let before = server.memory_bytes();
    let messages = frame(FIN | TEXT, b"").repeat(20_000);
    let mut members: Vec<Member> = (0..200).map(|number| Member::join(server.address, &format!("r{number}"))).collect();
    for member in &mut members {
        member.stream.set_nonblocking(true).expect("a socket");
        member.send(&messages);
    }
    eventually("all have been read", || server.metric("messages_received_total") >= 200);
    server.assert_well();
    let held = server.memory_bytes().saturating_sub(before);
    assert!(held < MEMORY_MAX, "{held} bytes held for 200 clients that publish too much");
    drop(members);
    server.stop();
}

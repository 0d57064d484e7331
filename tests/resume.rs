//! Rooms that keep a history: whoever comes back gets what it missed, each publication once and in order, or is told
//! that it is lost.
#![cfg(feature = "server")]

mod support;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{Client, Event, HANG, Metrics, Position, Server, V1, at_once, eventually};

const ROOM: &str = "room";

/// Who does something at the same time as others.
enum Part<'s> {
    /// Publishes so many over a member's connection.
    Member(Client, String, usize),
    /// Publishes so many over HTTP.
    Outside(String, usize),
    /// Clients that come and go.
    Clients(VecDeque<Coming<'s>>),
}

/// A client that comes, reads some, goes somehow, and comes back.
struct Coming<'s> {
    server: &'s Server,
    /// Up to where it has got everything, over all its connections.
    position: Position,
    connection: Option<V1>,
    random: u64,
}

/// What everybody agrees on: by offset, from 1.
struct Book(Vec<Mutex<Option<String>>>);

impl Book {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| Mutex::new(None)).collect())
    }

    /// Somebody saw this publication, or was told that it stands there.
    fn write(&self, offset: u64, text: &str) {
        let index = usize::try_from(offset).expect("offsets are small here") - 1;
        let mut known = self.0[index].lock().expect("nobody panics while holding it");
        match &*known {
            None => *known = Some(text.to_owned()),
            Some(known) => assert_eq!(known, text, "two publications at {offset}"),
        }
    }

    fn into_texts(self) -> impl Iterator<Item = String> {
        let text = |text: Mutex<Option<String>>| text.into_inner().expect("nobody holds it").expect("everybody saw it");
        self.0.into_iter().map(text)
    }
}

impl Coming<'_> {
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % end
    }

    /// Comes back if it is away, reads some, and mostly goes again. Returns how many times it was let in.
    fn turn(&mut self, book: &Book, last: u64) -> usize {
        let mut joins = 0;
        if self.connection.is_none() {
            let since = format!("{ROOM}?since={}", self.position);
            let buffer = (self.below(4) == 0).then_some(4_096);
            let connection = V1::join(self.server, &since, buffer);
            assert_eq!((connection.state.as_str(), &connection.position), ("recovered", &self.position));
            (self.connection, joins) = (Some(connection), 1);
        }
        let some = self.below(120).min(last - self.position.offset);
        let Some(connection) = &mut self.connection else { return joins };
        for _ in 0..some {
            // Each follows the one before: so whatever was read over all connections is dense from the first.
            let text = connection.text_of();
            book.write(connection.position.offset, &text);
            self.position = connection.position.clone();
        }
        if self.position.offset == last {
            return joins;
        }
        let how = self.below(5);
        match (how, self.connection.take()) {
            (0, Some(connection)) => connection.client.leave(),
            (1, Some(connection)) => connection.client.reset(),
            // It stays for another turn, and reads late.
            (2, connection) => self.connection = connection,
            // The stream ends in the middle of whatever was on its way.
            _ => {}
        }
        joins
    }
}

/// Publishes over HTTP; what is acknowledged stands there for everybody.
fn publish_outside(server: &Server, epoch: &str, name: &str, count: usize, book: &Book) {
    let mut http = server.http();
    for number in 0..count {
        let text = format!("{name} {number}");
        let (offset, _, its) = http.publish(ROOM, &text).published_in();
        assert_eq!(its.as_deref(), Some(epoch));
        book.write(offset, &text);
    }
}

/// Everybody publishes at full speed while clients come and go on all shards.
#[test]
fn whoever_comes_back_gets_everything_once_and_in_order() {
    let (members, outsiders, threads, clients) = (4, 2, 8_u64, 125);
    let (per_member, per_outsider) = (200, 100);
    let total = 1 + members * per_member + outsiders * per_outsider;
    let server = Server::start(&["--shards", "4", "--set", "room.history_count_max=100000"]);
    // Nobody is there, and the room keeps it.
    let (offset, nobody, epoch) = server.publish(ROOM, "the first").published_in();
    let first = Position::new(&epoch.expect("the room keeps it"), 0);
    assert_eq!((offset, nobody), (1, 0));

    let (book, joins) = (Book::new(total), AtomicUsize::new(0));
    book.write(1, "the first");
    let mut parts = Vec::new();
    parts.extend((0..members).map(|number| Part::Member(server.join(ROOM), format!("member {number}"), per_member)));
    parts.extend((0..outsiders).map(|number| Part::Outside(format!("http {number}"), per_outsider)));
    parts.extend((0..threads).map(|thread| {
        let client = |number| {
            let (position, random) = (first.clone(), thread * clients + number);
            Coming { server: &server, position, connection: None, random }
        };
        Part::Clients((0..clients).map(client).collect())
    }));
    at_once(parts, |part| match part {
        Part::Member(client, name, count) => {
            (0..count).for_each(|number| client.text(&format!("{name} {number}")));
            client.leave();
        }
        Part::Outside(name, count) => publish_outside(&server, &first.epoch, &name, count, &book),
        Part::Clients(mut clients) => {
            while let Some(mut client) = clients.pop_front() {
                joins.fetch_add(client.turn(&book, total as u64), Ordering::Relaxed);
                if client.position.offset < total as u64 {
                    clients.push_back(client);
                }
            }
        }
    });
    let mut next = vec![0; members + outsiders];
    for text in book.into_texts().skip(1) {
        let (name, number) = text.rsplit_once(' ').expect("name and number");
        let publisher = match name.split_once(' ').map(|(kind, number)| (kind, number.parse::<usize>())) {
            Some(("member", Ok(number))) => number,
            Some(("http", Ok(number))) => members + number,
            _ => panic!("nobody published {text}"),
        };
        assert_eq!(number.parse(), Ok(next[publisher]), "{name} out of order");
        next[publisher] += 1;
    }
    let expected = [vec![per_member; members], vec![per_outsider; outsiders]].concat();
    assert_eq!(next, expected, "something was never seen");
    let metrics = server.metrics();
    assert_eq!(metrics.sum("resumes_total", &[("outcome", "recovered")]), joins.into_inner() as u64);
    assert_eq!(metrics.sum("resumes_total", &[("outcome", "lost")]), 0);
    assert_eq!((metrics.dropped("slow"), metrics.disconnects("slow")), (0, 0), "what is kept is no lag");
}

/// Every way to ask, of a room that has published 10 and keeps 4.
#[test]
fn a_position_is_answered_by_what_is_kept() {
    let server = Server::start(&["--shards", "3", "--set", "room.history_count_max=4"]);
    let mut epoch = String::new();
    for number in 1..=10 {
        let (offset, members, its) = server.publish(ROOM, &number.to_string()).published_in();
        assert_eq!((offset, members), (number, 0));
        epoch = its.expect("the room keeps it");
    }
    let other = if epoch == "1" { "2" } else { "1" };
    for (query, state, from) in [
        (String::new(), "live", 10),
        (format!("?since={epoch}:10"), "recovered", 10),
        (format!("?since={epoch}:9"), "recovered", 9),
        (format!("?since={epoch}%3A6"), "recovered", 6),
        (format!("?since={epoch}:5"), "lost", 10),
        (format!("?since={epoch}:0"), "lost", 10),
        (format!("?since={epoch}:11"), "lost", 10),
        (format!("?since={epoch}:{}", u64::MAX), "lost", 10),
        (format!("?since={other}:8"), "lost", 10),
        ("?since=0:0".to_owned(), "lost", 10),
        ("?last=0".to_owned(), "recovered", 10),
        ("?last=3".to_owned(), "recovered", 7),
        ("?last=4".to_owned(), "recovered", 6),
        (format!("?last={}", u32::MAX), "recovered", 6),
    ] {
        let path = format!("{ROOM}{query}");
        let mut v1 = V1::join(&server, &path, None);
        assert_eq!((v1.state.as_str(), &v1.position), (state, &Position::new(&epoch, from)), "{query}");
        let missed: Vec<String> = (from + 1..=10).map(|number| number.to_string()).collect();
        let got: Vec<String> = missed.iter().map(|_| v1.text_of()).collect();
        assert_eq!((&got, v1.client.before_pong()), (&missed, Vec::new()), "{query}");

        let mut raw = server.join(&path);
        if state == "lost" {
            let reason = format!("not recoverable, the position is {epoch}:10");
            assert_eq!(raw.next(), Event::Close(Some(4410), reason), "{query}");
            continue;
        }
        let missed: Vec<Event> = missed.into_iter().map(Event::Text).collect();
        assert_eq!(raw.before_pong(), missed, "{query}");
    }
    let metrics = server.metrics();
    assert_eq!(metrics.sum("resumes_total", &[("outcome", "lost")]), 2 * 6);
    assert_eq!(metrics.disconnects("not_recoverable"), 6);
}

#[test]
fn what_is_no_position_is_refused() {
    let server = Server::start(&["--set", "room.history_count_max=4"]);
    let positions = "1 :1 1: 1:x 1:-1 1:+1 G:1 A:1 11112222333344445:1 1:18446744073709551616 1:1:1 %ff:1";
    let queries = positions.split(' ').map(|position| format!("since={position}"));
    let others = ["since=", "last=", "last=-1", "last=+1", "last=x", "last=4294967296", "since=1:1&last=1"];
    for query in queries.chain(others.map(str::to_owned)) {
        let status = server.joining(&format!("{ROOM}?{query}")).try_join().map_err(|answer| answer.status);
        assert_eq!(status.map(|_| "let in"), Err(400), "{query}");
    }
}

/// A V1 member gets text as text and binary as binary, and what it says goes out as it is.
#[test]
fn a_replay_is_what_was_published() {
    let server = Server::start(&["--set", "room.history_count_max=10"]);
    let mut raw = server.join(ROOM);
    let v1 = V1::join(&server, ROOM, None);
    let long = "ä\n".repeat(20_000);
    v1.client.text("1:2\nno header");
    v1.client.binary(b"\x00\n\xff");
    v1.client.text("");
    v1.client.text(&long);
    let events = [
        Event::Text("1:2\nno header".to_owned()),
        Event::Binary(b"\x00\n\xff".to_vec()),
        Event::Text(String::new()),
        Event::Text(long),
    ];
    events.iter().for_each(|event| assert_eq!(raw.next(), *event));
    let position = v1.position.clone();
    drop(v1);
    let mut back = V1::join(&server, &format!("{ROOM}?since={position}"), None);
    events.iter().for_each(|event| assert_eq!(back.next(), *event));
    let mut back = server.join(&format!("{ROOM}?since={position}"));
    events.iter().for_each(|event| assert_eq!(back.next(), *event));
}

/// A room without a history has positions too, and nothing of its past.
#[test]
fn without_a_history_only_the_newest_position_is_there() {
    let server = Server::start(&[]);
    let mut v1 = V1::join(&server, ROOM, None);
    assert_eq!((v1.state.as_str(), v1.position.offset), ("live", 0));
    server.publish(ROOM, "1");
    assert_eq!(v1.text_of(), "1");
    let mut same = V1::join(&server, &format!("{ROOM}?since={}", v1.position), None);
    assert_eq!((same.state.as_str(), same.position.offset), ("recovered", 1));
    let before = Position::new(&v1.position.epoch, 0);
    let lost = V1::join(&server, &format!("{ROOM}?since={before}"), None);
    assert_eq!((lost.state.as_str(), lost.position.offset), ("lost", 1));
    server.publish(ROOM, "2");
    assert_eq!(same.text_of(), "2");
}

const BODY_BYTES: usize = 8_000;

fn body(number: u64) -> String {
    format!("{number} {}", "x".repeat(BODY_BYTES))
}

fn number_of(text: &str) -> u64 {
    text.split_once(' ').and_then(|(number, _)| number.parse().ok()).expect("a number in front")
}

/// Publishes until the metrics are as expected; how many by then.
fn publish_until(server: &Server, what: &str, expected: impl Fn(&Metrics) -> bool) -> u64 {
    let (mut http, mut count) = (server.http(), 0);
    let begun = std::time::Instant::now();
    while !expected(&server.metrics()) {
        assert!(begun.elapsed() < HANG, "{what}: not after {count} publications");
        for _ in 0..32 {
            count += 1;
            assert_eq!(http.publish(ROOM, &body(count)).published().0, count);
        }
    }
    count
}

/// A little window, a past that is longer, and time enough for whoever reads late.
fn short_of_window(more: &[&str]) -> Server {
    let settings = "room.window_bytes_max=64KiB room.window_age_max=1h limits.close_time_max=60s \
        room.history_count_max=40 room.history_bytes_max=64MiB";
    let settings = settings.split_whitespace().chain(more.iter().copied());
    Server::start(&settings.flat_map(|setting| ["--set", setting]).collect::<Vec<_>>())
}

/// Somebody who was closed because it was slow is told that it missed too much, and resumes from what is kept.
#[test]
fn who_was_too_slow_comes_back() {
    let server = short_of_window(&[]);
    let mut slow = V1::join(&server, ROOM, Some(4_096));
    let count = publish_until(&server, "the end of the slow one", |metrics| metrics.disconnects("slow") == 1);
    let close = loop {
        let before = slow.position.offset;
        match slow.next() {
            Event::Text(text) => assert_eq!((number_of(&text), slow.position.offset), (before + 1, before + 1)),
            other => break other,
        }
    };
    assert!(matches!(close, Event::Close(Some(3008), _)), "{close:?}");
    let missed = count - slow.position.offset;
    assert!(missed > 40, "it lagged no farther than the room keeps: {missed}");
    let mut back = V1::join(&server, &format!("{ROOM}?since={}", slow.position), None);
    assert_eq!((back.state.as_str(), back.position.offset), ("lost", count));
    let kept = Position { offset: count - 40, ..back.position.clone() };
    let mut again = V1::join(&server, &format!("{ROOM}?since={kept}"), None);
    assert_eq!((again.state.as_str(), &again.position), ("recovered", &kept));
    server.publish(ROOM, &body(count + 1));
    for number in count - 40 + 1..=count + 1 {
        assert_eq!(number_of(&again.text_of()), number);
    }
    assert_eq!(number_of(&back.text_of()), count + 1);
}

/// A member of a room that skips sees the gap in the offsets, and can have it filled as far as it is kept.
#[test]
fn a_jump_tells_what_was_missed() {
    let server = short_of_window(&["room.lag=skip"]);
    let mut slow = V1::join(&server, ROOM, Some(4_096));
    let count = publish_until(&server, "a gap", |metrics| metrics.dropped("skip") > 0);
    let mut missed = 0;
    while slow.position.offset < count {
        let before = slow.position.offset;
        let Event::Text(text) = slow.next() else { panic!("a skipping member is not closed") };
        assert_eq!(number_of(&text), slow.position.offset);
        missed += slow.position.offset - before - 1;
    }
    assert_eq!(server.metrics().dropped("skip"), missed);
    let kept = Position { offset: count - 40, ..slow.position.clone() };
    let mut filler = V1::join(&server, &format!("{ROOM}?since={kept}"), None);
    assert_eq!(filler.state, "recovered");
    for number in count - 40 + 1..=count {
        assert_eq!(number_of(&filler.text_of()), number);
    }
}

/// The past goes when its time has come, with the room if nobody is there.
#[test]
fn a_history_expires() {
    let server = Server::start(&["--set", "room.history_count_max=100", "--set", "room.history_age_max=1s"]);
    let (_, _, epoch) = server.publish(ROOM, "1").published_in();
    let old = Position::new(&epoch.expect("the room keeps it"), 0);
    server.until("a room that has gone with its history", |metrics| metrics.get("rooms") == 0);
    let mut member = V1::join(&server, &format!("{ROOM}?since={old}"), None);
    assert_eq!((member.state.as_str(), member.position.offset), ("lost", 0));
    assert_ne!(member.position.epoch, old.epoch, "offsets began anew");

    let start = member.position.clone();
    assert_eq!(server.publish(ROOM, "1 again").published(), (1, 1));
    assert_eq!(member.text_of(), "1 again");
    let newcomer = eventually("a history that has expired", || {
        let newcomer = V1::join(&server, &format!("{ROOM}?last=100"), None);
        (newcomer.position.offset == 1).then_some(newcomer)
    });
    assert_eq!(newcomer.position, member.position, "the room goes on, for somebody is there");
    let lost = V1::join(&server, &format!("{ROOM}?since={start}"), None);
    assert_eq!((lost.state.as_str(), &lost.position), ("lost", &member.position));
    let same = V1::join(&server, &format!("{ROOM}?since={}", member.position), None);
    assert_eq!(same.state, "recovered", "nothing was missed");
    assert_eq!(server.publish(ROOM, "2").published().0, 2);
    assert_eq!(member.text_of(), "2");
}

/// A room's past outlives its members.
#[test]
fn a_history_needs_nobody() {
    let server = Server::start(&["--shards", "3", "--set", "room.history_count_max=100"]);
    let mut member = V1::join(&server, ROOM, None);
    member.client.text("1");
    assert_eq!(member.text_of(), "1");
    let position = member.position.clone();
    member.client.leave();
    let gone = |metrics: &Metrics| metrics.get("shard_connections") == 0;
    server.until("nobody", gone);
    assert_eq!(server.publish(ROOM, "2").published(), (2, 0));
    let mut raw = server.join(&format!("{ROOM}?since={position}"));
    assert_eq!(raw.before_pong(), [Event::Text("2".to_owned())]);
    raw.leave();
    server.until("nobody", gone);
    let mut back = V1::join(&server, &format!("{ROOM}?last=2"), None);
    assert_eq!((back.text_of(), back.text_of()), ("1".to_owned(), "2".to_owned()));
    assert_eq!(back.position, Position { offset: 2, ..position });
}

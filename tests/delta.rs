//! Sessions that ask for changes: each publication comes out exactly as it was published, whatever happens to them.
#![cfg(feature = "server")]

mod support;

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};
use support::{Client, Joining, Server, apply_delta, at_once};

const ROOM: &str = "room";
const ON: [&str; 2] = ["--set", "room.delta=fossil"];

/// The publication with this number: it differs from its neighbours in a few fields, and now and then altogether.
fn payload(number: u64) -> String {
    if number.is_multiple_of(97) {
        return format!("text {number}, which is no JSON: \"\u{e4}\"");
    }
    let mut object = Map::from_iter([("n".to_owned(), number.into())]);
    for field in 0..20 {
        let changed = number / (3 + field) * (3 + field);
        object.insert(format!("field-{field}"), format!("value \u{e9}\u{1f600} of {changed}").into());
    }
    Value::from(object).to_string()
}

/// The text in which a subscription with changes has it.
fn text(number: u64) -> String {
    let payload = payload(number);
    if payload.starts_with('{') { payload } else { Value::from(payload).to_string() }
}

/// A session in one room.
struct Session {
    socket: Client,
    commands: u64,
    /// What the next change applies to.
    base: Option<String>,
    /// The number of the newest publication that has come in this subscription, if any has.
    newest: Option<u64>,
    /// Of all publications by then.
    counts: Counts,
}

/// How publications came.
#[derive(Clone, Copy, Default)]
struct Counts {
    whole: u64,
    changed: u64,
}

impl Session {
    fn connect(joining: Joining) -> Self {
        let mut session =
            Self { socket: joining.join(), commands: 0, base: None, newest: None, counts: Counts::default() };
        session.ask("connect", json!({}));
        session
    }

    fn ask(&mut self, method: &str, fields: Value) -> Value {
        self.commands += 1;
        let id = self.commands;
        self.socket.text(&json!({"id": id, method: fields}).to_string());
        loop {
            for object in self.objects() {
                if object["id"] == id {
                    return object[method].clone();
                }
                self.hear(&object);
            }
        }
    }

    /// Into the room; from the position on if there is one, of which everything has to be there.
    fn subscribe(&mut self, position: Option<(&str, u64)>) -> Value {
        let mut fields = json!({"channel": ROOM, "delta": "fossil"});
        if let Some((epoch, offset)) = position {
            fields["recover"] = true.into();
            fields["epoch"] = epoch.into();
            fields["offset"] = offset.into();
        }
        let result = self.ask("subscribe", fields);
        assert_eq!(result["delta"], true, "{result}");
        (self.base, self.newest) = (None, position.map(|(_, offset)| offset));
        assert_eq!(result["recovered"] == true, position.is_some(), "{result}");
        for publication in result["publications"].as_array().into_iter().flatten() {
            self.publication(publication);
        }
        result
    }

    /// The objects of the next frame.
    fn objects(&mut self) -> Vec<Value> {
        let text = self.socket.text_of();
        text.split('\n').map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn hear(&mut self, object: &Value) {
        match &object["push"]["pub"] {
            Value::Null => assert!(object == &json!({}), "{object}"),
            publication => self.publication(publication),
        }
    }

    fn publication(&mut self, publication: &Value) {
        let data = publication["data"].as_str().expect("a string");
        let text_now = if publication["delta"] == true {
            self.counts.changed += 1;
            apply_delta(self.base.as_deref().expect("a change behind a whole one"), data)
        } else {
            self.counts.whole += 1;
            data.to_owned()
        };
        let number = match serde_json::from_str(&text_now).expect("JSON") {
            Value::Object(object) => object["n"].as_u64().expect("a number"),
            other => other.as_str().expect("a text")["text ".len()..]
                .split(',')
                .next()
                .expect("a number")
                .parse()
                .expect("a number"),
        };
        assert_eq!(text_now, text(number));
        if let Some(offset) = publication.get("offset") {
            assert_eq!(*offset, number);
        }
        assert!(self.newest.is_none_or(|newest| newest + 1 == number), "{number} behind {:?}", self.newest);
        (self.base, self.newest) = (Some(text_now), Some(number));
    }

    /// Reads until the publication with this number has come.
    fn read_to(&mut self, number: u64) {
        while self.newest.is_none_or(|newest| newest < number) {
            for object in self.objects() {
                self.hear(&object);
            }
        }
    }
}

/// A client that comes and goes.
struct Coming<'s> {
    server: &'s Server,
    session: Option<Session>,
    /// The epoch, of a room with a history; and the newest publication of all its connections.
    position: Option<(String, u64)>,
    /// What is published from here on comes in any case.
    owed_from: u64,
    counts: Counts,
    random: u64,
}

impl Coming<'_> {
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % end
    }

    fn connect(&mut self, published: &AtomicU64) {
        let mut joining = Joining::new(self.server.address(), "/connection/websocket");
        if self.below(2) == 0 {
            joining = joining.with("Sec-WebSocket-Extensions", "permessage-deflate");
        }
        if self.below(4) == 0 {
            joining = joining.receive_buffer(4_096);
        }
        self.session = Some(Session::connect(joining));
        self.subscribe(published);
    }

    fn subscribe(&mut self, published: &AtomicU64) {
        let position = self.position.clone();
        let session = self.session.as_mut().expect("it is connected");
        session.subscribe(position.as_ref().map(|(epoch, offset)| (&**epoch, *offset)));
        // The one that is on its way may have been numbered before.
        self.owed_from = published.load(Ordering::SeqCst) + 2;
    }

    /// Everything that this client is to get of the first `target` publications.
    fn read(&mut self, target: u64) {
        let Some(session) = &mut self.session else { return };
        if self.position.is_some() || target >= self.owed_from {
            session.read_to(target);
        }
        if let (Some((_, offset)), Some(newest)) = (&mut self.position, session.newest) {
            *offset = newest;
        }
    }

    fn turn(&mut self, target: u64, published: &AtomicU64) {
        if self.session.is_none() {
            self.connect(published);
        }
        match self.below(24) {
            0 => {
                self.read(target);
                self.leave(|session| session.socket.leave());
            }
            1 => self.leave(|session| session.socket.reset()),
            // The stream ends in the middle of whatever was on its way.
            2 => self.leave(drop),
            3 | 4 => {
                self.read(target);
                let session = self.session.as_mut().expect("it is connected");
                session.ask("unsubscribe", json!({"channel": ROOM}));
                if let (Some((_, offset)), Some(newest)) = (&mut self.position, session.newest) {
                    *offset = newest;
                }
                self.subscribe(published);
            }
            // It reads later.
            5..9 => {}
            _ => self.read(target),
        }
    }

    fn leave(&mut self, how: impl FnOnce(Session)) {
        let Some(session) = self.session.take() else { return };
        self.counts.whole += session.counts.whole;
        self.counts.changed += session.counts.changed;
        if let (Some((_, offset)), Some(newest)) = (&mut self.position, session.newest) {
            *offset = newest;
        }
        how(session);
    }
}

/// What a room has for those who come back.
#[derive(Clone, Copy, PartialEq)]
enum Keeps {
    Everything,
    Nothing,
}

/// Who does something at the same time as others.
enum Part<'s> {
    Publisher,
    Clients(Vec<Coming<'s>>),
}

/// Clients come, go, read late and subscribe again on all shards while somebody publishes.
fn churn(room: Keeps) {
    let (phases, threads, clients) = (60, 5_u64, 20);
    let count = match room {
        Keeps::Everything => "room.history_count_max=100000",
        Keeps::Nothing => "room.history_count_max=0",
    };
    let settings =
        ["--shards", "4", "--set", count, "--set", "deflate.mode=on", "--set", "deflate.threshold_bytes=100"];
    let server = Server::start(&[&settings[..], &ON[..]].concat());
    // Somebody holds the room, so that its numbers go on.
    let holder = server.join(ROOM);
    let (first, _, epoch) = server.publish(ROOM, &payload(1)).published_in();
    let position = (room == Keeps::Everything).then(|| (epoch.expect("it is kept"), first));
    let published = AtomicU64::new(1);
    let barrier = Barrier::new(1 + usize::try_from(threads).expect("few"));
    let mut parts = vec![Part::Publisher];
    parts.extend((0..threads).map(|thread| {
        let client = |number| {
            let (position, counts, random) = (position.clone(), Counts::default(), thread * clients + number);
            Coming { server: &server, session: None, position, owed_from: 0, counts, random }
        };
        Part::Clients((0..clients).map(client).collect())
    }));
    let counts = at_once(parts, |part| match part {
        Part::Publisher => {
            let mut http = server.http();
            for phase in 0..phases {
                for _ in 0..1 + phase % 4 {
                    let number = published.load(Ordering::SeqCst) + 1;
                    assert_eq!(http.publish(ROOM, &payload(number)).published_in().0, number);
                    published.store(number, Ordering::SeqCst);
                }
                barrier.wait();
            }
            Counts::default()
        }
        Part::Clients(mut clients) => {
            for _ in 0..phases {
                // What is published in this phase is read in the next one, or before.
                let target = published.load(Ordering::SeqCst);
                clients.iter_mut().for_each(|client| client.turn(target, &published));
                barrier.wait();
            }
            let last = published.load(Ordering::SeqCst);
            clients.iter_mut().for_each(|client| {
                client.read(last);
                client.leave(|session| session.socket.leave());
            });
            clients.iter().fold(Counts::default(), |sum, Coming { counts, .. }| Counts {
                whole: sum.whole + counts.whole,
                changed: sum.changed + counts.changed,
            })
        }
    });
    let (whole, changed) = counts.iter().fold((0, 0), |(w, c), counts| (w + counts.whole, c + counts.changed));
    assert!(changed > whole, "{whole} whole, {changed} changed");
    holder.leave();
}

#[test]
fn with_a_history_everything_comes_out_once_in_order_and_exactly() {
    churn(Keeps::Everything);
}

#[test]
fn without_one_whatever_comes_is_exact_and_without_gaps() {
    churn(Keeps::Nothing);
}

/// Who asks in a room that does not send changes gets publications like everybody.
#[test]
fn it_is_granted_where_the_room_allows_it() {
    for (settings, granted) in [
        (&[][..], false),
        (&ON[..], true),
        (&["--set", "room.delta=fossil", "--set", "room.lag=skip"], true),
        (&["--set", "room.delta=fossil", "--set", "room.lag=latest"], false),
    ] {
        let server = Server::start(settings);
        let mut session = Session::connect(Joining::new(server.address(), "/connection/websocket"));
        let result = session.ask("subscribe", json!({"channel": "asked", "delta": "fossil"}));
        assert_eq!(result["delta"] == true, granted, "{settings:?}");
        let result = session.ask("subscribe", json!({"channel": "unasked"}));
        assert_eq!(result.get("delta"), None);
        let unknown = session.ask("subscribe", json!({"channel": "unknown", "delta": "rsync"}));
        assert_eq!(unknown.get("delta"), None);
        for room in ["asked", "unasked", "unknown"] {
            assert_eq!(server.publish(room, r#"{"a":1}"#).status, 200);
            let push = session.objects().remove(0);
            let expected = if granted && room == "asked" { json!(r#"{"a":1}"#) } else { json!({"a": 1}) };
            assert_eq!(push["push"]["pub"]["data"], expected, "{settings:?} {room}");
        }
    }
}

/// Bytes and text that is no JSON come out as others get them, also by way of changes.
#[test]
fn bytes_and_other_texts() {
    let server = Server::start(&ON);
    let mut session = Session::connect(Joining::new(server.address(), "/connection/websocket"));
    session.ask("subscribe", json!({"channel": ROOM, "delta": "fossil"}));
    let member = server.join(ROOM);
    let long = "x".repeat(400);
    let mut base = None;
    let mut next = |session: &mut Session| {
        let publication = session.objects().remove(0)["push"]["pub"].clone();
        let data = publication["data"].as_str().expect("a string");
        let is_change = publication["delta"] == true;
        let text = if is_change { apply_delta(base.as_deref().expect("a base"), data) } else { data.to_owned() };
        base = Some(text.clone());
        (is_change, serde_json::from_str::<Value>(&text).expect("JSON"), publication["tags"].clone())
    };
    member.text(&format!("not JSON {long}"));
    assert_eq!(next(&mut session), (false, json!(format!("not JSON {long}")), Value::Null));
    member.text(&format!("not JSON either {long}"));
    assert_eq!(next(&mut session), (true, json!(format!("not JSON either {long}")), Value::Null));
    member.text("[1,\n 2]");
    assert_eq!(next(&mut session), (false, json!([1, 2]), Value::Null));
    member.binary(&[0xff; 300]);
    let base64 = "////".repeat(100);
    assert_eq!(next(&mut session), (false, json!(base64), json!({"encoding": "base64"})));
    member.binary(&[[0xff; 297], [0; 297]].concat());
    assert_eq!(
        next(&mut session),
        (true, json!(format!("{}{}", "////".repeat(99), "AAAA".repeat(99))), json!({"encoding": "base64"}))
    );
    member.leave();
}

/// Who lags in a room that skips is told so, and begins again with a whole publication.
#[test]
fn who_lags_begins_again() {
    let settings = ["--set", "room.lag=skip", "--set", "room.window_count_max=8", "--set", "room.window_age_max=10ms"];
    let server = Server::start(&[&settings[..], &ON[..]].concat());
    let joining = Joining::new(server.address(), "/connection/websocket").receive_buffer(4_096);
    let mut session = Session::connect(joining);
    session.subscribe(None);
    let mut http = server.http();
    let mut number = 0_u64;
    // Until the kernel takes no more of them: deltas of what has nothing in common.
    while server.metrics().get("subscriptions_ended_total") == 0 {
        for _ in 0..50 {
            number += 1;
            // Numbers that have nothing in common with those before.
            let noise: Vec<u64> =
                (1..200).map(|at| (number * 1_000 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            http.publish(ROOM, &json!({"n": number, "noise": noise}).to_string());
        }
    }
    let mut ended = false;
    while !ended {
        for object in session.objects() {
            ended |= object["push"]["unsubscribe"]["code"] == 2500;
        }
    }
    session.subscribe(None);
    session.counts = Counts::default();
    for number in [1, 2, 3] {
        http.publish(ROOM, &payload(number));
        // Or the first two might come together, and both whole.
        session.read_to(number);
    }
    assert_eq!((session.counts.whole, session.counts.changed), (1, 2));
}

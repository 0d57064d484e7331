//! Subscriptions that get changes, whatever happens to them: each publication comes out as it was published.

use std::collections::BTreeMap;
use std::panic::{catch_unwind, resume_unwind};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::super::command::{Keeping, Publication};
use super::super::super::fuzzed::Sessions;
use super::super::super::simulation::random::Random;
use crate::protocol::centrifuge::tests::delta::decode;
use crate::protocol::frame::MessageKind;

/// With a history, and without; whoever lags is closed, or misses something: see [`Sessions::new`].
const ROOMS: [&str; 7] = ["h", "hs", "hb", "hc", "d", "ds", "dl"];

/// Bytes that each client leaves unread: the second is stuck in each frame, the third now and then.
const CAPACITIES: [usize; 4] = [1 << 20, 150, 2_000, 1 << 20];

/// Runs of the seeded test.
const SEEDS: u64 = 150;

/// A client's subscription to one room.
#[derive(Default)]
struct Seen {
    /// The command that was not answered yet.
    asked: Option<u64>,
    subscribed: bool,
    asked_for_changes: bool,
    /// Whether the server makes changes.
    changes: bool,
    /// What the next change applies to.
    base: Option<String>,
    /// The number in the last publication, of this subscription.
    newest: Option<u64>,
    epoch: String,
    offset: u64,
}

/// What a client asks for.
struct Wish {
    changes: bool,
    recovers: bool,
}

struct Client {
    number: usize,
    next_id: u64,
    got: Vec<u8>,
    rooms: BTreeMap<&'static str, Seen>,
    counts: Counts,
}

/// What came, so that a test can tell that something did.
#[derive(Clone, Copy, Default)]
struct Counts {
    whole: u32,
    changed: u32,
    recovered: u32,
    ended: u32,
}

/// What was published in each room, by the number in it, as clients get it.
type Book = BTreeMap<(&'static str, u64), String>;

/// A client's text message, masked with zeros.
fn message(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short message");
    let header = match u8::try_from(length) {
        Ok(length) if length < 126 => vec![0x81, 0x80 | length],
        _ => [[0x81, 0xfe], length.to_be_bytes()].concat(),
    };
    [&header[..], &[0; 4], text.as_bytes()].concat()
}

impl Client {
    fn new(sessions: &mut Sessions, number: usize) -> Self {
        sessions.send(number, &message(r#"{"id":1,"connect":{}}"#));
        let rooms = ROOMS.into_iter().map(|room| (room, Seen::default())).collect();
        Self { number, next_id: 1, got: Vec::new(), rooms, counts: Counts::default() }
    }

    /// Into a room, or out of it.
    fn toggle(&mut self, sessions: &mut Sessions, room: &'static str, wish: Wish) {
        self.next_id += 1;
        let seen = self.rooms.get_mut(room).expect("one of the rooms");
        let command = if seen.subscribed || seen.asked.is_some() {
            let known = Seen { epoch: seen.epoch.clone(), offset: seen.offset, ..Seen::default() };
            *seen = known;
            json!({ "id": self.next_id, "unsubscribe": { "channel": room } })
        } else {
            (seen.asked, seen.asked_for_changes) = (Some(self.next_id), wish.changes);
            let mut subscribe = json!({ "channel": room });
            if wish.changes {
                subscribe["delta"] = "fossil".into();
            }
            if wish.recovers && !seen.epoch.is_empty() {
                subscribe["recover"] = true.into();
                subscribe["epoch"] = seen.epoch.as_str().into();
                subscribe["offset"] = seen.offset.into();
            }
            json!({ "id": self.next_id, "subscribe": subscribe })
        };
        sessions.send(self.number, &message(&command.to_string()));
    }

    /// Takes what has come.
    fn take(&mut self, bytes: &[u8], book: &Book) {
        self.got.extend(bytes);
        while let [first, second, rest @ ..] = &self.got[..] {
            let (header, length) = match (second, rest) {
                (126, [high, low, ..]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
                (126, _) => return,
                (length, _) => (2, usize::from(*length)),
            };
            let Some(payload) = self.got.get(header..header + length) else { return };
            let (is_text, lines) = (*first == 0x81, String::from_utf8_lossy(payload).into_owned());
            self.got.drain(..header + length);
            if is_text {
                lines.split('\n').for_each(|line| self.hear(&serde_json::from_str(line).expect("JSON"), book));
            }
        }
    }

    fn hear(&mut self, line: &Value, book: &Book) {
        let push = &line["push"];
        if let Some(channel) = push["channel"].as_str() {
            let (room, seen) = self.rooms.iter_mut().find(|(room, _)| **room == channel).expect("one of the rooms");
            if push.get("unsubscribe").is_some() {
                self.counts.ended += 1;
                *seen = Seen { epoch: seen.epoch.clone(), offset: seen.offset, ..Seen::default() };
            } else if seen.subscribed {
                seen.publication(room, &push["pub"], book, &mut self.counts);
            }
        } else if let Some(result) = line.get("subscribe") {
            let asked = line["id"].as_u64();
            let Some((room, seen)) = self.rooms.iter_mut().find(|(_, seen)| seen.asked == asked) else { return };
            seen.begin(room, result, book, &mut self.counts);
        }
    }
}

impl Seen {
    fn begin(&mut self, room: &'static str, result: &Value, book: &Book, counts: &mut Counts) {
        (self.asked, self.subscribed) = (None, true);
        self.changes = result["delta"] == true;
        assert_eq!(self.changes, self.asked_for_changes && room != "dl", "what is granted in {room}");
        self.epoch = result["epoch"].as_str().unwrap_or_default().to_owned();
        self.offset = result["offset"].as_u64().unwrap_or(0);
        counts.recovered += u32::from(result["recovered"] == true);
        for publication in result["publications"].as_array().into_iter().flatten() {
            assert!(publication.get("delta").is_none(), "a replay is whole");
            self.publication(room, publication, book, counts);
        }
    }

    fn publication(&mut self, room: &'static str, publication: &Value, book: &Book, counts: &mut Counts) {
        let text = if self.changes {
            let data = publication["data"].as_str().expect("a string");
            let text = if publication["delta"] == true {
                counts.changed += 1;
                let base = self.base.as_ref().expect("the first is whole");
                String::from_utf8(decode(base.as_bytes(), data.as_bytes())).expect("UTF-8")
            } else {
                counts.whole += 1;
                data.to_owned()
            };
            self.base = Some(text.clone());
            text
        } else {
            assert!(publication.get("delta").is_none(), "nobody asked");
            publication["data"].to_string()
        };
        let value: Value = serde_json::from_str(&text).expect("JSON");
        let number = number_in(&value);
        assert_eq!(book.get(&(room, number)).map(String::as_str), Some(&*text), "number {number} in {room}");
        assert!(self.newest.is_none_or(|newest| newest < number), "{number} in {room} behind {:?}", self.newest);
        self.newest = Some(number);
        self.offset = publication["offset"].as_u64().unwrap_or(0).max(self.offset);
    }
}

/// The number that [`publication`] has put in.
fn number_in(value: &Value) -> u64 {
    let text = match value {
        Value::Object(object) => object["n"].to_string(),
        other => other.as_str().expect("a string").split(' ').nth(1).expect("a number").to_owned(),
    };
    text.parse().expect("a number")
}

/// Something that differs a little from what was published before, or altogether.
fn publication(random: &mut Random, fields: usize, number: u64) -> (Publication, String) {
    let text = if random.one_in(20) {
        format!("text {number} \"quoted\" \u{fc}")
    } else {
        let mut object = serde_json::Map::from_iter([("n".to_owned(), number.into())]);
        let fields = if random.one_in(12) { random.below(60) } else { fields };
        for field in 0..fields {
            let changed_by = if random.one_in(8) { number } else { 0 };
            object.insert(format!("field-{field}"), format!("value \u{e9} of {changed_by}").into());
        }
        Value::from(object).to_string()
    };
    let data = if text.starts_with('{') { text.clone() } else { Value::from(text.as_str()).to_string() };
    let keeping = if random.one_in(4) { Keeping::Passing } else { Keeping::Kept };
    let payload = Bytes::from(text);
    (Publication { kind: MessageKind::Text, payload, tags: None, info: None, keeping }, data)
}

fn run(seed: u64) -> Counts {
    let mut random = Random::new(seed);
    let mut sessions = Sessions::new(&CAPACITIES);
    let mut clients: Vec<Client> = (0..CAPACITIES.len()).map(|number| Client::new(&mut sessions, number)).collect();
    let (mut book, mut next) = (Book::new(), 0);
    // The second client reads seldom, in some runs hardly ever.
    let (fields, patience) = (random.pick(&[5, 10, 30]), random.pick(&[1, 8, 60]));
    let hot = random.pick(&ROOMS);
    for _ in 0..random.pick(&[50, 200, 400]) {
        let client = random.below(clients.len());
        let room = match client {
            _ if random.one_in(2) => hot,
            1 => random.pick(&["hs", "ds"]),
            _ => random.pick(&ROOMS),
        };
        match random.below(12) {
            0..6 => {
                next += 1;
                let (publication, data) = publication(&mut random, fields, next);
                book.insert((room, next), data);
                sessions.publish_as(room, publication);
            }
            6..9 if client == 1 && !random.one_in(patience) => {}
            6..9 => {
                let got = sessions.receive(client);
                clients[client].take(&got, &book);
            }
            9 | 10 => {
                let wish = Wish { changes: !random.one_in(4), recovers: random.one_in(2) };
                clients[client].toggle(&mut sessions, room, wish);
            }
            _ if random.one_in(6) => sessions.forget(room),
            _ => sessions.pass(Duration::from_millis(random.pick(&[1, 30, 600, 1_000, 2_500]))),
        }
    }
    // At rest, whoever is still there gets what comes last, and nobody anything else.
    for client in &mut clients {
        client.take(&sessions.receive(client.number), &book);
    }
    for room in ROOMS {
        for _ in 0..3 {
            next += 1;
            let (publication, data) = publication(&mut random, fields, next);
            book.insert((room, next), data);
            sessions.publish_as(room, publication);
            for client in &mut clients {
                client.take(&sessions.receive(client.number), &book);
                let seen = &client.rooms[room];
                if !sessions.is_over(client.number) && seen.subscribed {
                    assert_eq!(seen.newest, Some(next), "client {} in {room}", client.number);
                }
            }
        }
    }
    clients.iter().fold(Counts::default(), |sum, Client { counts, .. }| Counts {
        whole: sum.whole + counts.whole,
        changed: sum.changed + counts.changed,
        recovered: sum.recovered + counts.recovered,
        ended: sum.ended + counts.ended,
    })
}

#[test]
fn every_publication_comes_out_as_it_was_published() {
    let mut sum = Counts::default();
    for seed in 0..SEEDS {
        let counts = catch_unwind(|| run(seed)).unwrap_or_else(|found| {
            eprintln!("that was seed {seed}");
            resume_unwind(found)
        });
        let Counts { whole, changed, recovered, ended } = counts;
        sum.whole += whole;
        sum.changed += changed;
        sum.recovered += recovered;
        sum.ended += ended;
    }
    let Counts { whole, changed, recovered, ended } = sum;
    assert!(changed > whole && recovered > 50 && ended > 20, "{whole} {changed} {recovered} {ended}");
}

/// Whoever has begun needs whole publications no more: nobody else pays for them for longer than a second or so.
#[test]
fn whole_publications_are_left_when_nobody_begins() {
    let mut sessions = Sessions::new(&[1 << 20; 2]);
    let mut clients: Vec<Client> = (0..2).map(|number| Client::new(&mut sessions, number)).collect();
    let mut random = Random::new(1);
    let mut toggle = |sessions: &mut Sessions, client: usize| {
        clients[client].toggle(sessions, "h", Wish { changes: true, recovers: false });
    };
    let mut publish = |sessions: &mut Sessions, number| {
        sessions.publish_as("h", publication(&mut random, 5, number).0);
    };
    toggle(&mut sessions, 0);
    assert_eq!(sessions.feeds(), 2, "whole publications, and changes");
    publish(&mut sessions, 1);
    assert_eq!(sessions.feeds(), 2, "others may begin");
    sessions.pass(Duration::from_millis(2_500));
    assert_eq!(sessions.feeds(), 1, "nobody did");
    toggle(&mut sessions, 1);
    assert_eq!(sessions.feeds(), 2, "somebody begins");
    toggle(&mut sessions, 0);
    publish(&mut sessions, 2);
    toggle(&mut sessions, 1);
    assert_eq!(sessions.feeds(), 0, "nobody is there any more");
}

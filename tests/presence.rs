//! Who is in a room, and who comes and goes.
#![cfg(feature = "server")]

mod support;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::{Value, json};
use support::{Client, Event, Server, at_once, eventually};

const LISTED: &str = "room.presence=members";
const TOLD: &str = "room.presence_events=on";

fn server(settings: &[&str]) -> Server {
    let sets = settings.iter().flat_map(|setting| ["--set", setting]);
    Server::start(&["--shards", "4"].into_iter().chain(sets).collect::<Vec<_>>())
}

/// Publishes into a room; how many members it has.
fn members(server: &Server, room: &str) -> u64 {
    let answer: Value = serde_json::from_str(&server.publish(room, "x").body).expect("JSON");
    answer["members"].as_u64().expect("a number")
}

/// Whether a session wants to be told who comes and goes.
#[derive(Clone, Copy, PartialEq)]
enum Told {
    Yes,
    No,
}

/// A session by WebSocket.
struct Session {
    socket: Client,
    id: String,
    commands: u64,
    /// Pushes that came while an answer was waited for.
    pushes: Vec<Value>,
    /// Objects of a frame that were not looked at yet.
    rest: Vec<Value>,
}

impl Session {
    /// Connected as `name`; empty: anonymous.
    fn connect(server: &Server, name: &str) -> Self {
        let query = if name.is_empty() { String::new() } else { format!("?name={name}") };
        let path = format!("/connection/websocket{query}");
        let socket = support::Joining::new(server.address(), &path).join();
        let mut session = Self { socket, id: String::new(), commands: 0, pushes: Vec::new(), rest: Vec::new() };
        let answer = session.ask("connect", &json!({}));
        session.id = answer["connect"]["client"].as_str().expect("an id").to_owned();
        session
    }

    /// In `room`, as `name`.
    fn join(server: &Server, name: &str, room: &str, told: Told) -> Self {
        let mut session = Self::connect(server, name);
        session.subscribe(room, told);
        session
    }

    fn subscribe(&mut self, room: &str, told: Told) {
        let answer = self.ask("subscribe", &json!({"channel": room, "join_leave": told == Told::Yes}));
        assert!(answer["subscribe"].is_object(), "{answer}");
    }

    /// Sends a command and waits for its answer.
    fn ask(&mut self, method: &str, fields: &Value) -> Value {
        self.commands += 1;
        let id = self.commands;
        self.socket.text(&json!({"id": id, method: fields}).to_string());
        loop {
            let object = self.object();
            if object["id"] == id {
                return object;
            }
            assert!(object["push"].is_object(), "{object}");
            self.pushes.push(object);
        }
    }

    fn object(&mut self) -> Value {
        while self.rest.is_empty() {
            let text = self.socket.text_of();
            self.rest = text.split('\n').map(|line| serde_json::from_str(line).expect("JSON")).collect();
            self.rest.retain(|object| *object != json!({}));
        }
        self.rest.remove(0)
    }

    /// The next push that says who came (`+user`) or went (`-user`).
    fn told(&mut self) -> String {
        let object = if self.pushes.is_empty() { self.object() } else { self.pushes.remove(0) };
        let push = &object["push"];
        for (kind, sign) in [("join", '+'), ("leave", '-')] {
            if let Some(info) = push[kind]["info"].as_object() {
                assert!(push["channel"].is_string() && info["client"].as_str().is_some_and(|id| id.len() == 36));
                return format!("{sign}{}", info.get("user").map_or("", |user| user.as_str().expect("a text")));
            }
        }
        panic!("neither a join nor a leave: {object}");
    }

    /// Connections and users.
    fn stats(&mut self, room: &str) -> (u64, u64) {
        let answer = self.ask("presence_stats", &json!({"channel": room}));
        let number = |key: &str| answer["presence_stats"][key].as_u64().unwrap_or(0);
        assert!(answer["presence_stats"].is_object(), "{answer}");
        (number("num_clients"), number("num_users"))
    }

    /// The users that are listed, sorted, and the clients' ids.
    fn list(&mut self, room: &str) -> (Vec<String>, BTreeSet<String>) {
        let answer = self.ask("presence", &json!({"channel": room}));
        let listed = answer["presence"]["presence"].as_object().unwrap_or_else(|| panic!("{answer}"));
        let user = |info: &Value| info["user"].as_str().unwrap_or_default().to_owned();
        let mut users: Vec<String> = listed.values().map(user).collect();
        users.sort();
        assert!(listed.iter().all(|(client, info)| info["client"] == **client));
        (users, listed.keys().cloned().collect())
    }

    fn leave(self) {
        self.socket.leave();
    }
}

#[test]
fn rooms_know_who_is_there_only_if_they_are_to() {
    let server = server(&[]);
    let mut session = Session::join(&server, "ann", "room", Told::Yes);
    assert_eq!(session.ask("presence", &json!({"channel": "room"}))["error"]["code"], 108);
    let _raw = server.join("room?name=bob");
    assert_eq!(session.stats("room"), (2, 0), "how many users there are is not known");
    assert_eq!(members(&server, "room"), 2, "how many there are is known in any case");
    let publication = session.object();
    assert!(publication["push"]["pub"].is_object(), "nobody is told of bob: {publication}");
    assert_eq!(server.metrics().get("presence_events_total"), 0);
}

#[test]
fn sessions_and_named_members_are_listed_and_all_are_counted() {
    let server = server(&[LISTED, TOLD]);
    let mut ann = Session::join(&server, "ann", "room", Told::No);
    let (bob, anonymous) = (server.join("room?name=bob"), server.join("room"));
    let mut nobody = Session::join(&server, "", "room", Told::No);
    eventually("bob", || (ann.list("room").0 == ["", "ann", "bob"]).then_some(()));
    let ids = nobody.list("room").1;
    assert!(ids.contains(&ann.id) && ids.contains(&nobody.id), "whoever asks finds itself");
    assert_eq!(ann.stats("room"), (4, 3), "two of the four are anonymous: one user");
    assert_eq!(members(&server, "room"), 4);
    bob.leave();
    anonymous.reset();
    nobody.leave();
    eventually("ann alone", || (ann.stats("room") == (1, 1)).then_some(()));
    assert_eq!(ann.list("room").0, ["ann"]);
    assert!(ann.pushes.iter().all(|push| push["push"]["pub"].is_object()), "she did not ask who comes and goes");
    ann.ask("unsubscribe", &json!({"channel": "room"}));
    assert_eq!(ann.ask("presence", &json!({"channel": "room"}))["error"]["code"], 103);
    ann.subscribe("room", Told::No);
    assert_eq!((ann.list("room").0.len(), ann.stats("room")), (1, (1, 1)));
    assert_eq!(server.joining("room?name=a%20b").refused().status, 400);
}

#[test]
fn the_list_has_an_end_and_the_count_has_not() {
    let server = server(&[LISTED, "room.presence_members_max=3"]);
    let mut sessions: Vec<_> =
        (0..10).map(|number| Session::join(&server, &format!("user-{number}"), "room", Told::No)).collect();
    assert_eq!(sessions[0].list("room").0.len(), 3);
    assert_eq!(sessions[0].stats("room"), (10, 10));
    sessions.drain(5..).for_each(Session::leave);
    eventually("five less", || (sessions[0].stats("room") == (5, 5)).then_some(()));
}

#[test]
fn several_tabs_are_one_user() {
    let server = server(&[LISTED, TOLD, "room.presence_leave_grace=0s"]);
    let mut watcher = Session::join(&server, "watcher", "room", Told::Yes);
    assert_eq!(watcher.told(), "+watcher", "whoever comes is told so too");
    let first = Session::join(&server, "ann", "room", Told::No);
    assert_eq!(watcher.told(), "+ann");
    let second = Session::join(&server, "ann", "room", Told::No);
    let third = server.join("room?name=ann");
    eventually("three tabs", || (watcher.stats("room") == (4, 2)).then_some(()));
    first.leave();
    third.leave();
    eventually("one tab", || (watcher.stats("room") == (2, 2)).then_some(()));
    let _bob = server.join("room?name=bob");
    assert_eq!(watcher.told(), "+bob", "of tabs that are not the first or the last nobody is told");
    second.leave();
    assert_eq!(watcher.told(), "-ann");
}

#[test]
fn whoever_is_back_in_time_was_never_away() {
    let server = server(&[LISTED, TOLD, "room.presence_leave_grace=1h"]);
    let mut watcher = Session::join(&server, "", "room", Told::Yes);
    assert_eq!(watcher.told(), "+");
    for round in 0..5 {
        let ann = Session::join(&server, "ann", "room", Told::Yes);
        if round == 0 {
            assert_eq!(watcher.told(), "+ann");
        }
        if round % 2 == 0 {
            ann.leave();
        } else {
            ann.socket.reset();
        }
        eventually("ann is away", || (watcher.stats("room").0 == 1).then_some(()));
    }
    let _bob = Session::join(&server, "bob", "room", Told::No);
    assert_eq!(watcher.told(), "+bob");
    assert_eq!(server.metrics().get("presence_events_total"), 3);
}

#[test]
fn whoever_stays_away_has_left() {
    let server = server(&[LISTED, TOLD, "room.presence_leave_grace=50ms"]);
    let mut watcher = Session::join(&server, "watcher", "room", Told::Yes);
    assert_eq!(watcher.told(), "+watcher");
    for name in ["ann", "bob"] {
        Session::join(&server, name, "room", Told::Yes).leave();
        assert_eq!((watcher.told(), watcher.told()), (format!("+{name}"), format!("-{name}")));
    }
    let mut other = Session::join(&server, "other", "room", Told::Yes);
    assert_eq!((watcher.told(), other.told()), ("+other".to_owned(), "+other".to_owned()));
    watcher.ask("unsubscribe", &json!({"channel": "room"}));
    assert_eq!(other.told(), "-watcher");
    assert!(watcher.pushes.is_empty() && !watcher.socket.has_more(), "it is not in the room any more");
}

#[test]
fn a_storm_costs_each_member_a_bounded_number_of_events() {
    const PER_SECOND: u64 = 20;
    const STORM: usize = 1_200;
    let server = server(&[LISTED, TOLD, "room.presence_events_per_second_max=20", "room.presence_leave_grace=1h"]);
    let begun = Instant::now();
    let mut watchers: Vec<_> =
        (0..6).map(|number| Session::join(&server, &format!("watcher-{number}"), "room", Told::Yes)).collect();
    // From here on each has got the same, whatever of the others' joins it was in time for.
    for watcher in &mut watchers {
        while watcher.told() != "+watcher-5" {}
    }
    let came = at_once((0..8).collect(), |thread: usize| {
        let one = |number| Session::join(&server, &format!("user-{thread}-{number}"), "room", Told::No);
        (0..STORM / 8).map(one).collect::<Vec<_>>()
    });
    let all = STORM + watchers.len();
    let count = u64::try_from(all).unwrap();
    assert_eq!(watchers[0].stats("room"), (count, count), "the count is exact whatever is told");
    let metrics = server.until("everybody was noted", |metrics| {
        metrics.get("presence_events_total") + metrics.get("presence_events_dropped_total") == count
    });
    let seconds = begun.elapsed().as_secs() + 2;
    let told = metrics.get("presence_events_total");
    assert!(told <= PER_SECOND * seconds, "{told} events in at most {seconds} seconds");
    assert!(told < count, "{count} came in {seconds} seconds, which should have been too many");
    for watcher in &mut watchers {
        for _ in 6..told {
            assert!(watcher.told().starts_with("+user-"));
        }
    }
    // Behind what everybody has got: nothing else was on its way to anybody.
    for watcher in &mut watchers {
        let more = watcher.socket.before_pong();
        assert!(more.iter().all(|event| *event == Event::Text("{}".into())), "more than was told: {more:?}");
    }
    drop(came);
}

/// What one who comes and goes is.
enum Visitor {
    Session(Session),
    Raw(Client),
}

/// A seeded sequence of numbers: which ones does not matter.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }
}

/// Threads that come and go at random, each with `visitors` in `rooms` at a time, `steps` times. Whoever is there in
/// the end: room and name.
fn visits(server: &Server, rooms: usize, visitors: usize, steps: usize) -> (Vec<Visitor>, Vec<(String, String)>) {
    const THREADS: usize = 8;
    let left = Mutex::new((Vec::new(), Vec::new()));
    at_once((0..THREADS).collect(), |thread| {
        let mut random = Random(u64::try_from(thread).expect("small") + 1);
        let mut here: Vec<(Visitor, (String, String))> = Vec::new();
        for _ in 0..steps {
            if here.len() > visitors || (!here.is_empty() && random.below(3) == 0) {
                match (here.swap_remove(random.below(here.len())).0, random.below(2)) {
                    (Visitor::Session(session), 0) => session.leave(),
                    (Visitor::Session(session), _) => session.socket.reset(),
                    (Visitor::Raw(client), 0) => client.leave(),
                    (Visitor::Raw(client), _) => client.reset(),
                }
                continue;
            }
            let room = format!("room-{}", random.below(rooms));
            let name = if random.below(4) == 0 { String::new() } else { format!("user-{}", random.below(500)) };
            let visitor = match random.below(3) {
                0 if name.is_empty() => Visitor::Raw(server.join(&room)),
                0 => Visitor::Raw(server.join(&format!("{room}?name={name}"))),
                told => {
                    let told = if told == 1 { Told::Yes } else { Told::No };
                    Visitor::Session(Session::join(server, &name, &room, told))
                }
            };
            here.push((visitor, (room, name)));
        }
        let (visitors, names): (Vec<_>, Vec<_>) = here.into_iter().unzip();
        let mut left = left.lock().expect("nobody panics while holding it");
        left.0.extend(visitors);
        left.1.extend(names);
    });
    left.into_inner().expect("nobody panics while holding it")
}

/// Waits until each room knows exactly who is there.
fn assert_exact(server: &Server, rooms: usize, here: &[(String, String)]) {
    for room in (0..rooms).map(|number| format!("room-{number}")) {
        let mut judge = Session::join(server, "judge", &room, Told::No);
        let names: Vec<&str> = here.iter().filter(|(it, _)| *it == room).map(|(_, name)| name.as_str()).collect();
        let clients = u64::try_from(names.len()).expect("small") + 1;
        let users = u64::try_from(names.iter().collect::<BTreeSet<_>>().len()).expect("small") + 1;
        let mut last = (0, 0);
        eventually(&format!("{room} with {clients} and {users} users"), || {
            last = judge.stats(&room);
            (last == (clients, users)).then_some(())
        });
        assert_eq!(members(server, &room), clients);
    }
}

#[test]
fn counts_are_exact_however_many_come_and_go() {
    let server = server(&[LISTED, TOLD, "room.presence_leave_grace=20ms", "room.presence_members_max=500"]);
    let (visitors, here) = visits(&server, 1, 270, 900);
    assert!(visitors.len() >= 2_000, "{} are left", visitors.len());
    assert_exact(&server, 1, &here);
    drop(visitors);
    assert_exact(&server, 1, &[]);
}

#[test]
fn counts_are_exact_while_shards_enter_and_leave_rooms() {
    let server = server(&[LISTED, TOLD, "room.presence_leave_grace=20ms"]);
    let (visitors, here) = visits(&server, 6, 3, 250);
    assert_exact(&server, 6, &here);
    drop(visitors);
    let metrics =
        server.until("nobody is left", |metrics| metrics.get("rooms") == 0 && metrics.get("shard_homes") == 0);
    assert_eq!(metrics.get("shard_rooms"), 0);
}

#[test]
fn joins_and_leaves_of_one_user_take_turns() {
    let settings = ["room.presence_leave_grace=20ms", "room.presence_events_per_second_max=10000"];
    let server = server(&[&[LISTED, TOLD], &settings[..]].concat());
    let mut watcher = Session::join(&server, "watcher", "room-0", Told::Yes);
    drop(visits(&server, 1, 6, 250));
    eventually("the watcher alone", || (watcher.stats("room-0") == (1, 1)).then_some(()));
    let (mut here, mut anonymous, mut read) = (BTreeSet::new(), 0, 0);
    // Everybody who is there has yet to leave, and the leave of whoever has gone may be held a little longer.
    while here.len() > 1 || anonymous > 0 || read < server.metrics().get("presence_events_total") || read == 0 {
        let event = watcher.told();
        read += 1;
        let (way, user) = event.split_at(1);
        if user.is_empty() {
            anonymous += if way == "+" { 1 } else { -1 };
            assert!(anonymous >= 0, "more anonymous ones left than came");
        } else if way == "+" {
            assert!(here.insert(user.to_owned()), "{user} came twice");
        } else {
            assert!(here.remove(user), "{user} left and had not come");
        }
    }
    assert_eq!(here.into_iter().collect::<Vec<_>>(), ["watcher"]);
    assert!(read > 100, "{read} events");
    assert_eq!(server.metrics().get("presence_events_dropped_total"), 0);
}

//! What a session's client must never hear, and what it does about the rest.

use serde_json::Value;

use super::super::client::{End, Temper};
use super::super::random::Random;
use super::super::reader::Item;
use super::super::socket::lock;
use super::super::speech::Departure;
use super::commands::Wish;
use super::stay::{Stay, Way};
use super::visitor::{Guest, Visitor};
use crate::engine::clock::Nanos;
use crate::engine::session::Transport;
use crate::engine::settings::{LagPolicy, RoomSettings};

impl Visitor {
    /// Reads up to `max` bytes, and does what they ask for.
    pub(in super::super) fn read(&mut self, max: usize, now: Nanos, random: &mut Random) {
        if self.is_over {
            return;
        }
        let bytes = lock(&self.wire).client_read(max);
        self.hearing.feed(&bytes);
        while let Some(item) = self.hearing.next_item() {
            self.take(item, now, random);
        }
        let wire = lock(&self.wire);
        let at_end = wire.unread() == 0 && (wire.server_ended || wire.server_gone);
        let in_order = wire.server_ended && !wire.server_reset;
        drop(wire);
        if at_end {
            self.saw_end(if in_order { End::InOrder } else { End::CutOff });
        }
    }

    fn take(&mut self, item: Item, now: Nanos, random: &mut Random) {
        let id = self.who.id;
        match item {
            Item::Greeting(greeting) => {
                assert_eq!(greeting, self.who.greeting, "visitor {id} got another greeting");
                self.is_greeted = true;
            }
            Item::Message(_, text) => {
                let text = std::str::from_utf8(&text).expect("a text is UTF-8");
                for line in text.split('\n') {
                    assert!(self.closed_with.is_none(), "visitor {id} got {line} behind the end");
                    let object = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                    self.hear(&object, now, random);
                }
            }
            // It stands in the place of a publication that is not kept.
            Item::Pong(payload) if payload.is_empty() => {}
            Item::Pong(payload) => {
                let pong = std::str::from_utf8(&payload).ok().and_then(|it| it.parse().ok()).expect("our own ping");
                let pings = self.speech.pings;
                assert!(pong > self.pongs && pong <= pings, "pong {pong} of {pings} after {}", self.pongs);
                self.pongs = pong;
            }
            Item::Ping(_) => panic!("a session is pinged in its own words"),
            Item::Close(code, _) => {
                self.closed(code);
                self.speech.answer_close(random, code);
            }
            Item::Last => assert!(self.closed_with.is_some(), "visitor {id}: the answer ends without a word"),
        }
    }

    fn hear(&mut self, object: &Value, now: Nanos, random: &mut Random) {
        let fields = object.as_object().expect("everything is an object");
        if fields.is_empty() {
            assert!(self.client.is_some(), "a ping in front of the answer to connect");
            self.pings += 1;
            return self.say(&["{}".to_owned()], random);
        }
        if let Some(id) = fields.get("id") {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).expect("a command's number");
            return self.answered(id, object, now);
        }
        let push = object.get("push").unwrap_or_else(|| panic!("neither answer nor push: {object}"));
        if let Some(disconnect) = push.get("disconnect") {
            assert_ne!(self.who.transport, Transport::WebSocket, "a WebSocket is closed by a frame");
            let code = disconnect["code"].as_u64().and_then(|code| u16::try_from(code).ok()).expect("a code");
            self.closed(code);
            return self.speech.fall_silent();
        }
        let channel = push["channel"].as_str().expect("a push is about a channel");
        let room = self.who.rules.names.iter().position(|name| name == channel).expect("one of our rooms");
        self.pushed(room, push, now);
    }

    fn pushed(&mut self, room: usize, push: &Value, now: Nanos) {
        let (id, temper) = (self.who.id, self.who.temper);
        if let Some(subscribe) = push.get("subscribe") {
            let stay = Stay::new(room, subscribe, now);
            assert!(!stay.gets_changes, "a client asks for changes, the server does not");
            return self.begin(stay);
        }
        if let Some(unsubscribe) = push.get("unsubscribe") {
            self.standings[room].is_disturbed = true;
            let code = unsubscribe["code"].as_u64().expect("a code");
            let gets_changes = self.standings[room].stay.is_some_and(|stay| self.stays[stay].gets_changes);
            let is_told = self.settings(room).has_history() || gets_changes;
            let lags = is_told && self.settings(room).lag != LagPolicy::Disconnect;
            let is_due = code == 2000 || code == 2500 && lags && temper != Temper::Perfect;
            assert!(is_due, "visitor {id}, {temper:?}: out of room {room} with {code}");
            return self.leave(room);
        }
        let Self { who: Guest { rules, .. }, standings, stays, .. } = self;
        let stay = standings[room].stay.map(|number| &mut stays[number]);
        let stay = stay.unwrap_or_else(|| panic!("visitor {id} is not in room {room}: {push}"));
        if let Some(publication) = push.get("pub") {
            return stay.publication(publication, &rules.rooms[room]);
        }
        let (way, info) = match (push.get("join"), push.get("leave")) {
            (Some(join), None) => (Way::Came, &join["info"]),
            (None, Some(leave)) => (Way::Left, &leave["info"]),
            _ => panic!("no such push: {push}"),
        };
        assert!(rules.rooms[room].has_presence_events(), "room {room} tells nobody: {push}");
        stay.moved(person_of(info), way);
    }

    pub(super) fn settings(&self, room: usize) -> &RoomSettings {
        &self.who.rules.rooms[room]
    }

    /// A subscription begins.
    pub(super) fn begin(&mut self, stay: Stay) {
        let room = stay.room;
        assert_eq!(self.standings[room].stay, None, "visitor {} is twice in room {room}", self.who.id);
        self.standings[room].stay = Some(self.stays.len());
        self.stays.push(stay);
    }

    /// A subscription ends.
    pub(super) fn leave(&mut self, room: usize) {
        if let Some(stay) = self.standings[room].stay.take() {
            self.stays[stay].is_over = true;
        }
    }

    fn closed(&mut self, code: u16) {
        let temper = self.who.temper;
        let lags = self.who.rules.rooms.iter().any(|room| room.lag == LagPolicy::Disconnect);
        let may_be_slow = self.who.rules.settings.sessions.unsent_bytes_max < 1 << 20;
        let due = self.speech.said_close == Some(code)
            || self.dues.contains(&code)
            || self.is_draining && code == 3001
            || code == 1013 && self.who.rules.unfinished_scarce
            || code == 3008 && temper != Temper::Perfect && (lags || may_be_slow)
            || code == 3012 && self.may_seem_gone()
            || code == 3502 && self.client.is_none() && self.may_seem_gone();
        assert!(due, "visitor {} ({temper:?}) was closed with {code}", self.who.id);
        self.closed_with = Some(code);
        for room in 0..self.standings.len() {
            self.leave(room);
        }
    }

    fn saw_end(&mut self, end: End) {
        let forgiven = self.speech.departure == Departure::Ended || self.may_seem_gone() || self.is_draining;
        let (id, temper) = (self.who.id, self.who.temper);
        if end == End::InOrder {
            assert!(self.hearing.is_at_boundary(), "visitor {id}: the stream ends within a frame");
            assert!(self.closed_with.is_some() || forgiven, "visitor {id}: the stream ends without a close");
        } else {
            let forgiven = forgiven || self.closed_with.is_some() || lock(&self.wire).refuses_poller;
            assert!(forgiven, "visitor {id} ({temper:?}) was cut off");
        }
        if !lock(&self.wire).server_gone {
            self.speech.fall_silent();
            self.send(0);
        }
        self.is_over = true;
        for room in 0..self.standings.len() {
            self.leave(room);
        }
    }

    /// Whether everything that it asked for has been answered.
    pub(super) fn check_answered(&self) {
        let id = self.who.id;
        assert!(self.is_greeted, "visitor {id} was not greeted");
        assert_eq!(self.speech.pings, self.pongs, "visitor {id} waits for a pong");
        let waits = self.unanswered.iter().find(|(_, asked)| {
            // It has yet to say who it is: nothing else can be said before.
            !matches!(asked.wish, Wish::Connect) || self.has_said_connect
        });
        assert!(waits.is_none(), "visitor {id} waits for an answer: {waits:?}");
    }
}

/// Whom a join or a leave is about: a user, or an anonymous connection by itself.
pub(super) fn person_of(info: &Value) -> String {
    let client = info["client"].as_str().expect("a client has an id");
    match info["user"].as_str() {
        Some(user) if !user.is_empty() => format!("user {user}"),
        _ => format!("client {client}"),
    }
}

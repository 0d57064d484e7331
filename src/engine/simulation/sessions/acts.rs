//! What sessions' clients do.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::super::client::Temper;
use super::super::random::Random;
use super::super::reader::Reader;
use super::super::socket::{FakeSocket, Wire, lock};
use super::super::world::World;
use super::commands::{Since, Subscribing, Wish};
use super::stream::Hearing;
use super::visitor::{Guest, Visitor};
use crate::engine::admission::Permit;
use crate::engine::command::{Command, Join, Role};
use crate::engine::history::{HistoryQuery, Order};
use crate::engine::position::Start;
use crate::engine::session::{Identity, SessionKey, SessionTerms, Transport};
use crate::engine::settings::DeflateMode;
use crate::protocol::deflate::negotiate;
use crate::protocol::frame::Coding;

impl World {
    /// Somebody of the crowd does something, or comes.
    pub(in super::super) fn some_visitor_acts(&mut self) {
        let visitors = &self.crowd.visitors;
        let live: Vec<usize> = (0..visitors.len()).filter(|number| !visitors[*number].is_over).collect();
        let comes = self.random.one_in(8);
        if live.is_empty() || comes && live.len() < self.crowd.visitors_max {
            return self.visit();
        }
        let number = self.random.pick(&live);
        let (random, now) = (&mut self.random, self.now);
        let visitor = &mut self.crowd.visitors[number];
        match random.below(100) {
            0..35 if visitor.reads() => {
                let max = if visitor.who.temper == Temper::Sluggish { random.below(200) } else { usize::MAX };
                visitor.read(max, now, random);
            }
            35..60 => {
                let max = random.pick(&[1, 3, 10, 50, usize::MAX, usize::MAX]);
                self.utter(number, max);
            }
            60..92 => self.speak(number),
            92..95 if visitor.who.transport == Transport::WebSocket && !visitor.speech.leaves() => {
                visitor.speech.ping(random);
            }
            95 if random.one_in(8) => visitor.offend(random),
            96 if random.one_in(3) => visitor.close(random),
            97 if random.one_in(3) => visitor.end(),
            98 if random.one_in(2) => visitor.reset(),
            _ => {}
        }
    }

    /// Sends up to `max` bytes, or as many requests, of what a visitor has to say.
    pub(in super::super) fn utter(&mut self, number: usize, max: usize) {
        let visitor = &mut self.crowd.visitors[number];
        visitor.send(max);
        for _ in 0..max.min(visitor.posts.len()) {
            if visitor.is_over || visitor.session.is_empty() {
                return;
            }
            let key = SessionKey::read(&visitor.session).expect("a session's secret");
            let len = visitor.posts.front().map_or(0, Vec::len);
            let Some(slot) = self.nodes[key.shard].sender.try_reserve(len) else { return };
            let message = Bytes::from(visitor.posts.pop_front().unwrap_or_default());
            let (reply, heard) = oneshot::channel();
            let command = Command::Emulate { session: Box::new(key), message, reply };
            assert!(slot.send(command).is_ok(), "the shard has not ended");
            visitor.posted.push(heard);
        }
    }

    /// Somebody comes, and says who it is, mostly at once.
    pub(in super::super) fn visit(&mut self) {
        let Some(rules) = self.crowd.rules.clone() else { return };
        let random = &mut self.random;
        let shard = random.below(self.nodes.len());
        let tempers = [Temper::Perfect, Temper::Perfect, Temper::Steady, Temper::Sluggish];
        let temper = if random.one_in(20) { Temper::Stalled } else { random.pick(&tempers) };
        let (capacity, short) = match temper {
            Temper::Perfect => (1 << 30, None),
            // Who reads a byte at a time does not get to the end within the time that a close may take.
            Temper::Steady => (random.between(100, 900), random.one_in(2).then(|| random.between(2, 20))),
            _ => (random.between(1, 900), random.one_in(2).then(|| random.between(2, 20))),
        };
        let transports = [Transport::WebSocket, Transport::WebSocket, Transport::Lines, Transport::Events];
        let transport = random.pick(&transports);
        let id = u32::try_from(self.crowd.visitors.len()).expect("few");
        let user = random.pick(&["", "", "ann", "bob", "eve"]).to_owned();
        let greeting = if random.one_in(5) { Vec::new() } else { format!("welcome {id}\r\n").into_bytes() };
        let mut wire = Wire::new(capacity, short, random.fork(), greeting.len());
        wire.refuses_poller = random.one_in(150);
        let deflate = &rules.settings.deflate;
        let compresses = transport == Transport::WebSocket && deflate.mode == DeflateMode::On && random.one_in(2);
        let deflate = compresses.then(|| negotiate(["permessage-deflate"], deflate.window_bits)).flatten();
        let coding = deflate.map_or(Coding::Plain, |agreed| agreed.outgoing);
        let hearing = match transport {
            Transport::WebSocket => Hearing::Frames(Reader::new(greeting.len()).inflating(coding)),
            _ => Hearing::new(transport, greeting.len()),
        };
        wire.follow_session(hearing);
        let wire = Arc::new(Mutex::new(wire));
        let frozen = self.nodes.iter().any(|node| node.frozen_until > self.now);
        let who = Guest { id, user: user.clone(), shard, transport, temper, greeting: greeting.clone(), coding, rules };
        let mut visitor = Visitor::new(who, Arc::clone(&wire));
        (visitor.is_excused, visitor.is_draining) = (frozen, self.draining.is_some());
        if self.nodes[shard].sender.try_reserve(0).is_none() {
            return;
        }
        self.crowd.visitors.push(visitor);
        self.announce(id as usize);
        let is_late = transport == Transport::WebSocket && self.random.one_in(12);
        if is_late {
            self.crowd.visitors[id as usize].dues.insert(3502);
        } else {
            self.introduce(id as usize);
        }
        let (visitor, random) = (&mut self.crowd.visitors[id as usize], &mut self.random);
        let (commands, unread) = match transport {
            Transport::WebSocket => (Vec::new(), visitor.speech.take_unread(random.below(200))),
            _ => (visitor.posts.pop_front().unwrap_or_default(), Vec::new()),
        };
        let identity = Identity { user: user.into(), info: None };
        let role = Role::Session(SessionTerms { transport, identity, commands });
        let (socket, permit) = (FakeSocket::new(wire), Permit::uncounted());
        let join = Join { socket, role, permit, greeting, unread, deflate, joined: None };
        let slot = self.nodes[shard].sender.try_reserve(0).expect("there was one");
        assert!(slot.send(Command::Join(Box::new(join))).is_ok(), "the shard has not ended");
    }

    /// Says `connect`, and often subscribes in the same breath.
    fn introduce(&mut self, number: usize) {
        let entrance = self.crowd.visitors[number].who.rules.entrance.clone();
        let mut subs = Vec::new();
        for room in entrance {
            if let Some(since) = self.choose_since(room).filter(|since| !since.any_epoch) {
                let name = &self.crowd.visitors[number].who.rules.names[room];
                subs.push(format!("\"{name}\":{{{}}}", since.fields()));
            }
        }
        let now = self.now;
        let mut objects = vec![self.crowd.visitors[number].command(0, Wish::Connect, &subs.join(","), now)];
        for _ in 0..self.random.pick(&[0, 1, 2, 3, 5]) {
            objects.extend(self.wish(number));
        }
        self.crowd.visitors[number].say(&objects, &mut self.random);
    }

    /// Asks for something.
    fn speak(&mut self, number: usize) {
        let visitor = &self.crowd.visitors[number];
        if visitor.speech.leaves() {
            return;
        }
        if !visitor.has_said_connect {
            return self.introduce(number);
        }
        let mut objects = Vec::new();
        for _ in 0..self.random.pick(&[1, 1, 1, 2, 4]) {
            objects.extend(self.wish(number));
        }
        self.crowd.visitors[number].say(&objects, &mut self.random);
    }

    /// One thing that a visitor may ask for.
    fn wish(&mut self, number: usize) -> Option<String> {
        let room = self.random.below(self.names.len());
        let is_in = self.crowd.visitors[number].standings[room].is_wanted;
        let wish = match self.random.below(100) {
            0..80 if !is_in => {
                let since = self.choose_since(room);
                let (rejects_lost, hears_moves) = (self.random.one_in(4), !self.random.one_in(3));
                let asks_changes = !self.random.one_in(3);
                Wish::Subscribe(Subscribing { since, rejects_lost, hears_moves, asks_changes })
            }
            0 => Wish::Subscribe(Subscribing::default()),
            1..12 => Wish::Unsubscribe,
            12..75 => Wish::Publish(self.crowd.visitors[number].next_publication(room)),
            75..85 => {
                let since = self.choose_since(room).filter(|since| !since.any_epoch);
                let order = self.random.pick(&[Order::Forward, Order::Backward]);
                let limit = self.random.pick(&[0, 1, 3, usize::MAX]);
                Wish::History(HistoryQuery { since: since.map(|since| since.position), limit, order })
            }
            85..92 => Wish::Presence,
            92..96 => Wish::PresenceStats,
            96 => Wish::Rpc,
            _ => return None,
        };
        Some(self.crowd.visitors[number].command(room, wish, "", self.now))
    }

    /// Where a visitor says that it was: mostly where one who was in the room was.
    fn choose_since(&mut self, room: usize) -> Option<Since> {
        if self.random.one_in(3) {
            return None;
        }
        let stays = self.crowd.visitors.iter().flat_map(|visitor| &visitor.stays).filter(|stay| stay.room == room);
        let known: Vec<_> = stays.filter_map(super::stay::Stay::position).collect();
        if !known.is_empty() && self.random.one_in(2) {
            let newest = known.len() - 1;
            let position = known[newest - self.random.below(known.len().min(4))];
            return Some(Since { position, forged: false, any_epoch: self.random.one_in(20) });
        }
        match self.choose_start(room) {
            (Start::After(position), forged) => Some(Since { position, forged, any_epoch: false }),
            _ => None,
        }
    }

    /// Everybody who reads reads everything, and says what it has to say; those of one temper do not.
    pub(in super::super) fn attend_visitors(&mut self, except: Option<Temper>) {
        for number in 0..self.crowd.visitors.len() {
            let visitor = &mut self.crowd.visitors[number];
            if visitor.reads() && Some(visitor.who.temper) != except {
                visitor.read(usize::MAX, self.now, &mut self.random);
                self.utter(number, usize::MAX);
            }
        }
    }

    /// Everybody leaves, one way or another.
    pub(in super::super) fn dismiss_visitors(&mut self) {
        for visitor in &mut self.crowd.visitors {
            let is_stalled = visitor.who.temper == Temper::Stalled;
            match self.random.below(3) {
                _ if visitor.is_over => {}
                _ if is_stalled && self.random.one_in(2) => visitor.reset(),
                // The heartbeat finds it.
                _ if is_stalled => {}
                0 => visitor.close(&mut self.random),
                1 => visitor.end(),
                _ => visitor.reset(),
            }
        }
    }
}

impl Visitor {
    /// Breaks the protocol.
    fn offend(&mut self, random: &mut Random) {
        if self.speech.leaves() {
            return;
        }
        self.dues.extend([1002, 3501]);
        match random.below(3) {
            0 if self.who.transport == Transport::WebSocket => self.speech.offend(),
            1 => self.say(&["{\"id\":".to_owned()], random),
            _ if !self.has_said_connect => self.say(&["{}".to_owned()], random),
            _ => self.say(&["{\"id\":1,\"connect\":{}}".to_owned(), "{}".to_owned()], random),
        }
    }
}

/// What keeps a visitor's end of the world from resting, if anything does.
pub(super) fn unrest(visitor: &Visitor) -> Option<String> {
    let wire = lock(&visitor.wire);
    let (unreceived, unread) = (wire.unreceived(), wire.unread());
    let (gone, ended) = (wire.server_gone, wire.server_gone || wire.server_ended);
    let abandoned = wire.is_left_by_client();
    drop(wire);
    let reads = visitor.reads();
    let waits = unreceived > 0 && !gone || (unread > 0 || ended) && reads || abandoned;
    let unsaid = reads && !visitor.is_all_said() && !gone;
    (waits || unsaid).then(|| format!("visitor {}: {unreceived} unreceived, {unread} unread", visitor.who.id))
}

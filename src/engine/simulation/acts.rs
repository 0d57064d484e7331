//! What may happen next.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::client::{Client, Identity, Temper};
use super::oracle::Reply;
use super::reader::{Id, Kind, OUTSIDE, Reader};
use super::sessions::stream::Hearing;
use super::socket::{FakeSocket, Wire};
use super::world::World;
use crate::engine::admission::Permit;
use crate::engine::command::{Command, Join, Keeping, Publication, Role};
use crate::engine::feed::Encoding;
use crate::engine::home::Held;
use crate::engine::position::{Position, Start};
use crate::engine::settings::{DeflateMode, Echo};
use crate::engine::shard::Ready;
use crate::protocol::deflate::negotiate;
use crate::protocol::frame::{Coding, MessageKind};

impl World {
    /// Something happens.
    pub(super) fn act(&mut self) {
        self.step += 1;
        self.take_answers();
        self.take_deeds();
        match self.random.below(1_000) {
            0..420 => self.some_turn(),
            420..500 => self.pass_time(),
            500..560 => self.join(),
            560..640 => self.publish_outside(),
            640..646 => self.churn(),
            646..649 => self.some_shard_stands_still(),
            649 => self.home_stands_still(),
            650..655 => self.burst(),
            655..662 => self.ask(),
            662..666 if self.crowd.is_open() => self.api_acts(),
            666..900 if self.crowd.is_open() => self.some_visitor_acts(),
            _ => self.some_client_acts(),
        }
    }

    fn some_turn(&mut self) {
        let runnable = self.runnable();
        if self.random.one_in(30) || runnable.is_empty() {
            let number = self.random.below(self.nodes.len());
            if self.nodes[number].frozen_until <= self.now {
                let ready = Ready {
                    number: u32::try_from(self.random.below(8)).expect("small"),
                    readable: self.random.one_in(2),
                    hung_up: false,
                    writable: self.random.one_in(2),
                };
                self.turn(number, Some(ready));
            }
            return;
        }
        let number = self.random.pick(&runnable);
        for _ in 0..self.random.pick(&[1, 1, 2, 6]) {
            self.turn(number, None);
        }
    }

    fn pass_time(&mut self) {
        let nanos_max = self.random.pick(&[5_000, 1_000_000, 4_000_000, 100_000_000]);
        self.now.0 += self.random.next() % nanos_max;
        if self.random.one_in(12) {
            self.tend();
            self.now.0 += self.random.next() % 2_000_000_000;
            self.tend();
        } else if self.now.since(self.tended) > Duration::from_secs(1) {
            self.tend();
        }
    }

    /// Time goes by slowly enough for everybody who can to answer, and for every shard to look at its timers.
    pub(super) fn tend(&mut self) {
        self.tended = self.now;
        for round in 0..40 {
            let waits = |temper, can_read| temper == Temper::Steady && can_read;
            let raw = self.clients.iter().any(|client| waits(client.who.temper, client.can_read()));
            let visitors = &self.crowd.visitors;
            if round > 2 && !raw && !visitors.iter().any(|visitor| waits(visitor.who.temper, visitor.can_read())) {
                return;
            }
            for number in 0..self.clients.len() {
                if self.clients[number].reads() && self.clients[number].who.temper != Temper::Sluggish {
                    self.read(number, usize::MAX);
                    self.clients[number].send(usize::MAX);
                }
            }
            self.attend_visitors(Some(Temper::Sluggish));
            for _ in 0..20 {
                for number in self.runnable() {
                    self.turn(number, None);
                }
            }
        }
    }

    fn live(&self, is: impl Fn(&Client) -> bool) -> Vec<usize> {
        (0..self.clients.len()).filter(|number| !self.clients[*number].over && is(&self.clients[*number])).collect()
    }

    pub(super) fn join(&mut self) {
        if self.live(|_| true).len() < self.clients_max {
            let (name, shard) = (self.random.below(self.names.len()), self.random.below(self.nodes.len()));
            self.join_at(name, shard);
        }
    }

    fn join_at(&mut self, name: usize, shard: usize) {
        let tempers = [Temper::Perfect, Temper::Perfect, Temper::Steady, Temper::Sluggish];
        let temper = if self.random.one_in(20) { Temper::Stalled } else { self.random.pick(&tempers) };
        let (capacity, short) = match temper {
            Temper::Perfect => (1 << 30, None),
            _ => (self.random.between(1, 900), self.random.one_in(2).then(|| self.random.between(2, 20))),
        };
        let id = u32::try_from(self.clients.len()).expect("few");
        let greeting = if self.random.one_in(5) { Vec::new() } else { format!("hello {id}\n").into_bytes() };
        let encoding = if self.random.one_in(3) { Encoding::Raw } else { Encoding::V1 };
        let (start, forged) = self.choose_start(name);
        let mut wire = Wire::new(capacity, short, self.random.fork(), greeting.len());
        wire.state_line_follows = encoding == Encoding::V1;
        wire.refuses_poller = self.random.one_in(150);
        let deflate = &self.settings.deflate;
        let compresses = self.crowd.is_open() && deflate.mode == DeflateMode::On && self.random.one_in(2);
        let deflate = compresses.then(|| negotiate(["permessage-deflate"], deflate.window_bits)).flatten();
        let coding = deflate.map_or(Coding::Plain, |agreed| agreed.outgoing);
        wire.follow(Hearing::Frames(Reader::new(greeting.len()).inflating(coding)));
        let wire = Arc::new(Mutex::new(wire));
        let (terms, node) = (self.terms(name), &self.nodes[shard]);
        let frozen = self.nodes.iter().any(|node| node.frozen_until > self.now);
        let Some(slot) = node.sender.try_reserve(0) else { return };
        let Ok(room) = self.directory.join(&self.names[name]) else { return };
        let echo = if self.random.one_in(5) { Echo::Off } else { Echo::On };
        let who = Identity {
            id,
            name,
            room_id: room.id,
            shard,
            encoding,
            start,
            forged,
            echo,
            temper,
            terms,
            greeting: greeting.clone(),
            coding,
            joined_at: self.now,
            joined_step: self.step,
        };
        let mut client = Client::new(who, Arc::clone(&wire));
        client.draining = self.draining;
        (client.excused, client.shard_stood_still) = (frozen, frozen);
        if self.random.one_in(6) && !client.who.terms.listen_only {
            client.publish(&mut self.random, self.now);
        }
        let unread_max = self.random.below(200);
        let join = Join {
            socket: FakeSocket::new(wire),
            role: Role::Member { room, encoding, start, echo, identity: crate::engine::session::Identity::default() },
            deflate,
            permit: Permit::uncounted(),
            greeting,
            unread: client.speech.take_unread(unread_max),
            joined: None,
        };
        assert!(slot.send(Command::Join(Box::new(join))).is_ok(), "the shard has not ended");
        self.clients.push(client);
    }

    /// Where a client begins, and whether it made that up.
    pub(super) fn choose_start(&mut self, name: usize) -> (Start, bool) {
        let random = &mut self.random;
        match random.below(20) {
            0..7 => return (Start::Live, false),
            7..9 => return (Start::Last(random.pick(&[0, 1, 4, 50, u32::MAX])), false),
            _ => {}
        }
        let of_room = self.clients.iter().filter(|client| client.who.name == name);
        let known: Vec<(bool, Position)> =
            of_room.filter_map(|client| Some((client.over, client.position()?))).collect();
        let Some(newest) = known.len().checked_sub(1) else { return (Start::Live, false) };
        // Those who have just left come back more often than those who left long ago, or have not left.
        let back = if random.one_in(4) { random.below(known.len()) } else { random.below(known.len().min(5)) };
        let (_, mut position) = known[newest - back];
        if random.one_in(2)
            && let Some((_, of_one_who_left)) = known.iter().rev().find(|(over, _)| *over)
        {
            position = *of_one_who_left;
        }
        let forged = random.one_in(12);
        if forged {
            match random.below(4) {
                0 => position.epoch.0 ^= 1 << random.below(64),
                1 => position.offset += 1 + random.next() % 4,
                2 => position.offset = random.pick(&[u64::MAX, u64::MAX - 1, 1 << 40]),
                _ => position.offset = random.next() % (position.offset + 1),
            }
        }
        (Start::After(position), forged)
    }

    fn publish_outside(&mut self) {
        let name = self.random.below(self.names.len());
        let by = OUTSIDE + u32::try_from(name).expect("few");
        for _ in 0..self.random.pick(&[1, 1, 3, 20]) {
            let keeps = self.settings.rooms[name].settings.has_history();
            let (room, held) = if keeps {
                (self.directory.hold(&self.names[name]).ok(), Held::ByPublisher)
            } else {
                (self.directory.get(&self.names[name]), Held::No)
            };
            let Some(room) = room else { return };
            let Some(slot) = self.nodes[room.home].sender.try_reserve(0) else {
                if keeps {
                    self.directory.release(&room);
                }
                return;
            };
            let id = Id { by, number: u32::try_from(self.outside[name].len()).expect("few") };
            self.outside[name].push(self.now);
            let (tell, reply) = oneshot::channel();
            let kind = if id.kind() == Kind::Text { MessageKind::Text } else { MessageKind::Binary };
            let payload = Bytes::from(id.payload());
            let keeping = if id.is_passing() { Keeping::Passing } else { Keeping::Kept };
            let publication = Publication { keeping, ..Publication::of(kind, payload) };
            let command =
                Command::Publish { room: Arc::clone(&room), held, publication: Box::new(publication), reply: tell };
            assert!(slot.send(command).is_ok(), "the shard has not ended");
            self.asked.push((Reply { id, room_id: room.id, offset: 0, epoch: None }, reply));
        }
    }

    /// A room empties at once, and fills again before all of the engine knows.
    fn churn(&mut self) {
        let name = self.random.below(self.names.len());
        let spared = self.random.pick(&[1, 2, 1_000]);
        for number in self.live(|client| client.who.name == name) {
            if !self.random.one_in(spared) {
                continue;
            }
            let client = &mut self.clients[number];
            match self.random.below(3) {
                0 => client.close(&mut self.random),
                1 => client.end(),
                _ => client.reset(),
            }
            client.send(usize::MAX);
        }
        for _ in 0..self.random.below(30) {
            if self.random.one_in(3) {
                self.some_turn();
            }
            self.join();
        }
    }

    fn some_shard_stands_still(&mut self) {
        let millis = self.random.pick(&[1, 50, 2_000, 15_000]);
        let number = self.random.below(self.nodes.len());
        self.freeze(number, Duration::from_millis(millis));
    }

    /// A shard's thread does not run for a while. Whoever waits for it may be taken for gone.
    fn freeze(&mut self, number: usize, time: Duration) {
        self.nodes[number].frozen_until = self.now.after(time);
        for client in &mut self.clients {
            client.excused |= client.greeted_step.is_none();
            client.shard_stood_still = true;
        }
        for visitor in &mut self.crowd.visitors {
            visitor.is_excused = true;
        }
    }

    /// A shard enters a room whose home does not answer, gives up, and enters again: two answers come.
    fn home_stands_still(&mut self) {
        let (name, shard) = (self.random.below(self.names.len()), self.random.below(self.nodes.len()));
        self.join_at(name, shard);
        let Some(home) = self.directory.get(&self.names[name]).map(|room| room.home) else { return };
        if home == shard {
            return;
        }
        self.freeze(home, Duration::from_secs(15));
        for _ in 0..14 {
            self.tend();
            self.now = self.now.after(Duration::from_secs(1));
        }
        self.tend();
        self.join_at(name, shard);
        self.turn(shard, None);
    }

    /// Everybody has something to say.
    fn burst(&mut self) {
        for number in self.live(|client| client.stays() && !client.who.terms.listen_only) {
            for _ in 0..self.random.below(12) {
                self.clients[number].publish(&mut self.random, self.now);
            }
            self.clients[number].send(usize::MAX);
        }
    }

    fn some_client_acts(&mut self) {
        let live = self.live(|_| true);
        if live.is_empty() {
            return self.join();
        }
        let number = self.random.pick(&live);
        let client = &mut self.clients[number];
        let random = &mut self.random;
        match random.below(100) {
            0..40 if client.reads() => {
                let max = if client.who.temper == Temper::Sluggish { random.below(200) } else { usize::MAX };
                self.read(number, max);
            }
            40..70 => {
                let max = random.pick(&[1, 3, 10, 50, usize::MAX, usize::MAX]);
                client.send(max);
            }
            70..92 if !client.who.terms.listen_only => {
                for _ in 0..random.pick(&[1, 1, 1, 2, 10]) {
                    client.publish(random, self.now);
                }
            }
            92..96 => client.ping(random),
            96 if random.one_in(6) => client.publish(random, self.now),
            96 if random.one_in(6) => client.offend(),
            97 if random.one_in(2) => client.close(random),
            98 if random.one_in(3) => client.end(),
            99 if random.one_in(3) => client.reset(),
            _ => {}
        }
    }
}

//! The end of a run: everything comes to rest, and is looked at.

use std::time::Duration;

use tokio::sync::oneshot;

use super::client::{Client, Temper};
use super::oracle::{self, Moment};
use super::positions;
use super::sessions::Visitor;
use super::socket::lock;
use super::world::World;
use crate::engine::command::{Command, Drain};
use crate::engine::metrics::Counter;

/// Rounds of everybody reading and every shard running until nothing is left to be done.
const ROUNDS_MAX: usize = 60_000;

/// Turns of one round: more is a shard that never comes to rest.
const TURNS_PER_ROUND_MAX: usize = 40_000;

impl World {
    /// Tells every shard to send its connections away.
    pub(super) fn start_drain(&mut self) {
        let code = self.random.pick(&[1001, 1012]);
        let spread = Duration::from_millis(self.random.pick(&[0, 30, 500]));
        self.draining = Some(code);
        for client in &mut self.clients {
            client.draining = Some(code);
        }
        for visitor in &mut self.crowd.visitors {
            visitor.is_draining = true;
        }
        for number in 0..self.nodes.len() {
            while self.nodes[number].sender.try_reserve(0).is_none() {
                self.now = self.now.after(Duration::from_millis(300));
                self.tend();
                for number in self.runnable() {
                    self.turn(number, None);
                }
            }
            let slot = self.nodes[number].sender.try_reserve(0).expect("there was one");
            let (tell, drained) = oneshot::channel();
            assert!(slot.send(Command::Drain(Drain { spread, code }, tell)).is_ok(), "the shard has not ended");
            self.drains.push(drained);
        }
    }

    /// Everybody who reads reads everything, all that was said is taken, shards run until they sleep.
    pub(super) fn come_to_rest(&mut self) {
        for node in &mut self.nodes {
            node.frozen_until = self.now;
        }
        for _ in 0..ROUNDS_MAX {
            self.step += 1;
            for number in 0..self.clients.len() {
                if self.clients[number].reads() {
                    self.read(number, usize::MAX);
                    self.clients[number].send(usize::MAX);
                }
            }
            self.attend_visitors(None);
            self.run_until_idle();
            let visitors = &self.crowd.visitors;
            if self.clients.iter().any(Client::can_read) || visitors.iter().any(Visitor::can_read) {
                continue;
            }
            if self.is_at_rest() {
                return;
            }
            let next = self.next_deadline().unwrap_or_else(|| self.now.after(Duration::from_millis(1)));
            self.now = self.now.max(next);
        }
        panic!("nothing comes to rest: {:?}", self.unrest());
    }

    fn run_until_idle(&mut self) {
        let mut turns = 0;
        loop {
            let runnable = self.runnable();
            if runnable.is_empty() {
                return;
            }
            let number = self.random.pick(&runnable);
            self.turn(number, None);
            turns += 1;
            assert!(turns < TURNS_PER_ROUND_MAX, "shard {number} never sleeps");
        }
    }

    fn is_at_rest(&self) -> bool {
        self.unrest().is_none()
    }

    /// What keeps the world from resting.
    fn unrest(&self) -> Option<String> {
        for (number, node) in self.nodes.iter().enumerate() {
            let shard = &node.shard;
            let left = (shard.running.len(), shard.gathering.len(), shard.readable.len(), shard.throttled.len());
            if self.leaving && shard.homes.len() > 0 {
                return Some(format!("shard {number}: {} rooms keep something", shard.homes.len()));
            }
            if left != (0, 0, 0, 0) || node.sender.depth() > 0 || shard.outbox.is_blocked() {
                return Some(format!("shard {number}: running, gathering, readable, throttled: {left:?}"));
            }
        }
        for (number, client) in self.clients.iter().enumerate() {
            let wire = lock(&client.wire);
            let (unreceived, unread) = (wire.unreceived(), wire.unread());
            let (gone, ended) = (wire.server_gone, wire.server_gone || wire.server_ended);
            let abandoned = wire.is_left_by_client();
            drop(wire);
            let waits = unreceived > 0 && !gone || (unread > 0 || ended) && client.reads() || abandoned;
            let waits = waits || self.leaving && !gone;
            let unsent = client.reads() && !client.speech.is_all_sent() && !gone;
            if waits || unsent {
                return Some(format!("client {number}: {unreceived} unreceived, {unread} unread, unsent: {unsent}"));
            }
        }
        self.crowd_unrest()
    }

    /// Whoever is still there has everything, and was answered.
    pub(super) fn check_at_rest(&mut self) {
        for (mut reply, mut answer) in self.asked.drain(..) {
            let published = answer.try_recv().expect("every publication is answered");
            assert!(published.offset > 0, "offsets begin with 1");
            (reply.offset, reply.epoch) = (published.offset, published.epoch);
            self.replies.push(reply);
        }
        self.take_answers();
        assert!(self.questions.is_empty(), "every question is answered");
        for client in self.clients.iter().filter(|client| client.stays() && client.reads()) {
            assert!(client.is_answered(), "client {} waits for a pong", client.who.id);
            assert!(client.is_greeted(), "client {} was not greeted", client.who.id);
        }
        for node in &self.nodes {
            assert_eq!(node.shard.backlogged, 0, "nothing is behind");
            for number in 0..node.shard.connections.numbers_end() {
                let Some(connection) = node.shard.connections.get(number) else { continue };
                let Some(room) = node.shard.rooms.get(connection.room) else { continue };
                if !connection.is_open_and_unblocked() {
                    continue;
                }
                assert_eq!(connection.cursor, room.window.head(), "member {number} is behind although nothing moves");
                assert!(!connection.has_direct(), "something waits for member {number} although it takes everything");
            }
        }
        let missed = oracle::check(&self.clients, &self.replies, Moment::AtRest);
        positions::check(self, Moment::AtRest);
        self.check_crowd_at_rest();
        let skipped = self.count(Counter::DroppedSkip);
        assert!(missed <= skipped, "{missed} gaps were seen, {skipped} counted");
        self.check_counters();
    }

    fn count(&self, counter: Counter) -> u64 {
        self.nodes.iter().map(|node| node.shard.counts.get(counter)).sum()
    }

    fn check_counters(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            let (mut handed, mut torn) = (0, 0);
            let members = self.clients.iter().map(|client| (client.who.shard, &client.wire));
            let visitors = self.crowd.visitors.iter().map(|visitor| (visitor.who.shard, &visitor.wire));
            for (_, wire) in members.chain(visitors).filter(|(shard, _)| *shard == number) {
                let wire = lock(wire);
                handed += wire.handed_whole;
                torn += u64::from(wire.is_torn());
            }
            let counted = node.shard.counts.get(Counter::Deliveries);
            assert!(handed <= counted && counted <= handed + torn, "{counted} deliveries counted, {handed} happened");
        }
        if self.crowd.is_open() {
            // A session's message may say much, or nothing that is published.
            return;
        }
        let published = self.count(Counter::Publications) + self.count(Counter::PublicationsUnheard);
        let asked = self.count(Counter::MessagesReceived) + self.replies.len() as u64;
        assert_eq!(published + self.count(Counter::ClosedListenOnly), asked, "each message is published or refused");
    }

    /// Everybody leaves, one way or another; nothing may be left.
    pub(super) fn check_nothing_left(&mut self) {
        for number in 0..self.clients.len() {
            let client = &mut self.clients[number];
            match self.random.below(3) {
                _ if client.over => {}
                _ if client.who.temper == Temper::Stalled && self.random.one_in(2) => client.reset(),
                // The heartbeat finds it.
                _ if client.who.temper == Temper::Stalled => {}
                0 => client.close(&mut self.random),
                1 => client.end(),
                _ => client.reset(),
            }
        }
        self.dismiss_visitors();
        self.leaving = true;
        self.come_to_rest();
        let silent = self.count(Counter::ClosedSilent);
        let visitors = &self.crowd.visitors;
        let may = self.clients.iter().filter(|client| client.may_seem_gone()).count()
            + visitors.iter().filter(|visitor| visitor.may_be_silent()).count();
        assert!(silent <= may as u64, "{silent} clients were taken for gone, {may} may have been");
        for node in &self.nodes {
            let shard = &node.shard;
            let left = (shard.connections.len(), shard.rooms.len(), shard.room_numbers.len(), shard.homes.len());
            assert_eq!(left, (0, 0, 0, 0), "connections, rooms, room numbers, homes are left");
            assert_eq!(shard.subscriptions.len(), 0, "subscriptions are left");
            assert_eq!(shard.posting_sessions, 0, "sessions are left");
            assert_eq!(shard.backlogged, 0, "nothing is behind");
            let unfinished_max = self.settings.limits.unfinished_bytes_max / self.nodes.len();
            assert_eq!(shard.unfinished_left, unfinished_max, "unfinished bytes came back");
            assert_eq!(shard.homes.kept_bytes(), 0, "rooms that have gone keep nothing");
        }
        assert_eq!(self.directory.len(), 0, "rooms are left in the directory");
        let closed = [
            Counter::ClosedByClient,
            Counter::ClosedLost,
            Counter::ClosedProtocol,
            Counter::ClosedTooLong,
            Counter::ClosedUnfinished,
            Counter::ClosedSlow,
            Counter::ClosedSilent,
            Counter::ClosedListenOnly,
            Counter::ClosedDrain,
            Counter::ClosedDrainCut,
            Counter::ClosedPoller,
            Counter::ClosedNotRecoverable,
            Counter::ClosedByServer,
        ];
        let closed: u64 = closed.into_iter().map(|counter| self.count(counter)).sum();
        assert_eq!(
            closed,
            (self.clients.len() + self.crowd.visitors.len()) as u64,
            "each connection ends once, for one reason"
        );
        for drain in &mut self.drains {
            drain.try_recv().expect("a drain is reported when all have gone");
        }
        oracle::check(&self.clients, &self.replies, Moment::Afterwards);
        positions::check(self, Moment::Afterwards);
        self.check_counters();
    }
}

//! A client of a session: what it has said and heard so far.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::super::client::Temper;
use super::super::random::Random;
use super::super::reader::{Id, Kind, Reader, SESSIONS};
use super::super::socket::{SharedWire, lock};
use super::super::speech::{Departure, Speech};
use super::answers::Chapter;
use super::commands::{Asked, Wish};
use super::stay::Stay;
use super::stream::Hearing;
use crate::engine::clock::Nanos;
use crate::engine::session::Transport;
use crate::engine::settings::{RoomSettings, Settings};
use crate::protocol::frame::Coding;

/// Rooms that there may be: a publisher's number says which of them it is about.
const ROOMS_MAX: u32 = 8;

/// What all visitors of a world know.
pub(in super::super) struct Rules {
    pub(super) names: Vec<String>,
    pub(super) rooms: Vec<RoomSettings>,
    /// By the numbers of their names: where everybody is from the beginning.
    pub(super) entrance: Vec<usize>,
    pub(super) settings: Arc<Settings>,
    pub(super) unfinished_scarce: bool,
}

/// Who a visitor is.
pub(in super::super) struct Guest {
    pub(in super::super) id: u32,
    /// Empty: anonymous.
    pub(super) user: String,
    pub(in super::super) shard: usize,
    pub(super) transport: Transport,
    pub(in super::super) temper: Temper,
    pub(super) greeting: Vec<u8>,
    /// Whether it is sent compressed messages.
    pub(super) coding: Coding,
    pub(super) rules: Arc<Rules>,
}

/// How a visitor stands with one room.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    /// It has asked to be in, and not to be out since.
    pub(super) is_wanted: bool,
    /// Something else than its own commands has, or may have, decided about it.
    pub(super) is_disturbed: bool,
    /// The stay that has not ended.
    pub(super) stay: Option<usize>,
}

/// See the module.
#[expect(clippy::struct_excessive_bools, reason = "how far it and the server have got is independent")]
pub(in super::super) struct Visitor {
    pub(in super::super) who: Guest,
    pub(in super::super) wire: SharedWire,
    pub(super) hearing: Hearing,
    pub(in super::super) speech: Speech,
    /// What is to be said by requests of its own, in order, and what became of those.
    pub(super) posts: VecDeque<Vec<u8>>,
    pub(super) posted: Vec<oneshot::Receiver<bool>>,
    pub(super) is_greeted: bool,
    /// Its id and its secret, once `connect` is answered.
    pub(super) client: Option<String>,
    pub(super) session: String,
    pub(super) has_said_connect: bool,
    commands: u32,
    pub(super) unanswered: BTreeMap<u32, Asked>,
    pub(super) pings: u32,
    pub(super) pongs: u32,
    pub(super) standings: Vec<Standing>,
    pub(in super::super) stays: Vec<Stay>,
    /// By room: when each publication was said, or later.
    pub(in super::super) said_at: Vec<Vec<Nanos>>,
    /// Publications that it was told are in the room's order: room, and the command that said it.
    pub(super) published: Vec<(usize, u32, Id)>,
    pub(super) chapters: Vec<Chapter>,
    pub(super) closed_with: Option<u16>,
    /// Codes that it may be closed with by its own doing, or by the server's API.
    pub(super) dues: BTreeSet<u16>,
    /// A shard stood still, or it may wait for one that did.
    pub(in super::super) is_excused: bool,
    pub(in super::super) is_draining: bool,
    pub(in super::super) is_over: bool,
}

impl Visitor {
    pub(super) fn new(who: Guest, wire: SharedWire) -> Self {
        let rooms = who.rules.names.len();
        let hearing = match who.transport {
            Transport::WebSocket => Hearing::Frames(Reader::new(who.greeting.len()).inflating(who.coding)),
            transport => Hearing::new(transport, who.greeting.len()),
        };
        Self {
            is_greeted: who.greeting.is_empty(),
            who,
            wire,
            hearing,
            speech: Speech::default(),
            posts: VecDeque::new(),
            posted: Vec::new(),
            client: None,
            session: String::new(),
            has_said_connect: false,
            commands: 0,
            unanswered: BTreeMap::new(),
            pings: 0,
            pongs: 0,
            standings: vec![Standing::default(); rooms],
            stays: Vec::new(),
            said_at: vec![Vec::new(); rooms],
            published: Vec::new(),
            chapters: Vec::new(),
            closed_with: None,
            dues: BTreeSet::new(),
            is_excused: false,
            is_draining: false,
            is_over: false,
        }
    }

    pub(in super::super) fn is_perfect(&self) -> bool {
        self.who.temper == Temper::Perfect
    }

    /// Whether the server has no reason to end it, and it does not want to.
    pub(in super::super) fn stays(&self) -> bool {
        !self.is_over && self.closed_with.is_none() && !self.speech.leaves()
    }

    pub(in super::super) fn reads(&self) -> bool {
        !self.is_over && self.who.temper != Temper::Stalled
    }

    /// Whether there is something for it to read, be it the end.
    pub(in super::super) fn can_read(&self) -> bool {
        let wire = lock(&self.wire);
        self.reads() && (wire.unread() > 0 || wire.server_ended || wire.server_gone)
    }

    pub(in super::super) fn may_seem_gone(&self) -> bool {
        self.is_excused || matches!(self.who.temper, Temper::Stalled | Temper::Sluggish)
    }

    /// Whether the heartbeat may end it.
    pub(in super::super) fn may_be_silent(&self) -> bool {
        self.may_seem_gone() || self.client.is_none()
    }

    /// Whether everything that it has to say is on its way.
    pub(in super::super) fn is_all_said(&self) -> bool {
        self.speech.is_all_sent() && (self.posts.is_empty() || self.session.is_empty() || !self.stays())
    }

    /// Its number as a publisher into a room.
    fn publisher(&self, room: usize) -> u32 {
        SESSIONS + self.who.id * ROOMS_MAX + u32::try_from(room).expect("few")
    }

    /// Who a publisher is: a visitor, and a room.
    pub(in super::super) fn of_publisher(by: u32) -> Option<(usize, usize)> {
        let number = by.checked_sub(SESSIONS)?;
        Some(((number / ROOMS_MAX) as usize, (number % ROOMS_MAX) as usize))
    }

    /// A publication of its own that has not been said.
    pub(super) fn next_publication(&self, room: usize) -> Id {
        Id { by: self.publisher(room), number: u32::try_from(self.said_at[room].len()).expect("few") }
    }

    /// Puts a command into words, and waits for its answer.
    pub(super) fn command(&mut self, room: usize, wish: Wish, subs: &str, now: Nanos) -> String {
        self.commands += 1;
        let id = self.commands;
        let standing = &mut self.standings[room];
        let was_in = standing.is_wanted;
        match wish {
            Wish::Subscribe(_) => standing.is_wanted = true,
            Wish::Unsubscribe => standing.is_wanted = false,
            Wish::Publish(_) => self.said_at[room].push(now),
            Wish::Connect => {
                self.has_said_connect = true;
                for room in &self.who.rules.entrance {
                    self.standings[*room].is_wanted = true;
                }
            }
            _ => {}
        }
        self.unanswered.insert(id, Asked { room, wish, was_in });
        wish.text(id, &self.who.rules.names[room], subs)
    }

    /// Says some objects in one message.
    pub(super) fn say(&mut self, objects: &[String], random: &mut Random) {
        if self.speech.leaves() || objects.is_empty() {
            return;
        }
        let mut text = objects.join("\n");
        if random.one_in(8) {
            text.push('\n');
        }
        if self.who.transport == Transport::WebSocket {
            self.speech.message(Kind::Text, text.as_bytes(), random);
        } else {
            self.posts.push_back(text.into_bytes());
        }
    }

    pub(super) fn close(&mut self, random: &mut Random) {
        match self.who.transport {
            _ if self.speech.leaves() => {}
            Transport::WebSocket => self.speech.close(random),
            // Who reads an HTTP answer can only stop.
            _ => self.end(),
        }
    }

    pub(super) fn end(&mut self) {
        self.speech.announce_end();
        self.send(usize::MAX);
    }

    pub(super) fn reset(&mut self) {
        self.speech.departure = Departure::Reset;
        self.is_over = true;
        lock(&self.wire).client_reset();
    }

    pub(in super::super) fn send(&mut self, max: usize) {
        self.speech.send(&self.wire, max);
    }
}

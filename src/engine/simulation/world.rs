//! The engine's shards, their clients, and the time, all in one thread.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use super::client::{Client, Terms};
use super::oracle::Reply;
use super::questions::{Answers, Question};
use super::random::Random;
use super::sessions::{self, Crowd};
use super::socket::{FakeSocket, Poller};
use super::{Planted, Population};
use crate::engine::clock::{Nanos, Unix};
use crate::engine::command::{Drained, Published};
use crate::engine::directory::Directory;
use crate::engine::inbox::{Sender, Wake, inbox};
use crate::engine::outbox::Outbox;
use crate::engine::room::RoomName;
use crate::engine::settings::{ClientPublish, Echo, Heartbeat, LagPolicy, Limits, RoomClass, RoomSettings, Settings};
use crate::engine::shard::{Parts, Ready, Shard, Turn};

/// See the module.
pub(super) struct World {
    pub(super) random: Random,
    pub(super) now: Nanos,
    /// When everybody who keeps up last had a chance to.
    pub(super) tended: Nanos,
    pub(super) step: u64,
    pub(super) settings: Arc<Settings>,
    pub(super) directory: Arc<Directory>,
    pub(super) nodes: Vec<Node>,
    pub(super) names: Vec<RoomName>,
    /// All there ever were; those that are over stay for the oracle.
    pub(super) clients: Vec<Client>,
    pub(super) clients_max: usize,
    pub(super) crowd: Crowd,
    /// Messages published by the API, by room name: none was published before the time that stands here.
    pub(super) outside: Vec<Vec<Nanos>>,
    pub(super) asked: Vec<(Reply, oneshot::Receiver<Published>)>,
    pub(super) replies: Vec<Reply>,
    pub(super) questions: Vec<Question>,
    pub(super) answers: Answers,
    pub(super) drains: Vec<oneshot::Receiver<Drained>>,
    pub(super) draining: Option<u16>,
    /// Everybody is to go: the world rests when they have.
    pub(super) leaving: bool,
}

/// A shard and what stands for its thread.
pub(super) struct Node {
    pub(super) shard: Shard<FakeSocket>,
    pub(super) sender: Sender<FakeSocket>,
    pub(super) poller: Poller,
    woken: Arc<AtomicBool>,
    sleep: Sleep,
    pub(super) frozen_until: Nanos,
    /// Connections that were behind their room's head: since which turn, and where the head was.
    behind: BTreeMap<u32, (u64, u64, u32)>,
    turns: u64,
}

/// What the shard's thread does between two turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sleep {
    Awake,
    Until(Option<Nanos>),
}

struct Bell(Arc<AtomicBool>);

impl Wake for Bell {
    fn wake(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Random settings, small enough that every limit is reached.
fn settings(random: &mut Random, shards: usize, rooms: usize) -> Settings {
    let limits = Limits {
        message_bytes_max: 4_096,
        message_fragments_max: 64,
        unfinished_bytes_max: if random.one_in(6) { shards * random.between(300, 3_000) } else { shards << 20 },
        publish_per_second_max: random.one_in(4).then(|| u32::try_from(random.pick(&[1, 2, 5, 30])).expect("small")),
        inbox_entries_max: random.between(1, 40),
        backlog_bytes_max: random.between(200, 6_000),
        close_time_max: Duration::from_secs(5),
        history_bytes_max: if random.one_in(6) { shards * random.between(100, 3_000) } else { 1 << 30 },
        ..Limits::default()
    };
    let heartbeat = Heartbeat { ping_interval: Duration::from_secs(5), silence_max: Duration::from_secs(12) };
    let mut class = |number: usize| {
        let settings = RoomSettings {
            window_count_max: u32::try_from(random.between(1, 30)).expect("small"),
            window_bytes_max: random.between(50, 4_000),
            window_age_max: Duration::from_millis(u64::try_from(random.between(1, 3_000)).expect("small")),
            lag: random.pick(&[LagPolicy::Disconnect, LagPolicy::Disconnect, LagPolicy::Skip, LagPolicy::Latest]),
            coalesce: Duration::from_millis(random.pick(&[0, 0, 2])),
            echo: Echo::On,
            publish: if random.one_in(8) { ClientPublish::Refused } else { ClientPublish::Allowed },
            history_count_max: random.pick(&[0, 0, 1, 2, 6, 30, 200]),
            history_bytes_max: random.pick(&[1, 400, 4_000, 40_000]),
            history_age_max: Duration::from_millis(random.pick(&[1, 60, 1_000, 10_000, 60_000])),
            ..RoomSettings::default()
        };
        RoomClass { pattern: format!("{number}-*"), settings }
    };
    let rooms = (0..rooms).map(&mut class).collect();
    Settings { shards: NonZeroUsize::new(shards), limits, heartbeat, rooms, ..Settings::default() }
}

impl World {
    pub(super) fn new(seed: u64, planted: Planted, population: Population) -> Self {
        let mut random = Random::new(seed);
        let (shards, rooms) = (random.between(1, 4), random.between(1, 5));
        let mut settings = settings(&mut random, shards, rooms);
        if population == Population::Members {
            return Self::with_settings(random, settings, planted);
        }
        sessions::furnish(&mut settings, &mut random);
        let mut world = Self::with_settings(random, settings, planted);
        world.open_to_sessions();
        world
    }

    /// A world with so many shards, and a room for each class, as the settings name.
    pub(super) fn with_settings(mut random: Random, settings: Settings, planted: Planted) -> Self {
        let (rooms, settings) = (settings.rooms.len(), Arc::new(settings));
        let shards = settings.shards.map_or(1, usize::from);
        let seed = random.next();
        let directory = Directory::new(Arc::clone(&settings), shards);
        let limits = &settings.limits;
        let mut ends = Vec::new();
        for _ in 0..shards {
            let woken = Arc::new(AtomicBool::new(false));
            let bell = Box::new(Bell(Arc::clone(&woken)));
            ends.push((inbox(limits.inbox_entries_max, limits.backlog_bytes_max, bell), woken));
        }
        let peers: Vec<_> = ends.iter().map(|((sender, _), _)| sender.peer()).collect();
        let node = |(own_number, ((sender, inbox), woken))| {
            let (settings, directory) = (Arc::clone(&settings), Arc::clone(&directory));
            let (poller, outbox) = (Poller::default(), Outbox::new(own_number, peers.clone()));
            let (unix, epoch_seed) = (Unix::default(), seed.wrapping_add((own_number as u64) << 48));
            let parts =
                Parts { own_number, settings, directory, poller: poller.clone(), inbox, outbox, unix, epoch_seed };
            let mut shard = Shard::new(parts);
            shard.planted = planted;
            shard.homes.planted = planted;
            let (sleep, frozen_until) = (Sleep::Awake, Nanos(0));
            Node { shard, sender, poller, woken, sleep, frozen_until, behind: BTreeMap::new(), turns: 0 }
        };
        let nodes = ends.into_iter().enumerate().map(node).collect();
        let name = |number| {
            let name = RoomName::new(&format!("{number}-{:x}", random.next())).expect("a good name");
            let fixed = |name: &&RoomName| settings.class_of(name.as_str()) == Some(number);
            settings.sessions.rooms.iter().find(fixed).cloned().unwrap_or(name)
        };
        let names: Vec<RoomName> = (0..rooms).map(name).collect();
        let outside = vec![Vec::new(); names.len()];
        let clients_max = random.pick(&[6, 20, 60]);
        let now = Nanos(random.next() % 100_000_000_000);
        let (clients, asked, replies, drains) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self {
            random,
            now,
            tended: now,
            step: 0,
            settings,
            directory,
            nodes,
            names,
            clients,
            clients_max,
            crowd: Crowd::default(),
            outside,
            asked,
            replies,
            questions: Vec::new(),
            answers: Answers::default(),
            drains,
            draining: None,
            leaving: false,
        }
    }

    pub(super) fn terms(&self, name: usize) -> Terms {
        let (room, limits) = (&self.settings.rooms[name].settings, &self.settings.limits);
        Terms {
            lag: room.lag,
            listen_only: room.publish == ClientPublish::Refused,
            keeps: room.has_history(),
            unfinished_scarce: limits.unfinished_bytes_max < self.nodes.len() << 20,
        }
    }

    /// A client reads. Nobody may have published faster than allowed.
    pub(super) fn read(&mut self, number: usize, max: usize) {
        let before = self.clients[number].got.len();
        self.clients[number].read(max, (self.step, self.now), &mut self.random);
        let Some(rate) = self.settings.limits.publish_per_second_max.map(u64::from) else { return };
        for id in &self.clients[number].got[before..] {
            let Some(publisher) = self.clients.get(id.by as usize) else { continue };
            let nanos = self.now.0 - publisher.who.joined_at.0;
            let allowed = rate + 1 + nanos.saturating_mul(rate) / 1_000_000_000;
            assert!(u64::from(id.number) < allowed, "{id:?}: {allowed} messages were allowed until now");
        }
    }

    /// The shards whose threads would run now.
    pub(super) fn runnable(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|number| self.nodes[*number].is_runnable(self.now)).collect()
    }

    /// When the first sleeping shard wants to wake.
    pub(super) fn next_deadline(&self) -> Option<Nanos> {
        let deadline = |node: &Node| match node.sleep {
            Sleep::Until(at) => at,
            Sleep::Awake => Some(self.now),
        };
        self.nodes.iter().filter_map(|node| deadline(node).map(|at| at.max(node.frozen_until))).min()
    }

    /// One turn of a shard, with what its poller reports.
    pub(super) fn turn(&mut self, number: usize, spurious: Option<Ready>) {
        self.now.0 += 1 + self.random.next() % 20_000;
        let node = &mut self.nodes[number];
        node.woken.store(false, Ordering::Relaxed);
        node.shard.inbox.awake();
        let ready = node.poller.poll();
        let turn = node.shard.turn(self.now, ready.into_iter().chain(spurious));
        node.sleep = match turn {
            Turn::Ended => panic!("nobody told the shard to stop"),
            Turn::Again(Some(Duration::ZERO)) => Sleep::Awake,
            Turn::Again(longest) if node.shard.inbox.may_sleep() => {
                Sleep::Until(longest.map(|longest| self.now.after(longest)))
            }
            Turn::Again(_) => Sleep::Awake,
        };
        node.turns += 1;
        node.check(&self.settings);
    }
}

impl Node {
    fn is_runnable(&self, now: Nanos) -> bool {
        let wants = match self.sleep {
            Sleep::Awake => true,
            Sleep::Until(at) => at.is_some_and(|at| at <= now),
        };
        now >= self.frozen_until && (wants || self.woken.load(Ordering::Relaxed) || self.poller.has_ready())
    }

    /// After each turn: memory is bounded, and nobody who keeps up waits longer than a lap.
    fn check(&mut self, settings: &Settings) {
        let shard = &self.shard;
        let (mut places, mut rooms) = (0, 0);
        for number in shard.room_numbers.values() {
            let room = shard.rooms.get(*number).expect("a number is a room's");
            let kept = usize::try_from(room.window.head() - room.window.tail()).expect("in memory");
            let history = if room.settings.has_history() { room.settings.history_bytes_max } else { 0 };
            let bound = room.settings.window_bytes_max + settings.limits.backlog_bytes_max + KEPT_SLACK_BYTES + history;
            assert!(kept <= bound, "a window keeps {kept} bytes, {bound} are allowed");
            assert!(room.window.held_bytes() <= 4 * bound + (8 << 10), "a window holds {}", room.window.held_bytes());
            let places_max = 2 * room.members() + 8;
            assert!(room.places() <= places_max, "{} places for {} members", room.places(), room.members());
            places += room.places();
            rooms += 1;
        }
        // A lap and an eighth of it, three sends a turn, the rooms in turn.
        let turns_max = 2 * rooms * (places as u64 / 2 + 4);
        let mut behind = BTreeMap::new();
        for number in 0..shard.connections.numbers_end() {
            let Some(connection) = shard.connections.get(number) else { continue };
            let unread = connection.extra.as_ref().map_or(0, |extra| extra.unread.len());
            assert!(unread <= UNREAD_BYTES_MAX, "{unread} unread bytes are held");
            let Some(room) = shard.rooms.get(connection.room) else { continue };
            let waits = connection.cursor < room.window.head() && room.queued == crate::engine::ring::Queued::Running;
            if !connection.is_open_and_unblocked() || !waits {
                continue;
            }
            let since = match self.behind.get(&number) {
                Some(since) if since.2 == connection.serial && connection.cursor < since.1 => *since,
                _ => (self.turns, room.window.head(), connection.serial),
            };
            assert!(self.turns - since.0 <= turns_max, "starved for {turns_max} turns, {places} places");
            behind.insert(number, since);
        }
        self.behind = behind;
    }
}

/// What one turn may append beyond the backlog: its own publications, and those of its inbox.
const KEPT_SLACK_BYTES: usize = 24 << 10;

/// What is held of one connection's received bytes: one read, or what came behind the handshake.
const UNREAD_BYTES_MAX: usize = 2_048;

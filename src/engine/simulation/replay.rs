//! What a replay costs: the past is in the window already, so whoever resumes is given a cursor, and no copy.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Planted;
use super::random::Random;
use super::socket::{FakeSocket, SharedWire, Wire, lock};
use super::world::World;
use crate::engine::admission::Permit;
use crate::engine::clock::Nanos;
use crate::engine::command::{Command, Join, Publication, Role};
use crate::engine::feed::Encoding;
use crate::engine::home::Held;
use crate::engine::metrics::Counter;
use crate::engine::position::{Epoch, Position, Start};
use crate::engine::session::Identity;
use crate::engine::settings::{Echo, RoomClass, RoomSettings, Settings};

const PUBLICATIONS: usize = 100;
const PAYLOAD_BYTES: usize = 100;
const MEMBERS: usize = 50;

/// The longest state line of `shardcast.v1` as a frame.
const STATE_BYTES_MAX: usize = 64;

/// A room of one shard that has published much to nobody.
fn world() -> World {
    let room = RoomSettings {
        history_count_max: 1_000,
        history_bytes_max: 1 << 20,
        history_age_max: Duration::from_secs(3_600),
        ..RoomSettings::default()
    };
    let rooms = vec![RoomClass { pattern: "*".to_owned(), settings: room }];
    let settings = Settings { shards: NonZeroUsize::new(1), rooms, ..Settings::default() };
    let mut world = World::with_settings(Random::new(1), settings, Planted::Nothing);
    for _ in 0..PUBLICATIONS {
        let room = world.directory.hold(&world.names[0]).expect("there are few rooms");
        let (reply, _) = oneshot::channel();
        let publication = Publication::text(Bytes::from(vec![b'x'; PAYLOAD_BYTES]));
        command(
            &mut world,
            Command::Publish { room, held: Held::ByPublisher, publication: Box::new(publication), reply },
        );
    }
    world
}

fn command(world: &mut World, command: Command<FakeSocket>) {
    let slot = world.nodes[0].sender.try_reserve(0).expect("the shard keeps up");
    assert!(slot.send(command).is_ok(), "the shard has not ended");
    world.turn(0, None);
}

/// Joins members who want all of the past, with so much space in their kernels' buffers.
fn join(world: &mut World, encoding: Encoding, capacity: usize) -> Vec<SharedWire> {
    (0..MEMBERS).map(|_| join_at(world, encoding, capacity, Start::Last(u32::MAX))).collect()
}

fn join_at(world: &mut World, encoding: Encoding, capacity: usize, start: Start) -> SharedWire {
    let room = world.directory.join(&world.names[0]).expect("there are few rooms");
    let mut wire = Wire::new(capacity, None, world.random.fork(), 0);
    wire.state_line_follows = encoding == Encoding::V1;
    let wire = Arc::new(Mutex::new(wire));
    let join = Join {
        socket: FakeSocket::new(Arc::clone(&wire)),
        role: Role::Member { room, encoding, start, echo: Echo::On, identity: Identity::default() },
        permit: Permit::uncounted(),
        greeting: Vec::new(),
        unread: Vec::new(),
        deflate: None,
        joined: None,
    };
    command(world, Command::Join(Box::new(join)));
    wire
}

fn sends(world: &World) -> u64 {
    world.nodes[0].shard.counts.get(Counter::Sends)
}

fn windows_bytes(world: &World) -> usize {
    let shard = &world.nodes[0].shard;
    shard.room_numbers.values().filter_map(|number| shard.rooms.get(*number)).map(|room| room.window.held_bytes()).sum()
}

/// What each connection holds for itself alone, bytes; 0 for one that has nothing unfinished at all.
fn own_bytes(world: &World) -> Vec<usize> {
    let connections = &world.nodes[0].shard.connections;
    let all = (0..connections.numbers_end()).filter_map(|number| connections.get(number));
    all.map(|connection| connection.extra.as_ref().map_or(0, |extra| extra.direct.capacity().max(1))).collect()
}

#[test]
fn a_replay_that_is_taken_at_once_costs_one_send_and_leaves_nothing() {
    for encoding in [Encoding::Raw, Encoding::V1] {
        let mut world = world();
        let wires = join(&mut world, encoding, 1 << 20);
        for wire in &wires {
            assert_eq!(lock(wire).handed_whole, PUBLICATIONS as u64);
        }
        assert_eq!(own_bytes(&world), [0; MEMBERS], "{encoding:?}: something of its own is left");
        assert_eq!(sends(&world), MEMBERS as u64, "{encoding:?}: a send of the whole past for each");
    }
}

#[test]
fn a_replay_that_is_stuck_is_not_copied() {
    for encoding in [Encoding::Raw, Encoding::V1] {
        let mut world = world();
        let wires = join(&mut world, encoding, 3 * PAYLOAD_BYTES);
        let one = windows_bytes(&world);
        assert!(one < 3 * PUBLICATIONS * (PAYLOAD_BYTES + STATE_BYTES_MAX), "{one} bytes for one copy of the past");
        join(&mut world, encoding, 3 * PAYLOAD_BYTES);
        assert_eq!(windows_bytes(&world), one, "{encoding:?}: more members, the same window");
        for bytes in own_bytes(&world) {
            assert!(bytes <= STATE_BYTES_MAX, "{encoding:?}: {bytes} bytes of a stuck member's own");
        }
        for wire in &wires {
            assert!((1..=3).contains(&lock(wire).handed_whole), "it is stuck");
        }
    }
}

/// The wheel of a shard without connections does not turn. Whoever comes next, and is closed at once, is not aborted in
/// the same turn: it is to read why.
#[test]
fn a_shard_that_slept_long_does_not_cut_off_whom_it_closes() {
    let mut world = world();
    for slept_s in [10, 100, 100_000] {
        world.now = Nanos(world.now.0 + slept_s * 1_000_000_000);
        let start = Start::After(Position { epoch: Epoch(1), offset: 1 });
        let wire = join_at(&mut world, Encoding::Raw, 1 << 10, start);
        let mut wire = lock(&wire);
        assert!(!wire.server_gone, "cut off after a sleep of {slept_s} s");
        assert_eq!(wire.client_read(4)[2..], 4410u16.to_be_bytes(), "a close frame");
        wire.client_reset();
        drop(wire);
        world.turn(0, None);
    }
}

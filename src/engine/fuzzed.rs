//! A shard with a few sessions and no threads, for the fuzz targets and for tests: what clients say comes in, what they
//! get goes out.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::admission::Permit;
use super::asking::Ask;
use super::clock::{Nanos, Unix};
use super::command::{Command, Join, Publication, Role};
use super::directory::{Directory, Room};
use super::home::Held;
use super::inbox::{Sender, Wake, inbox};
use super::outbox::Outbox;
use super::room::RoomName;
use super::session::{Identity, SessionTerms, Transport};
use super::settings::{Delta, LagPolicy, Recovery, RoomClass, RoomSettings, Settings};
use super::shard::{Parts, Ready, Shard, Turn};
use super::socket::Socket;

/// Turns after which a shard that still wants another one goes round in circles.
const TURNS_MAX: usize = 100_000;

#[derive(Default)]
struct Wire {
    to_server: VecDeque<u8>,
    to_client: Vec<u8>,
    /// Most bytes that the client leaves unread.
    capacity: usize,
    ended: bool,
    gone: bool,
}

type SharedWire = Arc<Mutex<Wire>>;

fn lock(wire: &SharedWire) -> MutexGuard<'_, Wire> {
    wire.lock().expect("one thread")
}

struct FakeSocket(SharedWire);

impl Drop for FakeSocket {
    fn drop(&mut self) {
        lock(&self.0).gone = true;
    }
}

impl Socket for FakeSocket {
    /// Its connection's number is its place in the order of coming.
    type Poller = ();

    fn register(&mut self, (): &(), _number: u32) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = lock(&self.0);
        let length = buffer.len().min(wire.to_server.len());
        if length == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        for (to, from) in buffer.iter_mut().zip(wire.to_server.drain(..length)) {
            *to = from;
        }
        Ok(length)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = lock(&self.0);
        assert!(!wire.ended, "something is sent after the end");
        let length = bytes.len().min(wire.capacity - wire.to_client.len());
        if length == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.to_client.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn end_sending(&mut self) {
        assert!(!std::mem::replace(&mut lock(&self.0).ended, true), "a stream is ended once");
    }

    fn abort(&mut self) {}
}

struct NoBell;

impl Wake for NoBell {
    fn wake(&self) {}
}

/// See the module.
pub struct Sessions {
    shard: Shard<FakeSocket>,
    sender: Sender<FakeSocket>,
    directory: Arc<Directory>,
    wires: Vec<SharedWire>,
    now: Nanos,
}

impl Sessions {
    /// One client for each of `capacities`: bytes that it leaves unread before its socket takes no more. Rooms whose
    /// names begin with `h` keep a history. These, and those with `d`, send changes to who asks. A second letter says
    /// how they treat who lags (`s`kip, `l`atest), or what they keep: the newest counts (`c`ache), or more (`b`ig).
    #[must_use]
    pub fn new(capacities: &[usize]) -> Self {
        let changing = RoomSettings {
            window_count_max: 8,
            window_bytes_max: 4 << 10,
            delta: Delta::Fossil,
            ..RoomSettings::default()
        };
        let kept = RoomSettings {
            history_count_max: 10,
            history_bytes_max: 4 << 10,
            history_age_max: Duration::from_secs(60),
            ..changing.clone()
        };
        let class = |pattern: &str, settings: &RoomSettings, lag| {
            let (pattern, settings) = (pattern.to_owned(), RoomSettings { lag, ..settings.clone() });
            RoomClass { pattern, settings }
        };
        let big = RoomSettings { history_count_max: 100, history_bytes_max: 64 << 10, ..kept.clone() };
        let cache = RoomSettings { recovery: Recovery::Cache, ..kept.clone() };
        let rooms = vec![
            class("hb*", &big, LagPolicy::Skip),
            class("hc*", &cache, LagPolicy::Skip),
            class("hs*", &kept, LagPolicy::Skip),
            class("h*", &kept, LagPolicy::Disconnect),
            class("ds*", &changing, LagPolicy::Skip),
            class("dl*", &changing, LagPolicy::Latest),
            class("d*", &changing, LagPolicy::Disconnect),
        ];
        let settings = Arc::new(Settings { shards: NonZeroUsize::new(1), rooms, ..Settings::default() });
        let directory = Directory::new(Arc::clone(&settings), 1);
        let (sender, inbox) =
            inbox(settings.limits.inbox_entries_max, settings.limits.backlog_bytes_max, Box::new(NoBell));
        let shard = Shard::new(Parts {
            own_number: 0,
            settings,
            directory: Arc::clone(&directory),
            poller: (),
            inbox,
            outbox: Outbox::new(0, vec![sender.peer()]),
            unix: Unix::default(),
            epoch_seed: 7,
        });
        let mut sessions = Self { shard, sender, directory, wires: Vec::new(), now: Nanos(1_000_000_000) };
        for capacity in capacities {
            sessions.join(*capacity);
        }
        sessions.settle();
        sessions
    }

    fn join(&mut self, capacity: usize) {
        let wire = Arc::new(Mutex::new(Wire { capacity, ..Wire::default() }));
        let (transport, identity) = (Transport::WebSocket, Identity::default());
        let join = Join {
            socket: FakeSocket(Arc::clone(&wire)),
            role: Role::Session(SessionTerms { transport, identity, commands: Vec::new() }),
            permit: Permit::uncounted(),
            greeting: Vec::new(),
            unread: Vec::new(),
            deflate: None,
            joined: None,
        };
        self.wires.push(wire);
        self.command(Command::Join(Box::new(join)));
    }

    fn command(&mut self, command: Command<FakeSocket>) {
        let slot = self.sender.try_reserve(0).expect("the inbox is emptied after each command");
        assert!(slot.send(command).is_ok(), "the shard has not ended");
        self.settle();
    }

    /// A client's bytes arrive, as they are on the wire.
    pub fn send(&mut self, client: usize, bytes: &[u8]) {
        lock(&self.wires[client]).to_server.extend(bytes);
        self.settle();
    }

    /// Takes what a client has got since.
    pub fn receive(&mut self, client: usize) -> Vec<u8> {
        let mut received = Vec::new();
        loop {
            let more = std::mem::take(&mut lock(&self.wires[client]).to_client);
            if more.is_empty() {
                return received;
            }
            received.extend(more);
            self.settle();
        }
    }

    /// Whether the server has ended a client's stream.
    #[must_use]
    pub fn is_over(&self, client: usize) -> bool {
        let wire = lock(&self.wires[client]);
        wire.ended || wire.gone
    }

    /// Somebody who is no client publishes a text. Nothing happens in a room that does not exist.
    pub fn publish(&mut self, room: &str, text: &str) {
        self.publish_as(room, Publication::text(Bytes::copy_from_slice(text.as_bytes())));
    }

    /// The same with anything else.
    pub fn publish_as(&mut self, room: &str, publication: Publication) {
        let Some(room) = self.room(room) else { return };
        let (reply, _) = oneshot::channel();
        self.command(Command::Publish { room, held: Held::No, publication: Box::new(publication), reply });
    }

    /// Somebody removes what a room has kept.
    pub fn forget(&mut self, room: &str) {
        let Some(room) = self.room(room) else { return };
        let (reply, _) = oneshot::channel();
        self.command(Command::Ask { room, ask: Ask::Forget, reply });
    }

    fn room(&self, name: &str) -> Option<Arc<Room>> {
        RoomName::new(name).ok().and_then(|name| self.directory.get(&name))
    }

    /// In how many forms rooms are here: each for those who get the same bytes.
    #[must_use]
    pub fn feeds(&self) -> usize {
        self.shard.rooms.len()
    }

    /// Time goes by.
    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.settle();
    }

    /// Turns until the shard has nothing to do.
    fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            let ready = |(number, wire): (usize, &SharedWire)| {
                let wire = lock(wire);
                let (readable, writable) = (!wire.to_server.is_empty(), wire.to_client.len() < wire.capacity);
                let number = u32::try_from(number).expect("few");
                (!wire.gone).then_some(Ready { number, readable, hung_up: false, writable })
            };
            let ready: Vec<Ready> = self.wires.iter().enumerate().filter_map(ready).collect();
            self.now.0 += 1_000;
            match self.shard.turn(self.now, ready.into_iter()) {
                Turn::Again(Some(Duration::ZERO)) => {}
                // Time to gather, or what the next turn passes on to itself.
                Turn::Again(Some(wait)) if wait < Duration::from_millis(20) => self.now = self.now.after(wait),
                Turn::Again(_) => return,
                Turn::Ended => panic!("nobody told the shard to stop"),
            }
        }
        panic!("the shard goes round in circles");
    }
}

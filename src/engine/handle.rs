//! The engine as its user holds it: start, let connections in, publish, look, end.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use mio::{Poll, Waker};
use tokio::sync::{mpsc, oneshot};

use super::admission::{Admission, AdmissionError, Permit};
use super::adoption::{Adoption, Membership, Purpose};
use super::clock::{Clock, Unix};
use super::command::{Command, Drain, Drained, Join, Publication, Published, Role};
use super::directory::{Directory, RoomsFull};
use super::home::Held;
use super::inbox::{Inbox, Sender, inbox};
use super::joins::Joins;
use super::metrics::Snapshot;
use super::outbox::Outbox;
use super::room::RoomName;
use super::settings::{SHARDS_MAX, Settings};
use super::shard::{Parts, Shard};
use super::thread;
use crate::protocol::frame::MessageKind;

type Socket = mio::net::TcpStream;

/// A running engine. Cheap to clone; it ends with [`Engine::shutdown`] or [`Engine::stop`], or when nobody holds it.
#[derive(Clone)]
pub struct Engine {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) settings: Arc<Settings>,
    pub(super) directory: Arc<Directory>,
    admission: Arc<Admission>,
    pub(super) shards: Vec<ShardHandle>,
    /// Where the last connection went: see [`Shared::shard_for_next`].
    last_shard: AtomicUsize,
    threads: std::sync::Mutex<Vec<JoinHandle<io::Result<()>>>>,
}

pub(super) struct ShardHandle {
    pub(super) sender: Sender<Socket>,
    /// Connections that were given to it and have not gone: shared with their permits.
    pub(super) load: Arc<AtomicUsize>,
}

/// At most so many connections in a row go to one shard: see [`Shared::shard_for_next`].
const CONNECTIONS_IN_A_ROW_MAX: usize = 32;

/// A shard may have one in so many of its connections more than the shard with the fewest.
const SHARES_OF_LOAD: usize = 4;

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// More shards than can be.
    #[error("{actual} shards, there can be {SHARDS_MAX}")]
    TooManyShards {
        /// What was asked for.
        actual: usize,
    },
    /// The kernel refused a poller or a thread.
    #[error("a shard cannot be started")]
    Kernel(#[source] io::Error),
}

/// Why a connection does not become a member.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// Too many connections.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// Too many rooms.
    #[error(transparent)]
    Rooms(#[from] RoomsFull),
    /// The socket's options could not be set: it is gone.
    #[error("the stream is gone")]
    Socket(#[source] io::Error),
    /// The engine has ended, or the stream ended before it was a member.
    #[error("the engine or the stream has ended")]
    Ended,
}

/// Why a message is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Longer than the limit.
    #[error("message of {actual} bytes, limits.message_bytes_max is {limit}")]
    TooLong {
        /// Its length, bytes.
        actual: usize,
        /// The limit, bytes.
        limit: usize,
    },
    /// A text that is not UTF-8: no client could show it (RFC 6455 §8.1).
    #[error("text is not UTF-8 at byte {position}")]
    NotUtf8 {
        /// Where the first wrong byte is.
        position: usize,
    },
    /// The room is to keep it, and there are too many rooms.
    #[error(transparent)]
    Rooms(#[from] RoomsFull),
    /// The engine has ended.
    #[error("the engine has ended")]
    Ended,
}

/// The engine has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine has ended")]
pub struct Ended;

/// What the engine holds, all shards together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Connections, those in their handshake included.
    pub connections: usize,
    /// Rooms.
    pub rooms: usize,
    /// Shards.
    pub shards: usize,
}

impl Shared {
    /// The shard for one more connection: that with the fewest, give or take a few. Neighbours in the order of accept
    /// are neighbours in the kernel's memory too, so they stay together in runs: one by one over 4 shards on one core,
    /// a send costs a fifth more.
    pub(super) fn shard_for_next(&self) -> usize {
        let load = |shard: usize| self.shards[shard].load.load(Ordering::Relaxed);
        let fewest = (0..self.shards.len()).min_by_key(|shard| load(*shard)).expect("an engine has at least one shard");
        let last = self.last_shard.load(Ordering::Relaxed);
        let run = (load(fewest) / SHARES_OF_LOAD).clamp(1, CONNECTIONS_IN_A_ROW_MAX);
        if load(last) < load(fewest) + run {
            return last;
        }
        self.last_shard.store(fewest, Ordering::Relaxed);
        fewest
    }

    /// What a connection is on its shard: a member is counted as one from here on.
    pub(super) fn role(&self, purpose: Purpose) -> Result<Role, RoomsFull> {
        match purpose {
            Purpose::Member(Membership { room, encoding, start, echo, identity }) => {
                let room = self.directory.join(&room)?;
                Ok(Role::Member { room, encoding, start, echo, identity })
            }
            Purpose::Session(terms) => Ok(Role::Session(terms)),
        }
    }

    /// Takes [`Shared::role`] back, for a command that its shard did not take.
    pub(super) fn not_joined(&self, refused: Command<Socket>) {
        if let Command::Join(join) = refused
            && let Role::Member { room, .. } = join.role
        {
            self.directory.leave(&room);
        }
    }

    fn stop(&self) {
        for shard in &self.shards {
            shard.sender.stop();
        }
    }
}

impl Drop for Shared {
    /// Nobody holds the engine any more: its shards end as by [`Engine::stop`].
    fn drop(&mut self) {
        self.stop();
    }
}

impl Engine {
    /// Starts one thread per shard. A shard is pinned to a core of those that the calling thread may use.
    ///
    /// # Errors
    /// Too many shards are asked for, or the kernel refuses a poller or a thread.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = settings.shards.map_or_else(|| cores.min(SHARDS_MAX), usize::from);
        if shards > SHARDS_MAX {
            return Err(StartError::TooManyShards { actual: shards });
        }
        let settings = Arc::new(settings);
        let directory = Directory::new(Arc::clone(&settings), shards);
        let mut ends = Vec::with_capacity(shards);
        for _ in 0..shards {
            ends.push(shard_ends(&settings).map_err(StartError::Kernel)?);
        }
        let peers: Vec<_> = ends.iter().map(|(sender, ..)| sender.peer()).collect();
        let (clock, unix, epoch_seed) =
            (Clock::start(), Unix::start(), RandomState::new().hash_one(std::process::id()));
        let (mut handles, mut threads) = (Vec::new(), Vec::new());
        for (own_number, (sender, inbox, poll)) in ends.into_iter().enumerate() {
            let poller = poll.registry().try_clone().map_err(StartError::Kernel)?;
            let (settings, directory) = (Arc::clone(&settings), Arc::clone(&directory));
            let outbox = Outbox::new(own_number, peers.clone());
            let pinning = settings.pinning;
            let epoch_seed = epoch_seed.wrapping_add((own_number as u64) << 48);
            let parts = Parts { own_number, settings, directory, poller, inbox, outbox, unix, epoch_seed };
            let thread = std::thread::Builder::new().name(format!("shard-{own_number}")).spawn(move || {
                thread::pin(own_number, pinning);
                thread::run(Shard::new(parts), poll, clock)
            });
            threads.push(thread.map_err(StartError::Kernel)?);
            handles.push(ShardHandle { sender, load: Arc::new(AtomicUsize::new(0)) });
        }
        let admission = Admission::new(&settings.limits);
        let threads = std::sync::Mutex::new(threads);
        let last_shard = AtomicUsize::new(0);
        let shared = Shared { settings, directory, admission, shards: handles, last_shard, threads };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The settings that it was started with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Counts a connection from `address` against the limits. It is counted until the permit is dropped.
    ///
    /// # Errors
    /// There are too many connections, in all or from this address.
    pub fn admit(&self, address: Option<std::net::IpAddr>) -> Result<Permit, AdmissionError> {
        self.shared.admission.admit(address)
    }

    /// Takes a connection for life. Ready when it is a member: whatever is published from then on reaches it.
    ///
    /// # Errors
    /// There are too many rooms, the stream is gone, or the engine has ended.
    pub async fn adopt(&self, adoption: Adoption, permit: Permit) -> Result<(), JoinError> {
        let (tell, joined) = oneshot::channel();
        self.hand_over(adoption, permit, Some(tell)).await.map_err(|(error, _)| error)?;
        joined.await.map_err(|_| JoinError::Ended)
    }

    /// Like [`Engine::adopt`], but does not wait until the connection is a member: the greeting tells the client.
    ///
    /// # Errors
    /// As [`Engine::adopt`]; with the stream, so that the client can be told, unless that is gone.
    pub async fn join(&self, adoption: Adoption, permit: Permit) -> Result<(), (JoinError, Option<TcpStream>)> {
        self.hand_over(adoption, permit, None).await
    }

    async fn hand_over(
        &self,
        adoption: Adoption,
        permit: Permit,
        joined: Option<oneshot::Sender<()>>,
    ) -> Result<(), (JoinError, Option<TcpStream>)> {
        let Adoption { stream, unread, greeting, deflate, purpose } = adoption;
        if let Err(error) = self.prepare(&stream) {
            return Err((JoinError::Socket(error), None));
        }
        let shard = &self.shared.shards[self.shared.shard_for_next()];
        let Some(slot) = shard.sender.reserve(unread.len()).await else { return Err((JoinError::Ended, Some(stream))) };
        let role = match self.shared.role(purpose) {
            Ok(role) => role,
            Err(full) => return Err((full.into(), Some(stream))),
        };
        let permit = permit.on_shard(&shard.load);
        let join = Join { socket: Socket::from_std(stream), role, permit, greeting, unread, deflate, joined };
        slot.send(Command::Join(Box::new(join))).map_err(|refused| {
            self.shared.not_joined(refused);
            (JoinError::Ended, None)
        })
    }

    /// A door into this engine, for sockets of a listener that was prepared with [`Engine::prepare_listener`].
    #[must_use]
    pub fn joins(&self) -> Joins {
        Joins::new(self.clone())
    }

    /// Sets the options that connections' sockets need on a listener: what it accepts inherits them (Linux, tcp(7)).
    ///
    /// # Errors
    /// The kernel refuses one.
    pub fn prepare_listener(&self, listener: &impl AsFd) -> io::Result<()> {
        self.set_options(socket2::SockRef::from(listener))
    }

    /// Sets the options of a connection's socket: see [`super::settings::Limits`].
    fn prepare(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        self.set_options(socket2::SockRef::from(stream))
    }

    fn set_options(&self, socket: socket2::SockRef<'_>) -> io::Result<()> {
        let limits = &self.shared.settings.limits;
        // Loopback (a proxy on this machine) cannot be congested, and to model it as BBR does costs 3 to 4 % of a send.
        // Reno is in every kernel and open to everybody. An error leaves what the machine has set.
        if socket.local_addr()?.as_socket().is_some_and(|own| own.ip().to_canonical().is_loopback()) {
            socket.set_tcp_congestion(b"reno").ok();
        }
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(limits.unsent_bytes_max)?;
        socket.set_tcp_user_timeout(Some(limits.unacknowledged_time_max))
    }

    /// Publishes `payload` to everybody in `room`. Ready when it has its place in the room's order; waits while the
    /// room's shards are behind.
    ///
    /// # Errors
    /// The payload is too long, or a text that is not UTF-8; the engine has ended.
    pub async fn publish(&self, room: &RoomName, kind: MessageKind, payload: Bytes) -> Result<Published, PublishError> {
        self.publish_with(room, Publication::of(kind, payload)).await
    }

    /// The same, with all that can be said about a publication.
    ///
    /// # Errors
    /// As [`Engine::publish`]; the room is to keep it and there are too many rooms.
    pub async fn publish_with(&self, room: &RoomName, publication: Publication) -> Result<Published, PublishError> {
        let Publication { kind, payload, .. } = &publication;
        let (actual, limit) = (payload.len(), self.shared.settings.limits.message_bytes_max);
        if actual > limit {
            return Err(PublishError::TooLong { actual, limit });
        }
        if *kind == MessageKind::Text
            && let Err(error) = simdutf8::compat::from_utf8(payload)
        {
            return Err(PublishError::NotUtf8 { position: error.valid_up_to() });
        }
        let (room, held) = if self.shared.settings.for_room(room.as_str()).has_history() {
            // Not merely looked up: it must not go between here and its home.
            (self.shared.directory.hold(room)?, Held::ByPublisher)
        } else {
            // A room without members has no log to keep it either: it exists for this publication only.
            let nobody = Published { offset: 1, members: 0, epoch: None };
            let Some(room) = self.shared.directory.get(room) else { return Ok(nobody) };
            (room, Held::No)
        };
        let sender = &self.shared.shards[room.home].sender;
        let slot = sender.reserve(actual).await;
        let (reply, published) = oneshot::channel();
        let command = Command::Publish { room: Arc::clone(&room), held, publication: Box::new(publication), reply };
        // Nothing is taken back where it fails: the engine has ended, and its directory with it.
        slot.ok_or(PublishError::Ended)?.send(command).map_err(|_| PublishError::Ended)?;
        published.await.map_err(|_| PublishError::Ended)
    }

    /// The rooms that there are and their members on all shards. Walks over all rooms, a part at a time.
    #[must_use]
    pub fn rooms(&self) -> Vec<(RoomName, u32)> {
        self.shared.directory.list()
    }

    /// Members of `room`, on all shards.
    #[must_use]
    pub fn members(&self, room: &RoomName) -> u32 {
        self.shared.directory.get(room).map_or(0, |room| room.members())
    }

    /// What the engine holds now. Reads counters, asks no shard.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            connections: self.shared.admission.connections(),
            rooms: self.shared.directory.len(),
            shards: self.shared.shards.len(),
        }
    }

    /// Entries that wait in each shard's inbox.
    #[must_use]
    pub fn inbox_depths(&self) -> Vec<usize> {
        self.shared.shards.iter().map(|shard| shard.sender.depth()).collect()
    }

    /// How things stand on each shard; `None` for one that has ended. Waits for the slowest: give it a time limit.
    pub async fn snapshots(&self) -> Vec<Option<Box<Snapshot>>> {
        let mut asked = Vec::new();
        for shard in &self.shared.shards {
            let (reply, snapshot) = oneshot::channel();
            let slot = shard.sender.reserve(0).await;
            let sent = slot.and_then(|slot| slot.send(Command::Snapshot(reply)).ok());
            asked.push(sent.map(|()| snapshot));
        }
        let mut snapshots = Vec::new();
        for snapshot in asked {
            snapshots.push(match snapshot {
                Some(snapshot) => snapshot.await.ok(),
                None => None,
            });
        }
        snapshots
    }

    /// Sends something the way that publications go, from every home through every shard and back. Ready when all have
    /// answered; waits for the slowest: give it a time limit.
    ///
    /// # Errors
    /// A shard has ended.
    pub async fn probe(&self) -> Result<(), PublishError> {
        let shards = self.shared.shards.len();
        let (reply, mut answers) = mpsc::channel(shards * shards);
        for shard in &self.shared.shards {
            let slot = shard.sender.reserve(0).await.ok_or(PublishError::Ended)?;
            slot.send(Command::Probe(reply.clone())).map_err(|_| PublishError::Ended)?;
        }
        drop(reply);
        for _ in 0..shards * shards {
            answers.recv().await.ok_or(PublishError::Ended)?;
        }
        Ok(())
    }

    /// Closes every connection in order, spread over a time, then ends. What was accepted before is delivered first.
    pub async fn shutdown(&self, drain: Drain) -> Drained {
        let mut waiting = Vec::new();
        for shard in &self.shared.shards {
            let (tell, drained) = oneshot::channel();
            if let Some(slot) = shard.sender.reserve(0).await
                && slot.send(Command::Drain(drain, tell)).is_ok()
            {
                waiting.push(drained);
            }
        }
        let mut total = Drained::default();
        for drained in waiting {
            if let Ok(drained) = drained.await {
                total.closed += drained.closed;
                total.aborted += drained.aborted;
            }
        }
        self.stop();
        total
    }

    /// Ends at once: connections are dropped as they are. Does not wait for the threads: see [`Engine::wait`].
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Waits until the shards' threads have ended, after [`Engine::shutdown`] or [`Engine::stop`], or because of an
    /// error.
    ///
    /// # Errors
    /// The poller of a shard failed.
    ///
    /// # Panics
    /// If a shard's thread panicked.
    pub fn wait(&self) -> io::Result<()> {
        let threads = std::mem::take(&mut *self.shared.threads.lock().expect("nobody panics while holding it"));
        for thread in threads {
            thread.join().expect("a shard does not panic")?;
        }
        Ok(())
    }
}

/// The two ends of a shard's inbox, and its poller.
fn shard_ends(settings: &Settings) -> io::Result<(Sender<Socket>, Inbox<Socket>, Poll)> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), thread::WAKER)?;
    let limits = &settings.limits;
    let (sender, inbox) = inbox(limits.inbox_entries_max, limits.backlog_bytes_max, Box::new(waker));
    Ok((sender, inbox, poll))
}

/// A drain over `spread` that tells clients to come back (1012, service restart).
impl From<Duration> for Drain {
    fn from(spread: Duration) -> Self {
        Self { spread, code: 1012 }
    }
}

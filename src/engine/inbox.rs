//! How anything reaches a shard: bounded lock-free queues, and one wake-up for as long as the shard sleeps.
//!
//! | queue | filled by | emptied when | full |
//! |---|---|---|---|
//! | commands | front door, API, engine handle | publishers need not wait | a slot is reserved first: never |
//! | publishes | shards, for rooms with their home here | its deliveries go out | the sender keeps it, reads nobody |
//! | deliveries | homes, for rooms with members here | the fan-out's backlog allows | likewise |
//!
//! Deliveries wait for nothing but this shard's own fan-out, which waits for nobody: so they always move on, hence
//! publishes do, hence no ring of shards can wait for each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use crossbeam_channel::{Receiver, bounded};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::command::Command;
use super::post::{ToHome, ToShard};

/// More entries than anybody needs, and few enough for a semaphore.
const COMMAND_SLOTS_MAX: usize = 1 << 20;

/// Payload bytes that count as one command.
const COMMAND_SLOT_BYTES: usize = 4 << 10;

/// Wakes a shard's poller. The simulation only notes it.
pub(crate) trait Wake: Send + Sync + 'static {
    fn wake(&self);
}

impl Wake for mio::Waker {
    fn wake(&self) {
        // An error here is a full eventfd counter, hence a wake-up that is under way.
        Self::wake(self).ok();
    }
}

/// What tells a sleeping shard that there is something in its inbox.
struct Bell {
    /// True from just before the shard looks at its queues for the last time until it is awake again.
    asleep: AtomicBool,
    /// Set once: the shard is to end, whatever its queues hold.
    stopped: AtomicBool,
    waker: Box<dyn Wake>,
}

impl Bell {
    /// After a push. A shard that is awake looks into its queues before it sleeps, so it need not be told.
    fn ring(&self) {
        // Pairs with the fence in `Inbox::may_sleep`: either we see it asleep, or it sees what we pushed.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            self.waker.wake();
        }
    }
}

/// The front door's and the engine handle's end of one shard's inbox.
pub(crate) struct Sender<S> {
    commands: crossbeam_channel::Sender<(Command<S>, OwnedSemaphorePermit)>,
    slots: Arc<Semaphore>,
    slots_max: u32,
    peer: Peer,
}

/// A place in a shard's command queue.
pub(crate) struct Slot<'s, S> {
    sender: &'s Sender<S>,
    permit: OwnedSemaphorePermit,
}

/// Another shard's end.
#[derive(Clone)]
pub(crate) struct Peer {
    publishes: Pipe<ToHome>,
    deliveries: Pipe<ToShard>,
    bell: Arc<Bell>,
}

/// Shard to shard, bounded in entries and in bytes.
struct Pipe<T> {
    sender: crossbeam_channel::Sender<(T, usize)>,
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// The receiving end of a [`Pipe`].
pub(crate) struct PipeEnd<T> {
    receiver: Receiver<(T, usize)>,
    bytes: Arc<AtomicUsize>,
}

/// The shard's own end.
pub(crate) struct Inbox<S> {
    pub(crate) commands: Receiver<(Command<S>, OwnedSemaphorePermit)>,
    pub(crate) publishes: PipeEnd<ToHome>,
    pub(crate) deliveries: PipeEnd<ToShard>,
    bell: Arc<Bell>,
}

/// An inbox with room for `entries` in each queue, and for `bytes_max` in each queue from other shards (one entry may
/// go beyond it).
pub(crate) fn inbox<S>(entries: usize, bytes_max: usize, waker: Box<dyn Wake>) -> (Sender<S>, Inbox<S>) {
    let entries = entries.clamp(1, COMMAND_SLOTS_MAX);
    let (to_commands, commands) = bounded(entries);
    let (to_publishes, publishes) = pipe(entries, bytes_max);
    let (to_deliveries, deliveries) = pipe(entries, bytes_max);
    let bell = Arc::new(Bell { asleep: AtomicBool::new(false), stopped: AtomicBool::new(false), waker });
    let peer = Peer { publishes: to_publishes, deliveries: to_deliveries, bell: Arc::clone(&bell) };
    let slots_max = u32::try_from(entries).unwrap_or(u32::MAX);
    let sender = Sender { commands: to_commands, slots: Arc::new(Semaphore::new(entries)), slots_max, peer };
    (sender, Inbox { commands, publishes, deliveries, bell })
}

fn pipe<T>(entries: usize, bytes_max: usize) -> (Pipe<T>, PipeEnd<T>) {
    let (sender, receiver) = bounded(entries);
    let bytes = Arc::new(AtomicUsize::new(0));
    (Pipe { sender, bytes: Arc::clone(&bytes), bytes_max }, PipeEnd { receiver, bytes })
}

impl<T> Clone for Pipe<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), bytes: Arc::clone(&self.bytes), bytes_max: self.bytes_max }
    }
}

impl<T> Pipe<T> {
    /// Gives the entry back if the queue is full.
    fn push(&self, entry: T, len_bytes: usize) -> Result<(), T> {
        if self.bytes.load(Ordering::Relaxed) >= self.bytes_max {
            return Err(entry);
        }
        self.bytes.fetch_add(len_bytes, Ordering::Relaxed);
        self.sender.try_send((entry, len_bytes)).map_err(|error| {
            self.bytes.fetch_sub(len_bytes, Ordering::Relaxed);
            error.into_inner().0
        })
    }
}

impl<T> PipeEnd<T> {
    pub(crate) fn pop(&self) -> Option<T> {
        let (entry, len_bytes) = self.receiver.try_recv().ok()?;
        self.bytes.fetch_sub(len_bytes, Ordering::Relaxed);
        Some(entry)
    }

    fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}

impl<S> Sender<S> {
    /// Waits until the command queue has a place for a command that carries `len_bytes`.
    pub(crate) async fn reserve(&self, len_bytes: usize) -> Option<Slot<'_, S>> {
        let permit = Arc::clone(&self.slots).acquire_many_owned(self.slots_for(len_bytes)).await.ok()?;
        Some(Slot { sender: self, permit })
    }

    /// A place in the command queue for a command that carries `len_bytes`, if there is one now.
    pub(crate) fn try_reserve(&self, len_bytes: usize) -> Option<Slot<'_, S>> {
        let permit = Arc::clone(&self.slots).try_acquire_many_owned(self.slots_for(len_bytes)).ok()?;
        Some(Slot { sender: self, permit })
    }

    /// After [`Slot::send_silently`].
    pub(crate) fn ring(&self) {
        self.peer.ring();
    }

    /// A long payload counts as several commands, so that the queue's bytes are bounded as well.
    fn slots_for(&self, len_bytes: usize) -> u32 {
        u32::try_from(len_bytes / COMMAND_SLOT_BYTES).unwrap_or(u32::MAX).saturating_add(1).min(self.slots_max)
    }

    /// Tells the shard to end. Needs no place in a queue: it must not be lost when they are full.
    pub(crate) fn stop(&self) {
        self.peer.bell.stopped.store(true, Ordering::Relaxed);
        self.peer.bell.ring();
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer.clone()
    }

    /// Entries that wait for the shard.
    pub(crate) fn depth(&self) -> usize {
        self.commands.len() + self.peer.publishes.sender.len() + self.peer.deliveries.sender.len()
    }
}

impl<S> Slot<'_, S> {
    /// Puts `command` into its place. The command comes back if the shard has ended.
    pub(crate) fn send(self, command: Command<S>) -> Result<(), Command<S>> {
        let sender = self.sender;
        let sent = self.send_silently(command);
        sender.ring();
        sent
    }

    /// The same, but a sleeping shard learns of it only by [`Sender::ring`].
    pub(crate) fn send_silently(self, command: Command<S>) -> Result<(), Command<S>> {
        let sent = self.sender.commands.try_send((command, self.permit));
        sent.map_err(|error| error.into_inner().0)
    }
}

impl Peer {
    /// Gives the entry back if the inbox is full.
    pub(crate) fn publish(&self, entry: ToHome) -> Result<(), ToHome> {
        let len_bytes = entry.len_bytes();
        self.publishes.push(entry, len_bytes)
    }

    /// Gives the entry back if the inbox is full.
    pub(crate) fn deliver(&self, entry: ToShard) -> Result<(), ToShard> {
        let len_bytes = entry.len_bytes();
        self.deliveries.push(entry, len_bytes)
    }

    pub(crate) fn ring(&self) {
        self.bell.ring();
    }
}

impl<S> Inbox<S> {
    /// Called before sleeping: whether there is nothing to be done. From then on a push wakes the shard.
    pub(crate) fn may_sleep(&self) -> bool {
        self.bell.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let empty = self.commands.is_empty() && self.publishes.is_empty() && self.deliveries.is_empty();
        let may_sleep = empty && !self.is_stopped();
        if !may_sleep {
            self.awake();
        }
        may_sleep
    }

    /// Whether the shard is to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.bell.stopped.load(Ordering::Relaxed)
    }

    /// Called after sleeping.
    pub(crate) fn awake(&self) {
        self.bell.asleep.store(false, Ordering::Relaxed);
    }
}

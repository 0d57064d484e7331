//! A kernel of our own: stream sockets with small buffers, and an edge-triggered poller as epoll is one.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use super::random::Random;
use super::reader::Item;
use super::sessions::stream::{Hearing, is_delivery};
use crate::engine::session::Transport;
use crate::engine::shard::Ready;
use crate::engine::socket::Socket;

/// One stream, as both ends and the kernel see it.
#[expect(clippy::struct_excessive_bools, reason = "how far each end and the poller have got is independent")]
pub(super) struct Wire {
    /// Sent by the server, not read by the client. Holds at most `capacity` bytes.
    to_client: VecDeque<u8>,
    capacity: usize,
    /// Sent by the client, not received by the server.
    to_server: VecDeque<u8>,
    /// The client has ended its sending (FIN).
    client_ended: bool,
    /// The client has reset the stream (RST).
    client_reset: bool,
    pub(super) server_ended: bool,
    /// The server has dropped its socket.
    pub(super) server_gone: bool,
    /// The drop was a reset: what the client had not read is lost.
    pub(super) server_reset: bool,
    /// It stands in the poller's ready list.
    pending: bool,
    /// The server was refused space, or was told that there is none: it is owed an edge when there is some again.
    owes_writable: bool,
    random: Random,
    /// One send in so many takes less than there is space for; `None`: no send.
    short_one_in: Option<usize>,
    pub(super) refuses_poller: bool,
    /// Follows what the server sends, to count what has been handed over whole.
    handed: Hearing,
    pub(super) handed_whole: u64,
    /// Whether the next message is no publication: the first of `shardcast.v1` says where the client begins.
    pub(super) state_line_follows: bool,
    /// Whether its server side says more than publications.
    is_session: bool,
}

pub(super) type SharedWire = Arc<Mutex<Wire>>;

pub(super) fn lock<T>(shared: &Arc<Mutex<T>>) -> MutexGuard<'_, T> {
    shared.lock().expect("nobody panics while holding it")
}

impl Wire {
    pub(super) fn new(capacity: usize, short_one_in: Option<usize>, random: Random, greeting_len: usize) -> Self {
        Self {
            to_client: VecDeque::new(),
            capacity,
            to_server: VecDeque::new(),
            client_ended: false,
            client_reset: false,
            server_ended: false,
            server_gone: false,
            server_reset: false,
            pending: false,
            owes_writable: false,
            random,
            short_one_in,
            refuses_poller: false,
            handed: Hearing::new(Transport::WebSocket, greeting_len),
            handed_whole: 0,
            state_line_follows: false,
            is_session: false,
        }
    }

    /// The server's side is read like this.
    pub(super) fn follow(&mut self, hearing: Hearing) {
        self.handed = hearing;
    }

    /// It is that of a session.
    pub(super) fn follow_session(&mut self, hearing: Hearing) {
        (self.handed, self.is_session) = (hearing, true);
    }

    fn space(&self) -> usize {
        self.capacity - self.to_client.len()
    }

    /// As `sk_stream_is_writable`: a third must be free.
    fn is_writable(&self) -> bool {
        self.client_reset || self.space() >= (self.capacity / 3).max(1)
    }

    /// The client's bytes arrive.
    pub(super) fn client_write(&mut self, bytes: impl Iterator<Item = u8>) {
        if self.server_gone || self.client_ended || self.client_reset {
            return;
        }
        self.to_server.extend(bytes);
        self.pending = true;
    }

    /// Bytes that the server has not received.
    pub(super) fn unreceived(&self) -> usize {
        self.to_server.len()
    }

    pub(super) fn unread(&self) -> usize {
        self.to_client.len()
    }

    pub(super) fn client_read(&mut self, max: usize) -> Vec<u8> {
        let len = max.min(self.to_client.len());
        let bytes = self.to_client.drain(..len).collect();
        if self.owes_writable && self.is_writable() {
            self.owes_writable = false;
            self.pending = true;
        }
        bytes
    }

    pub(super) const fn client_end(&mut self) {
        self.client_ended = true;
        self.pending = true;
    }

    pub(super) fn client_reset(&mut self) {
        self.client_reset = true;
        self.to_server.clear();
        self.to_client.clear();
        self.pending = true;
    }

    /// Whether the server has been told that this stream is over, and has not let it go.
    pub(super) const fn is_left_by_client(&self) -> bool {
        !self.server_gone && (self.client_ended || self.client_reset)
    }

    pub(super) const fn is_torn(&self) -> bool {
        !self.handed.is_at_boundary()
    }

    fn interrupted(&mut self) -> io::Result<()> {
        if self.random.one_in(50) { Err(ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupted()?;
        if self.client_reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if self.to_server.is_empty() {
            return if self.client_ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let len = buffer.len().min(self.to_server.len());
        for (to, from) in buffer.iter_mut().zip(self.to_server.drain(..len)) {
            *to = from;
        }
        Ok(len)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.server_ended, "something is sent after end_sending");
        assert!(!bytes.is_empty(), "an empty send costs a system call");
        self.interrupted()?;
        if self.client_reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let mut len = bytes.len().min(self.space());
        if len > 0 && self.short_one_in.is_some_and(|times| self.random.one_in(times)) {
            // Memory was short for a moment: the edge follows at once.
            len = self.random.below(len + 1);
            self.pending |= len < bytes.len();
        } else {
            self.owes_writable |= len < bytes.len();
        }
        if len == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.to_client.extend(&bytes[..len]);
        self.handed.feed(&bytes[..len]);
        while let Some(item) = self.handed.next_item() {
            let counts = match item {
                Item::Message(_, message) if self.is_session => is_delivery(&message),
                Item::Message(..) => !std::mem::take(&mut self.state_line_follows),
                // It stands in the place of a publication that is not kept, and is counted as if it were that.
                Item::Pong(payload) => payload.is_empty(),
                _ => false,
            };
            self.handed_whole += u64::from(counts);
        }
        Ok(len)
    }

    /// What the poller says of it now, if it is in the ready list.
    fn poll(&mut self, number: u32) -> Option<Ready> {
        if !std::mem::take(&mut self.pending) {
            return None;
        }
        let hung_up = self.client_ended || self.client_reset;
        let readable = !self.to_server.is_empty() || hung_up;
        let writable = self.is_writable();
        self.owes_writable |= !writable;
        (readable || writable).then_some(Ready { number, readable, hung_up, writable })
    }
}

/// The server's end of a wire.
pub(super) struct FakeSocket {
    wire: SharedWire,
    aborts: bool,
}

impl FakeSocket {
    pub(super) const fn new(wire: SharedWire) -> Self {
        Self { wire, aborts: false }
    }
}

impl Drop for FakeSocket {
    fn drop(&mut self) {
        let Ok(mut wire) = self.wire.lock() else { return };
        wire.server_gone = true;
        if self.aborts || !wire.to_server.is_empty() {
            wire.server_reset = true;
            wire.to_client.clear();
        }
    }
}

/// The registered wires of one shard.
#[derive(Clone, Default)]
pub(super) struct Poller(Arc<Mutex<Vec<(u32, SharedWire)>>>);

impl Poller {
    /// Takes the ready list.
    pub(super) fn poll(&self) -> Vec<Ready> {
        let mut wires = lock(&self.0);
        wires.retain(|(_, wire)| !lock(wire).server_gone);
        wires.iter().filter_map(|(number, wire)| lock(wire).poll(*number)).collect()
    }

    pub(super) fn has_ready(&self) -> bool {
        lock(&self.0).iter().any(|(_, wire)| {
            let wire = lock(wire);
            wire.pending && !wire.server_gone
        })
    }
}

impl Socket for FakeSocket {
    type Poller = Poller;

    fn register(&mut self, poller: &Poller, number: u32) -> io::Result<()> {
        if lock(&self.wire).refuses_poller {
            return Err(ErrorKind::OutOfMemory.into());
        }
        lock(&self.wire).pending = true;
        lock(&poller.0).push((number, Arc::clone(&self.wire)));
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        lock(&self.wire).receive(buffer)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.wire).send(bytes)
    }

    fn end_sending(&mut self) {
        let mut wire = lock(&self.wire);
        assert!(!wire.server_ended, "a stream is ended once");
        wire.server_ended = true;
    }

    fn abort(&mut self) {
        self.aborts = true;
    }
}

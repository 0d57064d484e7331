//! Where connections come in: a thread per listener accepts, reads what the client sends first, and hands the socket to
//! a shard if that is a whole handshake.
//!
//! Sockets are accepted in batches and looked at afterwards: in a storm, most requests are there by then. Whoever has
//! sent nothing yet waits in this thread's own poller, up to `handshake.timeout`. So a handshake costs an accept, a
//! read or two and the join, and never belongs to the runtime; whatever is not a whole handshake becomes a task of it
//! ([`first_request`]). Shards are woken once per batch. The options of the sockets are set on the listener.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use shardcast::engine::{AdmissionError, Adoption, Joins, NotJoined, Permit};
use tokio::runtime::Handle;

use super::front_door::{Door, Reach, Stage, count, first_request, join, refusal_of, too_late};
use super::handshake::{Accepted, Head, Refusal};
use super::refused::Why;
use super::spare_file::SpareFile;

/// Connections that are accepted before the shards are told.
const BATCH: usize = 64;

/// Silent sockets that have something to be read, looked at before the shards are told.
const EVENTS: usize = 64;

/// Bytes of a request that a look takes: heads are shorter, mostly.
const LOOK_BYTES: usize = 2_048;

/// Between an accept that failed for a reason of the connection's own and the next.
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(1);

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
/// Tokens from here on are those of silent sockets.
const SOCKETS: usize = 2;

/// Whether connections may be waiting to be accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// None: the poller will tell.
    None,
    /// There may be some.
    Maybe,
    /// They have to wait until then.
    Until(Instant),
}

/// A client that has been let in.
struct Guest {
    stream: TcpStream,
    permit: Permit,
    /// When its request has to be there.
    deadline: Instant,
}

/// One listener's accept loop.
pub(crate) struct Gate {
    listener: TcpListener,
    reach: Reach,
    poll: Poll,
    /// Ends the wait for somebody who comes. Kept as long as the poller: without it, what it woke would be forgotten.
    _waker: Arc<Waker>,
    door: Door,
    joins: Joins,
    /// Where the tasks of requests that are no handshakes, or come in pieces, run.
    runtime: Handle,
    spare: SpareFile,
    waiting: Waiting,
    /// Of this batch.
    fresh: Vec<Guest>,
    /// Those who have sent nothing yet, by token: in the order of accept, and so of their deadlines.
    silent: BTreeMap<usize, Guest>,
    next_token: usize,
}

impl Gate {
    /// Takes a listener. Called within the runtime that the tasks are to run on.
    pub(crate) fn new(listener: std::net::TcpListener, door: Door) -> io::Result<Self> {
        let reach = Reach::of(listener.local_addr()?);
        listener.set_nonblocking(true)?;
        door.engine.prepare_listener(&listener)?;
        let mut listener = TcpListener::from_std(listener);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let kept_waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let waker = Arc::clone(&kept_waker);
        let mut stage = door.stage.clone();
        tokio::spawn(async move {
            // An error: nobody is left who could end the server, so it has ended.
            stage.wait_for(|stage| *stage == Stage::Closed).await.ok();
            waker.wake().ok();
        });
        let joins = door.engine.joins();
        Ok(Self {
            listener,
            reach,
            poll,
            _waker: kept_waker,
            door,
            joins,
            runtime: Handle::current(),
            spare: SpareFile::new(),
            waiting: Waiting::None,
            fresh: Vec::new(),
            silent: BTreeMap::new(),
            next_token: SOCKETS,
        })
    }

    /// Accepts until nobody is to be heard any more. Never spins, never dies: see [`SpareFile`].
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            if let Err(error) = self.poll.poll(&mut events, self.wait_max(Instant::now()))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the poller of a listener failed");
                return;
            }
            if self.door.stage() == Stage::Closed {
                for guest in std::mem::take(&mut self.silent).into_values() {
                    self.to_task(guest, Vec::new());
                }
                return;
            }
            self.round(&events, Instant::now());
        }
    }

    /// How long there is nothing to do unless something happens; `None`: for ever.
    fn wait_max(&self, now: Instant) -> Option<Duration> {
        let until_accept = match self.waiting {
            Waiting::None => None,
            Waiting::Maybe => Some(Duration::ZERO),
            Waiting::Until(end) => Some(end.saturating_duration_since(now)),
        };
        let until_late = self.silent.values().next().map(|oldest| oldest.deadline.saturating_duration_since(now));
        [until_accept, until_late].into_iter().flatten().min()
    }

    fn round(&mut self, events: &Events, now: Instant) {
        let accepts = match self.waiting {
            Waiting::None => events.iter().any(|event| event.token() == LISTENER),
            Waiting::Maybe => true,
            Waiting::Until(end) => end <= now,
        };
        if accepts {
            self.waiting = self.accept_batch(now);
        }
        for event in events {
            if let Some(mut guest) = self.silent.remove(&event.token().0) {
                // Nobody else's poller may tell this one of it. An error: then it does not.
                self.poll.registry().deregister(&mut guest.stream).ok();
                self.look(guest);
            }
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        for guest in fresh.drain(..) {
            self.look(guest);
        }
        self.fresh = fresh;
        self.joins.flush();
        while let Some(oldest) = self.silent.first_entry().filter(|oldest| oldest.get().deadline <= now) {
            self.door.counts.refused.count(Why::Timeout);
            answer(oldest.remove().stream, &too_late());
        }
    }

    fn accept_batch(&mut self, now: Instant) -> Waiting {
        for _ in 0..BATCH {
            match self.listener.accept() {
                Ok((stream, peer)) => {
                    self.spare.accepted();
                    self.welcome(stream, peer, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Waiting::None,
                Err(error) if is_out_of_files(&error) => {
                    self.door.counts.refused.count(Why::OutOfFiles);
                    if self.spare.first_in_a_row() {
                        tracing::warn!(%error, "no file left for a connection: raise the open files limit (ulimit -n)");
                    }
                    return Waiting::Until(now + self.spare.shed(&self.listener));
                }
                // The connection was gone before it was accepted (accept(2), "Error handling"), or a firewall forbids
                // it: that may last, hence the pause.
                Err(error) => {
                    tracing::debug!(%error, "accept");
                    return Waiting::Until(now + ACCEPT_ERROR_PAUSE);
                }
            }
        }
        Waiting::Maybe
    }

    fn welcome(&mut self, stream: TcpStream, peer: SocketAddr, now: Instant) {
        count(&self.door.counts.accepted);
        match self.door.engine.admit(Some(peer.ip())) {
            Ok(permit) => {
                self.fresh.push(Guest { stream, permit, deadline: now + self.door.config.handshake.timeout });
            }
            Err(error) => {
                self.door.counts.refused.count(why_of(&error));
                // No task for whoever is one too many.
                answer(stream, &Refusal::new(status_of(&error), error.to_string()));
            }
        }
    }

    /// Takes what the client has sent: a whole handshake goes to a shard, anything else to a task, and during a drain
    /// everything.
    fn look(&mut self, mut guest: Guest) {
        let mut buffer = [0; LOOK_BYTES];
        let read = match guest.stream.read(&mut buffer) {
            // It came and went.
            Ok(0) => return,
            Ok(len) => &buffer[..len],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.wait_for(guest),
            Err(_) => return,
        };
        match self.door.judge(read, self.reach) {
            _ if self.door.is_draining() => self.to_task(guest, read.to_vec()),
            Head::Accepted(Accepted { purpose, deflate, answer, len_bytes }) => {
                let stream = std::net::TcpStream::from(guest.stream);
                let unread = read[len_bytes..].to_vec();
                self.join(Adoption { stream, unread, greeting: answer, deflate, purpose }, guest.permit);
            }
            _ => self.to_task(guest, read.to_vec()),
        }
    }

    /// Waits until the client sends something.
    fn wait_for(&mut self, mut guest: Guest) {
        let token = self.next_token;
        if self.poll.registry().register(&mut guest.stream, Token(token), Interest::READABLE).is_err() {
            // No memory, or too many watches: the runtime may still have some.
            return self.to_task(guest, Vec::new());
        }
        self.next_token = token.checked_add(1).unwrap_or(SOCKETS);
        self.silent.insert(token, guest);
    }

    /// `read` is what the client has sent.
    fn to_task(&self, guest: Guest, read: Vec<u8>) {
        let Guest { stream, permit, deadline } = guest;
        let request = first_request(stream.into(), read, permit, deadline, self.reach, self.door.clone());
        self.runtime.spawn(request);
    }

    fn join(&mut self, adoption: Adoption, permit: Permit) {
        match self.joins.join(adoption, permit) {
            Ok(()) => {}
            Err(NotJoined::Busy(adoption, permit)) => {
                let door = self.door.clone();
                self.runtime.spawn(async move { join(&door, *adoption, permit).await });
            }
            Err(NotJoined::Refused(error, stream)) => {
                let refusal = refusal_of(&error);
                self.door.counts.refused(&refusal);
                if let Some(mut stream) = stream {
                    // The head was read whole, so nothing unread resets the stream and takes the answer with it.
                    stream.write_all(&refusal.to_bytes()).ok();
                }
            }
        }
    }
}

/// What the empty send buffer takes at once is the answer.
fn answer(mut stream: TcpStream, refusal: &Refusal) {
    stream.write_all(&refusal.to_bytes()).ok();
}

fn why_of(error: &AdmissionError) -> Why {
    if matches!(error, AdmissionError::ConnectionsPerAddress { .. }) { Why::Address } else { Why::Connections }
}

fn status_of(error: &AdmissionError) -> u16 {
    if matches!(error, AdmissionError::ConnectionsPerAddress { .. }) { 429 } else { 503 }
}

fn is_out_of_files(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::NOBUFS, rustix::io::Errno::NOMEM]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

//! Where connections come in: a thread per listener accepts, takes a first look at what the client sent, and hands the
//! socket to a shard if that is a whole handshake.
//!
//! In a storm of connections the request is there by the time of the accept, or when the batch has been accepted: such
//! a socket costs an accept, a read or two and the join, and never belongs to the runtime. Whoever has not sent its
//! request by then becomes a task of the runtime ([`first_request`]). Shards are woken once per batch. The options of
//! the sockets are set on the listener.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use shardcast::engine::{AdmissionError, Adoption, Joins, NotJoined, Permit};
use tokio::runtime::Handle;

use super::front_door::{Door, Reach, Stage, count, first_request, join, refusal_of};
use super::handshake::{Accepted, Head, Refusal};
use super::refused::Why;
use super::spare_file::SpareFile;

/// Connections that are accepted before the shards are told.
const BATCH: usize = 64;

/// Bytes of a request that a look takes: heads are shorter, mostly.
const LOOK_BYTES: usize = 2_048;

/// Between an accept that failed for a reason of the connection's own and the next.
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(1);

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);

/// Which look at a fresh socket it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Right after the accept.
    First,
    /// When the batch has been accepted.
    Last,
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
    /// Where the tasks of slower clients run.
    runtime: Handle,
    spare: SpareFile,
    /// Of this batch: those who had not sent anything when they were accepted.
    silent: Vec<(TcpStream, Permit)>,
}

impl Gate {
    /// Takes a listener. Called within the runtime that slower clients' tasks are to run on.
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
        let (runtime, spare) = (Handle::current(), SpareFile::new());
        Ok(Self { listener, reach, poll, _waker: kept_waker, door, joins, runtime, spare, silent: Vec::new() })
    }

    /// Accepts until nobody is to be heard any more. Never spins, never dies: see [`SpareFile`].
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(4);
        let mut pause = None;
        loop {
            if let Err(error) = self.poll.poll(&mut events, pause)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the poller of a listener failed");
                return;
            }
            if self.door.stage() == Stage::Closed {
                return;
            }
            pause = self.accept_batch();
            for (stream, permit) in std::mem::take(&mut self.silent) {
                self.look(stream, permit, Look::Last);
            }
            self.joins.flush();
        }
    }

    /// How long to wait until the next batch; `None`: until somebody comes.
    fn accept_batch(&mut self) -> Option<Duration> {
        for _ in 0..BATCH {
            match self.listener.accept() {
                Ok((stream, peer)) => {
                    self.spare.accepted();
                    self.welcome(stream, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if is_out_of_files(&error) => {
                    self.door.counts.refused.count(Why::OutOfFiles);
                    if self.spare.first_in_a_row() {
                        tracing::warn!(%error, "no file left for a connection: raise the open files limit (ulimit -n)");
                    }
                    return Some(self.spare.shed(&self.listener));
                }
                // The connection was gone before it was accepted (accept(2), "Error handling"), or a firewall forbids
                // it: that may last, hence the pause.
                Err(error) => {
                    tracing::debug!(%error, "accept");
                    return Some(ACCEPT_ERROR_PAUSE);
                }
            }
        }
        Some(Duration::ZERO)
    }

    fn welcome(&mut self, mut stream: TcpStream, peer: SocketAddr) {
        count(&self.door.counts.accepted);
        match self.door.engine.admit(Some(peer.ip())) {
            Ok(permit) => self.look(stream, permit, Look::First),
            Err(error) => {
                self.door.counts.refused.count(why_of(&error));
                // No task for whoever is one too many: what the empty send buffer takes at once is the answer.
                let answer = Refusal::new(status_of(&error), error.to_string()).to_bytes();
                stream.write_all(&answer).ok();
            }
        }
    }

    /// Takes what the client has sent: a whole handshake goes to a shard, anything else to a task.
    fn look(&mut self, mut stream: TcpStream, permit: Permit, look: Look) {
        let mut buffer = [0; LOOK_BYTES];
        let read = match stream.read(&mut buffer) {
            // It came and went.
            Ok(0) => return,
            Ok(len) => &buffer[..len],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && look == Look::First => {
                self.silent.push((stream, permit));
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => &[],
            Err(_) => return,
        };
        let head =
            if read.is_empty() || self.door.is_draining() { Head::Partial } else { self.door.judge(read, self.reach) };
        let stream = std::net::TcpStream::from(stream);
        let Head::Accepted(Accepted { purpose, deflate, answer, len_bytes }) = head else {
            let request = first_request(stream, read.to_vec(), permit, self.reach, self.door.clone());
            self.runtime.spawn(request);
            return;
        };
        let adoption = Adoption { stream, unread: read[len_bytes..].to_vec(), greeting: answer, deflate, purpose };
        self.join(adoption, permit);
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

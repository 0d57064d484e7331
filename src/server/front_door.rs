//! Where connections come in: accept, read the head of the first request, and pass the socket on, to a shard or to
//! HTTP.
//!
//! Runs on the control runtime, so a storm of connections costs the shards nothing but the joins themselves.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shardcast::engine::{AdmissionError, Adoption, Engine, JoinError, Permit};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::config::Config;
use super::handshake::{Head, HeadLimits, Refusal, judge};
use super::http;
use super::spare_file::SpareFile;

/// Bytes that a request's head usually needs.
const HEAD_BYTES_USUAL: usize = 1_024;

/// How long a refused client may take to read why.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(2);

/// Bytes that a refused client may still send while it reads why.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// Between an accept that failed for a reason of the connection's own and the next.
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(1);

/// What the front door counts; each only grows.
#[derive(Debug, Default)]
pub(crate) struct DoorCounts {
    /// Sockets accepted.
    pub(crate) accepted: AtomicU64,
    /// Sockets refused before their request was read: a limit of connections.
    pub(crate) refused_limit: AtomicU64,
    /// Handshakes refused.
    pub(crate) refused_handshake: AtomicU64,
    /// Sockets whose first request did not come in time.
    pub(crate) timed_out: AtomicU64,
    /// Times that the process had no file left for an accept.
    pub(crate) out_of_files: AtomicU64,
}

/// What everything behind the front door needs.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) engine: Engine,
    pub(crate) config: Arc<Config>,
    pub(crate) counts: Arc<DoorCounts>,
    /// True once the server has begun to end.
    pub(crate) draining: watch::Receiver<bool>,
}

impl Door {
    /// Whether the server has begun to end. The guard of the channel must not live across an await.
    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }
}

/// Which listener a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Only this machine reaches it.
    Loopback,
    /// Others do.
    Network,
}

impl Reach {
    pub(crate) fn of(listener: SocketAddr) -> Self {
        if listener.ip().to_canonical().is_loopback() { Self::Loopback } else { Self::Network }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Accepts until the server begins to end. Never spins, never dies: see [`SpareFile`].
pub(crate) async fn run(listener: TcpListener, reach: Reach, mut door: Door) {
    let mut spare = SpareFile::new();
    let mut draining = door.draining.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = draining.wait_for(|draining| *draining) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                spare.accepted();
                welcome(stream, peer, reach, &mut door);
            }
            Err(error) if is_out_of_files(&error) => {
                count(&door.counts.out_of_files);
                if spare.first_in_a_row() {
                    tracing::warn!(%error, "no file left for a connection: raise the open files limit (ulimit -n)");
                }
                spare.shed(&listener).await;
            }
            // The connection was gone before it was accepted (accept(2), "Error handling"), or a firewall forbids it:
            // that may last, hence the pause.
            Err(error) => {
                tracing::debug!(%error, "accept");
                tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
            }
        }
    }
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

fn welcome(stream: TcpStream, peer: SocketAddr, reach: Reach, door: &mut Door) {
    count(&door.counts.accepted);
    match door.engine.admit(Some(peer.ip())) {
        Ok(permit) => {
            let door = door.clone();
            tokio::spawn(async move { first_request(stream, permit, reach, door).await });
        }
        Err(error) => {
            count(&door.counts.refused_limit);
            // No task for whoever is one too many: what the empty send buffer takes at once is the answer. Not through
            // the runtime: it has not been told yet that the socket takes anything.
            let answer = Refusal::new(status_of(&error), error.to_string()).to_bytes();
            stream.into_std().and_then(|mut stream| io::Write::write(&mut stream, &answer)).ok();
        }
    }
}

/// Reads the head of the first request and passes the socket on.
async fn first_request(mut stream: TcpStream, permit: Permit, reach: Reach, door: Door) {
    let timeout = door.config.handshake.timeout;
    let Ok(read) = tokio::time::timeout(timeout, read_head(&stream, &door)).await else {
        count(&door.counts.timed_out);
        // It has had its time: none is left to wait until it has read the answer.
        let answer = Refusal::new(408, "no request in time, see handshake.timeout").to_bytes();
        stream.try_write(&answer).ok();
        return;
    };
    // An error or an early end: there is nobody to answer.
    let Ok((mut bytes, head)) = read else { return };
    match head {
        Head::Http => Box::pin(http::serve(stream, bytes, permit, reach, door)).await,
        Head::Accepted { room, echo, answer, len_bytes } => {
            bytes.drain(..len_bytes);
            let Ok(stream) = stream.into_std() else { return };
            let adoption = Adoption { stream, unread: bytes, greeting: answer, room, echo };
            if let Err((refusal, Some(stream))) = join(&door, adoption, permit).await {
                count(&door.counts.refused_handshake);
                if let Ok(mut stream) = TcpStream::from_std(stream) {
                    stream.write_all(&refusal.to_bytes()).await.ok();
                }
            }
        }
        Head::Refused(refusal) => {
            count(&door.counts.refused_handshake);
            refuse(stream, &refusal, permit).await;
        }
        Head::Partial => {
            // `read_head` goes on until there is a verdict.
            stream.shutdown().await.ok();
        }
    }
}

async fn join(door: &Door, adoption: Adoption, permit: Permit) -> Result<(), (Refusal, Option<std::net::TcpStream>)> {
    if door.is_draining() {
        return Err((Refusal::new(503, "the server is restarting"), Some(adoption.stream)));
    }
    // Kept to answer a refusal with; a handle to the same socket.
    door.engine.join(adoption, permit).await.map_err(|(error, stream)| {
        let status = if matches!(error, JoinError::Rooms(_) | JoinError::Ended) { 503 } else { 500 };
        (Refusal::new(status, error.to_string()), stream)
    })
}

/// Reads until the head can be judged. An error: the stream ended first.
async fn read_head(stream: &TcpStream, door: &Door) -> io::Result<(Vec<u8>, Head)> {
    let handshake = &door.config.handshake;
    let limits = HeadLimits { bytes_max: handshake.header_bytes_max, fields_max: handshake.header_fields_max };
    let mut bytes = Vec::with_capacity(HEAD_BYTES_USUAL);
    loop {
        stream.readable().await?;
        match stream.try_read_buf(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        match judge(&bytes, limits, &door.config.allowed_origins) {
            Head::Partial => {}
            head => return Ok((bytes, head)),
        }
    }
}

/// Says why, and waits until the client has read it: a close with unread input would reset the stream and take the
/// answer
/// with it (RFC 9112 §9.6).
async fn refuse(mut stream: TcpStream, refusal: &Refusal, permit: Permit) {
    let answered = async {
        stream.write_all(&refusal.to_bytes()).await?;
        stream.shutdown().await?;
        let (mut read, mut scratch) = (0, [0; 2_048]);
        while read < REFUSAL_BYTES_MAX {
            stream.readable().await?;
            match stream.try_read(&mut scratch) {
                Ok(0) => break,
                Ok(len) => read += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        io::Result::Ok(())
    };
    // Too late or gone: it does not want to know.
    tokio::time::timeout(REFUSAL_TIME_MAX, answered).await.ok();
    drop(permit);
}

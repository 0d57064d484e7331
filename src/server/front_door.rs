//! What follows an accept if the first look at the socket did not suffice: read the head of the first request, and pass
//! the socket on, to a shard or to HTTP. A task of the control runtime each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shardcast::engine::{Adoption, Engine, JoinError, Permit};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::api::Node;
use super::config::Config;
use super::handshake::{Accepted, Head, HeadLimits, Refusal, Terms, judge};
use super::http;
use super::idempotency::Idempotency;
use super::pending::{Pending, Requests};
use super::refused::{Refused, Why};

/// Bytes that a request's head usually needs.
const HEAD_BYTES_USUAL: usize = 1_024;

/// How long a refused client may take to read why.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(2);

/// Bytes that a refused client may still send while it reads why.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// What the front door counts; each only grows.
#[derive(Debug, Default)]
pub(crate) struct DoorCounts {
    /// Sockets accepted.
    pub(crate) accepted: AtomicU64,
    /// Sockets and handshakes refused.
    pub(crate) refused: Refused,
}

impl DoorCounts {
    /// Counts a handshake that is answered with a refusal.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        match refusal.why {
            Why::Origin => self.refused.count_page(&refusal.reason),
            why => self.refused.count(why),
        }
    }
}

/// What everything behind the front door needs.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) engine: Engine,
    pub(crate) config: Arc<Config>,
    pub(crate) counts: Arc<DoorCounts>,
    pub(crate) node: Arc<Node>,
    pub(crate) idempotency: Arc<Idempotency>,
    /// Polls that wait for an answer, or have been given one by a server that ends.
    pub(crate) polls: Requests,
    /// Requests that publish, from when that is certain until they are answered.
    pub(crate) publishing: Requests,
    /// How far the server is on its way to its end.
    pub(crate) stage: watch::Receiver<Stage>,
}

/// How far the server is on its way to its end. It only goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Serving,
    /// It drains, and accepts nobody but those who have something to say for a session that is still there.
    Hearing,
    /// It drains, and does not accept any more.
    Closed,
}

impl Door {
    pub(crate) fn new(engine: Engine, config: Arc<Config>, stage: watch::Receiver<Stage>) -> Self {
        let api = config.api;
        let idempotency = Idempotency::new(api.idempotency_time_max, api.idempotency_keys_max);
        let (counts, node) = (Arc::default(), Arc::new(Node::start()));
        let (polls, publishing) = (Requests::new(), Requests::new());
        Self { engine, config, counts, node, idempotency, polls, publishing, stage }
    }

    /// Whether the server has begun to end. The guard of the channel must not live across an await.
    pub(crate) fn is_draining(&self) -> bool {
        self.stage() != Stage::Serving
    }

    /// Lets a request publish, unless the server has begun to end. Who was let in before that is waited for, so that
    /// nobody is told to go in front of what was accepted.
    pub(crate) fn let_publish(&self) -> Result<Pending, Refusal> {
        let publishing = self.publishing.begin();
        if self.is_draining() { Err(Refusal::new(503, RESTARTING)) } else { Ok(publishing) }
    }

    pub(crate) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// What has arrived of a request's head.
    pub(crate) fn judge(&self, bytes: &[u8], reach: Reach) -> Head {
        let handshake = &self.config.handshake;
        let limits = HeadLimits { bytes_max: handshake.header_bytes_max, fields_max: handshake.header_fields_max };
        let deflate = self.config.engine.deflate.negotiable();
        judge(bytes, Terms { limits, origins: &self.config.allowed_origins, deflate, reach })
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

/// What a client is told whose request was not there in time.
pub(crate) fn too_late() -> Refusal {
    Refusal::new(408, "no request in time, see handshake.timeout")
}

/// Reads the head of the first request, which has to be there by `deadline`, and passes the socket on.
pub(crate) async fn first_request(
    stream: std::net::TcpStream,
    read: Vec<u8>,
    permit: Permit,
    deadline: Instant,
    reach: Reach,
    door: Door,
) {
    // An error: the runtime is ending.
    let Ok(mut stream) = TcpStream::from_std(stream) else { return };
    let Ok(read) = tokio::time::timeout_at(deadline.into(), read_head(&stream, read, &door, reach)).await else {
        door.counts.refused.count(Why::Timeout);
        // It has had its time: none is left to wait until it has read the answer.
        stream.try_write(&too_late().to_bytes()).ok();
        return;
    };
    // An error or an early end: there is nobody to answer.
    let Ok((mut bytes, head)) = read else { return };
    match head {
        Head::Http => Box::pin(http::serve(stream, bytes, permit, reach, door)).await,
        Head::Accepted(Accepted { purpose, deflate, answer, len_bytes }) => {
            bytes.drain(..len_bytes);
            let Ok(stream) = stream.into_std() else { return };
            join(&door, Adoption { stream, unread: bytes, greeting: answer, deflate, purpose }, permit).await;
        }
        Head::Refused(refusal) => {
            door.counts.refused(&refusal);
            refuse(stream, &refusal, permit).await;
        }
        Head::Partial => {
            // `read_head` goes on until there is a verdict.
            stream.shutdown().await.ok();
        }
    }
}

/// Makes a client a member, or says why not.
pub(crate) async fn join(door: &Door, adoption: Adoption, permit: Permit) {
    let (refusal, stream) = if door.is_draining() {
        (Refusal::new(503, RESTARTING), Some(adoption.stream))
    } else {
        let Err((error, stream)) = door.engine.join(adoption, permit).await else { return };
        (refusal_of(&error), stream)
    };
    door.counts.refused(&refusal);
    if let Some(stream) = stream
        && let Ok(mut stream) = TcpStream::from_std(stream)
    {
        stream.write_all(&refusal.to_bytes()).await.ok();
    }
}

/// What a client that comes during a drain is told.
const RESTARTING: &str = "the server is restarting";

/// What a client that cannot become a member is told.
pub(crate) fn refusal_of(error: &JoinError) -> Refusal {
    let (status, why) = match error {
        JoinError::Rooms(_) => (503, Why::Rooms),
        JoinError::Ended => (503, Why::Handshake),
        _ => (500, Why::Handshake),
    };
    Refusal { why, ..Refusal::new(status, error.to_string()) }
}

/// Reads until the head can be judged, behind the `bytes` that were read before. An error: the stream ended first.
async fn read_head(stream: &TcpStream, mut bytes: Vec<u8>, door: &Door, reach: Reach) -> io::Result<(Vec<u8>, Head)> {
    if !bytes.is_empty() {
        match door.judge(&bytes, reach) {
            Head::Partial => {}
            head => return Ok((bytes, head)),
        }
    }
    bytes.reserve(HEAD_BYTES_USUAL);
    loop {
        stream.readable().await?;
        match stream.try_read_buf(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        match door.judge(&bytes, reach) {
            Head::Partial => {}
            head => return Ok((bytes, head)),
        }
    }
}

/// Says why, and waits until the client has read it: a close with unread input would reset the stream and take the
/// answer with it (RFC 9112 §9.6).
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

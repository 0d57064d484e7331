//! How a socket leaves hyper for a shard: a request that is answered by a stream without end is taken over from within
//! its connection, be it the first one or a later one.
//!
//! hyper gives a socket up after a 101 only. So the request's service puts down what is to become of the socket and
//! never answers; whoever drives the connection finds that, and takes the connection apart. Nothing of this answer
//! has been written then. Answers to earlier requests are out before: see [`Rewound::is_blocked`].

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1::Connection;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use shardcast::engine::Purpose;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::pending::Pending;

/// What a socket is to become.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) purpose: Purpose,
    /// The head of the answer.
    pub(crate) head: Vec<u8>,
}

/// Where a request's service puts it down. One per connection.
#[derive(Clone, Default)]
pub(crate) struct WayOut(Arc<Mutex<Left>>);

/// What requests have left with their connection.
#[derive(Default)]
struct Left {
    stream: Option<Stream>,
    /// The server waits with its end for the end of the connection.
    poll: Option<Pending>,
}

impl WayOut {
    /// Leaves hyper. What comes next is not up to the service any more.
    pub(crate) async fn leave(&self, stream: Stream) -> Infallible {
        self.left().stream = Some(stream);
        pending().await
    }

    /// Keeps a poll that was answered until the connection has ended.
    pub(crate) fn keep(&self, poll: Pending) {
        self.left().poll = Some(poll);
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.0.lock().expect("nobody panics while holding it")
    }

    fn take(&self) -> Option<Stream> {
        self.left().stream.take()
    }
}

/// Serves a connection until it ends, or until a request wants its socket. An error is the client's: it went away, or
/// broke HTTP and was answered by hyper.
pub(crate) async fn drive<S>(
    mut connection: Connection<TokioIo<Rewound>, S>,
    is_blocked: &AtomicBool,
    way_out: &WayOut,
) -> Option<(TcpStream, Stream)>
where
    S: HttpService<Incoming, ResBody = Full<Bytes>> + Unpin,
    S::Future: Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = poll_fn(|context| match connection.poll_without_shutdown(context) {
        Poll::Ready(ended) => Poll::Ready(ended.map(|()| None)),
        // What hyper has not written yet comes first: it is polled again when the socket takes it.
        Poll::Pending if is_blocked.load(Ordering::Relaxed) => Poll::Pending,
        Poll::Pending => way_out.take().map_or(Poll::Pending, |stream| Poll::Ready(Ok(Some(stream)))),
    });
    let Ok(Some(stream)) = stream.await else {
        // It has ended, or broken HTTP: hyper may still have that to say.
        connection.await.ok();
        return None;
    };
    // What the client has sent behind its request is thrown away: the answer has no end, so nothing can follow it.
    Some((connection.into_parts().io.into_inner().stream, stream))
}

/// A stream that first gives again what was read from it.
pub(crate) struct Rewound {
    read: Bytes,
    stream: TcpStream,
    is_blocked: Arc<AtomicBool>,
}

impl Rewound {
    pub(crate) fn new(read: Vec<u8>, stream: TcpStream) -> Self {
        Self { read: Bytes::from(read), stream, is_blocked: Arc::default() }
    }

    /// Whether the stream did not take what it was offered last: there is something that is still to be written.
    pub(crate) fn is_blocked(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_blocked)
    }
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read.is_empty() {
            let len = self.read.len().min(buffer.remaining());
            buffer.put_slice(&self.read.split_to(len));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.is_blocked.store(written.is_pending(), Ordering::Relaxed);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

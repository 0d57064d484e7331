//! A connection's bytes: the socket, behind what was read together with the answer to its handshake.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use super::outlet::Outlet;
use crate::scenario::Acks;

/// Reads after which the kernel is asked again to delay acknowledgements: it forgets it whenever it had to send one
/// because nothing else came.
const ASKED_EVERY_READS: u8 = 16;

/// Asks the kernel, now and then, not to acknowledge what is read at once.
#[derive(Clone, Copy)]
pub(super) struct DelayedAcks {
    acks: Acks,
    reads: u8,
}

impl DelayedAcks {
    pub(super) const fn new(acks: Acks) -> Self {
        Self { acks, reads: 0 }
    }

    /// Something was read.
    #[inline]
    pub(super) fn after_read(&mut self, socket: &impl AsFd) {
        if self.acks == Acks::Delayed {
            self.reads = self.reads.wrapping_add(1);
            if self.reads.is_multiple_of(ASKED_EVERY_READS) {
                // A kernel that does not know it acknowledges as it likes.
                SockRef::from(socket).set_tcp_quickack(false).ok();
            }
        }
    }
}

/// A subscriber's.
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    pub(super) unread: Bytes,
    pub(super) acks: DelayedAcks,
}

impl Wire {
    pub(super) const fn new(stream: TcpStream, unread: Bytes, acks: Acks) -> Self {
        Self { stream, unread, acks: DelayedAcks::new(acks) }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, unread, acks } = &mut *self;
        if take_unread(unread, buffer) {
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut *stream).poll_read(context, buffer);
        if read.is_ready() {
            acks.after_read(stream);
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A publisher's: what its reader answers (pongs) goes through the outlet, in order with what the pacer sends.
pub(super) struct PublisherWire {
    pub(super) read: OwnedReadHalf,
    pub(super) unread: Bytes,
    pub(super) outlet: Arc<Mutex<Outlet>>,
}

impl AsyncRead for PublisherWire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if take_unread(&mut self.unread, buffer) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.read).poll_read(context, buffer)
    }
}

impl AsyncWrite for PublisherWire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut outlet = self.outlet.lock().expect("nobody panics while holding it");
        outlet.push(bytes);
        outlet.flush()?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Whether anything was left to take.
fn take_unread(unread: &mut Bytes, buffer: &mut ReadBuf<'_>) -> bool {
    if unread.is_empty() {
        return false;
    }
    let len = unread.len().min(buffer.remaining());
    buffer.put_slice(&unread[..len]);
    unread.advance(len);
    if unread.is_empty() {
        *unread = Bytes::new();
    }
    true
}

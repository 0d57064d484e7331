//! What a shard asks of a connection's socket. The engine never waits for one.

use std::io;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::SendFlags;

/// A connected, non-blocking byte stream. The simulation has one of its own.
pub(crate) trait Socket: Send + 'static {
    /// What tells the shard that the socket may be used again.
    type Poller: Send;

    /// Has the poller report, edge-triggered, under `number`. Called by the thread that uses the socket from then on.
    fn register(&mut self, poller: &Self::Poller, number: u32) -> io::Result<()>;

    /// Takes what has arrived; 0: the peer sends no more.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Hands bytes to the kernel; how many it took.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Tells the peer that nothing more will come.
    fn end_sending(&mut self);

    /// Makes the drop of the socket abort the stream: what the kernel still holds is thrown away (RST).
    fn abort(&mut self);
}

impl Socket for TcpStream {
    type Poller = Registry;

    fn register(&mut self, poller: &Registry, number: u32) -> io::Result<()> {
        // The core that took the handshake's packets looked the route up, and all its sockets share that entry. On
        // loopback each packet takes a reference of it (netif_keep_dst in the kernel's drivers/net/loopback.c), so this
        // core and the peers' would pass the count to and fro: 5 % of a send. Setting the option, although to what
        // it is, makes the kernel forget the route (sk_dst_reset in net/core/sock.c): the next send finds this core's
        // own entry. An error changes nothing.
        setsockopt(&*self, sockopt::DontRoute, &false).ok();
        poller.register(self, Token(number as usize), Interest::READABLE | Interest::WRITABLE)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(self, buffer)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Not the C library's send: as a point of cancellation it costs two more calls, 1 % of a send.
        Ok(rustix::net::send(&*self, bytes, SendFlags::NOSIGNAL)?)
    }

    fn end_sending(&mut self) {
        // An error says that the stream is gone already: the next event tells.
        self.shutdown(std::net::Shutdown::Write).ok();
    }

    fn abort(&mut self) {
        // An error leaves the kernel's default, an orderly end: nothing to be done.
        socket2::SockRef::from(&*self).set_linger(Some(std::time::Duration::ZERO)).ok();
    }
}

//! What a shard asks of a connection's socket. The engine never waits for one.

use std::io;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// A connected, non-blocking byte stream. The simulation has one of its own.
pub(crate) trait Socket: Send + 'static {
    /// What tells the shard that the socket may be used again.
    type Poller: Send;

    /// Has the poller report, edge-triggered, under `number`.
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
        poller.register(self, Token(number as usize), Interest::READABLE | Interest::WRITABLE)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(self, buffer)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(self, bytes)
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

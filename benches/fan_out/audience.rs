//! Those to whom it is sent: loopback connections whose far ends the calling thread reads and counts.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// Nothing takes a noticeable part of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// See the module.
pub(crate) struct Audience {
    poll: Poll,
    events: Events,
    members: Vec<TcpStream>,
    /// Bytes that each has got, all rounds together.
    received: Vec<usize>,
    /// Bytes that each should have got, the rounds before together.
    expected: usize,
    buffer: Vec<u8>,
}

impl Audience {
    /// The far ends, and the near ends of the same connections in the same order.
    pub(crate) fn connect(members: usize) -> (Self, Vec<std::net::TcpStream>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let poll = Poll::new().expect("the kernel gives a poller");
        let (mut far, mut near) = (Vec::new(), Vec::new());
        for number in 0..members {
            let stream = std::net::TcpStream::connect(address).expect("somebody listens");
            stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).expect("the stream is open");
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE).expect("the stream is open");
            far.push(stream);
            near.push(listener.accept().expect("somebody connected").0);
        }
        let (received, buffer) = (vec![0; members], vec![0; 256 << 10]);
        (Self { poll, events: Events::with_capacity(1_024), members: far, received, expected: 0, buffer }, near)
    }

    pub(crate) fn members(&self) -> usize {
        self.members.len()
    }

    /// Writes as the first member.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let written = self.members[0].write(bytes).expect("the stream is open");
        assert_eq!(written, bytes.len(), "a burst fits into an empty socket");
    }

    /// Reads until everybody has got `bytes_each` more.
    pub(crate) fn count(&mut self, bytes_each: usize) {
        self.read(bytes_each, |_, _| {});
    }

    /// Reads until everybody has got exactly this.
    pub(crate) fn receive(&mut self, expected: &[u8]) {
        self.read(expected.len(), |at, bytes| {
            let shown = bytes[..bytes.len().min(32)].escape_ascii();
            assert!(expected[at..].starts_with(bytes), "something else came at byte {at}: {shown}");
        });
    }

    /// Reads until everybody has got `bytes_each` more, and shows what came, and where in the round.
    fn read(&mut self, bytes_each: usize, mut look: impl FnMut(usize, &[u8])) {
        let mut left = bytes_each * self.members.len();
        while left > 0 {
            self.poll.poll(&mut self.events, Some(PATIENCE)).expect("the poller works");
            assert!(!self.events.is_empty(), "{left} bytes have not come");
            for event in &self.events {
                let Token(number) = event.token();
                loop {
                    let length = match self.members[number].read(&mut self.buffer) {
                        Ok(0) => panic!("member {number} was cut off"),
                        Ok(length) => length,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => panic!("member {number}: {error}"),
                    };
                    look(self.received[number] - self.expected, &self.buffer[..length]);
                    self.received[number] += length;
                    left = left.checked_sub(length).expect("nobody gets more than was sent");
                    // Whatever comes after a short read is reported anew.
                    if length < self.buffer.len() {
                        break;
                    }
                }
            }
        }
        self.expected += bytes_each;
        assert!(self.received.iter().all(|received| *received == self.expected), "everybody got the same");
    }
}

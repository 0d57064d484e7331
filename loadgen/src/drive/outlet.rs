//! Where a publisher's frames go out: written at once by whoever has one, without waiting; what the socket does not
//! take stays here.

use std::io;

use fastwebsockets::{Frame, OpCode, Payload};
use tokio::net::tcp::OwnedWriteHalf;

use crate::adapter::Kind;

/// Bytes that wait for a socket before further messages wait in the schedule instead.
const PENDING_BYTES_MAX: usize = 1 << 20;

/// Room for a frame's header: 2, 8 for the length, 4 for the mask.
const HEADER_BYTES_MAX: usize = 14;

/// See the module.
pub(super) struct Outlet {
    socket: OwnedWriteHalf,
    pending: Vec<u8>,
    /// Bytes of `pending` that are out.
    done: usize,
    /// Reused for the next frame.
    frame: Vec<u8>,
}

impl Outlet {
    pub(super) const fn new(socket: OwnedWriteHalf) -> Self {
        Self { socket, pending: Vec::new(), done: 0, frame: Vec::new() }
    }

    /// Adds bytes as they are.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Adds a message as a masked frame. `payload` is masked in place.
    pub(super) fn push_message(&mut self, kind: Kind, payload: &mut [u8]) {
        let opcode = if kind == Kind::Text { OpCode::Text } else { OpCode::Binary };
        self.frame.resize(payload.len() + HEADER_BYTES_MAX, 0);
        let mut frame = Frame::new(true, opcode, None, Payload::BorrowedMut(payload));
        frame.mask();
        let bytes = frame.write(&mut self.frame);
        self.pending.extend_from_slice(bytes);
    }

    /// Hands the kernel what waits. `Ok(true)`: nothing waits any more.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        while self.done < self.pending.len() {
            match self.socket.try_write(&self.pending[self.done..]) {
                Ok(len) => self.done += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.pending.clear();
        self.done = 0;
        Ok(true)
    }

    /// Whether so much waits that nothing more should be added.
    pub(super) const fn is_full(&self) -> bool {
        self.pending.len() - self.done >= PENDING_BYTES_MAX
    }
}

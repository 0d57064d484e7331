//! The lines of a chat on their way: typed, sent, seen back. No I/O.
//!
//! A room sends a line back to its sender, unless it is set not to; a line seen back has certainly been published.
//! After a lost connection, the lines sent and not seen back are sent again, if this room has ever sent one back.

use std::collections::VecDeque;

use bytes::Bytes;

/// Lines typed and not yet sent. Full: no more input is read.
pub(super) const UNSENT_MAX: usize = 1_000;
/// Lines sent and waited for to come back. Full: the oldest is taken for published.
const UNCONFIRMED_MAX: usize = 100;

/// The lines of one console, oldest first: the first `sent` are sent and not seen back.
#[derive(Debug, Default)]
pub(super) struct Pending {
    lines: VecDeque<Bytes>,
    sent: usize,
    comes_back: bool,
}

impl Pending {
    /// Whether no more can be taken.
    pub(super) fn is_full(&self) -> bool {
        self.unsent() >= UNSENT_MAX
    }

    /// Whether there is a line to send.
    pub(super) fn has_unsent(&self) -> bool {
        self.unsent() > 0
    }

    /// Lines not sent.
    pub(super) fn unsent(&self) -> usize {
        self.lines.len() - self.sent
    }

    /// Lines sent and not seen back.
    pub(super) fn unseen(&self) -> usize {
        self.sent
    }

    /// Takes a typed line.
    pub(super) fn push(&mut self, line: Bytes) {
        debug_assert!(!self.is_full(), "a line was taken though there is no room");
        self.lines.push_back(line);
    }

    /// The next line to send, which then counts as sent.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let line = self.lines.get(self.sent)?.clone();
        self.sent += 1;
        if self.sent > UNCONFIRMED_MAX {
            self.lines.pop_front();
            self.sent -= 1;
        }
        Some(line)
    }

    /// Whether this message is a sent line that came back. Lines come back in order: those before it are over.
    pub(super) fn is_own(&mut self, message: &[u8]) -> bool {
        let found = self.lines.iter().take(self.sent).position(|line| line == message);
        if let Some(position) = found {
            self.comes_back = true;
            self.lines.drain(..=position);
            self.sent -= position + 1;
        }
        found.is_some()
    }

    /// The connection is another one: what is unconfirmed is to be sent again. Tells how many lines.
    pub(super) fn reconnected(&mut self) -> usize {
        let again = if self.comes_back { self.sent } else { 0 };
        if !self.comes_back {
            self.lines.drain(..self.sent);
        }
        self.sent = 0;
        again
    }

    /// The server closed the connection over a message that was too big: gives up the biggest of those sent.
    pub(super) fn drop_biggest_sent(&mut self) {
        let biggest = (0..self.sent).max_by_key(|position| self.lines[*position].len());
        if let Some(position) = biggest {
            self.lines.remove(position);
            self.sent -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize) -> Bytes {
        Bytes::from(format!("line {number}"))
    }

    #[test]
    fn unconfirmed_lines_are_sent_again_in_order() {
        let mut pending = Pending::default();
        (0..4).for_each(|number| pending.push(line(number)));
        assert_eq!((pending.next(), pending.next(), pending.next()), (Some(line(0)), Some(line(1)), Some(line(2))));
        assert!(!pending.is_own(b"line 3"), "not sent yet");
        assert!(pending.is_own(b"line 0"));
        assert!(!pending.is_own(b"line 0"), "another's, the second time");
        assert_eq!(pending.reconnected(), 2);
        let again: Vec<Bytes> = std::iter::from_fn(|| pending.next()).collect();
        assert_eq!(again, [line(1), line(2), line(3)]);
        assert!(pending.is_own(b"line 3"), "it skips what got lost");
        assert_eq!((pending.unseen(), pending.has_unsent()), (0, false));
    }

    #[test]
    fn a_room_without_echo_gets_lines_once() {
        let mut pending = Pending::default();
        (0..3).for_each(|number| pending.push(line(number)));
        pending.next();
        pending.next();
        assert_eq!(pending.reconnected(), 0);
        assert_eq!(pending.next(), Some(line(2)));
    }

    #[test]
    fn bounds() {
        let mut pending = Pending::default();
        (0..UNSENT_MAX).for_each(|number| pending.push(line(number)));
        assert!(pending.is_full());
        while pending.next().is_some() {}
        assert_eq!(pending.lines.len(), UNCONFIRMED_MAX);
        assert!(!pending.is_full() && !pending.has_unsent());
    }

    #[test]
    fn the_biggest_goes() {
        let mut pending = Pending::default();
        for text in ["a", "bbb", "cc"] {
            pending.push(Bytes::from_static(text.as_bytes()));
            pending.next();
        }
        pending.drop_biggest_sent();
        assert!(!pending.is_own(b"bbb") && pending.is_own(b"cc"));
    }
}

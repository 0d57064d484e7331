//! What to do when the process has no file left: neither spin nor die.
//!
//! One file is kept open for nothing. When an accept fails for want of a file, it is closed, the waiting connection is
//! accepted in its place and closed at once, and the file is opened again: the client learns that it is refused instead
//! of waiting in the kernel's queue. Then the accept loop pauses, longer each time, at most [`PAUSE_MAX`].

use std::fs::File;
use std::time::Duration;

use mio::net::TcpListener;

const PAUSE_MIN: Duration = Duration::from_millis(10);
/// So that a recovery is noticed within a second.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub(crate) struct SpareFile {
    file: Option<File>,
    pause: Duration,
}

impl SpareFile {
    pub(crate) fn new() -> Self {
        Self { file: open(), pause: PAUSE_MIN }
    }

    /// An accept succeeded.
    pub(crate) fn accepted(&mut self) {
        self.pause = PAUSE_MIN;
    }

    /// Whether the last accept had succeeded.
    pub(crate) fn first_in_a_row(&self) -> bool {
        self.pause == PAUSE_MIN
    }

    /// An accept failed for want of a file: refuses one connection, if one is waiting. How long to pause before the
    /// next accept.
    pub(crate) fn shed(&mut self, listener: &TcpListener) -> Duration {
        if self.file.take().is_some() {
            // The connection that could not be accepted is still waiting.
            drop(listener.accept());
        }
        self.file = open();
        let pause = self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        pause
    }
}

fn open() -> Option<File> {
    File::open("/dev/null").ok()
}

//! What a run shows while it goes: one line every few seconds, or a view of the whole terminal.
//!
//! The run makes a [`Snapshot`] once a second and offers it with `try_send` to a channel of one place; a thread of
//! its own shows it. A terminal that is slow or stands still thus costs the schedule nothing: the snapshot is
//! dropped, and the next one has everything.
//!
//! ```text
//! run ── try_send, 1/s ──→ sync_channel(1) ──→ thread "live" ──→ plain line │ terminal view
//! ```
//!
//! Nothing here handles signals or keys. The terminal stays in its usual mode, so Ctrl-C sends SIGINT, which is the
//! run's to handle; only the echo of what is typed shows until the next redraw. Whoever ends the process at once (a
//! second Ctrl-C) calls [`restore`] before.

mod plain;
mod snapshot;
#[cfg(feature = "live")]
mod terminal;
#[cfg(feature = "live")]
mod view;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

pub use snapshot::{HISTORY_SECONDS, History, Snapshot, Times};

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveKind {
    /// A line so often: for logs and CI.
    Plain {
        /// Between two lines; changes of phase and warnings have their own.
        every: Duration,
    },
    /// The whole terminal, redrawn up to four times a second.
    #[cfg(feature = "live")]
    Terminal,
    /// Nothing.
    Silent,
}

impl LiveKind {
    /// The terminal view if `out` is a terminal (and was compiled in), else a line every 5 s.
    #[must_use]
    pub fn for_output(out: &impl std::io::IsTerminal) -> Self {
        #[cfg(feature = "live")]
        if out.is_terminal() {
            return Self::Terminal;
        }
        let _ = out;
        Self::Plain { every: Duration::from_secs(5) }
    }
}

/// How long the thread waits for a snapshot before it looks whether it should end.
const TURN: Duration = Duration::from_millis(250);

/// The thread that shows the run.
#[derive(Debug)]
pub struct LiveHandle {
    thread: Option<JoinHandle<()>>,
    ended: Arc<AtomicBool>,
}

/// Shows what comes from `receiver` on `out`, on a thread of its own.
///
/// An `out` that takes no more (a closed pipe) ends the view, not the run. The view ends when the sender is gone or by
/// [`LiveHandle::finish`].
///
/// # Panics
/// If the system gives no thread.
#[must_use = "the view ends when the handle is dropped"]
pub fn start(kind: LiveKind, receiver: Receiver<Snapshot>, out: Box<dyn Write + Send>) -> LiveHandle {
    let ended = Arc::new(AtomicBool::new(false));
    let turns = Turns { receiver, ended: Arc::clone(&ended) };
    let show = move || match kind {
        LiveKind::Plain { every } => plain::show(&turns, every, out),
        #[cfg(feature = "live")]
        LiveKind::Terminal => terminal::show(&turns, out),
        LiveKind::Silent => while !matches!(turns.next(), Turn::End) {},
    };
    let thread = std::thread::Builder::new().name("live".to_owned()).spawn(show).expect("the system gives a thread");
    LiveHandle { thread: Some(thread), ended }
}

impl LiveHandle {
    /// Shows what came last and gives the output (and the terminal) back. At most 250 ms, if `out` takes what it gets.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It panicked: its message is out, and the run has better things to do.
            drop(thread.join());
        }
    }
}

impl Drop for LiveHandle {
    fn drop(&mut self) {
        self.end();
    }
}

/// Gives the terminal back if the view has it; else does nothing. For whoever ends the process without
/// [`LiveHandle::finish`]; a panic does it by itself.
pub fn restore() {
    #[cfg(feature = "live")]
    terminal::restore();
}

/// What the thread wakes up for.
enum Turn {
    /// There is something new.
    New(Box<Snapshot>),
    /// There is not, but time has passed.
    Waited,
    /// There will be nothing more.
    End,
}

struct Turns {
    receiver: Receiver<Snapshot>,
    ended: Arc<AtomicBool>,
}

impl Turns {
    /// Waits for at most [`TURN`].
    fn next(&self) -> Turn {
        // First the question, then the wait: what was sent before `finish` is still shown.
        let ended = self.ended.load(Ordering::Acquire);
        let wait = if ended { Duration::ZERO } else { TURN };
        match self.receiver.recv_timeout(wait) {
            Ok(snapshot) => Turn::New(Box::new(snapshot)),
            Err(RecvTimeoutError::Timeout) if !ended => Turn::Waited,
            Err(_) => Turn::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;
    use std::sync::mpsc::sync_channel;

    use super::*;

    /// A place to write to that the test can look into.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A pipe whose reader is gone.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn plain() -> LiveKind {
        LiveKind::Plain { every: Duration::from_secs(5) }
    }

    fn phase(name: &str) -> Snapshot {
        Snapshot { phase: name.to_owned(), ..Snapshot::default() }
    }

    #[test]
    fn what_was_sent_before_the_end_is_shown() {
        let out = Shared::default();
        let (sender, receiver) = sync_channel(1);
        let live = start(plain(), receiver, Box::new(out.clone()));
        sender.send(phase("first")).unwrap();
        sender.send(phase("last")).unwrap();
        // The sender is still there: the end is asked for.
        live.finish();
        assert!(out.text().contains("00:00 last 0 %"), "{}", out.text());
        assert!(sender.try_send(phase("late")).is_err());
    }

    #[test]
    fn a_closed_pipe_ends_the_view_and_nothing_else() {
        let (sender, receiver) = sync_channel(1);
        let live = start(plain(), receiver, Box::new(Closed));
        while sender.send(phase("any")).is_ok() {}
        live.finish();
    }

    #[test]
    fn without_a_sender_it_ends_by_itself() {
        let (sender, receiver) = sync_channel(1);
        let mut live = start(LiveKind::Silent, receiver, Box::new(Shared::default()));
        drop(sender);
        live.thread.take().unwrap().join().unwrap();
    }

    #[cfg(feature = "live")]
    #[test]
    fn the_terminal_is_given_back() {
        let out = Shared::default();
        let (sender, receiver) = sync_channel(1);
        let live = start(LiveKind::Terminal, receiver, Box::new(out.clone()));
        sender.try_send(phase("any")).unwrap();
        live.finish();
        let text = out.text();
        let (taken, given) = (text.find("\x1b[?1049h").unwrap(), text.rfind("\x1b[?1049l").unwrap());
        assert!(taken < given && text.ends_with("\x1b[?25h"), "{text:?}");
    }
}

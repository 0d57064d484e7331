//! Standard output, written by a thread of its own.
//!
//! A thread, because a terminal or pipe that nobody reads blocks its writer, and the connection's pings are to be
//! answered
//! meanwhile. The caller fills a bounded queue and waits while it is full; the thread writes all that is queued, then
//! flushes. A reader that went away (`head`) is no error: writing says so, and the caller ends quietly.

use std::io::{self, Write};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

/// Chunks handed over and not yet written.
const CHUNKS_MAX: usize = 64;

/// The way to standard output.
pub(super) struct Output {
    chunks: mpsc::Sender<Bytes>,
    written: oneshot::Receiver<io::Result<()>>,
}

/// Nobody reads what is written, or it cannot be written; [`Output::finish`] tells which.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gone;

impl Output {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start() -> io::Result<Self> {
        let (chunks, queue) = mpsc::channel(CHUNKS_MAX);
        let (done, written) = oneshot::channel();
        std::thread::Builder::new().name("stdout".to_owned()).spawn(move || {
            drop(done.send(write_all(queue, &mut io::BufWriter::with_capacity(64 << 10, io::stdout().lock()))));
        })?;
        Ok(Self { chunks, written })
    }

    /// Queues a chunk, in order; waits while too much is queued.
    pub(super) async fn write(&self, chunk: Bytes) -> Result<(), Gone> {
        self.chunks.send(chunk).await.map_err(|_| Gone)
    }

    /// Waits until everything is written. A reader that went away counts as the end.
    ///
    /// # Errors
    /// The error of the first write that failed.
    pub(super) async fn finish(self) -> io::Result<()> {
        drop(self.chunks);
        self.written.await.unwrap_or(Ok(()))
    }
}

fn write_all(mut queue: mpsc::Receiver<Bytes>, output: &mut impl Write) -> io::Result<()> {
    let mut write = || -> io::Result<()> {
        while let Some(mut chunk) = queue.blocking_recv() {
            loop {
                output.write_all(&chunk)?;
                match queue.try_recv() {
                    Ok(next) => chunk = next,
                    Err(_) => break,
                }
            }
            output.flush()?;
        }
        Ok(())
    };
    match write() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

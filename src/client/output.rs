//! Standard output, written by a thread of its own.
//!
//! A thread, because a terminal or pipe that nobody reads blocks its writer, and the connection's pings are to be
//! answered
//! meanwhile. The caller fills a bounded queue and waits while it is full; the thread writes all that is queued, then
//! flushes. A reader that went away (`head`) is no error: writing says so, and the caller ends quietly.

use std::io::{self, Write};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::position::Position;
use super::position_file::PositionFile;

/// Chunks handed over and not yet written.
const CHUNKS_MAX: usize = 64;

/// The way to standard output.
pub(super) struct Output {
    chunks: mpsc::Sender<Chunk>,
    written: oneshot::Receiver<io::Result<()>>,
}

/// Written together.
struct Chunk {
    bytes: Bytes,
    /// Where one is in the room's history once the bytes are written.
    position: Option<Position>,
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
        Self::start_with(None)
    }

    /// Starts the thread, which keeps `file` up to date: a position is in it once everything before it is written.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start_with(file: Option<PositionFile>) -> io::Result<Self> {
        let (chunks, queue) = mpsc::channel(CHUNKS_MAX);
        let (done, written) = oneshot::channel();
        std::thread::Builder::new().name("stdout".to_owned()).spawn(move || {
            let mut stdout = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
            drop(done.send(write_all(queue, &mut stdout, file.as_ref())));
        })?;
        Ok(Self { chunks, written })
    }

    /// Queues a chunk, in order; waits while too much is queued.
    pub(super) async fn write(&self, chunk: Bytes) -> Result<(), Gone> {
        self.write_to(chunk, None).await
    }

    /// As [`Output::write`]; with the chunk written, one is at `position`.
    pub(super) async fn write_to(&self, bytes: Bytes, position: Option<Position>) -> Result<(), Gone> {
        self.chunks.send(Chunk { bytes, position }).await.map_err(|_| Gone)
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

fn write_all(mut queue: mpsc::Receiver<Chunk>, output: &mut impl Write, file: Option<&PositionFile>) -> io::Result<()> {
    let mut write = || -> io::Result<()> {
        while let Some(mut chunk) = queue.blocking_recv() {
            let mut position = None;
            loop {
                output.write_all(&chunk.bytes)?;
                position = chunk.position.or(position);
                match queue.try_recv() {
                    Ok(next) => chunk = next,
                    Err(_) => break,
                }
            }
            output.flush()?;
            if let (Some(file), Some(position)) = (file, position) {
                file.save(position)?;
            }
        }
        Ok(())
    };
    match write() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

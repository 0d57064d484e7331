//! Standard output, written by a thread of its own.
//!
//! A thread, because a terminal or pipe that nobody reads blocks its writer, and the connection's pings are to be
//! answered meanwhile. The caller fills a bounded queue and waits while it is full; the thread writes all that is
//! queued, then flushes. A reader that went away (`head`) is no error: writing says so, and the caller ends quietly.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;

use bytes::Bytes;
use tokio::io::Interest;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

use super::position::Position;
use super::position_file::PositionFile;

/// Chunks handed over and not yet written.
const CHUNKS_MAX: usize = 64;

/// The way to standard output.
pub(super) struct Output {
    chunks: mpsc::Sender<Chunk>,
    written: oneshot::Receiver<io::Result<()>>,
    /// Tells when the reader of a pipe goes away. `None`: a file, say, which has no reader.
    reader: Option<pipe::Sender>,
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
    /// Starts the thread, within a runtime.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start() -> io::Result<Self> {
        Self::start_with(None)
    }

    /// As [`Output::start`]; the thread keeps `file` up to date: a position is in it once everything before it is
    /// written.
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
        // Unchecked, because that leaves it as it is: it blocks, also for others who write there. Nothing is sent here.
        let stdout = io::stdout().as_fd().try_clone_to_owned().ok();
        let reader = stdout.and_then(|stdout| pipe::Sender::from_file_unchecked(File::from(stdout)).ok());
        Ok(Self { chunks, written, reader })
    }

    /// Queues a chunk, in order; waits while too much is queued.
    pub(super) async fn write(&self, chunk: Bytes) -> Result<(), Gone> {
        self.write_to(chunk, None).await
    }

    /// As [`Output::write`]; with the chunk written, one is at `position`.
    pub(super) async fn write_to(&self, bytes: Bytes, position: Option<Position>) -> Result<(), Gone> {
        self.chunks.send(Chunk { bytes, position }).await.map_err(|_| Gone)
    }

    /// Waits until nobody reads what is written, or it cannot be written: without a message that is to be written, a
    /// write would tell neither. Safe to drop while waiting.
    pub(super) async fn gone(&self) {
        let left = async {
            match &self.reader {
                // An error: the runtime is ending.
                Some(reader) => drop(reader.ready(Interest::ERROR).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = left => {}
            () = self.chunks.closed() => {}
        }
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

//! The coordinator's side of a worker in another process, of this machine or another one.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::child::Process;
use super::offset::{EXCHANGES, Exchange, Offset};
use super::wire::{BEAT, Bounds, Hello, LineError, Lines, ToCoordinator, ToWorker, say};
use super::{COMMANDS_MAX, StartError};
use crate::clock::Nanos;
use crate::drive::{Command, Report, Task};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Signs of life, one a second, of a worker whose coordinator only waits for its accounts. Then it has hung.
const LAST_BEATS_MAX: u32 = 60;

/// A worker that has agreed to take part and has no task yet.
pub(super) struct Recruit {
    stream: TcpStream,
    lines: Lines,
    who: String,
    offset: Offset,
}

impl Recruit {
    /// Connects, agrees on the version, compares the clocks.
    ///
    /// # Errors
    /// It cannot be reached, or does not take part.
    pub(super) fn connect(who: String, address: &str) -> Result<Self, StartError> {
        let stream = match connect(address) {
            Ok(stream) => stream,
            Err(why) => return Err(StartError::Unreachable { who, why }),
        };
        match agree(&stream) {
            Ok((lines, offset)) => Ok(Self { stream, lines, who, offset }),
            Err(why) => Err(StartError::Unwilling { who, why }),
        }
    }

    /// What a report should say of it.
    pub(super) fn warning(&self) -> Option<String> {
        self.offset.warning(&self.who)
    }

    /// Gives it its task, from then on its reports go to `reports`.
    ///
    /// # Errors
    /// It is gone, or the system has no thread.
    pub(super) fn begin(
        self,
        task: Task,
        reports: &SyncSender<(u32, Report)>,
    ) -> Result<(SyncSender<Command>, Link), StartError> {
        let Self { stream, lines, who, offset } = self;
        let index = task.index;
        let task = Task { clock_offset_ns: offset.offset_ns, ..task };
        if let Err(error) = say(&stream, &ToWorker::Task(Box::new(task))) {
            return Err(StartError::Unwilling { who, why: error.to_string() });
        }
        let over = Arc::new(AtomicBool::new(false));
        let left = Arc::new(AtomicBool::new(false));
        let clone = || stream.try_clone().map_err(StartError::Thread);
        let (commands, to_tell) = sync_channel(COMMANDS_MAX);
        let mouth = Mouth { stream: clone()?, over: Arc::clone(&over), left: Arc::clone(&left) };
        let ear = Ear { stream: clone()?, over: Arc::clone(&over), left, lines, who, index, reports: reports.clone() };
        let teller = Builder::new().name("tell worker".to_owned()).spawn(move || mouth.tell(&to_tell));
        let hearer = Builder::new().name("hear worker".to_owned()).spawn(move || ear.hear());
        let threads = vec![teller.map_err(StartError::Thread)?, hearer.map_err(StartError::Thread)?];
        Ok((commands, Link { stream, over, threads, process: None }))
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn agree(stream: &TcpStream) -> Result<(Lines, Offset), String> {
    let own = Hello::own();
    let problem = |error: LineError| error.to_string();
    let mut lines = Lines::new(stream).map_err(|error| error.to_string())?;
    say(stream, &own).map_err(|error| error.to_string())?;
    let theirs: Hello = lines.next(Bounds { silence: CONNECT_TIMEOUT, ..Bounds::HELLO }).map_err(problem)?;
    // First the versions: a refusal of another version may have that as its cause.
    if let Some(why) = Hello::mismatch(&own, &theirs).or_else(|| theirs.refusal.clone()) {
        return Err(why);
    }
    let offset = if own.shares_clock(&theirs) { Offset::default() } else { compare_clocks(stream, &mut lines)? };
    Ok((lines, offset))
}

fn compare_clocks(stream: &TcpStream, lines: &mut Lines) -> Result<Offset, String> {
    let mut exchanges = Vec::new();
    for _ in 0..EXCHANGES {
        let sent = Nanos::now();
        say(stream, &ToWorker::Ping).map_err(|error| error.to_string())?;
        let answer = lines.next(Bounds::RUN).map_err(|error| error.to_string())?;
        let received = Nanos::now();
        if let ToCoordinator::Pong(theirs) = answer {
            exchanges.push(Exchange { sent, theirs, received });
        }
    }
    Offset::estimate(&exchanges).ok_or_else(|| "it does not tell its clock".to_owned())
}

/// A worker in another process that has its task.
pub(super) struct Link {
    stream: TcpStream,
    /// Nobody wants to hear how it ends.
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    process: Option<Process>,
}

impl Link {
    /// The process ends with the link.
    pub(super) fn own(&mut self, process: Process) {
        self.process = Some(process);
    }

    /// Waits for its last report, or its end.
    pub(super) fn finish(mut self) {
        for thread in self.threads.drain(..) {
            thread.join().expect("it does not panic");
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // The other side was quicker: then it is closed already.
        self.stream.shutdown(Shutdown::Both).ok();
    }
}

/// Passes commands on.
struct Mouth {
    stream: TcpStream,
    over: Arc<AtomicBool>,
    /// There will be no more commands.
    left: Arc<AtomicBool>,
}

impl Mouth {
    fn tell(self, commands: &Receiver<Command>) {
        let mut closing = false;
        loop {
            let message = match commands.recv_timeout(BEAT) {
                Ok(command) => {
                    closing |= matches!(command, Command::Close { .. });
                    ToWorker::Command(command)
                }
                Err(RecvTimeoutError::Timeout) => ToWorker::Beat,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            // It does not hear: it is gone, and the other thread will say so.
            if say(&self.stream, &message).is_err() {
                drop(self.stream.shutdown(Shutdown::Both));
                return;
            }
        }
        if closing {
            // Its accounts are still to come.
            self.left.store(true, Ordering::Relaxed);
            self.stream.shutdown(Shutdown::Write).ok();
        } else {
            self.over.store(true, Ordering::Relaxed);
            self.stream.shutdown(Shutdown::Both).ok();
        }
    }
}

/// Passes reports on, and says it when there will be no more.
struct Ear {
    stream: TcpStream,
    over: Arc<AtomicBool>,
    left: Arc<AtomicBool>,
    lines: Lines,
    who: String,
    index: u32,
    reports: SyncSender<(u32, Report)>,
}

impl Ear {
    fn hear(mut self) {
        let mut last_beats = 0;
        let last = loop {
            match self.lines.next(Bounds::RUN) {
                Ok(ToCoordinator::Beat | ToCoordinator::Pong(_)) => {
                    last_beats += u32::from(self.left.load(Ordering::Relaxed));
                    if last_beats > LAST_BEATS_MAX {
                        break Report::Failed(format!("{}: no accounts within {LAST_BEATS_MAX} s", self.who));
                    }
                }
                Ok(ToCoordinator::Report(Report::Failed(why))) => {
                    break Report::Failed(format!("{}: {why}", self.who));
                }
                Ok(ToCoordinator::Report(report @ Report::Done(_))) => break report,
                Ok(ToCoordinator::Report(report)) => {
                    if self.reports.send((self.index, report)).is_err() {
                        self.over.store(true, Ordering::Relaxed);
                        break Report::Failed("nobody listens".to_owned());
                    }
                }
                Err(error) => break Report::Failed(format!("{}: {error}", self.who)),
            }
        };
        if !self.over.swap(true, Ordering::Relaxed) {
            // Nobody listens any more: then nobody wants to know.
            drop(self.reports.send((self.index, last)));
        }
        self.stream.shutdown(Shutdown::Both).ok();
    }
}

/// The address of a child process is a socket address already.
pub(super) fn named(index: u32, address: SocketAddr, process: &Process) -> String {
    format!("worker {index} at {address} (process {} of this machine)", process.pid())
}

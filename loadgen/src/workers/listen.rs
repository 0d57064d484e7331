//! `loadgen worker`: waits for a coordinator, drives its part of the run, waits for the next one.
//!
//! Each connection is heard out by a thread of its own until it has said a proper hello: whatever else comes to the
//! port neither ends nor delays the worker. One coordinator at a time has the seat.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use super::child::LISTENING;
use super::wire::{BEAT, Bounds, Hello, Lines, ToCoordinator, ToWorker, say};
use super::{COMMANDS_MAX, work};
use crate::cli::{Serve, WorkerOptions};
use crate::clock::{Nanos, set_offset_ns};
use crate::drive::{Report, Task};
use crate::exit::Exit;

/// Connections that have not said hello yet; further ones are closed.
const STRANGERS_MAX: usize = 32;
/// Reports that wait to be sent; then the worker waits.
const REPORTS_MAX: usize = 64;
/// Time for the seat to become free.
const SEAT_WAIT: Duration = Duration::from_secs(2);
/// Without files for another connection: time until the next attempt.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a worker cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address is taken, or not this machine's.
    #[error("--listen {address}")]
    Bind {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The system has no thread.
    #[error("no thread")]
    Thread(#[source] io::Error),
    /// Its output cannot be written.
    #[error("standard output")]
    Output(#[from] io::Error),
}

/// Works for coordinators until it is killed; with `--once` for one, and then also ends when standard input closes.
/// The first line of `out` is `listening on ADDRESS`.
///
/// # Errors
/// It cannot listen, or not say so.
pub fn listen(options: &WorkerOptions, out: &mut dyn Write) -> Result<Exit, ListenError> {
    let bind = |source| ListenError::Bind { address: options.listen, source };
    let listener = TcpListener::bind(options.listen).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    crate::machine::limits::raise_open_files();
    if options.serve == Serve::One {
        Builder::new().name("owner".to_owned()).spawn(end_with_owner).map_err(ListenError::Thread)?;
    }
    let (welcome, guests) = sync_channel(0);
    let door = Door { seat: Arc::default(), strangers: Arc::default(), welcome };
    Builder::new().name("door".to_owned()).spawn(move || door.open(&listener)).map_err(ListenError::Thread)?;
    writeln!(out, "{LISTENING}{address}")?;
    out.flush()?;
    for Guest { stream, lines, seat } in guests {
        if options.serve == Serve::One {
            serve(&stream, lines, options.pin);
            break;
        }
        note(out, &seat, "a run begins");
        let ended = serve(&stream, lines, options.pin);
        note(out, &seat, &ended);
    }
    Ok(Exit::Ok)
}

/// For whoever looks on. If nobody does any more, the worker works on.
fn note(out: &mut dyn Write, seat: &Seat, what: &str) {
    drop(writeln!(out, "{}: {what}", seat.coordinator).and_then(|()| out.flush()));
}

/// The coordinator holds the other end of standard input and writes nothing. It closes however that process ends.
fn end_with_owner() {
    let _ended_either_way = io::copy(&mut io::stdin().lock(), &mut io::sink());
    std::process::exit(i32::from(Exit::Interrupted as u8));
}

/// A coordinator that may begin.
struct Guest {
    stream: TcpStream,
    lines: Lines,
    seat: Seat,
}

/// Who has the seat, and a call when it is free again.
type Taken = Arc<(Mutex<Option<SocketAddr>>, Condvar)>;

/// The seat, until it is dropped.
struct Seat {
    coordinator: SocketAddr,
    taken: Taken,
}

impl Seat {
    /// Waits a little: whoever does run after run is back before the last one is over here.
    ///
    /// # Errors
    /// Another one has it.
    fn take(taken: &Taken, coordinator: SocketAddr) -> Result<Self, SocketAddr> {
        let (holder, freed) = &**taken;
        let holder = holder.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = freed.wait_timeout_while(holder, SEAT_WAIT, |holder| holder.is_some());
        let (mut holder, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match *holder {
            Some(other) => Err(other),
            None => {
                *holder = Some(coordinator);
                Ok(Self { coordinator, taken: Arc::clone(taken) })
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let (holder, freed) = &*self.taken;
        *holder.lock().unwrap_or_else(PoisonError::into_inner) = None;
        freed.notify_one();
    }
}

/// Lets coordinators in.
#[derive(Clone)]
struct Door {
    seat: Taken,
    strangers: Arc<AtomicUsize>,
    welcome: SyncSender<Guest>,
}

impl Door {
    fn open(self, listener: &TcpListener) {
        loop {
            let Ok((stream, from)) = listener.accept() else {
                Nanos::now().after(ACCEPT_PAUSE).sleep_until();
                continue;
            };
            if self.strangers.fetch_add(1, Ordering::Relaxed) >= STRANGERS_MAX {
                self.strangers.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let door = self.clone();
            let heard = Builder::new().name("stranger".to_owned()).spawn(move || {
                let guest = door.hear(stream, from);
                door.strangers.fetch_sub(1, Ordering::Relaxed);
                if let Some(guest) = guest {
                    // The worker serves one coordinator only, and has done so.
                    drop(door.welcome.send(guest));
                }
            });
            if heard.is_err() {
                self.strangers.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// The guest that `stream` is, if it is one and may come in.
    fn hear(&self, stream: TcpStream, from: SocketAddr) -> Option<Guest> {
        let mut lines = Lines::new(&stream).ok()?;
        let theirs: Hello = lines.next(Bounds::HELLO).ok()?;
        let mut own = Hello::own();
        own.refusal = Hello::mismatch(&theirs, &own);
        let seat = match &own.refusal {
            Some(_) => None,
            None => match Seat::take(&self.seat, from) {
                Ok(seat) => Some(seat),
                Err(other) => {
                    own.refusal = Some(format!("it is busy with a run of {other}"));
                    None
                }
            },
        };
        if seat.is_some() {
            // Pings ask for this machine's own clock; the last run may have left another one's.
            set_offset_ns(0);
        }
        say(&stream, &own).ok()?;
        Some(Guest { stream, lines, seat: seat? })
    }
}

/// Serves a coordinator to its end. Returns how that was.
fn serve(stream: &TcpStream, mut lines: Lines, pin: Option<u32>) -> String {
    let task = loop {
        match lines.next(Bounds::SET_UP) {
            Ok(ToWorker::Task(task)) => break Task { pin: pin.or(task.pin), ..*task },
            Ok(ToWorker::Ping) => {
                if let Err(error) = say(stream, &ToCoordinator::Pong(Nanos::now())) {
                    return error.to_string();
                }
            }
            Ok(ToWorker::Command(_) | ToWorker::Beat) => {}
            Err(error) => return error.to_string(),
        }
    };
    std::thread::scope(|scope| {
        let (commands, to_do) = sync_channel(COMMANDS_MAX);
        let (reports, to_say) = sync_channel(REPORTS_MAX);
        scope.spawn(move || work(task, &to_do, &reports));
        let talker = scope.spawn(move || talk(stream, &to_say));
        // Hears until the coordinator has closed, even if the worker has ended: a connection that is closed with
        // something unread in it takes what was said last with it.
        let problem = loop {
            match lines.next(Bounds::RUN) {
                // The worker has ended and its last report said why.
                Ok(ToWorker::Command(command)) => drop(commands.send(command)),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        drop(commands);
        match talker.join() {
            Ok(Said::Everything) => "the run is over".to_owned(),
            _ => format!("{problem}; the run is abandoned"),
        }
    })
}

/// Whether the coordinator has all reports.
enum Said {
    /// It has, as far as the system can tell.
    Everything,
    /// It has not.
    Less,
}

fn talk(stream: &TcpStream, reports: &Receiver<(u32, Report)>) -> Said {
    loop {
        let message = match reports.recv_timeout(BEAT) {
            Ok((_, report)) => ToCoordinator::Report(report),
            Err(RecvTimeoutError::Timeout) => ToCoordinator::Beat,
            Err(RecvTimeoutError::Disconnected) => return Said::Less,
        };
        let is_last = matches!(message, ToCoordinator::Report(Report::Done(_) | Report::Failed(_)));
        if say(stream, &message).is_err() {
            stream.shutdown(Shutdown::Both).ok();
            return Said::Less;
        }
        if is_last {
            stream.shutdown(Shutdown::Write).ok();
            return Said::Everything;
        }
    }
}

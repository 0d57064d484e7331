//! Workers: one in a thread of this process, several as processes of this machine, or on others, all under one
//! coordinator.
//!
//! ```text
//! coordinator ── commands ─→ thread: drive::work ── reports ─→ coordinator             (one worker, here)
//!
//! coordinator ── commands ─→ tell ─┐ lines of JSON ┌─→ loadgen worker: drive::work ─┐   (otherwise)
//!             ←── reports ── hear ←┘ over TCP      └───────────────────────────────←┘
//! ```
//!
//! Processes of this machine are started and then talked to like remote ones. All have agreed before the first one
//! gets its task: no load is made for a run that cannot be whole. A worker that ends, breaks off or falls silent for
//! five seconds is a [`Report::Failed`].
//!
//! Clocks: processes of one machine share `CLOCK_MONOTONIC`, recognised by the kernel's boot id (a tunnel's loopback
//! address is no proof). Otherwise pings tell the difference, once, before the run; that the two clocks then run
//! equally fast is their time daemons' business.

mod child;
mod listen;
mod offset;
mod remote;
mod wire;

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

pub use listen::{ListenError, listen};

use crate::cli::Workers;
use crate::drive::{self, Command, Report, Task};
use child::Process;
use remote::{Link, Recruit};

/// Commands that wait for a worker, at most; then the coordinator waits.
const COMMANDS_MAX: usize = 8;

/// A worker that drives its part. Dropping it ends the worker.
pub struct Handle {
    /// What it is told. Sending fails when the worker has ended; then its last report has said why.
    pub commands: SyncSender<Command>,
    body: Body,
}

/// Where it is.
enum Body {
    /// In this process.
    Thread(JoinHandle<()>),
    /// In another one.
    Remote(Link),
}

impl Handle {
    /// Waits for its end: after [`Command::Close`] that is its last report, otherwise it ends now. Its process, if it
    /// was started here, is gone afterwards.
    ///
    /// The reports of the worker have to be received until then, or their channel to be closed.
    ///
    /// # Panics
    /// If a thread of it has panicked.
    pub fn finish(self) {
        let Self { commands, body } = self;
        drop(commands);
        match body {
            Body::Thread(thread) => thread.join().expect("the worker does not panic"),
            Body::Remote(link) => link.finish(),
        }
    }
}

/// Workers that have their tasks.
pub struct Started {
    /// In the order of the tasks.
    pub handles: Vec<Handle>,
    /// Worth knowing, for the report: clocks that are not known exactly.
    pub warnings: Vec<String>,
}

/// Why there are no workers. None has got a task then, or it was ended again. The message has its cause in it: it goes
/// into reports.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Fewer or more tasks than workers.
    #[error("{actual} tasks for {limit} workers")]
    Count {
        /// Tasks.
        actual: usize,
        /// Workers.
        limit: usize,
    },
    /// A process of this machine.
    #[error("worker {index}: its process cannot be started: {why}")]
    Process {
        /// Which.
        index: u32,
        /// What happened.
        why: String,
    },
    /// Nobody answers.
    #[error("{who} cannot be reached: {why}; is `loadgen worker --listen` running there?")]
    Unreachable {
        /// Its number and address.
        who: String,
        /// What happened.
        why: io::Error,
    },
    /// It is reached, but does not take part.
    #[error("{who} does not take part: {why}")]
    Unwilling {
        /// Its number and address.
        who: String,
        /// Its reason, or what came instead of one.
        why: String,
    },
    /// This process is short of threads or files.
    #[error("no thread or connection for a worker: {0}")]
    Thread(io::Error),
}

/// Gives each task to a worker. Several workers of this machine run on the cores from the tasks' `pin` on, which all
/// have: `pin + index`.
///
/// # Errors
/// One cannot be had.
pub fn start(workers: &Workers, tasks: Vec<Task>, reports: &SyncSender<(u32, Report)>) -> Result<Started, StartError> {
    let count = match workers {
        Workers::Here(count) => usize::try_from(*count).unwrap_or(usize::MAX),
        Workers::At(addresses) => addresses.len(),
    };
    if tasks.len() != count {
        return Err(StartError::Count { actual: tasks.len(), limit: count });
    }
    match workers {
        Workers::Here(1) => {
            let handles: Result<_, _> = tasks.into_iter().map(|task| thread(task, reports.clone())).collect();
            Ok(Started { handles: handles?, warnings: Vec::new() })
        }
        Workers::Here(_) => {
            let program = std::env::current_exe()
                .map_err(|error| StartError::Process { index: 0, why: format!("own program: {error}") })?;
            start_processes(&program, tasks, reports)
        }
        Workers::At(addresses) => {
            let recruits = (0..).zip(addresses).map(|(index, address): (u32, &String)| {
                Ok((Recruit::connect(format!("worker {index} at {address}"), address)?, None))
            });
            begin(recruits.collect::<Result<_, _>>()?, tasks, reports)
        }
    }
}

/// Gives each task to a process of this machine: `program worker`, where `program` is a loadgen of this version.
///
/// # Errors
/// One cannot be had.
pub fn start_processes(
    program: &Path,
    tasks: Vec<Task>,
    reports: &SyncSender<(u32, Report)>,
) -> Result<Started, StartError> {
    let failed = |index, why| StartError::Process { index, why };
    // All at once: each takes a while to begin.
    let mut processes = Vec::new();
    for task in &tasks {
        let process =
            Process::start(program).map_err(|error| failed(task.index, format!("{}: {error}", program.display())))?;
        processes.push((task.index, process));
    }
    let mut recruits = Vec::new();
    for (index, mut process) in processes {
        let address = process.address().map_err(|why| failed(index, why))?;
        let who = remote::named(index, address, &process);
        recruits.push((Recruit::connect(who, &address.to_string())?, Some(process)));
    }
    let pinned = tasks.into_iter().map(|task| Task { pin: task.pin.map(|core| core + task.index), ..task });
    begin(recruits, pinned.collect(), reports)
}

fn begin(
    recruits: Vec<(Recruit, Option<Process>)>,
    tasks: Vec<Task>,
    reports: &SyncSender<(u32, Report)>,
) -> Result<Started, StartError> {
    let warnings = recruits.iter().filter_map(|(recruit, _)| recruit.warning()).collect();
    let mut handles = Vec::new();
    for ((recruit, process), task) in recruits.into_iter().zip(tasks) {
        let (commands, mut link) = recruit.begin(task, reports)?;
        if let Some(process) = process {
            link.own(process);
        }
        handles.push(Handle { commands, body: Body::Remote(link) });
    }
    Ok(Started { handles, warnings })
}

fn thread(task: Task, reports: SyncSender<(u32, Report)>) -> Result<Handle, StartError> {
    let (commands, to_do) = sync_channel(COMMANDS_MAX);
    let name = format!("worker {}", task.index);
    let thread = Builder::new().name(name).spawn(move || work(task, &to_do, &reports)).map_err(StartError::Thread)?;
    Ok(Handle { commands, body: Body::Thread(thread) })
}

/// [`drive::work`]; a panic in it is a report too, or the coordinator would wait for ever.
fn work(task: Task, commands: &Receiver<Command>, reports: &SyncSender<(u32, Report)>) {
    let index = task.index;
    let drive = std::panic::AssertUnwindSafe(|| drive::work(task, commands, reports));
    if std::panic::catch_unwind(drive).is_err() {
        // Nobody listens any more: then nobody wants to know.
        drop(reports.send((index, Report::Failed(format!("worker {index} panicked; see standard error")))));
    }
}

//! CPU time, memory and open files of processes.
//!
//! CPU time is wanted more precisely than the 10 ms of `/proc/PID/stat`: the scheduler counts nanoseconds per thread
//! (`schedstat`), but forgets a thread that ended. So a [`Sampler`] remembers the threads it has seen, and takes the
//! process's ticks where those say more. What it misses is below one tick per process, and what a descendant used after
//! it was last looked at, if it ended then.

use std::collections::BTreeMap;

use rustix::time::{ClockId, Timespec, clock_gettime};
use thiserror::Error;

use super::stat::{Stat, children, running_stat, stat};
use super::{Kernel, kilobytes, numbers};
use crate::clock::Nanos;

/// Why a process cannot be looked at.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessError {
    /// It has ended, or never was.
    #[error("no process {pid}: it has ended, or the pid is wrong")]
    Gone {
        /// Its number.
        pid: u32,
    },
    /// The kernel keeps it from us.
    #[error("/proc/{pid}/{file} cannot be read: run loadgen as the user who owns process {pid}")]
    Forbidden {
        /// Its number.
        pid: u32,
        /// What was to be read.
        file: &'static str,
    },
}

/// Whether what a process starts is counted with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// Only the process itself.
    ProcessOnly,
    /// It and all that descend from it: it may be a launcher, or a master of workers.
    #[default]
    Tree,
}

/// How precisely CPU time is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Nanoseconds as of the last timer tick of the running thread (4 ms or less).
    Scheduler,
    /// The kernel keeps no `schedstat`: steps of 10 ms.
    Ticks,
}

/// What memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// Proportional: pages shared by n processes count as 1/n.
    Pss,
    /// Resident: shared pages count wholly, in each process; the kernel did not say the proportional size.
    Rss,
}

/// Memory of the watched processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes, of all of them together.
    pub bytes: u64,
    /// What was added up; [`MemoryKind::Rss`] if it is that for any of them.
    pub kind: MemoryKind,
}

/// CPU time so far, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Nanos,
    /// All watched processes together, user and system, nanoseconds.
    pub cpu_ns: u64,
    /// How precise that is.
    pub precision: Precision,
    /// Each thread, by process and thread: nanoseconds. Empty with [`Precision::Ticks`].
    pub threads: BTreeMap<(u32, u32), u64>,
}

/// CPU between two samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Used {
    /// Length of the span, seconds.
    pub seconds: f64,
    /// CPU, seconds.
    pub cpu_seconds: f64,
    /// CPU of the busiest thread, as part of a core; 0 if threads are not known.
    pub busiest_thread: f64,
}

impl Used {
    /// CPU as cores: 1.5 is one core and half of another.
    #[must_use]
    pub fn cores(&self) -> f64 {
        if self.seconds > 0.0 { self.cpu_seconds / self.seconds } else { 0.0 }
    }
}

impl Sample {
    /// What was used since `earlier`, of the same sampler.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Used {
        let seconds = self.at.since(earlier.at).as_secs_f64();
        let busiest_ns = self
            .threads
            .iter()
            .map(|(thread, ns)| ns.saturating_sub(earlier.threads.get(thread).copied().unwrap_or(0)));
        let busiest_seconds = as_seconds(busiest_ns.max().unwrap_or(0));
        Used {
            seconds,
            cpu_seconds: as_seconds(self.cpu_ns.saturating_sub(earlier.cpu_ns)),
            busiest_thread: if seconds > 0.0 { busiest_seconds / seconds } else { 0.0 },
        }
    }
}

/// Nanoseconds as seconds.
fn as_seconds(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64()
}

/// Looks at some processes again and again.
#[derive(Clone, Debug)]
pub struct Sampler {
    kernel: Kernel,
    roots: Vec<(u32, Stat)>,
    follow: Follow,
    /// Every process seen, by number and start, those that ended included.
    accounts: BTreeMap<(u32, u64), Account>,
}

/// What is known of a process's CPU time.
#[derive(Clone, Debug, Default)]
struct Account {
    threads: BTreeMap<u32, u64>,
    /// Of threads whose number went to another one.
    retired_ns: u64,
    /// The process's own sum, in steps of a tick.
    ticks_ns: u64,
}

impl Account {
    /// Both are below or at the truth.
    fn cpu_ns(&self) -> u64 {
        (self.retired_ns + self.threads.values().sum::<u64>()).max(self.ticks_ns)
    }

    fn note_thread(&mut self, tid: u32, ns: u64) {
        let last = self.threads.insert(tid, ns).unwrap_or(0);
        if ns < last {
            self.retired_ns += last;
        }
    }
}

impl Sampler {
    /// Watches `pids` from now on.
    ///
    /// # Errors
    /// [`ProcessError::Gone`] if one does not run.
    pub fn new(kernel: Kernel, pids: &[u32], follow: Follow) -> Result<Self, ProcessError> {
        let roots = pids.iter().map(|&pid| Ok((pid, running(&kernel, pid)?))).collect::<Result<_, _>>()?;
        Ok(Self { kernel, roots, follow, accounts: BTreeMap::new() })
    }

    /// Watches this process and its workers.
    ///
    /// # Errors
    /// [`ProcessError::Gone`] if there is no `/proc`.
    pub fn of_this_process() -> Result<Self, ProcessError> {
        Self::new(Kernel::default(), &[std::process::id()], Follow::Tree)
    }

    /// The CPU time so far. Some 20 µs per thread.
    ///
    /// # Errors
    /// [`ProcessError::Gone`] if one of the processes asked for has ended (of those it started, any may).
    pub fn sample(&mut self) -> Result<Sample, ProcessError> {
        let members = self.members()?;
        let at = Nanos::now();
        for (pid, stat) in members {
            self.note(pid, &stat);
        }
        let with_threads = self.accounts.values().any(|account| account.threads.values().any(|ns| *ns > 0));
        let threads = self
            .accounts
            .iter()
            .flat_map(|((pid, _), account)| account.threads.iter().map(move |(tid, ns)| ((*pid, *tid), *ns)));
        Ok(Sample {
            at,
            cpu_ns: self.accounts.values().map(Account::cpu_ns).sum(),
            precision: if with_threads { Precision::Scheduler } else { Precision::Ticks },
            threads: if with_threads { threads.collect() } else { BTreeMap::new() },
        })
    }

    /// Their memory now. The kernel walks the page tables for it: a millisecond per GiB.
    ///
    /// # Errors
    /// [`ProcessError::Gone`] if one of the processes asked for has ended; [`ProcessError::Forbidden`] if not even the
    /// resident size can be read.
    pub fn memory(&self) -> Result<Memory, ProcessError> {
        let mut whole = Memory { bytes: 0, kind: MemoryKind::Pss };
        for (pid, _) in self.members()? {
            let rollup = self.kernel.proc_text(&format!("{pid}/smaps_rollup"));
            if let Some(bytes) = rollup.and_then(|text| kilobytes(&text, "Pss")) {
                whole.bytes += bytes;
                continue;
            }
            let pages = self.kernel.proc_text(&format!("{pid}/statm")).and_then(|text| numbers(&text).get(1).copied());
            match (pages, self.is_root(pid)) {
                (Some(pages), _) => whole.bytes += pages * u64::try_from(rustix::param::page_size()).unwrap_or(4_096),
                (None, true) => return Err(ProcessError::Forbidden { pid, file: "statm" }),
                (None, false) => continue,
            }
            whole.kind = MemoryKind::Rss;
        }
        Ok(whole)
    }

    /// How many files (sockets included) they have open.
    ///
    /// # Errors
    /// [`ProcessError::Gone`] if one of the processes asked for has ended; [`ProcessError::Forbidden`] if it is
    /// another user's.
    pub fn open_files(&self) -> Result<u64, ProcessError> {
        let mut count = 0;
        for (pid, _) in self.members()? {
            match self.kernel.proc_numbers(&format!("{pid}/fd")) {
                Ok(fds) => count += fds.len() as u64,
                Err(_) if !self.is_root(pid) => {}
                Err(_) => return Err(ProcessError::Forbidden { pid, file: "fd" }),
            }
        }
        Ok(count)
    }

    /// The processes asked for and, if so wanted, their descendants: numbers.
    ///
    /// # Errors
    /// [`ProcessError::Gone`] if one of the processes asked for has ended.
    pub fn pids(&self) -> Result<Vec<u32>, ProcessError> {
        Ok(self.members()?.into_keys().collect())
    }

    fn is_root(&self, pid: u32) -> bool {
        self.roots.iter().any(|(root, _)| *root == pid)
    }

    fn members(&self) -> Result<BTreeMap<u32, Stat>, ProcessError> {
        let mut members = BTreeMap::new();
        for (pid, first) in &self.roots {
            let stat = running(&self.kernel, *pid)?;
            if stat.start_ticks != first.start_ticks {
                return Err(ProcessError::Gone { pid: *pid });
            }
            members.insert(*pid, stat);
        }
        if self.follow == Follow::Tree {
            let mut unvisited: Vec<u32> = members.keys().copied().collect();
            while let Some(parent) = unvisited.pop() {
                for child in children(&self.kernel, parent) {
                    let Some(stat) = stat(&self.kernel, child) else { continue };
                    if members.insert(child, stat).is_none() {
                        unvisited.push(child);
                    }
                }
            }
        }
        Ok(members)
    }

    fn note(&mut self, pid: u32, stat: &Stat) {
        let account = self.accounts.entry((pid, stat.start_ticks)).or_default();
        account.ticks_ns = stat.cpu_ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second().max(1));
        for tid in self.kernel.proc_numbers(&format!("{pid}/task")).unwrap_or_default() {
            let schedstat = self.kernel.proc_text(&format!("{pid}/task/{tid}/schedstat"));
            if let Some(ns) = schedstat.and_then(|text| numbers(&text).first().copied()) {
                account.note_thread(tid, ns);
            }
        }
        if pid == std::process::id() && self.kernel == Kernel::default() {
            let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ProcessCPUTime);
            let own_ns = tv_sec.unsigned_abs() * 1_000_000_000 + tv_nsec.unsigned_abs();
            account.ticks_ns = account.ticks_ns.max(own_ns);
        }
    }
}

/// The state of a process that runs.
fn running(kernel: &Kernel, pid: u32) -> Result<Stat, ProcessError> {
    running_stat(kernel, pid).ok_or(ProcessError::Gone { pid })
}

#[cfg(test)]
mod tests;

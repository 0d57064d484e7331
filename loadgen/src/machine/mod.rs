//! What loadgen knows of the machine it runs on, and of the processes that it watches there: all of it from `/proc`
//! and `/sys`, without privileges.
//!
//! Parsing is apart from reading: each parser takes the text of a file, and [`Kernel`] says where the files are, so
//! that tests read those of other machines.

pub mod calibrate;
pub mod difference;
pub mod facts;
pub mod limits;
pub mod load;
pub mod process;
mod stat;
pub mod tcp;

use std::path::{Path, PathBuf};

/// Where the kernel shows its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    proc: PathBuf,
    sys: PathBuf,
}

/// Keeps the calling thread, and those that it starts, on one core. Refused: then the kernel places them.
pub fn pin(core: u32) {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core as usize);
    rustix::thread::sched_setaffinity(None, &cores).ok();
}

impl Default for Kernel {
    /// This machine's.
    fn default() -> Self {
        Self { proc: PathBuf::from("/proc"), sys: PathBuf::from("/sys") }
    }
}

impl Kernel {
    /// A copy of another machine's `/proc` and `/sys`.
    #[must_use]
    pub const fn at(proc: PathBuf, sys: PathBuf) -> Self {
        Self { proc, sys }
    }

    /// The text of a file below `/proc`, without white space around it; none if it cannot be read.
    fn proc_text(&self, path: &str) -> Option<String> {
        text(&self.proc.join(path))
    }

    /// The same below `/sys`.
    fn sys_text(&self, path: &str) -> Option<String> {
        text(&self.sys.join(path))
    }

    /// The numbers among the names in a directory below `/proc` (processes, threads), ascending.
    fn proc_numbers(&self, path: &str) -> std::io::Result<Vec<u32>> {
        let entries = std::fs::read_dir(self.proc.join(path))?;
        let mut numbers: Vec<u32> =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

fn text(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// The number of `KEY: 123 kB` in a file of such lines.
fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1_024)
}

/// The numbers of a line, whatever separates them.
fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

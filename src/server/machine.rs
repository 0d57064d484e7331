//! What the machine allows, and what to type where that is little.

use std::num::NonZeroUsize;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A listener's queue of connections that wait to be accepted: what is asked for, and what `somaxconn` should allow.
pub(crate) const BACKLOG: i32 = 4_096;

/// Fewer open files than this are few for a server of rooms.
const FILES_WANTED: u64 = 100_000;

/// The kernel gets memory for so many files before they are there, 8 MiB. Also the most that a process may have if
/// nobody has raised `fs.nr_open`.
const FILES_PREPARED_MAX: u64 = 1 << 20;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    /// Open files that the process may have, now that the limit is raised as far as it may be.
    pub(crate) files: u64,
    /// `net.core.somaxconn`, if it can be read.
    pub(crate) somaxconn: Option<u32>,
}

impl Machine {
    /// Raises the limit of open files as far as the process may, and looks around.
    pub(crate) fn prepare() -> Self {
        let limit = getrlimit(Resource::Nofile);
        // Refused: then the present limit is what there is.
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).ok();
        // Huge pages would round a few KiB of connections up to 2 MiB: 0.41 against 0.16 KiB each (design). Refused: so
        // be it.
        rustix::thread::disable_transparent_huge_pages(true).ok();
        let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
        Self {
            cores: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            files: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            somaxconn: somaxconn.and_then(|text| text.trim().parse().ok()),
        }
    }

    /// Connections that there can be if `reserved` files are kept for other things.
    pub(crate) fn connections_max(&self, reserved: usize) -> usize {
        usize::try_from(self.files).unwrap_or(usize::MAX).saturating_sub(reserved).max(1)
    }

    /// Lets the kernel's table of the process's files have room for `files`, 8 bytes each, before there are threads.
    /// The table would grow with the connections otherwise, by doubling, and where threads share it each time makes
    /// the accept wait for an RCU grace period (`expand_fdtable` in the kernel's `fs/file.c`): 2–14 ms in which nobody
    /// comes in, seen six times while 10,000 connect.
    pub(crate) fn make_room_for_files(&self, files: usize) {
        let last = u64::try_from(files).unwrap_or(u64::MAX).min(self.files).min(FILES_PREPARED_MAX).saturating_sub(1);
        let Ok(last) = i32::try_from(last) else { return };
        // The copy is closed at once; the table stays. Refused: then it grows as they come.
        rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), last).ok();
    }

    /// A line for each thing found, with the command that raises what is low.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("cores        {}", self.cores)];
        let files = self.files;
        lines.push(if files < FILES_WANTED {
            format!(
                "open files   {files}, so at most about {files} connections; more: ulimit -Hn 1000000 (as root), or \
                 LimitNOFILE=1000000 in the systemd unit"
            )
        } else {
            format!("open files   {files}")
        });
        if let Some(somaxconn) = self.somaxconn {
            lines.push(if somaxconn < BACKLOG.unsigned_abs() {
                format!(
                    "somaxconn    {somaxconn}, a storm of connections overflows it; more: \
                     sysctl -w net.core.somaxconn={BACKLOG}"
                )
            } else {
                format!("somaxconn    {somaxconn}")
            });
        }
        lines
    }
}

/// Keeps the calling thread off the cores of the first `shards` shards, if that leaves any: a storm of connections then
/// takes no time from a fan-out.
pub(crate) fn leave_cores_to_shards(shards: usize) {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return };
    let mut others = rustix::thread::CpuSet::new();
    for core in (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).skip(shards) {
        others.set(core);
    }
    if others.count() > 0 {
        // Refused: then the kernel places the thread.
        rustix::thread::sched_setaffinity(None, &others).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::Machine;

    #[test]
    fn low_limits_come_with_a_command() {
        let low = Machine { cores: 2, files: 1_024, somaxconn: Some(128) }.lines().join("\n");
        assert!(low.contains("ulimit") && low.contains("sysctl -w net.core.somaxconn=4096"), "{low}");
        let high = Machine { cores: 2, files: 1_000_000, somaxconn: Some(4_096) }.lines().join("\n");
        assert!(!high.contains("ulimit") && !high.contains("sysctl"), "{high}");
    }
}

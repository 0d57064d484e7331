//! Who uses how much CPU, and where the reading thread runs.

use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// CPU time of all threads but the calling one: those that send.
pub(crate) fn others() -> Duration {
    let time = |clock| Duration::try_from(clock_gettime(clock)).expect("a CPU's clock begins at 0");
    time(ClockId::ProcessCPUTime).saturating_sub(time(ClockId::ThreadCPUTime))
}

/// The last of the process's cores that `cores` has.
fn only(core: Option<usize>) -> CpuSet {
    let mut set = CpuSet::new();
    if let Some(core) = core {
        set.set(core);
    }
    set
}

fn cores() -> (CpuSet, Vec<usize>) {
    let allowed = sched_getaffinity(None).unwrap_or_default();
    (allowed, (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect())
}

/// The calling thread on the first core, where the first shard runs as well.
pub(crate) fn pin_to_first_core() {
    // Refused: the figures are noisier then, and as true.
    sched_setaffinity(None, &only(cores().1.first().copied())).ok();
}

/// The calling thread on the last core, away from the first shard, until this is dropped. Threads that it starts
/// meanwhile stay there too: whatever has threads of its own is started before.
pub(crate) struct OnLastCore(CpuSet);

impl OnLastCore {
    pub(crate) fn pin() -> Self {
        let (allowed, cores) = cores();
        sched_setaffinity(None, &only(cores.last().copied())).ok();
        Self(allowed)
    }
}

impl Drop for OnLastCore {
    fn drop(&mut self) {
        sched_setaffinity(None, &self.0).ok();
    }
}

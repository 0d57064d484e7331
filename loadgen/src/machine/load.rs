//! What the whole machine did between two moments: so that a run knows whether others disturbed it.

use std::collections::BTreeMap;

use super::stat::parse_stat;
use super::{Kernel, numbers};
use crate::clock::Nanos;

/// The machine at one moment. Reading it looks at every process once: about 20 µs each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineTimes {
    at: Nanos,
    whole: Whole,
    /// All processes that are not watched.
    others: BTreeMap<u32, Other>,
}

/// A process that is not watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Other {
    name: String,
    parent: u32,
    /// CPU, with that of what it started and waited for.
    ticks: u64,
}

/// The first line of `/proc/stat`, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Whole {
    /// User, nice and system.
    processes: u64,
    /// In interrupts, hard and soft. Kernels differ in whether processes are charged for it as well.
    interrupts: u64,
    idle: u64,
    steal: u64,
}

/// What the machine did over a span.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MachineLoad {
    /// Length of the span, seconds.
    pub seconds: f64,
    /// CPU in use, interrupts included, cores.
    pub busy_cores: f64,
    /// CPU time that the hypervisor gave to others, as part of the machine's.
    pub steal: f64,
    /// CPU of processes that are not watched, cores: at least so much.
    pub others_cores: f64,
}

impl MachineTimes {
    /// The machine now; `watched` are the processes that count as ours. None if there is no `/proc/stat`.
    #[must_use]
    pub fn now(kernel: &Kernel, watched: &[u32]) -> Option<Self> {
        let whole = parse_whole(&kernel.proc_text("stat")?)?;
        let pids = kernel.proc_numbers("").unwrap_or_default();
        let others = pids.into_iter().filter(|pid| !watched.contains(pid)).filter_map(|pid| {
            let text = kernel.proc_text(&format!("{pid}/stat"))?;
            let name = text.split_once('(')?.1.rsplit_once(')')?.0.to_owned();
            let stat = parse_stat(&text)?;
            // A process that ends goes to its parent's sum, so that short-lived ones are in a difference.
            Some((pid, Other { name, parent: stat.parent, ticks: stat.cpu_ticks + stat.children_ticks }))
        });
        Some(Self { at: Nanos::now(), whole, others: others.collect() })
    }

    fn others_ticks(&self) -> u64 {
        self.others.values().map(|other| other.ticks).sum()
    }

    /// The processes that are not watched and used most since `earlier`, as `cargo (4711), 0.8 cores`: at most `count`,
    /// none below a hundredth of a core.
    #[must_use]
    pub fn busiest_since(&self, earlier: &Self, count: usize) -> Vec<String> {
        let seconds = self.at.since(earlier.at).as_secs_f64();
        // What a process had used before is no gain of the parent who waited for it since.
        let mut inherited: BTreeMap<u32, u64> = BTreeMap::new();
        for (_, gone) in earlier.others.iter().filter(|(pid, _)| !self.others.contains_key(pid)) {
            *inherited.entry(gone.parent).or_default() += gone.ticks;
        }
        let cores = |(pid, other): (&u32, &Other)| {
            let before = earlier.others.get(pid).filter(|before| before.name == other.name).map_or(0, |it| it.ticks);
            let before = before + inherited.get(pid).copied().unwrap_or(0);
            let cores = part(ticks_as_seconds(other.ticks.saturating_sub(before)), seconds);
            (cores, format!("{} ({pid})", other.name))
        };
        let mut busy: Vec<(f64, String)> = self.others.iter().map(cores).filter(|(cores, _)| *cores >= 0.01).collect();
        busy.sort_by(|left, right| right.0.total_cmp(&left.0));
        busy.into_iter().take(count).map(|(cores, name)| format!("{name}, {cores:.2} cores")).collect()
    }

    /// What the machine did since `earlier`, of which the watched processes used `watched_cpu_seconds`.
    #[must_use]
    pub fn since(&self, earlier: &Self, watched_cpu_seconds: f64) -> MachineLoad {
        let span = |read: fn(&Whole) -> u64| ticks_as_seconds(read(&self.whole).saturating_sub(read(&earlier.whole)));
        let (processes, interrupts, steal) = (span(|it| it.processes), span(|it| it.interrupts), span(|it| it.steal));
        let machine = processes + interrupts + steal + span(|it| it.idle);
        let seconds = self.at.since(earlier.at).as_secs_f64();
        // Two bounds from below: in a container other processes cannot be seen, and where processes are charged for
        // interrupts, the machine's sum is short of ours.
        let seen = ticks_as_seconds(self.others_ticks().saturating_sub(earlier.others_ticks()));
        let others = seen.max(processes - watched_cpu_seconds);
        MachineLoad {
            seconds,
            busy_cores: part(processes + interrupts, seconds),
            steal: part(steal, machine),
            others_cores: part(others, seconds),
        }
    }
}

/// 0 of nothing.
fn part(of: f64, whole: f64) -> f64 {
    if whole > 0.0 { of / whole } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 ticks are three million years")]
fn ticks_as_seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second().max(1) as f64
}

fn parse_whole(text: &str) -> Option<Whole> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks = numbers(line);
    let &[user, nice, system, idle, ref rest @ ..] = &ticks[..] else { return None };
    // Older kernels end earlier. Time of guests is in the user's already.
    let later = |index: usize| rest.get(index).copied().unwrap_or(0);
    Some(Whole {
        processes: user + nice + system,
        idle: idle + later(0),
        interrupts: later(1) + later(2),
        steal: later(3),
    })
}

/// How many other processes run or wait for a core right now, threads counted singly: the run queue of `/proc/loadavg`
/// without the one that asks.
#[must_use]
pub fn runnable_others(kernel: &Kernel) -> Option<u64> {
    let text = kernel.proc_text("loadavg")?;
    let (running, _) = text.split_whitespace().nth(3)?.split_once('/')?;
    Some(running.parse::<u64>().ok()?.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_of_old_and_new_kernels() {
        let new = "cpu  805509 1299 330472 1096090 3074 7 92517 677 40 0\ncpu0 1 2 3 4 5 6 7 8 9 0\nintr 5\n";
        let wanted = Whole { processes: 1_137_280, idle: 1_099_164, interrupts: 92_524, steal: 677 };
        assert_eq!(parse_whole(new), Some(wanted));
        let old = "cpu  10 20 30 40\ncpu0 10 20 30 40\n";
        assert_eq!(parse_whole(old), Some(Whole { processes: 60, idle: 40, interrupts: 0, steal: 0 }));
        assert_eq!(parse_whole("cpu  10 20 30\n"), None);
        assert_eq!(parse_whole("cpu0 10 20 30 40\n"), None);
    }

    #[test]
    fn others_are_what_is_left_or_what_is_seen() {
        let hertz = rustix::param::clock_ticks_per_second();
        let times = |at_s: u64, processes, interrupts, idle, steal, others: &[(u32, &str, u64)]| MachineTimes {
            at: Nanos(at_s * 1_000_000_000),
            whole: Whole {
                processes: processes * hertz,
                interrupts: interrupts * hertz,
                idle: idle * hertz,
                steal: steal * hertz,
            },
            others: others
                .iter()
                .map(|(pid, name, ticks)| (*pid, Other { name: (*name).to_owned(), parent: 1, ticks: ticks * hertz }))
                .collect(),
        };
        let before = times(100, 50, 5, 1_000, 1, &[(1, "init", 10), (2, "gone", 10), (3, "a", 5)]);
        let after = times(110, 62, 7, 1_005, 2, &[(1, "init", 21), (3, "b", 5)]);
        let near = |actual: f64, wanted: f64| assert!((actual - wanted).abs() < 1e-9, "{actual} for {wanted}");
        let load = after.since(&before, 9.0);
        near(load.seconds, 10.0);
        near(load.busy_cores, 1.4);
        near(load.steal, 0.05);
        near(load.others_cores, 0.3);
        assert_eq!(after.busiest_since(&before, 1), ["b (3), 0.50 cores"]);
        assert_eq!(after.busiest_since(&before, 9), ["b (3), 0.50 cores", "init (1), 0.10 cores"]);
        near(after.since(&before, 14.0).others_cores, 0.1);
        near(before.since(&before, 0.0).others_cores, 0.0);
    }

    #[test]
    fn this_machine_says() {
        let kernel = Kernel::default();
        let own = [std::process::id()];
        let before = MachineTimes::now(&kernel, &own).unwrap();
        let load = MachineTimes::now(&kernel, &own).unwrap().since(&before, 0.0);
        assert!(load.steal <= 1.0 && load.others_cores >= 0.0, "{load:?}");
        assert!(runnable_others(&kernel).is_some());
    }
}

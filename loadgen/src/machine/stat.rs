//! `/proc/PID/stat`, and who descends from whom.

use super::Kernel;

/// What is needed of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) state: char,
    pub(super) parent: u32,
    /// User and system, of the process with all threads that it ever had.
    pub(super) cpu_ticks: u64,
    /// The same of the children that ended and were waited for.
    pub(super) children_ticks: u64,
    /// When it began, since boot: tells it from a later one of the same number.
    pub(super) start_ticks: u64,
}

/// Reads `PID (name) state parent …`; the name may hold anything, parentheses too.
pub(super) fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    // The state is the third field of the manual's list.
    let field = |number: usize| words.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        state: words.first()?.chars().next()?,
        parent: u32::try_from(field(4)?).ok()?,
        cpu_ticks: field(14)? + field(15)?,
        children_ticks: field(16)? + field(17)?,
        start_ticks: field(22)?,
    })
}

pub(super) fn stat(kernel: &Kernel, pid: u32) -> Option<Stat> {
    parse_stat(&kernel.proc_text(&format!("{pid}/stat"))?)
}

/// None if it does not run: a zombie has ended, though nobody waited for it.
pub(super) fn running_stat(kernel: &Kernel, pid: u32) -> Option<Stat> {
    stat(kernel, pid).filter(|stat| !matches!(stat.state, 'Z' | 'X' | 'x'))
}

/// What `parent` started and still runs. Without the kernel's list of children all processes are looked through.
pub(super) fn children(kernel: &Kernel, parent: u32) -> Vec<u32> {
    let threads = kernel.proc_numbers(&format!("{parent}/task")).unwrap_or_default();
    let lists: Option<Vec<String>> =
        threads.iter().map(|tid| kernel.proc_text(&format!("{parent}/task/{tid}/children"))).collect();
    if let Some(lists) = lists.filter(|lists| !lists.is_empty()) {
        return lists.iter().flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok())).collect();
    }
    let all = kernel.proc_numbers("").unwrap_or_default();
    all.into_iter().filter(|pid| stat(kernel, *pid).is_some_and(|stat| stat.parent == parent)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process with a name that would mislead a split at spaces, as `/proc` of a 6.18 kernel shows it.
    const STAT: &str = "31427 (a) S (b 7) R 31416 31416 28238 0 -1 4194304 104 0 0 0 12 34 5 6 20 0 1 0 1174432 \
                        3133440 415 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0";

    #[test]
    fn stat_of_a_name_with_parentheses() {
        let wanted = Stat { state: 'R', parent: 31_416, cpu_ticks: 46, children_ticks: 11, start_ticks: 1_174_432 };
        assert_eq!(parse_stat(STAT), Some(wanted));
        for broken in ["", "31427 (cat", "31427 (cat) R 1", "31427 (cat) R x 3 4"] {
            assert_eq!(parse_stat(broken), None, "{broken}");
        }
    }
}

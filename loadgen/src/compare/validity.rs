//! Whether a run may be looked at: judged before its latency is, so that no figure of a run that was late, lossy or
//! short of CPU ever reaches the comparison.

use crate::outcome::Run;
use crate::thresholds::metrics::lost;

/// Percentiles of the lateness, and messages that each needs: ten are beyond it then. A finer one is the worst message.
const LATENESS_PERCENTILES: [(u64, f64); 4] = [(10_000, 99.9), (1_000, 99.0), (100, 90.0), (0, 50.0)];
/// The generator's own lateness may be this part of the latency's p99 …
const LATENESS_PART_MAX: f64 = 0.05;
/// … or this, nanoseconds, if that is more.
const LATENESS_MAX_NS: u64 = 1_000_000;
/// Part of a core that the generator's busiest thread may use. Stricter than a run by itself: here 5 % matter.
const GENERATOR_CPU_MAX: f64 = 0.8;
/// CPU that the hypervisor may give to others, as part of the machine's.
const STEAL_MAX: f64 = 0.1;

/// Why the run may not be compared; none: it may. Each is a sentence with actual and limit.
#[must_use]
pub fn problems(run: &Run) -> Vec<String> {
    let mut problems = run.validity.problems.clone();
    let mut refuse = |problem: String| problems.push(problem);
    for (name, actual, limit) in counts(run) {
        if actual > limit {
            refuse(format!("{actual} {name}, at most {limit} may be"));
        }
    }
    let messages = run.total.lateness.count();
    let finest = LATENESS_PERCENTILES.iter().find(|(needed, _)| messages >= *needed);
    let percent = finest.map_or(50.0, |(_, percent)| *percent);
    let late_ns = run.total.lateness.percentile_ns(percent);
    let late_max_ns = LATENESS_MAX_NS.max(part_ns(run.total.latency.percentile_ns(99.0), LATENESS_PART_MAX));
    if late_ns > late_max_ns {
        refuse(format!(
            "publications were up to {} µs late (p{percent}), {} µs may be",
            late_ns / 1_000,
            late_max_ns / 1_000
        ));
    }
    for (name, actual, limit) in [
        ("the generator's busiest thread used", run.generator.busiest_thread, GENERATOR_CPU_MAX),
        ("the hypervisor gave to others", run.generator.steal, STEAL_MAX),
    ] {
        if actual > limit {
            refuse(format!("{name} {:.0} % of its CPU, at most {:.0} % may be", actual * 100.0, limit * 100.0));
        }
    }
    if run.total.deliveries == 0 {
        refuse("nothing was delivered".to_owned());
    }
    problems
}

/// What was counted, and how many of it there may be.
fn counts(run: &Run) -> Vec<(&'static str, u64, u64)> {
    let (audit, mix) = (&run.audit, &run.scenario.mix);
    let mut counts = vec![
        (
            "deliveries lost that nobody announced",
            lost(audit).saturating_sub(audit.announced_drops),
            run.scenario.limits.lost_max,
        ),
        ("corrupt deliveries", audit.corrupt, 0),
        ("deliveries to the wrong room", audit.misrouted, 0),
    ];
    // Those who come back may get a message twice, and those who do not read are cut off: that is what they are for.
    if mix.reconnecting == 0 {
        counts.push(("deliveries twice", audit.duplicated, 0));
        counts.push(("deliveries out of order", audit.out_of_order, 0));
    }
    if mix.slow + mix.stalled == 0 {
        counts.push(("connections lost", run.connections.lost.values().sum(), 0));
    }
    counts
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a part of a latency, which is far below 2^53 ns"
)]
fn part_ns(ns: u64, part: f64) -> u64 {
    (ns as f64 * part) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::simulated::blank_run;
    use crate::scenario::Scenario;

    fn good() -> Run {
        let mut run = blank_run(&Scenario::default());
        run.total.deliveries = 1_000;
        run.total.latency.record_many(10_000_000, 1_000);
        run.total.lateness.record_many(100_000, 1_000);
        run
    }

    #[test]
    fn each_rule_fires() {
        assert_eq!(problems(&good()), Vec::<String>::new());
        type Spoil = fn(&mut Run);
        let cases: [(Spoil, &str); 12] = [
            (|run| run.validity.problems.push("the server died".to_owned()), "the server died"),
            (|run| run.audit.lost_at_tail = 3, "3 deliveries lost"),
            (|run| run.audit.duplicated = 1, "1 deliveries twice"),
            (|run| run.audit.out_of_order = 1, "out of order"),
            (|run| run.audit.corrupt = 1, "corrupt"),
            (|run| run.audit.misrouted = 1, "wrong room"),
            (|run| run.total.lateness.record_many(1_200_000, 20), "publications were up to 1200 µs late"),
            (|run| run.generator.busiest_thread = 0.85, "85 %"),
            (|run| run.generator.steal = 0.2, "20 %"),
            (|run| run.total.deliveries = 0, "nothing"),
            (|run| _ = run.connections.lost.insert("reset".to_owned(), 1), "1 connections lost"),
            (|run| run.audit.lost_in_gaps = 2, "2 deliveries lost"),
        ];
        for (spoil, words) in cases {
            let mut run = good();
            spoil(&mut run);
            let found = problems(&run);
            assert!(found.len() == 1 && found[0].contains(words), "{words:?} expected, found {found:?}");
        }
    }

    #[test]
    fn what_the_scenario_asks_for_is_no_problem() {
        let mut run = good();
        run.audit.lost_in_gaps = 7;
        run.audit.announced_drops = 7;
        run.audit.duplicated = 1;
        run.scenario.mix.reconnecting = 1;
        run.scenario.mix.stalled = 1;
        run.connections.lost.insert("close 3008".to_owned(), 1);
        assert_eq!(problems(&run), Vec::<String>::new());
        // 5 % of the latency's p99, if that is more than a millisecond.
        let mut slow = good();
        slow.total.latency.record_many(100_000_000, 100);
        slow.total.lateness.record_many(4_500_000, 5);
        assert_eq!(problems(&slow), Vec::<String>::new());
    }
}

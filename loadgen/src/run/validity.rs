//! Whether a run says something about the server. Each problem is a sentence with actual and limit.

use std::collections::BTreeMap;

use super::merge::Facts;
use super::timeline::Course;
use super::watch::real;
use crate::outcome::{Run, Validity};
use crate::output::units::nanoseconds;
use crate::scenario::Scenario;

/// What was seen on the way.
pub(super) fn judge(scenario: &Scenario, course: &Course, facts: &Facts) -> Validity {
    let mut validity = Validity { problems: course.problems.clone(), warnings: course.warnings.clone() };
    if facts.members_lost > 0 {
        let lost = facts.members_lost;
        validity.problems.push(format!("{lost} members lost their connection although they kept reading"));
    }
    if course.server_is_gone {
        validity.problems.push(format!("the server at {} ended during the run", scenario.target.url));
    }
    if !facts.publish_errors.is_empty() {
        let kinds = list(&facts.publish_errors);
        validity.problems.push(format!("publishing failed: {kinds}"));
    }
    if course.publishers == 0 && scenario.publishers.count > 0 && !course.interrupted {
        validity.problems.push(format!("no publisher could connect to {}", publish_url(scenario)));
    }
    if facts.incomplete > 0 {
        let incomplete = facts.incomplete;
        let warning =
            format!("{incomplete} messages did not reach their whole room: their spread is not in the figures");
        validity.warnings.push(warning);
    }
    validity
}

fn publish_url(scenario: &Scenario) -> &str {
    scenario.target.publish_url.as_deref().unwrap_or(&scenario.target.url)
}

/// What the figures themselves say.
pub(super) fn add_measured(scenario: &Scenario, run: &mut Run) {
    let mut problems = Vec::new();
    connections(scenario, run, &mut problems);
    deliveries(scenario, run, &mut problems);
    generator(scenario, run, &mut problems);
    run.validity.problems.extend(problems);
}

fn connections(scenario: &Scenario, run: &mut Run, problems: &mut Vec<String>) {
    let connections = &run.connections;
    let failed = list(&connections.failed);
    let least = (real(connections.wanted) * scenario.subscribers.connected_min).ceil();
    if real(connections.connected_max) < least && !run.interrupted {
        let (connected, wanted, url) = (connections.connected_max, connections.wanted, &scenario.target.url);
        problems.push(format!(
            "{connected} of {wanted} subscribers could connect to {url}, subscribers.connected_min asks for {least:.0} \
             ({failed})"
        ));
    } else if !failed.is_empty() {
        run.validity.warnings.push(format!("attempts to connect failed: {failed}"));
    }
    if !connections.lost.is_empty() {
        run.validity.warnings.push(format!("connections ended: {}", list(&connections.lost)));
    }
}

fn deliveries(scenario: &Scenario, run: &Run, problems: &mut Vec<String>) {
    let audit = &run.audit;
    let lost = audit.lost_in_gaps + audit.lost_at_tail;
    let (unannounced, limit) = (lost.saturating_sub(audit.announced_drops), scenario.limits.lost_max);
    if unannounced > limit {
        let (gaps, tail, expected) = (audit.lost_in_gaps, audit.lost_at_tail, audit.expected);
        problems.push(format!(
            "{unannounced} of {expected} deliveries were lost and nobody said so ({gaps} in gaps, {tail} at the tail), \
             limits.lost_max is {limit}"
        ));
    }
    let faults = [
        (audit.duplicated, "came twice"),
        (audit.out_of_order, "came out of order"),
        (audit.corrupt, "were corrupt"),
        (audit.misrouted, "belonged to another room"),
    ];
    problems.extend(
        faults.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} deliveries {what}")),
    );
    if run.total.published == 0 && run.scenario.publishers.count > 0 && !run.interrupted && problems.is_empty() {
        problems.push("nothing was published in the measured phases".to_owned());
    }
}

fn generator(scenario: &Scenario, run: &Run, problems: &mut Vec<String>) {
    let limits = &scenario.limits;
    let lateness_ns = run.total.lateness.percentile_ns(99.9);
    let limit_ns = u64::try_from(limits.lateness_p999_max.as_nanos()).unwrap_or(u64::MAX);
    if scenario.publishers.window.is_none() && lateness_ns > limit_ns {
        problems.push(format!(
            "the generator was late: p99.9 of its lateness is {}, limits.lateness_p999_max is {}",
            nanoseconds(lateness_ns),
            nanoseconds(limit_ns)
        ));
    }
    let (busiest, limit) = (run.generator.busiest_thread, limits.generator_cpu_max);
    if busiest > limit {
        problems.push(format!(
            "the generator was the bottleneck: its busiest thread used {busiest:.2} of a core, \
             limits.generator_cpu_max is {limit:.2} (try --workers)"
        ));
    }
}

/// `refused 12, timeout 3`.
fn list(kinds: &BTreeMap<String, u64>) -> String {
    kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
}

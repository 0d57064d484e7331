//! The parts of the summary, in their order.

use std::collections::BTreeMap;
use std::io;

use super::{Page, Tone};
use crate::outcome::{Distribution, Run};
use crate::output::quantile::{self, SHOWN};
use crate::output::threshold;
use crate::output::units::{bytes, bytes_per_second, count, nanoseconds, rate, real, share, span, time_ns};
use crate::scenario::PhaseKind;

/// Columns of a percentile.
const CELL: usize = 9;
/// Columns of a row's name.
const NAME: usize = 14;

pub(super) fn verdict(run: &Run, page: &mut Page<'_>) -> io::Result<()> {
    let name = &run.scenario.name;
    let headline = format!("{name} at {}, {} measured", run.scenario.target.url, span(run.total.seconds));
    let missed = run.thresholds.iter().filter(|threshold| !threshold.met).count();
    match (run.validity.is_valid(), missed) {
        (false, _) => page.marked(Tone::Bad, "INVALID", &headline)?,
        (true, 0) => page.marked(Tone::Good, "VALID", &headline)?,
        (true, _) => page.marked(Tone::Bad, "VALID, THRESHOLD MISSED", &headline)?,
    }
    for problem in &run.validity.problems {
        page.marked(Tone::Bad, "  !", problem)?;
    }
    if run.interrupted {
        page.marked(Tone::Doubtful, "  !", "interrupted: what was measured until then")?;
    }
    for warning in &run.validity.warnings {
        page.marked(Tone::Doubtful, "  ~", warning)?;
    }
    page.plain("")
}

pub(super) fn load(run: &Run, page: &mut Page<'_>) -> io::Result<()> {
    let total = &run.total;
    let reached = if total.seconds > 0.0 { real(total.published) / total.seconds } else { 0.0 };
    let asked =
        asked_per_second(run).map_or_else(|| "closed loop".to_owned(), |asked| format!("{} asked", rate(asked)));
    page.line("published", &format!("{} ({asked}), {} messages", rate(reached), count(total.published)))?;
    let flow = format!("{}, {}", rate(total.deliveries_per_second), bytes_per_second(total.bytes_per_second));
    page.line("deliveries", &format!("{flow}, {} in the measured phases", count(total.deliveries)))?;
    page.line("audit", &audit(run))?;
    let connections = &run.connections;
    let mut text = format!("{} of {} at once", count(connections.connected_max), count(connections.wanted));
    for (what, kinds) in [("failed", &connections.failed), ("lost", &connections.lost)] {
        if let Some(kinds) = kinds_of(kinds) {
            text += &format!(", {what}: {kinds}");
        }
    }
    if connections.resumed > 0 {
        text += &format!(", {} resumed", count(connections.resumed));
    }
    page.line("connections", &text)?;
    page.plain("")
}

/// Messages per second that the measured phases asked for, on average; none in a closed loop.
pub(in crate::output) fn asked_per_second(run: &Run) -> Option<f64> {
    let measured = || run.phases.iter().filter(|phase| phase.kind == PhaseKind::Measured);
    let seconds = measured().map(|phase| phase.figures.seconds).sum::<f64>();
    let messages = measured().map(|phase| Some(phase.rate_per_second? * phase.figures.seconds)).sum::<Option<f64>>()?;
    (seconds > 0.0).then_some(messages / seconds)
}

fn audit(run: &Run) -> String {
    let audit = &run.audit;
    let lost = audit.lost_in_gaps.saturating_add(audit.lost_at_tail);
    let mut text = format!("{} of {} owed arrived", count(audit.received), count(audit.expected));
    if lost == 0 {
        text += ", none lost";
    } else {
        let part = share(real(lost) / real(audit.expected.max(1)));
        text += &format!(", {} LOST ({part}): {} in gaps", count(lost), count(audit.lost_in_gaps));
        text += &format!(", {} at the end, {} announced", count(audit.lost_at_tail), count(audit.announced_drops));
    }
    let others = [
        ("duplicated", audit.duplicated),
        ("out of order", audit.out_of_order),
        ("corrupt", audit.corrupt),
        ("misrouted", audit.misrouted),
        ("foreign", audit.foreign),
        ("missed while away", audit.missed_while_away),
    ];
    for (what, number) in others.into_iter().filter(|(_, number)| *number > 0) {
        text += &format!(", {} {what}", count(number));
    }
    text
}

/// `3 (2 refused, 1 timeout)`; none if there are none.
fn kinds_of(kinds: &BTreeMap<String, u64>) -> Option<String> {
    let all = kinds.values().fold(0_u64, |sum, number| sum.saturating_add(*number));
    let each: Vec<_> = kinds.iter().map(|(kind, number)| format!("{} {kind}", count(*number))).collect();
    (all > 0).then(|| format!("{} ({})", count(all), each.join(", ")))
}

pub(super) fn times(run: &Run, page: &mut Page<'_>) -> io::Result<()> {
    let total = &run.total;
    let mut header = format!("{:NAME$}", "");
    for label in SHOWN.iter().map(|shown| shown.label).chain(["max"]) {
        header += &format!("{label:>CELL$}");
    }
    page.plain(&header)?;
    row("latency", &total.latency, page)?;
    if total.lost > 0 {
        row("  with losses", &total.latency_with_losses, page)?;
    }
    row("completion", &total.completion, page)?;
    row("spread", &total.spread, page)?;
    row("lateness", &total.lateness, page)?;
    for (name, times) in [("connect", &total.connect), ("handshake", &total.handshake), ("resume", &total.resume)] {
        if times.count() > 0 {
            row(name, times, page)?;
        }
    }
    page.plain("")
}

fn row(name: &str, times: &Distribution, page: &mut Page<'_>) -> io::Result<()> {
    let mut line = format!("{name:NAME$}");
    for value in SHOWN.iter().map(|shown| shown.of(times)).chain([quantile::max_of(times)]) {
        let shown = value.map_or_else(|| "-".to_owned(), nanoseconds);
        line += &format!("{shown:>CELL$}");
    }
    page.plain(&line)
}

pub(super) fn phases(run: &Run, page: &mut Page<'_>) -> io::Result<()> {
    if run.phases.iter().filter(|phase| phase.kind == PhaseKind::Measured).count() < 2 {
        return Ok(());
    }
    page.plain(&format!(
        "{:NAME$}{:>9}{:>11}{:>14}{:>10}{:>10}{:>8}",
        "phase", "asked", "reached", "deliveries", "p50", "p99", "lost"
    ))?;
    for phase in run.phases.iter().filter(|phase| phase.kind == PhaseKind::Measured) {
        let figures = &phase.figures;
        let name: String = phase.name.chars().filter(|one| !one.is_control()).take(NAME - 1).collect();
        let asked = phase.rate_per_second.map_or_else(|| "closed".to_owned(), rate);
        let reached = if figures.seconds > 0.0 { real(figures.published) / figures.seconds } else { 0.0 };
        let at = |index: usize| SHOWN[index].of(&figures.latency).map_or_else(|| "-".to_owned(), nanoseconds);
        let (reached, deliveries) = (rate(reached), rate(figures.deliveries_per_second));
        page.plain(&format!(
            "{name:NAME$}{asked:>9}{reached:>11}{deliveries:>14}{:>10}{:>10}{:>8}",
            at(0),
            at(2),
            count(figures.lost)
        ))?;
    }
    page.plain("")
}

pub(super) fn costs(run: &Run, page: &mut Page<'_>) -> io::Result<()> {
    let cores = |cpu_seconds: f64| if run.total.seconds > 0.0 { cpu_seconds / run.total.seconds } else { 0.0 };
    if let Some(server) = &run.server {
        let cpu = time_ns(server.cpu_ns_per_delivery);
        page.line("server", &format!("{cpu} CPU per delivery, {:.2} cores", cores(server.cpu_seconds)))?;
        let memory = [server.memory_before_bytes, server.memory_idle_bytes, server.memory_end_bytes];
        let [before, idle, end] = memory.map(|size| bytes(real(size)));
        let (each, tcp) = (bytes(server.memory_per_connection_bytes), bytes(server.tcp_per_connection_bytes));
        page.line("  memory", &format!("{before} before, {idle} idle, {end} at the end"))?;
        page.line("", &format!("{each} per connection, and {tcp} of TCP in the kernel"))?;
    } else {
        page.line("server", "not looked at (--server-pid, --server-metrics)")?;
    }
    let generator = &run.generator;
    let cpu = time_ns(generator.cpu_ns_per_delivery);
    let busiest = share(generator.busiest_thread);
    let own = format!("{cpu} CPU per delivery, {:.2} cores", cores(generator.cpu_seconds));
    page.line("generator", &format!("{own}, busiest thread {busiest} of a core"))?;
    let (steal, others) = (share(generator.steal), generator.others);
    page.line("machine", &format!("{others:.2} cores used by others, {steal} stolen by the hypervisor"))
}

pub(super) fn thresholds(run: &Run, page: &mut Page<'_>) -> io::Result<()> {
    if run.thresholds.is_empty() {
        return Ok(());
    }
    page.plain("")?;
    for threshold in &run.thresholds {
        let text = threshold::sentence(threshold);
        match threshold.met {
            true => page.marked(Tone::Good, "   met", &text)?,
            false => page.marked(Tone::Bad, "missed", &text)?,
        }
    }
    Ok(())
}

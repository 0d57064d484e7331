//! What the gate says, for people: a table per stage, then the outcome in a sentence.

use std::io::{self, Write};

use super::bench::StageKind;
use super::decision::{Decision, Stage};
use super::metrics::Role;
use super::noise::NoiseTable;
use super::trial::TrialRecord;
use super::verdict::{Effect, Judgement, Method, Verdict};
use crate::thresholds::Unit;

const HEADINGS: [&str; 8] = ["metric", "base", "candidate", "ratio", "HL", "interval", "bound", "verdict"];

/// Writes a whole decision.
///
/// # Errors
/// If it cannot be written.
pub fn decision(decision: &Decision, out: &mut dyn Write) -> io::Result<()> {
    for stage in &decision.stages {
        writeln!(out, "\n{}", stage_heading(stage))?;
        // A confirmation is about what was flagged; the rest was shown before.
        let shown = |judgement: &&Judgement| !stage.kind.confirms() || judgement.role == Role::Gating;
        judgements(stage.judgements.iter().filter(shown), out)?;
    }
    if !decision.invalid.is_empty() {
        writeln!(out, "\nnot looked at: {} of {} runs", decision.invalid.len(), decision.runs)?;
        for invalid in &decision.invalid {
            let problems = invalid.problems.join("; ");
            writeln!(out, "  pair {}, {}: {problems}", invalid.pair, invalid.side.name())?;
        }
    }
    writeln!(out, "\n{}: {}", decision.outcome.name().to_uppercase(), decision.reason)
}

/// Writes a table of judgements. What decides nothing and was not measured is left out.
///
/// # Errors
/// If it cannot be written.
pub fn judgements<'a>(judgements: impl Iterator<Item = &'a Judgement>, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(judgements.filter(|judgement| says_something(judgement)).map(row));
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let last = column + 1 == HEADINGS.len();
            let cell = if column == 0 || last { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
            line.push_str(&cell);
            line.push_str("  ");
        }
        writeln!(out, "  {}", line.trim_end())?;
    }
    Ok(())
}

/// Writes what trials of the gate said.
///
/// # Errors
/// If it cannot be written.
pub fn trials(record: &TrialRecord, noise: Option<&NoiseTable>, out: &mut dyn Write) -> io::Result<()> {
    let outcomes: Vec<String> = record.outcomes.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let (count, pairs, pairing) = (record.trials.len(), record.pairs, record.pairing.name());
    writeln!(out, "\n{count} trials of {pairs} {pairing} pairs: {}", outcomes.join(", "))?;
    let (confirmed, before) = (record.regression_rate * 100.0, record.unconfirmed_rate * 100.0);
    let name = if record.injection.is_some() { "regression found" } else { "false alarms" };
    writeln!(out, "{name}: {confirmed:.1} % (before the confirmation {before:.1} %)")?;
    let Some(noise) = noise else {
        return Ok(());
    };
    writeln!(out, "\nnoise of a pair (robust standard deviation of ln ratios)")?;
    for (metric, found) in &noise.metric {
        writeln!(out, "  {metric:<30} {:>6.1} %  of {} pairs", found.sigma * 100.0, found.ln_ratios.len())?;
    }
    let count = noise.trials.len();
    writeln!(out, "false alarms in the last {count} trials: {:.1} %", noise.false_alarm_rate * 100.0)
}

fn says_something(judgement: &Judgement) -> bool {
    judgement.role == Role::Gating || judgement.effect.is_some()
}

fn stage_heading(stage: &Stage) -> String {
    let pairs = stage.pairs.len();
    let what = match stage.kind {
        StageKind::First => format!("{pairs} pairs"),
        StageKind::Doubled => format!("{pairs} pairs, the first ones included"),
        StageKind::Confirmation => format!("{pairs} fresh pairs in the other order"),
        StageKind::ConfirmationDoubled => format!("{pairs} fresh pairs, the ones just judged included"),
    };
    let method = stage.judgements.iter().find_map(|judgement| judgement.effect.as_ref()).map(how);
    method.map_or_else(|| what.clone(), |method| format!("{what}; {method}"))
}

/// How the intervals of a table were found.
#[must_use]
pub fn how(effect: &Effect) -> String {
    let method = match effect.method {
        Method::Wilcoxon => "exact intervals (signed ranks)",
        Method::PairedBootstrap => "bootstrap intervals of the median pair",
        Method::UnpairedBootstrap => "bootstrap intervals of the ratio of medians",
    };
    format!("{method} at {:.0} %", effect.confidence * 100.0)
}

fn row(judgement: &Judgement) -> [String; 8] {
    let value = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| quantity(value, judgement.unit));
    let of_effect = |show: &dyn Fn(&Effect) -> String| judgement.effect.as_ref().map_or_else(|| "–".to_owned(), show);
    [
        judgement.metric.clone(),
        value(judgement.base),
        value(judgement.candidate),
        of_effect(&|effect| format!("{:.3}", effect.ratio)),
        of_effect(&|effect| effect.ratio_hodges_lehmann.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.3}"))),
        of_effect(&|effect| format!("{} … {}", edge(effect.interval.low), edge(effect.interval.high))),
        bound(judgement),
        verdict(judgement),
    ]
}

fn edge(ratio: f64) -> String {
    if ratio.is_finite() && ratio > 0.0 { format!("{ratio:.3}") } else { "?".to_owned() }
}

fn bound(judgement: &Judgement) -> String {
    match judgement.role {
        Role::Gating if judgement.bound == 0.0 => "none".to_owned(),
        Role::Gating => format!("+{:.1} %", judgement.bound * 100.0),
        Role::Advisory | Role::Silent => "–".to_owned(),
    }
}

fn verdict(judgement: &Judgement) -> String {
    let word = match judgement.verdict {
        Verdict::Ok => "ok",
        Verdict::Improved => "ok, improved",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Regression => "REGRESSION",
        Verdict::NotJudged => "(shown only)",
        Verdict::NotMeasured => "not measured",
    };
    match &judgement.note {
        Some(note) if note != word => format!("{word}: {note}"),
        _ => word.to_owned(),
    }
}

/// A value with its unit, three or four digits.
#[must_use]
pub fn quantity(value: f64, unit: Unit) -> String {
    let scaled = |steps: &[(f64, &str)]| {
        let fitting = steps.iter().rev().find(|(factor, _)| value.abs() >= *factor).unwrap_or(&steps[0]);
        let number = value / fitting.0;
        let decimals = if number.abs() >= 100.0 {
            0
        } else if number.abs() >= 10.0 {
            1
        } else {
            2
        };
        format!("{number:.decimals$}{}", fitting.1)
    };
    match unit {
        Unit::Nanoseconds => scaled(&[(1.0, " ns"), (1e3, " µs"), (1e6, " ms"), (1e9, " s")]),
        Unit::Bytes => scaled(&[(1.0, " B"), (1024.0, " KiB"), (1_048_576.0, " MiB"), (1_073_741_824.0, " GiB")]),
        Unit::BytesPerSecond => scaled(&[(1.0, " B/s"), (1e3, " kB/s"), (1e6, " MB/s"), (1e9, " GB/s")]),
        Unit::PerSecond => scaled(&[(1.0, "/s"), (1e3, "k/s"), (1e6, "M/s")]),
        Unit::Count => format!("{value}"),
        Unit::Share => format!("{:.1} %", value * 100.0),
        Unit::Cores => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::compare::bench::Pairing;
    use crate::compare::paired::Procedure;
    use crate::compare::rules::Rules;
    use crate::compare::simulated::{Injection, Noise, SimulatedBench};

    #[test]
    fn quantities_are_short() {
        for (value, unit, expected) in [
            (812.4, Unit::Nanoseconds, "812 ns"),
            (48_210.0, Unit::Nanoseconds, "48.2 µs"),
            (2_104_000.0, Unit::Nanoseconds, "2.10 ms"),
            (0.0, Unit::Nanoseconds, "0.00 ns"),
            (9_216.0, Unit::Bytes, "9.00 KiB"),
            (-200.0, Unit::Bytes, "-200 B"),
            (401_000.0, Unit::PerSecond, "401k/s"),
            (3.0, Unit::Count, "3"),
            (0.999, Unit::Share, "99.9 %"),
        ] {
            assert_eq!(quantity(value, unit), expected);
        }
    }

    #[test]
    fn a_decision_reads_as_a_table_and_a_sentence() {
        let quiet = Noise { cpu: 0.01, p50: 0.01, p99: 0.01, memory: 0.002, drift: 0.1, disturbed: 0.0 };
        let mut bench = SimulatedBench::new(quiet, Injection { cpu: 1.3, ..Injection::default() }, 3);
        let rules = Rules::new(&BTreeMap::new(), None).unwrap();
        let procedure = Procedure {
            pairing: Pairing::Sequential,
            rules: &rules,
            pairs: 10,
            seed: 5,
            bench: &mut bench,
            watch: &mut (),
        };
        let mut text = Vec::new();
        decision(&procedure.decide().unwrap(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "10 pairs; exact intervals (signed ranks) at 96 %");
        let cpu = lines.iter().find(|line| line.contains("server.cpu_per_delivery")).unwrap();
        assert!(cpu.contains("+5.0 %") && cpu.ends_with("REGRESSION"), "{cpu}");
        assert!(text.contains("10 fresh pairs in the other order"), "{text}");
        let last = "REGRESSION: server.cpu_per_delivery: worse in 10 pairs and in 10 fresh ones";
        assert_eq!(lines[lines.len() - 1], last);
        assert!(lines.iter().all(|line| line.chars().count() <= 140), "{text}");
    }
}

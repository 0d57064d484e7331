//! `loadgen help scenario`, `… metrics`, `… exit-codes`: references made from the tables that the program itself uses.

use std::fmt::Write as _;

use crate::exit::Exit;
use crate::scenario::Scenario;
use crate::scenario::fields::{FIELDS, Field, Kind, SECTIONS};
use crate::thresholds::metrics;

/// Width of a comment or a sentence.
const WIDTH: usize = 96;

/// What there is beside the commands.
pub(super) const TOPICS: &[&str] = &["scenario", "metrics", "exit-codes"];

/// Exit codes, in the order of their numbers.
pub(super) const EXIT_CODES: &[(Exit, &str)] = &[
    (Exit::Ok, "As asked. compare: no worse than the bounds, or inconclusive without --strict."),
    (Exit::Internal, "Something failed inside loadgen or on its machine: a full disk, say."),
    (Exit::Usage, "Bad usage: a flag, a scenario, an unknown metric. Nothing was run."),
    (Exit::Regression, "compare: a regression, confirmed with fresh pairs."),
    (Exit::Inconclusive, "compare --strict: the pairs do not suffice to tell."),
    (
        Exit::Invalid,
        "The run says nothing about the server: unannounced loss, a server that could not be reached or died, a \
         generator that was late or busy. What was measured is reported all the same.",
    ),
    (Exit::Incomparable, "compare: recorded on unlike machines or with unlike scenarios."),
    (Exit::Threshold, "A threshold of the scenario is not met."),
    (Exit::Interrupted, "Interrupted (Ctrl-C, SIGTERM); the report on what was measured is written."),
];

/// The text of a topic, if there is such a one.
pub(super) fn topic(name: &str) -> Option<String> {
    match name {
        "scenario" => Some(scenario()),
        "metrics" => Some(metrics_text()),
        "exit-codes" | "exit" => Some(exit_codes()),
        _ => None,
    }
}

fn exit_codes() -> String {
    let mut text = "Exit codes\n\n".to_owned();
    for &(exit, meaning) in EXIT_CODES {
        entry(&mut text, &format!("{:>3}", exit as u8), 5, meaning);
    }
    text.push_str("\nIf several apply: interrupted, then invalid, then a threshold.\n");
    text
}

fn metrics_text() -> String {
    let mut text = "\
Metrics: for thresholds, compare --bound and search --bound

  [thresholds]                         # in the scenario
  \"latency.p99\" = \"<= 20ms\"
  \"delivered_ratio\" = \">= 99.99%\"
  loadgen run --threshold 'latency.p99 <= 20ms'

Operators: <= < >= > =. Times have a unit (ns us ms s m h), sizes may (B KiB MiB GiB kB MB GB), shares
and cores may have %, counts and rates may have k or M. What was not measured does not meet its bound;
server.* needs --server-pid or --server-metrics.

"
    .to_owned();
    let points: Vec<&str> = metrics::points().collect();
    let star = format!("Figures of each distribution (the * below), over the measured phases: {}.", points.join(" "));
    wrap(&mut text, "", &star);
    text.push_str("p999 is 99.9 %, p99999 is 99.999 %; latency.p99.9 works too.\n\n");
    let width = metrics::reference().map(|(name, ..)| name.len()).max().unwrap_or(0) + 2;
    for (name, unit, help) in metrics::reference() {
        entry(&mut text, &format!("  {name:<width$}{unit}"), width + 14, help);
    }
    text
}

fn scenario() -> String {
    let defaults = toml::Table::try_from(Scenario::default()).expect("a scenario consists of what TOML can say");
    let mut text = "\
# A scenario: every field, what it is by default (lines with \"#\" and no blank after it), and its flag.
# Times: \"250ms\", \"10s\", \"1m30s\". Unknown fields are refused. A flag of `loadgen run` wins over the file.
"
    .to_owned();
    for &(section, _) in SECTIONS {
        match section {
            "" => {}
            "phase" => text.push_str(
                "\n# The run in time, in order; without any: 2 s of warm-up, 10 s measured.\n\
                 # Flags: --warm-up, --duration, --phase KIND:TIME[:RATE[:NAME]].\n[[phase]]\n",
            ),
            section => _ = writeln!(text, "\n[{section}]"),
        }
        for field in FIELDS.iter().filter(|field| field.section() == section && field.path != "thresholds") {
            write_field(&mut text, field, &defaults);
        }
    }
    let thresholds = FIELDS.iter().find(|field| field.path == "thresholds").expect("it is in the table");
    text.push_str("\n[thresholds]\n");
    write_field(&mut text, thresholds, &defaults);
    text
}

fn write_field(text: &mut String, field: &Field, defaults: &toml::Table) {
    let name = field.path.rsplit('.').next().unwrap_or(field.path);
    let choices = match field.kind {
        Kind::Choice(words) => format!(" One of {}.", words.join(", ")),
        _ => String::new(),
    };
    let flag = if field.section() == "phase" { String::new() } else { format!(" (--{})", field.flag) };
    text.push('\n');
    wrap(text, "# ", &format!("{}{choices}{flag}", field.help));
    let default = match field.path.split_once('.') {
        Some((section, name)) => defaults.get(section).and_then(|table| table.get(name)),
        None => defaults.get(field.path),
    };
    let example = match (field.path, default) {
        ("thresholds", _) => "#\"latency.p99\" = \"<= 20ms\"".to_owned(),
        ("target.headers", _) => "#headers = { Origin = \"https://example.com\" }".to_owned(),
        ("phase.kind", _) => "#kind = \"measured\"".to_owned(),
        ("phase.duration", _) => "#duration = \"10s\"".to_owned(),
        (_, Some(value)) => format!("#{name} = {value}"),
        (_, None) => format!("# {name}: not set."),
    };
    text.push_str(&example);
    text.push('\n');
}

/// A term, and its meaning beside it from that column on.
fn entry(text: &mut String, term: &str, column: usize, meaning: &str) {
    let mut wrapped = String::new();
    wrap(&mut wrapped, &" ".repeat(column), meaning);
    let behind = wrapped.get(column..).unwrap_or_default();
    _ = write!(text, "{term:<column$}{behind}");
}

/// Breaks a sentence into lines that begin with the prefix.
fn wrap(text: &mut String, prefix: &str, sentence: &str) {
    let mut line = prefix.to_owned();
    for word in sentence.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH && line.trim() != prefix.trim() {
            _ = writeln!(text, "{}", line.trim_end());
            prefix.clone_into(&mut line);
        }
        line.push_str(word);
        line.push(' ');
    }
    _ = writeln!(text, "{}", line.trim_end());
}

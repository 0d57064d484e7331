//! Comma-separated values (RFC 4180, a header first): a row per second of a run, or a row per run.
//!
//! Times are nanoseconds. A figure that does not exist (a percentile finer than the times allow, an unknown server)
//! is an empty field.

use std::io::{self, Write};

use super::quantile::{self, SHOWN};
use crate::outcome::{Distribution, Run};

/// A column: its name and what it holds of a run.
type Column = (&'static str, fn(&Run) -> String);

/// Columns of a distribution: their name and which it is.
type Times = (&'static str, fn(&Run) -> &Distribution);

/// Writes a row per second of the run.
///
/// # Errors
/// `out` does not take it.
pub fn write_seconds(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "at_s,phase,connected,published,deliveries,bytes,errors")?;
    for shown in SHOWN {
        write!(out, ",latency_{}_ns", shown.name)?;
    }
    writeln!(out, ",latency_max_ns,server_cpu,generator_cpu")?;
    for second in &run.seconds {
        write!(out, "{},{},{},", second.at_s, field(&second.phase), second.connected)?;
        write!(out, "{},{},{},{}", second.published, second.deliveries, second.bytes, second.errors)?;
        for shown in SHOWN {
            write!(out, ",{}", optional(shown.of(&second.latency)))?;
        }
        let max = optional(quantile::max_of(&second.latency));
        writeln!(out, ",{max},{},{}", optional(second.server_cpu), second.generator_cpu)?;
    }
    Ok(())
}

/// Writes the header and a row per run; the labels tell them apart.
///
/// # Errors
/// `out` does not take it.
pub fn write_runs(runs: &[(String, Run)], out: &mut dyn Write) -> io::Result<()> {
    write_runs_header(out)?;
    runs.iter().try_for_each(|(label, run)| write_run(label, run, out))
}

/// Writes the header of [`write_run`]'s rows.
///
/// # Errors
/// `out` does not take it.
pub fn write_runs_header(out: &mut dyn Write) -> io::Result<()> {
    write!(out, "run")?;
    for (name, _) in COLUMNS {
        write!(out, ",{name}")?;
    }
    for (name, _) in DISTRIBUTIONS {
        for shown in SHOWN {
            write!(out, ",{name}_{}_ns", shown.name)?;
        }
        write!(out, ",{name}_max_ns")?;
    }
    writeln!(out)
}

/// Writes a run as one row; `label` tells it from the others.
///
/// # Errors
/// `out` does not take it.
pub fn write_run(label: &str, run: &Run, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{}", field(label))?;
    for (_, value) in COLUMNS {
        write!(out, ",{}", field(&value(run)))?;
    }
    for (_, times) in DISTRIBUTIONS {
        for shown in SHOWN {
            write!(out, ",{}", optional(shown.of(times(run))))?;
        }
        write!(out, ",{}", optional(quantile::max_of(times(run))))?;
    }
    writeln!(out)
}

const COLUMNS: &[Column] = &[
    ("started", |run| run.started.clone()),
    ("scenario", |run| run.scenario.name.clone()),
    ("seed", |run| run.scenario.seed.to_string()),
    ("machine_class", |run| run.machine.class.clone()),
    ("valid", |run| run.validity.is_valid().to_string()),
    ("interrupted", |run| run.interrupted.to_string()),
    ("problems", |run| run.validity.problems.join("; ")),
    ("workers", |run| run.workers.to_string()),
    ("seconds", |run| run.total.seconds.to_string()),
    ("published", |run| run.total.published.to_string()),
    ("deliveries", |run| run.total.deliveries.to_string()),
    ("deliveries_per_second", |run| run.total.deliveries_per_second.to_string()),
    ("bytes_per_second", |run| run.total.bytes_per_second.to_string()),
    ("expected", |run| run.audit.expected.to_string()),
    ("received", |run| run.audit.received.to_string()),
    ("lost_in_gaps", |run| run.audit.lost_in_gaps.to_string()),
    ("lost_at_tail", |run| run.audit.lost_at_tail.to_string()),
    ("announced_drops", |run| run.audit.announced_drops.to_string()),
    ("duplicated", |run| run.audit.duplicated.to_string()),
    ("out_of_order", |run| run.audit.out_of_order.to_string()),
    ("corrupt", |run| run.audit.corrupt.to_string()),
    ("misrouted", |run| run.audit.misrouted.to_string()),
    ("foreign", |run| run.audit.foreign.to_string()),
    ("missed_while_away", |run| run.audit.missed_while_away.to_string()),
    ("wanted", |run| run.connections.wanted.to_string()),
    ("connected_max", |run| run.connections.connected_max.to_string()),
    ("established", |run| run.connections.established.to_string()),
    ("connects_failed", |run| run.connections.failed.values().sum::<u64>().to_string()),
    ("connections_lost", |run| run.connections.lost.values().sum::<u64>().to_string()),
    ("resumed", |run| run.connections.resumed.to_string()),
    ("server_cpu_s", |run| optional(run.server.as_ref().map(|server| server.cpu_seconds))),
    ("server_cpu_ns_per_delivery", |run| optional(run.server.as_ref().map(|server| server.cpu_ns_per_delivery))),
    ("server_memory_idle_bytes", |run| optional(run.server.as_ref().map(|server| server.memory_idle_bytes))),
    ("server_memory_end_bytes", |run| optional(run.server.as_ref().map(|server| server.memory_end_bytes))),
    ("server_memory_per_connection_bytes", |run| {
        optional(run.server.as_ref().map(|server| server.memory_per_connection_bytes))
    }),
    ("tcp_per_connection_bytes", |run| optional(run.server.as_ref().map(|server| server.tcp_per_connection_bytes))),
    ("generator_cpu_s", |run| run.generator.cpu_seconds.to_string()),
    ("generator_cpu_ns_per_delivery", |run| run.generator.cpu_ns_per_delivery.to_string()),
    ("generator_busiest_thread", |run| run.generator.busiest_thread.to_string()),
    ("steal", |run| run.generator.steal.to_string()),
    ("others_cores", |run| run.generator.others.to_string()),
];

const DISTRIBUTIONS: &[Times] = &[
    ("latency", |run| &run.total.latency),
    ("latency_with_losses", |run| &run.total.latency_with_losses),
    ("lateness", |run| &run.total.lateness),
    ("spread", |run| &run.total.spread),
    ("completion", |run| &run.total.completion),
    ("connect", |run| &run.total.connect),
    ("handshake", |run| &run.total.handshake),
    ("resume", |run| &run.total.resume),
];

fn optional<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// Quoted where it has to be.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::fixture::{Fabricated, text_of};

    /// RFC 4180, for the tests only.
    fn parse(csv: &str) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
        let mut chars = csv.chars().peekable();
        while let Some(one) = chars.next() {
            match one {
                '"' if quoted && chars.peek() == Some(&'"') => field.push(chars.next().unwrap()),
                '"' => quoted = !quoted,
                ',' if !quoted => row.push(std::mem::take(&mut field)),
                '\n' if !quoted => {
                    row.push(std::mem::take(&mut field));
                    rows.push(std::mem::take(&mut row));
                }
                _ => field.push(one),
            }
        }
        rows
    }

    #[test]
    fn a_row_per_second() {
        let mut run = Fabricated::default().run();
        run.seconds[4].phase = "a, \"b\"".to_owned();
        let rows = parse(&text_of(|out| write_seconds(&run, out)));
        assert_eq!(rows.len(), run.seconds.len() + 1);
        assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{rows:?}");
        assert_eq!(rows[5][1], "a, \"b\"");
        assert_eq!(rows[1][7], "", "the ramp has no latency");
    }

    #[test]
    fn a_row_per_run() {
        let mut run = Fabricated { name: "paused".to_owned(), pause_s: Some(8.0), ..Fabricated::default() }.run();
        run.server = None;
        let rows = parse(&text_of(|out| write_runs(&[("x,y".to_owned(), run.clone())], out)));
        assert_eq!(rows[0].len(), rows[1].len());
        let value = |name: &str| {
            let index = rows[0].iter().position(|column| column == name).unwrap();
            rows[1][index].as_str()
        };
        assert_eq!(value("run"), "x,y");
        assert_eq!(value("expected"), run.audit.expected.to_string());
        assert_eq!(value("server_cpu_s"), "");
        assert_eq!(value("latency_p99_ns"), run.total.latency.percentile_ns(99.0).to_string());
        assert_eq!(value("resume_max_ns"), "");
    }
}

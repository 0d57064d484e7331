//! A line every few seconds, for logs.

use std::io::{self, Write};
use std::time::Duration;

use super::{Snapshot, Turn, Turns};
use crate::output::units::{bytes_per_second, count, nanoseconds, rate, share, span};

/// Shows snapshots until there are no more, or `out` takes no more.
pub(super) fn show(turns: &Turns, every: Duration, mut out: Box<dyn Write + Send>) {
    let mut lines = Lines { every, due: Duration::ZERO, phase: String::new(), said: Vec::new() };
    loop {
        let written = match turns.next() {
            Turn::New(snapshot) => lines.write(&snapshot, &mut out),
            Turn::Waited => Ok(()),
            Turn::End => return,
        };
        if written.is_err() {
            return;
        }
    }
}

struct Lines {
    every: Duration,
    /// When the next line is due, from the run's beginning. The run's own time: the log is the same on every machine.
    due: Duration,
    phase: String,
    /// Warnings that are already out.
    said: Vec<String>,
}

impl Lines {
    fn write(&mut self, snapshot: &Snapshot, out: &mut dyn Write) -> io::Result<()> {
        for message in snapshot.messages.iter().filter(|message| !self.said.contains(message)) {
            writeln!(out, "{} ! {}", clock(snapshot.elapsed), one_line(message))?;
        }
        self.said.clone_from(&snapshot.messages);
        let changed = self.phase != snapshot.phase;
        if changed || snapshot.elapsed >= self.due {
            self.phase.clone_from(&snapshot.phase);
            self.due = snapshot.elapsed + self.every;
            writeln!(out, "{}", line(snapshot))?;
        }
        out.flush()
    }
}

/// `00:12 step 1 45 % | 200/s of 200/s | 99,997/s 12.8 MB/s | p50 1.97 ms p99 4.51 ms max 8.2 ms | 500 of 500 | …`
fn line(snapshot: &Snapshot) -> String {
    let time = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), nanoseconds);
    let asked = snapshot.target_rate.map_or_else(String::new, |asked| format!(" of {}", rate(asked)));
    let mut parts = vec![
        format!("{} {} {}", clock(snapshot.elapsed), one_line(&snapshot.phase), share(snapshot.phase_progress)),
        format!("{} of {} connected", count(snapshot.connected), count(snapshot.wanted)),
        format!("published {}{asked}", rate(snapshot.published_per_s)),
        format!("delivered {} {}", rate(snapshot.deliveries_per_s), bytes_per_second(snapshot.bytes_per_s)),
        format!(
            "p50 {} p99 {} max {}",
            time(snapshot.latency.p50_ns),
            time(snapshot.latency.p99_ns),
            time(snapshot.latency.max_ns)
        ),
        format!("late {}", time(snapshot.lateness_p99_ns)),
    ];
    let faults = [("lost", snapshot.lost), ("errors", snapshot.errors)];
    parts.extend(
        faults.iter().filter(|(_, number)| *number > 0).map(|(what, number)| format!("{what} {}", count(*number))),
    );
    if let Some(left) = snapshot.left {
        parts.push(format!("{} left", span(left.as_secs_f64())));
    }
    parts.join(" | ")
}

/// `01:05`, `1:02:03`.
fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes:02}:{seconds:02}") }
}

fn one_line(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, phase: &str) -> Snapshot {
        Snapshot { elapsed: Duration::from_secs(seconds), phase: phase.to_owned(), ..Snapshot::default() }
    }

    fn written(snapshots: &[Snapshot]) -> String {
        let mut lines =
            Lines { every: Duration::from_secs(5), due: Duration::ZERO, phase: String::new(), said: Vec::new() };
        let mut out = Vec::new();
        for snapshot in snapshots {
            lines.write(snapshot, &mut out).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_every_five_seconds_and_at_every_phase() {
        let snapshots: Vec<_> = (0..16).map(|second| at(second, if second < 7 { "warm-up" } else { "step" })).collect();
        let text = written(&snapshots);
        let starts: Vec<_> = text.lines().map(|line| line.split(" | ").next().unwrap().to_owned()).collect();
        assert_eq!(starts, ["00:00 warm-up 0 %", "00:05 warm-up 0 %", "00:07 step 0 %", "00:12 step 0 %"]);
    }

    #[test]
    fn a_warning_is_said_once() {
        let mut snapshots = vec![at(0, "step"), at(1, "step"), at(2, "step")];
        for snapshot in &mut snapshots[1..] {
            snapshot.messages = vec!["late\nby 3 ms".to_owned()];
        }
        let text = written(&snapshots);
        assert_eq!(text.lines().filter(|line| line.contains("late by 3 ms")).count(), 1, "{text}");
        assert!(text.contains("00:01 ! late by 3 ms"), "{text}");
    }
}

//! The plan for people.

use std::io::{self, Write};
use std::time::Duration;

use super::hits::is_loopback;
use super::{Plan, Rates};
use crate::machine::limits::Weight;
use crate::thresholds::Unit;
use crate::thresholds::quantity::show;

impl Plan {
    /// Writes it as text, at most about 100 columns.
    ///
    /// # Errors
    /// `out` takes no more.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "scenario {} → {}", self.name, self.url)?;
        writeln!(out)?;
        let members = if self.members_max == self.members_min {
            format!("{} members each", self.members_max)
        } else {
            format!("{} to {} members", self.members_min, self.members_max)
        };
        row(out, "connections", &self.connections())?;
        row(out, "rooms", &format!("{} with {members}", self.rooms))?;
        row(out, "fan-out", &format!("{} deliveries owed per message", grouped(self.fan_out)))?;
        row(out, "total time", &format!("{} ({})", time(self.total), self.parts()))?;
        if let (Some(all), Some(measured)) = (self.deliveries, self.deliveries_measured) {
            let text = format!("about {}, {} of them measured", grouped(rough(all)), grouped(rough(measured)));
            row(out, "deliveries", &text)?;
        }
        row(out, "needs", &self.needs())?;
        writeln!(out)?;
        self.write_phases(out)?;
        writeln!(out)?;
        if self.hits.is_empty() {
            return writeln!(out, "Within the limits of this machine.");
        }
        for hit in &self.hits {
            let mark = match hit.weight {
                Weight::Prevents => "WILL FAIL",
                Weight::Disturbs => "caution",
            };
            writeln!(out, "{mark}: {}\n    → {}", hit.text, hit.remedy)?;
        }
        Ok(())
    }

    fn connections(&self) -> String {
        let each = if self.workers == 1 { String::new() } else { format!(", over {} workers", self.workers) };
        format!(
            "{} subscribers and {} publisher{}{each}",
            grouped(f64::from(self.subscribers)),
            self.publishers,
            if self.publishers == 1 { "" } else { "s" }
        )
    }

    fn parts(&self) -> String {
        let ramp = match self.ramp {
            Some(ramp) => format!("ramp {}", time(ramp)),
            None => "ramp as fast as the server takes it".to_owned(),
        };
        let phases: Duration = self.phases.iter().map(|phase| phase.duration).sum();
        let rest = self.total.saturating_sub(phases).saturating_sub(self.ramp.unwrap_or_default());
        format!("{ramp}, phases {}, then at most {} for stragglers", time(phases), time(rest))
    }

    fn needs(&self) -> String {
        let files = grouped(as_number(self.files_per_worker));
        let ports = grouped(as_number(self.ports_per_address));
        let addresses = if is_loopback(&self.url) { " (spread over 127.0.0.x as needed)" } else { "" };
        format!("{files} open files per worker, {ports} ports per source address{addresses}")
    }

    fn write_phases(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.phases.iter().map(|phase| phase.name.chars().count()).max().unwrap_or(0).max(5);
        let head = ["length", "messages/s", "deliveries/s", "to server", "from server"];
        let [length, messages, deliveries, to, from] = head;
        writeln!(out, "{:<width$} {length:>8} {messages:>11} {deliveries:>13} {to:>13} {from:>13}", "phase")?;
        for phase in &self.phases {
            let (name, length) = (&phase.name, time(phase.duration));
            match phase.rates {
                Some(Rates { messages, deliveries, bytes_to_server, bytes_from_server }) => writeln!(
                    out,
                    "{name:<width$} {length:>8} {:>11} {:>13} {:>13} {:>13}",
                    grouped(messages),
                    grouped(deliveries),
                    show(Unit::BytesPerSecond, bytes_to_server),
                    show(Unit::BytesPerSecond, bytes_from_server)
                )?,
                None => writeln!(out, "{name:<width$} {length:>8}   as fast as the closed loop goes")?,
            }
        }
        Ok(())
    }
}

fn row(out: &mut dyn Write, name: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{name:<12} {text}")
}

#[expect(clippy::cast_precision_loss, reason = "a number for people")]
const fn as_number(count: u64) -> f64 {
    count as f64
}

/// `90s` as `1m 30s`, and no digits that nobody asked for.
fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 60.0 {
        return format!("{}s", (seconds * 10.0).round() / 10.0);
    }
    let whole = duration.as_secs();
    match (whole / 3_600, whole / 60 % 60, whole % 60) {
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, minutes, _) => format!("{hours}h {minutes}m"),
    }
}

/// Three digits: an estimate.
fn rough(value: f64) -> f64 {
    let unit = 10f64.powf((value.max(1.0).log10() - 2.0).floor()).max(1.0);
    (value / unit).round() * unit
}

/// With commas between thousands; a digit behind the point only below 100.
fn grouped(value: f64) -> String {
    if value < 100.0 && value.fract() > 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

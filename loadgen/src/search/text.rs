//! A search for people.

use std::io::{self, Write};

use super::{Attempt, Capacity, Judged, Limit, Stage};
use crate::output::units;

impl Attempt {
    /// Writes the head of the table whose rows [`Attempt::write_row`] writes.
    ///
    /// # Errors
    /// `out` does not take it.
    pub fn write_head(varied: &str, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{varied:>13} {:>10} {:>10} {:>10} {:>13} {:>10} {:>10}  verdict",
            "p50", "p99", "max", "deliveries", "server", "generator"
        )
    }

    /// Writes it as a line.
    ///
    /// # Errors
    /// `out` does not take it.
    pub fn write_row(&self, out: &mut dyn Write) -> io::Result<()> {
        let time = |ns: Option<f64>| ns.map_or_else(|| "–".to_owned(), units::time_ns);
        let cores = |cores: Option<f64>| cores.map_or_else(|| "–".to_owned(), |cores| format!("{cores:.2} CPU"));
        let of = |get: fn(&super::Point) -> Option<f64>| self.point.as_ref().and_then(get);
        let deliveries = of(|point| point.deliveries_per_second).map_or_else(|| "–".to_owned(), units::rate);
        writeln!(
            out,
            "{:>13} {:>10} {:>10} {:>10} {deliveries:>13} {:>10} {:>10}  {}",
            shown(self.load),
            time(of(|point| point.p50_ns)),
            time(of(|point| point.p99_ns)),
            time(of(|point| point.max_ns)),
            cores(of(|point| point.server_cpu)),
            cores(of(|point| point.generator_cpu)),
            self.verdict()
        )?;
        out.flush()
    }

    fn verdict(&self) -> String {
        let word = match (self.judged, self.stage) {
            (Judged::Holds, Stage::Confirming) => "holds again",
            (Judged::Holds, _) => "holds",
            (Judged::Breaks, _) => "too much",
            (Judged::GeneratorLimited, _) => "generator",
            (Judged::Interrupted, _) => "interrupted",
        };
        match self.reasons.first() {
            Some(reason) if self.judged != Judged::Interrupted => format!("{word}: {reason}"),
            _ => word.to_owned(),
        }
    }
}

impl Capacity {
    /// Writes the result in sentences, and the curve.
    ///
    /// # Errors
    /// `out` does not take it.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out)?;
        if !self.curve.is_empty() {
            writeln!(out, "at 10, 50 and 90 % of it")?;
            Attempt::write_head(self.varied, out)?;
            for attempt in &self.curve {
                attempt.write_row(out)?;
            }
            writeln!(out)?;
        }
        writeln!(out, "{}", self.sentence())
    }

    /// The result in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let varied = self.varied;
        let reasons = self.reasons.join("; ");
        let next = self.fails_at.map(shown).unwrap_or_default();
        let Some(load) = self.load.map(shown) else {
            return match self.limit {
                Limit::Interrupted => "INTERRUPTED before any load held".to_owned(),
                _ if self.only_the_generator() => {
                    format!("NO RESULT: the generator is the limit, even at {next} {varied}: {reasons}")
                }
                _ => format!("NO LOAD HOLDS, not even {next} {varied}: {reasons}"),
            };
        };
        let surely = if self.confirmed { "held twice" } else { "held once" };
        match self.limit {
            Limit::Server => format!("CAPACITY: {load} {varied} ({surely}); {next} is too much: {reasons}"),
            Limit::Generator => {
                format!("AT LEAST {load} {varied} ({surely}); the generator is the limit at {next}: {reasons}")
            }
            Limit::Asked => format!("AT LEAST {load} {varied} ({surely}): the largest load that was to be tried"),
            Limit::Runs => {
                let next = if next.is_empty() { next } else { format!(", {next} is too much") };
                format!("AT LEAST {load} {varied} ({surely}{next}): {} runs did not suffice", self.attempts.len())
            }
            Limit::Interrupted => format!("INTERRUPTED: so far {load} {varied} held"),
        }
    }

    /// Whether nothing but the generator was in the way.
    #[must_use]
    pub fn only_the_generator(&self) -> bool {
        let mut failed = self.attempts.iter().filter(|attempt| attempt.judged != Judged::Holds).peekable();
        failed.peek().is_some() && failed.all(|attempt| attempt.judged == Judged::GeneratorLimited)
    }
}

/// A load without digits that say nothing.
fn shown(load: f64) -> String {
    if load >= 100.0 { format!("{load:.0}") } else { format!("{}", (load * 1_000.0).round() / 1_000.0) }
}

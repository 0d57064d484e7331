//! The noise of a machine: how much a metric's ratio scatters when both sides are the same server. Kept as `aa.toml`;
//! the gate's bounds are never tighter than what it allows.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::bench::Pairing;
use super::statistics::robust_sigma;

/// Trials that count for the false-alarm rate: the last hundred.
const TRIALS_KEPT: usize = 100;
/// Ratios per metric that count for its noise: the last ones, since a machine changes.
const RATIOS_KEPT: usize = 200;
/// Above this rate over [`TRIALS_KEPT`] trials bounds are widened.
const FALSE_ALARMS_MAX: f64 = 0.02;
/// By how much.
const WIDENING: f64 = 1.5;

/// What comparisons of a server with itself have shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseTable {
    /// Raised when a field changes its meaning.
    pub schema: u32,
    /// Class of the machine (`machine.class` of a run): the table says nothing about another.
    pub class: String,
    /// The scenario's name.
    pub scenario: String,
    /// How the two runs of a pair were made: pairs made otherwise scatter otherwise.
    #[serde(default = "sequential")]
    pub pairing: Pairing,
    /// When it was written, UTC.
    pub written: String,
    /// Part of the kept trials that said regression, confirmed.
    pub false_alarm_rate: f64,
    /// Part of them that said so before the confirmation.
    pub unconfirmed_rate: f64,
    /// What each of the last hundred trials said: `ok`, `inconclusive`, `unconfirmed`, `regression`.
    pub trials: Vec<String>,
    /// By metric.
    pub metric: BTreeMap<String, MetricNoise>,
}

/// One metric's noise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricNoise {
    /// Robust standard deviation of `ln_ratios`.
    pub sigma: f64,
    /// ln(candidate / base) of the last pairs, to four digits.
    pub ln_ratios: Vec<f64>,
}

/// Why a table could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoiseError {
    /// No permission, a full disk.
    #[error("noise table {path} cannot be written: {source}")]
    Write {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// No such file, no permission.
    #[error("noise table {path} cannot be read: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is no noise table.
    #[error("noise table {path}: {source}")]
    Format {
        /// The file.
        path: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
}

/// What tables are of that do not say it.
const fn sequential() -> Pairing {
    Pairing::Sequential
}

impl Default for NoiseTable {
    fn default() -> Self {
        Self {
            schema: 0,
            class: String::new(),
            scenario: String::new(),
            pairing: sequential(),
            written: String::new(),
            false_alarm_rate: 0.0,
            unconfirmed_rate: 0.0,
            trials: Vec::new(),
            metric: BTreeMap::new(),
        }
    }
}

impl NoiseTable {
    /// Reads `aa.toml`.
    ///
    /// # Errors
    /// If it cannot be read, or is no noise table.
    pub fn read(path: &Path) -> Result<Self, NoiseError> {
        let name = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| NoiseError::Read { path: name(), source })?;
        toml::from_str(&text).map_err(|source| NoiseError::Format { path: name(), source: Box::new(source) })
    }

    /// Writes `aa.toml`.
    ///
    /// # Errors
    /// If it cannot be written.
    ///
    /// # Panics
    /// Never: the table's shape is TOML's.
    pub fn write(&self, path: &Path) -> Result<(), NoiseError> {
        let text = toml::to_string(self).expect("a table of numbers and strings");
        let text =
            format!("# How much figures scatter between runs of the same server, by `loadgen compare --aa`.\n{text}");
        std::fs::write(path, text).map_err(|source| NoiseError::Write { path: path.display().to_string(), source })
    }

    /// Adds a trial: what it said, and ln ratios of all its pairs, by metric.
    pub fn add_trial(&mut self, said: &str, ln_ratios: &BTreeMap<String, Vec<f64>>) {
        self.trials.push(said.to_owned());
        keep_last(&mut self.trials, TRIALS_KEPT);
        self.false_alarm_rate = self.rate_of(&["regression"]);
        self.unconfirmed_rate = self.rate_of(&["regression", "unconfirmed"]);
        for (name, ratios) in ln_ratios {
            let noise = self.metric.entry(name.clone()).or_default();
            noise.ln_ratios.extend(ratios.iter().filter(|ratio| ratio.is_finite()).map(|ratio| four_digits(*ratio)));
            keep_last(&mut noise.ln_ratios, RATIOS_KEPT);
            noise.sigma = if noise.ln_ratios.is_empty() { 0.0 } else { four_digits(robust_sigma(&noise.ln_ratios)) };
        }
    }

    /// The bound that is honest here, not below `floor` (0.05: 5 %), with that many pairs: 2 σ/√k of ln ratios, and
    /// half as much again if more than 2 % of a hundred trials were false alarms.
    #[must_use]
    pub fn bound(&self, metric: &str, floor: f64, pairs: usize) -> f64 {
        let sigma = self.metric.get(metric).map_or(0.0, |noise| noise.sigma);
        let pairs = f64::from(u32::try_from(pairs.max(1)).unwrap_or(u32::MAX));
        let honest = floor.max((2.0 * sigma / pairs.sqrt()).exp_m1());
        let cries_wolf = self.trials.len() >= TRIALS_KEPT && self.false_alarm_rate > FALSE_ALARMS_MAX;
        if cries_wolf { honest * WIDENING } else { honest }
    }

    fn rate_of(&self, said: &[&str]) -> f64 {
        let count = self.trials.iter().filter(|trial| said.contains(&trial.as_str())).count();
        let whole = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        if self.trials.is_empty() { 0.0 } else { whole(count) / whole(self.trials.len()) }
    }
}

fn keep_last<T>(list: &mut Vec<T>, count: usize) {
    let excess = list.len().saturating_sub(count);
    list.drain(..excess);
}

fn four_digits(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(sigma: f64) -> NoiseTable {
        let noise = MetricNoise { sigma, ln_ratios: vec![sigma] };
        NoiseTable { metric: BTreeMap::from([("latency.p99".to_owned(), noise)]), ..NoiseTable::default() }
    }

    #[test]
    fn bounds_are_no_tighter_than_the_noise() {
        for (sigma, floor, pairs, expected) in [
            (0.28, 0.2, 10, 0.2),
            (0.28, 0.2, 5, 0.284_6),
            (0.28, 0.05, 10, 0.193_7),
            (0.0, 0.05, 10, 0.05),
            (0.28, 0.05, 0, 0.750_7),
        ] {
            let bound = table(sigma).bound("latency.p99", floor, pairs);
            assert!((bound - expected).abs() < 1e-4, "{sigma} {floor} {pairs}: {bound}, not {expected}");
        }
        assert_eq!(table(0.28).bound("latency.p50", 0.1, 10), 0.1);
    }

    #[test]
    fn a_gate_that_cries_wolf_is_widened() {
        let mut noise = table(0.0);
        for _ in 0..97 {
            noise.add_trial("ok", &BTreeMap::new());
        }
        for _ in 0..2 {
            noise.add_trial("regression", &BTreeMap::new());
        }
        noise.add_trial("unconfirmed", &BTreeMap::new());
        assert_eq!((noise.false_alarm_rate, noise.unconfirmed_rate), (0.02, 0.03));
        assert_eq!(noise.bound("latency.p50", 0.1, 10), 0.1);
        noise.add_trial("regression", &BTreeMap::new());
        assert_eq!(noise.trials.len(), TRIALS_KEPT);
        assert!((noise.bound("latency.p50", 0.1, 10) - 0.15).abs() < 1e-12);
    }

    #[test]
    fn a_file_keeps_everything() {
        let mut before = NoiseTable { schema: 1, class: "abc".to_owned(), ..NoiseTable::default() };
        let ratios = vec![0.012_34, -0.05, f64::INFINITY, 0.2];
        before.add_trial("ok", &BTreeMap::from([("latency.p50".to_owned(), ratios)]));
        assert_eq!(before.metric["latency.p50"].ln_ratios, [0.0123, -0.05, 0.2]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aa.toml");
        before.write(&path).unwrap();
        assert_eq!(NoiseTable::read(&path).unwrap(), before);
        std::fs::write(&path, "sigma = 1").unwrap();
        assert!(matches!(NoiseTable::read(&path), Err(NoiseError::Format { .. })));
        assert!(matches!(NoiseTable::read(&folder.path().join("none")), Err(NoiseError::Read { .. })));
    }
}

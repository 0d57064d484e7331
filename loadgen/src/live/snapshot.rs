//! The state of a run at one moment.

use std::collections::VecDeque;
use std::time::Duration;

use crate::outcome::Distribution;
use crate::output::quantile;

/// Seconds that a [`History`] holds.
pub const HISTORY_SECONDS: usize = 120;

/// What a run looks like now. Cheap to make: some numbers and two short histories.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The scenario's name.
    pub scenario: String,
    /// Where the server is.
    pub target: String,
    /// Since the first connect.
    pub elapsed: Duration,
    /// Until the last phase ends; none if nobody knows (the ramp has no end of its own).
    pub left: Option<Duration>,
    /// What is going on: a phase's name, or `ramp`, `tail`.
    pub phase: String,
    /// How much of it is over, 0 to 1.
    pub phase_progress: f64,
    /// How much of the run is over, 0 to 1.
    pub progress: f64,
    /// Messages per second that are asked for; none in a closed loop and while nothing is published.
    pub target_rate: Option<f64>,
    /// Messages sent in the last second.
    pub published_per_s: f64,
    /// Deliveries in the last second.
    pub deliveries_per_s: f64,
    /// Payload bytes in the last second.
    pub bytes_per_s: f64,
    /// Due time to receipt, deliveries of the last second.
    pub latency: Times,
    /// Due time to sent, the last second's messages: 99 % were not later, nanoseconds.
    pub lateness_p99_ns: Option<u64>,
    /// The last two minutes.
    pub history: History,
    /// Members now.
    pub connected: u64,
    /// Connections asked for.
    pub wanted: u64,
    /// Connections that failed or were lost so far.
    pub errors: u64,
    /// Deliveries known to be lost so far (gaps).
    pub lost: u64,
    /// CPU of the generator's busiest thread, as part of a core.
    pub generator_cpu: f64,
    /// The server's CPU, cores, if known.
    pub server_cpu: Option<f64>,
    /// The last few warnings, the newest last.
    pub messages: Vec<String>,
}

/// Percentiles of one second, nanoseconds; none where there were too few times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Half were not longer.
    pub p50_ns: Option<u64>,
    /// 90 % were not longer.
    pub p90_ns: Option<u64>,
    /// 99 % were not longer.
    pub p99_ns: Option<u64>,
    /// The longest.
    pub max_ns: Option<u64>,
}

impl From<&Distribution> for Times {
    fn from(times: &Distribution) -> Self {
        let [p50, p90, p99, ..] = quantile::SHOWN;
        Self { p50_ns: p50.of(times), p90_ns: p90.of(times), p99_ns: p99.of(times), max_ns: quantile::max_of(times) }
    }
}

/// The last [`HISTORY_SECONDS`], the newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// p99 of the latency, nanoseconds; 0 if there was none.
    pub p99_ns: VecDeque<u64>,
    /// Deliveries.
    pub deliveries: VecDeque<u64>,
}

impl History {
    /// Adds a second; the oldest goes if there are too many.
    pub fn push(&mut self, p99_ns: u64, deliveries: u64) {
        for (values, value) in [(&mut self.p99_ns, p99_ns), (&mut self.deliveries, deliveries)] {
            if values.len() == HISTORY_SECONDS {
                values.pop_front();
            }
            values.push_back(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_keeps_the_newest() {
        let mut history = History::default();
        for second in 0..300 {
            history.push(second, second * 2);
        }
        assert_eq!(history.p99_ns.len(), HISTORY_SECONDS);
        assert_eq!(history.p99_ns.front(), Some(&180));
        assert_eq!(history.deliveries.back(), Some(&598));
    }
}

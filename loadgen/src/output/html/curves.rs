//! What the page draws, as data: distributions as curves over the percentile, seconds as columns.

use serde::Serialize;

use crate::outcome::{Distribution, Run, Second};
use crate::output::quantile::{self, SHOWN};
use crate::output::timeline;
use crate::output::units::real;

/// Points per factor of ten of what is beyond a percentile.
const POINTS_PER_NINE: u32 = 40;
/// Points in time of a run; longer runs are merged to so many.
const STEPS_MAX: usize = 1_200;

/// One distribution.
#[derive(Serialize)]
pub(super) struct Curve {
    count: u64,
    mean_ns: f64,
    /// As [`SHOWN`], then the longest; null where there are too few times.
    quantiles_ns: Vec<Option<u64>>,
    /// `log10(1 / (1 − quantile))`, and the time: 1 is p90, 2 is p99.
    points: Vec<(f64, u64)>,
}

impl Curve {
    /// None if nothing was recorded.
    pub(super) fn of(times: &Distribution) -> Option<Self> {
        if times.count() == 0 {
            return None;
        }
        let quantiles_ns = SHOWN.iter().map(|shown| shown.of(times)).chain([quantile::max_of(times)]).collect();
        // The last time of all stands where one of `count` is beyond.
        let nines_max = real(times.count()).log10();
        let mut points = Vec::new();
        for step in 0_u32.. {
            let nines = f64::from(step) / f64::from(POINTS_PER_NINE);
            if nines >= nines_max {
                break;
            }
            points.push((rounded(nines), times.percentile_ns(100.0 * (1.0 - 10_f64.powf(-nines)))));
        }
        points.push((rounded(nines_max), times.max_ns()));
        Some(Self { count: times.count(), mean_ns: rounded(times.mean_ns()), quantiles_ns, points })
    }
}

/// Rows of the map of all deliveries: so many per factor of ten of the latency …
const ROWS_PER_DECADE: f64 = 16.0;
/// … from here up; shorter ones are in the first.
const ROW_ZERO_NS: f64 = 1_000.0;

fn rows_of(latency: &Distribution) -> Vec<(u32, u64)> {
    let mut rows: Vec<(u32, u64)> = Vec::new();
    for step in latency.histogram().iter_recorded() {
        let height = (real(step.value_iterated_to()) / ROW_ZERO_NS).max(1.0).log10() * ROWS_PER_DECADE;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not below 0, and a few hundred")]
        let row = height as u32;
        match rows.last_mut() {
            Some((last, count)) if *last == row => *count += step.count_at_value(),
            _ => rows.push((row, step.count_at_value())),
        }
    }
    rows
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// The seconds of a run, a column per figure; merged to longer steps if there are many.
#[derive(Default, Serialize)]
pub(super) struct Columns {
    step_s: f64,
    at_s: Vec<f64>,
    connected: Vec<u64>,
    errors: Vec<u64>,
    published_per_s: Vec<f64>,
    deliveries_per_s: Vec<f64>,
    bytes_per_s: Vec<f64>,
    p50_ns: Vec<Option<u64>>,
    p99_ns: Vec<Option<u64>>,
    max_ns: Vec<Option<u64>>,
    /// Of each step, how many deliveries took how long: (row, count), row 0 from [`ROW_ZERO_NS`].
    rows: Vec<Vec<(u32, u64)>>,
    server_cpu: Vec<Option<f64>>,
    generator_cpu: Vec<f64>,
}

impl Columns {
    pub(super) fn of(run: &Run) -> Self {
        let merged = run.seconds.len().div_ceil(STEPS_MAX).max(1);
        let second_s = timeline::step_s(run);
        let steps = u32::try_from(merged).expect("a run has fewer than 2^32 × 1,200 seconds");
        let mut columns = Self { step_s: second_s * f64::from(steps), ..Self::default() };
        for step in run.seconds.chunks(merged) {
            columns.push(step, second_s);
        }
        columns
    }

    fn push(&mut self, step: &[Second], second_s: f64) {
        let (Some(first), Some(last)) = (step.first(), step.last()) else { return };
        let number = f64::from(u32::try_from(step.len()).expect("a step is short"));
        let sum = |of: fn(&Second) -> u64| step.iter().map(of).sum::<u64>();
        let per_second = |of| rounded(real(sum(of)) / (number * second_s));
        let mut latency = Distribution::default();
        step.iter().for_each(|second| latency.add(&second.latency));
        let server_cpu = step.iter().map(|second| second.server_cpu).sum::<Option<f64>>();

        self.at_s.push(rounded(first.at_s));
        self.connected.push(last.connected);
        self.errors.push(sum(|second| second.errors));
        self.published_per_s.push(per_second(|second| second.published));
        self.deliveries_per_s.push(per_second(|second| second.deliveries));
        self.bytes_per_s.push(per_second(|second| second.bytes));
        self.p50_ns.push(SHOWN[0].of(&latency));
        self.p99_ns.push(SHOWN[2].of(&latency));
        self.max_ns.push(quantile::max_of(&latency));
        self.rows.push(rows_of(&latency));
        self.server_cpu.push(server_cpu.map(|cpu| rounded(cpu / number)));
        self.generator_cpu.push(rounded(step.iter().map(|second| second.generator_cpu).sum::<f64>() / number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::fixture::Fabricated;

    #[test]
    fn a_curve_ends_at_the_longest_time() {
        let mut times = Distribution::default();
        times.record_many(1_000_000, 999);
        times.record(80_000_000);
        let curve = Curve::of(&times).unwrap();
        let (nines, ns) = *curve.points.last().unwrap();
        assert!((nines - 3.0).abs() < 1e-9);
        assert_eq!(ns, times.max_ns());
        assert!(curve.points.iter().rev().skip(1).all(|(_, ns)| *ns < 1_100_000), "{:?}", curve.points);
        assert!(Curve::of(&Distribution::default()).is_none());
    }

    #[test]
    fn every_delivery_has_a_row() {
        let mut latency = Distribution::default();
        for (ns, count) in [(0, 1), (900, 2), (1_000_000, 3), (1_010_000, 4), (1_000_000_000, 5)] {
            latency.record_many(ns, count);
        }
        assert_eq!(rows_of(&latency), [(0, 3), (48, 7), (96, 5)]);
        assert_eq!(rows_of(&Distribution::default()), []);
    }

    #[test]
    fn a_long_run_is_merged_without_loss() {
        let mut run = Fabricated::default().run();
        let seconds = std::mem::take(&mut run.seconds);
        for repeat in 0_u32..200 {
            for (index, second) in (0_u32..).zip(&seconds) {
                let at_s = f64::from(repeat * u32::try_from(seconds.len()).unwrap() + index);
                run.seconds.push(Second { at_s, ..second.clone() });
            }
        }
        let columns = Columns::of(&run);
        assert!(columns.at_s.len() <= STEPS_MAX, "{}", columns.at_s.len());
        let drawn: f64 = columns.deliveries_per_s.iter().sum::<f64>() * columns.step_s;
        let all = run.seconds.iter().map(|second| second.deliveries).sum::<u64>();
        assert!((drawn / real(all) - 1.0).abs() < 1e-3, "{drawn} {all}");
    }
}

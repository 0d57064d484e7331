//! The percentile spectrum as text, as HdrHistogram's `outputPercentileDistribution` prints it and its plotters read
//! it. Values are milliseconds.

use std::io::{self, Write};

use crate::outcome::Distribution;

/// Rows per halving of what is beyond, as HdrHistogram has it.
const TICKS_PER_HALF_DISTANCE: u32 = 5;
const NS_PER_MS: f64 = 1e6;

/// Writes the spectrum of one distribution.
///
/// # Errors
/// `out` does not take it.
pub fn write(times: &Distribution, out: &mut dyn Write) -> io::Result<()> {
    let histogram = times.histogram();
    let ms = |ns: u64| super::units::real(ns) / NS_PER_MS;
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let mut count = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        count += step.count_since_last_iteration();
        let value = ms(step.value_iterated_to().min(times.max_ns()));
        let quantile = step.quantile_iterated_to();
        if quantile < 1.0 {
            writeln!(out, "{value:12.3} {quantile:14.12} {count:10} {:14.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(out, "{value:12.3} {quantile:14.12} {count:10}")?;
        }
    }
    let (mean, deviation) = (times.mean_ns() / NS_PER_MS, histogram.stdev() / NS_PER_MS);
    writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]")?;
    writeln!(out, "#[Max     = {:12.3}, Total count    = {:12}]", ms(times.max_ns()), times.count())?;
    let sub_buckets = (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    writeln!(out, "#[Buckets = {:12}, SubBuckets     = {sub_buckets:12}]", histogram.buckets())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::fixture::{Fabricated, text_of};

    /// As the plotters do it: a row begins with blanks and digits and has 3 or 4 numbers.
    fn rows(spectrum: &str) -> Vec<Vec<f64>> {
        let numbers = |line: &str| line.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>().ok();
        spectrum.lines().filter_map(numbers).filter(|row| row.len() >= 3).collect()
    }

    #[test]
    fn the_spectrum_rises_to_the_maximum() {
        let times = Fabricated::default().run().total.latency;
        let rows = rows(&text_of(|out| write(&times, out)));
        assert!(rows.len() > 40, "{}", rows.len());
        for pair in rows.windows(2) {
            assert!(pair[0][0] <= pair[1][0] && pair[0][1] <= pair[1][1] && pair[0][2] <= pair[1][2], "{pair:?}");
        }
        let last = rows.last().unwrap();
        assert_eq!(last.len(), 3, "the last has no fourth column");
        assert!((last[2] - super::super::units::real(times.count())).abs() < 0.5);
        assert!((last[0] * NS_PER_MS / super::super::units::real(times.max_ns()) - 1.0).abs() < 0.002);
    }

    #[test]
    fn an_empty_one_is_no_failure() {
        assert!(text_of(|out| write(&Distribution::default(), out)).contains("Total count    =            0"));
    }
}

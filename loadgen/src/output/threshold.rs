//! A judged threshold as people read it.

use crate::outcome::ThresholdOutcome;
use crate::thresholds::{metrics, quantity};

/// `latency.p99 <= 20ms, measured 4.24ms`.
pub(crate) fn sentence(threshold: &ThresholdOutcome) -> String {
    let ThresholdOutcome { metric, bound, actual, .. } = threshold;
    let measured = match (actual, metrics::find(metric)) {
        (None, _) => "nothing of the kind".to_owned(),
        (Some(actual), Ok(metric)) => quantity::show(metric.unit, *actual),
        // A loadgen that knows more metrics wrote it.
        (Some(actual), Err(_)) => actual.to_string(),
    };
    format!("{metric} {bound}, measured {measured}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_has_its_unit() {
        let sentence = |metric: &str, bound: &str, actual| {
            sentence(&ThresholdOutcome { metric: metric.to_owned(), bound: bound.to_owned(), actual, met: true })
        };
        assert_eq!(sentence("latency.p99", "<= 20ms", Some(4_240_000.0)), "latency.p99 <= 20ms, measured 4.24ms");
        assert_eq!(sentence("latency.p99", "<= 20ms", None), "latency.p99 <= 20ms, measured nothing of the kind");
        assert_eq!(sentence("of.tomorrow", "= 3", Some(3.0)), "of.tomorrow = 3, measured 3");
    }
}

//! The gate's statistics against values that scipy, numpy and statsmodels calculated (`reference/make.py`).

use loadgen::compare::statistics::{
    self, Interval, bootstrap_ln_ratios, bootstrap_medians, holm, percentile_interval, sign_interval,
    wilcoxon_interval, wilcoxon_p_above,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    samples: Vec<Sample>,
    unpaired: Unpaired,
    holm: Vec<(Vec<f64>, Vec<f64>)>,
}

#[derive(Deserialize)]
struct Sample {
    name: String,
    values: Vec<f64>,
    median: f64,
    hodges_lehmann: f64,
    robust_sigma: f64,
    quantiles: Vec<(f64, f64)>,
    wilcoxon_p_above: Vec<(f64, f64)>,
    wilcoxon_intervals: Vec<(f64, [Option<f64>; 2])>,
    sign_intervals: Vec<(f64, [Option<f64>; 2])>,
    bootstrap: Vec<(f64, Brackets)>,
}

#[derive(Deserialize)]
struct Unpaired {
    numerator: Vec<f64>,
    denominator: Vec<f64>,
    bootstrap: Vec<(f64, Brackets)>,
}

/// Where the ends of the interval of 10,000 resamples have to lie: quantiles of 1,000,000 at 4 standard deviations of
/// the drawn probability on either side.
#[derive(Deserialize)]
struct Brackets {
    low: [f64; 2],
    high: [f64; 2],
}

impl Brackets {
    #[track_caller]
    fn assert_hold(&self, interval: Interval, what: &str) {
        let within = |value: f64, [from, to]: [f64; 2]| (from - 1e-9..=to + 1e-9).contains(&value);
        assert!(within(interval.low, self.low), "{what}: low {} not within {:?}", interval.low, self.low);
        assert!(within(interval.high, self.high), "{what}: high {} not within {:?}", interval.high, self.high);
    }
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("reference/statistics.json")).expect("made by make.py")
}

#[track_caller]
fn assert_near(actual: f64, expected: f64, what: &str) {
    let near = actual == expected || (actual - expected).abs() <= 1e-9;
    assert!(near, "{what}: {actual}, but scipy says {expected}");
}

#[track_caller]
fn assert_interval(actual: Interval, [low, high]: [Option<f64>; 2], what: &str) {
    assert_near(actual.low, low.unwrap_or(f64::NEG_INFINITY), what);
    assert_near(actual.high, high.unwrap_or(f64::INFINITY), what);
}

#[test]
fn estimates() {
    for sample in reference().samples {
        let (name, values) = (&sample.name, &sample.values);
        assert_near(statistics::median(values), sample.median, name);
        assert_near(statistics::hodges_lehmann(values), sample.hodges_lehmann, name);
        assert_near(statistics::robust_sigma(values), sample.robust_sigma, name);
        let mut in_order = values.clone();
        in_order.sort_by(f64::total_cmp);
        for (part, expected) in sample.quantiles {
            assert_near(statistics::quantile(&in_order, part), expected, name);
        }
    }
}

#[test]
fn exact_intervals_and_probabilities() {
    for sample in reference().samples {
        let (name, values) = (&sample.name, &sample.values);
        for (bound, expected) in sample.wilcoxon_p_above {
            assert_near(wilcoxon_p_above(values, bound), expected, &format!("{name}: p above {bound}"));
        }
        for (confidence, expected) in sample.wilcoxon_intervals {
            let what = format!("{name}: Wilcoxon at {confidence}");
            assert_interval(wilcoxon_interval(values, confidence), expected, &what);
        }
        for (confidence, expected) in sample.sign_intervals {
            let what = format!("{name}: signs at {confidence}");
            assert_interval(sign_interval(values, confidence), expected, &what);
        }
    }
}

#[test]
fn bootstrap_intervals() {
    let reference = reference();
    for sample in &reference.samples {
        for (confidence, brackets) in &sample.bootstrap {
            for seed in [1, 2] {
                let resamples = bootstrap_medians(&sample.values, 10_000, seed);
                let what = format!("{} at {confidence}, seed {seed}", sample.name);
                brackets.assert_hold(percentile_interval(&resamples, *confidence), &what);
            }
        }
    }
    let Unpaired { numerator, denominator, bootstrap } = reference.unpaired;
    let resamples = bootstrap_ln_ratios(&numerator, &denominator, 10_000, 3);
    for (confidence, brackets) in bootstrap {
        brackets.assert_hold(percentile_interval(&resamples, confidence), &format!("unpaired at {confidence}"));
    }
}

#[test]
fn the_same_seed_draws_the_same() {
    let values: Vec<f64> = (0..20).map(f64::from).collect();
    assert_eq!(bootstrap_medians(&values, 500, 9), bootstrap_medians(&values, 500, 9));
    assert_ne!(bootstrap_medians(&values, 500, 9), bootstrap_medians(&values, 500, 10));
}

#[test]
fn holm_adjusts() {
    for (probabilities, expected) in reference().holm {
        for (actual, expected) in holm(&probabilities).into_iter().zip(expected) {
            assert_near(actual, expected, &format!("{probabilities:?}"));
        }
    }
}

#[test]
fn pairs_for_a_power() {
    // A3 of the measurements that this gate was designed by: 28 %, 10 % and 8.6 %, 5 %.
    for (sigma, delta, least, most) in
        [(0.28, 0.1, 80, 87), (0.086, 0.05, 29, 31), (0.038, 0.1, 6, 6), (0.18, 0.1, 34, 35)]
    {
        let pairs = statistics::pairs_needed(sigma, delta);
        assert!((least..=most).contains(&pairs), "{pairs} pairs for {sigma} and {delta}");
    }
}

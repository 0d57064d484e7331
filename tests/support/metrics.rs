//! A strict reader of Prometheus' text format (exposition format 0.0.4).

use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;

/// What `/metrics` said.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Kind of each family, by its name.
    pub(crate) kinds: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Metrics {
    /// Reads all of `text`; panics where it is not as it has to be.
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut metrics = Self::default();
        let (mut family, mut helped) = (String::new(), String::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(!help.is_empty() && is_name(name), "{line}");
                helped = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert_eq!(name, helped, "HELP stands in front of TYPE");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!((kind == "counter") == name.ends_with("_total"), "{line}");
                let before = metrics.kinds.insert(name.to_owned(), kind.to_owned());
                assert!(before.is_none(), "{name} is declared twice");
                name.clone_into(&mut family);
            } else {
                metrics.sample(line, &family);
            }
        }
        metrics.check_histograms();
        metrics
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line:?}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"))),
            None => (series, ""),
        };
        assert!(is_name(name), "{line}");
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} stands under {family}"));
        let suffixes: &[&str] = if self.kinds[family] == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(suffixes.contains(&suffix), "{line} stands under {family}");
        let mut read = Labels::new();
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (label, quoted) = label.split_once('=').unwrap_or_else(|| panic!("{line}"));
            let text = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            let text = text.unwrap_or_else(|| panic!("not quoted: {line}"));
            assert!(is_name(label) && !text.contains(['"', '\\', '\n']), "{line}");
            assert!(read.insert(label.to_owned(), text.to_owned()).is_none(), "{line}");
        }
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
        assert!(value.is_finite() && value >= 0.0, "{line}");
        assert!(self.samples.insert((name.to_owned(), read), value).is_none(), "twice: {line}");
    }

    /// Each histogram: buckets that grow, one without a bound, which is the count.
    fn check_histograms(&self) {
        for family in self.kinds.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name) {
            let bucket = format!("{family}_bucket");
            let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            for ((_, labels), value) in self.samples.iter().filter(|((name, _), _)| *name == bucket) {
                let mut labels = labels.clone();
                let bound = labels.remove("le").expect("a bucket has a bound");
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a bound is a number") };
                series.entry(labels).or_default().push((bound, *value));
            }
            assert!(!series.is_empty(), "{family} has no buckets");
            for (labels, mut buckets) in series {
                buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
                assert!(buckets.is_sorted_by(|one, other| one.0 < other.0 && one.1 <= other.1), "{family} {buckets:?}");
                let last = buckets.last().expect("there is a bucket");
                assert!(last.0.is_infinite(), "{family}: no bucket for everything");
                let count = self.samples[&(format!("{family}_count"), labels.clone())];
                assert!((last.1 - count).abs() < 0.5, "{family}: {} in the last bucket, {count} counted", last.1);
                let sum = self.samples[&(format!("{family}_sum"), labels)];
                assert!((sum > 0.0) == (count > 0.0), "{family}: sum {sum} of {count}");
            }
        }
    }

    /// The sum of all samples called `shardcast_` and this whose labels contain these.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "read as not negative, and asserted")]
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let name = format!("shardcast_{name}");
        let matching = |other: &Labels| labels.iter().all(|(key, value)| other.get(*key).is_some_and(|it| it == value));
        let samples: Vec<f64> = self
            .samples
            .iter()
            .filter(|((it, its), _)| *it == name && matching(its))
            .map(|(_, value)| *value)
            .collect();
        assert!(!samples.is_empty(), "there is no {name} with {labels:?}");
        let sum: f64 = samples.iter().sum();
        assert!(sum.fract().abs() < f64::EPSILON, "{name} is not whole");
        sum as u64
    }

    pub(crate) fn get(&self, name: &str) -> u64 {
        self.sum(name, &[])
    }

    pub(crate) fn dropped(&self, reason: &str) -> u64 {
        self.sum("dropped_total", &[("reason", reason)])
    }

    pub(crate) fn disconnects(&self, reason: &str) -> u64 {
        self.sum("disconnects_total", &[("reason", reason)])
    }

    /// All values that a label has anywhere in a family.
    pub(crate) fn label_values(&self, name: &str, label: &str) -> BTreeSet<String> {
        let name = format!("shardcast_{name}");
        let named = self.samples.keys().filter(|(it, _)| *it == name);
        named.filter_map(|(_, labels)| labels.get(label).cloned()).collect()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

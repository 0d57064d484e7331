//! How two machines differ, and whether one machine is still as fast as it was.

use std::collections::BTreeSet;

use super::facts::{Weight, weight};
use crate::outcome::Machine;

/// A calibration that moved by more than this says that the machine is not the same as before.
pub const DRIFT_MAX: f64 = 0.15;
/// More steal than this, as part of the machine's time, and the hypervisor decides the figures.
pub const STEAL_MAX: f64 = 0.02;

/// A fact in which two machines differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub fact: String,
    /// On the first one; none: not known there.
    pub first: Option<String>,
    /// On the second one.
    pub second: Option<String>,
    /// Whether figures may be compared nevertheless.
    pub weight: Weight,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
        write!(formatter, "{}: {} against {}", self.fact, value(&self.first), value(&self.second))
    }
}

/// Every fact in which two machines differ, those that decide speed first; none: they are alike. Machines are of one
/// class exactly if none of the differences decides speed.
#[must_use]
pub fn compare_machines(first: &Machine, second: &Machine) -> Vec<Difference> {
    let names: BTreeSet<&String> = first.facts.keys().chain(second.facts.keys()).collect();
    let mut differences: Vec<Difference> = names
        .into_iter()
        .filter(|name| first.facts.get(*name) != second.facts.get(*name))
        .map(|name| Difference {
            fact: name.clone(),
            first: first.facts.get(name).cloned(),
            second: second.facts.get(name).cloned(),
            weight: weight(name),
        })
        .collect();
    differences.sort_by_key(|difference| difference.weight == Weight::DecidesSize);
    differences
}

/// A calibration that moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// Its name, with unit.
    pub name: String,
    /// What it was.
    pub before: f64,
    /// What it is.
    pub after: f64,
}

impl std::fmt::Display for Drift {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, before, after } = self;
        if name == "steal" {
            return write!(formatter, "steal: {:.1} %, was {:.1} %", after * 100.0, before * 100.0);
        }
        write!(formatter, "{name}: {after:.1}, was {before:.1} ({:+.0} %)", (after / before - 1.0) * 100.0)
    }
}

/// What moved by more than [`DRIFT_MAX`] between two calibrations, either way; steal, if it is above [`STEAL_MAX`] in
/// one of them. What only one of them has is not judged.
#[must_use]
pub fn drift(before: &Machine, after: &Machine) -> Vec<Drift> {
    let moved = |name: &str, before: f64, after: f64| {
        if name == "steal" {
            return before.max(after) > STEAL_MAX;
        }
        // Of both directions alike: half as fast is as far away as twice as fast.
        before > 0.0 && after > 0.0 && (after / before).ln().abs() > (1.0 + DRIFT_MAX).ln()
    };
    let both =
        before.calibration.iter().filter_map(|(name, value)| Some((name, *value, *after.calibration.get(name)?)));
    both.filter(|(name, before, after)| moved(name, *before, *after))
        .map(|(name, before, after)| Drift { name: name.clone(), before, after })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(facts: &[(&str, &str)]) -> Machine {
        let facts = facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Machine { facts: facts.collect(), ..Machine::default() }
    }

    #[test]
    fn each_difference_is_named() {
        let first = machine(&[("cores", "2"), ("kernel", "6.18"), ("ports", "1 2"), ("smt", "off")]);
        let second = machine(&[("cores", "2"), ("kernel", "6.1"), ("ports", "1 3"), ("turbo", "on")]);
        let lines: Vec<String> = compare_machines(&first, &second).iter().map(ToString::to_string).collect();
        let wanted = [
            "kernel: 6.18 against 6.1",
            "smt: off against unknown",
            "turbo: unknown against on",
            "ports: 1 2 against 1 3",
        ];
        assert_eq!(lines, wanted);
        assert!(compare_machines(&first, &first).is_empty());
    }

    #[test]
    fn alike_exactly_if_of_one_class() {
        let first = machine(&[("cores", "2"), ("somaxconn", "128")]);
        for (second, alike) in [
            (machine(&[("cores", "2"), ("somaxconn", "4096")]), true),
            (machine(&[("cores", "4"), ("somaxconn", "128")]), false),
            (machine(&[("cores", "2")]), true),
        ] {
            let decisive = |difference: &Difference| difference.weight == Weight::DecidesSpeed;
            assert_eq!(!compare_machines(&first, &second).iter().any(decisive), alike);
            let class = |machine: &Machine| crate::machine::facts::class(&machine.facts);
            assert_eq!(class(&first) == class(&second), alike);
        }
    }

    #[test]
    fn drift_is_more_than_15_percent_either_way() {
        let table = [
            ("syscall_ns", 100.0, 114.0, None),
            ("syscall_ns", 100.0, 116.0, Some("syscall_ns: 116.0, was 100.0 (+16 %)")),
            ("memcpy_gb_per_second", 10.0, 8.8, None),
            ("memcpy_gb_per_second", 10.0, 8.0, Some("memcpy_gb_per_second: 8.0, was 10.0 (-20 %)")),
            ("steal", 0.0, 0.01, None),
            ("steal", 0.0, 0.05, Some("steal: 5.0 %, was 0.0 %")),
            ("syscall_ns", 0.0, 5.0, None),
        ];
        for (name, before, after, wanted) in table {
            let calibrated = |value| Machine { calibration: [(name.to_owned(), value)].into(), ..Machine::default() };
            let found = drift(&calibrated(before), &calibrated(after));
            let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(lines, wanted.into_iter().collect::<Vec<_>>(), "{name} {before} {after}");
            assert!(drift(&calibrated(before), &Machine::default()).is_empty());
        }
    }
}

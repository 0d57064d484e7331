//! Thresholds: what must hold for a run, as `"latency.p99" = "<= 20ms"`. They are understood before the run, so that a
//! mistyped one does not cost it, and judged after it.

pub mod metrics;
pub mod quantity;

use std::collections::BTreeMap;

pub use metrics::{Metric, Unit, UnknownMetric, value};

use crate::outcome::{Run, ThresholdOutcome};
use crate::scenario::Scenario;

/// One bound of one metric.
#[derive(Clone, Debug)]
pub struct Threshold {
    /// What is bounded.
    pub metric: Metric,
    /// How.
    pub operator: Operator,
    /// The bound, in the metric's unit.
    pub bound: f64,
    /// The bound as it was written.
    pub text: String,
}

/// How a measured value must stand to the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<=`
    AtMost,
    /// `<`
    Below,
    /// `>=`
    AtLeast,
    /// `>`
    Above,
    /// `=`
    Equal,
}

/// Why a threshold means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// No such metric.
    #[error(transparent)]
    Metric(#[from] UnknownMetric),
    /// The bound does not begin with an operator.
    #[error("{metric}: \"{bound}\" does not begin with one of <= < >= > =")]
    Operator {
        /// The metric.
        metric: String,
        /// What was written.
        bound: String,
    },
    /// The bound is no quantity of the metric's kind.
    #[error("{metric}: \"{bound}\" is not {wanted}")]
    Quantity {
        /// The metric.
        metric: String,
        /// What was written.
        bound: String,
        /// What it has to be, with an example.
        wanted: &'static str,
    },
}

/// Longer ones first: `<` begins `<=` too.
const OPERATORS: &[(&str, Operator)] = &[
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("==", Operator::Equal),
    ("<", Operator::Below),
    (">", Operator::Above),
    ("=", Operator::Equal),
];

impl Operator {
    /// Whether the value stands so to the bound.
    #[must_use]
    pub fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::AtMost => value <= bound,
            Self::Below => value < bound,
            Self::AtLeast => value >= bound,
            Self::Above => value > bound,
            // Counts are whole numbers below 2^53.
            Self::Equal => (value - bound).abs() <= f64::EPSILON * bound.abs(),
        }
    }
}

/// Understands one threshold.
///
/// # Errors
/// The metric is unknown, or the bound is no operator and quantity of its kind.
pub fn parse(metric: &str, bound: &str) -> Result<Threshold, ThresholdError> {
    let found = metrics::find(metric)?;
    let trimmed = bound.trim();
    let Some((operator, rest)) =
        OPERATORS.iter().find_map(|&(sign, operator)| Some((operator, trimmed.strip_prefix(sign)?)))
    else {
        return Err(ThresholdError::Operator { metric: metric.to_owned(), bound: bound.to_owned() });
    };
    match quantity::parse(found.unit, rest.trim()) {
        Some(value) => Ok(Threshold { metric: found, operator, bound: value, text: trimmed.to_owned() }),
        None => Err(ThresholdError::Quantity {
            metric: metric.to_owned(),
            bound: rest.trim().to_owned(),
            wanted: quantity::form(found.unit),
        }),
    }
}

/// Understands all thresholds of a scenario.
///
/// # Errors
/// The first that means nothing.
pub fn parse_all(thresholds: &BTreeMap<String, String>) -> Result<Vec<Threshold>, ThresholdError> {
    thresholds.iter().map(|(metric, bound)| parse(metric, bound)).collect()
}

/// The metrics of a scenario's thresholds that need the server's process (`--server-pid`) or its metrics page.
#[must_use]
pub fn needing_server(scenario: &Scenario) -> Vec<&str> {
    scenario.thresholds.keys().map(String::as_str).filter(|name| name.starts_with("server.")).collect()
}

/// Judges a run by its scenario's thresholds. A metric that was not measured (nothing was delivered, the server was not
/// looked at) does not meet its bound.
///
/// # Errors
/// A threshold means nothing: only if the scenario was not checked before the run.
pub fn judge(run: &Run) -> Result<Vec<ThresholdOutcome>, ThresholdError> {
    let thresholds = parse_all(&run.scenario.thresholds)?;
    let outcomes = thresholds.into_iter().zip(run.scenario.thresholds.keys());
    Ok(outcomes
        .map(|(threshold, metric)| {
            let actual = threshold.metric.read(run);
            let met = actual.is_some_and(|actual| threshold.operator.holds(actual, threshold.bound));
            ThresholdOutcome { metric: metric.clone(), bound: threshold.text, actual, met }
        })
        .collect())
}

/// What was measured, for people, in the metric's unit.
#[must_use]
pub fn measured(outcome: &ThresholdOutcome) -> String {
    match (outcome.actual, metrics::find(&outcome.metric)) {
        (None, _) => "nothing".to_owned(),
        (Some(actual), Ok(metric)) => quantity::show(metric.unit, actual),
        // Of another version of loadgen.
        (Some(actual), Err(_)) => actual.to_string(),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

//! A server's own figures: its Prometheus page (text format 0.0.4), fetched before and after a run.

mod http;
mod series;

use std::collections::BTreeMap;

use thiserror::Error;

pub use http::{FetchError, fetch};
use series::parse_series;
pub use series::{Selector, SelectorError, Series};

/// Labels that tell parts of one server apart: their series are added up.
const LABELS_OF_PARTS: &[&str] = &["shard", "worker", "thread", "pid", "instance"];

/// Counters of deliveries that a server did not make and says so; for [`Page::sum_of`]. shardcast counts unanswered
/// pings under the same name.
pub const ANNOUNCED_DROPS: &[&str] = &["shardcast_dropped_total{reason!=\"pong\"}"];

/// A page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    series: Vec<Series>,
    /// By the name of the metric family: `counter`, `gauge`, `histogram`, …
    kinds: BTreeMap<String, String>,
}

/// Text that is no page.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("line {line} is no Prometheus text: {text:?}")]
pub struct ParseError {
    /// Its number, from 1.
    pub line: usize,
    /// The line, or its beginning.
    pub text: String,
}

impl Page {
    /// Reads the text of a page.
    ///
    /// # Errors
    /// The first line that is none of: a comment, nothing, a series with its value.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut page = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(comment) = line.strip_prefix('#') {
                let words: Vec<&str> = comment.split_whitespace().collect();
                if let ["TYPE", name, kind] = words[..] {
                    page.kinds.insert(name.to_owned(), kind.to_owned());
                }
            } else if !line.is_empty() {
                let error = || ParseError { line: index + 1, text: line.chars().take(80).collect() };
                page.series.push(parse_series(line).ok_or_else(error)?);
            }
        }
        Ok(page)
    }

    /// All series, in the page's order.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// The sum of the series that any of `selectors` means; none if there is no such series.
    #[must_use]
    pub fn sum_of(&self, selectors: &[Selector]) -> Option<f64> {
        let mut meant =
            self.series.iter().filter(|series| selectors.iter().any(|selector| selector.matches(series))).peekable();
        meant.peek()?;
        Some(meant.map(|series| series.value).sum())
    }

    /// The value of the only series of that name without regard to labels; the sum, if there are more.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        self.sum_of(&[Selector::of_name(name)])
    }

    /// CPU of the server so far, seconds, if it says.
    #[must_use]
    pub fn cpu_seconds(&self) -> Option<f64> {
        self.value("process_cpu_seconds_total")
    }

    /// Resident memory of the server, bytes, if it says.
    #[must_use]
    pub fn resident_bytes(&self) -> Option<f64> {
        self.value("process_resident_memory_bytes")
    }

    /// Memory of all TCP sockets of the server's machine, bytes, if it says.
    #[must_use]
    pub fn kernel_tcp_bytes(&self) -> Option<f64> {
        self.value("shardcast_kernel_tcp_memory_bytes")
    }

    /// Counters by name and labels, parts of one server (shards, workers) added up. Of histograms their count and sum.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for series in self.series.iter().filter(|series| self.is_counter(&series.name)) {
            *sums.entry(key_without_parts(series)).or_insert(0.0) += series.value;
        }
        sums
    }

    fn is_counter(&self, name: &str) -> bool {
        let kind = |family: &str| self.kinds.get(family).map(String::as_str);
        if let Some(kind) = kind(name) {
            return kind == "counter";
        }
        let of_histogram = |ending: &str| {
            name.strip_suffix(ending).and_then(kind).is_some_and(|kind| kind == "histogram" || kind == "summary")
        };
        // In OpenMetrics, and in pages without types, the name says it.
        of_histogram("_count") || of_histogram("_sum") || name.ends_with("_total")
    }

    /// How much each counter rose since `earlier`; those that did not are absent. A counter that fell began anew (the
    /// server was started again): what it stands at now is its rise.
    #[must_use]
    pub fn rises_since(&self, earlier: &Self) -> BTreeMap<String, f64> {
        let before = earlier.counters();
        let rise = |(name, now): (String, f64)| {
            let before = before.get(&name).copied().unwrap_or(0.0);
            let rise = if now < before { now } else { now - before };
            (rise > 0.0).then_some((name, rise))
        };
        self.counters().into_iter().filter_map(rise).collect()
    }

    /// Counters that fell since `earlier`: the server was started again in between.
    #[must_use]
    pub fn restarted_since(&self, earlier: &Self) -> bool {
        let before = earlier.counters();
        self.counters().iter().any(|(name, now)| before.get(name).is_some_and(|before| now < before))
    }

    /// Deliveries that the server said it did not make since `earlier`: the rise of the series that any of `selectors`
    /// means (see [`ANNOUNCED_DROPS`]); none if it counts nothing of the kind.
    #[must_use]
    pub fn announced_drops_since(&self, earlier: &Self, selectors: &[Selector]) -> Option<u64> {
        let now = self.sum_of(selectors)?;
        let before = earlier.sum_of(selectors).unwrap_or(0.0);
        let rise = if now < before { now } else { now - before };
        Some(whole(rise))
    }
}

/// The selectors of [`ANNOUNCED_DROPS`].
///
/// # Panics
/// Never: a test parses them.
#[must_use]
pub fn announced_drops() -> Vec<Selector> {
    ANNOUNCED_DROPS.iter().map(|text| text.parse().expect("they are tested")).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded on both sides before the cast")]
const fn whole(number: f64) -> u64 {
    if number > 0.0 { number.min(1e15) as u64 } else { 0 }
}

fn key_without_parts(series: &Series) -> String {
    let labels: Vec<String> = series
        .labels
        .iter()
        .filter(|(label, _)| !LABELS_OF_PARTS.contains(&label.as_str()))
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    if labels.is_empty() { series.name.clone() } else { format!("{}{{{}}}", series.name, labels.join(",")) }
}

#[cfg(test)]
mod tests;

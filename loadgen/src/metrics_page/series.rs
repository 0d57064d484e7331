//! A line of the page, and which lines are meant.

use std::collections::BTreeMap;

use thiserror::Error;

/// One series at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The metric's name.
    pub name: String,
    /// What tells it from others of that name.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// Text that selects no series.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{text:?} selects no metric: write name, name{{label=\"value\"}} or name{{label!=\"value\"}}")]
pub struct SelectorError {
    /// What was given.
    pub text: String,
}

/// Which series are meant: a name and what their labels must, or must not, be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    name: String,
    conditions: Vec<(String, Relation, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Is,
    IsNot,
}

impl std::str::FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let error = || SelectorError { text: text.to_owned() };
        let (name, rest) = split_name(text.trim()).ok_or_else(error)?;
        let (conditions, rest) =
            if rest.is_empty() { (Vec::new(), rest) } else { parse_labels(rest).ok_or_else(error)? };
        if !rest.trim().is_empty() {
            return Err(error());
        }
        Ok(Self { name: name.to_owned(), conditions })
    }
}

impl Selector {
    /// All series of that name.
    pub(super) fn of_name(name: &str) -> Self {
        Self { name: name.to_owned(), conditions: Vec::new() }
    }

    /// Whether `series` is meant. A label that is missing is the empty text, as in PromQL.
    #[must_use]
    pub fn matches(&self, series: &Series) -> bool {
        let holds = |(label, relation, value): &(String, Relation, String)| {
            let actual = series.labels.get(label).map_or("", String::as_str);
            (actual == value) == (*relation == Relation::Is)
        };
        self.name == series.name && self.conditions.iter().all(holds)
    }
}

/// `name{label="value"} 12.5 1700000000000`: the time at the end is of no interest.
pub(super) fn parse_series(line: &str) -> Option<Series> {
    let (name, rest) = split_name(line)?;
    let (conditions, rest) = if rest.starts_with('{') { parse_labels(rest)? } else { (Vec::new(), rest) };
    let mut labels = BTreeMap::new();
    for (label, relation, value) in conditions {
        if relation == Relation::IsNot {
            return None;
        }
        labels.insert(label, value);
    }
    let value = match rest.split_whitespace().next()? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    Some(Series { name: name.to_owned(), labels, value })
}

/// A name and what follows it.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let in_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let end = text.find(|letter| !in_name(letter)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let starts = name.chars().next().is_some_and(|letter| !letter.is_ascii_digit());
    starts.then_some((name, rest))
}

type Conditions = Vec<(String, Relation, String)>;

/// `{a="b",c!="d"}` and what follows it.
fn parse_labels(text: &str) -> Option<(Conditions, &str)> {
    let mut rest = text.strip_prefix('{')?.trim_start();
    let mut found = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some((found, after));
        }
        let (label, after) = split_name(rest)?;
        let after = after.trim_start();
        let (relation, after) = match after.strip_prefix("!=") {
            Some(after) => (Relation::IsNot, after),
            None => (Relation::Is, after.strip_prefix('=')?),
        };
        let (value, after) = parse_quoted(after.trim_start())?;
        found.push((label.to_owned(), relation, value));
        let after = after.trim_start();
        rest = after.strip_prefix(',').map_or(after, str::trim_start);
        if rest.len() == after.len() && !rest.starts_with('}') {
            return None;
        }
    }
}

/// A quoted text and what follows it.
fn parse_quoted(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((index, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

//! A subscriber's filter over the tags of publications.
//!
//! A leaf is `{"key","cmp","val"}` (or `vals`), an inner node `{"op":"and"|"or"|"not","nodes":[…]}`. A tag that is
//! missing equals nothing: of the comparisons, only `neq`, `nin` and `nex` hold for it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Deserialize;

/// Most nodes of a filter and values in them; each may be looked at for each publication.
pub const TERMS_MAX: usize = 256;

/// Tags of a publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// Reads tags from a JSON object of strings; what is none has no tags.
    #[must_use]
    pub fn parse(json: &str) -> Self {
        serde_json::from_str(json).map(Self).unwrap_or_default()
    }
}

/// A filter that can be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// One tag's value.
    Tag {
        /// The tag's name.
        key: String,
        /// What its value must be.
        test: Test,
    },
    /// All of these.
    And(Vec<Self>),
    /// One of these.
    Or(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
}

/// What a tag's value must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// One of these.
    In(Vec<String>),
    /// None of these, or missing.
    NotIn(Vec<String>),
    /// There.
    Exists,
    /// Missing.
    Missing,
    /// Beginning with this.
    StartsWith(String),
    /// Ending with this.
    EndsWith(String),
    /// With this in it.
    Contains(String),
    /// A number below this.
    Less(Number),
    /// A number, at most this.
    LessOrEqual(Number),
    /// A number above this.
    Greater(Number),
    /// A number, at least this.
    GreaterOrEqual(Number),
}

/// A decimal number; integers compare exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Without a fraction.
    Integer(i128),
    /// With one; finite.
    Fraction(f64),
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        // Words such as `inf` and `nan` would parse too.
        if !text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.')) {
            return None;
        }
        let fraction = || text.parse().ok().map(Self::Fraction);
        text.parse().ok().map(Self::Integer).or_else(fraction)
    }

    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => Some(left.cmp(&right)),
            (left, right) => left.rounded().partial_cmp(&right.rounded()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "beside a fraction, an integer is as exact as the fraction")]
    const fn rounded(self) -> f64 {
        match self {
            Self::Integer(number) => number as f64,
            Self::Fraction(number) => number,
        }
    }
}

impl Filter {
    /// Whether a publication with `tags` passes.
    #[must_use]
    pub fn matches(&self, tags: &Tags) -> bool {
        match self {
            Self::Tag { key, test } => test.holds(tags.0.get(key).map(String::as_str)),
            Self::And(nodes) => nodes.iter().all(|node| node.matches(tags)),
            Self::Or(nodes) => nodes.iter().any(|node| node.matches(tags)),
            Self::Not(node) => !node.matches(tags),
        }
    }
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        let Some(value) = value else { return matches!(self, Self::NotIn(_) | Self::Missing) };
        let order = |number: &Number| Number::parse(value).and_then(|value| value.compare(*number));
        match self {
            Self::In(values) => values.iter().any(|one| one == value),
            Self::NotIn(values) => values.iter().all(|one| one != value),
            Self::Exists => true,
            Self::Missing => false,
            Self::StartsWith(start) => value.starts_with(start),
            Self::EndsWith(end) => value.ends_with(end),
            Self::Contains(part) => value.contains(part),
            Self::Less(number) => order(number).is_some_and(Ordering::is_lt),
            Self::LessOrEqual(number) => order(number).is_some_and(Ordering::is_le),
            Self::Greater(number) => order(number).is_some_and(Ordering::is_gt),
            Self::GreaterOrEqual(number) => order(number).is_some_and(Ordering::is_ge),
        }
    }
}

/// A node as it is on the wire.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Node<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    cmp: Cow<'a, str>,
    val: String,
    vals: Vec<String>,
    #[serde(borrow)]
    nodes: Vec<Self>,
}

impl Node<'_> {
    /// The filter, or what is wrong with it.
    pub(super) fn into_filter(self) -> Result<Filter, &'static str> {
        if self.terms() > TERMS_MAX {
            return Err("more than 256 nodes and values");
        }
        self.checked()
    }

    fn terms(&self) -> usize {
        1 + self.vals.len() + self.nodes.iter().map(Self::terms).sum::<usize>()
    }

    fn checked(self) -> Result<Filter, &'static str> {
        if self.op.is_empty() {
            if self.key.is_empty() {
                return Err("a leaf needs a key");
            }
            let key = self.key.clone().into_owned();
            return Ok(Filter::Tag { key, test: self.into_test()? });
        }
        let mut nodes = self.nodes.into_iter().map(Self::checked).collect::<Result<Vec<_>, _>>()?;
        match (&*self.op, nodes.len()) {
            ("and" | "or", 0) => Err("and, or need nodes"),
            ("and", _) => Ok(Filter::And(nodes)),
            ("or", _) => Ok(Filter::Or(nodes)),
            ("not", 1) => nodes.pop().map(|node| Filter::Not(Box::new(node))).ok_or("not needs one node"),
            ("not", _) => Err("not needs one node"),
            _ => Err("op is none of and, or, not"),
        }
    }

    fn into_test(self) -> Result<Test, &'static str> {
        let number = || Number::parse(&self.val).ok_or("val is not a decimal number");
        Ok(match &*self.cmp {
            "eq" => Test::In(vec![self.val]),
            "neq" => Test::NotIn(vec![self.val]),
            "in" | "nin" if self.vals.is_empty() => return Err("in, nin need vals"),
            "in" => Test::In(self.vals),
            "nin" => Test::NotIn(self.vals),
            "ex" => Test::Exists,
            "nex" => Test::Missing,
            "sw" => Test::StartsWith(self.val),
            "ew" => Test::EndsWith(self.val),
            "ct" => Test::Contains(self.val),
            "lt" => Test::Less(number()?),
            "lte" => Test::LessOrEqual(number()?),
            "gt" => Test::Greater(number()?),
            "gte" => Test::GreaterOrEqual(number()?),
            _ => return Err("cmp is not known"),
        })
    }
}

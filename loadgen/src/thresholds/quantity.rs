//! Quantities as people write them: `20ms`, `1.5KiB`, `99.9%`.

use super::Unit;

/// Suffixes of times, nanoseconds each.
const TIMES: &[(&str, f64)] =
    &[("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3_600e9)];
/// Suffixes of sizes, bytes each.
const SIZES: &[(&str, f64)] = &[
    ("", 1.0),
    ("B", 1.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1_024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
];
const SHARES: &[(&str, f64)] = &[("", 1.0), ("%", 0.01)];
const NUMBERS: &[(&str, f64)] = &[("", 1.0), ("k", 1e3), ("M", 1e6)];
const RATES: &[(&str, f64)] = &[("", 1.0), ("/s", 1.0), ("k", 1e3), ("k/s", 1e3), ("M", 1e6), ("M/s", 1e6)];

/// The quantity in its unit (nanoseconds, bytes, a share of 1 …); none if the text is no quantity of that kind.
#[must_use]
pub fn parse(unit: Unit, text: &str) -> Option<f64> {
    let (number, suffix) =
        text.split_at(text.find(|c: char| !matches!(c, '0'..='9' | '.' | '_')).unwrap_or(text.len()));
    let number: f64 = number.replace('_', "").parse().ok()?;
    let suffix = suffix.trim();
    let suffixes = match unit {
        // Zero is zero in every unit of time.
        Unit::Nanoseconds if suffix.is_empty() && number <= 0.0 => return Some(0.0),
        Unit::Nanoseconds => TIMES,
        Unit::Bytes | Unit::BytesPerSecond => SIZES,
        Unit::Share | Unit::Cores => SHARES,
        Unit::Count => NUMBERS,
        Unit::PerSecond => RATES,
    };
    let suffix = if unit == Unit::BytesPerSecond { suffix.trim_end_matches("/s") } else { suffix };
    suffixes.iter().find(|&&(name, _)| name == suffix).map(|&(_, factor)| number * factor)
}

/// What a quantity of that unit looks like, for an error message.
#[must_use]
pub const fn form(unit: Unit) -> &'static str {
    match unit {
        Unit::Nanoseconds => "a time with its unit, such as 20ms or 4us",
        Unit::Bytes => "a size, such as 1500 or 1.5KiB",
        Unit::BytesPerSecond => "a size per second, such as 20MiB or 20MiB/s",
        Unit::Share => "a share, such as 0.999 or 99.9%",
        Unit::Cores => "a number of cores, such as 0.8 or 80%",
        Unit::Count => "a number, such as 0 or 20k",
        Unit::PerSecond => "a rate, such as 20000 or 20k/s",
    }
}

/// The quantity for people, with its unit.
#[must_use]
pub fn show(unit: Unit, value: f64) -> String {
    let scaled = |suffixes: &[(&str, f64)]| {
        let fitting = suffixes.iter().rev().find(|&&(_, factor)| value.abs() >= factor).or_else(|| suffixes.first());
        fitting.map_or_else(String::new, |&(suffix, factor)| format!("{}{suffix}", short(value / factor)))
    };
    match unit {
        Unit::Nanoseconds => scaled(&[("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)]),
        Unit::Bytes => scaled(&[("B", 1.0), ("KiB", 1_024.0), ("MiB", 1_048_576.0), ("GiB", 1_073_741_824.0)]),
        Unit::BytesPerSecond => {
            scaled(&[("B/s", 1.0), ("KiB/s", 1_024.0), ("MiB/s", 1_048_576.0), ("GiB/s", 1_073_741_824.0)])
        }
        // Losses of one in a million are to be seen.
        Unit::Share => format!("{value:.6}"),
        Unit::Cores => format!("{value:.2} cores"),
        Unit::Count => format!("{value}"),
        Unit::PerSecond => format!("{}/s", short(value)),
    }
}

/// Three digits, or all of a whole number.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 || size.fract() <= 0.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

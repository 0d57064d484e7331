//! Durations and sizes as people write them: `250ms`, `1m30s`, `64KiB`.

use std::time::Duration;

const DURATION_UNITS_US: [(&str, u64); 5] =
    [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

const SIZE_UNITS_BYTES: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads whole numbers with units, the larger unit first: `1h`, `1m30s`, `250ms`, `50us`. `None`: not a duration.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total_us, mut units_left) = (text, 0_u64, &DURATION_UNITS_US[..]);
    while !rest.is_empty() || total_us == 0 && units_left.len() == DURATION_UNITS_US.len() {
        let (number, after_number) = split_digits(rest)?;
        let unit_end = after_number.find(|c: char| c.is_ascii_digit()).unwrap_or(after_number.len());
        let (unit, after_unit) = after_number.split_at(unit_end);
        let at = units_left.iter().position(|(name, _)| *name == unit)?;
        total_us = total_us.checked_add(number.checked_mul(units_left[at].1)?)?;
        units_left = &units_left[at + 1..];
        rest = after_unit;
    }
    Some(Duration::from_micros(total_us))
}

/// The shortest text with one unit that [`duration`] reads back as `value` (whole microseconds).
pub(crate) fn duration_text(value: Duration) -> String {
    let us = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
    if us == 0 {
        return "0s".to_owned();
    }
    let (unit, unit_us) = largest_divisor(us, &DURATION_UNITS_US);
    format!("{}{unit}", us / unit_us)
}

/// Reads a whole number with a binary unit: `512B`, `64KiB`, `1MiB`. `None`: not a size.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split_digits(text)?;
    let (_, unit_bytes) = SIZE_UNITS_BYTES.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*unit_bytes)
}

/// The shortest text that [`size`] reads back as `bytes`.
pub(super) fn size_text(bytes: u64) -> String {
    if bytes == 0 {
        return "0B".to_owned();
    }
    let (unit, unit_bytes) = largest_divisor(bytes, &SIZE_UNITS_BYTES);
    format!("{}{unit}", bytes / unit_bytes)
}

/// A whole number with its thousands apart, as TOML writes it: `1_000_000`.
pub(super) fn whole_text(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

fn split_digits(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

/// The first unit, largest first, that divides `number`; the last unit is 1 and divides all.
fn largest_divisor(number: u64, units: &[(&'static str, u64); 5]) -> (&'static str, u64) {
    units.iter().copied().find(|(_, unit)| number.is_multiple_of(*unit)).unwrap_or(units[4])
}

#[cfg(test)]
mod tests {
    use super::{duration, duration_text, size, size_text, whole_text};

    #[test]
    fn durations() {
        for (text, us) in [("0s", 0), ("250ms", 250_000), ("1m30s", 90_000_000), ("2h", 7_200_000_000), ("50us", 50)] {
            assert_eq!(duration(text).map(|value| value.as_micros()), Some(us), "{text}");
        }
        for text in
            ["", "5", "s", "1.5s", "-1s", "1 s", "5 sec", "1s1m", "1s2s", "99999999999999999999s", "9999999999999h"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["0s", "90s", "10m", "24h", "1500us", "2ms"] {
            assert_eq!(duration(text).map(duration_text).as_deref(), Some(text));
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("0B", 0), ("512B", 512), ("64KiB", 65_536), ("1MiB", 1 << 20), ("3GiB", 3 << 30)] {
            assert_eq!(size(text), Some(bytes), "{text}");
            assert_eq!(size_text(bytes), text);
        }
        for text in ["", "64", "64KB", "64kib", "64 KiB", "1.5MiB", "-1B", "99999999999TiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn wholes() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1_000"), (1_234_567, "1_234_567")] {
            assert_eq!(whole_text(number), text);
        }
    }
}

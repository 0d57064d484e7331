//! Figures as people read them: three digits and a unit.

/// Three significant digits.
fn three_digits(value: f64) -> String {
    // What would round to 10.0 or 100 must not get the digits of the row below.
    match value.abs() {
        size if size < 9.995 => format!("{value:.2}"),
        size if size < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The first scale whose value stays below `limit`, else the last.
fn scaled(value: f64, limit: f64, scales: &[(f64, &str)]) -> String {
    let fits = |(divisor, _): &&(f64, &str)| (value / divisor).abs() < limit;
    let (divisor, unit) = scales.iter().find(fits).or_else(|| scales.last()).copied().unwrap_or((1.0, ""));
    format!("{} {unit}", three_digits(value / divisor))
}

/// A time: `812 ns`, `1.23 ms`, `2.50 s`.
#[must_use]
pub fn time_ns(ns: f64) -> String {
    if ns.abs() < 999.5 {
        return format!("{ns:.0} ns");
    }
    scaled(ns, 999.5, &[(1e3, "µs"), (1e6, "ms"), (1e9, "s")])
}

/// A time of whole nanoseconds.
#[must_use]
pub fn nanoseconds(ns: u64) -> String {
    time_ns(real(ns))
}

/// A span: `45 s`, `2.5 s`, `3 min 20 s`, `1 h 05 min`.
#[must_use]
pub fn span(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = std::time::Duration::from_secs_f64(seconds.clamp(0.0, 1e12).round()).as_secs();
    match whole {
        0..=119 => format!("{whole} s"),
        120..=7_199 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3_600, whole % 3_600 / 60),
    }
}

/// Bytes: `812 B`, `1.23 MiB`.
#[must_use]
pub fn bytes(value: f64) -> String {
    const KIB: f64 = 1024.0;
    if value.abs() < 999.5 {
        return format!("{value:.0} B");
    }
    scaled(value, 999.5, &[(KIB, "KiB"), (KIB * KIB, "MiB"), (KIB * KIB * KIB, "GiB")])
}

/// Bytes per second, as networks count: `38.4 MB/s`.
#[must_use]
pub fn bytes_per_second(value: f64) -> String {
    if value.abs() < 999.5 {
        return format!("{value:.0} B/s");
    }
    scaled(value, 999.5, &[(1e3, "kB/s"), (1e6, "MB/s"), (1e9, "GB/s")])
}

/// A count, digits in groups: `2,999,000`.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// So many per second: `299.9/s`, `299,900/s`.
#[must_use]
pub fn rate(per_second: f64) -> String {
    if per_second < 9_999.5 {
        let digits = format!("{per_second:.1}");
        return format!("{}/s", digits.strip_suffix(".0").unwrap_or(&digits));
    }
    format!("{}/s", count(whole(per_second)))
}

/// A share: `0.033 %`, `61 %`.
#[must_use]
pub fn share(part: f64) -> String {
    let percent = part * 100.0;
    match percent {
        _ if percent == 0.0 => "0 %".to_owned(),
        _ if percent < 0.000_95 => "< 0.001 %".to_owned(),
        _ if percent < 0.995 => format!("{} %", format!("{percent:.3}").trim_end_matches('0')),
        _ if percent < 9.95 => format!("{percent:.1} %"),
        // Losses must not vanish in rounding.
        _ if percent > 99.0 && percent < 100.0 => format!("{:.2} %", percent.min(99.99)),
        _ => format!("{percent:.0} %"),
    }
}

/// A whole number for arithmetic; exact up to 2^53.
#[must_use]
pub const fn real(value: u64) -> f64 {
    value as f64
}

/// Rounded; none below 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates at both ends")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let table = [
            (0.0, "0 ns"),
            (812.4, "812 ns"),
            (999.6, "1.00 µs"),
            (1_234.0, "1.23 µs"),
            (9_996.0, "10.0 µs"),
            (99_960.0, "100 µs"),
            (999_600.0, "1.00 ms"),
            (500e6, "500 ms"),
            (2.5e9, "2.50 s"),
            (600e9, "600 s"),
        ];
        for (ns, shown) in table {
            assert_eq!(time_ns(ns), shown, "{ns}");
        }
    }

    #[test]
    fn everything_else() {
        assert_eq!(span(2.5), "2.5 s");
        assert_eq!(span(119.4), "119 s");
        assert_eq!(span(200.0), "3 min 20 s");
        assert_eq!(span(3_900.0), "65 min 00 s");
        assert_eq!(span(7_500.0), "2 h 05 min");
        assert_eq!(bytes(284.0), "284 B");
        assert_eq!(bytes(1.5 * 1024.0 * 1024.0), "1.50 MiB");
        assert_eq!(bytes_per_second(38.4e6), "38.4 MB/s");
        assert_eq!(bytes_per_second(0.0), "0 B/s");
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(2_999_000), "2,999,000");
        assert_eq!(rate(300.0), "300/s");
        assert_eq!(rate(299.94), "299.9/s");
        assert_eq!(rate(299_900.2), "299,900/s");
        assert_eq!(share(0.0), "0 %");
        assert_eq!(share(0.000_33), "0.033 %");
        assert_eq!(share(0.001), "0.1 %");
        assert_eq!(share(0.000_000_1), "< 0.001 %");
        assert_eq!(share(0.61), "61 %");
        assert_eq!(share(0.999_999), "99.99 %");
        assert_eq!(share(1.0), "100 %");
    }
}

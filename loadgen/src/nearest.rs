//! The known name that a mistyped one probably means.

/// The candidate most like `name`; none if none is like it.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let tolerated = (name.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|&(edits, candidate)| edits <= tolerated || begins(&name, candidate))
        .min_by_key(|&(edits, candidate)| (!begins(&name, candidate), edits))
        .map(|(_, candidate)| candidate)
}

/// The end of an error message about an unknown name: the nearest one, if any.
#[must_use]
pub fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

/// Whether the name is the beginning of the candidate, or of its last part.
fn begins(name: &str, candidate: &str) -> bool {
    let last = candidate.rsplit('.').next().unwrap_or(candidate);
    name.len() >= 3 && (candidate.starts_with(name) || last.starts_with(name))
}

/// Levenshtein's distance: insertions, deletions and replacements of characters.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, wanted) in
            [("", "abc", 3), ("rate", "rate", 0), ("rats", "rate", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(left, right), wanted, "{left} {right}");
        }
    }

    #[test]
    fn the_nearest() {
        let known = ["latency.p50", "latency.p99", "lost", "publishers.rate_per_second", "publishers.window"];
        for (name, wanted) in [
            ("latency.p98", Some("latency.p99")),
            ("Latency.P99", Some("latency.p99")),
            ("losts", Some("lost")),
            ("publishers.rate", Some("publishers.rate_per_second")),
            ("window", Some("publishers.window")),
            ("nothing like it", None),
        ] {
            assert_eq!(nearest(name, known), wanted, "{name}");
        }
    }
}

//! "Did you mean …?"

/// The candidate that `text` is most likely a slip of; `None` if none is close.
pub(super) fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(text, candidate).min(distance_of_last_parts(text, candidate)), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= slips_max(text).min((candidate.len() / 4).clamp(2, 5)))
        .map(|(_, candidate)| candidate)
}

/// Of a short name, little may be wrong: else every one is a slip of another.
fn slips_max(text: &str) -> usize {
    let name = text.rsplit_once('.').map_or(text, |parts| parts.1);
    (name.len() * 2 / 5).max(1)
}

/// The right name in the wrong section is a slip too, but a larger one.
fn distance_of_last_parts(a: &str, b: &str) -> usize {
    match (a.rsplit_once('.'), b.rsplit_once('.')) {
        (None, None) => usize::MAX,
        (a_parts, b_parts) => 1 + distance(a_parts.map_or(a, |parts| parts.1), b_parts.map_or(b, |parts| parts.1)),
    }
}

/// Levenshtein's distance in bytes: how many have to be put in, taken out or replaced. O(a × b).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, byte_a) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, byte_b) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(byte_a != byte_b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn the_nearest_key_or_none() {
        let keys = ["deflate.mode", "limits.rooms_max", "limits.message_bytes_max", "listen", "shards"];
        for (text, expected) in [
            ("limits.room_max", Some("limits.rooms_max")),
            ("rooms_max", Some("limits.rooms_max")),
            ("room.message_bytes_max", Some("limits.message_bytes_max")),
            ("shard", Some("shards")),
            ("shrads", Some("shards")),
            ("zebra", None),
            ("nope", None),
            ("deflate.mod", Some("deflate.mode")),
        ] {
            assert_eq!(nearest(text, keys.into_iter()), expected, "{text}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}

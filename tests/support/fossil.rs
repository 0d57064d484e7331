//! Fossil's delta format, read: written after its description, without a look at the encoder.

/// What `delta` makes of `base`. Panics unless it is what the delta's size and checksum say.
pub(crate) fn apply(base: &str, delta: &str) -> String {
    let (size, mut rest) = number(delta);
    rest = rest.strip_prefix('\n').expect("a line end behind the size");
    let mut target = Vec::new();
    loop {
        let (length, tail) = number(rest);
        let (operator, tail) = tail.split_at_checked(1).expect("a delta ends with a semicolon");
        match operator {
            "@" => {
                let (start, tail) = number(tail);
                target.extend_from_slice(&base.as_bytes()[start..start + length]);
                rest = tail.strip_prefix(',').expect("a comma behind a copy");
            }
            ":" => {
                let (inserted, tail) = tail.split_at(length);
                target.extend_from_slice(inserted.as_bytes());
                rest = tail;
            }
            ";" => {
                assert!(tail.is_empty(), "something stands behind the end");
                assert_eq!((target.len(), sum(&target)), (size, length), "size and checksum");
                return String::from_utf8(target).expect("a text");
            }
            other => panic!("operator {other:?}"),
        }
    }
}

/// A number in base 64 at the beginning, and what follows.
fn number(text: &str) -> (usize, &str) {
    let value = |digit: char| {
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~".chars().position(|other| other == digit)
    };
    let end = text.find(|digit| value(digit).is_none()).unwrap_or(text.len());
    (text[..end].chars().filter_map(value).fold(0, |number, digit| number * 64 + digit), &text[end..])
}

/// The sum of all big-endian words of 32 bits, modulo 2^32.
fn sum(bytes: &[u8]) -> usize {
    let shifted = |(at, byte): (usize, &u8)| u64::from(*byte) << (24 - 8 * (at % 4));
    usize::try_from(bytes.iter().enumerate().map(shifted).sum::<u64>() % (1 << 32)).expect("32 bits")
}

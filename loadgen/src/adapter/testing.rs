//! For the parsers' property tests: streams cut anywhere, and bytes that make no sense. Seeded.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Calls `check` with `stream` cut once at each place, into single bytes, and 200 times at random.
pub(crate) fn in_any_pieces(stream: &[u8], mut check: impl FnMut(&[&[u8]])) {
    for at in 0..=stream.len() {
        check(&[&stream[..at], &stream[at..]]);
    }
    check(&stream.chunks(1).collect::<Vec<_>>());
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..200 {
        check(&cut(stream, &mut random));
    }
}

/// Calls `check` 2,000 times with random bytes, most of them from `alphabet`, in random pieces.
pub(crate) fn any_bytes(alphabet: &[u8], mut check: impl FnMut(&[&[u8]])) {
    for seed in 0..2_000 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let length = random.random_range(0..200);
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                if random.random_bool(0.9) { alphabet[random.random_range(0..alphabet.len())] } else { random.random() }
            })
            .collect();
        check(&cut(&bytes, &mut random));
    }
}

fn cut<'a>(stream: &'a [u8], random: &mut ChaCha8Rng) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(random.random_range(0..=rest.len().min(16)));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

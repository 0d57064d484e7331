//! Fossil deltas: against a decoder written after the format's description, and fixed deltas of npm's `fossil-delta`.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::protocol::centrifuge::delta::{checksum, encode};

fn number(delta: &mut &[u8]) -> usize {
    let mut number = 0;
    while let [digit, rest @ ..] = delta {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'_' => 36,
            b'a'..=b'z' => digit - b'a' + 37,
            b'~' => 63,
            _ => break,
        };
        (number, *delta) = (number * 64 + usize::from(digit), rest);
    }
    number
}

fn byte(delta: &mut &[u8]) -> u8 {
    let (byte, rest) = delta.split_first().expect("a delta ends with a semicolon");
    *delta = rest;
    *byte
}

/// What `delta` makes of `base`. Panics if that is not what the checksum says.
pub(crate) fn decode(base: &[u8], mut delta: &[u8]) -> Vec<u8> {
    let delta = &mut delta;
    let size = number(delta);
    assert_eq!(byte(delta), b'\n');
    let mut target = Vec::new();
    loop {
        let length = number(delta);
        match byte(delta) {
            b'@' => {
                let start = number(delta);
                assert_eq!(byte(delta), b',');
                target.extend_from_slice(&base[start..start + length]);
            }
            b':' => {
                let (insert, rest) = delta.split_at(length);
                target.extend_from_slice(insert);
                *delta = rest;
            }
            b';' => {
                assert_eq!((length, delta.len()), (checksum(&target) as usize, 0), "checksum, and the end");
                assert_eq!(target.len(), size);
                return target;
            }
            other => panic!("operator {other}"),
        }
    }
}

fn encoded(base: &[u8], target: &[u8]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    encode(base, target, &mut out);
    out.split_off("before".len())
}

/// Deltas that npm's `fossil-delta` 2.0.0 makes.
const VECTORS: &[(&str, &str, &str)] = &[
    (r#"{"input":"test"}"#, r#"{"input":"test"}"#, "G\nG:{\"input\":\"test\"}2PBcHn;"),
    (
        r#"{"score":[1,2],"text":"the first goal of the match was scored early"}"#,
        r#"{"score":[2,2],"text":"the first goal of the match was scored early"}"#,
        "15\nB:{\"score\":[2v@B,91Q07;",
    ),
    ("", "abc", "3\n3:abc1XObC0;"),
    ("abc", "", "0\n0:0;"),
    (
        "Größe und Länge über alles, äöü ÄÖÜ ß",
        "Größe und Breite über alles, äöü ÄÖÜ ß, größer",
        "v\nC@0,j:Breite über alles, äöü ÄÖÜ ß, größer1s7NhC;",
    ),
    ("0123456789abcdef0123456789ABCDEF", "0123456789ABCDEF--0123456789abcdef", "Y\nA@0,8:ABCDEF--G@0,xGzwq;"),
];

#[test]
fn vectors() {
    for (base, target, theirs) in VECTORS {
        assert_eq!(decode(base.as_bytes(), theirs.as_bytes()), target.as_bytes(), "the decoder is right");
        let ours = encoded(base.as_bytes(), target.as_bytes());
        assert_eq!(decode(base.as_bytes(), &ours), target.as_bytes());
        let (_, body) = theirs.split_once('\n').unwrap();
        let checksum = body.rsplit([',', ':']).next().unwrap();
        let tail = &checksum[checksum.len().saturating_sub(6)..];
        assert!(ours.ends_with(tail.as_bytes()) || target.is_empty(), "the checksum is theirs");
        assert!(ours.len() <= theirs.len() + 2, "{} bytes, theirs has {}", ours.len(), theirs.len());
    }
}

#[test]
fn what_is_the_same_is_copied() {
    let base: Vec<u8> = (0..4_000_u32).flat_map(u32::to_be_bytes).collect();
    let delta = encoded(&base, &base);
    assert!(delta.starts_with(b"3v0\n3v0@0,") && delta.len() < 20, "one copy: {} bytes", delta.len());
    let mut changed = base.clone();
    changed[8_000] ^= 1;
    changed.insert(12_000, 7);
    let delta = encoded(&base, &changed);
    assert_eq!(decode(&base, &delta), changed);
    assert!(delta.len() < 60, "{} bytes for two changes", delta.len());
}

/// Bases that repeat themselves cost no more than a bounded number of tries per byte; that it ends is the test.
#[test]
fn repetition() {
    let base = [b'a'; 200_000];
    let mut target = [b'a'; 200_000];
    target[100_000] = b'b';
    assert_eq!(decode(&base, &encoded(&base, &target)), target);
    let colliding: Vec<u8> = b"abababababababac".repeat(10_000);
    let swapped: Vec<u8> = b"babababababababa".repeat(10_000);
    assert_eq!(decode(&colliding, &encoded(&colliding, &swapped)), swapped);
}

/// A base, and a target made of its pieces and of others.
fn related(piece: impl Strategy<Value = Vec<u8>> + Clone) -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let pieces = (vec(piece.clone(), 0..12), vec(piece, 0..4));
    pieces.prop_flat_map(|(base, fresh)| {
        let all = [base.clone(), fresh, vec![Vec::new()]].concat();
        (Just(base.concat()), vec(proptest::sample::select(all), 0..12).prop_map(|pieces| pieces.concat()))
    })
}

proptest! {
    #[test]
    fn bytes((base, target) in related(vec(any::<u8>(), 0..60))) {
        prop_assert!(decode(&base, &encoded(&base, &target)) == target);
    }

    #[test]
    fn few_letters(base in vec(0_u8..2, 0..300), target in vec(0_u8..2, 0..300)) {
        prop_assert!(decode(&base, &encoded(&base, &target)) == target);
    }

    /// A delta between texts is a text, or it could not travel in JSON.
    #[test]
    fn texts((base, target) in related("[aäö€😀☃]{0,40}".prop_map(String::into_bytes))) {
        let delta = encoded(&base, &target);
        prop_assert!(decode(&base, &delta) == target);
        prop_assert!(String::from_utf8(delta).is_ok());
    }
}

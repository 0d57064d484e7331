//! What the fuzz targets have in common: pieces of an input, and a bound to the memory that a decoder may take.

mod mutation;

use std::alloc::System;
use std::panic;
use std::sync::Once;

use cap::Cap;
use serde::de::IgnoredAny;
use serde_json::Value;
use shardcast::protocol::centrifuge::delta;

pub use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};
pub use mutation::{PROTOCOL, SERVER, mutate_text};

/// Memory that a decoder asks for beyond what [`bounded`] grants ends the process: a finding.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Whoever reports a panic may take what it needs.
static REPORTS: Once = Once::new();

/// Does `work` with at most `bytes` more memory than there is now.
pub fn bounded<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    REPORTS.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            ALLOCATOR.set_limit(usize::MAX).expect("no limit");
            report(info);
        }));
    });
    ALLOCATOR.set_limit(ALLOCATOR.allocated() + bytes).expect("more than is allocated");
    let result = work();
    ALLOCATOR.set_limit(usize::MAX).expect("no limit");
    result
}

/// Takes a number from the end of an input, where libFuzzer's mutations leave the rest as it is.
pub fn take_u16(data: &mut &[u8]) -> u16 {
    let Some((rest, last)) = data.split_last_chunk::<2>() else { return 0 };
    *data = rest;
    u16::from_le_bytes(*last)
}

/// Cuts `bytes` into pieces whose lengths follow from `seed`; 0 is one piece, 1 is single bytes.
pub fn pieces(bytes: &[u8], seed: u16) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let (mut rest, mut state) = (bytes, u32::from(seed));
    while !rest.is_empty() {
        let length = match seed {
            0 => rest.len(),
            1 => 1,
            _ => {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Mostly a few bytes, sometimes many.
                let most = if state >> 30 == 0 { 4_096 } else { 16 };
                ((state >> 16) as usize % most).min(rest.len())
            }
        };
        let (piece, after) = rest.split_at(length);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// What one line of JSON says. `None`: it is JSON, but with a number or half of a surrogate pair that a [`Value`]
/// cannot hold; other parsers can, so it may be passed on.
///
/// # Panics
/// It is not JSON, or not one line.
pub fn one_value(json: &[u8]) -> Option<Value> {
    let shown = String::from_utf8_lossy(json);
    assert!(!json.contains(&b'\n') && !json.contains(&b'\r'), "a line end in {shown}");
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(json) {
        panic!("{error}: {shown}");
    }
    serde_json::from_slice(json).ok()
}

/// A number in base 64 at the start of a fossil delta.
fn number(delta: &mut &[u8]) -> usize {
    const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
    let mut number = 0;
    while let [first, rest @ ..] = delta
        && let Some(digit) = DIGITS.iter().position(|digit| digit == first)
    {
        (number, *delta) = (number * 64 + digit, rest);
    }
    number
}

/// What a fossil delta makes of `base`.
///
/// # Panics
/// It is broken, or something else than its size and checksum say.
pub fn apply_delta(base: &[u8], delta: &[u8]) -> Vec<u8> {
    let delta = &mut &*delta;
    let size = number(delta);
    *delta = delta.strip_prefix(b"\n").expect("a line end behind the size");
    let mut target = Vec::new();
    loop {
        let length = number(delta);
        let (operator, rest) = delta.split_first().expect("a delta ends with a semicolon");
        *delta = rest;
        match operator {
            b'@' => {
                let start = number(delta);
                *delta = delta.strip_prefix(b",").expect("a comma behind a copy");
                target.extend_from_slice(&base[start..start + length]);
            }
            b':' => {
                let (inserted, rest) = delta.split_at(length);
                target.extend_from_slice(inserted);
                *delta = rest;
            }
            b';' => {
                assert_eq!(length, delta::checksum(&target) as usize, "the checksum");
                assert_eq!(target.len(), size);
                return target;
            }
            other => panic!("operator {other}"),
        }
    }
}

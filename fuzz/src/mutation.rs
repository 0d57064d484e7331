//! Mutations of texts: one word becomes another one, or is mutated alone.

use std::ops::Range;

use libfuzzer_sys::fuzzer_mutate;

include!(concat!(env!("OUT_DIR"), "/words.rs"));

/// Numbers at the edges of their types.
const NUMBERS: &[&[u8]] = &[b"0", b"-1", b"255", b"65536", b"4294967296", b"18446744073709551615", b"1e309"];

/// For [`libfuzzer_sys::fuzz_mutator`]: mutates the first `size` bytes of `data`, which has room for `size_max`;
/// returns how many there are then. One time in four as libFuzzer does.
pub fn mutate_text(words: &[&[u8]], data: &mut [u8], size: usize, size_max: usize, seed: u32) -> usize {
    let mut random = Random(u64::from(seed) | 1 << 40);
    let places = if random.below(4) == 0 { Vec::new() } else { places(&data[..size]) };
    if places.is_empty() {
        return fuzzer_mutate(data, size, size_max);
    }
    let place = places[random.below(places.len())].clone();
    let length = place.len();
    let word = match random.below(10) {
        0 => Vec::new(),
        1 => NUMBERS[random.below(NUMBERS.len())].to_vec(),
        2 => data[places[random.below(places.len())].clone()].to_vec(),
        3 => {
            // Its own mutations do not touch what is around it.
            let mut word = data[place.clone()].to_vec();
            let room = length + (size_max - size).min(16);
            word.resize(room, 0);
            let mutated = fuzzer_mutate(&mut word, length, room);
            word.truncate(mutated);
            word
        }
        _ => words[random.below(words.len())].to_vec(),
    };
    let new_size = size - length + word.len();
    if new_size > size_max {
        return fuzzer_mutate(data, size, size_max);
    }
    data.copy_within(place.end..size, place.start + word.len());
    data[place.start..place.start + word.len()].copy_from_slice(&word);
    new_size
}

/// Where words are: letters, digits and what else stands within names and numbers; empty ones between two quotes.
fn places(data: &[u8]) -> Vec<Range<usize>> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.~".contains(byte);
    let mut places = Vec::new();
    let mut start = 0;
    while start < data.len() {
        let length = data[start..].iter().take_while(|byte| is_part(byte)).count();
        if length > 0 || data[start] == b'"' && start > 0 && data[start - 1] == b'"' {
            places.push(start..start + length);
        }
        start += length + 1;
    }
    places
}

/// Numbers that follow from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % limit as u64) as usize
    }
}

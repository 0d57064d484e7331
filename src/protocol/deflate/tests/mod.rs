//! Tests of negotiation, of round trips, and of what hostile clients send.

mod hostile;
mod offers;
mod round_trips;

use super::{Compression, Deflater, Inflater, Level, WindowBits};
use crate::protocol::frame::{MessageKind, ProtocolError};

/// As a member inflates it: what came out, or why not.
fn inflated(compressed: &[u8], bytes_max: usize) -> Result<Vec<u8>, ProtocolError> {
    let mut inflater = Inflater::default();
    inflater.message(MessageKind::Binary, compressed, bytes_max).map(<[u8]>::to_vec)
}

fn compressed(compression: Compression, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Deflater::new(compression).compress(&mut out, payload);
    out
}

fn compressions() -> impl Iterator<Item = Compression> {
    (1..=9).map(|level| Compression {
        level: Level::new(level).unwrap(),
        // 9 to 15, and in another order than the levels.
        window_bits: WindowBits::new(9 + level * 3 % 7).unwrap(),
        threshold_bytes: 0,
    })
}

/// A payload as rooms see it: alike, but not the same all the time.
fn json(records: usize) -> Vec<u8> {
    let record = |index: usize| {
        let price = 100_000 + index * 7_919 % 1_000;
        format!(r#"{{"symbol":"BTC-{index}","price":{price},"side":"{}"}}"#, ["buy", "sell"][index % 2])
    };
    let records: Vec<String> = (0..records).map(record).collect();
    format!("[{}]", records.join(",")).into_bytes()
}

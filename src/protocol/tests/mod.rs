//! Tests of what is around the frames: JSON, chunks, positions, `shardcast.v1`, event streams.

mod event_stream;
mod json;
mod v1;

/// What an encoder appends, as text; it must leave what was there before.
pub(super) fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = b"before".to_vec();
    write(&mut out);
    String::from_utf8(out).unwrap().strip_prefix("before").expect("encoders append").to_owned()
}

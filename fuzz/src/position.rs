//! Short texts: positions, headers of `shardcast.v1`, names of rooms, queries.

#![no_main]

use std::time::Duration;

use shardcast::engine::{Position, Start};
use shardcast::fuzzed::{decoded, newer, start};
use shardcast::protocol::{position, v1};
use shardcast::{ROOM_NAME_BYTES_MAX, RoomName};
use shardcast_fuzz::{PROTOCOL, bounded, fuzz_mutator, fuzz_target, mutate_text};

fn positions(text: &str) {
    let parsed = position::parse(text);
    let strict = text.parse::<Position>();
    assert_eq!(parsed.is_ok(), strict.is_ok(), "both read the same");
    if let (Ok((epoch, offset)), Ok(strict)) = (parsed, strict) {
        assert_eq!(strict.offset, offset);
        let shown = strict.to_string();
        assert_eq!(shown.parse(), Ok(strict), "what is shown is read");
        let mut written = Vec::new();
        position::write(&mut written, epoch, offset);
        assert!(written.len() <= position::POSITION_BYTES_MAX);
        let written = String::from_utf8(written).expect("ASCII");
        assert_eq!(position::parse(&written), Ok((epoch, offset)));
    }
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate_text(PROTOCOL, data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    bounded(16 * data.len() + (16 << 10), || {
        if let Ok((header, payload)) = v1::parse(data) {
            assert!(data.len() - payload.len() <= v1::HEADER_BYTES_MAX);
            assert!(data.ends_with(payload) && header.epoch.len() <= position::EPOCH_BYTES_MAX);
        }
        let Ok(text) = std::str::from_utf8(data) else { return };
        positions(text);
        if let Ok(room) = RoomName::new(text) {
            assert_eq!(room.as_str(), text);
            assert!((1..=ROOM_NAME_BYTES_MAX).contains(&text.len()));
            assert!(
                text.bytes().all(|byte| byte.is_ascii_graphic() && !br#""%/<>?[\]^`{|}*"#.contains(&byte)),
                "{text}"
            );
        }
        if let Some(Start::After(since)) = start(text) {
            let said = decoded(text, "since").expect("it was read from there");
            assert_eq!(said.parse(), Ok(since));
        }
        if let Some(newer) = newer(text) {
            assert!(newer.limit > 0 && newer.wait <= Duration::from_secs(60));
        }
        let name = decoded(text, "name");
        assert!(name.is_none_or(|name| name.len() <= text.len()), "decoding makes shorter");
    });
});

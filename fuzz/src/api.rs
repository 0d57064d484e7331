//! Bodies of the server API: a method on the first line, its parameters behind; without a method, lines that name
//! theirs.

#![no_main]

use std::sync::LazyLock;

use shardcast::fuzzed::Api;
use shardcast_fuzz::{Corpus, PROTOCOL, SERVER, bounded, fuzz_mutator, fuzz_target, mutate_text, one_value};

static API: LazyLock<Api> = LazyLock::new(Api::start);

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate_text(if seed & 1 == 0 { SERVER } else { PROTOCOL }, data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let Ok(method) = std::str::from_utf8(&data[..end]) else { return Corpus::Reject };
    let method = Some(method).filter(|method| !method.is_empty());
    let body = data.get(end + 1..).unwrap_or_default();
    let api = &*API;
    // An engine and its threads, at rest; and what the call says, several times.
    let (status, answer) = bounded(2_048 * data.len() + (16 << 20), || api.call(method, body));
    match status {
        200 => {
            for line in answer.split(|byte| *byte == b'\n') {
                let value = one_value(line);
                let said =
                    value.is_none_or(|value| ["result", "error", "replies"].iter().any(|key| value.get(key).is_some()));
                assert!(said, "{}", String::from_utf8_lossy(line));
            }
            Corpus::Keep
        }
        // Broken JSON has no offspring: it would be most of the corpus.
        400 => Corpus::Reject,
        other => panic!("status {other}: {}", String::from_utf8_lossy(&answer)),
    }
});

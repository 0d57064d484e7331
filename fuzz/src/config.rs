//! Files of settings, and settings on the command line.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use shardcast::fuzzed::config;
use shardcast_fuzz::{SERVER, bounded, fuzz_mutator, fuzz_target, mutate_text};

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("shardcast-fuzz-{}.toml", std::process::id())));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate_text(SERVER, data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    // What follows a byte that no text has is `--set`: KEY=VALUE, in lines.
    let (file, flags) = match data.iter().position(|byte| *byte == 0xff) {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &b""[..]),
    };
    std::fs::write(&*FILE, file).expect("a file in the folder for temporary files");
    let flags = String::from_utf8_lossy(flags);
    let pairs = flags.lines().filter_map(|line| line.split_once('='));
    let flags: Vec<_> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let result = bounded(4_096 * data.len() + (1 << 20), || config(&FILE, &flags));
    if let Err(problems) = result {
        assert!(!problems.is_empty(), "a refusal says why");
        assert!(problems.iter().all(|line| !line.contains(char::is_control)), "a problem is one line: {problems:?}");
    }
});

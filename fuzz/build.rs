//! Collects the words of the decoders, for mutations: short literals in their sources. A comparison with one of them is
//! what random bytes do not get past.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The lists, and where their words stand.
const SOURCES: &[(&str, &[&str])] =
    &[("PROTOCOL", &["../src/protocol", "../src/engine/session"]), ("SERVER", &["../src/server"])];
const WORD_BYTES_MAX: usize = 24;

fn main() {
    let mut text = String::new();
    for (list, sources) in SOURCES {
        let mut words = BTreeSet::new();
        for source in *sources {
            println!("cargo:rerun-if-changed={source}");
            collect(Path::new(source), &mut words);
        }
        let lines: String = words.iter().map(|word| format!("    b\"{word}\",\n")).collect();
        text += &format!("/// Literals in {}.\npub const {list}: &[&[u8]] = &[\n{lines}];\n", sources.join(", "));
    }
    let out = std::env::var_os("OUT_DIR").expect("cargo says where");
    fs::write(Path::new(&out).join("words.rs"), text).expect("a file for the words");
}

fn collect(path: &Path, words: &mut BTreeSet<String>) {
    // What tests say is no comparison of a decoder.
    if path.file_stem().is_some_and(|name| name == "tests") {
        return;
    }
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder of sources") {
            collect(&entry.expect("an entry of it").path(), words);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        let text = fs::read_to_string(path).expect("a source");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        code.lines().filter(|line| !line.trim_start().starts_with("//")).for_each(|line| literals(line, words));
    }
}

/// The literals of a line, as they are written. Prose, which a decoder says and does not hear, is left out.
fn literals(line: &str, words: &mut BTreeSet<String>) {
    let mut rest = line;
    while let Some((_, after)) = rest.split_once('"') {
        let mut escaped = false;
        let end = after.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(end) = end else { return };
        let (word, behind) = (&after[..end], &after[end + 1..]);
        let plain = word.bytes().all(|byte| byte.is_ascii_graphic()) && !word.contains(['\\', '{']);
        if plain && (1..=WORD_BYTES_MAX).contains(&word.len()) {
            words.insert(word.to_owned());
        }
        rest = behind;
    }
}

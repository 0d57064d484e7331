//! The reference file, `configs/shardcast.toml`: every setting with what it is, what it may be, and its default.

use super::Config;
use super::docs;
use super::file::ROOMS;
use super::relations::RELATIONS;
use super::rooms::PATTERN;
use super::table::{SETTINGS, Setting};

const COLUMNS_MAX: usize = 100;

const HEAD: &str = r##"
# shardcast.toml: every setting, what it may be, and its default (lines with "#" and no blank after it).
#
# Written by `shardcast print-config`; a test compares the two. To check a file of yours:
# `shardcast check-config --config FILE`.
#
# The environment is stronger than the file: SHARDCAST_LISTEN="0.0.0.0:80,[::]:80",
# SHARDCAST_LIMITS_ROOMS_MAX=10. The command line is stronger than both: --set limits.rooms_max=10,
# and some settings have a flag of their own (`shardcast --help`).
#
# Durations: whole numbers with us, ms, s, m or h: "250ms", "1m30s".
# Sizes: a whole number with B, KiB, MiB, GiB or TiB: "64KiB"; or a bare number of bytes.
"##;

/// The text of the reference file. As it stands it sets nothing, so it loads as the defaults.
pub(crate) fn reference() -> String {
    let defaults = Config::default();
    let mut text = HEAD.trim_start().to_owned();
    let mut section = "";
    for setting in SETTINGS {
        if setting.section != section {
            section = setting.section;
            text.push('\n');
            comment(&mut text, &docs::of_operators(&docs::item(setting.owner), None));
            text.push_str(&format!("[{section}]\n"));
        }
        text.push('\n');
        describe(&mut text, setting);
        match (setting.show)(&defaults) {
            Some(value) => text.push_str(&format!("#{} = {value}\n", setting.field)),
            None => text.push_str(&format!("# Not set by default.\n#{} = \"\"\n", setting.field)),
        }
    }
    rooms(&mut text);
    text
}

fn describe(text: &mut String, setting: &Setting) {
    let kind = (setting.describe)();
    comment(text, &setting.doc());
    let words = kind.words();
    if words.is_empty() {
        comment(text, &format!("Allowed: {}.", kind.allowed()));
    }
    for word in words {
        comment(text, &format!("\"{}\": {}", word.word, docs::member(word.owner, word.variant)));
    }
    for relation in RELATIONS.iter().filter(|relation| relation.key == setting.key()) {
        comment(text, &format!("Must be {} {}.", relation.must, relation.bound));
    }
}

fn rooms(text: &mut String) {
    text.push('\n');
    comment(text, &docs::member("Settings", ROOMS));
    comment(text, "What is not set is as in [room]. Only in a file.");
    comment(text, &format!("{PATTERN}: {}", docs::member("RoomClass", PATTERN)));
    text.push_str(&format!("#[[{ROOMS}]]\n#{PATTERN} = \"prices.*\"\n#lag = \"latest\"\n#publish = \"refused\"\n"));
}

/// Adds `words` as lines of comment.
fn comment(text: &mut String, words: &str) {
    let mut columns = 0;
    for word in words.split(' ') {
        if columns > 0 && columns + 1 + word.len() > COLUMNS_MAX {
            text.push('\n');
            columns = 0;
        }
        if columns == 0 {
            text.push('#');
            columns = 1;
        }
        text.push(' ');
        text.push_str(word);
        columns += 1 + word.len();
    }
    text.push('\n');
}

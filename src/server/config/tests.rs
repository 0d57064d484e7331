//! The sources together. Whole runs of the binary are in `tests/config.rs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shardcast::engine::settings::{ClientPublish, Echo, LagPolicy};

use super::table::{SETTINGS, Setting};
use super::{AllowedOrigins, Config, Flag, Problems, Sources, docs, load, reference};

/// A file that is there for one test.
struct TestFile(PathBuf);

impl TestFile {
    fn new(text: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("shardcast-{}-{}.toml", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("the directory for temporary files can be written to");
        Self(path)
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("the test's own file is still there");
    }
}

fn load_all(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, Problems> {
    let file = TestFile::new(file);
    load(&Sources {
        file: Some(file.0.clone()),
        variables: variables.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        flags: flags
            .iter()
            .map(|(key, value)| Flag { name: "--set".into(), key: (*key).into(), value: (*value).into() })
            .collect(),
    })
}

/// The problems as `line: text` or `name: text`.
fn problems(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Vec<String> {
    let problems = load_all(file, variables, flags).expect_err("there is a problem");
    let directory = std::env::temp_dir();
    let place = |line: String| match line.split_once(".toml:") {
        Some((path, rest)) if Path::new(path).starts_with(&directory) => rest.to_owned(),
        _ => line,
    };
    problems.iter().map(|problem| place(problem.to_string())).collect()
}

/// Each setting as it is shown.
fn shown(config: &Config) -> Vec<(String, Option<String>)> {
    SETTINGS.iter().map(|setting| (setting.key(), (setting.show)(config))).collect()
}

#[test]
fn the_later_source_wins() {
    let file = "drain = \"1s\"\nshards = 1\n[limits]\nrooms_max = 1\n";
    let variables = [("SHARDCAST_SHARDS", "2"), ("SHARDCAST_LIMITS_ROOMS_MAX", "2"), ("PATH", "/bin")];
    let config = load_all(file, &variables, &[("limits.rooms_max", "3")]).expect("all is right");
    assert_eq!(config.drain, Duration::from_secs(1));
    assert_eq!(config.engine.shards.map(std::num::NonZero::get), Some(2));
    assert_eq!(config.engine.limits.rooms_max, 3);
}

#[test]
fn the_environment_says_what_a_file_can() {
    let variables = [
        ("SHARDCAST_LISTEN", "127.0.0.1:1, [::1]:2"),
        ("SHARDCAST_SHARDS", "cores"),
        ("SHARDCAST_ROOM_COALESCE", "2ms"),
        ("SHARDCAST_ALLOWED_ORIGINS", "*"),
        ("SHARDCAST_LIMITS_MESSAGE_BYTES_MAX", "1024"),
        ("SHARDCAST_LIMITS_PUBLISH_PER_SECOND_MAX", "1_000"),
        ("SHARDCAST_CONFIG", "is read by the command line"),
    ];
    let config = load_all("", &variables, &[]).expect("all is right");
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.engine.shards, None);
    assert_eq!(config.engine.room.coalesce, Duration::from_millis(2));
    assert_eq!(config.allowed_origins, AllowedOrigins::Any);
    assert_eq!(config.engine.limits.message_bytes_max, 1024);
    assert_eq!(config.engine.limits.publish_per_second_max, Some(1_000));
}

#[test]
fn all_problems_at_once_each_with_its_place() {
    let file = "listn = []\ndrain = \"10\"\napi_key = \"hunter2\"\nlimits = 3\n[room]\nlag = true\n[nonsense]\n";
    let variables = [("SHARDCAST_LIMIT_ROOMS_MAX", "1"), ("SHARDCAST_SHARDS", "65")];
    let found = problems(file, &variables, &[("handshake.timeot", "1s"), ("rooms", "x")]);
    let expected = [
        "1: unknown key \"listn\"; did you mean \"listen\"?",
        "2: drain is \"10\"; allowed: a duration from \"0s\" to \"24h\"; the unit is missing: \"10s\"?",
        "3: api_key is not shown here; allowed: a string of 16 to 1024 visible ASCII characters, no blanks",
        "4: limits is 3; allowed: a table, [limits]",
        "6: room.lag is true; allowed: \"disconnect\" or \"skip\" or \"latest\"",
        "7: unknown key \"nonsense\"; `shardcast print-config` lists all",
        "SHARDCAST_LIMIT_ROOMS_MAX: unknown variable; did you mean \"SHARDCAST_LIMITS_ROOMS_MAX\"?",
        "SHARDCAST_SHARDS: shards is \"65\"; allowed: \"cores\", or a whole number from 1 to 64",
        "--set: unknown key \"handshake.timeot\"; did you mean \"handshake.timeout\"?",
        "--set: rooms can be set in a file only, as tables [[rooms]]",
    ];
    assert_eq!(found, expected);
}

#[test]
fn values_that_are_not_allowed() {
    for (file, expected) in [
        ("listen = [\"127.0.0.1:1\",\n\"nope\", 7]", "1: listen has \"nope\", 7; allowed"),
        ("listen = \"127.0.0.1:1\"", "1: listen is \"127.0.0.1:1\"; allowed"),
        ("shards = 0", "1: shards is 0; allowed"),
        ("shards = \"1\"", "1: shards is \"1\"; allowed"),
        ("drain = 10", "1: drain is 10; allowed: a duration from \"0s\" to \"24h\"; the unit is missing: \"10s\"?"),
        ("drain = \"10 s\"", "1: drain is \"10 s\"; allowed"),
        ("drain = {}", "1: drain is a table; allowed"),
        ("[limits]\nmessage_bytes_max = \"1KB\"", "2: limits.message_bytes_max is \"1KB\"; allowed"),
        ("[limits]\nrooms_max = 99999999999999999999", "2: limits.rooms_max is 99999999999999999999; allowed"),
        ("drain = \"1s\"\ndrain = \"2s\"", "2: not TOML: duplicate key"),
        ("rooms = 3", "1: rooms is 3; allowed: tables, [[rooms]]"),
    ] {
        let found = problems(file, &[], &[]);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{file}: {found:?}");
    }
}

#[test]
fn values_that_do_not_go_together() {
    for (file, flags, expected) in [
        (
            "[heartbeat]\nping_interval = \"60s\"\nsilence_max = \"20s\"",
            &[][..],
            "3: heartbeat.silence_max is \"20s\"; must be more than heartbeat.ping_interval, which is \"1m\" (",
        ),
        (
            "[heartbeat]\nping_interval = \"60s\"",
            &[("heartbeat.silence_max", "1m")],
            "--set: heartbeat.silence_max is \"1m\"; must be more than heartbeat.ping_interval, which is \"1m\" (",
        ),
        (
            "[limits]\nmessage_bytes_max = \"2MiB\"",
            &[],
            "2: room.window_bytes_max is \"1MiB\"; must be at least limits.message_bytes_max, \
             which is \"2MiB\" (set here)",
        ),
        (
            "[[rooms]]\npattern = \"a\"\nwindow_bytes_max = \"5MiB\"",
            &[],
            "3: limits.backlog_bytes_max is \"4MiB\"; must be at least window_bytes_max of the rooms \"a\", which is",
        ),
    ] {
        let found = problems(file, &[], flags);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{file}: {found:?}");
    }
}

#[test]
fn rooms_inherit_and_the_first_match_decides() {
    let file = "[room]\nlag = \"skip\"\n[[rooms]]\npattern = \"prices.*\"\npublish = \"refused\"\n\
                [[rooms]]\npattern = \"*\"\nlag = \"latest\"\n";
    let settings = load_all(file, &[("SHARDCAST_ROOM_ECHO", "off")], &[]).expect("all is right").engine;
    let prices = settings.for_room("prices.btc");
    assert_eq!((prices.lag, prices.publish, prices.echo), (LagPolicy::Skip, ClientPublish::Refused, Echo::Off));
    let chat = settings.for_room("chat");
    assert_eq!((chat.lag, chat.publish, chat.echo), (LagPolicy::Latest, ClientPublish::Allowed, Echo::Off));
}

#[test]
fn rooms_that_are_wrong() {
    for (tables, expected) in [
        ("[[rooms]]\nlag = \"skip\"", "1: [[rooms]] has no pattern; it has to be"),
        ("[[rooms]]\npattern = \"\"", "2: pattern is \"\"; allowed"),
        ("[[rooms]]\npattern = \"a/b\"", "2: pattern is \"a/b\"; allowed"),
        ("[[rooms]]\npattern = \"a\"\neco = \"on\"", "3: in [[rooms]]: unknown key \"eco\"; did you mean \"echo\"?"),
        ("[[rooms]]\npattern = \"a\"\nlag = 1", "3: lag of the rooms \"a\" is 1; allowed"),
        (
            "[[rooms]]\npattern = \"a*\"\n[[rooms]]\npattern = \"a.*\"",
            "4: pattern is \"a.*\"; it never decides, \"a*\"",
        ),
    ] {
        let found = problems(tables, &[], &[]);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{tables}: {found:?}");
    }
}

#[test]
fn the_reference_file_sets_nothing_but_its_lines_are_the_defaults() {
    let text = reference();
    let defaults = shown(&Config::default());
    assert_eq!(shown(&load_all(&text, &[], &[]).expect("the reference file is right")), defaults);

    let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && *line != "#";
    let uncommented =
        |line: &str| line.strip_prefix('#').filter(|_| is_setting(&line)).unwrap_or(line).to_owned() + "\n";
    let all: String = text.lines().filter(|line| !line.starts_with("#api_key")).map(uncommented).collect();
    let config = load_all(&all, &[], &[]).expect("each line of the reference file is right");
    assert_eq!(shown(&config), defaults);
    assert_eq!(config.engine.rooms.len(), 1);
}

#[test]
fn each_setting_has_a_key_a_variable_and_words_of_its_own() {
    let keys: BTreeSet<String> = SETTINGS.iter().map(Setting::key).collect();
    let variables: BTreeSet<String> = SETTINGS.iter().map(Setting::variable).collect();
    assert_eq!((keys.len(), variables.len()), (SETTINGS.len(), SETTINGS.len()));
    for setting in SETTINGS {
        assert!(
            setting.doc().ends_with('.'),
            "{} has no documentation: is its source in docs::SOURCES?",
            setting.key()
        );
        for word in (setting.describe)().words() {
            assert!(!docs::member(word.owner, word.variant).is_empty(), "{}::{} has none", word.owner, word.variant);
        }
    }
    for relation in super::relations::RELATIONS {
        assert!(keys.contains(relation.key) && keys.contains(relation.bound), "{}, {}", relation.key, relation.bound);
    }
}

#[test]
fn the_key_of_the_api_is_not_shown() {
    let config = load_all("api_key = \"0123456789abcdef\"", &[], &[]).expect("all is right");
    assert!(config.api_key.as_ref().is_some_and(|key| key.matches(b"0123456789abcdef")));
    assert!(!format!("{config:?}").contains("0123"));
}

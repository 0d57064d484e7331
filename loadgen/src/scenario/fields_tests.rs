use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::scenario::{Limits, Mix, Payload, Phase, Publishers, Rooms, Scenario, Subscribers, Target};

/// A scenario in which every optional field is there: a new one does not compile until it is named here.
fn full() -> Scenario {
    let Target { url, adapter, publish, headers, hello_answers, .. } = Target::default();
    let Subscribers { count: subscribers, connecting_max, handshake_timeout, .. } = Subscribers::default();
    let Subscribers { source_addresses, acks, connected_min, .. } = Subscribers::default();
    let Mix { slow, slow_bytes_per_second, stalled, churning, churn_stay, .. } = Mix::default();
    let Mix { reconnecting, reconnect_every, reconnect_away, .. } = Mix::default();
    let Publishers { count, rate_per_second, arrival, burst_messages, .. } = Publishers::default();
    Scenario {
        target: Target {
            publish_url: Some(String::new()),
            subprotocol: Some(String::new()),
            hello: Some(String::new()),
            publish_template: Some(String::new()),
            app_key: Some(String::new()),
            app_secret: Some(String::new()),
            delivery_template: Some(String::new()),
            url,
            adapter,
            publish,
            headers,
            hello_answers,
        },
        rooms: Rooms::default(),
        subscribers: Subscribers {
            count: subscribers,
            connects_per_second: Some(1.0),
            connecting_max,
            handshake_timeout,
            source_addresses,
            acks,
            connected_min,
        },
        mix: Mix {
            slow,
            slow_bytes_per_second,
            stalled,
            receive_buffer_bytes: Some(1),
            churning,
            churn_stay,
            reconnecting,
            reconnect_every,
            reconnect_away,
        },
        publishers: Publishers { count, rate_per_second, arrival, burst_messages, window: Some(1) },
        payload: Payload {
            bytes: Payload::default().bytes,
            bytes_max: Some(1),
            file: Some("x".into()),
            format: Payload::default().format,
        },
        phases: vec![Phase {
            name: "x".to_owned(),
            kind: super::super::PhaseKind::Measured,
            duration: Duration::from_secs(1),
            rate_per_second: Some(1.0),
        }],
        limits: Limits { run_time_max: Some(Duration::from_secs(1)), ..Limits::default() },
        ..Scenario::default()
    }
}

fn leaves(table: &toml::Table, prefix: &str, into: &mut BTreeSet<String>) {
    for (key, value) in table {
        let path = format!("{prefix}{key}");
        match value {
            toml::Value::Table(inner) if find(&path).is_none_or(|field| field.kind != Kind::Table) => {
                leaves(inner, &format!("{path}."), into);
            }
            toml::Value::Array(items) if path == "phase" => {
                leaves(items[0].as_table().unwrap(), "phase.", into);
            }
            _ => {
                into.insert(path);
            }
        }
    }
}

#[test]
fn the_table_has_exactly_the_fields_of_the_scenario() {
    let mut scenario = BTreeSet::new();
    leaves(&toml::Table::try_from(full()).unwrap(), "", &mut scenario);
    let listed: BTreeSet<String> = FIELDS.iter().map(|field| field.path.to_owned()).collect();
    assert_eq!(scenario, listed);
    assert_eq!(listed.len(), FIELDS.len(), "a path stands twice");
}

/// The doc comment of each field in `mod.rs`, by struct and field, without backticks.
fn doc_comments() -> BTreeMap<(String, String), String> {
    let mut docs = BTreeMap::new();
    let (mut structure, mut doc) = (String::new(), String::new());
    for line in include_str!("mod.rs").lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            doc.push_str(if doc.is_empty() { "" } else { " " });
            doc.push_str(&text.replace('`', ""));
        } else if let Some(name) = line.strip_prefix("pub struct ") {
            structure = name.trim_end_matches(" {").to_owned();
            doc.clear();
        } else if let Some((name, _)) = line.strip_prefix("pub ").and_then(|rest| rest.split_once(':')) {
            docs.insert((structure.clone(), name.to_owned()), std::mem::take(&mut doc));
        } else if !line.starts_with("#[") {
            doc.clear();
        }
    }
    docs
}

#[test]
fn help_is_the_doc_comment() {
    let docs = doc_comments();
    for field in FIELDS {
        let structure = match field.section() {
            "" => "Scenario".to_owned(),
            section => format!("{}{}", section[..1].to_uppercase(), &section[1..]),
        };
        let name = field.path.rsplit('.').next().unwrap().to_owned();
        assert_eq!(docs.get(&(structure, name)).map(String::as_str), Some(field.help), "{}", field.path);
    }
}

#[test]
fn choices_are_those_of_the_type() {
    for field in FIELDS {
        let Kind::Choice(words) = field.kind else { continue };
        let with = |word: &str| {
            let mut table = toml::Table::try_from(full()).unwrap();
            let (section, name) = field.path.split_once('.').unwrap();
            let at = match table.get_mut(section).unwrap() {
                toml::Value::Array(items) => &mut items[0],
                section => section,
            };
            at.as_table_mut().unwrap().insert(name.to_owned(), word.into());
            table.try_into::<Scenario>().map_err(|error| error.to_string())
        };
        let refused = with("nonsense").unwrap_err();
        let expected = refused.lines().next().unwrap().matches('`').count() / 2 - 1;
        assert_eq!(expected, words.len(), "{}: {refused}", field.path);
        for word in words {
            with(word).unwrap();
        }
    }
}

#[test]
fn flags_are_told_apart() {
    let mut seen = BTreeSet::new();
    for field in FIELDS.iter().filter(|field| field.section() != "phase") {
        assert!(seen.insert(field.flag), "--{} stands twice", field.flag);
        if field.long_flag() != field.flag {
            assert!(seen.insert(field.long_flag()), "--{} stands twice", field.long_flag());
        }
        assert!(SECTIONS.iter().any(|&(name, _)| name == field.section()), "{}", field.path);
    }
}

#[test]
fn values_of_flags() {
    let ok = |kind, text: &str| parse_value(kind, text).unwrap();
    assert_eq!(ok(Kind::Whole(U32), "10_000"), toml::Value::Integer(10_000));
    assert_eq!(ok(Kind::Bytes(U32), "4KiB"), toml::Value::Integer(4_096));
    assert_eq!(ok(Kind::Number, "20k"), toml::Value::Float(20_000.0));
    assert_eq!(ok(Kind::Duration, "1m30s"), toml::Value::from("1m30s"));
    assert_eq!(ok(Kind::Addresses, "127.0.0.2, ::1").as_array().unwrap().len(), 2);
    for (kind, text) in [
        (Kind::Whole(U32), "4294967296"),
        (Kind::Whole(U32), "-1"),
        (Kind::Bytes(U32), "4GiB"),
        (Kind::Bytes(U32), "1.5"),
        (Kind::Bytes(U32), "1KB"),
        (Kind::Number, "nan"),
        (Kind::Number, "fast"),
        (Kind::Duration, "10"),
        (Kind::Duration, "-1s"),
        (Kind::Choice(ADAPTERS), "Raw"),
        (Kind::Addresses, "localhost"),
    ] {
        assert!(parse_value(kind, text).is_err(), "{kind:?} {text}");
    }
}

#[test]
fn the_nearest_path() {
    for (path, wanted) in [
        ("publishers.rate", "publishers.rate_per_second"),
        ("subscriber.count", "subscribers.count"),
        ("window", "publishers.window"),
        ("rate", "publishers.rate_per_second"),
        ("publishers.connects_per_second", "subscribers.connects_per_second"),
    ] {
        assert_eq!(nearest_path(path), Some(wanted), "{path}");
    }
}
